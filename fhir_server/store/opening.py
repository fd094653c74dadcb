"""Opening the database that the settings name: the only place that knows which kinds there are."""

from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.store.mongo_database import open_mongo
from fhir_server.store.sqlite_database import open_sqlite

DATABASE_FILE = "consentry.sqlite"


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
