"""Stored records: what is packed comes back; another version does not."""

from __future__ import annotations

import pytest

from smart_auth.store import (
    AuthorizationRequest,
    Grant,
    IssuedCode,
    Launch,
    Pending,
    Session,
    SignIn,
    digest,
    pack,
    unpack_code,
    unpack_grant,
    unpack_launch,
    unpack_pending,
    unpack_session,
    unpack_sign_in,
)

GRANT = Grant("g", "c", "u", "openid", 5, 6.5, patient="Patient/1", fhir_context='[{"type":"x"}]')
LAUNCH = Launch("c", "u", "Patient/1", patient_label="Anna ☃")
ASKED = AuthorizationRequest("c", "https://a", "openid", "x", "s", None, "l", 0)
PENDING = Pending(ASKED, "d", 7, LAUNCH, "Patient/1", "Anna", (("Patient/1", "Anna"),))


def test_every_record_comes_back_as_it_was() -> None:
    code = IssuedCode(GRANT, "https://a", "x", None)
    assert unpack_grant(pack(GRANT)) == GRANT
    assert unpack_code(pack(code)) == code
    assert unpack_launch(pack(LAUNCH)) == LAUNCH
    session = Session("u", 1, 2, "acr", ("pwd", "otp"), "d")
    assert unpack_session(pack(session)) == session
    sign_in = SignIn("d", "d", 7, "https://a/account", "Why.", "acr", None, "u", ("pwd",))
    assert unpack_sign_in(pack(sign_in)) == sign_in
    assert unpack_pending(pack(PENDING)) == PENDING


@pytest.mark.parametrize("stored", [b"", b"\x02{}", b"{}"])
def test_another_version_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="version"):
        unpack_grant(stored)


def test_a_store_key_is_64_hexadecimal_digits() -> None:
    # SHA-256 of "abc", FIPS 180-4 example
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_no_repr_of_a_pending_request_shows_its_secrets() -> None:
    assert "Anna" not in repr(PENDING)
    assert "'s'" not in repr(PENDING)
