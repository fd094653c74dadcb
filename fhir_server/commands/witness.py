"""``consentry witness``: which logs this server cosigns as a witness, how far, and which of them showed two histories."""

import argparse
import asyncio
import json
from pathlib import Path

from rich.console import Console

from anchoring.log.checkpoint import LogKey
from anchoring.witnessing.witness import Witnessed
from fhir_server.archive import open_archive
from fhir_server.settings import Settings, read_settings
from fhir_server.transparency import open_witness, renew_witness


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("--data", type=Path, help="folder of the server's database")
    parser.add_argument(
        "--new-keys",
        action="store_true",
        help="make new keys first, as after a restore; stop the server before",
    )
    parser.add_argument("--json", action="store_true", help="all of it as JSON, with the evidence")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 if every log went on as it should, 1 if one showed two histories."""
    settings, console = read_settings(data=arguments.data), Console(soft_wrap=True)
    keys, logs = asyncio.run(_known(settings, renew=arguments.new_keys))
    if arguments.json:
        told = {"keys": [key.vkey for key in keys], "logs": [_members(log) for log in logs]}
        console.print_json(json.dumps(told))
    else:
        _tell(console, keys, logs)
    return 1 if any(log.conflicts for log in logs) else 0


async def _known(
    settings: Settings, *, renew: bool = False
) -> tuple[tuple[LogKey, ...], tuple[Witnessed, ...]]:
    async with open_archive(settings) as archive:
        witness = await open_witness(settings, archive.database, archive.own)
        if renew:
            await renew_witness(archive.own)
            witness = await open_witness(settings, archive.database, archive.own)
        return witness.keys, await witness.witnessed()


def _tell(console: Console, keys: tuple[LogKey, ...], logs: tuple[Witnessed, ...]) -> None:
    for key in keys:
        console.print(f"key  {key.vkey}", markup=False)
    for log in logs:
        console.print(f"log  {log.origin}: {log.size} events cosigned", markup=False)
        if log.conflicts:
            console.print(f"     TWO HISTORIES, {log.conflicts} refused; evidence:", markup=False)
        for conflict in log.first:
            console.print(f"     {conflict.at}\n{conflict.kept}\n{conflict.refused}", markup=False)
    if not logs:
        console.print("no logs: CONSENTRY_WITNESS_LOGS names them")


def _members(log: Witnessed) -> dict[str, object]:
    evidence = [{"at": c.at, "kept": c.kept, "refused": c.refused} for c in log.first]
    return {"log": log.origin, "size": log.size, "refused": log.conflicts, "evidence": evidence}
