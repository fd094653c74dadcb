"""Items 37 to 39 of the checklist: version 1, granular scopes, picking them, over HTTP (g10 9.22, 9.25, 9.26, 9.28)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from fhir_server.commands.story.play import Play

from .conftest import App

HL7 = "http://terminology.hl7.org/CodeSystem"
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"
CONDITIONS = {
    "encounter-diagnosis": f"{HL7}/condition-category",
    "problem-list-item": f"{HL7}/condition-category",
    "health-concern": f"{US_CORE}/condition-category",
}
OBSERVATIONS = {
    "laboratory": f"{HL7}/observation-category",
    "social-history": f"{HL7}/observation-category",
    "sdoh": f"{US_CORE}/us-core-category",
    "survey": f"{HL7}/observation-category",
    "vital-signs": f"{HL7}/observation-category",
    "clinical-test": f"{US_CORE}/us-core-observation-category",
    "functional-status": f"{US_CORE}/us-core-category",
}
SETS = [
    (("encounter-diagnosis", "health-concern"), ("laboratory", "social-history", "sdoh")),
    (
        ("problem-list-item",),
        ("survey", "vital-signs", "clinical-test", "functional-status"),
    ),
]


def scope_of(type_: str, category: str, letters: str = "rs") -> str:
    system = (CONDITIONS if type_ == "Condition" else OBSERVATIONS)[category]
    return f"patient/{type_}.{letters}?category={system}|{category}"


@pytest.fixture
def charted(journey: Play) -> dict[str, str]:
    """One record of each category of the patient's; category to reference, ``Type/id``."""
    kept = {}
    for type_, categories in (("Condition", CONDITIONS), ("Observation", OBSERVATIONS)):
        for category, system in categories.items():
            resource = _resource(type_, journey.patient, {"system": system, "code": category})
            made = journey.ehr().post(type_, json.dumps(resource).encode())
            assert made.status == 201, made.words
            kept[category] = f"{type_}/{made.value['id']}"
    return kept


def _resource(type_: str, patient: str, coding: Mapping[str, str]) -> dict[str, Any]:
    own: dict[str, Any] = (
        {"clinicalStatus": _clinical()} if type_ == "Condition" else {"status": "final"}
    )
    return {
        "resourceType": type_,
        **own,
        "category": [{"coding": [coding]}],
        "code": {"text": coding["code"]},
        "subject": {"reference": patient},
    }


def _clinical() -> dict[str, Any]:
    return {"coding": [{"system": f"{HL7}/condition-clinical", "code": "active"}]}


@pytest.mark.parametrize(
    "asked",
    [
        "launch/patient openid fhirUser offline_access patient/*.read",
        "launch/patient patient/Patient.read patient/Condition.read patient/Observation.*",
    ],
)
def test_item_37_scopes_of_version_1_are_granted_and_work(app: App, asked: str) -> None:
    body = app.granted(asked)
    assert set(body["scope"].split()) == set(asked.split())
    for path in (app.play.patient, "Condition?_count=1", "Observation?_count=1"):
        assert app.get(path, body["access_token"]).status_code == 200


@pytest.mark.parametrize(("conditions", "observations"), SETS)
def test_item_38_only_what_matches_granular_scopes_appears(
    app: App, charted: dict[str, str], conditions: tuple[str, ...], observations: tuple[str, ...]
) -> None:
    granted = [scope_of("Condition", each) for each in conditions]
    granted += [scope_of("Observation", each) for each in observations]
    body = app.granted(f"launch/patient openid fhirUser patient/Patient.rs {' '.join(granted)}")
    assert set(granted) <= set(body["scope"].split())
    token, open_ = body["access_token"], {*conditions, *observations}
    for category, reference in charted.items():
        expected = 200 if category in open_ else 404
        assert app.get(reference, token).status_code == expected, category
        assert app.get(f"{reference}/_history/1", token).status_code == expected, category
        found = _found(
            app, f"{reference.partition('/')[0]}?_id={reference.partition('/')[2]}", token
        )
        assert (reference in found) == (category in open_), category
    for type_ in ("Condition", "Observation"):
        own = {charted[c] for c in open_ if charted[c].startswith(type_)}
        assert own <= _found(app, f"{type_}?_count=100", token)
        for category in CONDITIONS if type_ == "Condition" else OBSERVATIONS:
            hidden = category not in open_
            assert (
                charted[category] in _found(app, f"{type_}?category={category}", token)
            ) != hidden
            assert not (hidden and _found(app, f"{type_}?category={category}", token))


def _found(app: App, path: str, token: str) -> set[str]:
    answer = app.get(path, token)
    assert answer.status_code == 200
    entries = answer.json().get("entry", [])
    return {f"{e['resource']['resourceType']}/{e['resource'].get('id')}" for e in entries}


@pytest.mark.parametrize(("conditions", "observations"), SETS)
def test_item_39_the_user_picks_granular_scopes_where_types_were_asked_for(
    app: App, charted: dict[str, str], conditions: tuple[str, ...], observations: tuple[str, ...]
) -> None:
    app.open(
        app.asked("launch/patient patient/Patient.rs patient/Condition.rs patient/Observation.rs")
    )
    picked = [scope_of("Condition", each) for each in conditions]
    picked += [scope_of("Observation", each) for each in observations]
    body = app.redeem(app.allow("patient/Patient.rs", *picked)["code"]).json()
    granted = set(body["scope"].split())
    assert set(picked) <= granted
    assert not granted & {"patient/Condition.rs", "patient/Observation.rs"}
    for category, reference in charted.items():
        expected = 200 if category in {*conditions, *observations} else 404
        assert app.get(reference, body["access_token"]).status_code == expected


def test_item_39_the_user_cannot_pick_more_than_was_asked_for(app: App) -> None:
    app.open(app.asked("launch/patient patient/Condition.rs"))
    for more in ("patient/Observation.rs", "patient/*.rs", "patient/Condition.cruds", "user/*.rs"):
        form = {**app.forms()["decide"], "scope": [more]}
        answer = app.browser.post(f"{app.issuer}/authorize", data={**form, "decision": "allow"})
        assert answer.status_code == 400
        assert "location" not in answer.headers
