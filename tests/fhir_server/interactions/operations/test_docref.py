"""``DocumentReference/$docref``: the newest document of each type, or those of some time."""

import pytest

from ...clinic import HOUSE, Clinic, patient

CCD, NOTE = "34133-9", "11506-3"


def reference(id_: str, code: str, date: str, **members: object) -> dict[str, object]:
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/a"},
        "date": f"{date}T10:00:00Z",
        "content": [{"attachment": {"url": "http://example.org/x"}}],
        **members,
    }


@pytest.fixture
async def archive(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    for year in (2019, 2021, 2020):
        await clinic.put(reference(f"ccd-{year}", CCD, f"{year}-03-01"))
    await clinic.put(reference("note", NOTE, "2018-01-01"))
    await clinic.put(reference("old", CCD, "2022-01-01", status="superseded"))
    return clinic


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", {"ccd-2021", "note"}),
        (f"&type=http://loinc.org|{CCD}", {"ccd-2021"}),
        ("&start=2020", {"ccd-2020", "ccd-2021"}),
        ("&end=2019-12-31", {"ccd-2019", "note"}),
        (f"&start=2019&end=2020&type={CCD}", {"ccd-2019", "ccd-2020"}),
        ("&start=2023", set()),
        ("&on-demand=false", {"ccd-2021", "note"}),
        ("&on-demand=true", set()),
    ],
)
async def test_what_is_found(archive: Clinic, query: str, ids: set[str]) -> None:
    answer = await archive.get(HOUSE, f"DocumentReference/$docref?patient=Patient/a{query}")
    assert answer.json["type"] == "searchset"
    assert {r["id"] for r in answer.resources} == ids
    assert answer.json.get("total") == len(ids)


async def test_pages_and_post(archive: Clinic) -> None:
    url = "DocumentReference/$docref?patient=a&start=2000&_count=1"
    found = await archive.all_pages(HOUSE, url)
    assert len({r["id"] for r in found}) == len(found) == 4
    sent = [{"name": "patient", "valueId": "a"}, {"name": "start", "valueDate": "2021-01-01"}]
    posted = await archive.ask(
        HOUSE,
        "POST",
        "DocumentReference/$docref",
        {"resourceType": "Parameters", "parameter": sent},
    )
    assert posted.references == ["DocumentReference/ccd-2021"]


@pytest.mark.parametrize(
    "query",
    ["", "start=2020", "patient=a&start=x", "patient=a&on-demand=maybe", "patient=a&profile=x"],
)
async def test_what_can_not_be_asked_is_refused(archive: Clinic, query: str) -> None:
    assert (await archive.get(HOUSE, f"DocumentReference/$docref?{query}")).status == 400


async def test_it_needs_to_search_document_references(archive: Clinic) -> None:
    archive.caller("narrow", "system/DocumentReference.r system/Patient.rs")
    assert (await archive.get("narrow", "DocumentReference/$docref?patient=a")).status == 403
