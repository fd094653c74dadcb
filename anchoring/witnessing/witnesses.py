"""The witnesses of our own log: asked to cosign each checkpoint before it is announced.

The client's side of C2SP tlog-witness, ``add-checkpoint``.  All are asked at once, each for a few
seconds at most; what they answer counts only once its signatures verify.  A witness that has
cosigned more than this log has is told loudly: the log was rolled back, or somebody forked it.

Record ``witness-size|<log id>|<witness>``: the size that a witness cosigned last, decimal.
Record ``witness-keys|<log id>``: verifier keys of all that ever cosigned, one a line.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from anchoring.errors import CheckpointError, NotCosignedError, WitnessSilentError
from anchoring.log import checkpoint as note
from anchoring.log.checkpoint import Checkpoint, LogKey
from anchoring.log.log import Log
from anchoring.records import Records
from anchoring.witnessing.witness import write_submission

MOST_WITNESSES = 15  # with two signatures each and the log's two: what a note may have
MOST_BYTES = 128 * 1024  # of an answer
_SECONDS = 5.0  # for one witness, all in all
_LONGEST = timedelta(seconds=60)  # between two rounds that did not reach the quorum
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,19})\n?")
_SIZE_TYPE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class WitnessAt:
    """A witness and where it is asked.

    Attributes:
        url: Its submission prefix, such as ``https://clinic.example/log``.
        keys: Its verifier keys, all under its name.
    """

    url: str
    keys: tuple[LogKey, ...]

    @property
    def name(self) -> str:
        """Its name."""
        return self.keys[0].name


@dataclass(frozen=True, slots=True)
class Quorum:
    """Who is asked, and how many must cosign.

    Attributes:
        witnesses: Who is asked.
        needed: How many of them.
        waits: Whether nothing is announced or anchored with fewer; else it is, and says so.
    """

    witnesses: tuple[WitnessAt, ...] = ()
    needed: int = 0
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a witness answered."""

    status: int
    media_type: str
    body: bytes


class Post(Protocol):
    """The way to a witness."""

    async def __call__(self, url: str, body: bytes) -> Reply:
        """Send a POST request.

        Raises:
            WitnessSilentError: No answer, or one larger than 128 KiB.
        """
        ...


Tell = Callable[[str, str], None]  # of a witness by name, a few words about what came of it


