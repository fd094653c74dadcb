"""The anchorer's records: read back alike, and refused when they are not such records."""

import dataclasses
import json
from typing import Any

import pytest

from anchoring.chain.chain import SELF_OPERATED, ChainIdentity, SignedTransaction
from anchoring.chain.journal import (
    Anchored,
    Pending,
    decode_anchor,
    decode_pending,
    encode_anchor,
    encode_pending,
)
from anchoring.errors import MalformedReceiptError

FORMER = (SignedTransaction(b"\x02a", b"a" * 32), SignedTransaction(b"\x02b", b"b" * 32))
PENDING = Pending(7, b"r" * 32, "note — text\n", b"\x02raw", b"h" * 32, since=5, former=FORMER)
CHAIN = ChainIdentity(5, b"g" * 32, b"c" * 20, b"d" * 32, SELF_OPERATED)
ANCHOR = Anchored(PENDING, 9, b"b" * 32, CHAIN)


def test_records_are_read_back_alike() -> None:
    assert decode_pending(encode_pending(PENDING)) == PENDING
    assert decode_anchor(encode_anchor(ANCHOR)) == ANCHOR


def test_records_carry_their_version() -> None:
    assert json.loads(encode_pending(PENDING))["version"] == "consentry-pending/v2"
    assert json.loads(encode_anchor(ANCHOR))["version"] == "consentry-anchor/v2"


@pytest.mark.parametrize(
    "change",
    [
        {"version": "consentry-anchor/v1"},
        {"version": "consentry-anchor/v3"},
        {"former": []},
        {"former": ["raw"]},
        {"formerHashes": ["0x00", "0x00"]},
        {"since": None},
        {"version": "consentry-pending/v1"},
        {"size": -1},
        {"size": "7"},
        {"root": "0x00"},
        {"hash": None},
        {"block": 1.0},
        {"chain": {}},
        {"extra": 1},
    ],
)
def test_a_record_in_another_form_is_refused(change: dict[str, Any]) -> None:
    record = json.dumps(json.loads(encode_anchor(ANCHOR)) | change).encode()
    with pytest.raises(MalformedReceiptError):
        decode_anchor(record)


def test_records_of_the_first_version_are_still_read() -> None:
    made = json.loads(encode_anchor(ANCHOR))
    for name in ("since", "former", "formerHashes"):
        del made[name]
    first = json.dumps(made | {"version": "consentry-anchor/v1"}).encode()
    plain = dataclasses.replace(PENDING, since=0, former=())
    assert decode_anchor(first) == dataclasses.replace(ANCHOR, made=plain)
    with pytest.raises(MalformedReceiptError):
        decode_anchor(json.dumps(made).encode())


def test_a_transaction_that_was_mined_becomes_the_newest_and_none_is_forgotten() -> None:
    turned = PENDING.with_newest(FORMER[0])
    assert (turned.transaction, turned.hash_) == (FORMER[0].raw, FORMER[0].hash_)
    assert set(turned.attempts) == set(PENDING.attempts)
    assert turned.attempts[0] == FORMER[0]
    assert PENDING.with_newest(PENDING.attempts[0]) == PENDING


@pytest.mark.parametrize("record", [b"", b"{}", b"[]", encode_anchor(ANCHOR), b"\xff"])
def test_what_is_no_pending_record_is_refused(record: bytes) -> None:
    with pytest.raises(MalformedReceiptError):
        decode_pending(record)
