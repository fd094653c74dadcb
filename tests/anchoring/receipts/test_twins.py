"""Twins: another spelling that means the same is another event; and a receipt has one spelling of each value."""

from __future__ import annotations

import json
import unicodedata
from types import SimpleNamespace

import pytest

from anchoring.errors import CommitmentError, MalformedReceiptError, VerificationError
from anchoring.log.commitment import check_commitment, commit
from anchoring.receipts.receipt import parse
from anchoring.strict_json import write_base64
from anchoring.verify import verify_receipt

K = bytes(32)
EVENT = '{"resourceType":"AuditEvent","id":"1","name":"Zoé","n":1.0,"agent":[{"who":"a"}]}'
TWINS = {
    "order of members": '{"id":"1","resourceType":"AuditEvent","name":"Zoé","n":1.0,"agent":[{"who":"a"}]}',
    "a blank": EVENT.replace(",", ", ", 1),
    "a line end": EVENT + "\n",
    "a byte order mark": "\ufeff" + EVENT,
    "form of a number": EVENT.replace("1.0", "1.00"),
    "exponent": EVENT.replace("1.0", "10e-1"),
    "no fraction": EVENT.replace("1.0", "1"),
    "Unicode, decomposed": unicodedata.normalize("NFD", EVENT),
    "Unicode, escaped": EVENT.replace("é", "\\u00e9"),
    "a look-alike": EVENT.replace("a", "\u0430", 1),
    "a slash, escaped": EVENT.replace('"1"', '"\\u0031"'),
    "a member twice": EVENT.replace('"id":"1"', '"id":"1","id":"1"'),
    "an empty member": EVENT.replace('"id":"1"', '"id":"1","text":null'),
}


@pytest.mark.parametrize("twin", TWINS)
def test_an_event_written_otherwise_is_another_event(twin: str) -> None:
    committed = commit(EVENT.encode(), K)
    check_commitment(committed, EVENT.encode(), K)
    assert TWINS[twin] != EVENT
    with pytest.raises(CommitmentError):
        check_commitment(committed, TWINS[twin].encode(), K)


@pytest.mark.parametrize("twin", ["order of members", "a blank", "form of a number"])
def test_a_receipt_with_an_event_written_otherwise_fails_at_the_commitment(
    anchored: SimpleNamespace, twin: str
) -> None:
    members = json.loads(anchored.receipts[5])
    members["event"] = write_base64(TWINS[twin].encode())
    with pytest.raises(VerificationError) as refused:
        verify_receipt(parse(json.dumps(members).encode()))
    assert refused.value.step == "commitment"


def test_the_order_of_a_receipts_members_means_nothing(anchored: SimpleNamespace) -> None:
    """The receipt only carries what is verified; the spelling of each value is the only one that is read."""
    members = json.loads(anchored.receipts[5])
    turned = {name: members[name] for name in reversed(members)}
    assert parse(json.dumps(turned).encode()) == parse(anchored.receipts[5])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"leafIndex": 5', '"leafIndex": 5.0'),
        ('"leafIndex": 5', '"leafIndex": 05'),
        ('"leafIndex": 5', '"leafIndex": 5e0'),
        ('"leafIndex": 5', '"leafIndex": true'),
        ('"leafIndex": 5', '"leafIndex": "5"'),
        ('"leafIndex": 5', '"leafIndex": 5, "leafIndex": 5'),
        ('"leafIndex": 5', '"leafIndex": ５'),
        ('"transaction": "0x', '"transaction": "0X'),
        ('"contract": "0x', '"contract": "0x0'),
    ],
)
def test_a_value_spelt_otherwise_is_refused(anchored: SimpleNamespace, old: str, new: str) -> None:
    text = anchored.receipts[5].decode()
    assert old in text
    with pytest.raises(MalformedReceiptError):
        parse(text.replace(old, new, 1).encode())


def test_hexadecimal_in_capitals_is_refused(anchored: SimpleNamespace) -> None:
    members = json.loads(anchored.receipts[5])
    members["chain"]["transactionHash"] = "0x" + members["chain"]["transactionHash"][2:].upper()
    with pytest.raises(MalformedReceiptError):
        parse(json.dumps(members).encode())
