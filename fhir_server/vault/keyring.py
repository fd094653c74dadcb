"""Data keys: one for each patient, one for each type of what belongs to no patient.

A data key is 32 random bytes; with the name of its owner (``Patient/1``) behind them it is wrapped by the key provider
(``crypto/provider.py``) for the purpose ``data-key | tenant | owner``.  So who a record belongs to can be told without
opening the record, and is forgotten with the key.

Unwrapped keys stay in memory; a key made in a unit of work is shared with others only after
that unit is durable, because a key that was never written would lose what it sealed.
"""

import asyncio
import secrets
from collections import OrderedDict

from fhir_server.crypto.provider import KeyProvider
from fhir_server.crypto.seal import DataKey
from fhir_server.errors import KeyDestroyedError
from fhir_server.store.protocol import Snapshot, Unit, WrappedKey

_KEPT = 20_000
_SECRET = 32
_TYPE = "type:"


class KeyRing:
    """The unwrapped data keys of this process."""

    def __init__(self, provider: KeyProvider, tenant: str) -> None:
        self._provider = provider
        self._purpose = b"data-key|" + tenant.encode() + b"|"
        self._by_id: OrderedDict[bytes, DataKey] = OrderedDict()
        self._by_owner: OrderedDict[bytes, DataKey] = OrderedDict()

    async def by_id(self, id_: bytes, snapshot: Snapshot) -> DataKey:
        """The key of this id.

        Raises:
            KeyDestroyedError: It was destroyed, or never was.
            KeyProviderUnavailableError: It must be unwrapped, and the key provider does not answer.
        """
        known = self._by_id.get(id_)
        if known is not None:
            return known
        wrapped = await snapshot.key(id_=id_)
        if wrapped is None or not wrapped.wrapped:
            raise KeyDestroyedError("the data key of this record was destroyed")
        return _remember(self._by_id, id_, await self._unwrap(wrapped))

    async def name(self, owner: bytes, snapshot: Snapshot) -> str:
        """The name of an owner, by its token; empty if its key was destroyed."""
        found = await self._of_owner(owner, snapshot)
        return found.owner if found else ""

    async def for_owner(
        self, owner: bytes, name: str, unit: Unit, fresh: dict[bytes, DataKey]
    ) -> DataKey:
        """The key to seal with for an owner, made if there is none; ``fresh`` holds those of this unit."""
        made = fresh.get(owner) or await self._of_owner(owner, unit)
        if made is None:
            made = fresh[owner] = await self._make(owner, name, unit)
        return made

    def publish(self, fresh: dict[bytes, DataKey]) -> None:
        """Share the keys of a unit that is now durable."""
        for owner, key in fresh.items():
            _remember(self._by_owner, owner, key)
            _remember(self._by_id, key.id, key)

    async def _of_owner(self, owner: bytes, snapshot: Snapshot) -> DataKey | None:
        """The newest key of an owner, unless there is none or it was destroyed."""
        known = self._by_owner.get(owner)
        if known is not None:
            return known
        wrapped = await snapshot.key(owner=owner)
        if wrapped is None or not wrapped.wrapped:
            return None
        found = self._by_id.get(wrapped.id) or await self._unwrap(wrapped)
        _remember(self._by_id, found.id, found)
        return _remember(self._by_owner, owner, found)

    async def _make(self, owner: bytes, name: str, unit: Unit) -> DataKey:
        id_, secret = secrets.token_bytes(16), secrets.token_bytes(_SECRET)
        content, purpose = secret + name.encode(), self._purpose + owner
        if self._provider.remote:
            wrapped = await asyncio.to_thread(self._provider.wrap, content, purpose)
        else:
            wrapped = self._provider.wrap(content, purpose)
        await unit.add_key(WrappedKey(id_, owner, wrapped))
        return DataKey(id_, secret, name)

    async def _unwrap(self, wrapped: WrappedKey) -> DataKey:
        """Unwrap; a provider outside of this process must not hold up other requests meanwhile."""
        purpose = self._purpose + wrapped.owner
        if self._provider.remote:
            content = await asyncio.to_thread(self._provider.unwrap, wrapped.wrapped, purpose)
        else:
            content = self._provider.unwrap(wrapped.wrapped, purpose)
        return DataKey(wrapped.id, content[:_SECRET], content[_SECRET:].decode())


def _remember(kept: OrderedDict[bytes, DataKey], name: bytes, key: DataKey) -> DataKey:
    kept[name] = key
    if len(kept) > _KEPT:
        oldest, gone = kept.popitem(last=False)
        if gone.owner.startswith(_TYPE):  # every refusal needs them: they stay
            kept[oldest] = gone
    return key
