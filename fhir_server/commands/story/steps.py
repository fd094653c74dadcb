"""Steps 1 to 6 of the story: from an EHR's chart to the patient's revocation.

Each step asks over HTTP, demands what must come back, and tells it.  A step that returns has held.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fhir_server import sample
from fhir_server.commands.story.asking import Caller
from fhir_server.commands.story.expecting import require, require_exactly, require_status
from fhir_server.commands.story.play import Filed, Play, filed_as
from fhir_server.commands.story.why import (
    details,
    excepted,
    requestor,
    traces,
    why_given,
    why_not,
)

REASON = "unconscious after a road accident, history needed"
_CHART = ("Condition", "Observation", "Encounter", "DocumentReference")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its title, and what happens."""

    title: str
    happen: Callable[[Play], None]


def load_chart(play: Play) -> None:
    """An EHR backend (private_key_jwt, ES384) posts the sample clinic as one transaction."""
    ehr = play.ehr()
    reply = play.remember(require_status(ehr.post("", play.chart), 200))
    play.filed = filed_as(reply, play.chart)
    first = play.of("Observation")[0]
    kept = require_status(play.asks(ehr, first.reference), 200)
    require(b"7.20" in kept.body, "the decimal 7.20 did not come back with its zero")
    labelled = sum(f.labelled for f in play.filed)
    asked = f"POST transaction, {len(play.filed)} entries, {labelled} labelled substance use"
    play.teller.tell(ehr.name, asked, "200, all written or none", why_given(play, reply))


def file_consent(play: Play) -> None:
    """The patient signs in with her own app (PKCE) and files what she allows."""
    patient = play.person(play.user)
    until = (datetime.now(UTC) + timedelta(days=365)).date()
    own = sample.consent(until) | {"patient": {"reference": play.patient}}
    content = json.dumps(own).encode()
    reply = play.remember(require_status(patient.post("Consent", content), 201))
    play.consent = reply.value
    play.kept["consent-etag"] = reply.etag
    asked = f"POST Consent: clinic treats, insurer sees claims, substance use only to therapist, until {until}"
    play.teller.tell(patient.name, asked, "201", why_given(play, reply))


def read_chart(play: Play) -> None:
    """A clinician and the therapist read in a SMART app that the EHR launches (PKCE)."""
    clinician = play.person("helena")
    for type_ in _CHART:
        reply = play.asks(clinician, f"{type_}?{play.about}&_total=accurate")
        require_exactly(reply, play.of(type_))
    conditions = play.asks(clinician, f"Condition?{play.about}")
    count = sum(len(play.of(type_)) for type_ in _CHART)
    play.teller.tell(
        clinician.name,
        f"GET {', '.join(_CHART)}",
        f"200, {count} records",
        why_given(play, conditions),
    )
    _open_note(play, clinician)
    hidden = _hidden(play, clinician, "Condition")
    therapist = play.person("tobias")
    reply = require_status(play.asks(therapist, hidden.reference), 200)
    play.teller.tell(
        therapist.name,
        "GET the same Condition (her therapist)",
        "200",
        f"{excepted(play, therapist)}; {why_given(play, reply)}",
    )


def _open_note(play: Play, caller: Caller) -> None:
    note = play.of("DocumentReference")[0]
    reply = require_status(play.asks(caller, note.reference), 200)
    content = reply.value["content"]
    assert isinstance(content, list)
    file = base64.b64decode(content[0]["attachment"]["data"])
    require(file.startswith(b"%PDF-") and file.rstrip().endswith(b"%%EOF"), "the PDF is not whole")
    lines = len(sample.pdf_lines(file))
    play.teller.tell(
        caller.name,
        "GET DocumentReference",
        f"200, the PDF opens, {lines} lines",
        why_given(play, reply),
    )


