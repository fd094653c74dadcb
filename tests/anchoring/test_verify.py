"""Verification: every changed bit is refused, and the step that failed is named."""

import base64
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anchoring import verify
from anchoring.chain import transaction
from anchoring.chain.contract import anchor_calldata, read_anchor_calldata
from anchoring.chain.embedded import EmbeddedChain
from anchoring.errors import AnchorError, ChainError, CheckpointError, VerificationError
from anchoring.log.checkpoint import LogSeeds
from anchoring.receipts import receipt as form
from anchoring.receipts.receipt import Receipt, Signatories
from anchoring.verify import Pinned

ROOM = Path(__file__).resolve().parents[2]
STEPS = ["commitment", "inclusion", "checkpoint", "anchor"]


@pytest.fixture
def receipt(anchored: SimpleNamespace) -> Receipt:
    return form.parse(anchored.receipts[5])


@pytest.fixture
def chain(anchored: SimpleNamespace) -> Iterator[EmbeddedChain]:
    reader = EmbeddedChain(anchored.path, None)
    yield reader
    reader.close()


def test_each_receipt_proves_every_step(anchored: SimpleNamespace, chain: EmbeddedChain) -> None:
    for encoded in anchored.receipts.values():
        receipt = form.parse(encoded)
        assert [p.step for p in verify.verify_receipt(receipt)] == STEPS
        with_chain = verify.verify_receipt(
            receipt, Pinned(receipt.signatories.log, receipt.anchor.identity.contract), chain
        )
        assert [p.step for p in with_chain] == [*STEPS, "chain"]


def flip_bytes(value: bytes, bit: int) -> bytes:
    at = bit // 8 % len(value)
    return value[:at] + bytes([value[at] ^ (1 << bit % 8)]) + value[at + 1 :]


def flip_base64(text: str, bit: int) -> str:
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return base64.urlsafe_b64encode(flip_bytes(decoded, bit)).decode().rstrip("=")


def flip_hex(text: str, bit: int) -> str:
    return "0x" + flip_bytes(bytes.fromhex(text[2:]), bit).hex()


def flip_text(text: str, bit: int) -> str:
    at = bit // 8 % len(text)
    return text[:at] + chr(ord(text[at]) ^ (1 << bit % 5)) + text[at + 1 :]


def flip_number(number: int, bit: int) -> int:
    return number ^ (1 << bit % 8)


def flip_first(texts: list[str], bit: int, flip: Callable[[str, int], str]) -> list[str]:
    return [flip(texts[0], bit), *texts[1:]]


FLIPPED: dict[str, tuple[Callable[[Any, int], Any], set[str]]] = {
    "version": (flip_text, {"receipt"}),
    "event": (flip_base64, {"commitment"}),
    "k": (flip_base64, {"commitment"}),
    "commitment": (flip_base64, {"commitment"}),
    "leafIndex": (flip_number, {"inclusion"}),
    "treeSize": (flip_number, {"inclusion"}),
    "inclusionProof": (lambda v, bit: flip_first(v, bit, flip_base64), {"inclusion"}),
    # the checkpoint's own size and root are looked at by the inclusion proof first
    "checkpoint": (flip_text, {"checkpoint", "inclusion"}),
    "logKeys": (lambda v, bit: flip_first(v, bit, flip_text), {"checkpoint"}),
}
FLIPPED_ON_CHAIN: dict[str, tuple[Callable[[Any, int], Any], set[str]]] = {
    "chainId": (flip_number, {"anchor"}),
    "genesisHash": (flip_hex, {"anchor"}),
    "contract": (flip_hex, {"anchor"}),
    "codeHash": (flip_hex, {"anchor"}),
    "logId": (flip_hex, {"anchor"}),
    "transaction": (flip_hex, {"anchor"}),
    "transactionHash": (flip_hex, {"anchor"}),
    "block": (flip_number, {"anchor"}),
    "blockHash": (flip_hex, {"anchor"}),
    "assurance": (flip_text, {"receipt"}),
}
ONLY_A_CHAIN_KNOWS = {"genesisHash", "block", "blockHash"}


def failed_step(members: dict[str, Any], chain: EmbeddedChain | None) -> str:
    with pytest.raises(VerificationError) as refused:
        verify.verify_receipt(form.parse(json.dumps(members).encode()), Pinned(), chain)
    return refused.value.step


@pytest.mark.parametrize("name", FLIPPED)
def test_one_flipped_bit_is_refused_offline(anchored: SimpleNamespace, name: str) -> None:
    members = json.loads(anchored.receipts[5])
    flip, steps = FLIPPED[name]
    for bit in range(0, 512, 7):
        assert failed_step(members | {name: flip(members[name], bit)}, None) in steps


