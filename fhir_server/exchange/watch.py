"""One contract, watched: how far is kept in the store, so that a restart goes on there."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic

import orjson

from anchoring.errors import WrongChainError
from anchoring.registry.genuine import is_genuine
from anchoring.registry.node import OneOf
from anchoring.registry.watching import Heard, Place, begin, look
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Vault

_GOOD_FOR = 60.0  # seconds
PLACE = "chain-place|"  # notes, by registry: how far it was heard


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract on a chain: its name, the chain's id, its address (20 bytes)."""

    name: str
    chain_id: int
    address: bytes

    @property
    def registry(self) -> str:
        """Chain id and address, ``31337:0x...``."""
        return f"{self.chain_id}:0x{self.address.hex()}"


@dataclass(slots=True)
class Watch:
    """Watches a contract.

    Attributes:
        confirmations: Blocks, its own included, until a block counts, or ``FINALIZED``.
    """

    vault: Vault
    node: OneOf
    contract: Contract
    confirmations: int
    _known: float = field(default=float("-inf"), init=False)

    async def require_genuine(self) -> None:
        """Refuse another chain, or other code than ours; it is asked for once a minute.

        Raises:
            WrongChainError: Nothing is heard from it or told to it.
        """
        if monotonic() - self._known < _GOOD_FOR:
            return
        if await asyncio.to_thread(self.node.chain_id) != self.contract.chain_id:
            raise WrongChainError("the chain has another id than the settings say")
        code = await asyncio.to_thread(self.node.code, self.contract.address)
        if not is_genuine(self.contract.name, code):
            raise WrongChainError(f"there is no {self.contract.name} of ours at its address")
        self._known = monotonic()

    async def heard(self) -> AsyncIterator[Heard]:
        """What is new, part by part; whoever has applied a part keeps its place."""
        whole = False
        while not whole:
            place = await self.place()
            if place is None:
                place = await asyncio.to_thread(begin, self.node, self.confirmations)
                await self.keep(place)
            watched = [self.contract.address]
            found = await asyncio.to_thread(look, self.node, watched, place, self.confirmations)
            yield found
            whole = found.whole
            if found.place != place:
                await self.keep(found.place)

    async def place(self) -> Place | None:
        """How far the contract was heard; None before the first time."""
        async with self.vault.reading() as reader:
            note = await reader.notes.find(PLACE + self.contract.registry)
        if note is None:
            return None
        with as_written("the note of how far a chain was heard"):
            held = orjson.loads(note)
            return Place(held["number"], bytes.fromhex(held["hash"]))

    async def keep(self, place: Place) -> None:
        """Keep how far it was heard."""
        content = orjson.dumps({"number": place.number, "hash": place.hash.hex()})
        async with self.vault.writing() as writer:
            await writer.notes.save(PLACE + self.contract.registry, content)
