"""``$everything``: the subject first, the compartment, what it refers to; paged, within dates, types and scopes."""

import pytest

from ...clinic import HOUSE, Clinic, entry, observation, patient, transaction


@pytest.fixture
async def chart(clinic: Clinic) -> Clinic:
    await clinic.put({"resourceType": "Organization", "id": "lab", "name": "Lab"})
    await clinic.put({"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Doc"}]})
    for who in ("a", "b"):
        subject = {"reference": f"Patient/{who}"}
        await clinic.put(patient(who, generalPractitioner=[{"reference": "Practitioner/doc"}]))
        await clinic.put(
            {
                "resourceType": "Encounter",
                "id": f"e-{who}",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": subject,
                "period": {"start": "2020-05-01", "end": "2020-05-02"},
            }
        )
        for year in (2019, 2020, 2021):
            made = observation(
                f"o-{year}-{who}",
                who,
                effectiveDateTime=f"{year}-05-01",
                performer=[{"reference": "Organization/lab"}],
            )
            if year == 2020:
                made["encounter"] = {"reference": f"Encounter/e-{who}"}
            await clinic.put(made)
    return clinic


async def test_the_patient_comes_first_then_the_chart_then_what_it_refers_to(chart: Clinic) -> None:
    answer = await chart.get(HOUSE, "Patient/a/$everything")
    assert answer.json["type"] == "searchset"
    assert answer.references[0] == "Patient/a"
    assert sorted(answer.references) == [
        "Encounter/e-a",
        "Observation/o-2019-a",
        "Observation/o-2020-a",
        "Observation/o-2021-a",
        "Organization/lab",
        "Patient/a",
        "Practitioner/doc",
    ]
    modes = {e["resource"]["resourceType"]: e["search"]["mode"] for e in answer.json["entry"]}
    assert modes == {
        "Patient": "match",
        "Encounter": "match",
        "Observation": "match",
        "Organization": "include",
        "Practitioner": "include",
    }


async def test_post_with_parameters_asks_the_same(chart: Clinic) -> None:
    asked = {
        "resourceType": "Parameters",
        "parameter": [{"name": "_type", "valueCode": "Observation"}],
    }
    posted = await chart.ask(HOUSE, "POST", "Patient/a/$everything", asked)
    got = await chart.get(HOUSE, "Patient/a/$everything?_type=Observation")
    assert posted.references == got.references
    assert {r["resourceType"] for r in got.resources} == {"Patient", "Observation"}
    assert (await chart.ask(HOUSE, "POST", "Patient/a/$everything")).status == 200


@pytest.mark.parametrize(
    ("query", "years"),
    [
        ("start=2020", {"2020", "2021"}),
        ("end=2019-12-31", {"2019"}),
        ("start=2020-01-01&end=2020-12-31", {"2020"}),
        ("start=2030", set()),
    ],
)
async def test_dates_are_those_of_the_care(chart: Clinic, query: str, years: set[str]) -> None:
    found = await chart.get(HOUSE, f"Patient/a/$everything?{query}")
    kept = {r.split("-")[1] for r in found.references if r.startswith("Observation")}
    assert kept == years
    assert found.references[0] == "Patient/a"


async def test_since_leaves_out_what_was_not_touched(chart: Clinic) -> None:
    await chart.put(observation("late", "a"))
    since = (await chart.get(HOUSE, "Observation/late")).json["meta"]["lastUpdated"]
    found = await chart.get(HOUSE, f"Patient/a/$everything?_since={since}")
    assert found.references == ["Patient/a", "Observation/late"]


async def test_pages_hold_each_record_of_the_chart_once(chart: Clinic) -> None:
    entries = [entry("PUT", f"Observation/n{i}", observation(f"n{i}", "a")) for i in range(300)]
    assert (await chart.ask(HOUSE, "POST", "", transaction(*entries))).status == 200
    pages, url = [], "Patient/a/$everything?_count=50"
    while url:
        answer = await chart.get(HOUSE, url)
        assert answer.status == 200, answer.body
        pages.append([r for r in answer.references if not r.startswith(("Org", "Prac"))])
        url = answer.next
    assert max(len(one) for one in pages) == 51  # with the patient
    found = [reference for one in pages for reference in one]
    assert len(found) == len(set(found)) == 305


