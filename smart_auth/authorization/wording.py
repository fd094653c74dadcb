"""Scopes in plain words, for the authorize page; and the finer choices a person may make: some types
instead of all, some categories instead of a type, seeing instead of changing.

The categories are those of US Core 7.0.0, "SMART on FHIR Obligations and Capabilities" (granular
scopes), and those that its profiles name besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from smart_auth.authorization.scopes import Scope, ScopeSet, parse_scope

_HL7 = "http://terminology.hl7.org/CodeSystem"
_US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"
CATEGORIES: dict[str, tuple[tuple[str, str], ...]] = {
    "Condition": (
        (f"{_HL7}/condition-category|encounter-diagnosis", "diagnoses of visits"),
        (f"{_HL7}/condition-category|problem-list-item", "the problem list"),
        (f"{_US_CORE}/condition-category|health-concern", "health concerns"),
        (f"{_US_CORE}/us-core-category|sdoh", "social circumstances"),
    ),
    "DiagnosticReport": (
        (f"{_HL7}/v2-0074|LAB", "laboratory reports"),
        ("http://loinc.org|LP29684-5", "reports of radiology"),
        ("http://loinc.org|LP29708-2", "reports of cardiology"),
        ("http://loinc.org|LP7839-6", "reports of pathology"),
    ),
    "DocumentReference": (
        (f"{_US_CORE}/us-core-documentreference-category|clinical-note", "clinical notes"),
    ),
    "Observation": (
        (f"{_HL7}/observation-category|laboratory", "laboratory results"),
        (f"{_HL7}/observation-category|vital-signs", "vital signs"),
        (f"{_HL7}/observation-category|social-history", "social history"),
        (f"{_HL7}/observation-category|survey", "questionnaire results"),
        (f"{_US_CORE}/us-core-category|sdoh", "social circumstances"),
        (f"{_US_CORE}/us-core-observation-category|clinical-test", "results of clinical tests"),
        (f"{_US_CORE}/us-core-category|functional-status", "what a person can do in daily life"),
        (f"{_US_CORE}/us-core-category|disability-status", "disabilities"),
        (f"{_US_CORE}/us-core-category|cognitive-status", "memory and thinking"),
        (
            f"{_US_CORE}/us-core-category|treatment-intervention-preference",
            "wishes about treatments",
        ),
        (f"{_US_CORE}/us-core-category|care-experience-preference", "wishes about care"),
    ),
    "ServiceRequest": (
        (f"{_US_CORE}/us-core-category|functional-status", "orders for daily life"),
        (f"{_US_CORE}/us-core-category|sdoh", "orders for social circumstances"),
        ("http://snomed.info/sct|387713003", "orders for operations"),
    ),
}

_NOUNS = {
    "*": "everything in the record",
    "AllergyIntolerance": "allergies",
    "CarePlan": "care plans",
    "CareTeam": "care teams",
    "Condition": "conditions and diagnoses",
    "Consent": "consents",
    "Coverage": "insurance cover",
    "Device": "implants and devices",
    "DiagnosticReport": "diagnostic reports",
    "DocumentReference": "documents",
    "Encounter": "visits and stays",
    "Goal": "goals",
    "Immunization": "vaccinations",
    "Location": "places of care",
    "MedicationDispense": "medicines handed out",
    "MedicationRequest": "prescriptions",
    "Observation": "results and measurements",
    "Organization": "organizations",
    "Patient": "name, birth date and contact details",
    "Practitioner": "names of practitioners",
    "PractitionerRole": "what practitioners do where",
    "Procedure": "procedures",
    "Provenance": "where records come from",
    "QuestionnaireResponse": "answers to questionnaires",
    "RelatedPerson": "relatives and other contacts",
    "ServiceRequest": "orders",
    "Specimen": "samples",
}
_VERBS = {"r": "see", "s": "search", "c": "add", "u": "change", "d": "delete"}
_WHOSE = {
    "patient": "of this patient",
    "user": "of all patients you may see",
    "system": "of all patients",
}
_FACTS = {
    "openid": "It learns that it is you who signed in.",
    "fhirUser": "It learns your name and your entry in the directory.",
    "launch": "It learns which patient and visit are open.",
    "launch/patient": "It learns which patient was chosen.",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One checkbox: the scope it stands for, its words, and finer choices below it."""

    value: str
    words: str
    parts: tuple[Choice, ...] = ()


def choices_of(scopes: ScopeSet) -> tuple[Choice, ...]:
    """Return one choice for each resource scope, and one for lasting access."""
    chosen = tuple(_choice(scope) for scope in scopes.resources)
    if "offline_access" in scopes:
        words = "Keep its access when you are away, until it is revoked"
        chosen += (Choice("offline_access", words),)
    return chosen


def offered_values(choices: tuple[Choice, ...]) -> tuple[str, ...]:
    """Return every value that a checkbox of the page has."""
    parts = [part.value for choice in choices for part in choice.parts]
    return (*(choice.value for choice in choices), *parts)


def facts_of(scopes: ScopeSet) -> tuple[str, ...]:
    """Return what the words among the scopes mean, one sentence each."""
    return tuple(_FACTS[word] for word in scopes.words if word in _FACTS)


def duration_of(scopes: ScopeSet, access: timedelta, session: timedelta, lasting: timedelta) -> str:
    """Return how long the access lasts, as a sentence."""
    if "offline_access" in scopes:
        return (
            f"Lasting access ends when it is revoked or unused for {lasting.days} days; "
            f"without it, access ends after {_minutes(access)} minutes."
        )
    if "online_access" in scopes:
        return f"Access ends after {_minutes(session)} minutes at the latest."
    return f"Access ends after {_minutes(access)} minutes."


def _choice(scope: Scope) -> Choice:
    parts = () if scope.parameters else tuple(_parts(scope))
    return Choice(scope.text, _words(scope, _noun(scope)), parts)


def _parts(scope: Scope) -> Iterator[Choice]:
    seeing = "".join(letter for letter in scope.letters if letter in "rs")
    if seeing and seeing != scope.letters:
        lesser = parse_scope(f"{scope.level}/{scope.type_}.{seeing}")
        yield Choice(lesser.text, f"{_words(lesser, _noun(lesser))}, and change nothing")
    for type_ in _NOUNS if scope.type_ == "*" else ():
        if type_ != "*":
            part = parse_scope(f"{scope.level}/{type_}.{scope.letters}")
            yield Choice(part.text, _words(part, _noun(part)))
    for category, noun in CATEGORIES.get(scope.type_, ()):
        value = f"{scope.level}/{scope.type_}.{scope.letters}?category={category}"
        yield Choice(value, _words(scope, noun))


def _words(scope: Scope, noun: str) -> str:
    verbs = [_VERBS[letter] for letter in "rscud" if letter in scope.letters]
    joined = " and ".join([", ".join(verbs[:-1]), verbs[-1]] if len(verbs) > 1 else verbs)
    return f"{joined.capitalize()} {noun} {_WHOSE[scope.level]}"


def _noun(scope: Scope) -> str:
    known = dict(CATEGORIES.get(scope.type_, ()))
    noun = _NOUNS.get(scope.type_, scope.type_)
    if not scope.parameters:
        return noun
    limits = [known.get(value, f"{name} {value}") for name, value in scope.parameters]
    return f"{noun}, only {' and '.join(limits)},"


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)
