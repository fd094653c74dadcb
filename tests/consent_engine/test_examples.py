"""The Consents that others have published, with the decision that the algorithm gives them.

R4: the 12 examples of FHIR 4.0.1 (CC0).  Those that the example data lack are written here with the
elements that matter, as they are in hl7.fhir.r4.examples 4.0.1.  PCF: the examples of IHE Privacy
Consent on FHIR (CC-BY-4.0, IHE).  The expected decisions are ours, from consent.md, section 2.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from consent_engine import Coding, review


@pytest.fixture(scope="session")
def r4(examples: Path) -> dict[str, Any]:
    with gzip.open(examples / "r4-examples" / "Consent.ndjson.gz", "rt") as lines:
        found = (json.loads(line) for line in lines)
        return {each["id"].removeprefix("consent-example-"): each for each in found}


@pytest.fixture(scope="session")
def pcf(examples: Path) -> dict[str, Any]:
    lines = (examples / "pcf-consents" / "Consent.ndjson").read_text().splitlines()
    found = (json.loads(line) for line in lines)
    return {each["id"].partition("-")[2]: each for each in found}


def of_patient(consent: dict[str, Any]) -> tuple[str]:
    return (consent["patient"]["reference"],)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("basic", {"time": "2016-01-01T23:59:59Z"}, "deny by default"),  # not yet signed
        ("basic", {"time": "2016-05-11T12:00:00Z"}, "deny by default"),  # period over
        ("notAuthor", {"custodian": "Organization/f001"}, "deny by consent"),
        ("notAuthor", {"custodian": "Organization/f002"}, "permit by consent"),
        ("notAuthor", {"custodian": None}, "deny by consent"),
        ("notThem", {"actors": ["Practitioner/f204"]}, "deny by consent"),
        ("notThem", {"actors": ["Practitioner/f204"], "action": "use"}, "permit by consent"),
        ("notThem", {"actors": ["Practitioner/f201"]}, "permit by consent"),
        ("notTime", {"time": "2015-01-15T00:00:00Z"}, "deny by default"),  # not yet signed
        ("notTime", {"time": "2015-12-01T00:00:00Z"}, "deny by default"),
        ("Emergency", {"custodian": "Organization/f001", "purpose": "ETREAT"}, "deny by consent"),
        ("Emergency", {"custodian": "Organization/f001", "purpose": "TREAT"}, "deny by base"),
        ("Emergency", {"custodian": "Organization/f002", "purpose": "TREAT"}, "deny by base"),
        ("signature", {"actors": ["Practitioner/99"]}, "permit by consent"),
        ("signature", {"actors": ["Practitioner/13"]}, "deny by consent"),
    ],
)
def test_r4_examples(
    world: Any, r4: dict[str, Any], name: str, given: dict[str, Any], expected: str
) -> None:
    consent = r4[name]
    given = {"time": "2016-06-01T00:00:00Z", **given}
    assert world.answer(consent, subjects=of_patient(consent), **given) == expected


def test_r4_signature_lets_the_named_reader_have_the_documents_of_one_author(
    world: Any, r4: dict[str, Any]
) -> None:
    consent = r4["signature"]
    given = {"time": "2016-06-01T00:00:00Z", "actors": ["Practitioner/13"]}
    document = {
        "resourceType": "DocumentReference",
        "author": [{"reference": "Practitioner/xcda-author"}],
        "type": {"coding": [{"system": "http://loinc.org", "code": "34133-9"}]},
        "content": [{"attachment": {"contentType": "application/hl7-cda+xml"}}],
    }
    subjects = of_patient(consent)
    assert world.answer(consent, document, subjects=subjects, **given) == "permit by consent"
    other = {**document, "author": [{"reference": "Practitioner/other"}]}
    assert world.answer(consent, other, subjects=subjects, **given) == "deny by consent"


def test_r4_basic_permits_within_its_period(world: Any, r4: dict[str, Any]) -> None:
    # The published one is signed after its period, so it never holds; without the date it does.
    consent = {name: value for name, value in r4["basic"].items() if name != "dateTime"}
    given = {"subjects": of_patient(consent), "time": "2016-01-01T23:59:59Z"}
    assert world.answer(consent, **given) == "permit by consent"


OUT = [("Organization/f001", "deny by consent"), ("Organization/2", "deny by base")]


@pytest.mark.parametrize(("custodian", "expected"), OUT)
def test_r4_out_withholds_everything(world: Any, custodian: str, expected: str) -> None:
    consent = world.consent({"actor": [world.actor("Organization/f001", "CST")]}, "OPTOUT")
    assert world.answer(consent, custodian=custodian) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"actors": ["Patient/example"], "custodian": "Organization/f001"}, "permit by consent"),
        ({"actors": ["Patient/example"], "custodian": "Organization/2"}, "deny by base"),
        ({"actors": ["Patient/example"], "custodian": None}, "deny by base"),
        ({"actors": ["Practitioner/2"], "custodian": "Organization/f001"}, "deny by base"),
        (
            {
                "actors": ["Patient/example"],
                "custodian": "Organization/f001",
                "action": "correct",
            },
            "deny by base",
        ),
    ],
)
def test_r4_grantor_shares_with_one_person(
    world: Any, given: dict[str, Any], expected: str
) -> None:
    actors = [world.actor("Organization/f001", "CST"), world.actor("Patient/example", "PRCP")]
    consent = world.consent({"actor": actors, "action": world.actions("access")}, "OPTOUT")
    assert world.answer(consent, **given) == expected


def test_r4_not_org_denies_one_organization(world: Any) -> None:
    provision = {
        "type": "deny",
        "actor": [world.actor("Organization/f001", "PRCP")],
        "action": world.actions("access", "correct"),
    }
    consent = world.consent(provision, "OPTIN")
    assert world.answer(consent, actors=["Organization/f001"]) == "deny by consent"
    assert world.answer(consent, actors=["Organization/f002"]) == "permit by consent"


def test_r4_not_this_withholds_the_order_and_all_results_that_point_at_it(world: Any) -> None:
    consent = world.consent({"data": world.data("related", "Task/example3")}, "OPTIN")
    graph: dict[str, Any] = {"Task/example3": ["ServiceRequest/lab"]}
    order = world.record(type_="ServiceRequest") | {"id": "lab"}
    result = world.record(basedOn=[{"reference": "Task/example3/_history/2"}])
    task = {"resourceType": "Task", "id": "example3"}
    for hidden in (order, result, task):
        assert world.answer(consent, hidden, graph=graph) == "deny by consent"
    assert world.answer(consent, world.record(), graph=graph) == "permit by consent"
    assert world.answer(consent, world.record()) == "deny by consent"  # what it refers to: unknown


def test_r4_pkb_has_nested_rules_without_type_and_so_cannot_be_interpreted(world: Any) -> None:
    nested = {
        "actor": [world.actor("Organization/f001", "PRCP")],
        "action": world.actions("access"),
        "securityLabel": world.labels("PSY"),
    }
    provision = {**nested, "securityLabel": world.labels("N"), "provision": [nested]}
    consent = world.consent(provision, "OPTOUT")
    assert world.answer(consent, actors=["Organization/f001"]) == "deny by indeterminate"
    assert [each.path for each in review(consent)] == ["Consent.provision.provision[0].type"]


def test_r4_smart_on_fhir_shares_medication_requests_for_half_an_hour(world: Any) -> None:
    provision = {
        "period": {"start": "2016-06-23T17:02:33+10:00", "end": "2016-06-23T17:32:33+10:00"},
        "provision": [
            {
                "type": "permit",
                "action": world.actions("access"),
                "class": world.classes("MedicationRequest"),
            }
        ],
    }
    consent = world.consent(provision, "OPTIN", dateTime="2016-06-23T17:02:33+10:00")
    medication = world.record(type_="MedicationRequest")
    inside, after = "2016-06-23T07:32:33.9Z", "2016-06-23T07:32:34Z"
    assert world.answer(consent, medication, time=inside) == "permit by consent"
    assert world.answer(consent, world.record(), time=inside) == "deny by default"
    assert world.answer(consent, medication, time=after) == "deny by default"


NORMAL = {"time": "2022-07-01T00:00:00Z", "actors": ["Practitioner/2"]}
FOCUSED = {**NORMAL, "actors": ["Practitioner/ex-practitioner"]}
RESEARCHER = {
    **NORMAL,
    "actors": ["Organization/ex-org-researcher"],
    "purpose": Coding("http://example.org/policies/purposeOfUse", "FooBar"),
}


@pytest.mark.parametrize(
    ("name", "labels", "given", "expected"),
    [
        ("consent-basic-treat", [], {}, "permit by consent"),
        ("consent-basic-treat", ["R", "PSY"], {}, "permit by consent"),
        ("consent-basic-treat", [], {"purpose": "HRESCH"}, "deny by default"),
        ("consent-basic-treat", [], {"purpose": None}, "deny by default"),
        ("consent-basic-treat", [], {"time": "2022-06-12T23:59:59Z"}, "deny by default"),
        ("consent-basic-reject", [], {}, "deny by consent"),
        ("consent-basic-reject", [], {"purpose": "HRESCH"}, "deny by default"),
        ("consent-basic-reject", [], {"purpose": None}, "deny by consent"),
        ("consent-expired-treat", [], {"time": "2022-12-31T23:59:59Z"}, "permit by consent"),
        ("consent-expired-treat", [], {"time": "2023-01-01T00:00:00Z"}, "deny by default"),
        ("consent-advanced-normal", ["N"], {}, "permit by consent"),
        ("consent-advanced-normal", ["L"], {}, "permit by consent"),
        ("consent-advanced-normal", ["R"], {}, "deny by default"),
        ("consent-advanced-normal", ["PSY"], {}, "deny by default"),
        ("consent-advanced-normal-restricted", ["R"], {}, "permit by consent"),
        ("consent-advanced-normal-restricted", ["V"], {}, "deny by default"),
        ("consent-advanced-normal-focused-psy", ["PSY"], {}, "deny by default"),
        ("consent-advanced-normal-focused-psy", ["PSY"], FOCUSED, "permit by consent"),
        ("consent-advanced-normal-focused-psy", ["PSY", "HIV"], FOCUSED, "deny by default"),
        ("consent-advanced-normal-focused-psy", ["N"], {}, "permit by consent"),
        ("consent-advanced-normal-focused-restricted", ["R"], {}, "deny by default"),
        ("consent-advanced-normal-focused-restricted", ["R"], FOCUSED, "permit by consent"),
        ("consent-intermediate-purpose", [], RESEARCHER, "permit by consent"),
        ("consent-intermediate-purpose", [], {}, "deny by default"),
        ("consent-intermediate-purpose", [], {**RESEARCHER, "purpose": "TREAT"}, "deny by default"),
        ("dissent-intermediate-break-glass", [], {"purpose": "BTG"}, "deny by consent"),
        (
            "dissent-intermediate-break-glass",
            [],
            {"purpose": "BTG", "actors": ["Group/ex-privilegedUsers"]},
            "permit by consent",
        ),
        (
            "dissent-intermediate-break-glass",
            [],
            {"purpose": "TREAT", "actors": ["Group/ex-privilegedUsers"]},
            "deny by consent",
        ),
    ],
)
def test_pcf_examples(
    world: Any,
    pcf: dict[str, Any],
    name: str,
    labels: list[str],
    given: dict[str, Any],
    expected: str,
) -> None:
    given = {**NORMAL, **given}
    record = world.record(*labels)
    assert world.answer(pcf[name], record, subjects=["Patient/ex-patient"], **given) == expected


@pytest.mark.parametrize(
    ("name", "record", "expected"),
    [
        ("data", {"id": "ex-weight"}, "permit by consent"),
        ("data", {"id": "other"}, "deny by default"),
        ("not-authoredby", {"performer": [{"reference": "Practitioner/2"}]}, "permit by consent"),
        (
            "not-authoredby",
            {"performer": [{"reference": "Practitioner/ex-practitioner"}]},
            "deny by consent",
        ),
        ("not-authoredby", {}, "deny by consent"),
        (
            "not-encounter",
            {"encounter": {"reference": "Encounter/ex-encounter"}},
            "deny by consent",
        ),
        ("not-encounter", {"encounter": {"reference": "Encounter/2"}}, "permit by consent"),
        ("not-encounter", {"id": "referred"}, "deny by consent"),
    ],
)
def test_pcf_examples_that_look_at_the_record(
    world: Any, pcf: dict[str, Any], name: str, record: dict[str, Any], expected: str
) -> None:
    consent = pcf[f"consent-intermediate-{name}"]
    given = {**NORMAL, "graph": {"Encounter/ex-encounter": ["Observation/referred"]}}
    resource = world.record() | record
    assert world.answer(consent, resource, subjects=["Patient/ex-patient"], **given) == expected


def test_no_published_consent_has_a_problem_except_fast_which_names_no_patient_reference(
    examples: Path, r4: dict[str, Any], pcf: dict[str, Any]
) -> None:
    assert [review(each) for each in (*r4.values(), *pcf.values())] == [()] * len({**r4, **pcf})
    first = (examples / "fast-consent" / "all.ndjson").read_text().splitlines()[0]
    assert [each.path for each in review(json.loads(first))] == ["Consent.patient"]