async def test_a_page_link_is_good_for_its_own_patient_and_caller_only(chart: Clinic) -> None:
    following = (await chart.get(HOUSE, "Patient/a/$everything?_count=2")).next
    assert (await chart.get(HOUSE, following)).status == 200
    assert (await chart.get(HOUSE, following.replace("/a/", "/b/"))).status == 400
    chart.caller("another")
    assert (await chart.get("another", following)).status == 400


async def test_of_all_patients(chart: Clinic) -> None:
    found = await chart.all_pages(HOUSE, "Patient/$everything?_count=3")
    assert [r["id"] for r in found if r["resourceType"] == "Patient"] == ["a", "b"]
    assert sum(r["resourceType"] == "Observation" for r in found) == 6
    chart.caller("app", "patient/*.rs", patient="Patient/a")
    own = await chart.get("app", "Patient/$everything")
    assert not any(r.endswith("-b") or r == "Patient/b" for r in own.references)
    assert own.references[0] == "Patient/a"


async def test_an_encounter_comes_with_its_patient_and_its_records(chart: Clinic) -> None:
    found = await chart.get(HOUSE, "Encounter/e-a/$everything")
    assert found.references[0] == "Encounter/e-a"
    assert sorted(found.references) == [
        "Encounter/e-a",
        "Observation/o-2020-a",
        "Organization/lab",
        "Patient/a",
        "Practitioner/doc",
    ]


async def test_types_outside_the_scopes_are_left_out_and_refused_if_named(chart: Clinic) -> None:
    chart.caller("narrow", "system/Patient.rs system/Encounter.rs")
    found = await chart.get("narrow", "Patient/a/$everything")
    assert found.references == ["Patient/a", "Encounter/e-a"]
    refused = await chart.get("narrow", "Patient/a/$everything?_type=Observation")
    assert refused.status == 403
    chart.caller("none", "system/Observation.rs")
    assert (await chart.get("none", "Patient/a/$everything")).status == 403


@pytest.mark.parametrize(
    "query",
    [
        "_type=Nothing",
        "start=soon",
        "_since=2020-13",
        "_count=none",
        "_count=0",
        "colour=red",
        "start=2020&start=2021",
        "_cursor=xyz",
    ],
)
async def test_parameters_that_can_not_be_used_are_refused(chart: Clinic, query: str) -> None:
    assert (await chart.get(HOUSE, f"Patient/a/$everything?{query}")).status == 400


async def test_a_missing_or_deleted_patient_is_not_found(chart: Clinic) -> None:
    assert (await chart.get(HOUSE, "Patient/zz/$everything")).status == 404
    await chart.put(patient("gone"))
    assert (await chart.ask(HOUSE, "DELETE", "Patient/gone")).status == 204
    assert (await chart.get(HOUSE, "Patient/gone/$everything")).status == 404


async def test_an_unknown_operation_is_told_which_there_are(chart: Clinic) -> None:
    answer = await chart.get(HOUSE, "Encounter/e-a/$nothing")
    assert answer.status == 404
    assert "everything" in answer.json["issue"][0]["diagnostics"]
    assert "everything" not in (await chart.get(HOUSE, "Device/$x")).json["issue"][0]["diagnostics"]
    assert (await chart.ask(HOUSE, "DELETE", "Patient/a/$everything")).status == 405


async def test_it_works_in_a_batch_and_leaves_a_record_for_each_patient(chart: Clinic) -> None:
    before = chart.log_size()
    asked = transaction(
        entry("GET", "Patient/a/$everything"), entry("GET", "Patient/zz/$everything"), type_="batch"
    )
    one, other = (await chart.ask(HOUSE, "POST", "", asked)).json["entry"]
    assert one["resource"]["entry"][0]["resource"]["id"] == "a"
    assert other["response"]["status"].startswith("404")
    events = [e for e in await chart.audits(before) if e["subtype"][0]["code"] == "operation"]
    named = {
        entity["what"]["reference"]
        for event in events
        for entity in event["entity"]
        if "reference" in entity.get("what", {})
    }
    assert {"Patient/a", "Observation/o-2019-a/_history/1"} <= named
    asked["type"] = "transaction"
    asked["entry"].pop()
    done = await chart.ask(HOUSE, "POST", "", asked)
    assert done.json["entry"][0]["resource"]["entry"][0]["resource"]["id"] == "a"
