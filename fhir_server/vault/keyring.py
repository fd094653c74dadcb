"""Data keys: one for each patient, one for each type of what belongs to no patient.

A data key is 32 random bytes; with the name of its owner (``Patient/1``) behind them it is wrapped by the key provider
(``crypto/provider.py``) for the purpose ``data-key | tenant | owner``.  So who a record belongs to can be told without
opening the record, and is forgotten with the key.

Unwrapped keys stay in memory; a key made in a unit of work is shared with others only after
that unit is durable, because a key that was never written would lose what it sealed.
"""

import secrets
from collections import OrderedDict

from fhir_server.crypto.provider import KeyProvider
from fhir_server.crypto.seal import DataKey
from fhir_server.errors import KeyDestroyedError
from fhir_server.store.protocol import Snapshot, Unit, WrappedKey

_KEPT = 20_000
_SECRET = 32


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
        """
        if id_ in self._by_id:
            return self._by_id[id_]
        wrapped = await snapshot.key(id_=id_)
        if wrapped is None or not wrapped.wrapped:
            raise KeyDestroyedError("the data key of this record was destroyed")
        return self._remember(self._by_id, id_, self._unwrap(wrapped))

    async def name(self, owner: bytes, snapshot: Snapshot) -> str:
        """The name of an owner, by its token; empty if its key was destroyed."""
        known = self._by_owner.get(owner)
        if known is None:
            wrapped = await snapshot.key(owner=owner)
            if wrapped is None or not wrapped.wrapped:
                return ""
            known = self._unwrap(wrapped)
        return known.owner

    async def for_owner(
        self, owner: bytes, name: str, unit: Unit, fresh: dict[bytes, DataKey]
    ) -> DataKey:
        """The key to seal with for an owner, made if there is none; ``fresh`` holds those of this unit."""
        known = self._by_owner.get(owner) or fresh.get(owner)
        if known is not None:
            return known
        wrapped = await unit.key(owner=owner)
        if wrapped is not None and wrapped.wrapped:
            made = self._unwrap(wrapped)
        else:
            made = await self._make(owner, name, unit)
        fresh[owner] = made
        return made

    def publish(self, fresh: dict[bytes, DataKey]) -> None:
        """Share the keys of a unit that is now durable."""
        for owner, key in fresh.items():
            self._remember(self._by_owner, owner, key)
            self._remember(self._by_id, key.id, key)

    async def _make(self, owner: bytes, name: str, unit: Unit) -> DataKey:
        id_, secret = secrets.token_bytes(16), secrets.token_bytes(_SECRET)
        wrapped = self._provider.wrap(secret + name.encode(), self._purpose + owner)
        await unit.add_key(WrappedKey(id_, owner, wrapped))
        return DataKey(id_, secret, name)

    def _unwrap(self, wrapped: WrappedKey) -> DataKey:
        content = self._provider.unwrap(wrapped.wrapped, self._purpose + wrapped.owner)
        return DataKey(wrapped.id, content[:_SECRET], content[_SECRET:].decode())

    def _remember(self, kept: OrderedDict[bytes, DataKey], name: bytes, key: DataKey) -> DataKey:
        kept[name] = key
        if len(kept) > _KEPT:
            kept.popitem(last=False)
        return key
