"""Breaking the glass leaves a notice and a review in the same commit, ends with time, and nobody judges himself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ..fhir_server.answers import Answer, Json
from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    START,
    Clinic,
    consent,
    entry,
    observation,
    open_clinic,
    patient,
    transaction,
)

ANNA, BERTA, OFFICER, STAFF, HELPER = "anna", "berta", "officer", "staff", "helper"
HELPERS = "Organization/helpers"
KEPT = ("Task", "Communication")


@pytest.fixture
async def ward(folder: Path) -> AsyncIterator[Clinic]:
    """Two patients; a helper of another hospital and an officer of this one who may both break the glass."""
    clinic = await open_clinic(folder, break_glass=(HELPERS, "Practitioner/o"))
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"o-{id_}", id_))
    await clinic.put(observation("eth", "a", meta=ETH))
    await clinic.put(consent("no-eth", "a", "deny", labels=("ETH",)))
    own: dict[str, Any] = {"organization": "", "purposes": ("PATRQT",)}
    for name, id_ in ((ANNA, "a"), (BERTA, "b")):
        clinic.caller(
            name, "patient/*.cruds", user=f"Patient/{id_}", patient=f"Patient/{id_}", **own
        )
    step_up = {"acr": "https://refeds.org/profile/mfa", "auth_time": START + timedelta(days=9)}
    both = {"purposes": ("TREAT", "BTG"), **step_up}
    clinic.caller(HELPER, "user/*.cruds", HELPERS, user="Practitioner/h", **both)
    officer: dict[str, Any] = {"purposes": ("HOPERAT", "BTG"), **step_up}
    clinic.caller(OFFICER, "user/*.cruds", user="Practitioner/o", **officer)
    clinic.caller("second", "user/*.cruds", user="Practitioner/o2", purposes=("HOPERAT",))
    clinic.caller(STAFF, "user/*.cruds", user="Practitioner/s")
    try:
        yield clinic
    finally:
        await clinic.close()


async def breaking(
    clinic: Clinic, url: str, who: str = HELPER, reason: str = "unconscious", method: str = "GET"
) -> Answer:
    headers = {"x-purpose-of-use": "BTG", "x-break-glass-reason": reason}
    return await clinic.ask(who, method, url, None, headers)


async def kept(clinic: Clinic, who: str = ANNA) -> tuple[list[Json], list[Json]]:
    """The reviews and the notices that somebody sees."""
    reviews, notices = [(await clinic.get(who, type_)).resources for type_ in KEPT]
    return reviews, notices


async def test_nothing_is_written_while_the_glass_is_whole(ward: Clinic) -> None:
    assert (await ward.get(HELPER, "Observation/o-a")).status == 404
    assert (await breaking(ward, "Observation/none")).status == 404
    assert (await breaking(ward, "Observation?code=none")).json["total"] == 0
    assert await kept(ward) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        "Observation/o-a",
        "Observation/eth",
        "Observation?patient=a",
        "Observation?patient=a&_count=0&_total=accurate",
        "Patient/a/$everything",
        "Observation/o-a/_history",
        "Patient?_has:Observation:patient:code=8867-4&_id=a",
    ],
)
async def test_every_way_leaves_one_notice_and_one_review(ward: Clinic, url: str) -> None:
    assert (await breaking(ward, url)).status == 200
    [review], [notice] = await kept(ward)
    assert review["status"] == "requested"
    assert review["for"] == {"reference": "Patient/a"}
    assert review["input"][0]["valueReference"] == {"reference": "Practitioner/h"}
    assert review["input"][1]["valueString"] == "unconscious"
    assert "unconscious" in notice["payload"][0]["contentString"]
    event = (await ward.get(ANNA, notice["about"][0]["reference"])).json
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    assert await kept(ward, BERTA) == ([], [])


async def test_a_batch_is_one_episode(ward: Clinic) -> None:
    entries = [entry("GET", "Observation/o-a"), entry("GET", "Patient/a")]
    for type_ in ("batch", "transaction"):
        headers = {"x-purpose-of-use": "BTG", "x-break-glass-reason": "unconscious"}
        body = transaction(*entries, type_=type_)
        assert (await ward.ask(HELPER, "POST", "", body, headers)).status == 200
    reviews, notices = await kept(ward)
    assert (len(reviews), len(notices)) == (1, 1)


async def test_a_transaction_says_which_entry_has_no_time_left(ward: Clinic) -> None:
    assert (await breaking(ward, "Observation/eth")).status == 200
    ward.now += timedelta(hours=5)
    asked = [entry("GET", "Patient/b"), entry("GET", "Observation/eth"), entry("GET", "Patient/b")]
    headers = {"x-purpose-of-use": "BTG", "x-break-glass-reason": "unconscious"}
    answer = await ward.ask(HELPER, "POST", "", transaction(*asked), headers)
    assert answer.status == 409
    assert "Bundle.entry[1]" in answer.body.decode()
    assert "valueCodeableConcept" not in answer.body.decode()


async def test_each_patient_is_told_of_her_own(ward: Clinic) -> None:
    assert (await breaking(ward, "Observation")).json["total"] == 3
    for who, id_ in ((ANNA, "a"), (BERTA, "b")):
        reviews, notices = await kept(ward, who)
        assert [each["for"]["reference"] for each in reviews] == [f"Patient/{id_}"]
        assert [each["subject"]["reference"] for each in notices] == [f"Patient/{id_}"]


async def test_an_episode_ends_and_the_next_one_needs_its_own_reason(ward: Clinic) -> None:
    await breaking(ward, "Observation/o-a")
    ward.now += timedelta(hours=3, minutes=59)
    assert (await breaking(ward, "Observation/o-a", reason=" Unconscious ")).status == 200
    ward.now += timedelta(minutes=2)
    log = ward.log_size()
    refused = await breaking(ward, "Observation/o-a")
    assert refused.status == 409
    assert b"8867-4" not in refused.body
    assert ward.log_size() == log + 1
    assert len((await kept(ward))[0]) == 1
    assert (await breaking(ward, "Observation/o-a", reason="still unconscious")).status == 200
    assert len((await kept(ward))[0]) == 2
    ward.now += timedelta(hours=24)
    assert (await breaking(ward, "Observation/o-a")).status == 200
    assert len((await kept(ward))[0]) == 3


async def test_what_is_nobodys_has_nobody_to_tell(ward: Clinic) -> None:
    about = {"resourceType": "Basic", "id": "of-nobody", "code": {"text": "a rota"}}
    await ward.put(about)
    assert (await breaking(ward, "Basic/of-nobody")).status == 200
    assert await kept(ward) == ([], [])


async def test_staff_who_need_not_break_it_leave_nothing(ward: Clinic) -> None:
    ward.caller("nurse", purposes=("TREAT", "BTG"))
    assert (await breaking(ward, "Observation/o-a", "nurse")).status == 200
    assert await kept(ward) == ([], [])


@pytest.mark.parametrize("who", [STAFF, HELPER, OTHER, BERTA, HOUSE])
async def test_notice_and_review_are_for_the_patient_and_for_overseers(
    ward: Clinic, who: str
) -> None:
    await breaking(ward, "Observation/o-a")
    [review], [notice] = await kept(ward)
    assert await kept(ward, "second") == ([review], [notice])
    assert await kept(ward, who) == ([], [])
    for found in (review, notice):
        url = f"{found['resourceType']}/{found['id']}"
        assert (await ward.get(who, url)).status == 404
        if who == HELPER:
            assert (await breaking(ward, url)).status == 404


async def test_it_is_judged_once_by_somebody_else(ward: Clinic) -> None:
    await breaking(ward, "Observation/eth", OFFICER)
    [review], _ = await kept(ward)
    url = f"Task/{review['id']}/$judge-break-glass?judgement="
    for who in (STAFF, HELPER, ANNA, BERTA, HOUSE, OTHER, OFFICER):
        refused = await ward.ask(who, "POST", f"{url}justified")
        assert refused.status == 403, who
    assert (await ward.ask("second", "POST", f"{url}perhaps")).status == 400
    assert (
        await ward.ask("second", "POST", "Task/none/$judge-break-glass?judgement=justified")
    ).status == 404
    judged = await ward.ask("second", "POST", f"{url}not-justified&comment=curious")
    assert judged.status == 200, judged.body
    assert (await ward.ask("second", "POST", f"{url}justified")).status == 409
    [told], _ = await kept(ward)
    assert told["status"] == "completed"
    assert told["businessStatus"]["coding"][0]["code"] == "not-justified"
    assert told["owner"] == {"reference": "Practitioner/o2"}
    assert (await ward.get(ANNA, "Task?status=requested")).resources == []


async def test_no_consent_keeps_a_broken_glass_from_being_judged(ward: Clinic) -> None:
    await breaking(ward, "Observation/o-a")
    await ward.put({"resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
                    "for": {"reference": "Patient/a"}})  # fmt: skip
    await ward.put(consent("nobody", "a", "deny"))
    for who in (STAFF, HOUSE, HELPER, OTHER):
        assert (await ward.get(who, "Task")).resources == []
    [review] = (await ward.get("second", "Task?status=requested&_total=accurate")).resources
    assert (await ward.get("second", "Task/own")).status == 404
    assert (await ward.get("second", "Communication")).resources == []
    url = f"Task/{review['id']}"
    assert (await ward.get("second", url)).status == 200
    judged = await ward.ask("second", "POST", f"{url}/$judge-break-glass?judgement=justified")
    assert judged.status == 200, judged.body
    assert len((await ward.get("second", f"{url}/_history")).resources) == 2


async def test_of_another_hospital_nobody_sees_the_queue(ward: Clinic) -> None:
    await breaking(ward, "Observation/o-a")
    ward.caller("theirs", "user/*.cruds", HELPERS, user="Practitioner/t", purposes=("HOPERAT",))
    assert (await ward.get("theirs", "Task")).resources == []


@pytest.mark.parametrize("who", [ANNA, OFFICER, "second", HOUSE, STAFF])
async def test_nobody_changes_them_by_hand(ward: Clinic, who: str) -> None:
    await breaking(ward, "Observation/o-a")
    [review], [notice] = await kept(ward)
    for found in (review, notice):
        url = f"{found['resourceType']}/{found['id']}"
        changed = {**found, "status": "completed"}
        merge = {"content-type": "application/merge-patch+json"}
        told = await ward.ask(who, "PUT", url, {**changed, "priority": "routine"})
        assert told.status in (404, 409), told.body
        assert (await ward.ask(who, "DELETE", url)).status in (404, 409)
        patched = await ward.ask(who, "PATCH", url, {"priority": "routine"}, merge)
        assert patched.status in (404, 409)
        made = await ward.ask(who, "POST", found["resourceType"], changed)
        assert made.status == 409
    assert await kept(ward) == ([review], [notice])
