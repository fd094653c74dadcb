"""The witness: cosigns other institutions' checkpoints, each proved to continue the last.

Implements C2SP tlog-witness, ``add-checkpoint``.  What was cosigned last is durable before a
cosignature leaves, and is compared and replaced in one step among all processes, so that no two of
them can be led to cosign two histories.  Narrower than C2SP: checkpoints with extension lines are
refused as malformed.

Record ``witnessed|<log id>``: the note cosigned last, with the signatures of trusted keys only.
Record ``witness-conflicts|<log id>``: JSON with ``version`` (1), ``count`` of all refused, and
``first``, the first eight: ``at``, ``kept`` and ``refused`` (notes), ``proof`` (base64).
"""

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from anchoring.errors import (
    CheckpointError,
    ConflictingCheckpointError,
    ConsistencyError,
    MalformedSubmissionError,
    StaleCheckpointError,
    UnknownLogError,
    UnsignedCheckpointError,
)
from anchoring.log import checkpoint as note
from anchoring.log import merkle
from anchoring.log.checkpoint import Checkpoint, LogKey, WitnessSeeds
from anchoring.log.merkle import EMPTY_ROOT, HASH_BYTES
from anchoring.records import Records

MOST_PROOF_LINES = 63
MOST_BYTES = 128 * 1024  # the log's signatures, and cosignatures of 32 others at most
_OLD = re.compile(r"old (0|[1-9][0-9]{0,19})")
_MOST_KEPT = 8
_MOMENT = timedelta(seconds=5)

Logs = Mapping[str, tuple[LogKey, ...]]  # by origin, the keys of which one must have signed


@dataclass(frozen=True, slots=True)
class Submission:
    """What a log sends to be cosigned; nothing is verified.

    Attributes:
        old: Size that the proof begins at.
        proof: Consistency proof.
        note: The signed note.
        state: What it says.
    """

    old: int
    proof: tuple[bytes, ...]
    note: str
    state: Checkpoint


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two notes that one log signed, of which neither continues the other as far as was proved.

    Attributes:
        at: When the second was refused, UTC, as ISO 8601.
        kept: The note that was cosigned.
        refused: The note that was not.
    """

    at: str
    kept: str
    refused: str


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a witness knows of one log.

    Attributes:
        origin: The log's name.
        size: Leaves that were cosigned last; 0 for none.
        conflicts: How many checkpoints were refused as not continuing it.
        first: The first of them.
    """

    origin: str
    size: int
    conflicts: int
    first: tuple[Conflict, ...]


class Witness:
    """Cosigns the checkpoints of the logs that its operator names."""

    def __init__(self, seeds: WitnessSeeds, logs: Logs, records: Records) -> None:
        """Keep the parts."""
        self._seeds = seeds
        self._logs = logs
        self._records = records
        self.refused = 0  # as another history, by this process
        self._last: dict[str, tuple[datetime, Checkpoint, str]] = {}
        self.keys: tuple[LogKey, ...] = seeds.public_keys()

    @property
    def logs(self) -> tuple[str, ...]:
        """The names of the logs that are looked after."""
        return tuple(sorted(self._logs))

    async def add_checkpoint(self, body: bytes, now: datetime) -> str:
        """Cosign a checkpoint; the signature lines that are to be answered with 200.

        Args:
            body: What was sent, at most 128 KiB.
            now: UTC.

        Raises:
            WitnessRefusal: A subclass with the status to answer.
        """
        sent = parse_submission(body)
        trusted = self._require_signed(sent)
        if sent.old > sent.state.size:
            raise MalformedSubmissionError("the old size is larger than the checkpoint's")
        proved, place = note.only(sent.note, trusted), _place(sent.state.origin)
        try:
            kept = await self._records.find(place)
            if _advanced(kept, sent, proved) is not kept:  # else it is durable already
                await self._records.change(place, lambda last: _advanced(last, sent, proved))
        except ConflictingCheckpointError as error:
            self.refused += 1
            if error.kept:
                await self._keep(Conflict(now.isoformat(), error.kept, proved), sent)
            raise
        return await self._cosigned(sent.state, now)

    async def witnessed(self) -> tuple[Witnessed, ...]:
        """Tell what is known of each log."""
        return tuple([await self._told(origin) for origin in self.logs])

    async def _cosigned(self, state: Checkpoint, now: datetime) -> str:
        """Give cosignatures, those of a moment ago for the same state: whoever repeats it costs nothing."""
        last = self._last.get(state.origin)
        if last is not None and last[1] == state and abs(now - last[0]) < _MOMENT:
            return last[2]
        lines = await asyncio.to_thread(note.cosign, state, self._seeds, now)
        self._last[state.origin] = (now, state, lines)
        return lines

    def _require_signed(self, sent: Submission) -> tuple[LogKey, ...]:
        """Give the trusted keys that signed."""
        keys = self._logs.get(sent.state.origin)
        if keys is None:
            raise UnknownLogError("no log of this name is looked after here")
        try:
            signed = note.signers(sent.note, keys)
        except CheckpointError as error:
            raise UnsignedCheckpointError("a signature by a trusted key is wrong") from error
        if not signed:
            raise UnsignedCheckpointError("no trusted key signed the checkpoint")
        return signed

    async def _keep(self, conflict: Conflict, sent: Submission) -> None:
        entry = {
            "at": conflict.at,
            "kept": conflict.kept,
            "refused": conflict.refused,
            "proof": [base64.b64encode(node).decode() for node in sent.proof],
        }
        await self._records.change(
            _conflicts(sent.state.origin), lambda record: _with_conflict(record, entry)
        )

    async def _told(self, origin: str) -> Witnessed:
        kept = _read_kept(await self._records.find(_place(origin)))
        found = json.loads(await self._records.find(_conflicts(origin)) or b'{"count":0}')
        first = [Conflict(c["at"], c["kept"], c["refused"]) for c in found.get("first", ())]
        return Witnessed(origin, kept[1].size if kept else 0, found["count"], tuple(first))


