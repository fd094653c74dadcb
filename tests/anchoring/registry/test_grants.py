"""How requests for access are answered and heard of: against eth-account and eth-abi, which are not ours."""

from __future__ import annotations

import hashlib

import pytest

from anchoring.chain import transaction as tx
from anchoring.errors import ChainError
from anchoring.registry.grants import (
    GrantWish,
    Request,
    Said,
    Status,
    answer_call,
    read_said,
    read_status,
    status_call,
)
from anchoring.registry.node import Log
from anchoring.registry.relaying import Standing
from anchoring.registry.typed_data import Domain, word
from tests.anchoring.contracts.evm import Account, calldata, compact, encode_typed_data

DOMAIN = Domain("AccessGrants", 31337, bytes(range(20)))
REQUEST = Request(hashlib.sha256(b"id").digest(), hashlib.sha256(b"key").digest(), b"\x77" * 20)
EXPIRY, DEADLINE = 4_000_000_000, 2_000_000_000
PLACE = (REQUEST.id, REQUEST.holder, REQUEST.requester)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(Status.APPROVED, "Approve"), (Status.DENIED, "Deny"), (Status.REVOKED, "Revoke")],
)
def test_an_answer_is_what_other_libraries_make_of_it(status: Status, kind: str) -> None:
    more = {"expiry": EXPIRY} if kind == "Approve" else {}
    fields = [("id", "bytes32"), ("requester", "address"), *[(name, "uint64") for name in more]]
    named = {"id": "0x" + REQUEST.id.hex(), "requester": "0x" + REQUEST.requester.hex()}
    message = encode_typed_data(
        {"name": "AccessGrants", "version": "1", "chainId": 31337}
        | {"verifyingContract": "0x" + DOMAIN.contract.hex()},
        {kind: [{"name": n, "type": t} for n, t in [*fields, ("deadline", "uint64")]]},
        {**named, **more, "deadline": DEADLINE},
    )
    signed = Account.sign_message(message, REQUEST.key)
    r, vs = compact(signed.v, signed.r, signed.s)
    expected = calldata("AccessGrants", kind.lower(), *PLACE, *more.values(), DEADLINE, r, vs)
    assert answer_call(DOMAIN, REQUEST, status, EXPIRY, DEADLINE) == expected
    assert status_call(REQUEST) == calldata("AccessGrants", "grantOf", *PLACE)


def said(status: Status) -> bytes:
    return word(5) + word(int(status))


def test_what_is_wanted_is_told_from_how_it_stands() -> None:
    table = {
        Status.APPROVED: "waiting missing true true true",
        Status.DENIED: "waiting missing true true true",
        Status.REVOKED: "waiting missing missing true true",
    }
    for wanted, expected in table.items():
        wish = GrantWish(REQUEST, wanted, EXPIRY)
        assert [Standing(word_) for word_ in expected.split()] == [
            wish.standing(said(status)) for status in Status
        ]


def test_what_is_revoked_before_it_was_approved_is_denied() -> None:
    wish = GrantWish(REQUEST, Status.REVOKED, EXPIRY)
    denied = answer_call(DOMAIN, REQUEST, Status.DENIED, EXPIRY, DEADLINE)
    assert wish.call(DOMAIN, said(Status.REQUESTED), DEADLINE) == denied
    revoked = answer_call(DOMAIN, REQUEST, Status.REVOKED, EXPIRY, DEADLINE)
    assert wish.call(DOMAIN, said(Status.APPROVED), DEADLINE) == revoked


@pytest.mark.parametrize("answer", [b"", bytes(32), bytes(63) + b"\x05", bytes(96)])
def test_another_answer_is_no_request(answer: bytes) -> None:
    with pytest.raises(ChainError):
        read_status(answer)


def test_only_events_of_requests_are_read_as_such() -> None:
    topic = tx.keccak256(b"Denied(bytes32,address,address)")
    topics = (topic, REQUEST.id, word(REQUEST.holder), word(REQUEST.requester))
    expected = Said(Status.DENIED, REQUEST.id, REQUEST.holder, REQUEST.requester)
    assert read_said(Log(bytes(20), topics, b"", 1, bytes(32))) == expected
    for other in ((), topics[:3], (bytes(32), *topics[1:])):
        assert read_said(Log(bytes(20), other, b"", 1, bytes(32))) is None
