"""``consentry registries``: found an exchange on the chain of the settings, and who pays for what patients sign."""

import argparse
import asyncio
from pathlib import Path

from rich.console import Console

from anchoring.chain import transaction as tx
from anchoring.errors import AnchoringError
from anchoring.registry.founding import Constitution, found
from anchoring.registry.relaying import Payer
from fhir_server.admin_policies import policy_bundle
from fhir_server.archive import open_vault
from fhir_server.chains import registry_node
from fhir_server.crypto.keys import new_account_key
from fhir_server.errors import SettingsError
from fhir_server.exchange.keeping import RELAYER
from fhir_server.settings import Settings, read_settings

_DAY = 86_400
_GWEI = 10**9
_SETTINGS = {
    "ConsentRegistry": "CONSENTS",
    "CredentialRegistry": "CREDENTIALS",
    "ExchangeCharter": "CHARTER",
    "AccessGrants": "GRANTS",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    account = chosen.add_parser("account", help="the address that pays: send it coins")
    deploy = chosen.add_parser(
        "deploy",
        help="found an exchange of institutions: registries, and the governance over them",
        description="Deploys the registries and what governs them. The account that pays has no rights afterwards.",
        epilog="example: consentry registries deploy --institution 0x52... --institution 0x9a...",
    )
    chosen.add_parser(
        "policy", help="the SHA-256 of the policies of the settings, for institutions to agree on"
    )
    for action in (account, deploy):
        action.add_argument(
            "--data", type=Path, help="folder of the database (default: consentry-data)"
        )
    for name, help_ in (
        ("institution", "address that has a seat (repeat)"),
        ("issuer", "accreditor that is admitted from the start (repeat)"),
        ("policy", "SHA-256 of a bundle of policies in force from the start (repeat)"),
    ):
        deploy.add_argument(f"--{name}", action="append", default=[], help=help_)
    for name, default, help_ in (
        ("delay", 1.0, "days from a proposal to the vote"),
        ("vote", 7.0, "days that a vote is open"),
        ("timelock", 2.0, "days from a decision to its execution"),
    ):
        deploy.add_argument(
            f"--{name}", type=float, default=default, help=f"{help_} (default: {default:g})"
        )
    deploy.add_argument(
        "--quorum", type=int, default=40, help="percent of the seats that must vote (default: 40)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when it is done."""
    if arguments.action == "policy":
        bundle = policy_bundle(Settings(policy=read_settings().policy))
        Console().print(f"0x{bundle.hex()}", highlight=False, soft_wrap=True)
        return 0
    nowhere = "0x" + "0" * 40  # the log's contract is not asked
    settings = read_settings(data=arguments.data, chain_contract=nowhere)
    if not settings.chain_url or not settings.chain_id:
        raise SettingsError("chain_url and chain_id must be set")
    try:
        return asyncio.run(_act(arguments, settings, Console()))
    except AnchoringError as error:
        raise SettingsError(str(error)) from error


async def _act(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive = await open_vault(settings)
    try:
        key = await archive.own.get(RELAYER, new_account_key)
    finally:
        await archive.database.close()
    console.print(f"account: 0x{tx.address(key).hex()}", highlight=False)
    if arguments.action == "deploy":
        payer = Payer(key, settings.chain_fee_cap * _GWEI)
        await asyncio.to_thread(_deploy, constitution_of(arguments), settings, payer, console)
    return 0


def _deploy(constitution: Constitution, settings: Settings, payer: Payer, console: Console) -> None:
    def tell(name: str, at: bytes) -> None:
        console.print(f"{name}: 0x{at.hex()}", highlight=False)

    made = found(registry_node(settings), settings.chain_id, payer, constitution, tell)
    for name, setting in _SETTINGS.items():
        console.print(f"CONSENTRY_CHAIN_{setting}=0x{made[name].hex()}", highlight=False)


def constitution_of(arguments: argparse.Namespace) -> Constitution:
    """How the exchange begins.

    Raises:
        SettingsError: An argument can not be used.
    """
    institutions = [_octets(text, 20, "--institution") for text in arguments.institution]
    if not institutions:
        raise SettingsError("name at least one --institution")
    if not 1 <= arguments.quorum <= 100:
        raise SettingsError("--quorum must be from 1 to 100")
    return Constitution(
        institutions,
        [_octets(text, 20, "--issuer") for text in arguments.issuer],
        [_octets(text, 32, "--policy") for text in arguments.policy],
        delay=_seconds(arguments.delay, "--delay", 0),
        period=_seconds(arguments.vote, "--vote", 1),
        percent=arguments.quorum,
        timelock=_seconds(arguments.timelock, "--timelock", 0),
    )


def _octets(text: str, length: int, option: str) -> bytes:
    try:
        found_ = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        found_ = b""
    if len(found_) != length:
        raise SettingsError(f"{option} takes {2 * length} hexadecimal digits")
    return found_


def _seconds(days: float, option: str, least: int) -> int:
    if not 0 <= days <= 365:
        raise SettingsError(f"{option} must be from 0 to 365 days")
    return max(least, round(days * _DAY))
