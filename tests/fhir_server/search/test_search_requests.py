"""Search as it is asked: references, ids, pages and parameters that can not be used."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ..clinic import BASE, HOUSE, Clinic, Json, observation, open_clinic, patient


def about(id_: str, reference: str, **members: object) -> Json:
    return {**observation(id_, "x"), "subject": {"reference": reference, **members}}


REFERENCES = [
    "Patient/a",
    f"{BASE}/Patient/a",
    "Patient/a/_history/2",
    f"{BASE}/Patient/a/_history/1",
]


@pytest.mark.parametrize("stored", REFERENCES)
@pytest.mark.parametrize(
    "query",
    [
        "subject=Patient/a",
        "subject=a",
        f"subject={BASE}/Patient/a",
        "subject:Patient=a",
        "patient=a",
        "patient=Patient/a",
    ],
)
async def test_a_reference_is_found_however_it_is_written(
    clinic: Clinic, stored: str, query: str
) -> None:
    await clinic.put(about("o", stored))
    await clinic.put(observation("other", "ab"))
    await clinic.put(about("foreign", "http://elsewhere/fhir/Patient/a"))
    assert "Observation/o" in (await clinic.get(HOUSE, f"Observation?{query}")).references
    found = (await clinic.get(HOUSE, f"Observation?{query}")).references
    assert "Observation/other" not in found
    if query != "subject=a" and query != "subject:Patient=a" and query != "patient=a":
        assert "Observation/foreign" not in found


async def test_a_reference_by_identifier_and_by_another_type(clinic: Clinic) -> None:
    identifier = {"system": "urn:x", "value": "7"}
    await clinic.put(about("o", "Patient/a", identifier=identifier))
    await clinic.put(about("g", "Group/a"))
    for query, expected in (
        ("subject:identifier=urn:x|7", ["Observation/o"]),
        ("subject:identifier=urn:x|8", []),
        ("subject:Group=a", ["Observation/g"]),
        ("subject=a", ["Observation/o", "Observation/g"]),
        ("patient=a", ["Observation/o"]),
        ("subject:missing=true", []),
    ):
        assert (await clinic.get(HOUSE, f"Observation?{query}")).references == expected, query


async def test_id_and_last_updated_narrow(clinic: Clinic) -> None:
    for name in ("a", "b", "c"):
        await clinic.put(patient(name))
        clinic.now += timedelta(days=1)
    for query, expected in (
        ("_id=a", ["a"]), ("_id=a,c,zz", ["a", "c"]), ("_id=a&_id=b", []), ("_id=zz", []), ("_id:not=a", ["b", "c"]),
        ("_lastUpdated=2026-05-05", ["b"]), ("_lastUpdated=ge2026-05-05", ["b", "c"]), ("_lastUpdated=lt2026-05-05", ["a"]),
        ("_lastUpdated=2026-05", ["a", "b", "c"]), ("_lastUpdated=2026-05-04,2026-05-06", ["a", "c"]),
        ("_lastUpdated=gt2026-05-04&_lastUpdated=lt2026-05-06", ["b"]), ("_lastUpdated=ne2026-05-05", ["a", "c"]),
        ("_lastUpdated=eb2026-05-05", ["a"]), ("_lastUpdated=sa2026-05-05", ["c"]),
    ):  # fmt: skip
        assert [
            r["id"] for r in (await clinic.get(HOUSE, f"Patient?{query}")).resources
        ] == expected, query


async def test_what_changes_is_found_by_what_it_says_now(clinic: Clinic) -> None:
    await clinic.put(patient("p", name=[{"family": "Alt"}], birthDate="1970-01-01"))
    await clinic.put(patient("p", name=[{"family": "Neu"}], birthDate="1980-01-01"))
    for query, count in (
        ("name=alt", 0),
        ("name=neu", 1),
        ("birthdate=1970", 0),
        ("birthdate=1980", 1),
    ):
        assert (await clinic.get(HOUSE, f"Patient?{query}")).json["total"] == count
    await clinic.ask(HOUSE, "DELETE", "Patient/p")
    assert (await clinic.get(HOUSE, "Patient?name=neu")).json["total"] == 0
    await clinic.put(patient("p", name=[{"family": "Wieder"}]))
    assert (await clinic.get(HOUSE, "Patient?name=wieder")).json["total"] == 1


async def test_a_period_to_the_end_of_the_calendar_is_stored_and_found(clinic: Clinic) -> None:
    period = {"start": "2020-01-01", "end": "9999-12-31"}
    await clinic.put(observation("o", "a", effectivePeriod=period))
    assert (await clinic.get(HOUSE, "Observation?date=ge2030")).json["total"] == 1
    assert (await clinic.get(HOUSE, "Observation?date=lt2020")).json["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "date=x", "date=2020-13", "date=2020-02-30", "date=gt", "date=xx2020", "date:exact=2020", "date:missing=maybe",
        "code:exact=x", "subject:Nonsense=x", "subject:not=x", "_count=-1", "_count=x", "_count=1.5", "_total=yes",
        "_sort=zz",
        "_id:exact=1", "_lastUpdated=yesterday", "_cursor=zz", "_security=x,y&_security:nope=1", "date=2020,x",
    ],
)  # fmt: skip
async def test_a_search_that_cannot_be_understood_is_400_with_the_parameter(
    clinic: Clinic, query: str
) -> None:
    answer = await clinic.get(HOUSE, f"Observation?{query}")
    assert answer.status == 400
    assert answer.json["issue"][0]["severity"] == "error"


@pytest.mark.parametrize(
    "name",
    [
        "nope",
        "_query",
    ],
)
async def test_an_unknown_parameter_is_named_and_left_out_or_refused_if_strict(
    clinic: Clinic, name: str
) -> None:
    await clinic.put(observation("o", "a"))
    answer = await clinic.get(HOUSE, f"Observation?code=8867-4&{name}=1")
    assert answer.references == ["Observation/o"]
    [outcome] = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "outcome"]
    assert name in outcome["issue"][0]["diagnostics"]
    assert name not in answer.json["link"][0]["url"]
    strict = await clinic.ask(
        HOUSE, "GET", f"Observation?{name}=1", headers={"prefer": "handling=strict"}
    )
    assert strict.status == 400
    assert name in strict.json["issue"][0]["diagnostics"]


async def test_count_zero_gives_the_total_and_no_entry(clinic: Clinic) -> None:
    await clinic.put(observation("o", "a"))
    answer = await clinic.get(HOUSE, "Observation?_count=0&_sort=date")
    assert answer.json["total"] == 1
    assert "entry" not in answer.json


async def test_thousands_of_alternatives_are_answered_or_refused_never_failed(
    clinic: Clinic,
) -> None:
    await clinic.put(observation("o", "a", effectiveDateTime="2020-01-01"))
    form = {"content-type": "application/x-www-form-urlencoded"}
    for name, values in (
        ("_id", [f"x{n}" for n in range(300_000)]),
        ("code", [f"x{n}" for n in range(300_000)]),
        ("date", [f"{1900 + n // 365}-01-{1 + n % 28:02}" for n in range(20_000)]),
    ):
        body = f"{name}={','.join(values)}".encode()
        answer = await clinic.ask(HOUSE, "POST", "Observation/_search", body, form)
        assert answer.status in (200, 400, 413), name


async def test_a_search_over_too_many_records_says_what_to_do(folder: Path) -> None:
    clinic = await open_clinic(folder, max_candidates=100)
    for number in range(260):
        await clinic.put(observation(f"o{number}", "a"))
    answer = await clinic.get(HOUSE, "Observation?status=final&_sort=date")
    assert answer.status == 503
    assert "add a patient" in answer.json["issue"][0]["diagnostics"]
    await clinic.close()


async def test_nobody_is_both_dead_and_alive(clinic: Clinic) -> None:
    await clinic.put(patient("dead", deceasedBoolean=True))
    await clinic.put(patient("dead-since", deceasedDateTime="2020-01-01"))
    await clinic.put(patient("alive", deceasedBoolean=False))
    await clinic.put(patient("unsaid"))
    for value, expected in (("true", ["dead", "dead-since"]), ("false", ["alive", "unsaid"])):
        found = (await clinic.get(HOUSE, f"Patient?deceased={value}")).resources
        assert [r["id"] for r in found] == expected
