"""A witness: cosigns one history of each log, durably, and keeps what shows two."""

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchoring.errors import (
    ConflictingCheckpointError,
    MalformedSubmissionError,
    StaleCheckpointError,
    UnknownLogError,
    UnsignedCheckpointError,
    WitnessRefusal,
)
from anchoring.log import checkpoint as note
from anchoring.log.checkpoint import Checkpoint, LogSeeds, WitnessSeeds, parse_vkey
from anchoring.log.merkle import EMPTY_ROOT, Tree, leaf_hash
from anchoring.witnessing.witness import MOST_BYTES, Witness, parse_submission, write_submission

from ..logs import MemoryRecords, commitments

LOG = LogSeeds("hospital.example/audit", b"\x02" * 32, b"\x03" * 32)
SEEDS = WitnessSeeds("clinic.example/witness", b"\x04" * 32, b"\x05" * 32)
TREE, FORK = Tree(), Tree()
TREE.extend(map(leaf_hash, commitments(100)))
FORK.extend(map(leaf_hash, commitments(100)[::-1]))


def witness(records: MemoryRecords | None = None) -> Witness:
    logs = {LOG.origin: LOG.public_keys()}
    return Witness(SEEDS, logs, MemoryRecords() if records is None else records)


def signed(size: int, tree: Tree = TREE, seeds: LogSeeds = LOG) -> str:
    at = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
    return note.sign(Checkpoint(seeds.origin, size, tree.root(size)), seeds, at)


def sent(old: int, size: int, tree: Tree = TREE) -> bytes:
    return write_submission(old, tree.consistency_path(old, size), signed(size, tree))


async def test_growth_that_is_proved_is_cosigned_with_both_keys(now: datetime) -> None:
    asked = witness()
    for old, size in ((0, 0), (0, 7), (7, 7), (7, 64), (64, 100)):
        lines = await asked.add_checkpoint(sent(old, size), now)
        cosigned = signed(size) + lines
        assert note.verify(cosigned, [*LOG.public_keys(), *SEEDS.public_keys()]).size == size
        assert (await asked.witnessed())[0].size == size


async def test_what_was_cosigned_is_known_to_every_process_and_after_a_restart(
    now: datetime,
) -> None:
    records = MemoryRecords()
    await witness(records).add_checkpoint(sent(0, 50), now)
    with pytest.raises(StaleCheckpointError) as refused:
        await witness(records).add_checkpoint(sent(0, 60), now)
    assert (refused.value.status, refused.value.size) == (409, 50)
    assert await witness(records).add_checkpoint(sent(50, 60), now)


async def test_repeating_what_is_cosigned_writes_nothing_and_is_answered_the_same(
    now: datetime,
) -> None:
    """Anybody can repeat a public checkpoint: it must cost next to nothing."""

    class Counting(MemoryRecords):
        changes = 0

        async def change(self, name: str, changed: Callable[[bytes | None], bytes]) -> bytes:
            self.changes += 1
            return await super().change(name, changed)

    records = Counting()
    asked = witness(records)
    first = await asked.add_checkpoint(sent(0, 50), now)
    assert await asked.add_checkpoint(sent(50, 50), now + timedelta(seconds=4)) == first
    later = await asked.add_checkpoint(sent(50, 50), now + timedelta(seconds=6))
    assert later != first
    for refused in (sent(0, 50), sent(20, 60)):
        with pytest.raises(StaleCheckpointError):
            await asked.add_checkpoint(refused, now)
    assert records.changes == 1


async def test_it_is_durable_before_it_is_answered(now: datetime) -> None:
    class Full(MemoryRecords):
        async def change(self, name: str, changed: object) -> bytes:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        await witness(Full()).add_checkpoint(sent(0, 50), now)


async def test_a_rollback_or_a_repetition_from_an_older_size_is_stale(now: datetime) -> None:
    asked = witness()
    await asked.add_checkpoint(sent(0, 50), now)
    for body in (sent(0, 20), sent(20, 40), sent(0, 50), sent(49, 100)):
        with pytest.raises(StaleCheckpointError) as refused:
            await asked.add_checkpoint(body, now)
        assert refused.value.size == 50
    assert (await asked.witnessed())[0].conflicts == 0


async def test_a_fork_is_refused_and_both_notes_are_kept_as_evidence(now: datetime) -> None:
    records = MemoryRecords()
    asked = witness(records)
    await asked.add_checkpoint(sent(0, 50), now)
    with pytest.raises(ConflictingCheckpointError) as refused:
        await asked.add_checkpoint(sent(50, 90, FORK), now)
    assert refused.value.status == 422
    known = (await witness(records).witnessed())[0]
    assert (known.size, known.conflicts, len(known.first)) == (50, 1, 1)
    conflict = known.first[0]
    assert note.verify(conflict.kept, LOG.public_keys()).root == TREE.root(50)
    assert note.verify(conflict.refused, LOG.public_keys()).root == FORK.root(90)
    assert conflict.at == now.isoformat()
    assert asked.refused == 1
    assert await asked.add_checkpoint(sent(50, 60), now)  # the log goes on, if it repents


