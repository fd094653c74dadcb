"""A related person acts for a patient when the patient's Consent says so, and only then: the token says nothing of it."""

from __future__ import annotations

from typing import Any

import pytest

from ..fhir_server.clinic import ETH, HOUSE, Clinic, consent, observation, patient

DAUGHTER = "RelatedPerson/daughter"
WAYS = (
    "Patient/b",
    "Observation/o-b",
    "Observation/o-b/_history/1",
    "Observation/o-b/_history",
    "Patient/b/$everything",
)
SEARCHES = (
    "Patient?_id=b",
    "Observation?patient=b",
    "Patient/b/Observation",
    "Patient?_has:Observation:patient:code=8867-4",
    "Observation?patient.name=Berta",
)


def permit(**members: Any) -> dict[str, Any]:
    return consent("for-daughter", "b", "permit", actor=DAUGHTER, **members)


@pytest.fixture
async def family(clinic: Clinic) -> Clinic:
    """``a`` and ``b``; of the related person the server knows that she is the daughter of ``b``."""
    for id_, given in (("a", "Anna"), ("b", "Berta")):
        await clinic.put(patient(id_, name=[{"family": "Meier", "given": [given]}]))
        await clinic.put(observation(f"o-{id_}", id_))
    await clinic.put(observation("o-eth", "b", meta=ETH))
    await clinic.put(
        {"resourceType": "RelatedPerson", "id": "daughter", "patient": {"reference": "Patient/b"}}
    )
    who = {"organization": "", "purposes": ("PATRQT",), "user": DAUGHTER}
    clinic.caller("daughter", "user/*.cruds", **who)
    clinic.caller("launched", "patient/*.cruds", patient="Patient/b", **who)
    return clinic


async def require_nothing(clinic: Clinic, *callers: str) -> None:
    for caller in callers:
        for way in WAYS:
            assert (await clinic.get(caller, way)).status == 404, way
        for search in SEARCHES:
            assert (await clinic.get(caller, search)).json["total"] == 0, search


async def require_all(clinic: Clinic, *callers: str) -> None:
    for caller in callers:
        for way in WAYS:
            assert (await clinic.get(caller, way)).status == 200, way
        for search in SEARCHES:
            assert (await clinic.get(caller, search)).json["total"] >= 1, search


async def test_being_the_daughter_opens_nothing(family: Clinic) -> None:
    await require_nothing(family, "daughter", "launched")


async def test_a_consent_opens_this_patient_and_no_other(family: Clinic) -> None:
    await family.put(permit())
    await require_all(family, "daughter", "launched")
    for caller in ("daughter", "launched"):
        assert (await family.get(caller, "Patient/a")).status == 404
        assert (await family.get(caller, "Observation/o-a")).status == 404
        assert (await family.get(caller, "Observation?patient=a")).json["total"] == 0
        found = await family.get(caller, "Patient?name=Meier")
        assert [each["resource"]["id"] for each in found.json["entry"]] == ["b"]


async def test_it_ends_with_the_next_request_after_the_consent_is_withdrawn(family: Clinic) -> None:
    await family.put(permit())
    await require_all(family, "daughter", "launched")
    await family.put({**permit(), "status": "inactive"})
    await require_nothing(family, "daughter", "launched")
    await family.put(permit())
    await require_all(family, "daughter", "launched")
    await family.put({**permit(), "status": "inactive"})
    await require_nothing(family, "daughter", "launched")


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "draft"},
        {"status": "rejected"},
        {"status": "entered-in-error"},
        {"period": (None, "2026-05-03")},
        {"period": ("2026-05-06", None)},
        {"actor": "RelatedPerson/daughter2"},
        {"actor": "RelatedPerson/daughte"},
        {"actor": "Patient/daughter"},
        {"actor": "Practitioner/daughter"},
    ],
)
async def test_another_consent_opens_nothing(family: Clinic, changed: dict[str, Any]) -> None:
    given = permit()
    if "actor" in changed:
        given = consent("for-daughter", "b", "permit", actor=changed.pop("actor"))
    start, end = changed.pop("period", (None, None))
    period = {name: at for name, at in (("start", start), ("end", end)) if at}
    if period:
        given["provision"]["period"] = period
    await family.put({**given, **changed})
    await require_nothing(family, "daughter", "launched")


async def test_a_refusal_besides_the_permission_holds(family: Clinic) -> None:
    await family.put(permit())
    await family.put(consent("no-daughter", "b", "deny", actor=DAUGHTER))
    await require_nothing(family, "daughter", "launched")


async def test_what_the_patient_keeps_back_stays_hidden(family: Clinic) -> None:
    given = permit()
    label = {"type": "deny", "securityLabel": ETH["security"]}
    given["provision"]["provision"] = [label]
    await family.put(given)
    await require_all(family, "daughter", "launched")
    for caller in ("daughter", "launched"):
        assert (await family.get(caller, "Observation/o-eth")).status == 404
        found = await family.get(caller, "Observation?patient=b")
        assert [each["resource"]["id"] for each in found.json["entry"]] == ["o-b"]


async def test_who_may_read_may_not_write(family: Clinic) -> None:
    await family.put(permit(actions=("access",)))
    await require_all(family, "daughter")
    for caller in ("daughter", "launched"):
        changed = observation("o-b", "b", status="amended")
        assert (await family.ask(caller, "PUT", "Observation/o-b", changed)).status in (403, 404)
        mine = consent("mine", "b", "permit", actor="Organization/other")
        assert (await family.ask(caller, "PUT", "Consent/mine", mine)).status in (403, 404)
        revoked = await family.ask(caller, "POST", "Consent/for-daughter/$revoke-consent")
        assert revoked.status in (403, 404)
    assert (await family.get(HOUSE, "Consent/mine")).status == 404
    assert (await family.get(HOUSE, "Observation/o-b")).json["status"] == "final"


async def test_the_patient_finds_on_record_who_acted_for_her(family: Clinic) -> None:
    await family.put(permit())
    before = family.log_size()
    assert (await family.get("daughter", "Observation/o-b")).status == 200
    events = await family.audits(before)
    assert DAUGHTER in str(events[0]["agent"])
