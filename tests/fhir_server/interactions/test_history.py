"""History of an instance, a type and the system: which versions, in which order, page by page."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ..clinic import HOUSE, OTHER, Clinic, Json, entry, observation, patient, transaction


def _told(answer_json: Json) -> list[str]:
    """Type/id/version of each entry; a deletion has its version in the etag only."""
    found = []
    for each in answer_json.get("entry", ()):
        reference = "/".join(each["fullUrl"].rsplit("/", 2)[1:])
        version = each["response"]["etag"].strip('W/"')
        if "resource" in each:
            assert each["resource"]["meta"]["versionId"] == version
        else:
            assert each["request"] == {"method": "DELETE", "url": reference}
            assert each["response"]["status"] == "204"
        found.append(f"{reference}/{version}")
    return found


@pytest.fixture
async def changed(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(observation("o", "a"))
    await clinic.put(patient("a", active=True))
    await clinic.put(patient("b"))
    await clinic.ask(HOUSE, "DELETE", "Observation/o")
    await clinic.put(observation("o", "a", note=[{"text": "again"}]))
    return clinic


PATIENTS = ["Patient/b/1", "Patient/a/2", "Patient/a/1"]
OBSERVATIONS = ["Observation/o/3", "Observation/o/2", "Observation/o/1"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("Patient/_history", PATIENTS), ("Observation/_history", OBSERVATIONS), ("Observation/o/_history", OBSERVATIONS),
        ("Patient/a/_history", PATIENTS[1:]), ("Group/_history", []), ("Patient/_history?_format=json", PATIENTS),
    ],
)  # fmt: skip
async def test_all_versions_newest_first(changed: Clinic, url: str, expected: list[str]) -> None:
    answer = await changed.get(HOUSE, url)
    assert answer.json["type"] == "history"
    assert _told(answer.json) == expected
    assert answer.json["total"] == len(expected)


async def test_a_version_has_one_name(changed: Clinic) -> None:
    assert (await changed.get(HOUSE, "Patient/a/_history/2")).status == 200
    for other in ("02", "3", "0", "2.0", "+2", "%32%30"):
        assert (await changed.get(HOUSE, f"Patient/a/_history/{other}")).status == 404, other


async def test_the_system_has_all_types_in_one_order(changed: Clinic) -> None:
    changed.caller("clinical", "system/Patient.s system/Observation.s")
    answer = await changed.get("clinical", "_history")
    assert _told(answer.json) == [
        "Observation/o/3", "Observation/o/2", "Patient/b/1", "Patient/a/2", "Observation/o/1", "Patient/a/1",
    ]  # fmt: skip
    assert answer.json["link"][0]["url"].endswith("/fhir/_history")


@pytest.mark.parametrize("count", [1, 2, 4, 6, 7])
@pytest.mark.parametrize("url", ["Patient/_history", "Observation/o/_history", "_history"])
async def test_pages_give_each_version_once_while_others_write(
    changed: Clinic, url: str, count: int
) -> None:
    changed.caller("clinical", "system/Patient.rs system/Observation.rs")
    whole = _told((await changed.get("clinical", url)).json)
    found: list[str] = []
    target, number = f"{url}?_count={count}", 0
    while target:
        answer = await changed.get("clinical", target)
        found += _told(answer.json)
        target = answer.next
        number += 1
        await changed.put(patient("a", multipleBirthInteger=number))
        await changed.put(observation("o", "a", note=[{"text": str(number)}]))
    assert found == whole


async def test_since_and_at_pick_by_time(changed: Clinic) -> None:
    start = changed.now
    changed.now += timedelta(days=2)
    await changed.put(patient("a", active=False))
    day, later = f"{start:%Y-%m-%d}", f"{changed.now:%Y-%m-%d}"
    since = await changed.get(HOUSE, f"Patient/_history?_since={later}")
    assert _told(since.json) == ["Patient/a/3"]
    at_first = await changed.get(HOUSE, f"Patient/_history?_at={day}")
    assert _told(at_first.json) == PATIENTS
    between = f"{start + timedelta(days=1):%Y-%m-%d}"
    then = await changed.get(HOUSE, f"Patient/_history?_at={between}")
    assert _told(then.json) == ["Patient/b/1", "Patient/a/2"]
    assert (await changed.get(HOUSE, "Patient/_history?_at=2001")).json["total"] == 0
    nothing = await changed.get(HOUSE, "Patient/a/_history?_since=2100-01-01")
    assert (nothing.status, nothing.json["total"]) == (200, 0)


async def test_what_shapes_the_answer_stays_in_the_links_and_spares_deletions(
    changed: Clinic,
) -> None:
    target, found = "Observation/_history?_count=1&_elements=status", []
    while target:
        answer = await changed.get(HOUSE, target)
        found += [e.get("resource") for e in answer.json["entry"]]
        target = answer.next
    assert [r and ("status" in r, "code" in r) for r in found] == [(True, True), None, (True, True)]
    assert all("subject" not in r for r in found if r)


async def test_count_nought_gives_the_total_only(changed: Clinic) -> None:
    answer = await changed.get(HOUSE, "Patient/_history?_count=0")
    assert (answer.json["total"], answer.json.get("entry")) == (3, None)


@pytest.mark.parametrize(
    "query",
    ["_count=x", "_count=-1", "_since=x", "_since=", "_at=13.2.1971", "_cursor=x", "_cursor=AAAA"],
)
@pytest.mark.parametrize("url", ["_history", "Patient/_history", "Patient/a/_history"])
async def test_a_bad_parameter_is_refused(changed: Clinic, url: str, query: str) -> None:
    assert (await changed.get(HOUSE, f"{url}?{query}")).status == 400


async def test_an_unknown_parameter_is_left_out_unless_the_caller_is_strict(
    changed: Clinic,
) -> None:
    answer = await changed.get(HOUSE, "Patient/_history?nonsense=1&_count=9")
    assert answer.json["link"][0]["url"].endswith("/Patient/_history?_count=9")
    strict = {"prefer": "handling=strict"}
    refused = await changed.ask(HOUSE, "GET", "Patient/_history?nonsense=1", headers=strict)
    assert refused.status == 400


async def test_a_page_link_is_for_its_caller_and_its_history_only(changed: Clinic) -> None:
    link = (await changed.get(HOUSE, "Patient/_history?_count=1")).next
    changed.caller("another")
    assert (await changed.get("another", link)).status == 400
    assert (await changed.get(OTHER, link)).status == 400
    for other in ("Observation/_history", "_history", "Patient/a/_history"):
        assert (await changed.get(HOUSE, link.replace("Patient/_history", other))).status == 400


async def test_a_history_that_is_too_long_is_refused(changed: Clinic) -> None:
    from dataclasses import replace

    tools = replace(changed.pipeline.tools, max_candidates=2)
    changed.pipeline = replace(changed.pipeline, tools=tools)
    assert (await changed.get(HOUSE, "Patient/_history")).status == 503


async def test_audit_events_have_a_history_too(changed: Clinic) -> None:
    changed.caller("overseer", "system/AuditEvent.rs", purposes=("HOPERAT",))
    answer = await changed.get("overseer", "AuditEvent/_history?_count=3")
    assert len(answer.resources) == 3
    assert [e["response"]["etag"] for e in answer.json["entry"]] == ['W/"1"'] * 3


async def test_a_history_is_on_record_for_each_patient(changed: Clinic) -> None:
    start = changed.log_size()
    await changed.get(HOUSE, "Patient/_history")
    events = await changed.audits(start)
    assert {e["subtype"][0]["code"] for e in events} == {"history-type"}
    assert len(events) == 2
    assert sum("Patient/a/_history/2" in str(e) for e in events) == 1


async def test_a_history_in_a_batch_is_a_history(changed: Clinic) -> None:
    answer = await changed.ask(
        HOUSE, "POST", "", transaction(entry("GET", "Patient/_history"), type_="batch")
    )
    assert _told(answer.json["entry"][0]["resource"]) == PATIENTS
