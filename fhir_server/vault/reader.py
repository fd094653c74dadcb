"""Reading sealed records: a snapshot, with the keys to open what it holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.seal import DataKey, place
from fhir_server.errors import KeyDestroyedError, TamperedRecordError
from fhir_server.store.protocol import (
    AuditRow,
    Changes,
    SealedVersion,
    Selection,
    Snapshot,
    WrappedKey,
)
from fhir_server.store.shelf import DESTROYED, KeyTable, Notes
from fhir_server.vault.keyring import KeyRing
from fhir_server.vault.register import ConsentRegister

TOKEN = 16
WRAP = (
    TOKEN + 16 + 1 + 12 + 256 + 16
)  # patient, key id; of the sealed key version, nonce, padded key, tag


@dataclass(frozen=True, slots=True)
class Keys:
    """What a vault opens its store with; ``noted``: of which types a note is left when they are written, and for whom."""

    ring: KeyRing
    blind: BlindIndex
    register: ConsentRegister
    tenant: str
    noted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def place_of(self, version: SealedVersion) -> bytes:
        """Tenant, type, row, version with time and deleted flag, patients, key: each with its length before it."""
        state = b"%d|%d|%d" % (version.version, version.at, version.deleted)
        tenant, type_ = self.tenant.encode(), version.type_.encode()
        return place((tenant, type_, version.row, state, version.patients, version.key_id))


class Reader:
    """A snapshot, with the keys to open what it holds."""

    durable = True  # what it shows will not be undone

    def __init__(self, snapshot: Snapshot, epoch: int, began: float, keys: Keys) -> None:
        self._snapshot = snapshot
        self.epoch = epoch
        self._began = began
        self._ring = keys.ring
        self._register = keys.register
        self.place_of = keys.place_of
        blind = keys.blind
        self._names: dict[bytes, tuple[str, ...]] = {}
        self.blind = blind

    @property
    def keys(self) -> KeyTable:
        """The data keys; changed in a unit of work only."""
        return self._snapshot.keys

    @property
    def notes(self) -> Notes:
        """What jobs keep; changed in a unit of work only."""
        return self._snapshot.notes

    async def find(self, type_: str, id_: str, version: int | None = None) -> SealedVersion | None:
        """The current version of a resource (a tombstone too), or the named one; sealed."""
        return await self._snapshot.find(self.blind.row(type_, id_), version)

    async def history(self, rid: int) -> Sequence[SealedVersion]:
        """All versions of a record, newest first; sealed."""
        return await self._snapshot.history(Changes(rid=rid))

    async def changes(self, changes: Changes) -> Sequence[SealedVersion]:
        """Versions of a record or type, newest first; sealed."""
        return await self._snapshot.history(changes)

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """The records that match a selection; sealed."""
        return await self._snapshot.select(selection)

    async def consent_note(self, patient: bytes) -> bytes:
        """What stands for the Consents of a patient, by token: the same for the same Consents (``register.py``)."""
        return await self._register.note(patient, self._snapshot.notes)

    async def consent_notes(self, patients: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """The same for several patients, asked for at once."""
        return await self._register.notes(patients, self._snapshot.notes)

    async def consents(self, patient: bytes, note: bytes) -> Sequence[SealedVersion]:
        """The current Consents of a patient, proved by the note; sealed.

        Raises:
            TamperedRecordError: The note, or what the database holds in its place, is not what was written.
        """
        named = self._register.read(patient, note, self._began, durable=self.durable)
        found = [await self._snapshot.find(row) for row in named]
        if [v and v.version for v in found] != list(named.values()):
            raise TamperedRecordError("a Consent is missing, or an older version is called current")
        return sorted((v for v in found if v is not None), key=lambda v: v.rid)

    async def open(self, version: SealedVersion) -> bytes:
        """Open one version.  Only ``pipeline/gate.py`` calls this for a caller, after consent.

        Raises:
            TamperedRecordError: It is not what was sealed for its place.
            KeyDestroyedError: All of its patients were erased.
        """
        if self.is_buried(version):
            raise KeyDestroyedError("it was erased")
        key = await self._key(version)
        return key.open(version.sealed, self.place_of(version))

    async def open_commitment(self, version: SealedVersion, row: AuditRow) -> bytes:
        """The 32 bytes that open an audit row's commitment to the AuditEvent ``version``."""
        key = await self._key(version)
        return key.open(row.opening, b"opening|" + self.place_of(version))

    async def audit_row(self, rid: int) -> AuditRow | None:
        """The audit row of an AuditEvent, or None if it is not in the log."""
        return next(iter(await self._snapshot.audit(rid=rid)), None)

    async def audit_rows(self, start: int, stop: int) -> Sequence[AuditRow]:
        """The audit rows ``start`` to ``stop - 1``."""
        return await self._snapshot.audit(start=start, stop=stop)

    async def patients(self, version: SealedVersion) -> tuple[str, ...]:
        """The references of the patients a record belongs to, told by their keys: the record stays closed.

        That of a patient who was erased is empty.

        Raises:
            TamperedRecordError: A patient has neither a key nor proof that it was destroyed.
        """
        if version.patients not in self._names:
            names = [await self._name_of(token) for token in patient_tokens(version)]
            self._names[version.patients] = tuple(names)
        return self._names[version.patients]

    async def _name_of(self, patient: bytes) -> str:
        """The reference of a patient who has records, and so a key."""
        name = await self.name(patient)
        if not name and await self._snapshot.key(owner=patient) is None:
            raise TamperedRecordError("a record names a patient whose key never was")
        return name

    async def name(self, patient: bytes) -> str:
        """The reference of a patient by its token; empty if it was erased, or nothing was ever kept of it."""
        return await self._ring.name(patient, self._snapshot, self.epoch)

    def keys_under(self, version: SealedVersion) -> Sequence[tuple[bytes, bytes]]:
        """The owners under whose keys a version is sealed, each with the id of that key."""
        if version.wraps:
            starts = range(0, len(version.wraps), WRAP)
            wraps = [version.wraps[at : at + 2 * TOKEN] for at in starts]
            return [(wrap[:TOKEN], wrap[TOKEN:]) for wrap in wraps]
        owner = version.patients or self.blind.patient(f"type:{version.type_}")
        return [(owner, version.key_id)]

    async def newest_key(self, owner: bytes) -> bytes:
        """The id of the newest key of an owner; empty if there is none, or it was destroyed."""
        return await self._ring.newest(owner, self._snapshot, self.epoch)

    def is_destroyed(self, key: WrappedKey) -> bool:
        """Whether there is proof that a stored key was destroyed."""
        return self._ring.is_destroyed(key)

    def is_buried(self, version: SealedVersion) -> bool:
        """Whether nothing is left of a version but the proof that it was erased.

        Raises:
            TamperedRecordError: Not even that is left.
        """
        if not version.buried:
            return False
        if version.sealed != self.proof_of(version.rid):
            raise TamperedRecordError("it was emptied, and not by an erasure")
        return True

    def proof_of(self, rid: int) -> bytes:
        """What is left in place of the seals of a record that is erased."""
        return DESTROYED + self.blind.buried(rid)

    async def is_erased(self, version: SealedVersion) -> bool:
        """Whether the key that sealed a version of one owner was destroyed.

        Raises:
            TamperedRecordError: There is no such key, or it was taken away.
        """
        try:
            await self._ring.by_id(version.key_id, self._snapshot, self.epoch)
        except KeyDestroyedError:
            return True
        return False

    async def _key(self, version: SealedVersion) -> DataKey:
        if not version.wraps:
            return await self._ring.by_id(version.key_id, self._snapshot, self.epoch)
        for at in range(0, len(version.wraps), WRAP):
            wrap = version.wraps[at : at + WRAP]
            try:
                key_id = wrap[TOKEN : 2 * TOKEN]
                outer = await self._ring.by_id(key_id, self._snapshot, self.epoch)
            except KeyDestroyedError:
                continue
            return DataKey(
                version.key_id, outer.open(wrap[2 * TOKEN :], version.key_id + version.row)
            )
        raise KeyDestroyedError("the data keys of all patients of this record were destroyed")


def patient_tokens(version: SealedVersion) -> list[bytes]:
    """The tokens of the patients a record belongs to."""
    return [version.patients[at : at + TOKEN] for at in range(0, len(version.patients), TOKEN)]
