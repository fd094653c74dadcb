"""An export under way, and where it is kept: sealed, with the row keys of its files but nothing of what is in them.

Kept form of an export (our own): JSON, version 1.  Kept form of a file: row keys, 16 bytes each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import orjson

from fhir_server.errors import NotFoundError, TooManyExportsError
from fhir_server.vault.noted import as_written
from smart_auth.store import Entry, RegisterStore

_EXPORT, _FILE = "export", "export-file"
_VERSION = 1
_ROW = 16  # bytes
_MOST = 10  # exports of one caller at a time
LIFETIME = 24 * 3600 * 1000  # milliseconds


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export.

    Attributes:
        count: How many resources it has.
        size: Bytes of their seals, about as many as the file will have.
    """

    type_: str
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Export:
    """One export.

    Attributes:
        id_: 128 random bits, hexadecimal.
        owner: Who asked for it; nobody else can follow it.
        at: Its transaction time, milliseconds since 1970 UTC.
        request: The url that was asked.
        level: ``Patient`` or ``Group`` where only what belongs to patients is wanted; else empty.
        patients: References of the only patients wanted; None for no such limit.
        types: What is looked through, in this order; behind ``own`` of them come those that patients' records refer to.
        since: ``_since``, or empty.
        filters: ``_typeFilter``, each as it was sent.
        elements: ``_elements``, or empty.
        place: The number of the type that is looked through, and the ``rid`` behind which it goes on.
        referred: By type the row keys of what patients' records refer to, hexadecimal.
        busy: Until when somebody works at it, milliseconds since 1970 UTC.
    """

    id_: str
    owner: str
    at: int
    request: str
    level: str
    patients: tuple[str, ...] | None
    types: tuple[str, ...]
    own: int
    since: str = ""
    filters: tuple[str, ...] = ()
    elements: str = ""
    place: tuple[int, int] = (0, 0)
    files: tuple[File, ...] = ()
    referred: Mapping[str, Sequence[str]] | None = None
    busy: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all was looked through."""
        return self.place[0] >= len(self.types)


@dataclass(frozen=True, slots=True)
class Kept:
    """An export with the version of what is kept of it."""

    export: Export
    version: int


class Exports:
    """Where exports are kept; each call is a transaction of its own."""

    def __init__(self, store: RegisterStore) -> None:
        self._store = store

    async def begin(self, export: Export) -> None:
        """Keep a new one, and forget those whose time is over.

        Raises:
            TooManyExportsError: This caller has too many.
        """
        living = 0
        for entry in await self._store.of(_EXPORT):
            other = _unpacked(entry.value)
            if other.at + LIFETIME <= export.at:
                await self.drop(other)
            else:
                living += other.owner == export.owner
        if living >= _MOST:
            raise TooManyExportsError(
                f"you have {living} exports: delete one by its status url, or wait until it expires"
            )
        await self._store.save(_EXPORT, _entry(export, 0))

    async def find(self, id_: str, owner: str, at: int) -> Kept:
        """The export of an id, as it is now.

        Raises:
            NotFoundError: There is none, it has expired, or it is another's.
        """
        entry = await self._store.find(_EXPORT, _key(id_))
        found = _unpacked(entry.value) if entry else None
        if entry is None or found is None or found.owner != owner or found.at + LIFETIME <= at:
            raise NotFoundError("there is no such export, or it is another's")
        return Kept(found, entry.version)

    async def save(self, kept: Kept, export: Export) -> Kept:
        """Keep how far it is.

        Raises:
            ChangedError: Somebody else was faster, or it was deleted.
        """
        await self._store.save(_EXPORT, _entry(export, kept.version))
        return Kept(export, kept.version + 1)

    async def extend(self, export: Export, number: int, count: int, rows: Sequence[bytes]) -> None:
        """Put rows behind the first ``count`` of a file; what stood there before is forgotten.

        Raises:
            ChangedError: Somebody else was faster.
        """
        key = _file_key(export.id_, number)
        entry = await self._store.find(_FILE, key) or Entry(key, _key(export.id_), 0, b"")
        value = entry.value[: count * _ROW] + b"".join(rows)
        await self._store.save(_FILE, replace(entry, value=value))

    async def rows(self, export: Export, number: int) -> list[bytes]:
        """The row keys of a file.

        Raises:
            NotFoundError: It has no such file.
        """
        entry = await self._store.find(_FILE, _file_key(export.id_, number))
        if entry is None or number >= len(export.files):
            raise NotFoundError("the export has no such file")
        value = entry.value[: export.files[number].count * _ROW]
        return [value[at : at + _ROW] for at in range(0, len(value), _ROW)]

    async def drop(self, export: Export) -> None:
        """Forget it and its files."""
        await self._store.drop(_EXPORT, _key(export.id_))
        for entry in await self._store.of(_FILE, _key(export.id_)):
            await self._store.drop(_FILE, entry.key)


def _key(id_: str) -> str:
    return sha256(id_.encode()).hexdigest()


def _file_key(id_: str, number: int) -> str:
    return sha256(f"{id_}|{number}".encode()).hexdigest()


def _entry(export: Export, version: int) -> Entry:
    content = orjson.dumps({"version": _VERSION, **asdict(export)})
    return Entry(_key(export.id_), "", version, content)


def _unpacked(content: bytes) -> Export:
    with as_written("an export"):
        kept = orjson.loads(content)
        kept.pop("version")
        patients = kept.pop("patients")
        files = tuple(File(**each) for each in kept.pop("files"))
        kept.update({name: tuple(v) for name, v in kept.items() if isinstance(v, list)})
        wanted = None if patients is None else tuple(patients)
        return Export(**kept, files=files, patients=wanted)
