"""Small records of the anchoring room, as notes of the store: whatever lies behind it."""

from collections.abc import Callable

from fhir_server.store.protocol import Store


class NotedRecords:
    """An ``anchoring.records.Records``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, name: str) -> bytes | None:
        """See ``Records.find``."""
        async with self._store.reading() as snapshot:
            return await snapshot.notes.find(name)

    async def change(self, name: str, changed: Callable[[bytes | None], bytes]) -> bytes:
        """See ``Records.change``."""
        async with self._store.writing() as unit:
            made = changed(await unit.notes.find(name))
            await unit.notes.save(name, made)
        return made
