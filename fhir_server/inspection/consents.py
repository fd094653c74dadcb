"""The Consents that are there, against the register that decides by them and the audit log that tells of them.

Whoever puts back Consents, register and root of one moment while no server runs deceives the server (``vault/register.py``),
but not the log: it is anchored, and its AuditEvents name each version that was ever written.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from fhir_server.crypto.blind import BlindIndex
from fhir_server.errors import TamperedRecordError
from fhir_server.inspection.finding import Finding
from fhir_server.store.inspection import Kept
from fhir_server.vault.noted import owner_of
from fhir_server.vault.register import NOTE
from fhir_server.vault.vault import Reader, patient_tokens

_CONSENT = "Consent"
_VERSION = re.compile(r"Consent/([^/]+)/_history/([0-9]+)")


class Consents:
    """What was met on the way through the records."""

    def __init__(self, blind: BlindIndex) -> None:
        self._blind = blind
        self._told: dict[bytes, int] = defaultdict(int)  # by row key: the highest version
        self._kept: dict[bytes, Kept] = {}

    def meet(self, kept: Kept, value: Mapping[str, object] | None) -> None:
        """Note a record, with what its last version says."""
        if kept.type_ == _CONSENT and kept.versions:
            self._kept[kept.versions[-1].row] = kept
        elif kept.type_ == "AuditEvent" and value is not None:
            for id_, version in _named(value):
                row = self._blind.row(_CONSENT, id_)
                self._told[row] = max(self._told[row], version)

    async def findings(self, reader: Reader, erased: Collection[bytes]) -> list[Finding]:
        """What does not agree, once all records were met; ``erased``: row keys of Consents that went with their patients."""
        return [*self._untold(erased), *await self._unregistered(reader)]

    def _untold(self, erased: Collection[bytes]) -> Iterator[Finding]:
        for row in self._told.keys() - erased:
            kept, version = self._kept.get(row), self._told[row]
            if kept is None:
                yield Finding(_CONSENT, 0, "the audit log tells of a Consent that is not there")
            elif kept.versions[-1].version < version:
                words = f"the audit log tells of version {version}, which is not there"
                yield Finding(_CONSENT, kept.rid, words)

    async def _unregistered(self, reader: Reader) -> list[Finding]:
        current = self._current()
        try:
            noted = {owner_of(patient) for patient in await reader.notes.load(NOTE)}
        except TamperedRecordError as error:
            return [Finding(_CONSENT, 0, f"register: {error}")]
        found = []
        for patient in sorted(noted | current.keys()):
            rids = current.get(patient, {})
            try:
                consents = await reader.consents(patient, await reader.consent_note(patient))
            except TamperedRecordError as error:
                found.append(Finding(_CONSENT, min(rids, default=0), f"register: {error}"))
                continue
            named = {version.rid: version.version for version in consents}
            found += [
                Finding(_CONSENT, rid, "the register of a patient does not say the same")
                for rid in sorted({rid for rid, _ in named.items() ^ rids.items()})
            ]
        return found

    def _current(self) -> dict[bytes, dict[int, int]]:
        """Versions of the Consents that hold, by patient and record."""
        current: dict[bytes, dict[int, int]] = defaultdict(dict)
        for kept in self._kept.values():
            newest = kept.versions[-1]
            if not newest.deleted:
                for patient in patient_tokens(newest):
                    current[patient][kept.rid] = newest.version
        return current


def _named(event: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    """The versions of Consents that an AuditEvent is about."""
    entities = event.get("entity")
    for entity in entities if isinstance(entities, list) else ():
        what = entity.get("what") if isinstance(entity, dict) else None
        reference = what.get("reference") if isinstance(what, dict) else None
        match = _VERSION.fullmatch(reference) if isinstance(reference, str) else None
        if match:
            yield match[1], int(match[2])
