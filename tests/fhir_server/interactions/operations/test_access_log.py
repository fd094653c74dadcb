"""``$access-log``: who has seen a record, as a Bundle and as a table."""

import csv
import io
from typing import Any

import pytest

from ...clinic import HOUSE, OTHER, OVERSEER, Clinic, consent, observation, patient, sharing

CSV = {"accept": "text/csv"}
ANNA = "anna"
LOG = "Patient/a/$access-log"


@pytest.fixture
async def seen(clinic: Clinic) -> Clinic:
    """Anna's record is read by the other hospital, which may, and for a while tries to read Berta's."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"of-{id_}", id_))
    await clinic.put(sharing("a"))
    clinic.caller(ANNA, "patient/*.rs", "", ("PATRQT",), user="Patient/a", patient="Patient/a")
    assert (await clinic.get(OTHER, "Observation/of-a")).status == 200
    assert (await clinic.get(OTHER, "Observation/of-b")).status == 404
    return clinic


async def rows(clinic: Clinic, who: str, url: str = LOG) -> list[dict[str, str]]:
    answer = await clinic.ask(who, "GET", url, headers=CSV)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


async def test_the_patient_is_told_who_when_what_why_and_under_which_consent(seen: Clinic) -> None:
    at = seen.now
    [read] = [r for r in await rows(seen, ANNA) if "other" in r["organizations"]]
    assert read == {
        "when": f"{at:%Y-%m-%dT%H:%M:%S}." + read["when"].partition(".")[2],
        "person": "",
        "app": "other",
        "organizations": "Organization/other",
        "action": "read",
        "records": "Observation/of-a/_history/1",
        "purpose": "TREAT",
        "basis": "consent",
        "consents": "Consent/sharing-a/_history/1#provision",
        "refused": "",
    }


async def test_the_bundle_has_the_audit_events_themselves_the_newest_first(seen: Clinic) -> None:
    found = await seen.get(ANNA, LOG)
    assert found.json["type"] == "searchset"
    times = [event["recorded"] for event in found.resources]
    assert times == sorted(times, reverse=True)
    for event in found.resources:
        assert (await seen.get(ANNA, f"AuditEvent/{event['id']}")).json == event


async def test_pages_hold_every_event_once_in_both_forms(seen: Clinic) -> None:
    every = (await seen.get(ANNA, f"{LOG}?end={seen.now:%Y-%m-%dT%H:%M:%S.%fZ}")).resources
    paged = await seen.all_pages(ANNA, f"{LOG}?_count=2&end={seen.now:%Y-%m-%dT%H:%M:%S.%fZ}")
    assert [e["id"] for e in paged][-len(every) + 1 :] == [e["id"] for e in every][1:]
    first = await seen.ask(ANNA, "GET", f"{LOG}?_count=2", headers=CSV)
    link = first.headers["Link"]
    assert link.endswith('>; rel="next"')
    following = link.partition("<")[2].partition(">")[0].partition("/fhir/")[2]
    second = await rows(seen, ANNA, following)
    assert second[0]["when"] < first.body.decode().splitlines()[-1].partition(",")[0]
    assert (await seen.get(HOUSE, following)).status in (400, 403)


async def test_start_and_end_bound_it(seen: Clinic) -> None:
    assert await rows(seen, ANNA, f"{LOG}?end=2020-01-01") == []
    assert await rows(seen, ANNA, f"{LOG}?start=2099-01-01") == []
    assert await rows(seen, ANNA, f"{LOG}?start=2026-05-04&end=2026-05-04")


async def test_refused_tries_are_told_as_such(seen: Clinic) -> None:
    berta = "berta"
    seen.caller(berta, "patient/*.rs", "", ("PATRQT",), user="Patient/b", patient="Patient/b")
    tried = [r for r in await rows(seen, berta, "Patient/b/$access-log") if r["app"] == "other"]
    assert [(r["records"], bool(r["refused"])) for r in tried] == [("Observation/of-b", True)]


async def test_a_privacy_officer_sees_it_and_those_who_treat_do_not(seen: Clinic) -> None:
    assert await rows(seen, OVERSEER)
    for who in (HOUSE, OTHER):
        answer = await seen.get(who, LOG)
        assert answer.status == 403
    seen.caller("outside", organization="Organization/other", purposes=("HOPERAT",))
    assert (await seen.get("outside", LOG)).status == 403


def daughter(clinic: Clinic) -> str:
    return clinic.caller("daughter", "user/*.rs", "", ("PATRQT",), user="RelatedPerson/daughter")


async def test_a_proxy_sees_it_if_nothing_is_withheld_from_her(seen: Clinic) -> None:
    who = daughter(seen)
    missing = await seen.get(who, "Patient/nobody/$access-log")
    hidden = await seen.get(who, LOG)
    assert (hidden.status, hidden.body) == (404, missing.body)
    await seen.put(consent("proxy", "a", "permit", "RelatedPerson/daughter"))
    assert [r for r in await rows(seen, who) if "other" in r["organizations"]]
    except_some = sharing("a", "RelatedPerson/daughter")
    await seen.put({**except_some, "id": "proxy"})
    assert (await seen.get(who, LOG)).status == 403
    assert (await seen.get(who, "AuditEvent?patient=Patient/a")).resources == []


async def test_it_needs_the_scope_to_search_audit_events(seen: Clinic) -> None:
    seen.caller("narrow", "patient/Patient.rs", "", user="Patient/a", patient="Patient/a")
    assert (await seen.get("narrow", LOG)).status == 403
    seen.caller("none", "patient/AuditEvent.rs", "", user="Patient/a", patient="Patient/a")
    assert (await seen.get("none", LOG)).status == 403


@pytest.mark.parametrize(
    "query",
    [
        "start=never",
        "end=2026-13-01",
        "_count=0",
        "_cursor=x",
        "patient=b",
        "start=2020&start=2021",
    ],
)
async def test_what_is_no_parameter_is_refused(seen: Clinic, query: str) -> None:
    assert (await seen.get(ANNA, f"{LOG}?{query}")).status == 400


async def test_it_can_not_be_had_as_something_else(seen: Clinic) -> None:
    wanted = {"accept": "application/pdf"}
    assert (await seen.ask(ANNA, "GET", LOG, headers=wanted)).status == 406
    assert (await seen.ask(ANNA, "GET", "Patient/a", headers=CSV)).status == 406


async def test_a_name_that_would_be_a_formula_is_none(seen: Clinic) -> None:
    """The name of an app is its maker's choice."""
    seen.caller("=HYPERLINK(1)", organization="Organization/other")
    await seen.get("=HYPERLINK(1)", "Observation/of-a")
    told = [r["app"] for r in await rows(seen, ANNA)]
    assert "'=HYPERLINK(1)" in told
    assert "=HYPERLINK(1)" not in told


async def test_in_a_batch_it_is_a_bundle(seen: Clinic) -> None:
    batch: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": f"{LOG}?_format=text/csv"}}],
    }
    answer = await seen.ask(ANNA, "POST", "", batch)
    assert answer.status == 200
    [entry] = answer.json["entry"]
    assert entry["resource"]["type"] == "searchset"


async def test_looking_is_on_record_itself(seen: Clinic) -> None:
    start = seen.log_size()
    await rows(seen, OVERSEER)
    [event] = await seen.audits(start)
    assert event["entity"][0]["what"]["reference"] == "Patient/a"
    assert seen.pipeline.tools.validator.check(event) == ()
