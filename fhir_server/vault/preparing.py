"""The writer of a unit of work that is prepared beside others' (``store/preparing.py``)."""

from fhir_server.store.preparing import Prepared
from fhir_server.vault.reader import Keys
from fhir_server.vault.writer import Writer


class PreparedWriter(Writer):
    """Seals and keeps what it is given, until it is written into a unit whose turn has come.

    Whatever can not be prepared raises ``StaleError``: then the same has to be done in a unit of its own.
    """

    def __init__(self, prepared: Prepared, epoch: int, began: float, keys: Keys) -> None:
        super().__init__(prepared, epoch, began, keys)
        self._prepared = prepared

    async def write_into(self, writer: Writer) -> None:
        """Write everything into a unit of work whose turn has come.

        Raises:
            StaleError: What it depends on is no longer so; the unit has to be undone.
        """
        await self._prepared.write(writer.unit)

    def number(self, prepared: int) -> int:
        """The number in the log of an AuditEvent, once it is written."""
        return self._prepared.number(prepared)
