"""A unit of work, with the keys to seal what is written in it.

A record of one patient is sealed under that patient's key, one of no patient under its type's key.  A record of several
patients is sealed under a key of its own (32 random bytes), which is sealed for each of them in turn:
``wraps = (patient token (16) | key id (16) | sealed key (seal.py))...``; it opens while one of them is not erased.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import orjson

from fhir_server.crypto.seal import DataKey
from fhir_server.crypto.stream import chunks_of
from fhir_server.errors import KeyDestroyedError, TamperedRecordError
from fhir_server.store.protocol import SealedVersion, Selection, Unit
from fhir_server.store.shelf import Shelf, WrappedKey, changed
from fhir_server.vault.documents import Document
from fhir_server.vault.draft import Draft, Leaf
from fhir_server.vault.keyring import Fresh
from fhir_server.vault.padding import all_padding, padding, sharing
from fhir_server.vault.reader import Keys, Reader, patient_tokens
from fhir_server.vault.recording import seal_event

MakeTokens = Callable[[str, Mapping[str, object], Sequence[str]], frozenset[bytes]]
_CONSENT = "Consent"


class Writer(Reader):
    """A unit of work, with the keys to seal."""

    durable = False

    def __init__(self, unit: Unit, epoch: int, began: float, keys: Keys) -> None:
        super().__init__(unit, epoch, began, keys)
        self.unit = unit
        self._keys = keys
        self.fresh = Fresh()
        self.types: set[str] = set()  # of what was written

    async def prepare(self, type_: str) -> None:
        """Have the key at hand of what belongs to no patient."""
        await self._seal_key(type_, b"", {})

    @property
    def shelf(self) -> Shelf:
        """Records where they lie, to be changed in this unit."""
        return self.unit.shelf

    async def new_key(self, owner: bytes, at: int) -> None:
        """Make another key for an owner who has one, for what is sealed in later units.

        Raises:
            KeyDestroyedError: The owner was erased.
        """
        name = await self.name(owner)
        if not name:
            raise KeyDestroyedError("the patient was erased")
        await self._ring.make(owner, name, self.unit, at)

    async def destroy_key(self, key: WrappedKey) -> None:
        """Leave nothing of a data key but the proof that it was destroyed; then have the epoch counted on."""
        await self.keys.replace(self._ring.destroyed(key))

    async def bury(self, rids: Iterable[int]) -> None:
        """Leave nothing of these records but the proof that they were erased."""
        await self.shelf.bury({rid: self.proof_of(rid) for rid in rids})

    async def reseal(self, version: SealedVersion, owners: Sequence[bytes]) -> None:
        """Seal a version that is there anew, for these patients (tokens) only, under their newest keys.

        Raises:
            TamperedRecordError: It is not what was sealed for its place.
            KeyDestroyedError: It does not open, or one of the patients was erased.
        """
        content = await self.open(version)
        row = await self.audit_row(version.rid) if version.type_ == "AuditEvent" else None
        k = await self.open_commitment(version, row) if row else b""
        names = {token: await self.name(token) for token in sorted(owners)}
        if not all(names.values()):
            raise KeyDestroyedError("a patient of this record was erased")
        key, wraps = await self._seal_key(version.type_, version.row, names)
        anew = version._replace(key_id=key.id, patients=b"".join(names), wraps=wraps)
        where = self.place_of(anew)
        opening = key.seal(k, b"opening|" + where) if row else b""
        await self.unit.shelf.replace(anew._replace(sealed=key.seal(content, where)), opening)

    async def put(self, draft: Draft) -> SealedVersion:
        """Seal and write one version; the caller has decided that it follows ``previous``."""
        version, _, _ = await self._put(draft)
        return version

    async def put_audited(self, draft: Draft, leaf: Leaf) -> tuple[SealedVersion, int]:
        """Write an AuditEvent with its leaf; return it and its number in the log."""
        version, key, where = await self._put(draft)
        opening = key.seal(leaf.k, b"opening|" + where)
        return version, await self.unit.append_audit(version.rid, leaf.commitment, opening)

    async def record(self, events: Iterable[tuple[Draft, Leaf]]) -> Sequence[int]:
        """Write AuditEvents with their leaves, as ``put_audited`` does; return their numbers in the log."""
        return [await self._record(draft, leaf) for draft, leaf in events]

    async def _record(self, draft: Draft, leaf: Leaf) -> int:
        sealed = seal_event(draft, leaf, self._keys, self.epoch, self.fresh.keys)
        if sealed is None:
            _, number = await self.put_audited(draft, leaf)
            return number
        self.types.add(draft.type_)
        rid = await self.unit.put(sealed.version, sealed.tokens, ())
        return await self.unit.append_audit(rid, sealed.commitment, sealed.opening)

    async def attach(self, document: Document, version: SealedVersion) -> None:
        """Make a document that was staged one of the record whose version was just written.

        Raises:
            LostDocumentError: It was swept: nothing of it had come for too long.
        """
        await self.unit.attach(document.id, version.rid, chunks_of(document.size))

    async def index_events(self, start: int, stop: int, tokens: MakeTokens) -> int:
        """Index AuditEvents ``start`` to ``stop - 1`` anew; return how many there are.  Erased ones stay out."""
        rows = await self.unit.audit(start=start, stop=stop)
        for row in rows:
            first = (await self.history(row.rid))[-1]
            if first.buried:
                continue
            with suppress(KeyDestroyedError):
                value = orjson.loads(await self.open(first))
                made = tokens(first.type_, value, await self.patients(first))
                await self._index(first, made.union(padding(self.blind, first, len(made))))
        return len(rows)

    async def index_records(
        self, type_: str, after: int, limit: int, tokens: MakeTokens
    ) -> Sequence[int]:
        """Add tokens to the next ``limit`` current records of a type behind ``rid`` ``after``; return their ``rid``.

        What was erased is passed over.  What has a token already keeps it.
        """
        versions = await self.unit.select(Selection(type_, after=(0, after), limit=limit))
        for version in versions:
            with suppress(KeyDestroyedError):
                await self._index(version, await self._made(version, tokens))
        return [version.rid for version in versions]

    async def index_anew(
        self, type_: str, after: int, limit: int, tokens: MakeTokens
    ) -> tuple[Sequence[int], int]:
        """As ``index_records``, with all of a record's tokens, padded; also return how many did not open."""
        versions = await self.unit.select(Selection(type_, after=(0, after), limit=limit))
        broken = 0
        for version in versions:
            with suppress(KeyDestroyedError):
                try:
                    made = await self._made(version, tokens)
                except TamperedRecordError:
                    broken += 1
                    continue
                await self._index(version, made.union(padding(self.blind, version, len(made))))
        return [version.rid for version in versions], broken

    async def _made(self, version: SealedVersion, tokens: MakeTokens) -> frozenset[bytes]:
        value = orjson.loads(await self.open(version))
        patients = [p for p in await self.patients(version) if p]
        return tokens(version.type_, value, patients)

    async def _index(self, version: SealedVersion, tokens: frozenset[bytes]) -> None:
        await self.unit.index(version.type_, version.rid, sorted(tokens))

    async def _put(self, draft: Draft) -> tuple[SealedVersion, DataKey, bytes]:
        """Seal and write; return the version, its key and its place."""
        self.types.add(draft.type_)
        self.fresh.at = draft.at
        row = self.blind.row(draft.type_, draft.id_)
        owners = dict(sorted((self.blind.patient(p), p) for p in draft.patients))
        revive = draft.type_ != "AuditEvent"  # nobody comes back because somebody asked for them
        key, wraps = await self._seal_key(draft.type_, row, owners, revive=revive)
        rid = draft.previous.rid if draft.previous else 0
        head = (rid, row, draft.type_, draft.version, draft.at, not draft.text)
        version = SealedVersion(*head, key.id, b"".join(owners), wraps, b"")
        where = self.place_of(version)
        version = version._replace(sealed=key.seal(draft.text.encode(), where))
        add, drop = self._postings(draft, version)
        version = version._replace(rid=await self.unit.put(version, add, drop))
        if draft.type_ == _CONSENT:
            await self._enter(draft, row, owners)
        for consumer in self._keys.noted.get(draft.type_, ()):
            await self.notes.save(changed(consumer, draft.type_) + row.hex(), b"")
        return version, key, where

    def _postings(
        self, draft: Draft, version: SealedVersion
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """The tokens that a version brings into the index, and those that it takes out."""
        add, drop = list(draft.tokens - draft.dropped), list(draft.dropped - draft.tokens)
        previous = draft.previous
        before, after = sharing(previous), sharing(version)
        if previous is not None and before not in (None, after):
            drop += all_padding(self.blind, previous)
        if after not in (None, before):
            add += padding(self.blind, version, len(draft.tokens))
        return add, drop

    async def _enter(self, draft: Draft, row: bytes, owners: Iterable[bytes]) -> None:
        """Into the register with a Consent; out of it with one that was deleted."""
        former = patient_tokens(draft.previous) if draft.previous else ()
        belongs = owners if draft.text else ()
        await self._register.change(row, draft.version, belongs, [*former, *owners], self.notes)

    async def forget_consents(self, patient: bytes, gone: Iterable[SealedVersion]) -> None:
        """A patient, by token, is being erased, and these current Consents with her, whomever else they name."""
        for version in gone:
            named = patient_tokens(version)
            await self._register.change(version.row, version.version, (), named, self.notes)
        await self._register.clear(patient, self.notes)

    async def begin_register(self) -> None:
        """There is a register of Consents from now on."""
        await self._register.begin(self.notes)

    async def enter_stored(self, version: SealedVersion) -> None:
        """Enter a Consent that was written before there was a register."""
        owners = patient_tokens(version)
        await self._register.change(version.row, version.version, owners, (), self.notes)

    async def _seal_key(
        self, type_: str, row: bytes, owners: Mapping[bytes, str], *, revive: bool = True
    ) -> tuple[DataKey, bytes]:
        if not owners:
            owners = {self.blind.patient(f"type:{type_}"): f"type:{type_}"}
        keys = {
            token: await self._ring.for_owner(token, name, self.unit, self.epoch, self.fresh)
            for token, name in owners.items()
            if revive or await self._is_alive(token)
        }
        if len(keys) == 1:
            return next(iter(keys.values())), b""
        id_, secret = secrets.token_bytes(16), secrets.token_bytes(32)
        wraps = [token + outer.id + outer.seal(secret, id_ + row) for token, outer in keys.items()]
        return DataKey(id_, secret), b"".join(wraps)

    async def _is_alive(self, owner: bytes) -> bool:
        """Whether an owner was not erased; for one that never was there is no key to have been destroyed.

        Raises:
            KeyDestroyedError: It was.
        """
        if owner in self.fresh.keys or await self.name(owner):
            return True
        if await self.unit.key(owner=owner) is not None:
            raise KeyDestroyedError("the patient was erased")
        return True

    async def _key(self, version: SealedVersion) -> DataKey:
        fresh = next((k for k in self.fresh.keys.values() if k.id == version.key_id), None)
        return fresh or await super()._key(version)
