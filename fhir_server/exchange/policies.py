"""Policies that the institutions have in force: a server with others does not start.

What the charter said last is noted, so that a server can start again while no node answers; one that was never told that
its policies are in force does not.  One that runs goes on when they are withdrawn, and says so loudly: who ends it
decides about care.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from anchoring.errors import ChainError, ChainUnavailableError
from anchoring.registry.charter import concerns, is_in_force
from anchoring.registry.node import final_block
from fhir_server.errors import SettingsError
from fhir_server.exchange.watch import Watch

NOTE = (
    "chain-policy|"  # notes, by charter and bundle: whether it was in force when it was asked last
)
_YES, _NO = b"\x01", b"\x00"
_LOG = logging.getLogger("consentry")


@dataclass(slots=True)
class Policies:
    """The bundle of policies of this server, and the charter that has it in force, or has not.

    Attributes:
        bundle: Its SHA-256.
    """

    bundle: bytes
    watch: Watch
    _asked: bool = field(default=False, init=False)

    async def require_in_force(self) -> None:
        """Return if the bundle is in force, or was when there was last a node to be asked.

        Raises:
            SettingsError: It is not, or nobody knows.
        """
        try:
            found = await self._ask()
        except ChainUnavailableError as error:
            async with self.watch.vault.reading() as reader:
                note = await reader.notes.find(self._note)
            if note != _YES:
                raise SettingsError(
                    f"whether policies {self._name} are in force can not be asked: the chain does not answer"
                ) from error
            return
        except ChainError as error:
            raise SettingsError(f"chain_charter: {error}") from error
        if not found:
            raise SettingsError(
                f"policies {self._name} are not in force: let the institutions approve this bundle, or name another policy"
            )

    async def begin(self) -> None:
        """Ask once: they may have decided while nobody was watching."""
        self._asked = False

    async def step(self, _: int) -> None:
        """Look whether they have decided about this bundle.

        Raises:
            ChainUnavailableError: The chain does not answer.
            WrongChainError: It is another chain, or another contract.
        """
        asks = not self._asked
        async for heard in self.watch.heard():
            asks = (
                asks or heard.reorganised or any(concerns(each, self.bundle) for each in heard.logs)
            )
        if asks and not await self._ask():
            _LOG.error("policies are not in force any more", extra={"bundle": self._name})
        self._asked = True

    async def _ask(self) -> bool:
        await self.watch.require_genuine()
        node, charter = self.watch.node, self.watch.contract.address

        def ask() -> bool:
            block = final_block(node, self.watch.confirmations)
            return is_in_force(node, charter, self.bundle, block)

        found = await asyncio.to_thread(ask)
        async with self.watch.vault.writing() as writer:
            await writer.notes.save(self._note, _YES if found else _NO)
        return found

    @property
    def _note(self) -> str:
        return f"{NOTE}{self.watch.contract.registry}|{self.bundle.hex()}"

    @property
    def _name(self) -> str:
        return f"0x{self.bundle.hex()}"
