"""The verifier's step ``witnesses``: cosignatures named, pinned, missing, wrong."""

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from anchoring import verify
from anchoring.errors import CosignatureError
from anchoring.log import checkpoint as note
from anchoring.log.checkpoint import WitnessSeeds
from anchoring.receipts.receipt import Receipt, Signatories, parse
from anchoring.verify import Pinned, verify_receipt

A = WitnessSeeds("a.example/witness", b"a" * 32, b"A" * 32)
B = WitnessSeeds("b.example/witness", b"b" * 32, b"B" * 32)
IMPOSTER = WitnessSeeds(A.name, b"i" * 32, b"I" * 32)


@pytest.fixture(scope="module")
def plain(anchored: Any) -> Receipt:
    return parse(anchored.receipts[5])


def cosigned(plain: Receipt, *witnesses: WitnessSeeds, quorum: int = 0) -> Receipt:
    state, _ = note.parse(plain.checkpoint)
    at = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
    lines = "".join(note.cosign(state, each, at) for each in witnesses)
    keys = tuple(key for each in witnesses for key in each.public_keys())
    signatories = Signatories(plain.signatories.log, keys, quorum)
    return dataclasses.replace(plain, checkpoint=plain.checkpoint + lines, signatories=signatories)


def steps(receipt: Receipt, **pinned: Any) -> dict[str, str]:
    return {each.step: each.statement for each in verify_receipt(receipt, Pinned(**pinned))}


def refused(receipt: Receipt, **pinned: Any) -> None:
    with pytest.raises(CosignatureError) as error:
        steps(receipt, **pinned)
    assert error.value.step == "witnesses"


def test_without_witnesses_there_is_no_such_step_and_that_is_said(plain: Receipt) -> None:
    assert "witnesses" not in steps(plain)
    said = verify.reservations(plain, Pinned(), asked_chain=True)
    assert any("no witness cosigned" in each for each in said)


def test_cosignatures_are_a_step_of_their_own(plain: Receipt) -> None:
    receipt = parse(cosigned(plain, A, B, quorum=2).encode())
    assert steps(receipt)["witnesses"] == "cosigned by a.example/witness, b.example/witness"
    said = verify.reservations(receipt, Pinned(), asked_chain=True)
    assert any("witnesses' keys are those in the receipt" in each for each in said)
    assert not any("asks for" in each for each in said)


def test_fewer_than_the_operator_asks_for_is_said(plain: Receipt) -> None:
    said = verify.reservations(cosigned(plain, A, quorum=2), Pinned(), asked_chain=True)
    assert any("1 witnesses cosigned, the log's operator asks for 2" in each for each in said)


def test_witnesses_that_are_pinned_must_have_cosigned(plain: Receipt) -> None:
    both, keys = cosigned(plain, A, B), (*A.public_keys(), *B.public_keys())
    assert "witnesses" in steps(both, witness_keys=keys)
    assert "a.example" in steps(cosigned(plain, A), witness_keys=keys, quorum=1)["witnesses"]
    refused(cosigned(plain, A), witness_keys=keys)
    refused(plain, witness_keys=keys, quorum=1)
    refused(both, witness_keys=keys, quorum=3)
    refused(plain, quorum=1)


def test_an_imposter_s_key_under_a_trusted_name_counts_for_nothing(plain: Receipt) -> None:
    receipt = cosigned(plain, IMPOSTER)
    refused(receipt, witness_keys=A.public_keys())
    beside = cosigned(plain, IMPOSTER, B)
    found = steps(beside, witness_keys=(*A.public_keys(), *B.public_keys()), quorum=1)
    assert found["witnesses"] == "cosigned by b.example/witness"


def test_a_named_witness_that_did_not_cosign_is_found(plain: Receipt) -> None:
    receipt = cosigned(plain, A)
    named = Signatories(plain.signatories.log, (*A.public_keys(), *B.public_keys()), 1)
    refused(dataclasses.replace(receipt, signatories=named))


def test_a_cosignature_of_another_tree_is_found(plain: Receipt) -> None:
    state, _ = note.parse(plain.checkpoint)
    at = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
    other = note.Checkpoint(state.origin, state.size, bytes(32))
    receipt = dataclasses.replace(
        cosigned(plain, A), checkpoint=plain.checkpoint + note.cosign(other, A, at)
    )
    refused(receipt)


def test_the_log_is_no_witness_of_itself_nor_is_a_signature_a_cosignature(plain: Receipt) -> None:
    ed25519, mldsa44 = plain.signatories.log
    for key in (mldsa44, ed25519):
        refused(dataclasses.replace(plain, signatories=Signatories((ed25519, mldsa44), (key,))))


def test_the_command_takes_keys_and_a_quorum(
    plain: Receipt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(cosigned(plain, A).encode())
    keys = [f"--witness-key={key.vkey}" for each in (A, B) for key in each.public_keys()]
    assert verify.main([str(file), *keys, "--witness-quorum=1", "--json"]) == 0
    assert any(s["step"] == "witnesses" for s in json.loads(capsys.readouterr().out)["proved"])
    assert verify.main([str(file), *keys]) == 1
    assert capsys.readouterr().err.split()[:2] == ["FAILED", "witnesses"]