@pytest.mark.parametrize("name", FLIPPED_ON_CHAIN)
def test_one_flipped_bit_of_the_chain_part_is_refused(
    anchored: SimpleNamespace, chain: EmbeddedChain, name: str
) -> None:
    members = json.loads(anchored.receipts[5])
    flip, steps = FLIPPED_ON_CHAIN[name]
    for bit in range(0, 512, 31):
        forged = members["chain"] | {name: flip(members["chain"][name], bit)}
        assert failed_step(members | {"chain": forged}, chain) in steps
        if name not in ONLY_A_CHAIN_KNOWS:
            assert failed_step(members | {"chain": forged}, None) in steps


def test_every_character_of_the_checkpoint_counts(anchored: SimpleNamespace) -> None:
    members = json.loads(anchored.receipts[5])
    text = members["checkpoint"]
    for at in [*range(200), *range(200, len(text), 41), len(text) - 1]:
        forged = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        assert failed_step(members | {"checkpoint": forged}, None) in {"checkpoint", "inclusion"}


def test_a_receipt_put_together_from_two_is_refused(anchored: SimpleNamespace) -> None:
    one, other = (json.loads(anchored.receipts[i]) for i in (5, 22))
    for name in one:
        if one[name] == other[name]:
            continue
        assert failed_step(one | {name: other[name]}, None) in STEPS
    event = {name: other[name] for name in ("event", "k", "commitment")}
    assert failed_step(one | event, None) == "inclusion"
    proof = {name: other[name] for name in ("checkpoint", "treeSize", "inclusionProof")}
    assert failed_step(one | event | proof | {"leafIndex": 22}, None) == "anchor"


def test_a_log_forged_whole_is_refused_by_the_pinned_key(receipt: Receipt) -> None:
    stranger = LogSeeds(receipt.signatories.log[0].name, b"\x08" * 32, b"\x09" * 32).public_keys()
    for key in stranger:
        with pytest.raises(CheckpointError, match="no signature"):
            verify.verify_receipt(receipt, Pinned((key,)))


def test_a_pinned_key_of_another_log_is_refused(receipt: Receipt) -> None:
    other = LogSeeds("elsewhere.example", b"\x02" * 32, b"\x03" * 32).public_keys()
    with pytest.raises(CheckpointError, match="origin"):
        verify.verify_receipt(receipt, Pinned(other))


def test_a_receipt_whose_keys_are_of_one_kind_is_refused(receipt: Receipt) -> None:
    for key in receipt.signatories.log:
        weak = dataclasses.replace(receipt, signatories=Signatories((key, key)))
        with pytest.raises(CheckpointError, match="one Ed25519 and one ML-DSA-44"):
            verify.verify_receipt(weak)


def test_an_anchor_at_another_contract_than_the_pinned_one_is_refused(
    receipt: Receipt, file: Path
) -> None:
    with pytest.raises(AnchorError, match="pinned"):
        verify.verify_receipt(receipt, Pinned(contract=bytes(20)))
    assert verify.main([str(file), "--contract", "0x" + "00" * 20]) == 1
    assert verify.main([str(file), "--contract", "0x00"]) == 1


def test_a_tree_size_of_the_same_shape_is_refused(anchored: SimpleNamespace) -> None:
    """Leaf 0 has the same path in trees of 5 to 8 leaves; only the checkpoint says which."""
    members = json.loads(anchored.receipts[0])
    for size in (6, 7, 8):
        assert failed_step(members | {"treeSize": size}, None) == "inclusion"


def test_a_genuine_anchor_of_another_log_is_refused(receipt: Receipt) -> None:
    sent = transaction.read(receipt.anchor.transaction).content
    call = read_anchor_calldata(sent.call)
    other = dataclasses.replace(call, log=b"o" * 32)
    signed = transaction.sign(dataclasses.replace(sent, call=anchor_calldata(other)), b"\x07" * 32)
    claim = dataclasses.replace(
        receipt.anchor, log=other.log, transaction=signed.raw, hash_=signed.hash_
    )
    with pytest.raises(AnchorError, match="log id"):
        verify.verify_receipt(dataclasses.replace(receipt, anchor=claim))


class StubChain:
    """A chain that answers as the embedded one, but for what is changed."""

    def __init__(self, chain: EmbeddedChain, **changed: Any) -> None:
        self._chain, self._changed = chain, changed

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._changed.get(name, getattr(self._chain, name))


