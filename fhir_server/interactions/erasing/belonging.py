"""Which records of several patients are one patient's all the same: her own Patient, and her Consents.

A Patient names others in ``link`` (merged records, duplicates), a Consent in ``provision.actor``.  That makes such a record
theirs as far as they may see it; it does not keep it when she is erased (ADR 72).
"""

from dataclasses import dataclass

import orjson

from consent_engine import literal
from fhir_server.errors import IntegrityError, KeyDestroyedError, WrongKeyError
from fhir_server.forms import Json
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Reader, patient_tokens

_UNREADABLE = (IntegrityError, KeyDestroyedError, WrongKeyError)


@dataclass(frozen=True, slots=True)
class Belonging:
    """Knows whose a record is; ``base`` is our own FHIR base url."""

    base: str

    async def is_alone(self, reader: Reader, version: SealedVersion, owner: bytes) -> bool:
        """Whether the record of a version is the patient's of this token, and goes with her.

        By the newest version that opens: her own key may be damaged, and that of another whom the record names not.
        """
        if version.patients == owner:
            return True
        if version.type_ not in ("Patient", "Consent") or owner not in patient_tokens(version):
            return False
        for each in await reader.history(version.rid):
            value = await _opened(reader, each)
            if value:
                return reader.blind.patient(self._whose(version.type_, value)) == owner
        return False

    def _whose(self, type_: str, value: Json) -> str:
        if type_ == "Patient":
            return f"Patient/{value.get('id')}"
        patient = value.get("patient")
        reference = patient.get("reference") if isinstance(patient, dict) else ""
        return literal(str(reference), self.base)


async def _opened(reader: Reader, version: SealedVersion) -> Json:
    """What a version says; empty where it was deleted, or does not open."""
    try:
        return dict(orjson.loads(await reader.open(version) or b"{}"))
    except _UNREADABLE:
        return {}
