"""What a holder signs, and how the registry is asked: against eth-account and eth-abi, which are not ours."""

from __future__ import annotations

import hashlib
import hmac

import eth_abi
import pytest

from anchoring.chain import transaction as tx
from anchoring.errors import ChainError
from anchoring.registry.consents import (
    Holder,
    Status,
    change_call,
    commitment,
    read_revoked,
    read_status,
    status_call,
)
from anchoring.registry.typed_data import Domain
from tests.anchoring.contracts.evm import Account, calldata, compact, encode_typed_data

DOMAIN = Domain("ConsentRegistry", 31337, bytes(range(20)))
HOLDER = Holder(hashlib.sha256(b"id").digest(), hashlib.sha256(b"key").digest(), 4_000_000_000)
DEADLINE = 2_000_000_000
TYPES = {
    Status.ACTIVE: ("File", "file", {"expiry": HOLDER.expiry}),
    Status.REPLACED: ("Replace", "replace", {}),
    Status.REVOKED: ("Revoke", "revoke", {}),
}


@pytest.mark.parametrize("status", TYPES)
def test_a_call_is_what_other_libraries_make_of_it(status: Status) -> None:
    kind, function, more = TYPES[status]
    fields = [("id", "bytes32"), *[(name, "uint64") for name in more], ("deadline", "uint64")]
    values = {"id": "0x" + HOLDER.id.hex(), **more, "deadline": DEADLINE}
    message = encode_typed_data(
        {"name": "ConsentRegistry", "version": "1", "chainId": 31337}
        | {"verifyingContract": "0x" + DOMAIN.contract.hex()},
        {kind: [{"name": name, "type": type_} for name, type_ in fields]},
        values,
    )
    signed = Account.sign_message(message, HOLDER.key)
    r, vs = compact(signed.v, signed.r, signed.s)
    args = (HOLDER.id, HOLDER.address, *more.values(), DEADLINE, r, vs)
    expected = calldata("ConsentRegistry", function, *args)
    assert change_call(DOMAIN, HOLDER, status, DEADLINE) == expected


def test_a_question_is_what_another_library_makes_of_it() -> None:
    asked = calldata("ConsentRegistry", "versionOf", HOLDER.address, HOLDER.id)
    assert status_call(HOLDER.address, HOLDER.id) == asked
    for status in Status:
        answer = eth_abi.encode(["uint64", "uint8"], [5, int(status)])
        assert read_status(answer) is status


@pytest.mark.parametrize("answer", [b"", bytes(32), bytes(63) + b"\x04", bytes(96), b"\xff" * 64])
def test_another_answer_is_no_version(answer: bytes) -> None:
    with pytest.raises(ChainError):
        read_status(answer)


def test_a_commitment_is_keyed_for_each_version() -> None:
    k = bytes(range(32))
    assert commitment(k, "consent", "a|1") == hmac.digest(k, b"consent|a|1", "sha256")
    names = [("consent", "a|1"), ("consent", "a|2"), ("consent", "b|1"), ("request", "a|1")]
    made = {commitment(k, kind, name) for kind, name in names}
    assert len(made | {commitment(bytes(32), "consent", "a|1")}) == 5
    with pytest.raises(AssertionError):
        commitment(b"short", "consent", "a|1")


def test_only_a_revocation_is_read_as_one() -> None:
    topic = tx.keccak256(b"Revoked(bytes32,address)")
    holder = bytes(12) + HOLDER.address
    assert read_revoked((topic, HOLDER.id, holder), b"") == (HOLDER.id, HOLDER.address)
    for topics, words in (
        ((), b""),
        ((topic, HOLDER.id), b""),
        ((topic, HOLDER.id, holder, holder), b""),
        ((topic, HOLDER.id, holder), bytes(32)),
        ((tx.keccak256(b"Replaced(bytes32,address)"), HOLDER.id, holder), b""),
    ):
        assert read_revoked(topics, words) is None
