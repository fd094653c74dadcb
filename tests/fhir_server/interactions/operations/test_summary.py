"""``Patient/$summary``: an International Patient Summary that meets the IPS profiles, also where there is nothing to say."""

import json
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from profiles.validation import r4_validator

from ...clinic import BASE, HOUSE, Clinic, entry, observation, patient, transaction
from .ips_profiles import examples, problems

Json = dict[str, Any]
REQUIRED = ["48765-2", "11450-4", "10160-0"]
IDENTIFIER = {"system": "urn:mrn", "value": "a,1"}


def known(id_: str, **members: Any) -> Json:
    return patient(
        id_, name=[{"family": "A"}], birthDate="1980-01-01", identifier=[IDENTIFIER], **members
    )


def checked(bundle: Json) -> Json:
    """The Composition of a document that meets R4 and the IPS profiles."""
    assert problems(bundle) == []
    assert [str(p) for p in r4_validator().check(bundle)] == []
    composition: Json = bundle["entry"][0]["resource"]
    for section in composition["section"]:
        ET.fromstring(section["text"]["div"])
    return composition


def sections(composition: Json) -> dict[str, list[str]]:
    return {
        s["code"]["coding"][0]["code"]: [
            e["reference"].removeprefix(f"{BASE}/") for e in s.get("entry", ())
        ]
        for s in composition["section"]
    }


async def load(clinic: Clinic, bundle: Json) -> str:
    """Store what an example holds, under references of ours; give the patient's reference."""
    text = json.dumps(bundle)
    for one in bundle["entry"]:
        reference = f"{one['resource']['resourceType']}/{one['resource']['id']}"
        text = text.replace(f'"{one["fullUrl"]}"', f'"{reference}"')
    resources = [e["resource"] for e in json.loads(text)["entry"]]
    kept = [r for r in resources if r["resourceType"] not in ("Composition", "Consent")]
    entries = [entry("PUT", f"{r['resourceType']}/{r['id']}", r) for r in kept]
    answer = await clinic.ask(HOUSE, "POST", "", transaction(*entries))
    assert answer.status == 200, answer.body
    return next(f"Patient/{r['id']}" for r in kept if r["resourceType"] == "Patient")


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_the_examples_of_the_guide_are_told_again(clinic: Clinic, number: int) -> None:
    example = examples()[number]
    assert problems(example) == []
    subject = await load(clinic, example)
    answer = await clinic.get(HOUSE, f"{subject}/$summary")
    assert answer.status == 200, answer.body
    made = sections(checked(answer.json))
    told = sections(example["entry"][0]["resource"])
    urls = {
        e["fullUrl"]: f"{e['resource']['resourceType']}/{e['resource']['id']}"
        for e in example["entry"]
    }
    anywhere = {urls.get(r, r) for references in told.values() for r in references}
    for code in ("48765-2", "11450-4", "10160-0", "11369-6", "47519-4", "46264-8", "11348-0"):
        wanted = {urls.get(reference, reference) for reference in told.get(code, ())}
        assert wanted <= set(made.get(code, ())) <= anywhere, code
    held = {e["fullUrl"] for e in answer.json["entry"]}
    assert all(f"{BASE}/{reference}" in held for refs in made.values() for reference in refs)


async def test_where_there_is_nothing_the_required_sections_say_so(clinic: Clinic) -> None:
    await clinic.put(known("a"))
    composition = checked((await clinic.get(HOUSE, "Patient/a/$summary")).json)
    assert list(sections(composition)) == REQUIRED
    for section in composition["section"]:
        assert section["emptyReason"]["coding"][0]["code"] == "unavailable"
        assert "No information is available" in section["text"]["div"]


async def test_by_identifier_and_by_post(clinic: Clinic) -> None:
    await clinic.put(known("a"))
    url = "Patient/$summary?identifier=urn:mrn|a\\,1"
    checked((await clinic.get(HOUSE, url)).json)
    sent = {
        "resourceType": "Parameters",
        "parameter": [{"name": "identifier", "valueIdentifier": IDENTIFIER}],
    }
    posted = await clinic.ask(HOUSE, "POST", "Patient/$summary", sent)
    assert checked(posted.json)["subject"]["reference"] == f"{BASE}/Patient/a"
    assert (await clinic.get(HOUSE, url + "2")).status == 404
    await clinic.put(known("b"))
    assert (await clinic.get(HOUSE, url)).status == 412


async def test_the_custodian_and_what_records_refer_to_come_along(clinic: Clinic) -> None:
    await clinic.put(known("a"))
    await clinic.put({"resourceType": "Organization", "id": "custodian", "name": "Clinic"})
    await clinic.put(
        {"resourceType": "Medication", "id": "m", "code": {"text": "Aspirin <b>500</b>"}}
    )
    statement = {
        "resourceType": "MedicationStatement",
        "id": "s",
        "status": "active",
        "medicationReference": {"reference": "Medication/m"},
        "subject": {"reference": "Patient/a"},
        "effectivePeriod": {"start": "2020-01-01"},
    }
    await clinic.put(statement)
    answer = await clinic.get(HOUSE, "Patient/a/$summary")
    composition = checked(answer.json)
    assert composition["custodian"]["reference"] == f"{BASE}/Organization/custodian"
    assert "Medication/m" in answer.references
    div = composition["section"][2]["text"]["div"]
    assert "Aspirin &lt;b&gt;500&lt;/b&gt;" in div
    assert "2020-01-01" in div


