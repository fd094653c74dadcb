"""The file of a backup.

A tar with, in this order: ``manifest.json``; ``manifest.mac``, the HMAC-SHA256 of the manifest's bytes under the server's
own secret ``backup``; then the files that the manifest names.  The manifest, as JSON: ``format`` (1), ``tenant``, ``made``,
``schema``, ``events`` (of the audit log), and ``files`` (each ``name``, ``size`` and ``sha256``).  So a backup that was cut
off or damaged is noticed without the key, one that was altered on purpose with it.  The files themselves are sealed already.
"""

import hashlib
import hmac
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from fhir_server.errors import BackupError

FORMAT = 1
SECRET = "backup"  # noqa: S105  the name of the secret, not the secret
_MANIFEST, _MAC = "manifest.json", "manifest.mac"
_MOST_MANIFEST = 1024 * 1024
_PART = 1024 * 1024
Progress = Callable[[int, int], None]  # bytes, of how many


@dataclass(frozen=True, slots=True)
class BackedUp:
    """One file of a backup; ``sha256`` hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        made: When, ISO 8601 UTC.
        schema: Schema version of the database.
        events: Of the audit log.
    """

    tenant: str
    made: str
    schema: int
    events: int
    files: tuple[BackedUp, ...]


def describe(folder: Path, names: Sequence[str]) -> tuple[BackedUp, ...]:
    """The files of a folder, with their digests."""
    return tuple(_described(folder / name) for name in names)


def pack(target: Path, folder: Path, manifest: Manifest, key: bytes, progress: Progress) -> None:
    """Write a backup; ``target`` appears when it is whole, and must not be there.

    Raises:
        BackupError: There is a file of that name.
    """
    if target.exists():
        raise BackupError(f"{target} is there already: name another file")
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            _write(file, folder, manifest, key, progress)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def unpack(source: Path, folder: Path, progress: Progress) -> tuple[Manifest, bytes, bytes]:
    """Take a backup apart into a folder; give the manifest, its bytes and its MAC, which are still to be compared.

    Raises:
        BackupError: It is no backup, of a newer program, cut off or damaged.
    """
    try:
        with tarfile.open(source, "r:") as tar:
            members = iter(tar)
            text, mac = _small(tar, next(members), _MANIFEST), _small(tar, next(members), _MAC)
            manifest = _read(text)
            total, done = sum(file.size for file in manifest.files), 0
            for file in manifest.files:
                member = next(members)
                if (member.name, member.size, member.isreg()) != (file.name, file.size, True):
                    raise BackupError("the backup does not hold what its manifest says")
                for part in _copied(tar, member, folder / file.name, file.sha256):
                    done += part
                    progress(done, total)
            return manifest, text, mac
    except (tarfile.TarError, StopIteration, EOFError) as error:
        raise BackupError(f"{source.name} is no backup, or is cut off") from error


def require_mac(text: bytes, mac: bytes, key: bytes) -> None:
    """Refuse a manifest that was not written with the key.

    Raises:
        BackupError: It was altered.
    """
    if not hmac.compare_digest(_mac(text, key), mac):
        raise BackupError("the backup was altered: its manifest is not the one that was written")


def _write(
    file: IO[bytes], folder: Path, manifest: Manifest, key: bytes, progress: Progress
) -> None:
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1).encode()
    total, done = sum(each.size for each in manifest.files), 0
    with tarfile.open(fileobj=file, mode="w:") as tar:
        for name, content in ((_MANIFEST, text), (_MAC, _mac(text, key))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for each in manifest.files:
            member = tarfile.TarInfo(each.name)
            member.size, member.mode = each.size, 0o600
            with (folder / each.name).open("rb") as content_file:
                tar.addfile(member, content_file)
            done += each.size
            progress(done, total)


def _mac(text: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"backup|" + text, "sha256")


def _small(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> bytes:
    file = tar.extractfile(member)
    if member.name != name or member.size > _MOST_MANIFEST or file is None:
        raise BackupError("the file is no backup of this program")
    return file.read()


def _read(text: bytes) -> Manifest:
    try:
        value = json.loads(text)
        if value["format"] != FORMAT:
            raise BackupError(
                f"the backup has format {value['format']}, this program knows {FORMAT}"
            )
        files = tuple(
            BackedUp(str(f["name"]), int(f["size"]), str(f["sha256"])) for f in value["files"]
        )
        made = str(value["tenant"]), str(value["made"])
        return Manifest(*made, int(value["schema"]), int(value["events"]), files)
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError("the manifest of the backup can not be read") from error


def _copied(
    tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, sha256: str
) -> Iterator[int]:
    """Copy one file; how many bytes each time."""
    if "/" in member.name or member.name.startswith("."):
        raise BackupError("the backup names a file that it must not hold")
    file, digest = tar.extractfile(member), hashlib.sha256()
    assert file is not None
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as copy:
        while part := file.read(_PART):
            digest.update(part)
            copy.write(part)
            yield len(part)
        os.fsync(copy.fileno())
    if digest.hexdigest() != sha256:
        raise BackupError(f"the backup is damaged: {member.name} is not what was written")


def _described(path: Path) -> BackedUp:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BackedUp(path.name, path.stat().st_size, digest)
