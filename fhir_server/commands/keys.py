"""``consentry keys``: what keys there are, their rotation, and new data keys; beside a server that runs, or without one."""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from fhir_server.app import clock, open_tokens
from fhir_server.archive import Archive, open_archive
from fhir_server.crypto.choosing import key_file
from fhir_server.crypto.providers.local import from_file, retire_file, rotate_file
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings, read_settings
from fhir_server.vault.resealing import Resealer, Resealing
from fhir_server.vault.rotation import Census
from smart_auth.errors import ChangedError

_Action = Callable[[argparse.Namespace, Settings, Console], Coroutine[None, None, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help_, example in (
        ("list", "which keys there are, and what wraps them", "consentry keys list"),
        ("rotate", "wrap all keys by a new key-encryption key", "consentry keys rotate"),
        (
            "reseal",
            "give a patient, or all, new data keys, and seal all that is theirs anew",
            "consentry keys reseal --patient Patient/123",
        ),
        (
            "renew-signing",
            "sign tokens with new keys; the former ones verify for two hours more",
            "consentry keys renew-signing",
        ),
    ):
        action = chosen.add_parser(
            name, help=help_, description=help_, epilog=f"example: {example} --data consentry-data"
        )
        action.add_argument(
            "--data", type=Path, help="folder of the database (default: consentry-data)"
        )
        if name == "renew-signing":
            action.add_argument(
                "--forget",
                action="store_true",
                help="somebody else has seen the keys: refuse every token that they have signed",
            )
        if name == "reseal":
            whom = action.add_mutually_exclusive_group(required=True)
            whom.add_argument("--patient", metavar="REFERENCE", help="only this patient")
            whom.add_argument("--all", action="store_true", help="all patients and all types")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when it is done; what was killed goes on when it is run again."""
    settings = read_settings(data=arguments.data)
    action = _ACTIONS[arguments.action]
    return asyncio.run(action(arguments, settings, Console()))


async def _list(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    async with open_archive(settings) as archive:
        found = await archive.rotation.census()
    table = Table("key-encryption key", "data keys", "own secrets", "state")
    for name in sorted({*found.by_kek, *found.secrets, *found.keks.names}):
        counts = (str(found.by_kek[name]), str(found.secrets[name]))
        table.add_row(name or "(made before keys had names)", *counts, _state(name, found))
    console.print(table)
    living = sum(found.by_kek.values())
    console.print(
        f"{living} data keys, made {_day(found.oldest)} to {_day(found.newest)}; {found.destroyed} destroyed"
    )
    return 0


async def _rotate(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    path = key_file(settings)
    async with open_archive(settings) as archive:
        if path is not None and await _is_settled(archive, path):
            rotate_file(path)
            archive.keys.refresh()
        done = await _rewrap_all(archive)
        keks = await archive.rotation.finish()
        if not done and path is None:
            raise SettingsError(
                "nothing to rotate: name the new key in key_provider, the old one in key_former"
            )
    if keks.former:
        console.print(f"{done} keys wrapped anew; still needed: {', '.join(keks.former)}")
        return 1
    console.print(f"{done} keys wrapped anew by {keks.current}; the database needs no other now")
    for retired in retire_file(path) if path is not None else ():
        console.print(
            f"{retired} has the former key: backups made until now need it; delete it with the last of them"
        )
    return 0


async def _reseal(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    async with open_archive(settings) as archive:
        owner = archive.vault.blind.patient(arguments.patient) if arguments.patient else None
        if owner is not None:
            async with archive.vault.reading() as reader:
                if not await reader.name(owner):
                    raise SettingsError("there is no such patient")
        resealer = Resealer(archive.vault)
        while True:
            job = await resealer.begin(owner, int(time.time() * 1000))
            done = await _walk(resealer, job)
            if done.owner == (owner.hex() if owner else ""):
                break
            console.print("finished the job that was under way; now this one")
    if done.kept:
        console.print(
            f"{done.kept} versions do not open and keep the former keys: 'consentry check' names them"
        )
        return 1
    console.print("all is sealed anew; the former data keys are destroyed")
    return 0


async def _renew_signing(
    arguments: argparse.Namespace, settings: Settings, console: Console
) -> int:
    async with open_tokens(settings) as smart:
        try:
            await smart.signing.renew(clock(), arguments.forget)
        except ChangedError as error:
            raise SettingsError("the keys are being renewed by somebody else: try again") from error
    former = "refused from now on" if arguments.forget else "verified for two hours more"
    console.print(f"new keys sign from now on; what the former ones have signed is {former}")
    return 0


async def _walk(resealer: Resealer, job: Resealing) -> Resealing:
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("sealing anew", total=None)
        return await resealer.run(
            job, lambda low, last: progress.update(task, completed=low, total=last)
        )


async def _is_settled(archive: Archive, path: Path) -> bool:
    """Whether no rotation is under way that should be finished instead of beginning another."""
    found = await archive.rotation.census()
    only = len(from_file(path, may_create=False)) == 1
    return only and not found.keks.former and set(found.by_kek) <= {archive.keys.name}


async def _rewrap_all(archive: Archive) -> int:
    """Until a whole pass finds nothing: a server beside us may have been making a key when we began."""
    console = Console(stderr=True)
    done = 0
    with Progress(console=console, disable=not sys.stderr.isatty()) as progress:
        while True:
            task = progress.add_task("wrapping anew", total=None)
            found = await archive.rotation.run(lambda n, task=task: progress.advance(task, n))  # type: ignore[misc]
            done += found
            if not found:
                return done


def _state(name: str, found: Census) -> str:
    if name == found.keks.current:
        return "current"
    return "needed until 'consentry keys rotate' is through"


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat() if at else "(not noted)"


_ACTIONS: dict[str, _Action] = {
    "list": _list,
    "rotate": _rotate,
    "reseal": _reseal,
    "renew-signing": _renew_signing,
}
