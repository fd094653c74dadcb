"""The answer to a caller is that of a server which never held what the caller may not see."""

from pathlib import Path

import pytest

from ..fhir_server.clinic import (
    ETH,
    OTHER,
    Clinic,
    Json,
    entry,
    observation,
    open_clinic,
    patient,
    plain,
    sharing,
    transaction,
)

IDENTIFIER = [{"system": "urn:mrn", "value": "9"}]
HIDDEN: list[Json] = [
    patient("b", name=[{"family": "Meier"}], identifier=IDENTIFIER),
    observation("b1", "b", effectiveDateTime="2020-01-01"),
    observation("h1", "a", meta=ETH, effectiveDateTime="2019-01-01", identifier=IDENTIFIER),
    observation("h2", "a", meta=ETH, effectiveDateTime="2021-01-01", identifier=IDENTIFIER),
    {"resourceType": "List", "id": "l", "status": "current", "mode": "working", "meta": ETH,
     "subject": {"reference": "Patient/a"}, "entry": [{"item": {"reference": "Observation/o1"}}]},
    {"resourceType": "Encounter", "id": "eh", "status": "finished", "meta": ETH,
     "class": {"code": "AMB"}, "subject": {"reference": "Patient/a"}},
]  # fmt: skip
OPEN: list[Json] = [
    patient("a", name=[{"family": "Meier"}]),
    sharing("a"),
    observation("o1", "a", effectiveDateTime="2020-05-01", encounter={"reference": "Encounter/eh"}),
    observation("o2", "a", effectiveDateTime="2018-05-01"),
    observation("o3", "a"),
]
REQUESTS = [
    "Patient",
    "Patient?name=meier",
    "Patient?_id=a,b",
    "Patient?identifier=urn:mrn|9",
    "Patient/b",
    "Patient?_sort=name",
    "Patient?name:missing=true",
    "Patient/b/_history",
    "Observation",
    "Observation?subject=a",
    "Observation?subject=b",
    "Observation?patient=a,b",
    "Observation?date=ge2019",
    "Observation?date=lt2020",
    "Observation?date:missing=true",
    "Observation?_count=0",
    "Observation?_count=1",
    "Observation?_count=2&_total=accurate",
    "Observation?_sort=date&_count=2",
    "Observation?_sort=-date&_count=1",
    "Observation?_sort=-_lastUpdated",
    "Observation?identifier=urn:mrn|9",
    "Observation?identifier:missing=false",
    "Observation?code:not=x",
    "Observation?_include=Observation:encounter",
    "Observation?_include=Observation:subject&_count=1",
    "Observation/h1",
    "Observation/h1/_history",
    "Observation/h1/_history/1",
    "Observation/o1/_history",
    "Observation?encounter.status=finished",
    "Observation?encounter.status:missing=false",
    "Observation?patient.name=meier",
    "Observation?subject.name=meier&_sort=date&_count=1",
    "Observation?encounter:Encounter.class=AMB&_summary=count",
    "Observation?encounter._id=eh,x",
    "Observation?patient.identifier=urn:mrn|9",
    "Patient?_has:Observation:patient:identifier=urn:mrn|9",
    "Patient?_has:Observation:patient:date=ge2020-06",
    "Patient?_has:Observation:patient:date=lt2020&_summary=count",
    "Patient?_has:Encounter:patient:status=finished",
    "Patient?_has:Observation:patient:encounter.status=finished",
    "Patient?_has:Encounter:patient:_has:Observation:encounter:date=2020-05-01",
    "Patient?_has:Observation:patient:_id=h1,b1",
    "Observation?_list=l",
    "Patient?_list=l",
    "Patient?_revinclude=Observation:patient",
    "Patient?_revinclude=*&_count=1",
    "Observation?_include=*",
    "Observation?_include:iterate=*&_revinclude:iterate=*",
    "Encounter?_revinclude=Observation:encounter",
    "Patient/a/Observation",
    "Patient/b/Observation",
    "Patient/a/*",
    "Patient/b/*",
    "Encounter/eh/Observation",
    "Encounter/eh/Encounter",
    "Patient/a/Observation?_sort=-date&_count=2&_total=accurate",
    "?_type=Patient,Observation,Encounter",
    "?_id=a,b,o1,h1,eh",
    "?_type=Patient,Observation&_count=1",
    "?_type=Patient,Observation&_sort=-_lastUpdated&_count=2",
    "?_summary=count",
    "?_type=Patient,Observation&identifier=urn:mrn|9",
    "Encounter?_contained=both",
    "Patient/a/Encounter?_contained=true",
    "Encounter",
    "Encounter/eh",
    "Consent",
    "AuditEvent?patient=b",
    "Binary",
    "Bundle",
]


@pytest.fixture
async def pair(folder: Path) -> tuple[Clinic, Clinic]:
    made = []
    for name, resources in (("full", [*OPEN, *HIDDEN]), ("bare", OPEN)):
        (folder / name).mkdir()
        clinic = await open_clinic(folder / name)
        for resource in resources:
            await clinic.put(resource)
        made.append(clinic)
    return made[0], made[1]


async def test_every_read_is_the_same(pair: tuple[Clinic, Clinic]) -> None:
    full, bare = pair
    for url in REQUESTS:
        one, two = await full.get(OTHER, url), await bare.get(OTHER, url)
        assert one.status == two.status, url
        assert plain(one) == plain(two), url
        while one.next or two.next:
            assert bool(one.next) == bool(two.next), url
            one, two = await full.get(OTHER, one.next), await bare.get(OTHER, two.next)
            assert plain(one) == plain(two), url
    for clinic in pair:
        await clinic.close()


async def test_every_batch_is_the_same(pair: tuple[Clinic, Clinic]) -> None:
    full, bare = pair
    body = transaction(
        *(entry("GET", url) for url in REQUESTS if "_count" not in url), type_="batch"
    )
    one, two = await full.ask(OTHER, "POST", "", body), await bare.ask(OTHER, "POST", "", body)
    assert plain(one) == plain(two)
    for clinic in pair:
        await clinic.close()


async def test_every_conditional_write_is_the_same(pair: tuple[Clinic, Clinic]) -> None:
    new = observation("x", "a", identifier=IDENTIFIER)
    for clinic in pair:
        answer = await clinic.ask(
            OTHER, "POST", "Observation", new, {"if-none-exist": "identifier=urn:mrn|9"}
        )
        assert answer.status == 201
        answer = await clinic.ask(OTHER, "DELETE", "Observation/h1")
        assert answer.status == 404
        await clinic.close()
