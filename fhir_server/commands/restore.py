"""``consentry restore``: a backup becomes a data folder, if it is whole, ours and agrees with its chain; or nothing does."""

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from anchoring.errors import AnchoringError
from fhir_server.app import clock
from fhir_server.archive import Archive, open_archive
from fhir_server.commands.backup import bar
from fhir_server.commands.backup_file import SECRET, Manifest, require_mac, unpack
from fhir_server.crypto.choosing import erasures_file, key_file
from fhir_server.crypto.keys import new_seed
from fhir_server.errors import BackupError, SettingsError
from fhir_server.evidence import CHAIN_FILE, chain_head, require_past
from fhir_server.settings import Settings, read_settings
from fhir_server.store.opening import DATABASE_FILE
from fhir_server.store.sqlite.backup import described, forget_anchors
from fhir_server.transparency import ORIGIN

_BESIDE = ".restoring-"
_SINCE = "/since-"  # in the name of a log that was begun anew
_FILES = frozenset({DATABASE_FILE, CHAIN_FILE})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("file", type=Path, help="a backup made by 'consentry backup'")
    parser.add_argument(
        "--data", type=Path, help="folder to restore into; empty but for the key file"
    )
    parser.add_argument(
        "--new-log",
        action="store_true",
        help="go on although the chain has anchored events that the backup lacks, under a new log anchored from its start",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when the folder is as the backup says."""
    settings, console = read_settings(data=arguments.data), Console()
    manifest = restore(settings, arguments.file, Console(stderr=True), new_log=arguments.new_log)
    console.print(
        f"restored what was backed up at {manifest.made}: {manifest.events} events in the audit log",
        markup=False,
    )
    return 0


def restore(
    settings: Settings, source: Path, console: Console, *, new_log: bool = False
) -> Manifest:
    """Restore a backup into the data folder.

    Raises:
        SettingsError: The folder is in use.
        BackupError: The backup is not whole, not this tenant's, of a newer program, or its log contradicts the chain.
        WrongKeyError: The key is not the one that it was sealed with.
    """
    if settings.store:
        raise SettingsError("a MongoDB is restored by its own tools (docs/operating.md says how)")
    _require_empty(settings)
    with _beside(settings.data) as folder, bar(console) as progress:
        manifest, text, mac = unpack(source, folder, progress("unpacking"))
        if manifest.tenant != settings.tenant:
            raise BackupError(
                f"the backup is of tenant '{manifest.tenant[:64]}', this server is of '{settings.tenant}'"
            )
        if not {f.name for f in manifest.files} <= _FILES or not manifest.files:
            raise BackupError("the backup names a file that it must not hold")
        described(folder / DATABASE_FILE)
        asyncio.run(_prove(_in(folder, settings), text, mac, new_log=new_log))
        for name in sorted(f.name for f in manifest.files):
            (folder / name).rename(settings.data / name)
    return manifest


async def _prove(settings: Settings, text: bytes, mac: bytes, *, new_log: bool) -> None:
    async with open_archive(settings) as archive:
        require_mac(text, mac, await archive.own.get(SECRET, new_seed))
        try:
            await require_past(archive.database, await chain_head(settings, archive.own))
            return
        except AnchoringError as error:
            if not new_log:
                raise BackupError(f"{error}; {_ADVICE}") from error
        await _rename_log(archive)
    forget_anchors(settings.data / DATABASE_FILE)


_ADVICE = (
    "the chain knows more than this backup, or another log: look for a newer backup; or, to go on without those events, "
    "restore with --new-log: what is restored is then anchored anew under a new name, and what the chain holds under the "
    "old name stays there as proof of what is missing"
)


async def _rename_log(archive: Archive) -> None:
    """Give the log a new name, by which the chain knows nothing of it yet."""
    former = (await archive.own.get(ORIGIN, bytes)).decode().partition(_SINCE)[0]
    await archive.own.change(ORIGIN, f"{former}{_SINCE}{clock():%Y%m%dT%H%M%SZ}".encode())


def _in(folder: Path, settings: Settings) -> Settings:
    """The settings for the unpacked files, with the key where it is."""
    path = key_file(settings)
    if path is None or settings.key_provider:
        return replace(settings, data=folder)
    return replace(settings, data=folder, key_file=str(path))


def _require_empty(settings: Settings) -> None:
    """Nothing but the key file and the list of erasures may lie in the folder."""
    path, data = key_file(settings), settings.data
    found = {each.name for each in data.iterdir()} if data.is_dir() else set()
    kept = {erasures_file(settings).name}
    kept |= {name for name in found if path is not None and name.startswith(path.name)}
    left = {name for name in found if name.startswith(_BESIDE)}  # by one that was killed
    if found - kept - left:
        raise SettingsError(
            f"the folder {data} is not empty: restore into a new one, with the key and the list of erasures at most"
        )
    for name in left:
        shutil.rmtree(data / name)


@contextmanager
def _beside(data: Path) -> Iterator[Path]:
    """A folder inside the data folder, gone afterwards, and the data folder with it if it was made for this in vain."""
    made = not data.exists()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_BESIDE, dir=data))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder)
        if made:
            shutil.rmtree(data)
        raise
    shutil.rmtree(folder)