class Witnesses:
    """The witnesses of one log."""

    def __init__(
        self, quorum: Quorum, post: Post, records: Records, tell: Tell | None = None
    ) -> None:
        """Keep the parts; ``tell`` is called for each witness that did not cosign."""
        self._quorum = quorum
        self._post = post
        self._records = records
        self._tell = tell or _tell_nobody
        self.missing = 0  # that did not cosign in the last round
        self._failures = 0
        self._not_before: datetime | None = None

    @property
    def needed(self) -> int:
        """How many must cosign."""
        return self._quorum.needed

    async def cosign(self, log: Log, state: Checkpoint, signed: str, now: datetime) -> str:
        """Give the note with the cosignatures of all that cosigned it.

        Args:
            log: Our log, which gives the proofs.
            state: Its state.
            signed: The note that our log signed.
            now: UTC; the first of a series of rounds without a quorum decides when the next is.

        Raises:
            NotCosignedError: Fewer cosigned than are needed, and the policy is to wait.  The same
                call again asks nobody before a while has gone by.
        """
        if self._not_before is not None and now < self._not_before:
            raise NotCosignedError("the witnesses will be asked again in a moment")
        asked = self._quorum.witnesses
        lines = await asyncio.gather(*(self._asked(each, log, state, signed) for each in asked))
        cosigned = sum(1 for each in lines if each)
        self.missing = len(lines) - cosigned
        if cosigned < self._quorum.needed and self._quorum.waits:
            self._failures += 1
            self._not_before = now + min(_LONGEST, timedelta(seconds=2**self._failures))
            raise NotCosignedError(f"{cosigned} witnesses cosigned, {self._quorum.needed} must")
        self._failures, self._not_before = 0, None
        return signed + "".join(lines)

    async def keys_of(self, state: Checkpoint, signed: str) -> tuple[LogKey, ...]:
        """Give the keys of the witnesses whose cosignatures a note of ours has, and verify them.

        Raises:
            CheckpointError: One of them is wrong: the note was changed where it was kept.
        """
        known = await self._records.find(_known(state.origin)) or b""
        keys = [note.parse_vkey(line) for line in known.decode().splitlines()]
        return note.signers(signed, keys)

    async def _asked(self, witness: WitnessAt, log: Log, state: Checkpoint, signed: str) -> str:
        """Give the signature lines of one witness; none if it did not cosign."""
        try:
            async with asyncio.timeout(_SECONDS):
                lines, keys = await self._cosigned(witness, log, state, signed)
        except TimeoutError:
            self._tell(witness.name, "silent")
        except WitnessSilentError as error:
            self._tell(witness.name, str(error))
        else:
            await self._remember(witness, state, keys)
            return lines
        return ""

    async def _cosigned(
        self, witness: WitnessAt, log: Log, state: Checkpoint, signed: str
    ) -> tuple[str, tuple[LogKey, ...]]:
        place = _size_of(state.origin, witness.name)
        old = int(await self._records.find(place) or b"0")
        reply = await self._sent(witness, log, state, min(old, state.size), signed)
        told = _told_size(reply)
        if told is not None and told <= state.size:  # it has cosigned another than we know of
            reply = await self._sent(witness, log, state, told, signed)
            told = _told_size(reply)
        if told is not None and told > state.size:
            raise WitnessSilentError("ahead: it has cosigned more events than this log has")
        if reply.status != 200:
            raise WitnessSilentError(f"refused: {reply.status}")
        return _verified(reply.body, signed, witness.keys)

    async def _sent(
        self, witness: WitnessAt, log: Log, state: Checkpoint, old: int, signed: str
    ) -> Reply:
        proof = await log.consistency_path(old, state.size)
        body = write_submission(old, proof, signed)
        return await self._post(f"{witness.url}/add-checkpoint", body)

    async def _remember(
        self, witness: WitnessAt, state: Checkpoint, keys: Sequence[LogKey]
    ) -> None:
        place = _size_of(state.origin, witness.name)
        await self._records.change(place, lambda _: b"%d" % state.size)
        lines = [key.vkey for key in keys]
        known = (await self._records.find(_known(state.origin)) or b"").decode().splitlines()
        if not set(lines) <= set(known):
            await self._records.change(_known(state.origin), lambda kept: _with_lines(kept, lines))


async def ask_nobody(url: str, body: bytes) -> Reply:
    """A ``Post`` for who has no witnesses."""
    raise WitnessSilentError(f"nobody is asked ({len(body)} bytes for {url})")


def _verified(body: bytes, signed: str, keys: tuple[LogKey, ...]) -> tuple[str, tuple[LogKey, ...]]:
    """Give the lines by these keys, and the keys; strangers' lines are dropped."""
    try:
        candidate = signed + body.decode()
        found = note.signers(candidate, keys)
        lines = note.only(candidate, found).partition("\n\n")[2]
    except (UnicodeDecodeError, CheckpointError) as error:
        raise WitnessSilentError("rubbish: no cosignature that verifies") from error
    if not found:
        raise WitnessSilentError("rubbish: no cosignature by a key of its own")
    return lines, found


def _tell_nobody(name: str, words: str) -> None:
    """Nothing is told."""


def _told_size(reply: Reply) -> int | None:
    if reply.status != 409 or reply.media_type.partition(";")[0].strip() != _SIZE_TYPE:
        return None
    found = _SIZE.fullmatch(reply.body)
    return int(found[1]) if found else None


def _with_lines(kept: bytes | None, lines: Sequence[str]) -> bytes:
    known = (kept or b"").decode().splitlines()
    return "\n".join([*known, *(line for line in lines if line not in known)]).encode()


def _size_of(origin: str, name: str) -> str:
    return f"witness-size|{note.log_id(origin).hex()}|{note.log_id(name).hex()}"


def _known(origin: str) -> str:
    return f"witness-keys|{note.log_id(origin).hex()}"
