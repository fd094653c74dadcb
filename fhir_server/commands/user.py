"""``consentry user``: who can sign in, disabling people at once, and forgetting their second factors."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fhir_server.commands.acting import Action, act
from smart_auth.server import SmartServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help_, example in (
        ("list", "who can sign in, and with what", "list"),
        (
            "disable",
            "refuse a person from now on; sessions and all that apps were granted end",
            "disable anna",
        ),
        ("enable", "let a person who was disabled sign in again", "enable anna"),
        (
            "reset",
            "forget a person's passkeys, code app and recovery codes; sessions and grants end",
            "reset anna",
        ),
    ):
        action = chosen.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"example: consentry user {example} --data consentry-data",
        )
        action.add_argument("--data", type=Path, help="folder of the server's database")
        if name != "list":
            action.add_argument("name", help="user name, as 'consentry user list' shows it")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when it is done; a server that runs knows at its next request."""
    return act(arguments, _ACTIONS)


async def _list(_: argparse.Namespace, smart: SmartServer) -> None:
    accounts = smart.accounts
    table = Table("user", "name", "who", "passkeys", "code app", "recovery codes", "state")
    for person in accounts.users:
        held = await accounts.factors.held(person)
        state = "disabled" if person.username in accounts.users.disabled else "good"
        factors = (str(len(held.passkeys)), "yes" if held.code_app else "no")
        who = (person.username, person.name, person.fhir_user)
        table.add_row(*who, *factors, str(held.recovery_left), state)
    Console().print(table)


async def _disable(arguments: argparse.Namespace, smart: SmartServer) -> None:
    await smart.accounts.disable(str(arguments.name))


async def _enable(arguments: argparse.Namespace, smart: SmartServer) -> None:
    await smart.accounts.enable(str(arguments.name))


async def _reset(arguments: argparse.Namespace, smart: SmartServer) -> None:
    await smart.accounts.reset(str(arguments.name))


_ACTIONS: dict[str, Action] = {
    "list": _list,
    "disable": _disable,
    "enable": _enable,
    "reset": _reset,
}
