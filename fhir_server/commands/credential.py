"""``consentry credential``: who has to have which credentials attested on a registry."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fhir_server.commands.acting import Action, act
from smart_auth.credentials import State
from smart_auth.server import SmartServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help_, example in (
        ("list", "who is bound to which credential, and how it stands", "list"),
        (
            "bind",
            "give no token from now on unless the credential holds",
            "bind user:helena 0x5c...",
        ),
        ("unbind", "do not ask for a credential any more", "unbind user:helena 0x5c..."),
    ):
        action = chosen.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"example: consentry credential {example} --data consentry-data",
        )
        action.add_argument("--data", type=Path, help="folder of the server's database")
        if name != "list":
            action.add_argument("subject", help="user:NAME, client:ID or Organization/ID")
            action.add_argument("credential", help="its id on the registry, 64 hexadecimal digits")
        if name == "bind":
            action.add_argument("--level", type=int, default=1, help="the least level (default: 1)")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when it is done; a server that runs knows at its next request."""
    return act(arguments, _ACTIONS)


async def _list(_: argparse.Namespace, smart: SmartServer) -> None:
    table = Table("subject", "credential", "level asked for", "state")
    for subject, held in sorted(smart.credentials.bound.items()):
        for id_, level in sorted(held.items()):
            state = _said(smart.credentials.states.get(id_))
            table.add_row(subject, f"0x{id_}", str(level), state)
    Console(width=200).print(table)


def _said(state: State | None) -> str:
    if state is None:
        return "nothing was heard of it yet"
    if not state.level:
        return "does not hold"
    last = min(state.expires, int(datetime.max.replace(tzinfo=UTC).timestamp()))
    return f"level {state.level} until {datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M:%S} UTC"


async def _bind(arguments: argparse.Namespace, smart: SmartServer) -> None:
    id_ = str(arguments.credential).removeprefix("0x").lower()
    await smart.credentials.bind(str(arguments.subject), id_, int(arguments.level))


async def _unbind(arguments: argparse.Namespace, smart: SmartServer) -> None:
    id_ = str(arguments.credential).removeprefix("0x").lower()
    await smart.credentials.unbind(str(arguments.subject), id_)


_ACTIONS: dict[str, Action] = {"list": _list, "bind": _bind, "unbind": _unbind}
