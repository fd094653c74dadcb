"""Erasing a patient, and doing so again to a database that was put back from before.

The order makes a crash harmless wherever it comes:

1. a note that she is being erased, durable;
2. the purge, in small units of work;
3. her keys into the list of erasures, which lies outside of the database, durable;
4. in one unit of work what was written since is purged, the keys are destroyed, the AuditEvent gets its leaf, and the note
   becomes one of an erasure that is done.

A server finishes what is noted before it serves anybody, and compares the database with the list: keys that should be
destroyed and are not (the database was put back) are erased in the same way.  What the database knows of erasures beside
the list is believed as far as their AuditEvents say it, because notes lie open in it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import orjson

from fhir_server.errors import IntegrityError, SettingsError, TamperedRecordError
from fhir_server.interactions.erasing.belonging import Belonging
from fhir_server.interactions.erasing.purging import Purge
from fhir_server.interactions.erasing.statement import (
    DONE,
    Erased,
    is_stated,
    statement,
    unpack,
)
from fhir_server.interactions.erasing.tally import BEGUN
from fhir_server.interactions.leaf import put_with_leaf
from fhir_server.search.tokens import Tokenizer
from fhir_server.store.protocol import SealedVersion, WrappedKey
from fhir_server.store.shelf import ANCHOR_WANTED, UNPROVED, Notes, Stretch
from fhir_server.vault.ledger import Ledger
from fhir_server.vault.noted import owner_of
from fhir_server.vault.vault import Reader, Vault

_STATE = "erasures"  # of the list of erasures, as this database knows it
_PAGE = 500
_AGAIN = "consentry: the list of erasures"
_LOG = logging.getLogger("consentry")


class UnknownPatientError(LookupError):
    """The server has never kept anything of this patient."""


@dataclass(frozen=True, slots=True)
class Maker:
    """What the AuditEvent of an erasure is made with: ids, random bytes, and who we are."""

    new_id: Callable[[], str]
    new_secret: Callable[[int], bytes]
    base: str
    custodian: str


class Erasures:
    """The erasures of one database; one at a time in a process."""

    def __init__(
        self, vault: Vault, ledger: Ledger, tokenizer: Tokenizer, types: Iterable[str], maker: Maker
    ) -> None:
        self._vault = vault
        self._ledger = ledger
        self._tokenizer = tokenizer
        self._types = tuple(types)
        self._maker = maker
        self._turn = asyncio.Lock()

    async def erase(self, patient: str, by: str, now: int) -> Erased:
        """Erase a patient (``Patient/1``); of one who is erased already, and has not come back, give what was done then.

        Raises:
            UnknownPatientError: Nothing was ever kept of her.
            SettingsError: The list of erasures can not be written; she is erased when it can.
        """
        owner = self._vault.blind.patient(patient)
        async with self._turn:
            return await self._erase(owner, by, now)

    async def resume(self, now: int) -> int:
        """Before anybody is served: finish what was begun, and erase again what was put back; return how many these are.

        Raises:
            SettingsError: The list of erasures is missing, or can not be used.
        """
        async with self._turn:
            owners = {*await self._begun(), *await self._put_back()}
            for owner in sorted(owners):
                await self._erase(owner, _AGAIN, now)
            if owners:
                _LOG.warning("erased again", extra={"patients": len(owners)})
            await self._remember(await self._whole_list())
            return len(owners)

    async def prove(self) -> None:
        """Before anything is opened: leave proof of what a former program erased, and left empty.

        Of keys on the list only, and of records that name them: whoever can write to the database can empty things, too.

        Raises:
            SettingsError: The list of erasures is missing, or can not be used.
        """
        async with self._vault.reading() as reader:
            if await are_proved(reader.notes):
                return
        found = {"keys": await self._prove_keys(), "records": await self._prove_records()}
        async with self._vault.writing() as writer:
            await writer.notes.drop(UNPROVED)
        _LOG.warning("what a former program erased has its proof now", extra=found)

    async def evidence(self, erased: Erased) -> tuple[int, bytes, bytes]:
        """Of an erasure's AuditEvent its number in the log, its bytes, and what opens its commitment."""
        async with self._vault.reading() as reader:
            version = await reader.find("AuditEvent", erased.event)
            row = await reader.audit_row(version.rid) if version else None
            assert version is not None, "it was written with the note of the erasure"
            assert row is not None, "it was written with its leaf"
            return row.n, await reader.open(version), await reader.open_commitment(version, row)

    async def done(self) -> Sequence[Erased]:
        """All erasures that this database knows of."""
        async with self._vault.reading() as reader:
            found = await reader.notes.load(DONE)
        return [unpack(owner_of(owner), content) for owner, content in found.items()]

    async def _erase(self, owner: bytes, by: str, now: int) -> Erased:
        async with self._vault.reading() as reader:
            known = await reader.keys.of(owner)
            before = await _done(reader, owner, known)
        if before is not None:
            return before
        if not known:
            raise UnknownPatientError
        keys, belonging = [key.id for key in known], Belonging(self._maker.base)
        purge = Purge(owner, keys, self._tokenizer, self._types, belonging)
        async with self._vault.writing() as writer:
            await purge.tally.begin(writer.notes)
        await purge.run(self._vault)
        async with self._vault.reading() as reader:
            known = await reader.keys.of(owner)
        entries = tuple(self._vault.blind.erased(key.id) for key in known)
        listed = await asyncio.to_thread(self._ledger.add, entries)
        return await self._destroy(owner, by, now, purge, listed)

    async def _destroy(
        self, owner: bytes, by: str, now: int, purge: Purge, listed: frozenset[str]
    ) -> Erased:
        """The unit of work after which nothing of her opens."""
        async with self._vault.writing() as writer:
            await purge.rest(writer)
            keys = await writer.keys.of(owner)
            done = await _done(writer, owner, keys)
            if done is not None:  # another process was faster
                await purge.tally.end(writer.notes)
                return done
            entries = tuple(self._vault.blind.erased(key.id) for key in keys)
            listed = listed if listed.issuperset(entries) else self._ledger.add(entries)
            for key in keys:
                await writer.destroy_key(key)
            await writer.keys.advance()
            whole, event = await purge.tally.whole(writer.notes), self._maker.new_id()
            counts = (whole.buried, whole.shared, event, tuple(whole.consents))
            erased = Erased(owner, now, by, entries, *counts)
            draft = statement(erased, self._maker.base, self._maker.custodian, self._tokenizer)
            _, number = await put_with_leaf(writer, draft, self._maker.new_secret)
            await writer.notes.save(ANCHOR_WANTED, number.to_bytes(8, "big"))
            await writer.notes.save(DONE + owner.hex(), erased.pack())
            await purge.tally.end(writer.notes)
            await _advance(writer.notes, listed, frozenset(entries))
        _LOG.info("erased", extra={"records": erased.buried, "shared": erased.shared})
        return erased

    async def _begun(self) -> set[bytes]:
        async with self._vault.reading() as reader:
            return {owner_of(owner) for owner in await reader.notes.load(BEGUN)}

    async def _put_back(self) -> set[bytes]:
        """The patients of whom a key is there that the list says is destroyed."""
        async with self._vault.reading() as reader:
            state = (await reader.notes.load(_STATE)).get("")
        if state is None:
            self._ledger.begin()
        elif not self._ledger.exists():
            raise SettingsError(
                f"the list of erasures {self._ledger.name} is missing: put it back, or copy that of another"
                " server of this database; without it erased patients might come back with a backup"
            )
        listed = self._ledger.read()
        if state == _state(listed):
            return set()
        return await self._alive_in(listed)

    async def _alive_in(self, listed: frozenset[str]) -> set[bytes]:
        """Who lives by a listed key, or by one that has replaced a listed one since the database was put back.

        Whoever was erased in this database, and came back, lives by a newer key, too: her note names the destroyed ones.
        """
        noted = {entry for each in await self.done() for entry in each.entries}
        living, stale = set[bytes](), set[bytes]()
        async for page in self._keys():
            living.update(key.owner for key in page if key.living)
            for key in page:
                entry = self._vault.blind.erased(key.id)
                if entry in listed and (key.living or entry not in noted):
                    stale.add(key.owner)
        return living & stale

    async def _keys(self) -> AsyncIterator[Sequence[WrappedKey]]:
        """All data keys, page by page."""
        last = b""
        while True:
            async with self._vault.reading() as reader:
                page = await reader.keys.after(last, _PAGE)
            if not page:
                return
            yield page
            last = page[-1].id
            await asyncio.sleep(0)

    async def _prove_keys(self) -> int:
        listed, done = await self._whole_list(), 0
        async for page in self._keys():
            empty = [k for k in page if not k.wrapped and self._vault.blind.erased(k.id) in listed]
            if empty:
                async with self._vault.writing() as writer:
                    for key in empty:
                        await writer.destroy_key(key)
            done += len(empty)
        return done

    async def _prove_records(self) -> int:
        low, last, done = 0, 1, 0
        while low < last:
            async with self._vault.writing() as writer:
                last = await writer.shelf.last()
                stretch = Stretch(low, low + _PAGE, everything=True)
                found = [v for v in await writer.shelf.walk(stretch) if v.deleted and not v.sealed]
                empty = sorted({v.rid for v in found if await _is_erased(v, writer)})
                if empty:
                    await writer.bury(empty)
            low, done = low + _PAGE, done + len(empty)
        return done

    async def _whole_list(self) -> frozenset[str]:
        """The list, once what this database knows and the list has lost is put into it."""
        listed = self._ledger.read()
        lost = [each for each in await self.done() if not listed.issuperset(each.entries)]
        known = {entry for each in lost if await self._is_stated(each) for entry in each.entries}
        if not known:
            return listed
        _LOG.warning("the list of erasures had lost entries", extra={"count": len(known - listed)})
        return self._ledger.add(known)

    async def _remember(self, listed: frozenset[str]) -> None:
        """That the database is as the list says."""
        async with self._vault.reading() as reader:
            same = (await reader.notes.load(_STATE)).get("") == _state(listed)
        if not same:
            async with self._vault.writing() as writer:
                await writer.notes.save(_STATE, _state(listed))

    async def _is_stated(self, erased: Erased) -> bool:
        """Whether the AuditEvent of an erasure says of it what the note says."""
        async with self._vault.reading() as reader:
            version = await reader.find("AuditEvent", erased.event)
            try:
                text = await reader.open(version) if version is not None else b"{}"
                stated = is_stated(erased, orjson.loads(text))
            except IntegrityError:
                stated = False
        if not stated:
            _LOG.error(
                "a note of an erasure is not what its AuditEvent says: it was altered in the database"
            )
        return stated


async def are_proved(notes: Notes) -> bool:
    """Whether all that was erased has left proof of that; until then what was before ADR 67 looks emptied."""
    return await notes.find(UNPROVED) is None


async def _is_erased(version: SealedVersion, reader: Reader) -> bool:
    """Whether there is proof that the key of a version was destroyed."""
    with suppress(TamperedRecordError):
        return await reader.is_erased(version)
    return False


async def _done(reader: Reader, owner: bytes, keys: Sequence[WrappedKey]) -> Erased | None:
    """What was done to a patient who is erased and has not come back; else None."""
    found = (await reader.notes.load(DONE + owner.hex())).get("")
    return unpack(owner, found) if found and all(map(reader.is_destroyed, keys)) else None


async def _advance(notes: Notes, listed: frozenset[str], entries: frozenset[str]) -> None:
    """Note that the database is as the list says, if it was but for these entries.

    If not, it was put back from before other entries, and has to be compared with all of the list before it serves anybody.
    """
    if await notes.find(_STATE) == _state(listed - entries):
        await notes.save(_STATE, _state(listed))


def _state(listed: frozenset[str]) -> bytes:
    """A digest of the list: equal for equal lists."""
    return sha256("\n".join(sorted(listed)).encode()).digest()
