"""The register of Consents: which Consents a patient has now, proved without the index.

A token cut out of the index, a record set back to an older version or a row put back from yesterday must not make a Consent
disappear, or a revoked one hold again.  So the Consents that decide are named by a note for each patient, authenticated
by a key that the database does not have.

Note of a patient: ``version (1 byte, 0x01) | times changed (8) | chance (8) | (row key (16) | version (4))... |
HMAC-SHA-256 (32)``.  It is changed in the unit of work that writes the Consent; chance tells apart what was written twice
because a unit was undone.  The root, a note of its own, holds the number of notes and the sum of their changes: at the
start all notes are compared with it, and from then on this process remembers how often each was changed.  Numbers are
big-endian.  What is left: who puts back notes, root and Consents of one and the same moment while no server runs;
``consentry check`` finds that in the audit log.
"""

import hmac
import secrets
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_server.crypto.blind import BlindIndex
from fhir_server.errors import TamperedRecordError
from fhir_server.store.shelf import Notes
from fhir_server.vault.noted import owner_of

NOTE = "consents|"
_ROOT = "consents"
_VERSION = b"\x01"
_HEAD = struct.Struct(">cQ8s")
_CHANCE = 8
_ENTRY = struct.Struct(">16sI")
_SUM = struct.Struct(">QQ")
_MAC = 32


@dataclass(frozen=True, slots=True)
class _Seen:
    """How often a patient's note was changed when it was last read, and when that was (monotonic seconds)."""

    changes: int
    at: float


class ConsentRegister:
    """The register of one database, as one process has seen it."""

    def __init__(self, blind: BlindIndex) -> None:
        self._blind = blind
        self._seen: dict[bytes, _Seen] = {}

    async def note(self, patient: bytes, notes: Notes) -> bytes:
        """The note of a patient, by token, unchecked: equal notes name the same Consents; empty for none."""
        return await notes.find(_name(patient)) or b""

    async def notes(self, patients: Iterable[bytes], notes: Notes) -> dict[bytes, bytes]:
        """The notes of several patients, asked for at once: see ``note``."""
        names = {patient: _name(patient) for patient in patients}
        found = await notes.find_all(names.values())
        return {patient: found.get(name, b"") for patient, name in names.items()}

    def read(
        self, patient: bytes, note: bytes, began: float, *, durable: bool
    ) -> Mapping[bytes, int]:
        """The patient's current Consents: row keys and versions.

        Args:
            began: When the snapshot was asked for, monotonic seconds.
            durable: Whether it is of a snapshot, and not of a unit of work that may still be undone.

        Raises:
            TamperedRecordError: The note is not what was written, or is older than one that was seen before.
        """
        changes, entries = self._opened(patient, note)
        seen = self._seen.get(patient)
        if seen is not None and changes < seen.changes and began > seen.at:
            raise TamperedRecordError("a patient's register of Consents was put back")
        if durable and changes and (seen is None or changes > seen.changes):
            self._seen[patient] = _Seen(changes, time.monotonic())
        return entries

    async def change(
        self,
        row: bytes,
        version: int,
        patients: Iterable[bytes],
        former: Iterable[bytes],
        notes: Notes,
    ) -> None:
        """A Consent was written: for ``patients`` this version is the current one, for the others of ``former`` none is."""
        belongs = set(patients)
        for patient in sorted(belongs | set(former)):
            note = await self.note(patient, notes)
            changes, entries = self._opened(patient, note)
            entries.pop(row, None)
            if patient in belongs:
                entries[row] = version
            await notes.save(_name(patient), self._closed(patient, changes + 1, entries))
            await self._count(notes, 0 if note else 1, 1)

    async def clear(self, patient: bytes, notes: Notes) -> None:
        """The patient is erased, and her Consents with her; her note stays, and names none."""
        note = await self.note(patient, notes)
        changes, entries = self._opened(patient, note)
        if entries:
            await notes.save(_name(patient), self._closed(patient, changes + 1, {}))
            await self._count(notes, 0, 1)

    async def begin(self, notes: Notes) -> None:
        """There is a register from now on, even if it is empty."""
        await self._count(notes, 0, 0)

    async def open(self, notes: Notes) -> None:
        """Compare all notes with the root, and remember them.

        Raises:
            TamperedRecordError: A note is missing, altered or older than the root says.
        """
        found = {owner_of(k): v for k, v in (await notes.load(NOTE)).items()}
        changes = {patient: self._opened(patient, note)[0] for patient, note in found.items()}
        if await notes.find(_ROOT) is None or await self._root(notes) != (
            len(changes),
            sum(changes.values()),
        ):
            raise TamperedRecordError(
                "the register of Consents is not what was written: put back the database as it was; nobody is served"
            )
        now = time.monotonic()
        self._seen = {patient: _Seen(number, now) for patient, number in changes.items()}

    async def _count(self, notes: Notes, patients: int, changes: int) -> None:
        before = await self._root(notes)
        content = _VERSION + _SUM.pack(before[0] + patients, before[1] + changes)
        await notes.save(_ROOT, content + self._blind.authenticate(content))

    async def _root(self, notes: Notes) -> tuple[int, int]:
        found = await notes.find(_ROOT)
        if found is None:
            return 0, 0
        content, mac = found[:-_MAC], found[-_MAC:]
        if not hmac.compare_digest(mac, self._blind.authenticate(content)):
            raise TamperedRecordError("the root of the register of Consents was altered")
        patients, changes = _SUM.unpack(content[1:])
        return patients, changes

    def _opened(self, patient: bytes, note: bytes) -> tuple[int, dict[bytes, int]]:
        if not note:
            return 0, {}
        content, mac = note[:-_MAC], note[-_MAC:]
        if not hmac.compare_digest(mac, self._blind.authenticate(content + patient)):
            raise TamperedRecordError("a patient's register of Consents was altered")
        _, changes, _ = _HEAD.unpack(content[: _HEAD.size])
        return changes, dict(_ENTRY.iter_unpack(content[_HEAD.size :]))

    def _closed(self, patient: bytes, changes: int, entries: Mapping[bytes, int]) -> bytes:
        listed = b"".join(_ENTRY.pack(row, entries[row]) for row in sorted(entries))
        content = _HEAD.pack(_VERSION, changes, secrets.token_bytes(_CHANCE)) + listed
        return content + self._blind.authenticate(content + patient)


def _name(patient: bytes) -> str:
    return NOTE + patient.hex()
