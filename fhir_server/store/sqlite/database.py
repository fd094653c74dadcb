"""One SQLite file with all that a server keeps."""

from pathlib import Path

from fhir_server.store.database import Database
from fhir_server.store.sqlite.chunks import SqliteChunkItems
from fhir_server.store.sqlite.grants import SqliteGrantItems
from fhir_server.store.sqlite.leases import SqliteLeases
from fhir_server.store.sqlite.log import SqliteJournal, SqliteLeaves
from fhir_server.store.sqlite.register import SqliteRegisterItems
from fhir_server.store.sqlite.reindex import SqliteReindexJournal
from fhir_server.store.sqlite.secrets import SqliteSecretItems
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.store.sqlite.tiles import SqliteTiles


def open_sqlite(path: Path) -> Database:
    """Open the file, or make it.

    Raises:
        SettingsError: It can not be opened, or another program made it.
    """
    store = SqliteStore(path)
    return Database(
        store=store,
        grants=SqliteGrantItems(store),
        register=SqliteRegisterItems(store),
        secrets=SqliteSecretItems(store),
        leaves=SqliteLeaves(store),
        tiles=SqliteTiles(store),
        anchors=SqliteJournal(store),
        reindex=SqliteReindexJournal(store),
        chunks=SqliteChunkItems(store),
        events=store,
        news=store.news,
        leases=SqliteLeases(path),
        fresh=store.fresh,
        batches=store.batches,
        waiting=lambda: store.waiting,
    )
