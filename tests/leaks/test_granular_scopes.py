"""A granular scope (``?category=``) limits every way to a record: what it leaves out is as if it were not stored.

Each request is asked of two servers: one has records that the scope leaves out, the other never had them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from ..fhir_server.clinic import (
    HOUSE,
    Clinic,
    entry,
    observation,
    open_clinic,
    patient,
    plain,
    transaction,
)

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LAB = f"system/Observation.cruds?category={CATEGORY}|laboratory"
OTHERS = (
    "system/Patient.cruds system/DiagnosticReport.cruds system/Composition.cruds system/List.rs"
)


def of(category: str) -> dict[str, object]:
    return {"category": [{"coding": [{"system": CATEGORY, "code": category}]}]}


def report(id_: str, *results: str) -> dict[str, object]:
    return {
        "resourceType": "DiagnosticReport",
        "id": id_,
        "status": "final",
        "code": {"text": id_},
        "subject": {"reference": "Patient/a"},
        "result": [{"reference": f"Observation/{each}"} for each in results],
    }


async def filled(clinic: Clinic, *, whole: bool) -> Clinic:
    """A chart; with all of it, or only what the scope lets see."""
    await clinic.put(patient("a", name=[{"family": "Meier"}], birthDate="1984-03-17"))
    await clinic.put(patient("b", name=[{"family": "Novak"}]))
    for number in range(3):
        await clinic.put(observation(f"lab-{number}", "a", **of("laboratory")))
    if whole:
        for number in range(3):
            hidden = observation(f"vital-{number}", "a", **of("vital-signs"))
            await clinic.put(hidden)
            await clinic.put({**hidden, "note": [{"text": "changed"}]})
        await clinic.put(observation("vital-b", "b", "8480-6", **of("vital-signs")))
    await clinic.put(report("mixed", "lab-0", "vital-0"))
    await clinic.put(report("hidden-only", "vital-1"))
    await clinic.put(
        {
            "resourceType": "List",
            "id": "all",
            "status": "current",
            "mode": "working",
            "subject": {"reference": "Patient/a"},
            "entry": [
                {"item": {"reference": f"Observation/{each}"}} for each in ("lab-1", "vital-1")
            ],
        }
    )
    await clinic.put(
        {
            "resourceType": "Composition",
            "id": "note",
            "status": "final",
            "type": {"text": "note"},
            "date": "2026-05-04",
            "title": "Note",
            "author": [{"reference": "Patient/a"}],
            "subject": {"reference": "Patient/a"},
            "section": [
                {"title": "Results", "entry": [{"reference": "Observation/vital-0"}]},
                {"title": "More", "entry": [{"reference": "Observation/lab-0"}]},
            ],
        }
    )
    clinic.caller("lab", f"{LAB} {OTHERS}")
    return clinic


@pytest.fixture
async def both(clinic: Clinic, tmp_path: Path) -> AsyncIterator[tuple[Clinic, Clinic]]:
    """The server with everything, and the one that never had what the scope leaves out."""
    other = await open_clinic(tmp_path)
    yield await filled(clinic, whole=True), await filled(other, whole=False)
    await other.close()


@pytest.mark.parametrize(
    "url",
    [
        "Observation/lab-0",
        "Observation/vital-0",
        "Observation/vital-0/_history",
        "Observation/vital-0/_history/1",
        "Observation",
        "Observation?_total=accurate",
        "Observation?_count=0",
        "Observation?_summary=count",
        "Observation?_count=2",
        "Observation?_sort=code",
        "Observation?_sort=-_lastUpdated&_count=1",
        "Observation?patient=a",
        f"Observation?category={CATEGORY}|vital-signs",
        "Observation?category=vital-signs,laboratory&_elements=id",
        "Observation?_id=vital-0,lab-0",
        "Observation?category:not=laboratory",
        "Observation?_list=all",
        "Observation?_filter=category%20eq%20vital-signs",
        "Observation?_has:DiagnosticReport:result:code:text=hidden-only",
        "Observation?_revinclude=DiagnosticReport:result",
        "Observation/_history",
        "Patient/a/Observation",
        "Patient/a/*",
        "?_type=Observation",
        "_history",
        "?_type=Observation,Patient&_count=4",
        "Patient?_has:Observation:patient:category=vital-signs",
        "Patient?_has:Observation:patient:code=8480-6",
        "Patient?_has:Observation:patient:category=laboratory",
        "Patient?_revinclude=Observation:patient",
        "Patient?_revinclude=*",
        "Patient?_id=b&_revinclude=Observation:subject",
        "DiagnosticReport?result.category=vital-signs",
        "DiagnosticReport?result.category=laboratory",
        "DiagnosticReport?result:Observation.code=8867-4&_sort=_id",
        "DiagnosticReport?_include=DiagnosticReport:result",
        "DiagnosticReport?_include:iterate=*&_include=*",
        "DiagnosticReport?_has:Observation:_id=vital-0",
        "Patient/a/$everything",
        "Patient/a/$everything?_type=Observation",
        "Patient/$everything",
        "Composition/note/$document",
        "Observation/$lastn?patient=a",
        "Observation/$meta",
        "Observation/vital-0/$meta",
        "$meta",
        "Observation/vital-0/$validate",
    ],
)
async def test_what_the_scope_leaves_out_is_as_if_not_stored(
    both: tuple[Clinic, Clinic], url: str
) -> None:
    whole, lesser = both
    answer, expected = await whole.get("lab", url), await lesser.get("lab", url)
    assert answer.status == expected.status
    assert plain_without_ids(answer.body) == plain_without_ids(expected.body)


def plain_without_ids(body: bytes) -> object:
    """An answer without the id and time of a Bundle."""
    value = orjson.loads(body) if body else {}
    if value.get("resourceType") == "Bundle":
        for made in ("id", "identifier", "timestamp"):
            value.pop(made, None)
    return plain(value)


async def test_a_summary_tells_only_what_the_scope_lets_see(both: tuple[Clinic, Clinic]) -> None:
    whole, _ = both
    told = (await whole.get("lab", "Patient/a/$summary")).body
    assert b"lab-0" in told
    assert b'"id":"vital' not in told


async def test_batches_and_transactions_give_no_more(both: tuple[Clinic, Clinic]) -> None:
    for type_ in ("batch", "transaction"):
        entries = [
            entry("GET", url)
            for url in (
                "Observation?patient=a",
                "Observation?_total=accurate",
                "Patient?_has:Observation:patient:code=8480-6",
            )
        ]
        if type_ == "batch":
            entries.append(entry("GET", "Observation/vital-0"))
        asked = transaction(*entries, type_=type_)
        told = [await each.ask("lab", "POST", "", asked) for each in both]
        assert told[0].status == 200
        assert plain_without_ids(told[0].body) == plain_without_ids(told[1].body)


@pytest.mark.parametrize(
    ("method", "url", "category"),
    [
        ("POST", "Observation", "vital-signs"),
        ("POST", "Observation", None),
        ("PUT", "Observation/lab-0", "vital-signs"),
        ("PUT", "Observation/lab-0", None),
        ("PUT", "Observation/brand-new", "vital-signs"),
        ("PUT", "Observation?_id=lab-0", "vital-signs"),
        ("PUT", "Observation?identifier=urn:x|none", "vital-signs"),
        ("POST", "Observation?identifier=urn:x|none", "vital-signs"),
    ],
)
async def test_what_would_not_match_is_not_written(
    both: tuple[Clinic, Clinic], method: str, url: str, category: str | None
) -> None:
    whole, _ = both
    content = observation("x", "a", **(of(category) if category else {}))
    content["id"] = url.partition("/")[2] or "lab-0"
    if method == "POST" or "identifier" in url:
        del content["id"]
    headers = {}
    if method == "POST" and "?" in url:
        headers, url = {"if-none-exist": url.partition("?")[2]}, "Observation"
    answer = await whole.ask("lab", method, url, content, headers)
    assert answer.status == 403, answer.body
    for type_ in ("batch", "transaction"):
        one = entry(
            method, url, content, **({"ifNoneExist": headers["if-none-exist"]} if headers else {})
        )
        told = await whole.ask("lab", "POST", "", transaction(one, type_=type_))
        refused = (
            told.json["entry"][0]["response"]["status"] if type_ == "batch" else str(told.status)
        )
        assert refused.startswith("403"), told.body


async def test_a_patch_cannot_take_a_record_out_of_the_scope(both: tuple[Clinic, Clinic]) -> None:
    whole, _ = both
    away = [{"op": "replace", "path": "/category/0/coding/0/code", "value": "vital-signs"}]
    headers = {"content-type": "application/json-patch+json"}
    assert (await whole.ask("lab", "PATCH", "Observation/lab-0", away, headers)).status == 403
    remove = [{"op": "remove", "path": "/category"}]
    assert (await whole.ask("lab", "PATCH", "Observation/lab-0", remove, headers)).status == 403
    bring = [{"op": "replace", "path": "/category/0/coding/0/code", "value": "laboratory"}]
    assert (await whole.ask("lab", "PATCH", "Observation/vital-0", bring, headers)).status == 404
    conditional = await whole.ask("lab", "PATCH", "Observation?_id=vital-0", bring, headers)
    assert conditional.status == 404


async def test_what_does_not_match_is_not_changed_or_deleted(both: tuple[Clinic, Clinic]) -> None:
    whole, _ = both
    lab = observation("vital-0", "a", **of("laboratory"))
    assert (await whole.ask("lab", "PUT", "Observation/vital-0", lab)).status in (403, 404)
    assert (await whole.ask("lab", "DELETE", "Observation/vital-0")).status in (403, 404)
    await whole.ask("lab", "DELETE", "Observation?_id=vital-0")
    labels = {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:t", "code": "t"}]}}],
    }
    for operation in ("$meta-add", "$meta-delete"):
        refused = await whole.ask("lab", "POST", f"Observation/vital-0/{operation}", labels)
        assert refused.status in (403, 404)
    kept = await whole.get(HOUSE, "Observation/vital-0")
    assert kept.json["meta"]["versionId"] == "2"


async def test_a_conditional_create_does_not_tell_of_what_is_out_of_scope(
    both: tuple[Clinic, Clinic],
) -> None:
    content = observation("x", "b", **of("laboratory"))
    del content["id"]
    headers = {"if-none-exist": "code=8480-6"}  # only vital-b has it
    told = [await each.ask("lab", "POST", "Observation", content, headers) for each in both]
    assert [answer.status for answer in told] == [201, 201]


async def test_a_conditional_reference_finds_nothing_out_of_scope(
    both: tuple[Clinic, Clinic],
) -> None:
    content = report("x")
    del content["id"]
    content["result"] = [{"reference": "Observation?code=8480-6"}]
    told = [
        await each.ask("lab", "POST", "", transaction(entry("POST", "DiagnosticReport", content)))
        for each in both
    ]
    assert told[0].status == told[1].status >= 400
    assert plain(told[0]) == plain(told[1])


async def test_a_record_that_left_the_scope_shows_nothing_of_its_past(clinic: Clinic) -> None:
    await filled(clinic, whole=True)
    await clinic.put(observation("lab-2", "a", **of("vital-signs")))
    for url in ("Observation/lab-2", "Observation/lab-2/_history", "Observation/lab-2/_history/1"):
        assert (await clinic.get("lab", url)).status == 404, url
    assert b"lab-2" not in (await clinic.get("lab", "Observation/_history")).body


async def test_a_record_that_came_into_the_scope_shows_nothing_of_its_past(clinic: Clinic) -> None:
    await filled(clinic, whole=True)
    await clinic.put(observation("vital-1", "a", **of("laboratory")))
    assert (await clinic.get("lab", "Observation/vital-1")).status == 200
    assert (await clinic.get("lab", "Observation/vital-1/_history/1")).status == 404
    found = (await clinic.get("lab", "Observation/vital-1/_history")).resources
    assert [each["meta"]["versionId"] for each in found] == ["3"]


@pytest.mark.parametrize(
    ("scope", "line"),
    [
        (LAB, "GET Condition"),
        (LAB, "GET Condition/1"),
        (LAB, "GET Patient/a/Condition"),
        (LAB, "GET ?_type=Condition"),
        (LAB, "GET Patient/a/$everything"),
        (LAB, "GET Condition/_history"),
        (LAB, "GET Observation?patient.name=meier"),
        (LAB, "GET Observation?_has:DiagnosticReport:result:status=final"),
        (LAB, "GET Observation?_list=all"),
        (f"{LAB} system/Patient.rs", "GET Patient/a/$everything?_type=Condition"),
        (f"{LAB} system/Patient.rs", "GET Patient?_has:Condition:patient:code=x"),
        ("system/Patient.r", "GET Patient?_id=a"),
        ("system/Patient.s", "GET Patient/a"),
        ("patient/Patient.rs", "POST Patient"),
    ],
)
async def test_a_type_or_letter_outside_the_scopes_is_403_never_an_empty_answer(
    clinic: Clinic, scope: str, line: str
) -> None:
    await filled(clinic, whole=True)
    clinic.caller("narrow", scope, patient="Patient/a")
    method, _, url = line.partition(" ")
    answer = await clinic.ask("narrow", method, url, patient("a") if method == "POST" else None)
    assert answer.status == 403, answer.body


async def test_scopes_add_up_each_with_its_own_letters(clinic: Clinic) -> None:
    await filled(clinic, whole=True)
    clinic.caller(
        "sum",
        f"system/Observation.r?category={CATEGORY}|vital-signs "
        f"system/Observation.s?category={CATEGORY}|laboratory",
    )
    assert (await clinic.get("sum", "Observation/vital-0")).status == 200
    assert (await clinic.get("sum", "Observation/lab-0")).status == 404
    found = (await clinic.get("sum", "Observation")).references
    assert sorted(found) == ["Observation/lab-0", "Observation/lab-1", "Observation/lab-2"]
