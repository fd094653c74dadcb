"""What the settings name, opened, and kept alike until the server stops."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from anchoring.chain.transaction import address
from anchoring.errors import ChainError, ChainUnavailableError
from anchoring.registry import charter, consents, credentials, grants
from anchoring.registry.relaying import Payer, Relay
from anchoring.registry.typed_data import Domain
from fhir_server.chains import chain_confirmations, registry_node
from fhir_server.crypto.keys import new_account_key
from fhir_server.errors import StoreFullError, StoreLostError
from fhir_server.exchange.consents import Consents, Unit
from fhir_server.exchange.credentials import Credentials
from fhir_server.exchange.policies import Policies
from fhir_server.exchange.requests import Requests
from fhir_server.exchange.watch import Contract, Watch
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.registries.mirroring import Mirror
from fhir_server.settings import Settings
from fhir_server.store.database import Leases
from fhir_server.store.own_secrets import Secrets
from fhir_server.vault.vault import Vault
from smart_auth.credentials import Credentials as Bound

RELAYER = "chain-relayer"  # the account that pays for what patients sign
_TASK = "exchange"
_PAUSE = 1.0  # seconds between two looks
_HOUR, _DAY = 3_600, 86_400
_GWEI = 10**9
_LOG = logging.getLogger("consentry")


class Part(Protocol):
    """One registry, and what it is about here; killed anywhere, it begins anew."""

    async def begin(self) -> None:
        """Do what is done once, when this process takes over."""
        ...

    async def step(self, at: int) -> None:
        """Do what there is to do now (milliseconds since 1970 UTC).

        Raises:
            ChainUnavailableError: The chain does not answer; the next step does what is left.
            WrongChainError: It is another chain, or another contract.
        """
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What parts need of the house; ``bundle`` is the SHA-256 of its policies."""

    settings: Settings
    own: Secrets
    vault: Vault
    tools: Tools
    unit: Unit
    bound: Bound
    bundle: bytes


async def open_exchange(house: Parts) -> Sequence[Part]:
    """The parts that the settings name.

    Raises:
        SettingsError: The policies of this server are not in force.
    """
    settings, parts = house.settings, list[Part]()
    if settings.chain_consents:
        watch = _watch(house, consents.NAME, settings.chain_consents)
        parts.append(await _consents(house, watch))
    else:
        await Mirror.pause(house.vault)
    if settings.chain_grants:
        watch = _watch(house, grants.NAME, settings.chain_grants)
        relay = await _relay(house, watch)
        parts.append(Requests(house.vault, house.tools, house.unit, watch, relay))
    if settings.chain_credentials:
        watch = _watch(house, credentials.NAME, settings.chain_credentials)
        parts.append(Credentials(house.bound, watch))
    if settings.chain_charter:
        watch = _watch(house, charter.NAME, settings.chain_charter)
        policies = Policies(house.bundle, watch)
        await policies.require_in_force()
        parts.append(policies)
    return parts


def registry_at(settings: Settings, address_: str) -> str:
    """A registry on the chain of the settings, as links name it; empty for an empty address."""
    at = bytes.fromhex(address_.removeprefix("0x"))
    return Contract("", settings.chain_id, at).registry if at else ""


async def keep_exchanging(part: Part, leases: Leases, clock: Callable[[], datetime]) -> None:
    """Keep one part alike with its registry, until cancelled.  Whatever goes wrong is told once, and tried again."""
    task = f"{_TASK}-{type(part).__name__.lower()}"
    begun, told = False, ""
    while True:
        try:
            if await leases.holds(task):
                if not begun:
                    await part.begin()
                    begun = True
                await part.step(int(clock().timestamp() * 1000))
                told = ""
            else:
                begun = False
        except Exception as error:  # noqa: BLE001  it must neither go untold nor end this
            told = _tell(error, task, told)
        await asyncio.sleep(_PAUSE)


def _tell(error: Exception, task: str, told: str) -> str:
    """Tell what went wrong, unless that was the last thing told; give what was."""
    kind = type(error).__name__
    if kind == told:
        return told
    if isinstance(error, (ChainUnavailableError, StoreFullError, StoreLostError)):
        _LOG.warning("exchange waits", extra={"kind": kind, "task": task})
    elif isinstance(error, ChainError):
        _LOG.error("exchange stands still", extra={"reason": str(error), "task": task})
    else:
        _LOG.error("exchange failed", extra={"kind": kind, "task": task}, exc_info=error)
    return kind


def lasting() -> int:
    """For how long a signature that is made now is good, seconds: at random, so that no two signatures share a word."""
    return _HOUR + secrets.randbelow(_DAY)


async def _consents(house: Parts, watch: Watch) -> Consents:
    relay = await _relay(house, watch)
    mirror = Mirror(house.vault, house.tools, watch.contract.registry)
    return Consents(house.vault, house.tools, house.unit, watch, relay, mirror)


async def _relay(house: Parts, watch: Watch) -> Relay:
    payer = Payer(
        await house.own.get(RELAYER, new_account_key), house.settings.chain_fee_cap * _GWEI
    )
    contract = watch.contract
    _LOG.info(
        "exchange", extra={"payer": f"0x{address(payer.key).hex()}", "registry": contract.name}
    )
    domain = Domain(contract.name, contract.chain_id, contract.address)
    return Relay(watch.node, domain, payer, lasting)


def _watch(house: Parts, name: str, at: str) -> Watch:
    settings, node = house.settings, registry_node(house.settings)
    contract = Contract(name, settings.chain_id, bytes.fromhex(at.removeprefix("0x")))
    return Watch(house.vault, node, contract, chain_confirmations(settings))
