"""The AuditEvent of an erasure: the statement that its receipt proves.

It says that the keys of one patient were destroyed, when, how many records became tombstones, and which keys they were (as
the list of erasures has them).  It names the patient by a keyed hash only: with the server's index key and the patient's
id one can tell whether it was hers, without either one learns nothing.  It is sealed for nobody, so that it survives.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.interactions.leaf import event_draft
from fhir_server.resource_text import instant
from fhir_server.search.tokens import Tokenizer
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Draft

_CODES = "http://terminology.hl7.org/CodeSystem"
_KEY_DESTROYED = "key-destroyed"
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
    """

    owner: bytes
    at: int
    by: str
    entries: tuple[str, ...]
    buried: int
    shared: int
    event: str

    def pack(self) -> bytes:
        """As it is kept: JSON."""
        kept = {name: getattr(self, name) for name in self.__slots__ if name != "owner"}
        return orjson.dumps(kept)


def unpack(owner: bytes, content: bytes) -> Erased:
    """What ``Erased.pack`` made."""
    with as_written("the note of an erasure"):
        kept = orjson.loads(content)
        return Erased(**{**kept, "owner": owner, "entries": tuple(kept["entries"])})


def statement(erased: Erased, base: str, custodian: str, tokenizer: Tokenizer) -> Draft:
    """The AuditEvent, to be written in the unit of work that destroys the keys."""
    details = [
        {"type": "statement", "valueString": _STATEMENT},
        {"type": "records-erased", "valueString": str(erased.buried)},
        {"type": "shared-versions-sealed-anew", "valueString": str(erased.shared)},
        *({"type": _KEY_DESTROYED, "valueString": entry} for entry in erased.entries),
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


def is_stated(erased: Erased, text: bytes) -> bool:
    """Whether an AuditEvent states this erasure: of this patient, and of these keys."""
    stated: dict[str, Any] = next(iter(orjson.loads(text).get("entity", ())), {})
    details = stated.get("detail", ())
    keys = tuple(d.get("valueString") for d in details if d.get("type") == _KEY_DESTROYED)
    return stated.get("what") == _who(erased) and keys == erased.entries


def _who(erased: Erased) -> dict[str, object]:
    return {"identifier": {"value": f"patient-token:{erased.owner.hex()}"}}
