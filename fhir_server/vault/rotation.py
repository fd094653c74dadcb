"""Rotation of the key-encryption key (KEK): every key is wrapped anew, records stay as they are.

The note ``keks`` (JSON: ``current``, and ``former`` names that may still be needed) is written before the first key is
wrapped by a new KEK, and its former names go when nothing needs them.  So a server that has not got all of them does not
start, and one that runs with a former KEK wraps no new key by it.  What is done shows in the keys themselves: a rotation
that was killed is taken up by running it again, beside a server that runs or without one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import orjson

from fhir_server.crypto.provider import KeyProvider, kek_of
from fhir_server.errors import KeyProviderUnavailableError
from fhir_server.store.database import SecretItems
from fhir_server.store.protocol import Snapshot, Store, WrappedKey
from fhir_server.store.shelf import Notes
from fhir_server.vault.noted import as_written

KEKS = "keks"
_UNIT = 32  # keys wrapped anew in one unit of work
_PAGE = 256


@dataclass(frozen=True, slots=True)
class Keks:
    """Which KEKs a database needs."""

    current: str = ""
    former: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (self.current, *self.former) if self.current else ()


@dataclass(slots=True)
class Census:
    """What keys there are.

    Attributes:
        by_kek: How many living data keys each KEK wraps; the empty name stands for what was made before KEKs had names.
        secrets: The same of the server's own secrets.
        destroyed: How many data keys were destroyed.
        oldest: When the oldest living data key was made, milliseconds since 1970 UTC; 0 where none tells.
    """

    by_kek: Counter[str] = field(default_factory=Counter)
    secrets: Counter[str] = field(default_factory=Counter)
    keks: Keks = field(default_factory=Keks)
    destroyed: int = 0
    oldest: int = 0
    newest: int = 0

    def count(self, key: WrappedKey) -> None:
        """Count one data key."""
        if not key.living:
            self.destroyed += 1
            return
        self.by_kek[kek_of(key.wrapped)[0]] += 1
        if key.made:
            self.oldest = min(self.oldest or key.made, key.made)
            self.newest = max(self.newest, key.made)


async def keks_of(notes: Notes) -> Keks:
    """What the note says."""
    found = (await notes.load(KEKS)).get("")
    with as_written("the note of the key-encryption keys"):
        told = orjson.loads(found) if found else {}
        return Keks(str(told.get("current", "")), tuple(told.get("former", ())))


async def current_kek(snapshot: Snapshot, provider: KeyProvider) -> None:
    """Prove that the KEK that a new key would be wrapped by is the current one, looking for it anew if it is not.

    Raises:
        KeyProviderUnavailableError: It was rotated, and this server has not got the new one.
    """
    current = (await keks_of(snapshot.notes)).current
    if current in ("", provider.name):
        return
    provider.refresh()
    if current != provider.name:
        raise KeyProviderUnavailableError(
            f"new keys are wrapped by '{current}' now, which this server was not given"
        )


class Rotation:
    """The keys of one database, and the KEKs that are there."""

    def __init__(
        self, store: Store, secrets: SecretItems, provider: KeyProvider, tenant: str
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._provider = provider
        self._tenant = tenant.encode()

    async def begin(self) -> Keks:
        """From now on new keys are wrapped by the KEK that is current; those of before are needed until ``finish``."""
        async with self._store.reading() as snapshot:
            known = await keks_of(snapshot.notes)
        if known.current == self._provider.name:
            return known
        async with self._store.writing() as unit:
            known = await keks_of(unit.notes)
            former = tuple(name for name in known.names if name != self._provider.name)
            known = Keks(self._provider.name, former)
            await unit.notes.save(KEKS, _packed(known))
        return known

    async def census(self) -> Census:
        """Count the keys."""
        found = Census()
        last = b""
        while page := await self._page(last):
            for key in page:
                found.count(key)
            last = page[-1].id
        for name in await self._secrets.names():
            found.secrets[kek_of(await self._secrets.find(name) or b"")[0]] += 1
        async with self._store.reading() as snapshot:
            found.keks = await keks_of(snapshot.notes)
        return found

    async def run(self, progress: Callable[[int], None]) -> int:
        """Wrap by the current KEK what another one wraps; return how many keys that were.

        Args:
            progress: Told how many keys have been looked at since it was told last.

        Raises:
            WrongKeyError: A KEK that is needed is not there; it is named.
            KeyProviderUnavailableError: It does not answer; what is done is done.
        """
        await self.begin()
        done, last = 0, b""
        while page := await self._page(last):
            older = [k for k in page if k.living and not self._provider.is_current(k.wrapped)]
            for at in range(0, len(older), _UNIT):
                await self._rewrap(older[at : at + _UNIT])
            done, last = done + len(older), page[-1].id
            progress(len(page))
        return done + await self._rewrap_secrets()

    async def finish(self) -> Keks:
        """Need the former KEKs no longer, if nothing does; return what is needed.

        Whoever was wrapping a key when the rotation began may have done so by a former KEK: then they are needed still.
        """
        found = await self.census()
        others = (set(found.by_kek) | set(found.secrets)) - {self._provider.name}
        if others:
            return found.keks
        keks = Keks(self._provider.name)
        async with self._store.writing() as unit:
            await unit.notes.save(KEKS, _packed(keks))
        return keks

    async def _page(self, last: bytes) -> Sequence[WrappedKey]:
        async with self._store.reading() as snapshot:
            return await snapshot.keys.after(last, _PAGE)

    async def _rewrap(self, keys: Sequence[WrappedKey]) -> None:
        """Wrap first, which may take long; then write, unless a key was destroyed or wrapped meanwhile."""
        prefix = b"data-key|" + self._tenant + b"|"
        made = [
            replace(key, wrapped=await self._anew(key.wrapped, prefix + key.owner)) for key in keys
        ]
        async with self._store.writing() as unit:
            for former, key in zip(keys, made, strict=True):
                if await unit.key(id_=key.id) == former:
                    await unit.keys.replace(key)

    async def _rewrap_secrets(self) -> int:
        done = 0
        for name in await self._secrets.names():
            former = await self._secrets.find(name) or b""
            if not self._provider.is_current(former):
                purpose = b"secret|" + self._tenant + b"|" + name.encode()
                await self._secrets.replace(name, former, await self._anew(former, purpose))
                done += 1
        return done

    async def _anew(self, wrapped: bytes, purpose: bytes) -> bytes:
        def anew() -> bytes:
            return self._provider.wrap(self._provider.unwrap(wrapped, purpose), purpose)

        return await asyncio.to_thread(anew) if self._provider.remote else anew()


def _packed(keks: Keks) -> bytes:
    return orjson.dumps({"current": keks.current, "former": keks.former})
