"""Telling a registry what is wanted of it, some links at a time, and forgetting what has come true."""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

from anchoring.registry.relaying import Relay, Wish
from fhir_server.exchange.watch import Watch
from fhir_server.interactions.registries.links import Link, Links
from fhir_server.vault.vault import Vault

_ROUND = 32  # links that are brought to the chain at once


class Wishing(Link, Protocol):
    """A link that wants something of its registry."""

    @property
    def wish(self) -> Wish:
        """What that is; wishes can be keys of a dictionary."""
        ...


L = TypeVar("L", bound=Wishing)


@dataclass(frozen=True, slots=True)
class Telling(Generic[L]):
    """Tells one registry."""

    vault: Vault
    watch: Watch
    relay: Relay
    links: Links[L]

    async def step(self) -> None:
        """One round.

        Raises:
            ChainUnavailableError: The chain does not answer; the next round does what is left.
        """
        registry, place = self.watch.contract.registry, await self.watch.place()
        async with self.vault.reading() as reader:
            due = await self.links.due(reader, registry, _ROUND)
        wishes = {kept.link.wish: kept.version for kept in due.links}
        true: list[Wish] = []
        if wishes:
            true = await asyncio.to_thread(
                self.relay.round, list(wishes), self.watch.confirmations, monotonic()
            )
        if true or due.gone:
            settled, block = [wishes[wish] for wish in true], place.number if place else 0
            async with self.vault.writing() as writer:
                await self.links.settle(writer, registry, settled, due.gone, block)
