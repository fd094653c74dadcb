"""The erasures that the audit log states, against the notes of them by which a server tells who was erased."""

from collections.abc import Iterator

from fhir_server.errors import TamperedRecordError
from fhir_server.forms import Json
from fhir_server.inspection.finding import Finding
from fhir_server.interactions.erasing.statement import (
    DONE,
    Erased,
    consents_of,
    is_stated,
    unpack,
    whose,
)
from fhir_server.vault.noted import owner_of
from fhir_server.vault.vault import Reader

_ERASURE = "erasure"


class Erasures:
    """What was met on the way through the AuditEvents."""

    def __init__(self) -> None:
        self._stated: dict[str, Json] = {}  # by id of the AuditEvent

    def meet(self, event: Json) -> None:
        """Note an AuditEvent, if it states an erasure."""
        if whose(event):
            self._stated[str(event.get("id"))] = event

    @property
    def consents(self) -> frozenset[bytes]:
        """Row keys of the Consents that went with their patients, and that AuditEvents still tell of."""
        return frozenset(
            bytes.fromhex(row) for event in self._stated.values() for row in consents_of(event)
        )

    async def findings(self, reader: Reader) -> list[Finding]:
        """What does not agree, once all records were met."""
        try:
            notes = await reader.notes.load(DONE)
            done = [unpack(owner_of(owner), content) for owner, content in notes.items()]
        except TamperedRecordError as error:
            return [Finding(_ERASURE, 0, str(error))]
        return [Finding(_ERASURE, 0, words) for words in self._compared(done)]

    def _compared(self, done: list[Erased]) -> Iterator[str]:
        for erased in done:
            if not is_stated(erased, self._stated.get(erased.event, {})):
                yield "a note is not what its AuditEvent says"
        known = {erased.owner.hex() for erased in done}
        for owner in sorted({whose(event) for event in self._stated.values()} - known):
            yield f"the audit log states one of which there is no note: {owner[:8]}…"
