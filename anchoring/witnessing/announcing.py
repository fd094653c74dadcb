"""Announcing: the log's state, signed and cosigned, is kept where everybody can read it.

The newest signed checkpoint is what is served, and it only ever grows.  No tile beyond it is served
either, so that how fast the log fills is not told between two checkpoints.

Record ``log-checkpoint``: the signed note, UTF-8.
"""

from dataclasses import dataclass
from datetime import datetime

from anchoring.log import checkpoint as note
from anchoring.log.checkpoint import Checkpoint, LogKey, LogSeeds
from anchoring.log.log import Log
from anchoring.receipts.receipt import Signatories
from anchoring.records import Records
from anchoring.witnessing.witnesses import Quorum, Witnesses, ask_nobody

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
    """Signs the states of one log, and has them cosigned."""

    def __init__(
        self, log: Log, seeds: LogSeeds, records: Records, witnesses: Witnesses | None = None
    ) -> None:
        """Keep the parts.

        Args:
            log: The log.
            seeds: Its name and keys.
            records: Where the newest state is durable.
            witnesses: Who cosigns; None for nobody.
        """
        self._log = log
        self._seeds = seeds
        self._records = records
        self._witnesses = witnesses or Witnesses(Quorum(), ask_nobody, records)
        self.keys: tuple[LogKey, ...] = seeds.public_keys()

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._seeds.origin

    @property
    def uncosigned(self) -> int:
        """How many witnesses did not cosign what this process announced last."""
        return self._witnesses.missing

    async def announce(self, size: int, now: datetime) -> Announced:
        """Sign the log's state at ``size`` events, have it cosigned, keep it for whoever asks.

        Args:
            size: Not below any that was anchored.
            now: Time of signing, UTC.

        Raises:
            MerkleError: The log never had so many events.
            HistoryError: It does not continue what was signed last: nothing is signed.
            NotCosignedError: Too few witnesses cosigned, and the policy is to wait.
        """
        last = await self.newest()
        if last is not None and last.checkpoint.size <= size:
            await self._log.require_past(last.checkpoint.size, last.checkpoint.root)
        state = Checkpoint(self.origin, size, await self._log.root(size))
        signed = note.sign(state, self._seeds, now)
        announced = Announced(state, await self._witnesses.cosign(self._log, state, signed, now))
        await self._records.change(_RECORD, lambda kept: self._newer(kept, announced))
        return announced

    async def newest(self) -> Announced | None:
        """Give what was signed last, by whatever process; None if nothing was."""
        return self._read(await self._records.find(_RECORD))

    async def signed_by(self, signed: str) -> Signatories:
        """Say who signed a note of this log, for a receipt.

        Raises:
            CheckpointError: A signature in it is wrong: it was changed where it was kept.
        """
        state, _ = note.parse(signed)
        witnesses = await self._witnesses.keys_of(state, signed)
        return Signatories(self.keys, witnesses, self._witnesses.needed)

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
