"""Verify a receipt with no part of the server: ``python -m anchoring.verify RECEIPT.json``.

Steps: ``receipt`` (its form), ``commitment``, ``inclusion``, ``checkpoint``, ``witnesses`` (if there
are cosignatures) and ``anchor``.
Offline, ``anchor`` proves that the signed transaction in the receipt carries this log, size and
root to the address of a contract; what code lies there, and whether a block holds the transaction,
is asked of a chain (``--rpc`` or ``--chain-db``).
Exit 0 and one line per step proved, or exit 1 and the step that failed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from anchoring.chain import transaction
from anchoring.chain.chain import (
    SELF_OPERATED,
    ChainReader,
    Mined,
    check_identity,
)
from anchoring.chain.contract import is_genuine, read_anchor_calldata
from anchoring.errors import (
    AnchorError,
    ChainError,
    CheckpointError,
    CosignatureError,
    InclusionError,
    MalformedReceiptError,
    VerificationError,
)
from anchoring.log import checkpoint, merkle
from anchoring.log.checkpoint import Checkpoint, LogKey
from anchoring.log.commitment import check_commitment
from anchoring.receipts.receipt import MAX_RECEIPT_BYTES, AnchorClaim, Receipt, Signatories, parse
from anchoring.receipts.report import report_page
from anchoring.strict_json import read_hex


@dataclass(frozen=True, slots=True)
class ProvedStep:
    """One step that was proved.

    Attributes:
        step: Its name.
        statement: What is now known.
    """

    step: str
    statement: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """What the verifier knows from elsewhere, and does not take from the receipt.

    Attributes:
        keys: Log keys, each of which must have signed.
        contract: Address of the contract at which the institution anchors; None if not known.
        witness_keys: Keys of witnesses that are trusted.
        quorum: How many of these witnesses must have cosigned; None for all of them.
    """

    keys: tuple[LogKey, ...] = ()
    contract: bytes | None = None
    witness_keys: tuple[LogKey, ...] = ()
    quorum: int | None = None


_NOTHING_PINNED = Pinned()
_WITNESS_TYPES = (checkpoint.ED25519_COSIGNATURE, checkpoint.MLDSA44_COSIGNATURE)


def verify_receipt(
    receipt: Receipt, pinned: Pinned = _NOTHING_PINNED, chain: ChainReader | None = None
) -> tuple[ProvedStep, ...]:
    """Prove every step that can be proved; returning means that all of them are.

    Args:
        receipt: The receipt.
        pinned: What is known from elsewhere; for what is not, the receipt is believed.
        chain: A chain to ask, or None to stay offline.

    Raises:
        VerificationError: A subclass whose ``step`` names the first that failed.
        ChainError: The chain did not answer, or is not the receipt's: nothing was learned from it.
    """
    check_commitment(receipt.commitment, receipt.event, receipt.k)
    signed, _ = checkpoint.parse(receipt.checkpoint)
    _check_inclusion(receipt, signed)
    _check_signatures(receipt, signed, pinned.keys)
    cosigned = _check_cosignatures(receipt, signed, pinned)
    if pinned.contract not in (None, receipt.anchor.identity.contract):
        raise AnchorError("the contract is not the pinned one")
    sender = _check_transaction(receipt.anchor, signed)
    proved = [
        ProvedStep("commitment", "the event and its key give the commitment in the log"),
        ProvedStep("inclusion", f"leaf {receipt.index} is in the tree of {receipt.size} leaves"),
        ProvedStep("checkpoint", f"{signed.origin} signed that tree (Ed25519 and ML-DSA-44)"),
        *cosigned,
        ProvedStep(
            "anchor",
            f"transaction 0x{receipt.anchor.hash_.hex()}, signed by 0x{sender.hex()}, carries it",
        ),
    ]
    if chain is not None:
        _check_on_chain(receipt.anchor, signed, sender, chain)
        proved.append(ProvedStep("chain", f"block {receipt.anchor.block} holds that transaction"))
    return tuple(proved)


def reservations(receipt: Receipt, pinned: Pinned, *, asked_chain: bool) -> tuple[str, ...]:
    """Say what a successful verification still does not prove."""
    found = []
    if not pinned.keys:
        found.append("the log's keys are those in the receipt: compare them, or give --key")
    if pinned.contract is None:
        found.append("the contract is that in the receipt: compare it, or give --contract")
    found += _about_witnesses(receipt.signatories, pinned)
    if not asked_chain:
        found.append("no chain was asked whether it holds the transaction: --rpc or --chain-db")
    if receipt.anchor.identity.assurance == SELF_OPERATED:
        found.append(
            "assurance self-operated: the log's operator runs this chain, which by itself proves"
            " nothing to outsiders"
        )
    return tuple(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m anchoring.verify", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def run(asked: argparse.Namespace) -> int:
    """Verify as the parsed arguments say; the exit code."""
    try:
        receipt = parse(_read_file(asked.receipt))
        pinned = _pinned(asked)
        chain = _chain(asked, receipt)
        proved = verify_receipt(receipt, pinned, chain)
    except VerificationError as error:
        return _report_failure(error.step, str(error), as_json=asked.json)
    except ChainError as error:
        return _report_failure("chain", str(error), as_json=asked.json)
    left = reservations(receipt, pinned, asked_chain=chain is not None)
    if asked.report is not None:
        told = [(step.step, step.statement) for step in proved]
        asked.report.write_bytes(report_page(receipt, told, left, datetime.now(UTC)))
    if asked.json:
        steps = [{"step": step.step, "statement": step.statement} for step in proved]
        print(json.dumps({"proved": steps, "notProved": left}))
        return 0
    for step in proved:
        print(f"proved      {step.step:<11} {step.statement}")
    for reservation in left:
        print(f"not proved  {reservation}")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("receipt", type=Path, metavar="RECEIPT.json")
    parser.add_argument("--rpc", metavar="URL", help="ask an Ethereum node")
    parser.add_argument(
        "--chain-db", type=Path, metavar="PATH", help="ask an embedded chain's file"
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="VKEY", help="a log key that must have signed"
    )
    parser.add_argument("--contract", metavar="ADDRESS", help="the contract that must be used")
    parser.add_argument(
        "--witness-key", action="append", default=[], metavar="VKEY", help="a witness to trust"
    )
    parser.add_argument(
        "--witness-quorum", type=int, metavar="N", help="of these, N must have cosigned (all)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a page to print and keep"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def _pinned(asked: argparse.Namespace) -> Pinned:
    keys = tuple(checkpoint.parse_vkey(key) for key in asked.key)
    witnesses = tuple(checkpoint.parse_vkey(key) for key in asked.witness_key)
    contract = asked.contract and read_hex(asked.contract.lower(), "--contract", 20)
    return Pinned(keys, contract, witnesses, asked.witness_quorum)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_RECEIPT_BYTES + 1)
    except OSError as error:
        raise MalformedReceiptError(f"cannot be read: {error.strerror}") from error


def _chain(asked: argparse.Namespace, receipt: Receipt) -> ChainReader | None:
    identity = receipt.anchor.identity
    if asked.chain_db is not None:
        from anchoring.chain.embedded import (
            EmbeddedChain,  # py-evm takes most of a second to import
        )

        return EmbeddedChain(asked.chain_db, key=None)
    if asked.rpc is not None:
        from anchoring.chain.evm import JsonRpcChain, RpcSettings, connect

        settings = RpcSettings(identity.contract, confirmations=1, assurance=identity.assurance)
        return JsonRpcChain(connect(asked.rpc), settings)
    return None


def _report_failure(step: str, reason: str, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"failed": step, "reason": reason}))
    else:
        print(f"FAILED      {step:<11} {reason}", file=sys.stderr)
    return 1


def _check_inclusion(receipt: Receipt, signed: Checkpoint) -> None:
    if receipt.size != signed.size:
        raise InclusionError("the proof is for another tree size than the checkpoint's")
    leaf = merkle.leaf_hash(receipt.commitment)
    merkle.verify_inclusion(leaf, receipt.index, receipt.size, receipt.path, signed.root)


def _check_signatures(receipt: Receipt, signed: Checkpoint, pinned: Sequence[LogKey]) -> None:
    types = [key.type_ for key in receipt.signatories.log]
    if types != [checkpoint.ED25519_NOTE, checkpoint.MLDSA44_COSIGNATURE]:
        raise CheckpointError("the log's keys are not one Ed25519 and one ML-DSA-44 key")
    keys = [*receipt.signatories.log, *pinned]
    if any(key.name != signed.origin for key in keys):
        raise CheckpointError("the checkpoint's origin is not the name of the log's key")
    checkpoint.verify(receipt.checkpoint, keys)


def _check_cosignatures(
    receipt: Receipt, signed: Checkpoint, pinned: Pinned
) -> tuple[ProvedStep, ...]:
    """Prove the cosignatures that the receipt names, and enough of those that are pinned."""
    keys = [*receipt.signatories.witnesses, *pinned.witness_keys]
    if any(key.type_ not in _WITNESS_TYPES or key.name == signed.origin for key in keys):
        raise CosignatureError("a witness's key is not one for cosignatures, or the log's own")
    try:
        cosigned = checkpoint.signers(receipt.checkpoint, keys)
    except CheckpointError as error:
        raise CosignatureError(str(error)) from error
    if not set(receipt.signatories.witnesses) <= set(cosigned):
        raise CosignatureError("a witness that the receipt names did not cosign")
    trusted = {key.name for key in pinned.witness_keys}
    found = trusted & {key.name for key in cosigned if key in pinned.witness_keys}
    needed = len(trusted) if pinned.quorum is None else pinned.quorum
    if len(found) < needed:
        raise CosignatureError(f"{len(found)} trusted witnesses cosigned, {needed} must")
    names = sorted(found or {key.name for key in cosigned})
    return (ProvedStep("witnesses", f"cosigned by {', '.join(names)}"),) if names else ()


def _about_witnesses(said: Signatories, pinned: Pinned) -> list[str]:
    """Say what the cosignatures do not prove."""
    names = {key.name for key in said.witnesses}
    if not names and not pinned.witness_keys:
        return ["no witness cosigned the tree: somebody else may have been shown another one"]
    found = []
    if len(names) < said.quorum:
        found.append(f"{len(names)} witnesses cosigned, the log's operator asks for {said.quorum}")
    if not pinned.witness_keys:
        found.append("the witnesses' keys are those in the receipt: compare, or --witness-key")
    return found


def _check_transaction(claim: AnchorClaim, signed: Checkpoint) -> bytes:
    """Prove that the transaction in the receipt anchors the checkpoint; who signed it."""
    try:
        read = transaction.read(claim.transaction)
        call = read_anchor_calldata(read.content.call)
    except ChainError as error:
        raise AnchorError(str(error)) from error
    expected = {
        "transaction hash": (claim.hash_, read.hash_),
        "chain id": (claim.identity.chain_id, read.content.chain_id),
        "contract": (claim.identity.contract, read.content.to),
        "log id": (claim.log, checkpoint.log_id(signed.origin)),
        "log id in the transaction": (claim.log, call.log),
        "size": (signed.size, call.size),
        "root": (signed.root, call.root),
    }
    if not is_genuine(claim.identity.code_hash):
        raise AnchorError("the contract code is another one")
    for what, (said, found) in expected.items():
        if said != found:
            raise AnchorError(f"the {what} is another one")
    return read.sender


def _check_on_chain(
    claim: AnchorClaim, signed: Checkpoint, sender: bytes, chain: ChainReader
) -> None:
    """Prove that the receipt's block holds the transaction, and the log went on from there."""
    try:
        check_identity(chain.identity(), claim.identity)
        mined = chain.find(claim.hash_)
        head = chain.head(claim.log)
    except ChainError as error:
        raise AnchorError(str(error)) from error
    if mined is None or not mined.final:
        raise AnchorError("the chain does not hold the transaction")
    said = Mined(claim.block, claim.block_hash, sender, claim.log, signed.size, signed.root)
    if mined != said:
        raise AnchorError("the chain holds the transaction otherwise than the receipt says")
    if head.size < signed.size:  # whoever publishes it by now: the contract lets a log only grow
        raise AnchorError("the contract's newest state of this log does not follow from it")


if __name__ == "__main__":
    sys.exit(main())
