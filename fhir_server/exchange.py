"""The registries of an exchange of institutions at work beside the server: never on the way of a request.

Of the processes that share a database one does it.  A chain that does not answer neither opens nor closes access: what is
decided here goes on being decided by what stands here, and what has to be told waits.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import orjson

from anchoring.errors import ChainError, ChainUnavailableError, WrongChainError
from anchoring.registry.consents import NAME, is_genuine
from anchoring.registry.node import JsonRpcNode, OneOf
from anchoring.registry.relaying import Payer, Relay, Wish
from anchoring.registry.typed_data import Domain
from anchoring.registry.watching import Place, begin, look
from anchoring.rpc import Endpoint
from anchoring.transaction import address
from fhir_server.chains import chain_confirmations, chain_facts
from fhir_server.crypto.keys import new_account_key
from fhir_server.errors import StoreFullError, StoreLostError
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.registries.filing import due_filings, settle, unsettle
from fhir_server.interactions.registries.hearing import end_consent, told_by
from fhir_server.interactions.registries.mirroring import Mirror
from fhir_server.settings import Settings
from fhir_server.store.database import Leases
from fhir_server.store.own_secrets import Secrets
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Vault, Writer

RELAYER = "chain-relayer"  # the account that pays for what patients sign
_TASK = "exchange"
_PLACE = "chain-place"  # a note: how far the chain was heard
_PAUSE = 1.0  # seconds between two looks
_ROUND = 32  # filings that are brought to the chain at once
_HOUR, _DAY = 3_600, 86_400
_GWEI = 10**9
_LOG = logging.getLogger("consentry")

Unit = Callable[[], AbstractAsyncContextManager[Writer]]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Consents of a vault and their registry, kept alike.

    Attributes:
        unit: Opens a unit of work that has heeded the news of other processes.
    """

    vault: Vault
    tools: Tools
    unit: Unit
    node: OneOf
    domain: Domain
    relay: Relay
    mirror: Mirror
    confirmations: int

    async def step(self, now: datetime) -> None:
        """Hear what is new, note what has changed here, and tell it.

        Raises:
            ChainUnavailableError: The chain does not answer; the next step does what is left.
            WrongChainError: It is another chain; nothing was heard from it or told to it.
        """
        at = int(now.timestamp() * 1000)
        await self._require_chain()
        while not await self._hear(at):
            pass
        while await self.mirror.step(at):
            pass
        await self._tell()

    async def _require_chain(self) -> None:
        found = await asyncio.to_thread(self.node.chain_id)
        if found != self.domain.chain_id:
            raise WrongChainError("the chain has another id than the settings say")
        code = await asyncio.to_thread(self.node.code, self.domain.contract)
        if not is_genuine(code):
            raise WrongChainError("there is no ConsentRegistry of ours at chain_consents")

    async def _hear(self, at: int) -> bool:
        """Read on in the chain; whether that was all for now."""
        async with self.vault.reading() as reader:
            place = _read_place(await reader.notes.find(_PLACE), self.mirror.registry)
        if place is None:
            place = await asyncio.to_thread(begin, self.node, self.confirmations)
            await self._save(place)
        watched = [self.domain.contract]
        heard = await asyncio.to_thread(look, self.node, watched, place, self.confirmations)
        for log in heard.logs:
            told = told_by(log, self.domain.chain_id)
            if told is not None:
                async with self.unit() as writer:
                    ended = await end_consent(writer, self.tools, told, at)
                if ended:
                    _LOG.info("revoked on chain", extra={"block": log.block})
        if heard.place != place:
            await self._save(heard.place, reorganised=heard.reorganised)
        return heard.whole

    async def _save(self, place: Place, *, reorganised: bool = False) -> None:
        content = {
            "registry": self.mirror.registry,
            "number": place.number,
            "hash": place.hash.hex(),
        }
        async with self.vault.writing() as writer:
            await writer.notes.save(_PLACE, orjson.dumps(content))
            if reorganised:
                await unsettle(writer)

    async def _tell(self) -> None:
        """Bring to the chain what is wanted there, and forget what has come true."""
        async with self.vault.reading() as reader:
            due = await due_filings(reader, _ROUND)
            place = _read_place(await reader.notes.find(_PLACE), self.mirror.registry)
        ours = [kept for kept in due.filings if kept.filing.registry == self.mirror.registry]
        wishes = {Wish(kept.filing.holder, kept.filing.wanted): kept.version for kept in ours}
        true: list[Wish] = []
        if wishes:
            round_ = self.relay.round
            true = await asyncio.to_thread(round_, list(wishes), self.confirmations, monotonic())
        elsewhere = [k.version for k in due.filings if k not in ours]
        settled = [*(wishes[wish] for wish in true), *elsewhere]
        if settled or due.gone:
            async with self.vault.writing() as writer:
                await settle(writer, settled, due.gone, place.number if place else 0)


async def open_exchange(
    settings: Settings, own: Secrets, vault: Vault, tools: Tools, unit: Unit
) -> Exchange | None:
    """The exchange that the settings name; None where they name none."""
    if not settings.chain_consents:
        await Mirror.pause(vault)
        return None
    contract = bytes.fromhex(settings.chain_consents.removeprefix("0x"))
    domain = Domain(NAME, settings.chain_id, contract)
    timeout = settings.chain_timeout.total_seconds()
    nodes = [JsonRpcNode(Endpoint(url, timeout)) for url in settings.chain_urls]
    node = OneOf(nodes, chain_facts(settings))
    payer = Payer(await own.get(RELAYER, new_account_key), settings.chain_fee_cap * _GWEI)
    _LOG.info("exchange", extra={"payer": f"0x{address(payer.key).hex()}"})
    registry = f"{settings.chain_id}:0x{contract.hex()}"
    return Exchange(
        vault,
        tools,
        unit,
        node,
        domain,
        Relay(node, domain, payer, lasting),
        Mirror(vault, tools, registry),
        chain_confirmations(settings),
    )


async def keep_exchanging(exchange: Exchange, leases: Leases, clock: Clock) -> None:
    """Keep the Consents and their registry alike, until cancelled."""
    begun, silent = False, False
    while True:
        try:
            if await leases.holds(_TASK):
                if not begun:
                    await exchange.mirror.begin()
                    begun = True
                await exchange.step(clock())
                silent = False
        except (ChainUnavailableError, StoreFullError, StoreLostError) as error:
            if not silent:
                _LOG.warning("exchange waits", extra={"kind": type(error).__name__})
            silent = True
        except ChainError as error:
            _LOG.error("exchange stands still", extra={"reason": str(error)})
        await asyncio.sleep(_PAUSE)


def lasting() -> int:
    """For how long a signature that is made now is good, seconds: at random, so that no two signatures share a word."""
    return _HOUR + secrets.randbelow(_DAY)


def _read_place(note: bytes | None, registry: str) -> Place | None:
    """How far the chain was heard; None at the first start with this registry."""
    if note is None:
        return None
    with as_written("the note of the exchange"):
        held = orjson.loads(note)
        if held["registry"] != registry:
            return None
        return Place(held["number"], bytes.fromhex(held["hash"]))
