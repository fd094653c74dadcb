"""``consentry client``: which clients there are, disabling them at once, and tokens to register with."""

import argparse
import sys
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fhir_server.app import clock
from fhir_server.commands.acting import Action, act
from fhir_server.errors import SettingsError
from smart_auth.clients.registered import Terms
from smart_auth.server import SmartServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help_, example in (
        ("list", "which clients are registered, in the file and on their own", "list"),
        ("disable", "refuse a client from now on; all that it was granted ends", "disable my-app"),
        ("enable", "let a client that was disabled ask again", "enable my-app"),
        (
            "token",
            "print an initial access token: who has it may register a client within its terms",
            "token --scope 'launch/patient patient/*.rs' --purpose PATRQT",
        ),
    ):
        action = chosen.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"example: consentry client {example} --data consentry-data",
        )
        action.add_argument("--data", type=Path, help="folder of the server's database")
        if name in ("disable", "enable"):
            action.add_argument("client_id", help="as 'consentry client list' shows it")
        if name == "token":
            _add_terms(action)


def _add_terms(action: argparse.ArgumentParser) -> None:
    action.add_argument("--scope", required=True, help="the most that a client may be granted")
    action.add_argument(
        "--purpose",
        action="append",
        default=[],
        metavar="CODE",
        help="v3-ActReason code that clients may use, the default first (may be repeated)",
    )
    action.add_argument("--organization", help="whom clients act for, such as Organization/1")
    action.add_argument("--uses", type=int, default=1, help="how many clients (default: 1)")
    action.add_argument("--days", type=float, default=7, help="how long it is good (default: 7)")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when it is done; a server that runs knows at its next request."""
    return act(arguments, _ACTIONS)


async def _list(_: argparse.Namespace, smart: SmartServer) -> None:
    registry = smart.registered.registry
    table = Table("client", "name", "kind", "from", "state")
    for client in registry.all():
        if client.grant_types:  # the others are the server's own
            registered = await smart.registered.find(client.client_id)
            state = "disabled" if client.client_id in registry.disabled else "good"
            origin = "registration" if registered else "file"
            table.add_row(client.client_id, client.name, client.kind, origin, state)
    Console().print(table)


async def _disable(arguments: argparse.Namespace, smart: SmartServer) -> None:
    await smart.registered.disable(str(arguments.client_id))


async def _enable(arguments: argparse.Namespace, smart: SmartServer) -> None:
    await smart.registered.enable(str(arguments.client_id))


async def _token(arguments: argparse.Namespace, smart: SmartServer) -> None:
    terms = Terms(arguments.scope, arguments.organization, tuple(arguments.purpose))
    now = clock()
    try:
        expires = now + timedelta(days=arguments.days)
    except (OverflowError, ValueError) as error:
        raise SettingsError("--days must be a number of days") from error
    sys.stdout.write(await smart.initial_tokens.make(terms, arguments.uses, expires, now) + "\n")


_ACTIONS: dict[str, Action] = {
    "list": _list,
    "disable": _disable,
    "enable": _enable,
    "token": _token,
}
