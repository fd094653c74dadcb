"""Credentials on a registry: whoever is bound to one that was revoked there, or has expired, gets no token here.

What the registry says is kept by the authorization server, which asks no chain: see ``smart_auth/credentials.py``.
"""

import asyncio
from dataclasses import dataclass, field

from anchoring.registry.credentials import concerns, standing_of
from anchoring.registry.watching import Place
from fhir_server.exchange.watch import Watch
from smart_auth.credentials import Credentials as Bound
from smart_auth.credentials import State


@dataclass(slots=True)
class Credentials:
    """The credentials that somebody is bound to here, as one registry has them."""

    bound: Bound
    watch: Watch
    _known: frozenset[bytes] = field(default=frozenset(), init=False)

    async def begin(self) -> None:
        """Ask about all of them once: they may have changed while nobody was watching."""
        self._known = frozenset()

    async def step(self, _: int) -> None:
        """Look what has changed on the chain, and who was bound since.

        Raises:
            ChainUnavailableError: The chain does not answer; the next step does what is left.
            WrongChainError: It is another chain, or another contract.
        """
        await self.watch.require_genuine()
        await self.bound.reload()
        ids = frozenset(bytes.fromhex(id_) for held in self.bound.bound.values() for id_ in held)
        changed = ids != self._known
        async for heard in self.watch.heard():
            changed = changed or heard.reorganised or any(concerns(log, ids) for log in heard.logs)
            if changed and heard.whole:
                await self._ask(ids, heard.place)
                self._known = ids

    async def _ask(self, ids: frozenset[bytes], place: Place) -> None:
        registry = self.watch.contract.address

        def ask() -> dict[str, State]:
            found = {id_: standing_of(self.watch.node, registry, id_, place.number) for id_ in ids}
            return {id_.hex(): State(at.level, at.expiry) for id_, at in found.items()}

        await self.bound.learn(await asyncio.to_thread(ask))