def test_a_chain_that_tells_another_story_is_refused(
    receipt: Receipt, chain: EmbeddedChain
) -> None:
    log, at = receipt.anchor.log, receipt.anchor.hash_
    mined, head, identity = chain.find(at), chain.head(log), chain.identity()
    assert mined
    stories: list[dict[str, Any]] = [
        {"find": lambda _: None},
        {"find": lambda _: dataclasses.replace(mined, size=mined.size + 1)},
        {"find": lambda _: dataclasses.replace(mined, root=bytes(32))},
        {"find": lambda _: dataclasses.replace(mined, publisher=bytes(20))},
        {"head": lambda _: dataclasses.replace(head, size=receipt.size - 1)},
        {"identity": lambda: dataclasses.replace(identity, code_hash=bytes(32))},
    ]
    for story in stories:
        with pytest.raises(AnchorError):
            verify.verify_receipt(receipt, Pinned(), StubChain(chain, **story))  # type: ignore[arg-type]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anchoring.verify", *map(str, arguments)],
        cwd=ROOM,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def file(anchored: SimpleNamespace, tmp_path: Path) -> Path:
    path = tmp_path / "receipt.json"
    path.write_bytes(anchored.receipts[5])
    return path


def test_the_command_names_each_step_and_what_it_does_not_prove(file: Path) -> None:
    done = run(file)
    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines()[:4]] == STEPS
    assert "assurance self-operated" in done.stdout
    assert "no chain was asked" in done.stdout
    assert "--key" in done.stdout


def test_the_command_asks_the_chain_file_with_the_server_stopped(
    file: Path, anchored: SimpleNamespace, receipt: Receipt
) -> None:
    keys = [word for key in receipt.signatories.log for word in ("--key", key.vkey)]
    done = run(file, "--chain-db", anchored.path, *keys, "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert [step["step"] for step in answer["proved"]] == [*STEPS, "chain"]
    assert len(answer["notProved"]) == 3
    contract = "0x" + receipt.anchor.identity.contract.hex()
    done = run(file, "--chain-db", anchored.path, *keys, "--json", "--contract", contract)
    assert len(json.loads(done.stdout)["notProved"]) == 2


def test_the_command_does_not_load_a_node_library_offline(file: Path) -> None:
    code = (
        "import sys; from anchoring import verify; assert verify.main([sys.argv[1]]) == 0;"
        "assert not {'web3', 'eth', 'eth_tester', 'eth_account'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], cwd=ROOM, check=True, timeout=60)


def test_offline_verification_takes_less_than_50_ms(receipt: Receipt) -> None:
    best = min(timed(lambda: verify.verify_receipt(receipt)) for _ in range(5))
    assert best < 0.05


def timed(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"event": "AAAA"}, "commitment"),
        ({"leafIndex": 6}, "inclusion"),
        ({"logKeys": ["a", "b"]}, "checkpoint"),
        ({"version": "consentry-receipt/v3"}, "receipt"),
        ({"witnessKeys": ["a"]}, "checkpoint"),
        ({"quorum": -1}, "receipt"),
    ],
)
def test_the_command_names_the_step_that_failed(
    file: Path, change: dict[str, Any], step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(json.dumps(json.loads(file.read_bytes()) | change))
    assert verify.main([str(file)]) == 1
    assert capsys.readouterr().err.split()[:2] == ["FAILED", step]
    assert verify.main([str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failed"] == step


@pytest.mark.skipif(sys.platform != "linux", reason="reads its peak memory from /proc")
def test_the_command_refuses_a_hundred_megabytes_in_bounded_time_and_memory(
    tmp_path: Path,
) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.write(b'{"event": "')
        file.truncate(100 * 1024 * 1024)
    code = (
        "import sys; from anchoring import verify; code = verify.main([sys.argv[1]]);"
        "status = open('/proc/self/status').read().split();"  # ru_maxrss counts the parent, too
        "print(code, status[status.index('VmHWM:') + 1])"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, str(large)],
        cwd=ROOM,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert time.monotonic() - started < 10
    assert done.stderr.split()[:2] == ["FAILED", "receipt"]
    code_and_kib = done.stdout.split()
    assert code_and_kib[0] == "1"
    assert int(code_and_kib[1]) < 100 * 1024


def test_the_command_says_so_when_a_chain_cannot_be_asked(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify.main([str(file), "--chain-db", str(tmp_path / "missing.db")]) == 1
    assert capsys.readouterr().err.split()[:2] == ["FAILED", "chain"]
    assert verify.main([str(file), "--rpc", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.startswith("FAILED")
    assert verify.main([str(tmp_path / "missing.json")]) == 1
    assert verify.main([str(file), "--key", "garbage"]) == 1


def test_a_reader_that_fails_is_not_taken_for_a_proof(receipt: Receipt) -> None:
    class Silent:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def refuse(*_: object) -> None:
                raise ChainError("silent")

            return refuse

    with pytest.raises(AnchorError):
        verify.verify_receipt(receipt, Pinned(), Silent())  # type: ignore[arg-type]
