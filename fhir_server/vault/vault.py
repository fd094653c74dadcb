"""Reading and writing sealed records: snapshots and units of work of one store, with the keys to open and to seal."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Generic, TypeVar

from fhir_server.crypto.blind import BlindIndex
from fhir_server.store.preparing import Prepared
from fhir_server.store.protocol import SealedEvent, Snapshot, Store, Unit
from fhir_server.vault.draft import Draft, Leaf
from fhir_server.vault.keyring import KeyRing
from fhir_server.vault.preparing import PreparedWriter
from fhir_server.vault.reader import Keys, Reader, patient_tokens
from fhir_server.vault.recording import seal_event
from fhir_server.vault.register import ConsentRegister
from fhir_server.vault.writer import Writer

__all__ = ["Draft", "Leaf", "Reader", "SealedEvent", "Vault", "Writer", "patient_tokens"]

_Kind = type[BaseException] | None
_Error = BaseException | None
_Trace = TracebackType | None
_Reads = TypeVar("_Reads")


class Vault:
    """A store whose records open here."""

    def __init__(self, store: Store, ring: KeyRing, blind: BlindIndex, tenant: str) -> None:
        self._store = store
        self._ring = ring
        self._keys = Keys(ring, blind, ConsentRegister(blind), tenant)
        self.blind = blind

    def note_changes(self, consumer: str, *types: str) -> None:
        """From now on, leave a note of each record of these types in the unit that writes it (``store/shelf.py``)."""
        noted = dict(self._keys.noted)
        for type_ in types:
            noted[type_] = (*noted.get(type_, ()), consumer)
        self._keys = replace(self._keys, noted=noted)

    def reading(self, *, complete: bool = False) -> "_Reading[Reader]":
        """A snapshot for reading; ``complete`` if AuditEvents are to be selected."""
        return _Reading(self.reader, self._store.reading(complete=complete))

    def writing(self) -> "_Writing":
        """A unit of work; durable as a whole when the context has ended.

        Raises:
            StoreFullError: The disk is full; nothing of the unit was kept.
        """
        return _Writing(self, self._store.writing())

    @property
    def prepares(self) -> bool:
        """Whether large units of work should be prepared: ``preparing`` is good for this store."""
        return self._store.asks_cheaply

    def preparing(self) -> "_Reading[PreparedWriter]":
        """A unit of work that is prepared beside others', as of one snapshot; nothing is written when its context ends."""
        return _Reading(self.preparer, self._store.reading())

    def seal_events(
        self, events: Iterable[tuple[Draft, Leaf]], epoch: int
    ) -> list[SealedEvent] | None:
        """New AuditEvents with their leaves, sealed to be written by ``record``; None if that takes a unit of work.

        Args:
            epoch: Of the reader of what they tell of.
        """
        sealed = []
        for draft, leaf in events:
            event = seal_event(draft, leaf, self._keys, epoch)
            if event is None:
                return None
            sealed.append(event)
        return sealed

    def record(
        self, sealed: Sequence[SealedEvent], epoch: int
    ) -> asyncio.Future[Sequence[int] | None]:
        """Write AuditEvents, and nothing else, outside of any unit of work (``Store.record``).

        Args:
            epoch: That for which ``seal_events`` sealed them.
        """
        return self._store.record(sealed, epoch)

    async def prepare(self, at: int = 0) -> None:
        """Have the key at hand by which a refusal is recorded, should the key provider not answer later."""
        async with self.writing() as writer:
            writer.fresh.at = at
            await writer.prepare("AuditEvent")

    async def check_register(self) -> None:
        """Compare the register of Consents with its root, before anybody is served.

        Raises:
            TamperedRecordError: It is not what was written.
        """
        async with self._store.reading() as snapshot:
            await self._keys.register.open(snapshot.notes)

    async def reader(self, snapshot: Snapshot, began: float) -> Reader:
        """A snapshot, asked for at ``began`` (monotonic seconds), with the keys of this vault."""
        return Reader(snapshot, await self._ring.follow(snapshot), began, self._keys)

    async def writer(self, unit: Unit, began: float) -> Writer:
        """A unit of work with the keys of this vault."""
        return Writer(unit, await self._ring.follow(unit), began, self._keys)

    async def preparer(self, snapshot: Snapshot, began: float) -> PreparedWriter:
        """The writer of a unit of work that is prepared, with the keys of this vault."""
        prepared = Prepared(snapshot)
        return PreparedWriter(prepared, await self._ring.follow(prepared), began, self._keys)

    def publish(self, writer: Writer) -> None:
        """Share the keys that a durable unit has made."""
        self._ring.publish(writer.fresh, writer.epoch)

    def forget(self) -> None:
        """Keep no key in memory that came from a unit which was not written."""
        self._ring.forget()

    def on_forget(self, forget: Callable[[], None]) -> None:
        """Have this called when something was erased: by whoever keeps in memory what came out of records."""
        self._ring.on_forget(forget)


class _Reading(Generic[_Reads]):
    """The context of a reader of one snapshot (a class, because a generator costs more than the reading)."""

    __slots__ = ("_inner", "_make")

    def __init__(
        self,
        make: Callable[[Snapshot, float], Awaitable[_Reads]],
        inner: AbstractAsyncContextManager[Snapshot],
    ) -> None:
        self._make = make
        self._inner = inner

    async def __aenter__(self) -> _Reads:
        began = monotonic()
        snapshot = await self._inner.__aenter__()
        try:
            return await self._make(snapshot, began)
        except BaseException as error:
            await self._inner.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(self, kind: _Kind, error: _Error, trace: _Trace) -> bool | None:
        return await self._inner.__aexit__(kind, error, trace)


class _Writing:
    """The context of a writer: what it made is shared once it is durable."""

    __slots__ = ("_inner", "_vault", "_writer")

    def __init__(self, vault: Vault, inner: AbstractAsyncContextManager[Unit]) -> None:
        self._vault = vault
        self._inner = inner

    async def __aenter__(self) -> Writer:
        began = monotonic()
        unit = await self._inner.__aenter__()
        try:
            self._writer = await self._vault.writer(unit, began)
        except BaseException as error:
            await self._inner.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._writer

    async def __aexit__(self, kind: _Kind, error: _Error, trace: _Trace) -> bool | None:
        try:
            handled = await self._inner.__aexit__(kind, error, trace)
        except BaseException:
            self._vault.forget()  # others may have seen what this batch did not keep
            raise
        if error is None:
            self._vault.publish(self._writer)
        return handled
