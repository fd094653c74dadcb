"""Cases whose answer consent.md gives, each made so that one wrong reading of it changes the answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from consent_engine import Config

GLASS = Config(break_glass=frozenset({"Group/er"}))
BERLIN = Config(zone=ZoneInfo("Europe/Berlin"))
ER = ["Practitioner/1", "Group/er"]


@dataclass(frozen=True)
class Known:
    """One case: Consents, record, request and configuration, and the answer."""

    name: str
    consents: Any
    expected: str
    record: Any = None
    given: dict[str, Any] = field(default_factory=dict)


def known_answers(world: Any) -> Iterator[Known]:
    yield from _times(world)
    yield from _candidates(world)
    yield from _roots(world)
    yield from _nested(world)
    yield from _labels(world)
    yield from _selectors(world)
    yield from _combined(world)


def _times(w: Any) -> Iterator[Known]:
    day = w.consent({"type": "permit", "period": {"start": "2024-06-01", "end": "2024-06-01"}})
    yield Known("the end day lasts until midnight", day, "permit by consent")
    late = {"time": "2024-06-01T22:30:00Z", "config": BERLIN}
    yield Known("in the zone of the deployment", day, "deny by default", given=late)
    about = w.consent(
        {"type": "permit", "dataPeriod": {"start": "2024-01-01", "end": "2024-03-31"}}
    )
    half = w.record(effectivePeriod={"start": "2024-03-30", "end": "2024-04-02"})
    yield Known("a permit needs the data inside", about, "deny by default", half)
    old = w.record(effectiveDateTime="2024-02-01")
    yield Known("data of the period are permitted now", about, "permit by consent", old)
    hidden = w.consent({"type": "deny", "dataPeriod": {"end": "2024-03-31"}}, "OPTIN")
    yield Known("a deny needs an overlap", hidden, "deny by consent", half)
    over = w.consent({"type": "permit", "period": {"end": "2024-05-31"}})
    yield Known("a rule that is over", over, "deny by default")


def _candidates(w: Any) -> Iterator[Known]:
    permit = {"type": "permit"}
    yield Known("not active", w.consent(permit, status="inactive"), "deny by default")
    yield Known("not yet signed", w.consent(permit, dateTime="2025-01-01"), "deny by default")
    other = w.consent(permit, patient={"reference": "Patient/2"})
    yield Known("another patient's", other, "deny by default")
    care = w.consent(permit, scope=w.concept("scope", "treatment"))
    yield Known("another scope", care, "deny by default")
    modified = w.consent(permit, modifierExtension=[{"url": "u"}])
    yield Known("modified", modified, "deny by indeterminate")
    broken = w.consent({"type": "deny", "purpose": "TREAT"}, id_="broken")
    both = [w.consent(permit), broken]
    yield Known("an unreadable deny does not disappear", both, "deny by indeterminate")
    failed = w.consent(permit, verification=[{"verified": False}])
    yield Known("not verified", failed, "deny by default")


def _roots(w: Any) -> Iterator[Known]:
    actor = [w.actor("Practitioner/1")]
    opted_in = w.consent({"actor": actor}, "OPTIN")
    yield Known("an untyped exception to OPTIN denies", opted_in, "deny by consent")
    opted_out = w.consent({"actor": actor}, "OPTOUT")
    yield Known("one to OPTOUT with a recipient permits", opted_out, "permit by consent")
    custodian = w.consent({"actor": [w.actor("Organization/1", "CST")]}, "OPTOUT")
    yield Known("one to OPTOUT without one denies", custodian, "deny by consent")
    typed = w.consent({"type": "permit", "purpose": w.purposes("HRESCH")}, "OPTIN")
    yield Known("OPTIN does not widen a typed permit", typed, "deny by default")


def _nested(w: Any) -> Iterator[Known]:
    deny = {"type": "deny", "actor": [w.actor("Practitioner/1")]}
    yield Known(
        "an exception", w.consent({"type": "permit", "provision": [deny]}), "deny by consent"
    )
    narrowing = {"type": "permit", "actor": [w.actor("Practitioner/9")]}
    narrowed = w.consent(
        {"type": "permit", "purpose": w.purposes("TREAT"), "provision": [narrowing]}
    )
    yield Known("a nested permit that only adds narrows", narrowed, "deny by default")
    own = {"type": "permit", "purpose": w.purposes("TREAT")}
    wider = w.consent({"type": "permit", "purpose": w.purposes("HPAYMT"), "provision": [own]})
    yield Known("one that replaces an element is its own rule", wider, "permit by consent")
    inside = w.consent({"type": "permit", "purpose": w.purposes("HPAYMT"), "provision": [deny]})
    research = w.consent({"type": "permit"}, id_="all")
    yield Known("an exception lives inside its parent", [inside, research], "permit by consent")


def _labels(w: Any) -> Iterator[Known]:
    permit_r = w.consent({"type": "permit", "securityLabel": w.labels("R")})
    yield Known("a permit R covers N", permit_r, "permit by consent", w.record("N"))
    deny_r = w.consent({"type": "deny", "securityLabel": w.labels("R")}, "OPTIN")
    yield Known("a deny R leaves N", deny_r, "permit by consent", w.record("N"))
    yield Known("a deny R closes V", deny_r, "deny by consent", w.record("V"))
    sud = w.consent({"type": "deny", "securityLabel": w.labels("SUD")}, "OPTIN")
    yield Known("a label covers those below it", sud, "deny by consent", w.record("OPIOIDUD"))
    psy = w.consent({"type": "permit", "securityLabel": w.labels("PSY")})
    two = w.record("PSY", "HIV")
    yield Known("a permit covers every sensitivity", psy, "deny by default", two)
    junk = {"resourceType": "Observation", "id": "r", "meta": {"security": [{}]}}
    yield Known("labels that cannot be read", sud, "deny by consent", junk)


def _selectors(w: Any) -> Iterator[Known]:
    asks = {"purpose": w.purposes("TREAT"), "action": w.actions("use")}
    yield Known("elements add up", w.consent({"type": "permit", **asks}), "deny by default")
    treat = w.consent({"type": "permit", "purpose": w.purposes("TREAT")})
    etreat = {"purpose": "ETREAT"}
    yield Known("a purpose covers those below", treat, "permit by consent", given=etreat)
    yield Known(
        "an unknown purpose is no permit", treat, "deny by default", given={"purpose": None}
    )
    payer = w.consent({"type": "deny", "purpose": w.purposes("HPAYMT")}, "OPTIN")
    yield Known("and matches a deny", payer, "deny by consent", given={"purpose": None})
    held = w.consent({"type": "permit", "actor": [w.actor("Organization/1", "CST")]})
    stranger = {"actors": ["Practitioner/7"]}
    yield Known("a custodian is no recipient", held, "permit by consent", given=stranger)
    for name, selector in (
        ("class", {"class": w.classes("Media")}),
        ("code", {"code": [w.concept("loinc", "1-1")]}),
        ("action", {"action": w.actions("use")}),
        ("data", {"data": w.data("instance", "Observation/x")}),
    ):
        made = w.consent({"type": "permit", **selector})
        yield Known(f"{name} is not ignored", made, "deny by default")
    related = w.consent({"type": "deny", "data": w.data("related", "Encounter/1")}, "OPTIN")
    pointing = w.record(encounter={"reference": "Encounter/1"})
    yield Known("related: what points at it", related, "deny by consent", pointing)
    graph = {"graph": {"Encounter/1": ("Observation/r",)}}
    yield Known("related: what it points at", related, "deny by consent", given=graph)


def _combined(w: Any) -> Iterator[Known]:
    permit, deny = w.consent({"type": "permit"}), w.consent({"type": "deny"}, id_="d")
    yield Known("deny overrides", [deny, permit], "deny by consent")
    yield Known("in any order", [permit, deny], "deny by consent")
    nobody_except = w.consent({"actor": [w.actor("Practitioner/9")]}, "OPTOUT", id_="n")
    yield Known("the base of an opt-out is weak", [permit, nobody_except], "permit by consent")
    two = {"subjects": ["Patient/1", "Patient/2"]}
    yield Known("every patient permits", permit, "deny by default", given=two)
    yield Known("the patient herself", deny, "permit by self", given={"actors": ["Patient/1"]})
    proxy = {"actors": ["RelatedPerson/1"]}
    yield Known("not her proxy", [], "deny by default", given=proxy)
    glass = {"purpose": "BTG", "actors": ER, "config": GLASS}
    yield Known("the glass", deny, "permit by break-glass", given=glass)
    yield Known("who may not", deny, "deny by consent", given={**glass, "actors": ER[:1]})
    yield Known("for BTG only", deny, "deny by consent", given={**glass, "purpose": "ETREAT"})
    even = w.consent({"type": "deny", "purpose": w.purposes("BTG")})
    yield Known("a deny that names it holds", even, "deny by consent", given=glass)
