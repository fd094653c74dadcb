"""Searches find by what the caller may see, and nothing else."""

from .pairs import Pair, assert_same

SAME = [
    "Patient",
    "Patient?name=meier",
    "Patient?_id=a,b",
    "Patient?identifier=urn:mrn|9",
    "Patient?name:missing=true",
    "Observation",
    "Observation?subject=a",
    "Observation?subject=b",
    "Observation?patient=a,b",
    "Observation?date=ge2019",
    "Observation?date=lt2020",
    "Observation?date:missing=true",
    "Observation?_count=1",
    "Observation?identifier=urn:mrn|9",
    "Observation?identifier:missing=false",
    "Observation?code:not=x",
    "Encounter?_contained=both",
    "Encounter",
    "Consent",
    "AuditEvent?patient=b",
    "Bundle",
    "Patient?name=suchtklinik",
    "Patient?name:exact=Suchtklinik",
    "Patient?name:contains=sucht",
    "Patient?identifier=urn:mrn|1",
    "Patient?identifier:not=urn:mrn|9",
    "Patient?phone=555-1",
    "Patient?phone:missing=true",
    "Patient?telecom:missing=false",
    "Patient?birthdate=1970-01-01",
    "Patient?birthdate=ge1960",
    "Patient?birthdate:missing=true",
    "Patient?birthdate=ne1970-01-01",
    "Patient?_filter=birthdate eq 1970-01-01",
    "Patient?_filter=not (birthdate eq 1970-01-01)",
    "Patient?_tag=SUBSETTED",
    "Patient?_tag:missing=true",
    "Patient?_security:missing=true",
    "Patient?_content=suchtklinik",
    "Observation?date=2020-05-01",
    "Observation?value-quantity=2.5",
    "Observation?encounter=Encounter/e",
    "Observation?encounter:missing=true",
]


async def test_a_search_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
