"""The AuditEvent of an erasure: the statement that its receipt proves.

It says that the keys of one patient were destroyed, when, how many records became tombstones, and which keys they were (as
the list of erasures has them).  It names the patient by a keyed hash only: with the server's index key and the patient's
id one can tell whether it was hers, without either one learns nothing.  It is sealed for nobody, so that it survives.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.forms import Json
from fhir_server.interactions.leaf import event_draft
from fhir_server.resource_text import instant
from fhir_server.search.tokens import Tokenizer
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Draft

DONE = "erased|"  # notes of what these say: the patient's token follows
_CODES = "http://terminology.hl7.org/CodeSystem"
_KEY_DESTROYED = "key-destroyed"
_CONSENT_ERASED = "consent-erased"
_PATIENT = "patient-token:"
_STATEMENT = (
    "The data keys of this patient were destroyed, her records were taken out of the index and their seals removed;"
    " of records of several patients her part was removed."
)


@dataclass(frozen=True, slots=True)
class Erased:
    """An erasure that is done.

    Attributes:
        owner: The patient's token.
        at: When, milliseconds since 1970 UTC.
        by: Who demanded it: a client id, or the command.
        entries: What the list of erasures has of the destroyed keys.
        buried: Records and AuditEvents that have become tombstones.
        shared: Versions of records of several patients that were sealed anew without her.
        event: Id of the AuditEvent.
        consents: Row keys, hexadecimal, of her Consents that named other patients, too: AuditEvents tell these of them.
    """

    owner: bytes
    at: int
    by: str
    entries: tuple[str, ...]
    buried: int
    shared: int
    event: str
    consents: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """As it is kept: JSON."""
        kept = {name: getattr(self, name) for name in self.__slots__ if name != "owner"}
        return orjson.dumps(kept)


def unpack(owner: bytes, content: bytes) -> Erased:
    """What ``Erased.pack`` made."""
    with as_written("the note of an erasure"):
        kept = orjson.loads(content)
        lists = {name: tuple(kept.get(name, ())) for name in ("entries", "consents")}
        return Erased(**{**kept, **lists, "owner": owner})


def statement(erased: Erased, base: str, custodian: str, tokenizer: Tokenizer) -> Draft:
    """The AuditEvent, to be written in the unit of work that destroys the keys."""
    details = [
        {"type": "statement", "valueString": _STATEMENT},
        {"type": "records-erased", "valueString": str(erased.buried)},
        {"type": "shared-versions-sealed-anew", "valueString": str(erased.shared)},
        *({"type": _KEY_DESTROYED, "valueString": entry} for entry in erased.entries),
        *({"type": _CONSENT_ERASED, "valueString": row} for row in erased.consents),
    ]
    event = {
        "resourceType": "AuditEvent",
        "id": erased.event,
        "meta": {"versionId": "1", "lastUpdated": instant(erased.at)},
        "type": {"system": f"{_CODES}/iso-21089-lifecycle", "code": "destroy"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "operation"}],
        "action": "D",
        "recorded": instant(erased.at),
        "outcome": "0",
        "agent": [{"who": {"identifier": {"value": erased.by}}, "requestor": True}],
        "source": {"site": base, "observer": {"reference": custodian, "display": "Consentry"}},
        "entity": [
            {
                "what": _who(erased),
                "type": {"system": f"{_CODES}/audit-entity-type", "code": "1"},
                "role": {"system": f"{_CODES}/object-role", "code": "1"},
                "lifecycle": {"system": f"{_CODES}/dicom-audit-lifecycle", "code": "15"},
                "detail": details,
            }
        ],
    }
    return event_draft(event, erased.at, (), tokenizer)


def is_stated(erased: Erased, event: Json) -> bool:
    """Whether an AuditEvent states this erasure: of this patient, of these keys, and of these Consents."""
    return (
        whose(event) == erased.owner.hex()
        and _stated(event, _KEY_DESTROYED) == erased.entries
        and consents_of(event) == erased.consents
    )


def whose(event: Json) -> str:
    """The token, hexadecimal, of the patient whose erasure an AuditEvent states; empty for any other AuditEvent."""
    identifier = _entity(event).get("what", {}).get("identifier", {}).get("value", "")
    return str(identifier).removeprefix(_PATIENT) if str(identifier).startswith(_PATIENT) else ""


def consents_of(event: Json) -> tuple[str, ...]:
    """Row keys of the Consents of which it is stated that they were erased, see ``Erased``."""
    return _stated(event, _CONSENT_ERASED)


def _stated(event: Json, type_: str) -> tuple[str, ...]:
    details = _entity(event).get("detail", ())
    return tuple(str(d.get("valueString")) for d in details if d.get("type") == type_)


def _entity(event: Json) -> dict[str, Any]:
    entities = event.get("entity")
    return entities[0] if isinstance(entities, list) and entities else {}


def _who(erased: Erased) -> dict[str, object]:
    return {"identifier": {"value": f"{_PATIENT}{erased.owner.hex()}"}}
