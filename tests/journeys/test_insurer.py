"""An insurer's journey: a backend that sees the claims it may see, and no trace of anything else."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, date, datetime, timedelta

import pytest

from fhir_server import sample
from fhir_server.commands.story import steps
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import Play
from fhir_server.sample import people


def _file(play: Play, until: date, **changed: object) -> None:
    own = sample.consent(until) | {"patient": {"reference": play.patient}} | changed
    require_status(play.person(play.user).post("Consent", json.dumps(own).encode()), 201)


def test_it_finds_what_is_permitted_and_nothing_shows_more(consented: Play) -> None:
    steps.search_claims(consented)


def test_before_a_consent_it_finds_nothing(journey: Play) -> None:
    for type_ in ("Claim", "ExplanationOfBenefit", "Coverage", "Condition"):
        require_exactly(journey.insurer().get(f"{type_}?{journey.about}&_total=accurate"), ())
    require_status(journey.insurer().get(journey.of("Claim")[0].reference), 404)


def test_another_patients_consent_gives_it_nothing(consented: Play) -> None:
    insurer = consented.insurer()
    require_exactly(insurer.get(f"Claim?patient={people.SECOND}&_total=accurate"), ())
    require_exactly(insurer.get(f"Claim?patient={people.SECOND}&_total=accurate&_sort=created"), ())


@pytest.mark.parametrize("days", [-1, -400])
def test_a_consent_that_has_ended_gives_it_nothing(journey: Play, days: int) -> None:
    _file(journey, (datetime.now(UTC) + timedelta(days=days)).date())
    require_exactly(journey.insurer().get(f"Claim?{journey.about}&_total=accurate"), ())


def test_a_consent_holds_until_the_end_of_its_last_day(journey: Play) -> None:
    _file(journey, datetime.now(UTC).date())
    require_exactly(journey.insurer().get(f"Claim?{journey.about}"), journey.of("Claim"))


@pytest.mark.parametrize(
    "status", ["draft", "proposed", "rejected", "inactive", "entered-in-error"]
)
def test_a_consent_that_is_not_active_gives_it_nothing(journey: Play, status: str) -> None:
    _file(journey, date(2099, 1, 1), status=status)
    require_exactly(journey.insurer().get(f"Claim?{journey.about}&_total=accurate"), ())


def test_a_consent_that_can_not_be_read_is_refused_and_changes_nothing(consented: Play) -> None:
    strange = [{"url": "http://example.org/only-on-tuesdays", "valueBoolean": True}]
    wider = json.dumps({**consented.consent, "modifierExtension": strange}).encode()
    patient = consented.person(consented.user)
    assert "modifierExtension" in require_status(patient.post("Consent", wider), 422).words
    require_status(patient.put(f"Consent/{consented.consent['id']}", wider), 422)
    require_exactly(consented.insurer().get(f"Claim?{consented.about}"), consented.of("Claim"))


def test_it_may_not_name_another_purpose(consented: Play) -> None:
    insurer, claim = consented.insurer(), consented.of("Claim")[0]
    for purpose in ("TREAT", "BTG", "hpaymt", "*"):
        asked = insurer.send("GET", claim.reference, more={"X-Purpose-Of-Use": purpose})
        assert asked.status == 403
    reason = {"X-Break-Glass-Reason": "curious"}
    hidden = consented.of("Claim", labelled=True)[0]
    assert insurer.send("GET", hidden.reference, more=reason).status == 404


def test_a_page_link_is_good_for_its_owner_and_its_search_only(consented: Play) -> None:
    insurer = consented.insurer()
    page = require_status(insurer.get(f"Claim?{consented.about}&_count=1"), 200)
    link = page.link("next")
    seen = page.references | require_status(insurer.get(link), 200).references
    assert len(seen) == 2
    for other in (consented.ehr(), consented.person("helena"), consented.person(consented.user)):
        assert other.get(link).status == 400
    place = link.index("_cursor=") + len("_cursor=")
    for at in (place + 5, place + 40, len(link) - 2):
        changed = link[:at] + ("A" if link[at] != "A" else "B") + link[at + 1 :]
        assert insurer.get(changed).status == 400
    elsewhere = link.replace(consented.patient.replace("/", "%2F"), "Patient%2Fp-1002")
    assert elsewhere != link
    assert insurer.get(elsewhere).status == 400


def test_pages_hold_every_permitted_claim_once(consented: Play) -> None:
    insurer = consented.insurer()
    link, seen = f"Claim?{consented.about}&_count=1&_total=accurate", list[str]()
    while link:
        page = require_status(insurer.get(link), 200)
        assert page.total == len(consented.of("Claim"))
        seen += page.references
        link = page.link("next")
    assert sorted(seen) == sorted(f.reference for f in consented.of("Claim"))


def test_it_finds_nothing_by_asking_for_what_it_may_not_see(consented: Play) -> None:
    """Not through criteria either: whether a hidden record matches must not show."""
    insurer = consented.insurer()
    hidden = consented.of("Claim", labelled=True)[0]
    created = hidden.resource["created"]
    for query in (
        f"created={created}",
        f"_id={hidden.reference.partition('/')[2]}",
        f"_lastUpdated=gt2000&created={created}",
    ):
        require_exactly(insurer.get(f"Claim?{consented.about}&{query}&_total=accurate"), ())
    sessions = consented.of("Encounter", labelled=True)[0]
    require_exactly(insurer.get(f"Claim?encounter={sessions.reference}&_total=accurate"), ())


def test_after_the_revocation_nothing_it_holds_gives_anything(consented: Play) -> None:
    steps.search_claims(consented)
    steps.revoke(consented)


def test_a_new_consent_after_the_revocation_holds_at_once(consented: Play) -> None:
    steps.search_claims(consented)
    steps.revoke(consented)
    _file(consented, date(2099, 1, 1))
    require_exactly(consented.insurer().get(f"Claim?{consented.about}"), consented.of("Claim"))


def test_no_request_that_begins_after_the_revocation_gives_anything(consented: Play) -> None:
    insurer, claim = consented.insurer(), consented.of("Claim")[0]
    answers: list[tuple[float, int]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            began = time.monotonic()
            answers.append((began, insurer.get(claim.reference).status))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        require_exactly(insurer.get(f"Claim?{consented.about}"), consented.of("Claim"))
        inactive = json.dumps({**consented.consent, "status": "inactive"}).encode()
        target = f"Consent/{consented.consent['id']}"
        require_status(consented.person(consented.user).put(target, inactive), 200)
        revoked = time.monotonic()
        time.sleep(0.3)
    finally:
        ended.set()  # whatever happens: threads that go on asking would keep the server busy
        for thread in threads:
            thread.join()
    assert {status for began, status in answers if began < revoked} >= {200}
    assert {status for began, status in answers if began >= revoked} == {404}
