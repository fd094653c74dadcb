"""The anchorer's records: read back alike, and refused when they are not such records."""

import json
from typing import Any

import pytest

from anchoring.chain import SELF_OPERATED, ChainIdentity
from anchoring.errors import MalformedReceiptError
from anchoring.journal import (
    Anchored,
    Pending,
    decode_anchor,
    decode_pending,
    encode_anchor,
    encode_pending,
)

PENDING = Pending(7, b"r" * 32, "note — text\n", b"\x02raw", b"h" * 32)
CHAIN = ChainIdentity(5, b"g" * 32, b"c" * 20, b"d" * 32, SELF_OPERATED)
ANCHOR = Anchored(PENDING, 9, b"b" * 32, CHAIN)


def test_records_are_read_back_alike() -> None:
    assert decode_pending(encode_pending(PENDING)) == PENDING
    assert decode_anchor(encode_anchor(ANCHOR)) == ANCHOR


def test_records_carry_their_version() -> None:
    assert json.loads(encode_pending(PENDING))["version"] == "consentry-pending/v1"
    assert json.loads(encode_anchor(ANCHOR))["version"] == "consentry-anchor/v1"


@pytest.mark.parametrize(
    "change",
    [
        {"version": "consentry-anchor/v2"},
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


@pytest.mark.parametrize("record", [b"", b"{}", b"[]", encode_anchor(ANCHOR), b"\xff"])
def test_what_is_no_pending_record_is_refused(record: bytes) -> None:
    with pytest.raises(MalformedReceiptError):
        decode_pending(record)
