"""``consentry chain``: the contract that the log is anchored in, the account that pays for it, and how both are.

A key is rotated in four steps: ``grant`` the new key's address, ``account --import`` the new key, restart the servers, and
``revoke`` the old address once ``status`` says that nothing is under way.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from anchoring.chain import transaction as tx
from anchoring.chain.chain import ChainIdentity, SignedTransaction
from anchoring.chain.contract import (
    artifact,
    grant_calldata,
    is_publisher_calldata,
    revoke_calldata,
)
from anchoring.chain.evm import JsonRpcChain
from anchoring.errors import AnchoringError, ChainUnavailableError, WrongChainError
from anchoring.log.checkpoint import log_id
from fhir_server.archive import Archive, open_vault
from fhir_server.chains import account_secret, json_rpc_chain
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings, read_settings
from fhir_server.transparency import log_seeds

T = TypeVar("T")
_Action = Callable[[argparse.Namespace, Settings, Console], Coroutine[None, None, int]]
_NOWHERE = "0x" + "0" * 40  # where no contract is yet
_PATIENCE = 300.0  # seconds until a transaction is in a block
_PAUSE = 1.0
_ANCHOR_GAS = 57_000  # of an anchor of tens of thousands of events (docs/anchoring.md)
_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # secp256k1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help_ in (
        ("deploy", "put an AuditAnchor on the chain of the settings, and print its settings"),
        ("status", "chain, contract, account and what anchoring costs"),
        ("account", "the address that pays; with --import, take another key for it"),
        ("grant", "let another address anchor this log, too"),
        ("revoke", "let another address not anchor this log any more"),
    ):
        action = chosen.add_parser(
            name, help=help_, description=help_, epilog=f"example: consentry chain {name}"
        )
        action.add_argument(
            "--data", type=Path, help="folder of the database (default: consentry-data)"
        )
        if name == "account":
            action.add_argument(
                "--import",
                dest="file",
                type=Path,
                metavar="FILE",
                help="file with the private key: 64 hex digits",
            )
        if name in ("grant", "revoke"):
            action.add_argument("address", help="40 hex digits")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when it is done."""
    deploys = arguments.action in ("deploy", "account")
    contract = _NOWHERE if deploys else None  # theirs is to come, or is not asked
    settings = read_settings(data=arguments.data, chain_contract=contract)
    if not settings.chain_url:
        raise SettingsError("chain_url is not set: the embedded chain is made and paid by itself")
    try:
        return asyncio.run(_ACTIONS[arguments.action](arguments, settings, Console()))
    except AnchoringError as error:
        raise SettingsError(str(error)) from error


