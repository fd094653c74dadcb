"""``consentry``: the command line."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from fhir_server.errors import ConsentryError

_COMMANDS = {  # what each does, and an example
    "demo": ("play the whole story on the sample clinic", "consentry demo"),
    "serve": ("run the server", "consentry serve --port 8080 --data consentry-data"),
    "load": (
        "load Bundles (.json, .json.gz, .ndjson) into a running server",
        "consentry load --data consentry-data patients/",
    ),
    "token": (
        "print a short-lived token of the custodian's own system",
        "consentry token --data consentry-data --scope 'system/*.cruds'",
    ),
    "client": (
        "list clients, disable and enable them, and make tokens to register with",
        "consentry client disable my-app --data consentry-data",
    ),
    "user": (
        "list people, disable and enable them, and forget their second factors",
        "consentry user disable anna --data consentry-data",
    ),
    "credential": (
        "bind people, clients and organizations to credentials that a registry attests",
        "consentry credential bind user:helena 0x5c... --data consentry-data",
    ),
    "keys": (
        "list keys, wrap them by a new key-encryption key, or seal records under new ones",
        "consentry keys list --data consentry-data",
    ),
    "chain": (
        "the contract that the log is anchored in: deploy it, look at it, and who pays for it",
        "consentry chain status --data consentry-data",
    ),
    "registries": (
        "found an exchange of institutions on the chain: registries, and their governance",
        "consentry registries deploy --institution 0x52... --data consentry-data",
    ),
    "erase": (
        "erase a patient for good: keys destroyed, index purged, proved by a receipt",
        "consentry erase Patient/123 --data consentry-data --receipt erased.json",
    ),
    "decide": ("decide one consent case, as the server would", "consentry decide case.json"),
    "backup": (
        "make a backup of a data folder, beside a running server",
        "consentry backup --data consentry-data monday.backup",
    ),
    "restore": (
        "restore a backup into an empty data folder",
        "consentry restore --data restored monday.backup",
    ),
    "relabel": (
        "give what is stored the security labels of the rules that hold now",
        "consentry relabel --data consentry-data",
    ),
    "check": (
        "look at all that is stored: does it open, and does it fit together?",
        "consentry check --data consentry-data",
    ),
    "audit": (
        "recompute the whole audit log of a database, and compare it with what was anchored",
        "consentry audit --data consentry-data",
    ),
    "verify": ("verify a receipt, without any server", "consentry verify receipt.json"),
    "witness": (
        "tell which logs of others this server cosigns, and which of them showed two histories",
        "consentry witness --data consentry-data",
    ),
}


class _Command(Protocol):
    """A module of ``commands``."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is one sentence on stderr and exit code 2.

    No other command is imported: most of them need a whole server, which takes a second or two.
    """
    given = sys.argv[1:] if arguments is None else arguments
    named = _named(given)
    try:
        parsed = _parser(named).parse_args(given)
        return _command(parsed.command).run(parsed)
    except (ConsentryError, OSError) as error:
        sys.stderr.write(f"consentry {named}: {error}\n")
        return 2
    except KeyboardInterrupt:  # also while a command is imported, which takes a second or two
        return 130


def _parser(named: str) -> argparse.ArgumentParser:
    """Knows all commands, and the arguments of the one that is named."""
    parser = argparse.ArgumentParser(
        prog="consentry",
        description="A FHIR R4 server that seals every record, asks consent on every path, and proves its audit log.",
    )
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_, example) in _COMMANDS.items():
        sub = chosen.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == named:
            _command(name).add_arguments(sub)
    return parser


def _named(given: Sequence[str]) -> str:
    return next((each for each in given if not each.startswith("-")), "")


def _command(name: str) -> _Command:
    return cast("_Command", import_module(f"fhir_server.commands.{name}"))


if __name__ == "__main__":
    sys.exit(main())
