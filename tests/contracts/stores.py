"""The adapters of the Store, and short words for what the contract tests write and ask."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fhir_server.store.database import Database
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.protocol import SealedVersion, Selection, Store
from fhir_server.store.sqlite.database import open_sqlite

from .. import mongo_server

FILE = "store.sqlite"


async def _open_sqlite(folder: Path) -> Database:
    return open_sqlite(folder / FILE)


async def _open_mongo(folder: Path) -> Database:
    return await open_mongo(mongo_server.url(folder))


DATABASES: dict[str, Callable[[Path], Awaitable[Database]]] = {
    "sqlite": _open_sqlite,
    "mongo": _open_mongo,
}
ADAPTERS = [
    pytest.param("sqlite"),
    pytest.param("mongo", marks=mongo_server.needs_mongo),
]
TYPE = "Observation"


class StoppedError(Exception):
    """What a test stops a unit with."""


@pytest.fixture(params=ADAPTERS)
async def database(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Database]:
    opened = await DATABASES[request.param](folder)
    yield opened
    await opened.close()


@pytest.fixture
async def store(database: Database) -> Store:
    return database.store


def row(name: str) -> bytes:
    return name.encode().ljust(16, b".")


def token(name: str) -> bytes:
    return name.encode().ljust(12, b".")


def version(
    name: str, number: int = 1, rid: int = 0, at: int = 0, **other: object
) -> SealedVersion:
    filled = {"type_": TYPE, "deleted": False, "patients": b"", "wraps": b"", "sealed": b"s" * 300}
    return SealedVersion(
        rid=rid,
        row=row(name),
        version=number,
        at=at or number,
        key_id=b"k" * 16,
        **{**filled, **other},
    )


async def write(store: Store, name: str, *tokens: str, fail: bool = False, at: int = 0) -> int:
    async with store.writing() as unit:
        rid = await unit.put(version(name, at=at), [token(t) for t in tokens], [])
        await unit.append_audit(rid, name.encode().ljust(32), b"opening")
        if fail:
            raise StoppedError
    return rid


async def found(store: Store, *groups: tuple[str, ...], **narrowed: object) -> list[bytes]:
    selection = Selection(
        TYPE, tuple(tuple(token(t) for t in group) for group in groups), **narrowed
    )
    async with store.reading() as snapshot:
        return [v.row.rstrip(b".") for v in await snapshot.select(selection)]


class StoredRows:
    """Audit rows of a database, each of a small record."""

    def __init__(self, database: Database) -> None:
        self._store = database.store
        self.commitments: list[bytes] = []

    async def append(self, count: int) -> None:
        async with self._store.writing() as unit:
            for n in range(len(self.commitments), len(self.commitments) + count):
                rid = await unit.put(version(f"event {n}", type_="AuditEvent"), [], [])
                commitment = hashlib.sha256(b"%d" % n).digest()
                await unit.append_audit(rid, commitment, b"opening")
                self.commitments.append(commitment)