async def _deploy(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    async with _opened(settings) as archive:
        key = await account_secret(archive.own).load()
    chain = json_rpc_chain(settings, key)
    signed, contract = await asyncio.to_thread(chain.deployment)
    console.print(f"deploying from 0x{tx.address(key).hex()} in transaction 0x{signed.hash_.hex()}")
    await asyncio.to_thread(chain.send, signed.raw)
    there = json_rpc_chain(replace(settings, chain_contract="0x" + contract.hex()), key)
    found = await _until(lambda: _deployed(there), "the contract is in no block yet")
    for name, value in (
        ("CONTRACT", "0x" + contract.hex()),
        ("ID", str(found.chain_id)),
        ("GENESIS", "0x" + found.genesis_hash.hex()),
        ("CODE", "0x" + found.code_hash.hex()),
    ):
        console.print(f"CONSENTRY_CHAIN_{name}={value}", soft_wrap=True, highlight=False)
    return 0


def _deployed(chain: JsonRpcChain) -> ChainIdentity | None:
    try:
        found = chain.identity()
    except WrongChainError:
        return None
    return found if found.code_hash == artifact().code_hash else None


async def _status(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    async with _opened(settings) as archive:
        key, log, size = await _log(settings, archive)
    chain = json_rpc_chain(settings, key)
    found, account = await asyncio.to_thread(chain.identity), await asyncio.to_thread(chain.account)
    head = await asyncio.to_thread(chain.head, log)
    cost = _ANCHOR_GAS * account.base_fee
    may = not head.size or await asyncio.to_thread(_may_publish, chain, log, account.address)
    days = 86_400 / max(settings.anchor_interval.total_seconds(), 1.0)
    for line in (
        f"chain     id {found.chain_id}, block {account.block}, base fee {_coins(account.base_fee, 9)} gwei",
        f"contract  0x{found.contract.hex()}, code 0x{found.code_hash.hex()}",
        f"account   0x{account.address.hex()}, {_coins(account.balance, 18)} coins, "
        + ("may anchor this log" if may else "may NOT anchor this log: let its publisher grant it"),
        f"log       {size} events, {head.size} of them anchored",
        f"cost      {_coins(cost, 18)} coins an anchor at this base fee, so at most "
        f"{_coins(round(cost * days), 18)} a day at this interval; the account lasts for {account.balance // max(cost, 1)}",
    ):
        console.print(line, soft_wrap=True, highlight=False)
    return 0 if may and account.balance > cost else 1


async def _account(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    async with _opened(settings) as archive:
        secret = account_secret(archive.own)
        former = tx.address(await secret.load())
        if arguments.file is not None:
            key = _read_key(await asyncio.to_thread(arguments.file.read_text))
            await secret.save(key)
            if tx.address(key) != former:
                console.print(f"former account: 0x{former.hex()}", highlight=False)
                console.print(
                    "restart the servers, and delete the file: the key is kept wrapped now"
                )
        console.print(f"account: 0x{tx.address(await secret.load()).hex()}", highlight=False)
    return 0


async def _grant(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    return await _let(arguments, settings, console, granted=True)


async def _revoke(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    return await _let(arguments, settings, console, granted=False)


async def _let(
    arguments: argparse.Namespace, settings: Settings, console: Console, *, granted: bool
) -> int:
    """Grant or revoke, and wait until the contract says so."""
    address = _read_address(arguments.address)
    async with _opened(settings) as archive:
        key, log, _ = await _log(settings, archive)
    chain = json_rpc_chain(settings, key)
    if not await asyncio.to_thread(_may_publish, chain, log, tx.address(key)):
        raise SettingsError("the account of this server may not anchor this log, or has not yet")
    calldata = (grant_calldata if granted else revoke_calldata)(log, address)
    signed: SignedTransaction = await asyncio.to_thread(chain.signed_call, calldata)
    await asyncio.to_thread(chain.send, signed.raw)
    await _until(
        lambda: _may_publish(chain, log, address) is granted or None,
        f"the contract has not done so yet: look for transaction 0x{signed.hash_.hex()}",
    )
    may = "may" if granted else "may not"
    console.print(f"0x{address.hex()} {may} anchor this log from now on", highlight=False)
    return 0


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Archive]:
    """The database, made if there is none: a server needs the contract's address before it starts for the first time."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive = await open_vault(settings)
    try:
        yield archive
    finally:
        await archive.database.close()


async def _log(settings: Settings, archive: Archive) -> tuple[bytes, bytes, int]:
    """The account's key, the log's id and its size."""
    key = await account_secret(archive.own).load()
    origin = (await log_seeds(settings, archive.own)).origin
    return key, log_id(origin), await archive.database.leaves.size()


def _may_publish(chain: JsonRpcChain, log: bytes, address: bytes) -> bool:
    return any(chain.call(is_publisher_calldata(log, address)))


async def _until(ask: Callable[[], T | None], otherwise: str) -> T:
    """Ask until there is an answer."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            found = await asyncio.to_thread(ask)
        except ChainUnavailableError:
            found = None
        if found is not None:
            return found
        await asyncio.sleep(_PAUSE)
    raise SettingsError(otherwise)


def _read_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError as error:
        raise SettingsError("the file has no private key: 64 hex digits are expected") from error
    if len(key) != 32 or not 0 < int.from_bytes(key, "big") < _ORDER:
        raise SettingsError("the file has no private key: 64 hex digits are expected")
    return key


def _read_address(text: str) -> bytes:
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise SettingsError("an address has 40 hex digits") from error
    if len(address) != 20:
        raise SettingsError("an address has 40 hex digits")
    return address


def _coins(wei: int, digits: int) -> str:
    return f"{wei / 10**digits:.6g}"


_ACTIONS: dict[str, _Action] = {
    "deploy": _deploy,
    "status": _status,
    "account": _account,
    "grant": _grant,
    "revoke": _revoke,
}
