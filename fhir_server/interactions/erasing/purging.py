"""Purging: what belongs to one patient goes out of the index and is buried, in small units of work.

A record of hers alone becomes a tombstone without seal, patients or id; so do her Patient and her Consents, whomever else
they name.  Another record of several patients stays for the others: all its versions are sealed anew without her, and
the index keeps what it says of the others.  Her Consents go last, so that they decide until nothing is left to decide.
All this is found by the index, by the list of what is shared, and among what is deleted; an older version of hers in a
record that is now somebody else's stays where it is and does not open, because its key is destroyed.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import orjson

from fhir_server.crypto.blind import BlindIndex
from fhir_server.errors import IntegrityError, WrongKeyError
from fhir_server.interactions.erasing.belonging import Belonging
from fhir_server.interactions.erasing.tally import Tally
from fhir_server.search.plan import compartment
from fhir_server.search.tokens import Tokenizer
from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.store.shelf import Stretch
from fhir_server.vault.padding import all_padding
from fhir_server.vault.vault import Vault, Writer, patient_tokens

_BROKEN = (IntegrityError, WrongKeyError)  # of one record, or of one wrapped key
_UNIT = 32  # records in one unit of work
_STRETCH = 20_000  # records of the list that one unit looks through


class Purge:
    """The purge of one patient, by token; it may be stopped anywhere, and run again.

    Attributes:
        tally: What was done to her, before it was stopped and since.
    """

    def __init__(
        self,
        owner: bytes,
        keys: Sequence[bytes],
        tokenizer: Tokenizer,
        types: Iterable[str],
        belonging: Belonging,
    ) -> None:
        self._owner = owner
        self._keys = tuple(keys)
        self._tokenizer = tokenizer
        self._types = sorted(types, key=lambda type_: (type_ == "Consent", type_))
        self._belonging = belonging
        self.tally = Tally(owner)

    async def run(self, vault: Vault) -> None:
        """Purge in units of work; others read and write meanwhile."""
        async with vault.reading(complete=True) as reader:
            held = [
                type_
                for type_ in self._types
                if await reader.select(self._selection(type_, reader.blind, 1))
            ]
        for type_ in held:
            if type_ == "Consent":
                await self._unlisted(vault)
            while await self._unit(vault, type_):
                pass
        await self._unlisted(vault)

    async def rest(self, writer: Writer) -> None:
        """Purge what was written since, in the unit of work that destroys the keys."""
        for type_ in self._types:
            while await self._indexed(writer, type_):
                pass

    async def _unit(self, vault: Vault, type_: str) -> int:
        async with vault.writing() as writer:
            return await self._indexed(writer, type_)

    async def _unlisted(self, vault: Vault) -> None:
        """What the index does not lead to: older versions that are shared, and what is deleted."""
        low, last = 0, 1
        while low < last:
            async with vault.writing() as writer:
                last = await writer.shelf.last()
                high = low + _STRETCH
                shared = await writer.shelf.walk(Stretch(low, high, shared=True))
                mine = await self._hers(writer, shared)
                for version in shared:
                    if version.rid not in mine:
                        await self._leave(writer, version)
                gone = {rid for rid in mine if (await writer.history(rid))[0].deleted}
                deleted = Stretch(low, high, self._keys, deleted=True)
                gone |= await self._hers(writer, await writer.shelf.walk(deleted))
                await self._bury(writer, gone)
                await self.tally.keep(writer.notes)
            low = high

    async def _indexed(self, writer: Writer, type_: str) -> int:
        """One unit of records of a type; return how many there were."""
        found = await writer.select(self._selection(type_, writer.blind, _UNIT))
        mine = await self._hers(writer, found)
        postings: dict[bytes, list[int]] = defaultdict(list)
        for version in found:
            for token in await self._dropped(writer, version, whole=version.rid in mine):
                postings[token].append(version.rid)
        await writer.shelf.unindex(type_, postings)
        if type_ == "Consent":
            await self._forget(writer, [v for v in found if v.rid in mine])
        await self._bury(writer, mine)
        for version in found:
            if version.rid not in mine:
                for each in await writer.history(version.rid):
                    await self._leave(writer, each)
        if found:
            await self.tally.keep(writer.notes)
        return len(found)

    async def _forget(self, writer: Writer, consents: Sequence[SealedVersion]) -> None:
        """Take Consents out of the register, and note which of them others are told of in AuditEvents that stay."""
        for each in consents:
            named = {token for v in await writer.history(each.rid) for token in patient_tokens(v)}
            if named != {self._owner}:
                self.tally.unit.consents.append(each.row.hex())
        await writer.forget_consents(self._owner, consents)

    async def _dropped(
        self, writer: Writer, version: SealedVersion, *, whole: bool
    ) -> frozenset[bytes]:
        """The tokens that go: all of a record of hers, and those of her share in one of several."""
        own = frozenset(compartment(version.type_, self._owner, writer.blind))
        try:
            value = orjson.loads(await writer.open(version))
            patients = await writer.patients(version)
        except _BROKEN:  # it is not what was sealed: its tokens can not be told, but it goes
            return own
        tokens = self._tokenizer.tokens
        of_all = tokens(version.type_, value, [p for p in patients if p])
        if whole:
            return of_all.union(own, all_padding(writer.blind, version))
        others = [p for p in patients if p and writer.blind.patient(p) != self._owner]
        return (of_all - tokens(version.type_, value, others)) | own

    async def _leave(self, writer: Writer, version: SealedVersion) -> None:
        """Seal one version of several patients anew, without her."""
        tokens = patient_tokens(version)
        if self._owner not in tokens or not version.wraps:
            return
        others = [token for token in tokens if token != self._owner]
        try:
            await writer.reseal(version, others)
        except _BROKEN:  # left as it is: the check of the store tells of it
            return
        self.tally.unit.shared += 1

    async def _bury(self, writer: Writer, rids: Collection[int]) -> None:
        await writer.bury(sorted(rids))
        self.tally.unit.buried += len(rids)

    async def _hers(self, writer: Writer, versions: Iterable[SealedVersion]) -> set[int]:
        """Which of these records are hers, and not also somebody else's."""
        found = {v.rid: v for v in versions}
        return {
            rid
            for rid, v in found.items()
            if await self._belonging.is_alone(writer, v, self._owner)
        }

    def _selection(self, type_: str, blind: BlindIndex, limit: int) -> Selection:
        return Selection(type_, (compartment(type_, self._owner, blind),), limit=limit)