def _hidden(play: Play, caller: Caller, type_: str) -> Filed:
    """A labelled record, read by its id: as if it were not there."""
    hidden = play.of(type_, labelled=True)[0]
    refused = require_status(play.asks(caller, hidden.reference), 404)
    nothing = require_status(play.asks(caller, f"{type_}/no-such-record"), 404)
    require(refused.body == nothing.body, "a hidden record answers otherwise than a missing one")
    play.teller.tell(
        caller.name,
        f"GET {type_} labelled substance use",
        "404, as if it were not there",
        why_not(play, caller, _stored(hidden)),
    )
    return hidden


def _stored(filed: Filed) -> dict[str, object]:
    return {**filed.resource, "id": filed.reference.partition("/")[2]}


def search_claims(play: Play) -> None:
    """The insurer's backend searches: what is permitted, and no count, include, history or link shows more."""
    insurer = play.insurer()
    claims = play.of("Claim")
    page = require_status(play.asks(insurer, f"Claim?{play.about}&_total=accurate&_count=1"), 200)
    require(page.total == len(claims), f"the total is {page.total}, {len(claims)} are permitted")
    play.kept["page"] = page.link("next")
    require(play.kept["page"], "there is no link to the next page")
    _search_everybody(play, insurer)
    play.teller.tell(
        insurer.name,
        "GET Claim?_total=accurate",
        f"{len(claims)}, page by page; a link to the next page is kept",
        why_given(play, page),
    )
    _search_benefits(play, insurer)
    _search_elsewhere(play, insurer)


def _search_everybody(play: Play, insurer: Caller) -> None:
    """A search that names no patient shows nothing that a search for the patient does not."""
    reply = require_status(play.asks(insurer, "Claim?_total=accurate&_count=1000"), 200)
    permitted = {f.reference for f in play.of("Claim")}
    withheld = {f.reference for f in play.filed} - permitted
    require(permitted <= reply.references, "a permitted claim is missing")
    require(not withheld & reply.references, "a search for everybody shows what is not permitted")
    require(reply.total == len(reply.resources), "the total counts what is not shown")


def _search_benefits(play: Play, insurer: Caller) -> None:
    benefits, claims = play.of("ExplanationOfBenefit"), play.of("Claim")
    includes = "".join(
        f"&_include=ExplanationOfBenefit:{name}" for name in ("claim", "patient", "encounter")
    )
    reply = play.asks(insurer, f"ExplanationOfBenefit?{play.about}&_total=accurate{includes}")
    require_status(reply, 200)
    permitted = {f.reference for f in (*benefits, *claims)}
    require(reply.total == len(benefits), "the total counts what is not permitted")
    require(reply.references <= permitted, "an include shows what is not permitted")
    require({f.reference for f in benefits} <= reply.references, "a permitted benefit is missing")
    play.teller.tell(
        insurer.name,
        "GET ExplanationOfBenefit with _include of claim, patient, encounter",
        f"{len(benefits)} and {len(reply.references) - len(benefits)} claims, no Patient, no Encounter",
        why_given(play, reply),
    )


def _search_elsewhere(play: Play, insurer: Caller) -> None:
    hidden = _hidden(play, insurer, "Claim")
    require_status(play.asks(insurer, f"{hidden.reference}/_history"), 404)
    shown = play.of("Claim")[0]
    history = require_status(play.asks(insurer, f"{shown.reference}/_history"), 200)
    require(history.total == 1, "the history counts what is not there")
    for type_ in (*_CHART, "Patient"):
        query = f"_id={play.patient.partition('/')[2]}" if type_ == "Patient" else play.about
        require_exactly(play.asks(insurer, f"{type_}?{query}&_total=accurate"), ())
    condition = play.of("Condition")[0]
    play.teller.tell(
        insurer.name,
        f"GET {', '.join(_CHART)}, Patient; _history of the hidden Claim",
        "total 0; 404",
        why_not(play, insurer, _stored(condition)),
    )


