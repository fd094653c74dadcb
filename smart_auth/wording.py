"""Scopes in plain words, for the authorize page; and the finer choices a person may make.

The categories are those of US Core 7.0.0, "SMART on FHIR Obligations and Capabilities" (granular
scopes of Condition and Observation).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from smart_auth.scopes import Scope, ScopeSet

_HL7 = "http://terminology.hl7.org/CodeSystem"
_US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"
CATEGORIES: dict[str, tuple[tuple[str, str], ...]] = {
    "Condition": (
        (f"{_HL7}/condition-category|encounter-diagnosis", "diagnoses of visits"),
        (f"{_HL7}/condition-category|problem-list-item", "the problem list"),
        (f"{_US_CORE}/condition-category|health-concern", "health concerns"),
    ),
    "Observation": (
        (f"{_HL7}/observation-category|laboratory", "laboratory results"),
        (f"{_HL7}/observation-category|vital-signs", "vital signs"),
        (f"{_HL7}/observation-category|social-history", "social history"),
        (f"{_HL7}/observation-category|survey", "questionnaire results"),
        (f"{_US_CORE}/us-core-category|sdoh", "social circumstances"),
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
    "MedicationRequest": "prescriptions",
    "Observation": "results and measurements",
    "Organization": "organizations",
    "Patient": "name, birth date and contact details",
    "Practitioner": "names of practitioners",
    "Procedure": "procedures",
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
    parts: tuple[Choice, ...] = ()
    if not scope.parameters:
        parts = tuple(_part(scope, *each) for each in CATEGORIES.get(scope.type_, ()))
    return Choice(scope.text, _words(scope, _noun(scope)), parts)


def _part(scope: Scope, category: str, noun: str) -> Choice:
    value = f"{scope.level}/{scope.type_}.{scope.letters}?category={category}"
    return Choice(value, _words(scope, noun))


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