@pytest.mark.parametrize("old", [50, 20, 0])
async def test_two_roots_of_one_size_are_a_conflict_whatever_the_old_size(
    now: datetime, old: int
) -> None:
    asked = witness()
    await asked.add_checkpoint(sent(0, 50), now)
    with pytest.raises(ConflictingCheckpointError) as refused:
        await asked.add_checkpoint(sent(old, 50, FORK), now)
    assert (refused.value.status, refused.value.size) == (409, 50)
    assert (await asked.witnessed())[0].conflicts == 1


async def test_evidence_is_counted_on_but_kept_within_bounds(now: datetime) -> None:
    records = MemoryRecords()
    asked = witness(records)
    await asked.add_checkpoint(sent(0, 50), now)
    for size in range(51, 71):
        with pytest.raises(ConflictingCheckpointError):
            await asked.add_checkpoint(sent(50, size, FORK), now)
    known = (await asked.witnessed())[0]
    assert (known.conflicts, len(known.first)) == (20, 8)
    record = next(value for name, value in records.held.items() if "conflicts" in name)
    assert json.loads(record)["version"] == 1


async def test_wrong_proofs_are_refused(now: datetime) -> None:
    asked = witness()
    await asked.add_checkpoint(sent(0, 50), now)
    path = TREE.consistency_path(50, 90)
    for wrong in ([], path[:-1], [*path, bytes(32)], path[::-1], [bytes(32)] * len(path)):
        with pytest.raises(ConflictingCheckpointError) as refused:
            await asked.add_checkpoint(write_submission(50, wrong, signed(90)), now)
        assert refused.value.status == 422
    assert (await asked.witnessed())[0].size == 50


async def test_an_empty_tree_has_one_root_and_a_first_checkpoint_no_proof(now: datetime) -> None:
    asked = witness()
    wrong = note.sign(Checkpoint(LOG.origin, 0, bytes(32)), LOG, now)
    for body in (
        write_submission(0, [], wrong),
        write_submission(0, [bytes(32)], signed(0)),
        write_submission(0, [bytes(32)], signed(5)),
    ):
        with pytest.raises(ConflictingCheckpointError) as refused:
            await asked.add_checkpoint(body, now)
        assert refused.value.status == 422
    assert (await asked.witnessed())[0].conflicts == 0  # there was nothing to conflict with
    assert TREE.root(0) == EMPTY_ROOT


async def test_a_log_that_nobody_named_is_unknown(now: datetime) -> None:
    other = LogSeeds("other.example/audit", LOG.ed25519, LOG.mldsa44)
    with pytest.raises(UnknownLogError) as refused:
        await witness().add_checkpoint(write_submission(0, [], signed(5, seeds=other)), now)
    assert refused.value.status == 404


async def test_a_checkpoint_that_no_trusted_key_signed_is_refused(now: datetime) -> None:
    records = MemoryRecords()
    thief = LogSeeds(LOG.origin, b"\x08" * 32, b"\x09" * 32)
    tampered = signed(5).replace("\n5\n", "\n6\n")
    half = "\n".join([*signed(5).splitlines()[:5], signed(6).splitlines()[5], ""])
    for text in (signed(5, seeds=thief), tampered, half):
        with pytest.raises(UnsignedCheckpointError) as refused:
            await witness(records).add_checkpoint(write_submission(0, [], text), now)
        assert refused.value.status == 403
    assert records.held == {}


async def test_one_trusted_key_is_enough_and_strangers_are_ignored(now: datetime) -> None:
    lines = signed(5).splitlines(keepends=True)
    thief = LogSeeds(LOG.origin, b"\x08" * 32, b"\x09" * 32)
    stranger = signed(5, seeds=thief).splitlines(keepends=True)[4]
    records = MemoryRecords()
    body = write_submission(0, [], "".join([*lines[:5], stranger]))
    assert await witness(records).add_checkpoint(body, now)
    assert next(iter(records.held.values())).decode() == "".join(lines[:5])


async def test_an_old_size_beyond_the_checkpoint_is_malformed(now: datetime) -> None:
    asked = witness()
    await asked.add_checkpoint(sent(0, 50), now)
    with pytest.raises(MalformedSubmissionError):
        await asked.add_checkpoint(write_submission(50, [], signed(40)), now)


