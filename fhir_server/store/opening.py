"""Opening the database that the settings name: the only place that knows which kinds there are."""

from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.store.inspection import Inspection
from fhir_server.store.mongo_database import open_mongo
from fhir_server.store.protocol import Snapshot
from fhir_server.store.sqlite_database import open_sqlite
from fhir_server.store.sqlite_inspection import SqliteInspection
from fhir_server.store.sqlite_records import SqliteSnapshot

DATABASE_FILE = "consentry.sqlite"


def inspection(snapshot: Snapshot) -> Inspection:
    """All of a snapshot, to be looked at as it is stored.

    Raises:
        SettingsError: It is of a database that can not be looked at so.
    """
    if not isinstance(snapshot, SqliteSnapshot):
        raise SettingsError(
            "only a database in a file can be checked; 'consentry verify' checks the log of any"
        )
    return SqliteInspection(snapshot)


async def open_database(settings: Settings, *, create: bool = True) -> Database:
    """The database of a server; made if there is none and ``create``.

    Raises:
        SettingsError: There is none, or it can not be used; the message says why.
    """
    if settings.store:
        return await open_mongo(settings.store, create=create)
    path = settings.data / DATABASE_FILE
    if not create and not path.exists():
        raise SettingsError(f"no database in {settings.data}: start 'consentry serve' on it first")
    return open_sqlite(path)
