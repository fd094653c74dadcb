"""``Observation/$lastn``: the newest of each code."""

import pytest

from ...clinic import HOUSE, Clinic, observation, patient

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"


def coded(*codings: tuple[str, str]) -> dict[str, object]:
    return {"coding": [{"system": system, "code": code} for system, code in codings]}


@pytest.fixture
async def ward(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    for code in ("8867-4", "8480-6"):
        for day in (3, 1, 2):
            made = observation(f"{code[:4]}-{day}", "a", code, effectiveDateTime=f"2020-01-0{day}")
            await clinic.put(made)
    await clinic.put(observation("of-b", "b", effectiveDateTime="2021-01-01"))
    return clinic


async def test_the_newest_of_each_code_comes(ward: Clinic) -> None:
    answer = await ward.get(HOUSE, "Observation/$lastn?patient=a")
    assert answer.json["type"] == "searchset"
    assert answer.json["total"] == 2
    assert sorted(answer.references) == ["Observation/8480-3", "Observation/8867-3"]


async def test_max_of_each_newest_first(ward: Clinic) -> None:
    found = (await ward.get(HOUSE, "Observation/$lastn?subject=Patient/a&max=2")).references
    assert sorted(found[:2]) in (
        ["Observation/8480-2", "Observation/8480-3"],
        ["Observation/8867-2", "Observation/8867-3"],
    )
    assert len(found) == 4
    assert len((await ward.get(HOUSE, "Observation/$lastn?patient=a&max=50")).references) == 6


async def test_a_coding_in_common_makes_one_kind_and_so_does_a_text(ward: Clinic) -> None:
    both = coded((LOINC, "8867-4"), (SNOMED, "364075005"))
    await ward.put(observation("both", "a", code="x") | {"code": both})
    alone = coded((SNOMED, "364075005"))
    await ward.put(observation("snomed", "a", effectiveDateTime="2022-01-01") | {"code": alone})
    for day in (1, 2):
        text = observation(f"text-{day}", "a", effectiveDateTime=f"2020-02-0{day}")
        await ward.put(text | {"code": {"text": "mood"}})
    found = (await ward.get(HOUSE, "Observation/$lastn?patient=a")).references
    assert found == ["Observation/snomed", "Observation/text-2", "Observation/8480-3"]


async def test_what_has_no_date_comes_last(ward: Clinic) -> None:
    await ward.put(observation("dateless", "a"))
    found = (await ward.get(HOUSE, "Observation/$lastn?patient=a&code=8867-4&max=9")).references
    assert found == [f"Observation/{n}" for n in ("8867-3", "8867-2", "8867-1", "dateless")]


async def test_search_parameters_narrow_it_by_get_and_by_post(ward: Clinic) -> None:
    got = await ward.get(HOUSE, "Observation/$lastn?patient=a&code=8480-6&date=lt2020-01-03")
    assert got.references == ["Observation/8480-2"]
    sent = [
        {"name": "patient", "valueReference": {"reference": "Patient/a"}},
        {"name": "code", "valueCoding": {"system": LOINC, "code": "8480-6"}},
        {"name": "max", "valuePositiveInt": 2},
    ]
    posted = await ward.ask(
        HOUSE, "POST", "Observation/$lastn", {"resourceType": "Parameters", "parameter": sent}
    )
    assert posted.references == ["Observation/8480-3", "Observation/8480-2"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=8867-4",
        "patient=",
        "patient=a&max=0",
        "patient=a&max=x",
        "patient=a&max=-1",
        "patient=a&_sort=date",
        "patient=a&colour=red",
        "patient=a&_include=*",
    ],
)
async def test_what_can_not_be_asked_is_refused(ward: Clinic, query: str) -> None:
    assert (await ward.get(HOUSE, f"Observation/$lastn?{query}")).status == 400