async def test_what_is_over_or_wrong_is_not_a_present_problem(clinic: Clinic) -> None:
    await clinic.put(known("a"))
    system = "http://terminology.hl7.org/CodeSystem/condition-"
    for id_, clinical, verification in (
        ("now", "active", "confirmed"),
        ("over", "resolved", "confirmed"),
        ("wrong", "active", "refuted"),
        ("error", "", "entered-in-error"),
    ):
        status = {"coding": [{"system": f"{system}clinical", "code": clinical}]}
        await clinic.put(
            {
                "resourceType": "Condition",
                "id": id_,
                **({"clinicalStatus": status} if clinical else {}),
                "verificationStatus": {
                    "coding": [{"system": f"{system}ver-status", "code": verification}]
                },
                "code": {"text": id_},
                "subject": {"reference": "Patient/a"},
            }
        )
    made = sections(checked((await clinic.get(HOUSE, "Patient/a/$summary")).json))
    assert made["11450-4"] == ["Condition/now"]
    assert made["11348-0"] == ["Condition/over"]


async def test_decimals_keep_their_zeros_and_old_values_give_way(clinic: Clinic) -> None:
    await clinic.put(known("a"))
    category = "http://terminology.hl7.org/CodeSystem/observation-category"
    for day in range(1, 6):
        made = observation(
            f"o{day}",
            "a",
            effectiveDateTime=f"2020-01-0{day}",
            performer=[{"display": "lab"}],
            category=[{"coding": [{"system": category, "code": "laboratory"}]}],
        )
        text = json.dumps(made)[:-1] + f', "valueQuantity": {{"value": {day}.50, "unit": "<g>"}}}}'
        assert (await clinic.ask(HOUSE, "PUT", f"Observation/o{day}", text)).status == 201
    composition = checked((await clinic.get(HOUSE, "Patient/a/$summary")).json)
    assert sections(composition)["30954-2"] == [f"Observation/o{day}" for day in (5, 4, 3)]
    div = composition["section"][3]["text"]["div"]
    assert "<td>5.50 &lt;g&gt;</td>" in div


@pytest.mark.parametrize(
    "text",
    [
        "</td></tr></table></div><script>x</script>",
        "&lt;&amp;",
        "\"'",
        "\u0007bell",
        "\ufffe",
        "𝒳" * 400,
    ],
)
async def test_narrative_is_escaped(clinic: Clinic, text: str) -> None:
    await clinic.put(known("a"))
    made = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/a"}}
    stored = await clinic.ask(HOUSE, "PUT", "Condition/c", {**made, "code": {"text": text}})
    if stored.status == 201:
        composition = checked((await clinic.get(HOUSE, "Patient/a/$summary")).json)
        assert "<script" not in json.dumps(composition)


async def test_scopes_decide_what_is_told(clinic: Clinic) -> None:
    await clinic.put(known("a"))
    await clinic.put(observation("o", "a"))
    clinic.caller("narrow", "system/Patient.rs")
    made = sections(checked((await clinic.get("narrow", "Patient/a/$summary")).json))
    assert list(made) == REQUIRED
    clinic.caller("none", "system/Observation.rs")
    assert (await clinic.get("none", "Patient/a/$summary")).status == 403


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("Patient/zz/$summary", 404),
        ("Patient/$summary", 400),
        ("Patient/$summary?identifier=", 400),
        ("Patient/$summary?identifier=nobody", 404),
        ("Patient/a/$summary?identifier=x", 400),
        ("Patient/a/$summary?profile=http://example.org/other", 400),
        (
            "Patient/a/$summary?profile=http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips",
            200,
        ),
        ("Patient/a/$summary?colour=red", 400),
    ],
)
async def test_what_can_not_be_asked(clinic: Clinic, url: str, status: int) -> None:
    await clinic.put(known("a"))
    assert (await clinic.get(HOUSE, url)).status == status


def _without(*path: str) -> Callable[[Json], None]:
    def change(bundle: Json) -> None:
        part: Any = bundle
        for step in path[:-1]:
            part = part[int(step)] if re.fullmatch(r"\d+", step) else part[step]
        del part[path[-1]]

    return change


def _composition(*path: str) -> Callable[[Json], None]:
    return _without("entry", "0", "resource", *path)


@pytest.mark.parametrize(
    "change",
    [
        _without("identifier"),
        _without("timestamp"),
        _without("entry", "1", "fullUrl"),
        _without("entry", "1", "resource", "birthDate"),
        _without("entry", "1", "resource", "name"),
        _composition("subject"),
        _composition("section", "0", "text"),
        _composition("section", "0", "title"),
        _composition("section", "0", "emptyReason"),
        lambda b: b.update(type="collection"),
        lambda b: b["entry"].pop(1),
        lambda b: b["entry"].append(b["entry"][0]),
        lambda b: b["entry"][0].update(search={"mode": "match"}),
        lambda b: b["entry"][0]["resource"]["section"].pop(0),
        lambda b: b["entry"][0]["resource"]["section"][0].update(
            entry=[{"reference": "Patient/a"}]
        ),
        lambda b: b["entry"][0]["resource"].update(type={"coding": [{"code": "x"}]}),
    ],
)
async def test_the_checker_finds_what_is_wrong(
    clinic: Clinic, change: Callable[[Json], None]
) -> None:
    await clinic.put(known("a"))
    bundle = (await clinic.get(HOUSE, "Patient/a/$summary")).json
    assert problems(bundle) == []
    change(bundle)
    assert problems(bundle)