def break_glass(play: Play) -> None:
    """Another hospital gets nothing until it breaks the glass; the patient sees who did, when and why."""
    hospital = play.person("mirela")
    require_exactly(play.asks(hospital, f"Condition?{play.about}&_total=accurate"), ())
    every = [*play.of("Condition"), *play.of("Condition", labelled=True)]
    require_status(play.asks(hospital, every[0].reference), 404)
    play.teller.tell(
        hospital.name,
        "GET Condition (another hospital)",
        "total 0; 404",
        why_not(play, hospital, _stored(every[0])),
    )
    broken = play.asks(hospital, f"Condition?{play.about}&_total=accurate", reason=REASON)
    require_exactly(broken, every)
    play.teller.tell(
        hospital.name,
        f"GET Condition, breaking the glass: {REASON}",
        f"{len(every)}, all of them",
        why_given(play, broken),
    )
    _show_access_log(play, broken.request_id)


def _show_access_log(play: Play, request_id: str) -> None:
    """The patient finds the broken glass in her own access log."""
    patient = play.person(play.user)
    log = require_status(
        play.asks(patient, f"AuditEvent?{play.about}&_sort=-_lastUpdated&_count=50"), 200
    )
    event = next((e for e in log.resources if traces(e) == request_id), None)
    require(event is not None, "the broken glass is not in the patient's access log")
    assert event is not None
    reasons = details(event, "break-glass-reason")
    require(reasons == [REASON], "the access log does not say why the glass was broken")
    require("BTG" in json.dumps(event.get("purposeOfEvent")), "the access log does not say BTG")
    play.kept["glass"] = str(event["id"])
    found = f"{requestor(event)}, {str(event['recorded'])[:19]}, '{reasons[0]}'"
    play.teller.tell(patient.name, "GET AuditEvent (her access log)", found, why_given(play, log))


def revoke(play: Play) -> None:
    """The patient revokes; the insurer's token, ids and page link give nothing any more."""
    patient, insurer = play.person(play.user), play.insurer()
    inactive = json.dumps({**play.consent, "status": "inactive"}).encode()
    target = f"Consent/{play.consent['id']}"
    reply = play.remember(patient.put(target, inactive, play.kept["consent-etag"]))
    play.consent = require_status(reply, 200).value
    play.teller.tell(patient.name, "PUT Consent, status inactive", "200", why_given(play, reply))
    claim = play.of("Claim")[0]
    require_exactly(play.asks(insurer, f"Claim?{play.about}&_total=accurate"), ())
    require_status(play.asks(insurer, claim.reference), 404)
    reason = why_not(play, insurer, _stored(claim))
    play.teller.tell(
        insurer.name, "GET Claim, with the token it still holds", "total 0; 404", reason
    )
    require_exactly(play.asks(insurer, play.kept["page"]), ())
    play.teller.tell(insurer.name, "GET the next page it kept a link to", "empty")


def every_request_is_on_record(play: Play) -> int:
    """The number of AuditEvents; each request of the story must have one.

    Raises:
        StepError: A request is not on record.
    """
    auditor = play.person("irisa")
    log = require_status(auditor.get("AuditEvent?_count=1000&_total=accurate"), 200)
    on_record = {traces(event) for event in log.resources}
    missing = [reply.asked for reply in play.replies if reply.request_id not in on_record]
    require(not missing, f"without an AuditEvent: {', '.join(missing)}")
    return len(log.resources)


def glass_event(play: Play) -> str:
    """The AuditEvent of the broken glass, as ``AuditEvent/id``."""
    return f"AuditEvent/{play.kept['glass']}"


STEPS = (
    Step("An EHR writes the chart", load_chart),
    Step("The patient files her Consent", file_consent),
    Step("A clinician reads the chart in a SMART app", read_chart),
    Step("The insurer searches", search_claims),
    Step("Another hospital breaks the glass", break_glass),
    Step("The patient revokes", revoke),
)
