"""Data keys: one for each patient, one for each type of what belongs to no patient.

A data key is 32 random bytes; with the name of its owner (``Patient/1``) behind them it is wrapped by the key provider
(``crypto/provider.py``) for the purpose ``data-key | tenant | owner``.  So who a record belongs to can be told without
opening the record, and is forgotten with the key.

Of a key that was destroyed a proof is left, made with the index key: whoever can only write to the database can take a key
away, but not make it look like an erasure (ADR 67).

Unwrapped keys stay in memory; a key made in a unit of work is shared with others only after that unit is durable, because a
key that was never written would lose what it sealed.  When a key has stopped being good (it was destroyed or replaced, in
this process or another), the database counts its epoch on: the first snapshot of a later epoch makes the ring forget all.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.provider import KeyProvider
from fhir_server.crypto.seal import DataKey
from fhir_server.errors import KeyDestroyedError, TamperedRecordError
from fhir_server.store.protocol import Snapshot, Unit, WrappedKey
from fhir_server.store.shelf import DESTROYED
from fhir_server.vault.rotation import current_kek

_KEPT = 20_000
_SECRET = 32
_TYPE = "type:"


class KeyRing:
    """The unwrapped data keys of this process."""

    def __init__(self, provider: KeyProvider, tenant: str, blind: BlindIndex) -> None:
        self._provider = provider
        self._blind = blind
        self._purpose = b"data-key|" + tenant.encode() + b"|"
        self._by_id: OrderedDict[bytes, DataKey] = OrderedDict()
        self._by_owner: OrderedDict[bytes, DataKey] = OrderedDict()
        self._epoch = -1
        self._forget: list[Callable[[], None]] = []

    def on_forget(self, forget: Callable[[], None]) -> None:
        """Have this called, too, when keys are forgotten: by whoever else keeps in memory what came out of records."""
        self._forget.append(forget)

    async def follow(self, snapshot: Snapshot) -> int:
        """Look at the epoch of a snapshot, before a key is asked for in it; return it."""
        epoch = await snapshot.epoch()
        if epoch > self._epoch:
            self.forget(epoch)
        return epoch

    def forget(self, epoch: int = -1) -> None:
        """Forget all keys; those of snapshots of this epoch (-1: of whatever comes next) are kept from now on."""
        self._epoch = epoch
        self._by_id.clear()
        self._by_owner.clear()
        for forget in self._forget:
            forget()

    async def by_id(self, id_: bytes, snapshot: Snapshot, epoch: int) -> DataKey:
        """The key of this id, as of a snapshot of an epoch.

        Raises:
            KeyDestroyedError: It was destroyed.
            TamperedRecordError: There never was such a key, its id was altered; or it was taken away.
            KeyProviderUnavailableError: It must be unwrapped, and the key provider does not answer.
        """
        known = self._by_id.get(id_)
        if known is not None:
            return known
        wrapped = await snapshot.key(id_=id_)
        if wrapped is None:
            raise TamperedRecordError("a record names a data key that never was")
        if not self.is_alive(wrapped):
            raise KeyDestroyedError("the data key of this record was destroyed")
        return self._remember(self._by_id, id_, await self._unwrap(wrapped), epoch)

    def is_alive(self, key: WrappedKey) -> bool:
        """Whether a stored key is good still; False if there is proof that it was destroyed.

        Raises:
            TamperedRecordError: There is neither key nor proof.
        """
        if not key.living and not self.is_destroyed(key):
            raise TamperedRecordError("a data key was taken away, and not by an erasure")
        return key.living

    def is_destroyed(self, key: WrappedKey) -> bool:
        """Whether there is proof that a stored key was destroyed."""
        return key == self.destroyed(key)

    def destroyed(self, key: WrappedKey) -> WrappedKey:
        """What is left of a key that is destroyed."""
        return replace(key, wrapped=DESTROYED + self._blind.destroyed(key.id, key.owner))

    def at_hand(self, owner: bytes, epoch: int) -> DataKey | None:
        """The newest key of an owner, if this process has it in memory and is at this epoch: then it is good still."""
        return self._by_owner.get(owner) if epoch == self._epoch else None

    async def name(self, owner: bytes, snapshot: Snapshot, epoch: int) -> str:
        """The name of an owner, by its token; empty if its key was destroyed."""
        found = await self._of_owner(owner, snapshot, epoch)
        return found.owner if found else ""

    async def newest(self, owner: bytes, snapshot: Snapshot, epoch: int) -> bytes:
        """The id of the newest key of an owner; empty if there is none, or it was destroyed."""
        found = await self._of_owner(owner, snapshot, epoch)
        return found.id if found else b""

    async def for_owner(
        self, owner: bytes, name: str, unit: Unit, epoch: int, fresh: "Fresh"
    ) -> DataKey:
        """The key to seal with for an owner, made if there is none; ``fresh`` holds those of this unit."""
        made = fresh.keys.get(owner) or await self._of_owner(owner, unit, epoch)
        if made is None:
            made = fresh.keys[owner] = await self.make(owner, name, unit, fresh.at)
        return made

    def publish(self, fresh: "Fresh", epoch: int) -> None:
        """Share the keys of a unit that is now durable."""
        for owner, key in fresh.keys.items():
            self._remember(self._by_owner, owner, key, epoch)
            self._remember(self._by_id, key.id, key, epoch)

    async def _of_owner(self, owner: bytes, snapshot: Snapshot, epoch: int) -> DataKey | None:
        """The newest key of an owner, unless there is none or it was destroyed."""
        known = self._by_owner.get(owner)
        if known is not None:
            return known
        wrapped = await snapshot.key(owner=owner)
        if wrapped is None or not self.is_alive(wrapped):
            return None
        found = self._by_id.get(wrapped.id) or await self._unwrap(wrapped)
        self._remember(self._by_id, found.id, found, epoch)
        return self._remember(self._by_owner, owner, found, epoch)

    async def make(self, owner: bytes, name: str, unit: Unit, at: int) -> DataKey:
        """Make a key and keep it wrapped; ``at`` is the time, milliseconds."""
        await current_kek(unit, self._provider)
        id_, secret = secrets.token_bytes(16), secrets.token_bytes(_SECRET)
        content, purpose = secret + name.encode(), self._purpose + owner
        if self._provider.remote:
            wrapped = await asyncio.to_thread(self._provider.wrap, content, purpose)
        else:
            wrapped = self._provider.wrap(content, purpose)
        await unit.add_key(WrappedKey(id_, owner, wrapped, at))
        return DataKey(id_, secret, name)

    async def _unwrap(self, wrapped: WrappedKey) -> DataKey:
        """Unwrap; a provider outside of this process must not hold up other requests meanwhile."""
        purpose = self._purpose + wrapped.owner
        if self._provider.remote:
            content = await asyncio.to_thread(self._provider.unwrap, wrapped.wrapped, purpose)
        else:
            content = self._provider.unwrap(wrapped.wrapped, purpose)
        return DataKey(wrapped.id, content[:_SECRET], content[_SECRET:].decode())

    def _remember(
        self, kept: OrderedDict[bytes, DataKey], name: bytes, key: DataKey, epoch: int
    ) -> DataKey:
        """Keep a key, unless it comes from a snapshot of a former epoch, in which it may have been good still."""
        if epoch != self._epoch:
            return key
        kept[name] = key
        if len(kept) > _KEPT:
            oldest, gone = kept.popitem(last=False)
            if gone.owner.startswith(_TYPE):  # every refusal needs them: they stay
                kept[oldest] = gone
        return key


@dataclass(slots=True)
class Fresh:
    """The keys that a unit of work has made, by owner, and the time of the version that needs them."""

    keys: dict[bytes, DataKey] = field(default_factory=dict)
    at: int = 0
