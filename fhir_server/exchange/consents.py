"""Consents and their registry, kept alike: what is said in one place holds in the other."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from anchoring.registry.relaying import Relay
from fhir_server.exchange.telling import Telling
from fhir_server.exchange.watch import Watch
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.registries.filing import FILINGS
from fhir_server.interactions.registries.hearing import Told, end_filed, told_by
from fhir_server.interactions.registries.links import unsettle
from fhir_server.interactions.registries.mirroring import Mirror
from fhir_server.vault.vault import Vault, Writer

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
                if told is None or not await self._is_ours(told):
                    continue
                async with self.unit() as writer:
                    ended = await end_filed(writer, self.tools, told, at)
                if ended:
                    _LOG.info("revoked on chain", extra={"block": log.block})
            if heard.reorganised:
                async with self.vault.writing() as writer:
                    await unsettle(writer, self.mirror.registry)

    async def _is_ours(self, told: Told) -> bool:
        """Whether a filing of ours is meant: whoever floods the registry must not keep writers waiting."""
        async with self.vault.reading() as reader:
            return await FILINGS.find(reader, told.id) is not None

    async def _tell(self) -> None:
        """Bring to the chain what is wanted there, and forget what has come true."""
        await Telling(self.vault, self.watch, self.relay, FILINGS).step()
