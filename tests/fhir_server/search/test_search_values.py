"""Search values over requests: what R4's own examples find, and what can not be used is a 400 that names the parameter."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from ..clinic import BASE, HOUSE, Clinic, Json, observation, patient

UCUM = "http://unitsofmeasure.org"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def measured(id_: str, value: object, **members: object) -> Json:
    quantity = {"value": value, "unit": "mg", "system": UCUM, "code": "mg"}
    return observation(id_, "a", valueQuantity=quantity, **members)


@pytest.fixture
async def measurements(clinic: Clinic) -> Clinic:
    for number, value in enumerate([5.3, 5.35, 5.4, 5.45, 95, 100, 104.9, 105, -3]):
        await clinic.put(measured(f"m{number}", value))
    await clinic.put(observation("none", "a"))
    return clinic


async def found(clinic: Clinic, query: str) -> list[str]:
    answer = await clinic.get(HOUSE, query)
    assert answer.status == 200, answer.body
    return [r["id"] for r in answer.resources]


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("5.4", ["m1", "m2"]),
        ("5.40", ["m2"]),
        (f"5.4|{UCUM}|mg", ["m1", "m2"]),
        ("5.4||mg", ["m1", "m2"]),
        (f"5.4|{UCUM}|g", []),
        ("5.4||g", []),
        ("1e2", ["m4", "m5", "m6"]),
        ("100", ["m5"]),
        ("lt0", ["m8"]),
        ("gt104.9", ["m7"]),
        ("ge104.9", ["m6", "m7"]),
        ("sa100", ["m6", "m7"]),
        ("eb5.35", ["m0", "m8"]),
        ("ap100", ["m4", "m5", "m6", "m7"]),
        ("gt5&value-quantity=lt5.4", ["m0", "m1"]),
        ("ne100", ["m0", "m1", "m2", "m3", "m4", "m6", "m7", "m8"]),
    ],
)
async def test_a_quantity_means_what_rounds_to_it(
    measurements: Clinic, value: str, ids: list[str]
) -> None:
    assert await found(measurements, f"Observation?value-quantity={value}") == ids


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("value-quantity", ["m8", "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "none"]),
        ("-value-quantity", ["m7", "m6", "m5", "m4", "m3", "m2", "m1", "m0", "m8", "none"]),
        ("status,-value-quantity,_id", ["m7", "m6", "m5", "m4", "m3", "m2", "m1", "m0", "m8", "none"]),
    ],
)  # fmt: skip
async def test_quantities_have_an_order(measurements: Clinic, sort: str, ids: list[str]) -> None:
    assert await found(measurements, f"Observation?_sort={sort}") == ids


async def test_both_parts_of_a_composite_hold_in_the_same_component(clinic: Clinic) -> None:
    def component(code: str, value: int) -> Json:
        return {"code": {"coding": [{"code": code}]}, "valueQuantity": {"value": value}}

    pressures = [component("systolic", 130), component("diastolic", 80)]
    await clinic.put(observation("o", "a", component=pressures))
    for query, ids in (
        ("systolic$130", ["o"]),
        ("systolic$80", []),
        ("diastolic$lt90", ["o"]),
        ("systolic$gt130,diastolic$80", ["o"]),
    ):
        assert await found(clinic, f"Observation?component-code-value-quantity={query}") == ids
        assert await found(clinic, f"Observation?combo-code-value-quantity={query}") == ids
    assert await found(clinic, "Observation?code-value-quantity=systolic$130") == []


async def test_the_relationship_of_a_document_is_a_code_and_a_document(clinic: Clinic) -> None:
    related = {"code": "replaces", "target": {"reference": "DocumentReference/1"}}
    content = [{"attachment": {"url": "http://x"}}]
    document = {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": content,
    }
    await clinic.put({**document, "relatesTo": [related]})
    for value, count in (
        ("1$replaces", 1),
        ("DocumentReference/1$replaces", 1),
        ("1$signs", 0),
        ("2$replaces", 0),
    ):
        answer = await clinic.get(HOUSE, f"DocumentReference?relationship={value}")
        assert answer.json["total"] == count, value


async def test_a_code_is_found_by_the_system_that_its_binding_implies(clinic: Clinic) -> None:
    await clinic.put(patient("p", gender="male"))
    gender = "http://hl7.org/fhir/administrative-gender"
    assert await found(clinic, f"Patient?gender={gender}|male") == ["p"]
    assert await found(clinic, f"Patient?gender={gender}|") == ["p"]
    assert await found(clinic, f"Patient?gender={gender}|female") == []
    assert await found(clinic, "Patient?gender=urn:other|male") == []
    assert await found(clinic, f"Patient?gender:not={gender}|male") == []


async def test_a_value_in_an_extension_is_found(clinic: Clinic) -> None:
    url = "http://hl7.org/fhir/StructureDefinition/patient-extensions-Patient-mothersMaidenName"
    await clinic.put(patient("p", extension=[{"url": url, "valueString": "Müller"}]))
    assert await found(clinic, "Patient?mothersMaidenName=muller") == ["p"]
    assert await found(clinic, "Patient?mothersMaidenName=meier") == []


async def test_a_place_is_near_by_default_within_50_km(clinic: Clinic) -> None:
    for id_, latitude in (("here", 46.0), ("close", 46.4), ("far", 46.5)):
        position = {"latitude": latitude, "longitude": 7.0}
        await clinic.put({"resourceType": "Location", "id": id_, "position": position})
    assert await found(clinic, "Location?near=46.0|7.0") == ["here", "close"]
    assert await found(clinic, "Location?near=46.0|7.0|10|km") == ["here"]
    assert await found(clinic, "Location?near=46.0|7.0|40|[mi_i]") == ["here", "close", "far"]


async def test_a_code_in_a_stored_value_set_is_found_by_every_name_of_the_set(
    clinic: Clinic,
) -> None:
    concept = [{"code": "8867-4"}, {"code": "9279-1"}]
    await clinic.put(
        {"resourceType": "ValueSet", "id": "vitals", "status": "active", "url": "http://v.org/vitals",
         "version": "2", "compose": {"include": [{"system": "http://loinc.org", "concept": concept}]}}
    )  # fmt: skip
    await clinic.put(observation("in", "a"))
    await clinic.put(observation("out", "a", code="1-8"))
    for name in (
        "http://v.org/vitals",
        "http://v.org/vitals|2",
        "ValueSet/vitals",
        f"{BASE}/ValueSet/vitals",
    ):
        assert await found(clinic, f"Observation?code:in={quote(name)}") == ["in"], name
        assert await found(clinic, f"Observation?code:not-in={quote(name)}") == ["out"], name
        assert await found(clinic, f'Observation?_filter=code in "{quote(name)}"') == ["in"], name
    for name in (
        "http://v.org/vitals|3",
        "http://v.org/other",
        "ValueSet/none",
        "http://hl7.org/fhir/ValueSet/observation-codes",
    ):
        answer = await clinic.get(HOUSE, f"Observation?code:in={quote(name)}")
        assert answer.status == 400, name
        assert "'code'" in answer.json["issue"][0]["diagnostics"]


async def test_a_value_set_that_only_a_terminology_server_could_list_is_refused(
    clinic: Clinic,
) -> None:
    for number, include in enumerate(
        (
            {"system": "http://snomed.info/sct"},
            {
                "system": "http://snomed.info/sct",
                "filter": [{"property": "concept", "op": "is-a", "value": "1"}],
            },
            {"valueSet": ["http://v.org/0"]},
        )
    ):
        await clinic.put(
            {"resourceType": "ValueSet", "id": f"v{number}", "status": "active", "url": f"http://v.org/{number}",
             "compose": {"include": [include]}}
        )  # fmt: skip
        assert (await clinic.get(HOUSE, f"Observation?code:in=http://v.org/{number}")).status == 400


@pytest.mark.parametrize(
    ("type_", "query", "named"),
    [
        ("Observation", "value-quantity=x", "value-quantity"),
        ("Observation", "value-quantity=5.4|mg", "value-quantity"),
        ("Observation", "value-quantity=5.4|a|b|c", "value-quantity"),
        ("Observation", "value-quantity=|a|b", "value-quantity"),
        ("Observation", "value-quantity=5..4", "value-quantity"),
        ("Observation", "value-quantity=1e9999", "value-quantity"),
        ("Observation", f"value-quantity={'9' * 41}", "value-quantity"),
        ("Observation", "value-quantity=NaN", "value-quantity"),
        ("Observation", "value-quantity=Infinity", "value-quantity"),
        ("Observation", "value-quantity=%205", "value-quantity"),
        ("Observation", "value-quantity=1_0", "value-quantity"),
        ("Observation", "value-quantity:exact=5", "value-quantity"),
        ("Observation", "code-value-quantity=a", "code-value-quantity"),
        ("Observation", "code-value-quantity=a$5$6", "code-value-quantity"),
        ("Observation", "code-value-quantity=a$", "code-value-quantity"),
        ("Observation", "code-value-quantity=$5", "code-value-quantity"),
        ("Observation", "code-value-quantity=a$x", "value-quantity"),
        ("Observation", "code-value-quantity:missing=true", "code-value-quantity"),
        ("Observation", "code:exact=x", "code"),
        ("Observation", "code:of-type=a|b|c", "code"),
        ("Observation", "code=a,,b", "code"),
        ("Observation", "code=|", "code"),
        ("Observation", "code:below=8867-4", "code"),
        ("Observation", "code:below=http://loinc.org|8867-4", "code"),
        ("Observation", "code:in=urn:nothing", "code"),
        ("Observation", "subject:below=Patient/a", "subject"),
        ("Observation", "subject:Patient=Group/a", "subject"),
        ("Observation", "date:contains=2020", "date"),
        ("Observation", "_text:exact=x", "_text"),
        ("Observation", "_text=-", "_text"),
        ("Observation", "_content:missing=true", "_content"),
        ("Patient", "identifier:of-type=a|b", "identifier"),
        ("Patient", "identifier:of-type=a||b", "identifier"),
        ("Patient", "name:text=x", "name"),
        ("Patient", "name:not=x", "name"),
        ("Patient", f"name={'x' * 5000}", "name"),
        ("ValueSet", "url:contains=x", "url"),
        ("ValueSet", "url:below=urn:oid:1.2", "url"),
        ("Location", "near=1", "near"),
        ("Location", "near=91|0", "near"),
        ("Location", "near=0|181", "near"),
        ("Location", "near=a|b", "near"),
        ("Location", "near=0|0|-1|km", "near"),
        ("Location", "near=0|0|1|parsec", "near"),
        ("Location", "near=0|0|1|km|x", "near"),
        ("ChargeItem", "factor-override=1|a|b", "factor-override"),
    ],
)  # fmt: skip
async def test_a_value_that_can_not_be_used_is_refused_by_name(
    clinic: Clinic, type_: str, query: str, named: str
) -> None:
    answer = await clinic.get(HOUSE, f"{type_}?{query}")
    assert answer.status == 400, answer.body
    assert f"'{named}" in answer.json["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "x" * 10_000_000),
        ("code", "x," * 5_000_000),
        ("code", "\\" * 10_000_000),
        ("code", "|" * 10_000_000),
        ("subject", "/" * 10_000_000),
        ("code-value-quantity", "$" * 10_000_000),
        ("value-quantity", "1" * 10_000_000),
        ("value-string", "a " * 5_000_000),
        ("value-string:contains", "(a+)+$"),
        ("value-string:contains", "a," * 499 + "a"),
        ("code:text", "(a|a)*b"),
        ("_content", "(.*)*x"),
        ("_text", "<" * 4000),
        ("_filter", "(" * 5_000_000),
        ("_filter", "not " * 1000),
        ("_filter", '"' * 9999),
        ("_filter", 'status eq "' + "\\" * 9000),
        ("_filter", " or ".join(["status eq final"] * 200)),
        ("date", "2" * 4000),
    ],
)
async def test_no_value_takes_long(clinic: Clinic, name: str, value: str) -> None:
    told = {
        "valueString": "a" * 100_000,
        "code": {"text": "a" * 10_000},
        "text": {"status": "generated", "div": f"<div>{'&lt;' * 10_000}</div>"},
    }
    await clinic.put({**observation("o", "a"), **told})
    sent = quote(value) if len(value) < 20_000 else value
    began = time.monotonic()
    answer = await clinic.ask(HOUSE, "POST", "Observation/_search", f"{name}={sent}".encode(), FORM)
    assert answer.status in (200, 400, 413)
    assert time.monotonic() - began < 1
