"""Two clinics for tests of elements with labels of their own: one holds them, the other never did."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from fhir_server.pipeline.withholding import INLINE
from tests.fhir_server.answers import Json
from tests.fhir_server.clinic import (
    SECURITY,
    Clinic,
    observation,
    open_clinic,
    patient,
    sharing,
)

SECRET = "Suchtklinik"


def label(code: str = "ETH") -> Json:
    """The extension that labels the element in which it stands."""
    return {"url": INLINE, "valueCoding": {"system": SECURITY, "code": code}}


def labelled(element: Json, code: str = "ETH") -> Json:
    return {**element, "extension": [label(code)]}


PATIENT = patient(
    "a",
    name=[{"family": "Meier"}, labelled({"family": SECRET})],
    birthDate="1970-01-01",
    _birthDate={"extension": [label()]},
    gender="female",
    telecom=[labelled({"system": "phone", "value": "555-1"})],
    identifier=[labelled({"system": "urn:mrn", "value": "9"}), {"system": "urn:mrn", "value": "1"}],
)
OBSERVATION = observation(
    "o1",
    "a",
    encounter=labelled({"reference": "Encounter/e"}),
    effectiveDateTime="2020-05-01",
    _effectiveDateTime={"extension": [label()]},
    valueQuantity=labelled({"value": 2.50, "unit": SECRET}),
    note=[labelled({"text": SECRET}), {"text": "well"}],
)
ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e",
    "status": "finished",
    "class": {"code": "AMB"},
    "subject": {"reference": "Patient/a"},
}
STORED = [PATIENT, ENCOUNTER, OBSERVATION, observation("o2", "a", effectiveDateTime="2018-01-01")]


def bare(resource: Json) -> Json:
    """The resource as if nobody had ever written what is labelled in it."""
    return _bare(deepcopy(resource))


def _is_labelled(value: object) -> bool:
    return isinstance(value, dict) and any(
        isinstance(e, dict) and e.get("url") == INLINE for e in value.get("extension", ())
    )


def _bare(value: Json) -> Json:
    found = {}
    for name, child in value.items():
        if _is_labelled(child) or (_is_labelled(value.get(f"_{name}"))):
            continue
        kept = [c for c in child if not _is_labelled(c)] if isinstance(child, list) else child
        if kept == [] and child:
            continue
        if isinstance(kept, list):
            kept = [_bare(c) if isinstance(c, dict) else c for c in kept]
        found[name] = _bare(kept) if isinstance(kept, dict) else kept
    return found


async def two_clinics(folder: Path, *, shows: bool = False) -> tuple[Clinic, Clinic]:
    """One that holds the elements, and one that does not."""
    made = []
    for name, change in (("full", dict), ("bare", bare)):
        (folder / name).mkdir()
        clinic = await open_clinic(folder / name, show_redaction=shows)
        await clinic.put(patient("a"))
        await clinic.put(sharing("a"))
        for resource in STORED:
            await clinic.put(change(resource))
        made.append(clinic)
    return made[0], made[1]
