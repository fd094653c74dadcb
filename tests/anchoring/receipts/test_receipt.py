"""The form of receipts: one spelling, and nothing but it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from anchoring.errors import MalformedReceiptError, VerificationError
from anchoring.receipts.receipt import FIRST_VERSION, MAX_RECEIPT_BYTES, VERSION, parse

MEMBERS = [
    "version",
    "event",
    "k",
    "commitment",
    "leafIndex",
    "treeSize",
    "inclusionProof",
    "checkpoint",
    "logKeys",
    "witnessKeys",
    "quorum",
    "chain",
]
CHAIN_MEMBERS = [
    "chainId",
    "genesisHash",
    "contract",
    "codeHash",
    "logId",
    "transaction",
    "transactionHash",
    "block",
    "blockHash",
    "assurance",
]
WRONG = [None, True, -1, 1.5, 2**64, "", "A", "0x0", "é", [], ["A"], [1], {}, {"a": 1}]


@pytest.fixture
def members(anchored: SimpleNamespace) -> dict[str, Any]:
    return json.loads(anchored.receipts[4])


def refused(members: object) -> None:
    with pytest.raises(VerificationError):
        parse(json.dumps(members).encode())


def test_a_receipt_is_read_and_written_alike(anchored: SimpleNamespace) -> None:
    for index, encoded in anchored.receipts.items():
        receipt = parse(encoded)
        assert receipt.index == index
        assert receipt.encode() == encoded


def test_it_holds_exactly_these_members(members: dict[str, Any]) -> None:
    assert list(members) == MEMBERS
    assert list(members["chain"]) == CHAIN_MEMBERS


def test_each_member_must_be_there(members: dict[str, Any]) -> None:
    for name in MEMBERS:
        refused({key: value for key, value in members.items() if key != name})
    for name in CHAIN_MEMBERS:
        chain = {key: value for key, value in members["chain"].items() if key != name}
        refused(members | {"chain": chain})


def test_no_other_member_may_be_there(members: dict[str, Any]) -> None:
    refused(members | {"extra": 1})
    refused(members | {"chain": members["chain"] | {"extra": 1}})


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_of_another_type_is_refused(members: dict[str, Any], name: str) -> None:
    for wrong in WRONG:
        if name == "event" and wrong in ("", "0x0"):
            continue  # base64url, and opens no commitment
        if name in ("inclusionProof", "witnessKeys") and wrong == []:
            continue  # as it is in a tree of one leaf, or without witnesses
        if name == "checkpoint" and isinstance(wrong, str):
            continue  # read when it is verified
        refused(members | {name: wrong})


@pytest.mark.parametrize("name", CHAIN_MEMBERS)
def test_a_chain_member_of_another_type_is_refused(members: dict[str, Any], name: str) -> None:
    for wrong in WRONG:
        refused(members | {"chain": members["chain"] | {name: wrong}})


def test_a_proof_of_65_nodes_is_refused(members: dict[str, Any]) -> None:
    node = members["inclusionProof"][0]
    parse(json.dumps(members | {"inclusionProof": [node] * 64}).encode())
    refused(members | {"inclusionProof": [node] * 65})
    refused(members | {"inclusionProof": [node, node[:-2]]})


def test_other_spellings_of_the_same_bytes_are_refused(members: dict[str, Any]) -> None:
    k = members["k"]
    refused(members | {"k": k + "="})
    refused(members | {"k": k + "\n"})
    refused(members | {"k": k[:-1] + chr(ord(k[-1]) + 1)})  # bits behind the last byte
    chain = members["chain"]
    refused(members | {"chain": chain | {"logId": chain["logId"].upper()}})
    refused(members | {"chain": chain | {"logId": chain["logId"][2:]}})


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{",
        b'{"version": NaN}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"9" * 500_000,
        b" " * (MAX_RECEIPT_BYTES + 1),
    ],
)
def test_what_is_no_json_object_is_refused(encoded: bytes) -> None:
    with pytest.raises(MalformedReceiptError):
        parse(encoded)


def test_a_member_given_twice_is_refused(anchored: SimpleNamespace) -> None:
    twice = anchored.receipts[4].replace(b'"leafIndex"', b'"leafIndex": 1, "leafIndex"', 1)
    with pytest.raises(MalformedReceiptError, match="twice"):
        parse(twice)


def test_the_checkpoint_covers_the_event_by_the_smallest_anchor(anchored: SimpleNamespace) -> None:
    sizes = {i: parse(encoded).size for i, encoded in anchored.receipts.items()}
    assert sizes == {0: 5, 4: 5, 5: 16, 22: 23}


def test_a_receipt_of_the_first_version_is_read_as_one_without_witnesses(
    members: dict[str, Any],
) -> None:
    first = {
        name: value for name, value in members.items() if name not in ("witnessKeys", "quorum")
    }
    first["version"] = FIRST_VERSION
    receipt = parse(json.dumps(first).encode())
    assert (receipt.signatories.witnesses, receipt.signatories.quorum) == ((), 0)
    refused({**first, "quorum": 0})
    refused({**first, "version": VERSION})
    refused({**members, "version": FIRST_VERSION})
    refused({**members, "version": "consentry-receipt/v3"})


def test_more_witnesses_than_a_note_can_have_are_refused(members: dict[str, Any]) -> None:
    refused({**members, "witnessKeys": members["logKeys"][:1] * 31})
    refused({**members, "witnessKeys": ["rubbish"]})