def parse_submission(body: bytes) -> Submission:
    """Read what a log sends: old size, proof, blank line, signed note.

    Raises:
        MalformedSubmissionError: It is not exactly that, too large, or more than 63 proof lines.
    """
    if len(body) > MOST_BYTES:
        raise MalformedSubmissionError("more than any checkpoint with its proof takes")
    try:
        head, blank, signed = body.decode().partition("\n\n")
        first, *lines = head.split("\n")
        old = _OLD.fullmatch(first)
        if not blank or old is None or int(old[1]) > note.MAX_SIZE:
            raise MalformedSubmissionError("not an old size, a proof, a blank line and a note")
        if len(lines) > MOST_PROOF_LINES:
            raise MalformedSubmissionError(f"a proof has at most {MOST_PROOF_LINES} lines")
        proof = tuple(note.decode_base64(line) for line in lines)
        state, _ = note.parse(signed)
    except (UnicodeDecodeError, CheckpointError) as error:
        raise MalformedSubmissionError("the proof or the note is malformed") from error
    if any(len(node) != HASH_BYTES for node in proof):
        raise MalformedSubmissionError("a line of the proof is no hash")
    return Submission(int(old[1]), proof, signed, state)


def write_submission(old: int, proof: list[bytes], signed: str) -> bytes:
    """Write what ``parse_submission`` reads."""
    lines = [f"old {old}", *(base64.b64encode(node).decode() for node in proof)]
    return ("\n".join(lines) + "\n\n" + signed).encode()


def _advanced(record: bytes | None, sent: Submission, proved: str) -> bytes:
    """Give the record of a checkpoint that continues the one on record; the same one if nothing is new."""
    kept = _read_kept(record)
    text, last = kept or ("", Checkpoint(sent.state.origin, 0, EMPTY_ROOT))
    state = sent.state
    if state.size == last.size and state.root != last.root and kept:
        raise ConflictingCheckpointError("two roots for one size", text, last.size, status=409)
    if sent.old != last.size:
        raise StaleCheckpointError(last.size)
    if state.size == 0 and state.root != EMPTY_ROOT:
        raise ConflictingCheckpointError("an empty tree has another root", text, last.size)
    try:
        merkle.verify_consistency(sent.old, state.size, sent.proof, last.root, state.root)
    except ConsistencyError as error:
        raise ConflictingCheckpointError(str(error), text, last.size) from error
    return record if record and state == last else proved.encode()


def _read_kept(record: bytes | None) -> tuple[str, Checkpoint] | None:
    if record is None:
        return None
    text = record.decode()
    return text, note.parse(text)[0]


def _with_conflict(record: bytes | None, entry: Mapping[str, object]) -> bytes:
    found = json.loads(record or b'{"first": [], "count": 0}')
    first = [*found["first"], entry][:_MOST_KEPT]
    return json.dumps({"version": 1, "count": found["count"] + 1, "first": first}).encode()


def _place(origin: str) -> str:
    return f"witnessed|{note.log_id(origin).hex()}"


def _conflicts(origin: str) -> str:
    return f"witness-conflicts|{note.log_id(origin).hex()}"
