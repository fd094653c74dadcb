"""Codes of a code app."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from smart_auth.people.one_time_codes import (
    WrongCodeError,
    code_of,
    new_secret,
    setup_text,
    step_of,
)

NOW = datetime(2026, 5, 4, 12, 0, 10, tzinfo=UTC)
# RFC 6238, appendix B: "12345678901234567890", SHA-1, the last 6 of the 8 digits
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert code_of(RFC_SECRET, at) == code
    assert step_of(code, RFC_SECRET, at) == seconds // 30


def test_a_clock_may_be_one_step_off_and_no_more() -> None:
    code = code_of(RFC_SECRET, NOW)
    for seconds in (-30, 0, 30):
        step_of(code, RFC_SECRET, NOW + timedelta(seconds=seconds))
    for seconds in (-60, 60):
        with pytest.raises(WrongCodeError):
            step_of(code, RFC_SECRET, NOW + timedelta(seconds=seconds))


def test_spaces_make_no_difference() -> None:
    code = code_of(RFC_SECRET, NOW)
    assert step_of(f" {code[:3]} {code[3:]} ", RFC_SECRET, NOW)


@pytest.mark.parametrize("code", ["", "0", "00000", "x" * 100_000, "a\x00b", "\ud800", "١٢٣٤٥٦"])
def test_what_is_no_code_is_wrong(code: str) -> None:
    with pytest.raises(WrongCodeError):
        step_of(code, RFC_SECRET, NOW)


def test_a_secret_is_160_bits_and_its_text_names_person_and_server() -> None:
    secret = new_secret(lambda size: bytes(range(size)))
    assert len(secret) == 32
    text = setup_text(secret, "anna b&c", "clinic.example.org")
    assert text.startswith("otpauth://totp/clinic.example.org:anna%20b%26c?secret=")
    assert secret in text
