"""Step 6: references are compared as what they mean, however they are spelled."""

from typing import Any

import pytest

from consent_engine import Config

BASE = "https://ehr.example/fhir"
HERE = Config(base=BASE)


@pytest.mark.parametrize(
    "spelling",
    ["{}", "{}/_history/2", BASE + "/{}", BASE + "/{}/_history/2", "HTTPS://EHR.example/fhir/{}"],
)
def test_a_reference_to_the_server_itself_is_as_good_as_a_relative_one(
    world: Any, spelling: str
) -> None:
    mine = {"reference": spelling.format("Patient/1")}
    assert world.answer(world.consent({"type": "deny"}, patient=mine), config=HERE) == (
        "deny by consent"
    )
    actor = [world.actor(spelling.format("Practitioner/1"))]
    assert world.answer(world.consent({"type": "permit", "actor": actor}), config=HERE) == (
        "permit by consent"
    )
    data = world.data("instance", spelling.format("Observation/r"))
    denied = world.consent({"type": "deny", "data": data}, "OPTIN")
    assert world.answer(denied, config=HERE) == "deny by consent"


@pytest.mark.parametrize("spelling", ["{}/_history/2", BASE + "/{}"])
def test_what_a_named_record_refers_to_may_be_spelled_in_any_way(world: Any, spelling: str) -> None:
    denied = world.consent({"type": "deny", "data": world.data("related", "List/1")}, "OPTIN")
    graph = {"List/1": [spelling.format("Observation/r")]}
    assert world.answer(denied, config=HERE, graph=graph) == "deny by consent"


@pytest.mark.parametrize(
    "foreign",
    [BASE + "Patient/1", "https://other.example/fhir/Patient/1", "/Patient/1", "Patient/1/x"],
)
def test_a_patient_of_another_server_is_another_patient(world: Any, foreign: str) -> None:
    consent = world.consent({"type": "deny"}, patient={"reference": foreign})
    config = Config("permit", base=BASE)
    assert world.answer(consent, config=config) == "permit by default"
