"""The commitment to one event."""

import hashlib
import hmac

import pytest

from anchoring.errors import CommitmentError
from anchoring.log.commitment import check_commitment, commit

EVENT, K = b'{"resourceType":"AuditEvent"}', bytes(range(32))


def test_it_is_an_hmac_over_a_labelled_event() -> None:
    expected = hmac.new(K, b"fhir-audit/v1" + b"\x00" + EVENT, hashlib.sha256).digest()
    assert commit(EVENT, K) == expected
    check_commitment(expected, EVENT, K)


def test_our_own_vector_stays_what_it_was() -> None:
    # ours: made by this code on 2026-11-21, so that no release changes the format unnoticed
    assert commit(b"", bytes(32)).hex() == (
        "6d54c399089d8ec3615089bc1b9da3a1a498bd911dcc1e5354aa1e253ee4dc6f"
    )


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64, 65])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(CommitmentError):
        commit(EVENT, bytes(length))


def test_a_key_padded_with_zeros_does_not_open_the_same_commitment() -> None:
    with pytest.raises(CommitmentError):
        check_commitment(commit(EVENT, K), EVENT, K + b"\x00")


@pytest.mark.parametrize("bit", range(0, 32 * 8, 37))
def test_one_flipped_bit_of_key_event_or_commitment_is_refused(bit: int) -> None:
    def flipped(value: bytes) -> bytes:
        at = bit // 8 % len(value)
        return value[:at] + bytes([value[at] ^ (1 << bit % 8)]) + value[at + 1 :]

    sealed = commit(EVENT, K)
    for parts in (
        (flipped(sealed), EVENT, K),
        (sealed, flipped(EVENT), K),
        (sealed, EVENT, flipped(K)),
        (sealed[:31], EVENT, K),
        (b"", EVENT, K),
    ):
        with pytest.raises(CommitmentError):
            check_commitment(*parts)
