"""``consentry``: the command line."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhir_server.errors import ConsentryError


@dataclass(frozen=True, slots=True)
class _Command:
    help: str
    example: str
    describe: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _commands() -> dict[str, _Command]:
    from fhir_server.commands import (
        audit,
        backup,
        chain,
        check,
        client,
        credential,
        decide,
        demo,
        erase,
        keys,
        load,
        registries,
        relabel,
        restore,
        serve,
        token,
        user,
        verify,
        witness,
    )

    return {
        "demo": _Command(
            "play the whole story on the sample clinic",
            "consentry demo",
            demo.add_arguments,
            demo.run,
        ),
        "serve": _Command(
            "run the server",
            "consentry serve --port 8080 --data consentry-data",
            serve.add_arguments,
            serve.run,
        ),
        "load": _Command(
            "load Bundles (.json, .json.gz, .ndjson) into a running server",
            "consentry load --data consentry-data patients/",
            load.add_arguments,
            load.run,
        ),
        "token": _Command(
            "print a short-lived token of the custodian's own system",
            "consentry token --data consentry-data --scope 'system/*.cruds'",
            token.add_arguments,
            token.run,
        ),
        "client": _Command(
            "list clients, disable and enable them, and make tokens to register with",
            "consentry client disable my-app --data consentry-data",
            client.add_arguments,
            client.run,
        ),
        "user": _Command(
            "list people, disable and enable them, and forget their second factors",
            "consentry user disable anna --data consentry-data",
            user.add_arguments,
            user.run,
        ),
        "credential": _Command(
            "bind people, clients and organizations to credentials that a registry attests",
            "consentry credential bind user:helena 0x5c... --data consentry-data",
            credential.add_arguments,
            credential.run,
        ),
        "keys": _Command(
            "list keys, wrap them by a new key-encryption key, or seal records under new ones",
            "consentry keys list --data consentry-data",
            keys.add_arguments,
            keys.run,
        ),
        "chain": _Command(
            "the contract that the log is anchored in: deploy it, look at it, and who pays for it",
            "consentry chain status --data consentry-data",
            chain.add_arguments,
            chain.run,
        ),
        "registries": _Command(
            "found an exchange of institutions on the chain: registries, and their governance",
            "consentry registries deploy --institution 0x52... --data consentry-data",
            registries.add_arguments,
            registries.run,
        ),
        "erase": _Command(
            "erase a patient for good: keys destroyed, index purged, proved by a receipt",
            "consentry erase Patient/123 --data consentry-data --receipt erased.json",
            erase.add_arguments,
            erase.run,
        ),
        "decide": _Command(
            "decide one consent case, as the server would",
            "consentry decide case.json",
            decide.add_arguments,
            decide.run,
        ),
        "backup": _Command(
            "make a backup of a data folder, beside a running server",
            "consentry backup --data consentry-data monday.backup",
            backup.add_arguments,
            backup.run,
        ),
        "restore": _Command(
            "restore a backup into an empty data folder",
            "consentry restore --data restored monday.backup",
            restore.add_arguments,
            restore.run,
        ),
        "relabel": _Command(
            "give what is stored the security labels of the rules that hold now",
            "consentry relabel --data consentry-data",
            relabel.add_arguments,
            relabel.run,
        ),
        "check": _Command(
            "look at all that is stored: does it open, and does it fit together?",
            "consentry check --data consentry-data",
            check.add_arguments,
            check.run,
        ),
        "audit": _Command(
            "recompute the whole audit log of a database, and compare it with what was anchored",
            "consentry audit --data consentry-data",
            audit.add_arguments,
            audit.run,
        ),
        "verify": _Command(
            "verify a receipt, without any server",
            "consentry verify receipt.json",
            verify.add_arguments,
            verify.run,
        ),
        "witness": _Command(
            "tell which logs of others this server cosigns, and which of them showed two histories",
            "consentry witness --data consentry-data",
            witness.add_arguments,
            witness.run,
        ),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is one sentence on stderr and exit code 2."""
    commands = _commands()
    parser = argparse.ArgumentParser(
        prog="consentry",
        description="A FHIR R4 server that seals every record, asks consent on every path, and proves its audit log.",
    )
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in commands.items():
        sub = chosen.add_parser(
            name,
            help=command.help,
            description=command.help,
            epilog=f"example: {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.describe(sub)
    parsed = parser.parse_args(arguments)
    try:
        return commands[parsed.command].run(parsed)
    except (ConsentryError, OSError) as error:
        sys.stderr.write(f"consentry {parsed.command}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
