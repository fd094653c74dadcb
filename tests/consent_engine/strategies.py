"""Random Consents, requests and records of the few codes and dates that ``naive.py`` knows."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from .naive import ORDER

REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
TYPES = "http://hl7.org/fhir/resource-types"
LOINC = "http://loinc.org"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"


def codings(system: str, codes: list[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    each = st.sampled_from(codes).map(lambda code: {"system": system, "code": code})
    return st.lists(each, min_size=1, max_size=2)


PEOPLE = ["Practitioner/1", "Organization/1"]
ROLES = st.sampled_from(["IRCP", "IRCP", "CST", "AUT"])
REFERENCES = st.sampled_from([{"reference": r} for r in PEOPLE] + [{"display": "somebody"}])
ACTORS = st.lists(
    st.builds(
        lambda role, reference: {
            "role": {"coding": [{"system": PARTICIPATION, "code": role}]},
            "reference": reference,
        },
        ROLES,
        REFERENCES,
    ),
    min_size=1,
    max_size=2,
)
PERIODS = st.sampled_from(
    [
        {"start": "2024-01-01", "end": "2024-12-31"},
        {"start": "2024-06-01", "end": "2024-06-01"},
        {"start": "2020-01-01", "end": "2023-12-31"},
    ]
)
LABELS = st.lists(
    st.sampled_from(["N", "R", "V", "PSY", "SPI", "SUD", "ETH", "ETHUD", "HIV"]).map(
        lambda c: {"system": CONFIDENTIALITY if c in ORDER else ACT, "code": c}
    ),
    min_size=1,
    max_size=2,
)
DATA = st.lists(
    st.builds(
        lambda meaning, reference: {"meaning": meaning, "reference": {"reference": reference}},
        st.sampled_from(["instance", "related", "dependents", "authoredby"]),
        st.sampled_from(["Observation/r", "Encounter/1", "Task/1", "Practitioner/1"]),
    ),
    min_size=1,
    max_size=2,
)
OPTIONAL = {
    "actor": ACTORS,
    "action": codings(ACTION, ["access", "correct"]).map(lambda cs: [{"coding": [c]} for c in cs]),
    "purpose": codings(REASON, ["TREAT", "ETREAT", "BTG", "HPAYMT"]),
    "securityLabel": LABELS,
    "class": st.one_of(
        codings(TYPES, ["Observation", "Condition"]), codings("urn:other", ["Observation2"])
    ),
    "code": codings(LOINC, ["1-1", "2-2"]).map(lambda cs: [{"coding": [c]} for c in cs]),
    "dataPeriod": PERIODS,
    "data": DATA,
    "period": PERIODS,
}


@st.composite
def provisions(draw: st.DrawFn, depth: int = 3, nested: bool = False) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(OPTIONAL)), max_size=2, unique=True))
    found: dict[str, Any] = {name: draw(OPTIONAL[name]) for name in names}
    if nested or draw(st.booleans()):
        found["type"] = draw(st.sampled_from(["permit", "deny"]))
    if depth > 1 and draw(st.integers(0, 2)):
        found["provision"] = draw(
            st.lists(provisions(depth=depth - 1, nested=True), min_size=1, max_size=2)
        )
    return found or {"type": "permit"}


@st.composite
def consents(draw: st.DrawFn, patient: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Consent",
        "status": draw(st.sampled_from(["active", "active", "active", "inactive"])),
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
    }
    if patient:
        found["patient"] = {"reference": "Patient/1"}
    coding = draw(st.sampled_from([None, "OPTIN", "OPTOUT"]))
    if coding:
        found["policyRule"] = {"coding": [{"system": ACT, "code": coding}]}
    if draw(st.integers(0, 5)):
        found["provision"] = draw(provisions())
    if not draw(st.integers(0, 5)):
        found["verification"] = [{"verified": draw(st.booleans())}]
    return found


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": draw(st.sampled_from(["Observation", "Condition"])),
        "id": "r",
    }
    labels = draw(st.one_of(st.just([]), LABELS))
    if labels:
        found["meta"] = {"security": labels}
    if draw(st.booleans()):
        found["code"] = {"coding": [draw(codings(LOINC, ["1-1", "2-2"]))[0]]}
    if draw(st.booleans()):
        found["effectiveDateTime"] = draw(st.sampled_from(["2022-05-05", "2024-03-03"]))
    if draw(st.booleans()):
        found["performer"] = [{"reference": draw(st.sampled_from(PEOPLE))}]
    if draw(st.booleans()):
        found["encounter"] = {"reference": "Encounter/1"}
    return found


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    people = st.sampled_from([*PEOPLE, "Practitioner/9", "Group/er", "Patient/1"])
    return {
        "consents": draw(st.lists(consents(), max_size=3)),
        "admin": draw(st.lists(consents(patient=False), max_size=1)),
        "actors": draw(st.frozensets(people, max_size=3)),
        "purpose": draw(st.sampled_from([None, "TREAT", "ETREAT", "BTG", "HPAYMT"])),
        "action": draw(st.sampled_from([None, "access", "correct"])),
        "custodian": draw(st.sampled_from([None, "Organization/1", "Organization/2"])),
        "default": draw(st.sampled_from(["deny", "deny", "permit"])),
        "resource": draw(records()),
        "graph": draw(
            st.dictionaries(
                st.sampled_from(["Encounter/1", "Task/1", "Observation/r", "Practitioner/1"]),
                st.lists(st.sampled_from(["Observation/r", "Condition/r"]), max_size=1),
                max_size=4,
            )
        ),
    }


JUNK = st.sampled_from([None, "", "x", 0, 1.5, True, [], {}, [None], ["x"], {"x": 1}, [[]], [{}]])


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A permit in which one element, at any depth, has been replaced by something else."""
    found = deepcopy(draw(consents()))  # what was sampled stays as it is for the next draw
    found["status"] = "active"
    found.setdefault("provision", {"type": "permit"})
    node: Any = found
    while True:
        name = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[name], dict | list) and node[name] and draw(st.booleans()):
            node = node[name]
            continue
        node[name] = draw(JUNK.filter(lambda junk, old=node[name]: type(junk) is not type(old)))
        return found
