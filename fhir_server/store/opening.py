"""Opening the database that the settings name: the only place that knows which kinds there are.

Whoever has a file need not have the driver of a server in memory: it is imported when it is needed.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.store.inspection import Inspection
from fhir_server.store.protocol import Snapshot
from fhir_server.store.sqlite.database import open_sqlite
from fhir_server.store.sqlite.inspection import SqliteInspection
from fhir_server.store.sqlite.records import SqliteSnapshot

DATABASE_FILE = "consentry.sqlite"
Look = Callable[[], AbstractAsyncContextManager[tuple[Snapshot, Inspection]]]


@asynccontextmanager
async def looking(database: Database) -> AsyncIterator[Look]:
    """Snapshots to be looked at as they are stored: of a file always the same one, of a server a new one each time."""
    async with database.store.reading() as first:
        if isinstance(first, SqliteSnapshot):
            pinned = first, SqliteInspection(first)
            yield lambda: nullcontext(pinned)
            return
    yield lambda: _server_snapshot(database)


@asynccontextmanager
async def _server_snapshot(database: Database) -> AsyncIterator[tuple[Snapshot, Inspection]]:
    async with database.store.reading() as snapshot:
        from fhir_server.store.mongodb.inspection import MongoInspection
        from fhir_server.store.mongodb.records import MongoSnapshot

        assert isinstance(snapshot, MongoSnapshot), "there are two kinds of databases"
        yield snapshot, MongoInspection(snapshot.reads)


async def open_database(settings: Settings, *, create: bool = True) -> Database:
    """The database of a server; made if there is none and ``create``.

    Raises:
        SettingsError: There is none, or it can not be used; the message says why.
    """
    if settings.store:
        from fhir_server.store.mongodb.database import open_mongo

        return await open_mongo(settings.store, create=create)
    path = settings.data / DATABASE_FILE
    if not create and not path.exists():
        raise SettingsError(f"no database in {settings.data}: start 'consentry serve' on it first")
    return open_sqlite(path)
