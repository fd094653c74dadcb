"""``consentry token``: a short-lived access token for the custodian's own system, for curl and scripts on this machine."""

import argparse
import asyncio
import sys
from pathlib import Path

from fhir_server.app import clock, open_tokens
from fhir_server.commands.serve import recall
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings, read_settings
from smart_auth.errors import SmartError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("--data", type=Path, help="folder of the server's database")
    parser.add_argument(
        "--scope", default="system/*.cruds", help="SMART system scopes (default: system/*.cruds)"
    )
    parser.add_argument(
        "--url", help="public url of the server, if it has never run on this folder"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the token alone, so that a shell can take it."""
    sys.stdout.write(system_token(arguments.data, arguments.scope, arguments.url) + "\n")
    return 0


def settings_of(data: Path | None, url: str | None) -> Settings:
    """The settings of the server that runs, or ran last, on a data folder.

    Raises:
        SettingsError: No server has run there.
    """
    plain = read_settings(data=data)
    found = url or recall(plain.data)
    if not found:
        raise SettingsError(
            f"no server has run on {plain.data}: start 'consentry serve --data {plain.data}' first"
        )
    return read_settings(data=data, base_url=found)


def system_token(data: Path | None, scope: str, url: str | None = None) -> str:
    """A token of the custodian's own system, good for 5 minutes, signed with the keys in the data folder.

    Raises:
        SettingsError: No server has run there, or a system may not have such a scope.
    """

    async def make() -> str:
        async with open_tokens(settings_of(data, url)) as smart:
            try:
                return smart.system_token(scope, clock())
            except SmartError as error:
                raise SettingsError(f"--scope: {error}; try 'system/*.rs'") from error

    return asyncio.run(make())
