"""Consents and their registry, kept alike: what is said in one place holds in the other."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from time import monotonic

from anchoring.registry.relaying import Relay, Wish
from fhir_server.exchange.watch import Watch
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.registries.filing import due_filings, settle, unsettle
from fhir_server.interactions.registries.hearing import end_consent, told_by
from fhir_server.interactions.registries.mirroring import Mirror
from fhir_server.vault.vault import Vault, Writer

_ROUND = 32  # filings that are brought to the chain at once
_LOG = logging.getLogger("consentry")

Unit = Callable[[], AbstractAsyncContextManager[Writer]]


@dataclass(frozen=True, slots=True)
class Consents:
    """The Consents of a vault on one registry.

    Attributes:
        unit: Opens a unit of work that has heeded the news of other processes.
    """

    vault: Vault
    tools: Tools
    unit: Unit
    watch: Watch
    relay: Relay
    mirror: Mirror

    async def begin(self) -> None:
        """See that no Consent is left out that was written before."""
        await self.mirror.begin()

    async def step(self, at: int) -> None:
        """Hear what is new, note what has changed here, and tell it.

        Args:
            at: Now, milliseconds since 1970 UTC.

        Raises:
            ChainUnavailableError: The chain does not answer; the next step does what is left.
            WrongChainError: It is another chain, or another contract.
        """
        await self.watch.require_genuine()
        await self._hear(at)
        while await self.mirror.step(at):
            pass
        await self._tell()

    async def _hear(self, at: int) -> None:
        async for heard in self.watch.heard():
            for log in heard.logs:
                told = told_by(log, self.watch.contract.chain_id)
                if told is None:
                    continue
                async with self.unit() as writer:
                    ended = await end_consent(writer, self.tools, told, at)
                if ended:
                    _LOG.info("revoked on chain", extra={"block": log.block})
            if heard.reorganised:
                async with self.vault.writing() as writer:
                    await unsettle(writer)

    async def _tell(self) -> None:
        """Bring to the chain what is wanted there, and forget what has come true."""
        place = await self.watch.place()
        async with self.vault.reading() as reader:
            due = await due_filings(reader, _ROUND)
        ours = [kept for kept in due.filings if kept.filing.registry == self.mirror.registry]
        wishes = {Wish(kept.filing.holder, kept.filing.wanted): kept.version for kept in ours}
        true: list[Wish] = []
        if wishes:
            true = await asyncio.to_thread(
                self.relay.round, list(wishes), self.watch.confirmations, monotonic()
            )
        elsewhere = [kept.version for kept in due.filings if kept not in ours]
        settled = [*(wishes[wish] for wish in true), *elsewhere]
        if settled or due.gone:
            async with self.vault.writing() as writer:
                await settle(writer, settled, due.gone, place.number if place else 0)
