"""What R4 asks beyond structure and invariants: bindings, targets, contained resources, URIs, extensions, narrative."""

# ruff: noqa: E501  (one case a line)

from __future__ import annotations

import copy
import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiles.validation import r4_validator

Json = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "r4-examples"
VALIDATOR = r4_validator()
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">'
R4 = "http://hl7.org/fhir/StructureDefinition"


def rules(resource: Json, severity: str = "error") -> set[tuple[str, str]]:
    """(element, rule) of each problem."""
    return {(p.expression, p.rule) for p in VALIDATOR.review(resource) if p.severity == severity}


def condition(**members: object) -> Json:
    return {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, **members}


def status(*codings: Json, **members: object) -> Json:
    return condition(clinicalStatus={"coding": list(codings), **members})


def patient(**members: object) -> Json:
    return {"resourceType": "Patient", **members}


def narrative(div: str) -> Json:
    return patient(text={"status": "generated", "div": div})


def holder(*contained: Json, **members: object) -> Json:
    return patient(contained=list(contained), **members)


ORGANIZATION = {"resourceType": "Organization", "id": "o", "name": "x"}
REFERRED = {"managingOrganization": {"reference": "#o"}}

GOOD: list[Json] = [
    status({"system": CLINICAL, "code": "active"}),
    status({"system": "urn:own", "code": "1"}, {"system": CLINICAL, "code": "active"}),
    condition(clinicalStatus={"extension": [{"url": "urn:x", "valueCode": "unknown"}]}),
    condition(code={"coding": [{"system": "urn:own", "code": "whatever"}, {"system": "http://snomed.info/sct", "code": "1"}]}),
    condition(code={"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "207"}]}),
    condition(code={"coding": [{"system": "http://hl7.org/fhir/resource-types", "version": "5.0.0", "code": "ActorDefinition"}]}),
    condition(subject={"reference": "http://other.example/fhir/Patient/1/_history/2"}),
    condition(subject={"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}), condition(subject={"display": "somebody"}),
    condition(subject={"reference": "Patient?identifier=urn:x|1"}), condition(subject={"identifier": {"value": "1"}, "type": "Patient"}),
    condition(subject={"reference": "https://elsewhere.example/a-patient"}),
    holder(ORGANIZATION, **REFERRED),
    holder({"resourceType": "Practitioner", "id": "p", "extension": [{"url": "urn:x", "valueReference": {"reference": "#"}}]}),
    holder(ORGANIZATION, extension=[{"url": "urn:x", "valueUri": "#o"}]),
    holder({"resourceType": "PractitionerRole", "id": "r", "organization": {"reference": "#o"}}, ORGANIZATION, generalPractitioner=[{"reference": "#r"}]),
    patient(extension=[{"url": "urn:own", "extension": [{"url": "part", "valueString": "x"}]}]),
    patient(extension=[{"url": f"{R4}/patient-birthPlace", "valueAddress": {"city": "x"}}]),
    narrative(f'{XHTML}<p class="a">x &amp; y &#160; <b>z</b><br/></p><table border="1"><tr><td colspan="2">1</td></tr></table></div>'),
    narrative(f'{XHTML}<img src="#a" alt="x"/></div>'), narrative(f'{XHTML}<a href="http://x.example">x</a></div>'),
]  # fmt: skip

BAD: list[tuple[Json, str, str]] = [
    (status({"system": CLINICAL, "code": "lively"}), "Condition.clinicalStatus", "binding"),
    (status({"system": "urn:own", "code": "active"}), "Condition.clinicalStatus", "binding"),
    (status({"code": "active"}), "Condition.clinicalStatus", "binding"), (status({"system": CLINICAL}), "Condition.clinicalStatus", "binding"),
    (condition(clinicalStatus={"text": "active"}), "Condition.clinicalStatus", "binding"),
    (condition(code={"coding": [{"system": "http://hl7.org/fhir/resource-types", "code": "Nonsense"}]}), "Condition.code.coding[0].code", "system"),
    (condition(code={"coding": [{"system": "http://hl7.org/fhir/ValueSet/measure-type", "code": "x"}]}), "Condition.code.coding[0].system", "system"),
    (condition(subject={"reference": "Organization/1"}), "Condition.subject", "target"),
    (condition(subject={"reference": "http://other.example/fhir/Device/1"}), "Condition.subject", "target"),
    (condition(subject={"type": "Device", "display": "x"}), "Condition.subject", "target"),
    (condition(subject={"reference": "Device?identifier=1"}), "Condition.subject", "target"),
    (condition(contained=[ORGANIZATION], subject={"reference": "#o"}), "Condition.subject", "target"),
    (holder(ORGANIZATION), "Patient.contained[0]", "dom-3"),
    (patient(managingOrganization={"reference": "#none"}), "Patient.managingOrganization.reference", "ref-1"),
    (holder({**ORGANIZATION, "contained": [patient(id="p")]}, **REFERRED), "Patient.contained[0]", "dom-2"),
    (holder({**ORGANIZATION, "meta": {"versionId": "1"}}, **REFERRED), "Patient.contained[0]", "dom-4"),
    (holder({**ORGANIZATION, "meta": {"lastUpdated": "2020-01-01T00:00:00Z"}}, **REFERRED), "Patient.contained[0]", "dom-4"),
    (holder({**ORGANIZATION, "meta": {"security": [{"code": "R"}]}}, **REFERRED), "Patient.contained[0]", "dom-5"),
    (patient(extension=[{"url": "own", "valueString": "x"}]), "Patient.extension[0].url", "extension"),
    (patient(extension=[{"url": "urn:own|1", "valueString": "x"}]), "Patient.extension[0].url", "extension"),
    (patient(extension=[{"url": "urn:own"}]), "Patient.extension[0]", "ext-1"),
    (patient(extension=[{"url": "urn:own", "valueString": "x", "extension": [{"url": "y", "valueString": "x"}]}]), "Patient.extension[0]", "ext-1"),
    (patient(_birthDate={"extension": [{"url": "urn:own"}]}), "Patient.birthDate.extension[0]", "ext-1"),
    (patient(extension=[{"url": f"{R4}/patient-birthPlace", "valueString": "x"}]), "Patient.extension[0]", "extension"),
    (patient(name=[{"id": "x"}]), "Patient.name[0]", "ele-1"),
    ({"resourceType": "ValueSet", "status": "draft", "url": "ValueSet/x"}, "ValueSet.url", "uri"),
    ({"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "Patient/1", "resource": patient(id="1")}]}, "Bundle.entry[0].fullUrl", "uri"),
    ({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": patient(), "search": {"mode": "match"}}]}, "Bundle.entry[0].resource", "definition"),
    ({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": patient(id="1"), "search": {"mode": "outcome"}}]}, "Bundle.entry[0].resource", "definition"),
    ({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": holder(ORGANIZATION)}]}, "Bundle.entry[0].resource.contained[0]", "dom-3"),
    (narrative(f"{XHTML} </div>"), "Patient.text.div", "narrative"), (narrative(f"{XHTML}<script>x</script></div>"), "Patient.text.div", "narrative"),
    (narrative(f'{XHTML}<p onclick="x()">x</p></div>'), "Patient.text.div", "narrative"), (narrative(f"{XHTML}x&nbsp;y</div>"), "Patient.text.div", "narrative"),
    (narrative(f'{XHTML}<a href=" JavaScript:x()">x</a></div>'), "Patient.text.div", "narrative"), (narrative(f"{XHTML}<p>x</div>"), "Patient.text.div", "narrative"),
    (narrative(f"{XHTML}<form><input/></form>x</div>"), "Patient.text.div", "narrative"), (narrative("<p>x</p>"), "Patient.text.div", "narrative"),
    (narrative(f'<!DOCTYPE div [<!ENTITY a "b">]>{XHTML}&a;</div>'), "Patient.text.div", "narrative"), (narrative(f"{XHTML}{'<b>' * 80}x{'</b>' * 80}</div>"), "Patient.text.div", "narrative"),
]  # fmt: skip


@pytest.mark.parametrize("resource", GOOD, ids=range(len(GOOD)))
def test_what_the_rules_allow_passes(resource: Json) -> None:
    assert rules(resource) == set()


@pytest.mark.parametrize(("resource", "where", "rule"), BAD, ids=range(len(BAD)))
def test_what_breaks_a_rule_is_named_by_its_element(resource: Json, where: str, rule: str) -> None:
    assert (where, rule) in rules(resource)


@pytest.mark.parametrize(
    ("resource", "where", "rule"),
    [
        (patient(), "Patient", "dom-6"),
        (narrative("<div>x</div>"), "Patient.text.div", "narrative"),
        (patient(meta={"profile": ["relative"]}), "Patient.meta.profile[0]", "uri"),
        (patient(identifier=[{"system": "urn:uuid:NONE"}]), "Patient.identifier[0].system", "uri"),
        (patient(identifier=[{"system": "urn:oid:1.02"}]), "Patient.identifier[0].system", "uri"),
    ],
)
def test_what_is_advised_against_is_a_warning_and_no_error(
    resource: Json, where: str, rule: str
) -> None:
    assert (where, rule) in rules(resource, "warning")
    assert rules(resource) == set()


def test_all_is_told_at_once_rules_beside_structure() -> None:
    broken = {
        **condition(subject={"reference": "Device/1"}, recordedDate="2021-02-29"),
        "nonsense": 1,
    }
    broken["clinicalStatus"] = {"coding": [{"system": CLINICAL, "code": "lively"}, 7]}
    found = rules(broken)
    assert {("Condition.subject", "target"), ("Condition.recordedDate", "")} <= found
    assert {("Condition", ""), ("Condition.clinicalStatus.coding[1]", "")} <= found
    assert ("Condition.clinicalStatus", "binding") in found


def test_a_billion_laughs_or_a_long_narrative_takes_no_time() -> None:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    started = time.perf_counter()
    assert rules(narrative(f'<!DOCTYPE d [<!ENTITY a0 "x">{laughs}]>{XHTML}&a11;</div>')) != set()
    assert rules(narrative(f"{XHTML}{'<b>x</b>' * 50_000}</div>")) == set()
    assert time.perf_counter() - started < 1


ODD = st.sampled_from(
    [
        None,
        0,
        True,
        "",
        "x",
        "#",
        "#x",
        [],
        [None],
        [[]],
        {},
        {"id": 1},
        {"reference": 7},
        {"coding": {}},
        1e300,
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chance=st.randoms(use_true_random=False), odd=ODD)
def test_nothing_that_is_sent_breaks_the_check(chance: Any, odd: object) -> None:
    """Any element of an example replaced by what does not belong there is a problem, or nothing: never a failure."""
    if not EXAMPLES.is_dir():
        pytest.skip("no shared data here: r4-examples")
    resource = copy.deepcopy(chance.choice(_examples()))
    held: Any = resource
    for _ in range(chance.randint(0, 6)):
        keys = list(held) if isinstance(held, dict) else list(range(len(held)))
        inner = [k for k in keys if isinstance(held[k], (dict, list)) and held[k]]
        if not inner:
            break
        held = held[chance.choice(inner)]
    held[chance.choice(list(held) if isinstance(held, dict) else list(range(len(held))))] = odd
    for problem in VALIDATOR.review(resource):
        assert problem.expression
        assert problem.message


def _examples() -> list[Json]:
    if not _READ:
        for file in sorted(EXAMPLES.glob("[A-Q]*.ndjson.gz")):
            _READ.extend(
                json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()[:2]
            )
    return _READ


_READ: list[Json] = []
