"""Resealing: an owner gets a new data key, what the former ones sealed is sealed anew, then they are destroyed.

1. In units of work each owner gets a new key, and the epoch is counted on: whatever is written from then on, by any process,
   is sealed under it.
2. All versions are walked through, old ones and AuditEvents with their openings too; those under a former key are sealed
   anew, each in the transaction that also writes how far the walk has come.  Readers find the one seal or the other.
3. When the walk is through, the former keys are destroyed.  A version that does not open keeps them.

The note ``reseal`` makes it go on where it was killed.  It is JSON: ``owner``, hexadecimal, or empty for all; ``at``, when
it began, ms; ``low``, the last record walked through; ``kept``, versions that did not open.  Large documents are not written
again: the key of each stands in the text that is.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import orjson

from fhir_server.errors import IntegrityError, WrongKeyError
from fhir_server.store.protocol import SealedVersion
from fhir_server.store.shelf import Notes, Stretch
from fhir_server.vault.noted import as_written, owner_of
from fhir_server.vault.vault import Vault, Writer, patient_tokens

_NOTE = "reseal"
_BROKEN = (IntegrityError, WrongKeyError)  # a record, or a wrapped key, is not what was sealed
_KEYS = 16  # made, or destroyed, in a unit of work
_PAGE = 500
_RECORDS = 64  # walked through in a unit of work


@dataclass(frozen=True, slots=True)
class Resealing:
    """How far a job is.

    Attributes:
        owner: Token of the owner, hexadecimal; empty for all.
        at: When it began, milliseconds since 1970 UTC.
        low: The last record that was walked through; -1 while keys are being made.
        kept: Versions that did not open.
    """

    owner: str
    at: int
    low: int = -1
    kept: int = 0

    def pack(self) -> bytes:
        """As it is kept."""
        return orjson.dumps(
            {"owner": self.owner, "at": self.at, "low": self.low, "kept": self.kept}
        )


async def resealing_of(notes: Notes) -> Resealing | None:
    """The job that is under way."""
    found = (await notes.load(_NOTE)).get("")
    with as_written("the note of a resealing"):
        return Resealing(**orjson.loads(found)) if found else None


class Resealer:
    """Reseals; one job at a time in a database."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def begin(self, owner: bytes | None, now: int) -> Resealing:
        """Note a job for one owner, or for all (None); the one that is under way, if there is one."""
        async with self._vault.writing() as writer:
            job = await resealing_of(writer.notes)
            if job is None:
                job = Resealing(owner.hex() if owner else "", now)
                await writer.notes.save(_NOTE, job.pack())
        return job

    async def run(self, job: Resealing, progress: Callable[[int, int], None]) -> Resealing:
        """Bring a job to its end; what it says then.

        Args:
            progress: Told the last record walked through, and the last there is.
        """
        if job.low < 0:
            await self._make_keys(job)
            job = replace(job, low=0)
        last = job.low + 1
        while job.low < last:
            job, last = await self._step(job)
            progress(min(job.low, last), last)
        await self._end(job)
        return job

    async def _make_keys(self, job: Resealing) -> None:
        """Give each owner a new key who has none that was made by this job."""
        async for owners in self._owners(job):
            for at in range(0, len(owners), _KEYS):
                async with self._vault.writing() as writer:
                    for owner in owners[at : at + _KEYS]:
                        newest = (await writer.keys.of(owner))[-1]
                        if newest.living and newest.made < job.at:
                            with suppress(*_BROKEN):  # it keeps its key
                                await writer.new_key(owner, job.at)
                    await writer.keys.advance()

    async def _step(self, job: Resealing) -> tuple[Resealing, int]:
        """Walk through some records; return how far that is, and the last record there is."""
        async with self._vault.writing() as writer:
            last = await writer.shelf.last()
            stretch = Stretch(job.low, job.low + _RECORDS, everything=True)
            kept = 0
            for version in await writer.shelf.walk(stretch):
                kept += not await self._sealed_anew(writer, version, job)
            done = replace(job, low=job.low + _RECORDS, kept=job.kept + kept)
            await writer.notes.save(_NOTE, done.pack())
        return done, last

    async def _sealed_anew(self, writer: Writer, version: SealedVersion, job: Resealing) -> bool:
        """Whether a version needs no former key now; what is erased needs none."""
        try:
            if version.buried or not await self._concerns(writer, version, job):
                return True
            living = [t for t in patient_tokens(version) if await writer.name(t)]
            if living or not version.patients:
                await writer.reseal(version, living)
        except _BROKEN:
            return False
        return True

    async def _concerns(self, writer: Writer, version: SealedVersion, job: Resealing) -> bool:
        """Whether a version is under a former key of an owner of the job."""
        for owner, id_ in writer.keys_under(version):
            if job.owner in ("", owner.hex()) and await writer.newest_key(owner) not in (id_, b""):
                return True
        return False

    async def _end(self, job: Resealing) -> None:
        """Destroy the former keys, unless something needs them still."""
        if not job.kept:
            async for owners in self._owners(job):
                for at in range(0, len(owners), _KEYS):
                    async with self._vault.writing() as writer:
                        for owner in owners[at : at + _KEYS]:
                            await _destroy_former(writer, owner, job)
                        await writer.keys.advance()
        async with self._vault.writing() as writer:
            await writer.notes.drop(_NOTE)

    async def _owners(self, job: Resealing) -> AsyncIterator[Sequence[bytes]]:
        """The owners that a job is about, page by page."""
        if job.owner:
            yield [owner_of(job.owner)]
            return
        last = b""
        while True:
            async with self._vault.reading() as reader:
                page = await reader.keys.after(last, _PAGE)
            if not page:
                return
            yield list(dict.fromkeys(key.owner for key in page))
            last = page[-1].id


async def _destroy_former(writer: Writer, owner: bytes, job: Resealing) -> None:
    """Destroy all keys of an owner but the newest, if this job has made that one."""
    *former, newest = await writer.keys.of(owner)
    if not newest.living or newest.made < job.at:
        return
    for key in former:
        if key.living:
            await writer.destroy_key(key)
