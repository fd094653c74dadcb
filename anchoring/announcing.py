"""Announcing: the log's state, signed, is kept where everybody can read it.

The newest signed checkpoint is what is served, and it only ever grows.  No tile beyond it is served
either, so that how fast the log fills is not told between two checkpoints.

Record ``log-checkpoint``: the signed note, UTF-8.
"""

from dataclasses import dataclass
from datetime import datetime

from anchoring import checkpoint as note
from anchoring.checkpoint import Checkpoint, LogKey, LogSeeds
from anchoring.log import Log
from anchoring.records import Records

_RECORD = "log-checkpoint"


@dataclass(frozen=True, slots=True)
class Announced:
    """A state of the log that was signed.

    Attributes:
        checkpoint: The state.
        note: The signed note that says it.
    """

    checkpoint: Checkpoint
    note: str


class Announcer:
    """Signs the states of one log."""

    def __init__(self, log: Log, seeds: LogSeeds, records: Records) -> None:
        """Keep the parts."""
        self._log = log
        self._seeds = seeds
        self._records = records
        self.keys: tuple[LogKey, ...] = seeds.public_keys()

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._seeds.origin

    async def announce(self, size: int, now: datetime) -> Announced:
        """Sign the log's state at ``size`` events, and keep it for whoever asks.

        Args:
            size: Not below any that was anchored.
            now: Time of signing, UTC.

        Raises:
            MerkleError: The log never had so many events.
        """
        state = Checkpoint(self.origin, size, await self._log.root(size))
        announced = Announced(state, note.sign(state, self._seeds, now))
        await self._records.change(_RECORD, lambda kept: self._newer(kept, announced))
        return announced

    async def newest(self) -> Announced | None:
        """Give what was signed last, by whatever process; None if nothing was."""
        return self._read(await self._records.find(_RECORD))

    def _newer(self, record: bytes | None, announced: Announced) -> bytes:
        kept = self._read(record)
        larger = kept is not None and kept.checkpoint.size > announced.checkpoint.size
        return record if larger and record else announced.note.encode()

    def _read(self, record: bytes | None) -> Announced | None:
        """Read a record; one of a former name of this log is none."""
        if record is None:
            return None
        text = record.decode()
        state, _ = note.parse(text)
        return Announced(state, text) if state.origin == self.origin else None
