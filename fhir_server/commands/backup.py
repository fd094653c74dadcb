"""``consentry backup``: one file with all that a server keeps, as it was at one instant; beside a server that runs."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.app import clock
from fhir_server.archive import open_archive
from fhir_server.commands.backup_file import SECRET, Manifest, describe, pack
from fhir_server.commands.backup_file import Progress as Told
from fhir_server.crypto.choosing import key_file
from fhir_server.crypto.keys import new_seed
from fhir_server.errors import BackupError, SettingsError
from fhir_server.evidence import CHAIN_FILE
from fhir_server.settings import Settings, read_settings
from fhir_server.store.opening import DATABASE_FILE
from fhir_server.store.sqlite.backup import copy_together, described


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("file", type=Path, help="the backup to be made; must not be there yet")
    parser.add_argument(
        "--data", type=Path, help="folder of the database (default: consentry-data)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when the file is whole and durable."""
    settings, console = read_settings(data=arguments.data), Console()
    manifest = back_up(settings, arguments.file, Console(stderr=True))
    console.print(
        f"{arguments.file}: {manifest.events} events in the audit log, schema version {manifest.schema}",
        markup=False,
    )
    console.print(_keys(settings), markup=False)
    return 0


def back_up(settings: Settings, target: Path, console: Console) -> Manifest:
    """Make a backup.

    Raises:
        SettingsError: There is no database, or it is not in a file.
        BackupError: There is a file of that name.
        WrongKeyError: The key is not the one that the database was sealed with.
    """
    if settings.store:
        raise SettingsError("a MongoDB is backed up by its own tools (docs/operating.md says how)")
    if target.exists():
        raise BackupError(f"{target} is there already: name another file")
    key = asyncio.run(_key(settings))
    with (
        tempfile.TemporaryDirectory(prefix=".backup-", dir=target.resolve().parent) as made,
        bar(console) as progress,
    ):
        folder = Path(made)
        names = [DATABASE_FILE, CHAIN_FILE] if _chain(settings) else [DATABASE_FILE]
        copy_together([(settings.data / n, folder / n) for n in names], progress("copying"))
        schema, events = described(folder / DATABASE_FILE)
        made_at = clock().isoformat(timespec="seconds")
        files = describe(folder, names)
        manifest = Manifest(settings.tenant, made_at, schema, events, files)
        pack(target, folder, manifest, key, progress("packing"))
    return manifest


class Bars:
    """One bar for each step, on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, step: str) -> Told:
        """Begin a step; what is given back tells how far it is."""
        task = self._progress.add_task(step, total=None)

        def tell(done: int, total: int) -> None:
            self._progress.update(task, completed=done, total=total)

        return tell


@contextmanager
def bar(console: Console) -> Iterator[Bars]:
    """Bars, if somebody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        yield Bars(progress)


async def _key(settings: Settings) -> bytes:
    """The key of manifests, kept in the database before it is copied."""
    async with open_archive(settings) as archive:
        return await archive.own.get(SECRET, new_seed)


def _chain(settings: Settings) -> bool:
    return not settings.chain_url and (settings.data / CHAIN_FILE).exists()


def _keys(settings: Settings) -> str:
    path = key_file(settings)
    where = f"the key file {path}" if path else "the key-encryption key"
    return f"{where} is not in it: keep it elsewhere; without it nothing opens"