NOTE = signed(5)
HASH = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "body",
    [
        *("", "old 0", "old 0\n", "old 0\n\n", f"old 0\n{NOTE}", f"\n\n{NOTE}", f"0\n\n{NOTE}"),
        *(f"old 00\n\n{NOTE}", f"old -1\n\n{NOTE}", f"old +1\n\n{NOTE}", f"old 1 \n\n{NOTE}"),
        *(f"old {2**64}\n\n{NOTE}", f"old {'9' * 1000}\n\n{NOTE}", f"old ١\n\n{NOTE}"),
        *(f"Old 0\n\n{NOTE}", f"old  0\n\n{NOTE}", f"old 0\r\n\r\n{NOTE}", f"old 0x1\n\n{NOTE}"),
        f"old 0\n{HASH[:-1]}\n\n{NOTE}",
        f"old 0\n{HASH[:-2]}B=\n\n{NOTE}",  # bits behind the last byte
        f"old 0\n{HASH} \n\n{NOTE}",
        f"old 0\n{HASH.replace('A', '-')}\n\n{NOTE}",
        f"old 0\nAAAA\n\n{NOTE}",
        f"old 0\n{HASH}\n{'QUFB' * 100}\n\n{NOTE}",
        f"old 0\n{(HASH + chr(10)) * 64}\n{NOTE}",
        f"old 0\n{(HASH + chr(10)) * 65}\n{NOTE}",
        f"old 0\n\n{NOTE[:-1]}",
        f"old 0\n\n{NOTE.replace(chr(10) * 2, chr(10) + 'extension' + chr(10) * 2)}",
        f"old 0\n\n{NOTE}\x00",
        "old 0\n\n" + NOTE + "x" * MOST_BYTES,
    ],
)
def test_what_is_not_exactly_a_submission_is_malformed(body: str) -> None:
    with pytest.raises(MalformedSubmissionError):
        parse_submission(body.encode())


def test_bytes_that_are_no_text_are_malformed() -> None:
    with pytest.raises(MalformedSubmissionError):
        parse_submission(b"old 0\n\n\xff\xfe")


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_do_anything_but_read_or_refuse(body: bytes) -> None:
    with pytest.raises(MalformedSubmissionError):
        parse_submission(b"old 0\n\n" + body)


async def test_63_lines_of_proof_are_read(now: datetime) -> None:
    body = write_submission(3, [bytes(32)] * 63, NOTE)
    assert len(parse_submission(body).proof) == 63


async def test_of_racing_checkpoints_one_history_is_cosigned(now: datetime) -> None:
    """Race of C2SP tlog-witness: whatever the order, the size only grows and no fork gets in."""
    records = MemoryRecords()
    await witness(records).add_checkpoint(sent(0, 10), now)
    bodies = [sent(10, size, tree) for size in (20, 40, 30) for tree in (TREE, FORK)]
    bodies[1::2] = [sent(10, size, FORK) for size in (20, 40, 30)]

    async def ask(body: bytes) -> str:
        try:
            return await witness(records).add_checkpoint(body, now)
        except WitnessRefusal as refusal:
            return type(refusal).__name__

    answers = await asyncio.gather(*(ask(body) for body in bodies))
    assert sum("— " in answer for answer in answers) == 1
    assert (await witness(records).witnessed())[0].size == 20


# From the tests of litewitness (FiloSottile/torchwood, internal/witness/witness_test.go, TestRace): an Ed25519 log of an
# independent implementation, at sizes 1, 3 and 5.
SIGSUM = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
SIGSUM_KEY = bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f")
FIRST = f"""old 0

{SIGSUM}
1
KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

— {SIGSUM} UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=
"""
TO_3 = f"""old 1
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{SIGSUM}
3
RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=

— {SIGSUM} UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=
"""
TO_5 = f"""old 1
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=
KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{SIGSUM}
5
QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=

— {SIGSUM} UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=
"""


@pytest.mark.parametrize(("then", "size"), [(TO_3, 3), (TO_5, 5)])
async def test_the_checkpoints_of_another_implementation_are_cosigned(
    now: datetime, then: str, size: int
) -> None:
    key = note.LogKey(SIGSUM, note.ED25519_NOTE, SIGSUM_KEY)
    assert parse_vkey(key.vkey) == key
    asked = Witness(SEEDS, {SIGSUM: (key,)}, MemoryRecords())
    await asked.add_checkpoint(FIRST.encode(), now)
    assert await asked.add_checkpoint(then.encode(), now)
    assert (await asked.witnessed())[0].size == size
    with pytest.raises(StaleCheckpointError):
        await asked.add_checkpoint(TO_3.encode(), now)


# From the tests of litewitness (FiloSottile/torchwood, cmd/litewitness/testdata/mldsa.txt): key and first checkpoint of an
# ML-DSA-44 log of an independent implementation, which signs as its own cosigner at time 0, as ours does at its own time.
MLDSA44 = Path(__file__).resolve().parents[2] / "vectors" / "litewitness-mldsa44.txt"


async def test_the_mldsa44_checkpoint_of_another_implementation_is_cosigned(now: datetime) -> None:
    vkey, _, body = MLDSA44.read_text("utf-8").partition("\n")
    key = parse_vkey(vkey)
    assert key.type_ == note.MLDSA44_COSIGNATURE
    asked = Witness(SEEDS, {key.name: (key,)}, MemoryRecords())
    assert await asked.add_checkpoint(body.encode(), now)
    forged = body.replace("\n1\n", "\n2\n")
    with pytest.raises(UnsignedCheckpointError):
        await asked.add_checkpoint(forged.encode(), now)
