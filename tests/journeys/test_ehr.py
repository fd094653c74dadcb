"""An EHR's journey: a backend with a key writes the chart, and opens apps for its staff."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx2
import pytest

from fhir_server.commands.story import steps
from fhir_server.commands.story.apps import Granted, ehr_launch
from fhir_server.commands.story.asking import Caller
from fhir_server.commands.story.cast import CHART, EHR, INSURER
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import Play
from smart_auth.tokens.jwt import client_assertion, generate_client_key

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def _ask_token(play: Play, assertion: str, scope: str = "system/*.cruds") -> httpx2.Response:
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
    }
    return httpx2.post(play.endpoints.token, data=form)


def _assertion(play: Play, **changed: object) -> str:
    given = {
        "key": play.cast.keys[EHR],
        "client_id": EHR,
        "audience": play.endpoints.token,
        **changed,
    }
    return client_assertion(
        given["key"], given["client_id"], given["audience"], datetime.now(UTC), "ES384"
    )


def test_the_chart_comes_back_byte_for_byte(journey: Play) -> None:
    ehr = journey.ehr()
    for filed in journey.filed:
        if filed.type_ == "Observation" and filed.resource.get("valueQuantity"):
            body = require_status(ehr.get(filed.reference), 200).body.decode()
            sent = journey.chart.decode()
            value = body[body.index('"valueQuantity"') :].partition(",")[0].replace(" ", "")
            assert value in sent.replace(" ", "")


def test_a_transaction_with_one_wrong_entry_writes_nothing(journey: Play) -> None:
    bundle = json.loads(journey.chart)
    bundle["entry"] = [e for e in bundle["entry"] if e["request"]["url"] == "Claim"][:2]
    for entry in bundle["entry"]:
        entry["resource"]["insurance"][0]["coverage"] = {"display": "none"}
    bundle["entry"][1]["resource"]["status"] = "no such status"
    refused = journey.ehr().post("", json.dumps(bundle).encode())
    assert refused.status in (400, 422)
    assert "entry[1]" in refused.words
    found = journey.ehr().get(f"Claim?{journey.about}&_total=accurate")
    assert found.total == len(journey.of("Claim")) + len(journey.of("Claim", labelled=True))


def test_the_clinic_records_what_it_may_not_read(consented: Play) -> None:
    ehr = consented.ehr()
    hidden = consented.of("Condition", labelled=True)[0]
    again = {k: v for k, v in hidden.resource.items() if k != "encounter"}
    made = require_status(ehr.post("Condition", json.dumps(again).encode()), 201)
    require_status(ehr.get(f"Condition/{made.value['id']}"), 404)
    require_exactly(
        ehr.get(f"Condition?{consented.about}&_total=accurate"), consented.of("Condition")
    )
    corrected = json.dumps({**again, "id": made.value["id"]}).encode()
    require_status(ehr.put(f"Condition/{made.value['id']}", corrected), 200)


@pytest.mark.parametrize(
    "changed",
    [
        {"key": generate_client_key("ES384")},
        {"audience": "http://localhost:1/auth/token"},
        {"client_id": INSURER},
        {"client_id": "nobody"},
    ],
)
def test_an_assertion_that_is_not_the_ehrs_own_gets_no_token(
    clinic: Play, changed: dict[str, object]
) -> None:
    answer = _ask_token(clinic, _assertion(clinic, **changed))
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_an_assertion_is_good_once(clinic: Play) -> None:
    assertion = _assertion(clinic)
    assert _ask_token(clinic, assertion).status_code == 200
    assert _ask_token(clinic, assertion).status_code == 401


def test_the_insurer_gets_no_scope_that_it_is_not_registered_for(clinic: Play) -> None:
    changed = {"key": clinic.cast.keys[INSURER], "client_id": INSURER}
    answer = _ask_token(clinic, _assertion(clinic, **changed), "system/*.cruds")
    assert answer.status_code == 400 or "c" not in answer.json()["scope"].rpartition(".")[2]


def test_only_the_clinic_opens_apps(journey: Play) -> None:
    with pytest.raises(StepError, match="403"):
        _launch(journey, journey.insurer(), "helena")
    with pytest.raises(StepError, match="403"):
        _launch(journey, journey.person(journey.user), "helena")
    with pytest.raises(StepError, match="400"):
        _launch(journey, journey.ehr(), "nobody")
    with pytest.raises(StepError, match="400"):
        _launch(journey, journey.ehr(), "bertram")  # a patient, with somebody else's record


def test_a_system_token_of_the_machine_that_holds_the_keys_reads_the_chart(
    journey: Play, token_of_system: Callable[[str], str]
) -> None:
    system = Caller(
        "system", journey.server.fhir, token_of_system("system/*.rs"), (), "TREAT", journey.http
    )
    assert require_status(system.get(journey.patient), 200).value["id"]
    require_status(system.post("Condition", b'{"resourceType":"Condition"}'), 403)


def _launch(play: Play, by: Caller, username: str) -> str:
    encounter = play.of("Encounter")[0].reference
    granted = Granted(by.token, "", "", "")
    return ehr_launch(play.server.url, granted, CHART, username, play.patient, encounter)


def test_the_first_step_holds_again_for_the_same_patient(journey: Play) -> None:
    steps.load_chart(journey)
