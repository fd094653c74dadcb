"""What this process remembers of the database, looked up again when another process has changed it.

A process tells the others (``store.database.News``) before it answers, and each request asks for news first: what one
process has answered therefore holds for the next request at any other.  Units ask again when their turn has come, because
what was told while they waited is durable by then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from fhir_server.store.database import News
from fhir_server.store.preparing import StaleError
from fhir_server.vault.preparing import PreparedWriter
from fhir_server.vault.vault import Vault, Writer

Again = Callable[[], Awaitable[None]]


class Heeding:
    """Heeds the news of one database.

    Args:
        again: Called one after another when there is news; what they remember is as the database says when they return.
    """

    def __init__(self, news: News, vault: Vault, again: tuple[Again, ...]) -> None:
        self._news = news
        self._vault = vault
        self._again = again
        self._heeded = 0
        self._lock = asyncio.Lock()

    async def heed(self) -> None:
        """Return when this process knows of everything that was told before the call."""
        if not await self.is_current():
            await self._look()

    async def is_current(self) -> bool:
        """Whether nothing was told since."""
        return await self._news.count() == self._heeded

    async def tell(self) -> None:
        """Tell all processes, this one too."""
        await self._news.tell()

    def unit(self) -> "_CurrentUnit":
        """A unit of work that begins with nothing unheeded."""
        return _CurrentUnit(self, self._vault)

    def preparing(self) -> "_PreparedUnit":
        """A unit of work that is prepared beside others, and written when its context ends.

        Raises:
            StaleError: Nothing was written, and the same has to be done in a ``unit``: what it depends on has changed
                meanwhile, or it does what can not be prepared.
        """
        return _PreparedUnit(self, self._vault)

    @property
    def heeded(self) -> int:
        """How much news this process knows of."""
        return self._heeded

    async def _look(self) -> None:
        async with self._lock:
            told = await self._news.count()
            if told == self._heeded:
                return
            for again in self._again:
                await again()
            self._heeded = told


class _CurrentUnit:
    """The context of a writer."""

    __slots__ = ("_heeding", "_vault", "_writing")

    def __init__(self, heeding: Heeding, vault: Vault) -> None:
        self._heeding = heeding
        self._vault = vault

    async def __aenter__(self) -> Writer:
        while True:
            self._writing = self._vault.writing()
            writer = await self._writing.__aenter__()
            if await self._heeding.is_current():
                return writer
            await self._writing.__aexit__(None, None, None)
            await self._heeding.heed()  # not in the unit: what is looked up may write

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._writing.__aexit__(kind, error, trace)


class _PreparedUnit:
    """The context of a writer that prepares."""

    __slots__ = ("_heeded", "_heeding", "_preparing", "_vault", "_writer")

    def __init__(self, heeding: Heeding, vault: Vault) -> None:
        self._heeding = heeding
        self._vault = vault

    async def __aenter__(self) -> PreparedWriter:
        await self._heeding.heed()
        self._heeded = self._heeding.heeded
        self._preparing = self._vault.preparing()
        self._writer = await self._preparing.__aenter__()
        return self._writer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._preparing.__aexit__(kind, error, trace)
        if error is not None:
            return
        async with self._heeding.unit() as writer:
            if self._heeding.heeded != self._heeded:
                raise StaleError("there was news")
            await self._writer.write_into(writer)
        self._vault.publish(self._writer)
