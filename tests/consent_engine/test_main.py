"""The command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consent_engine.__main__ import main
from consent_engine.cases import answer_case
from consent_engine.errors import CaseError


@pytest.fixture
def case(world: Any) -> dict[str, Any]:
    provision = {"type": "permit", "purpose": world.purposes("TREAT")}
    return {
        "consents": [world.consent(provision, meta={"versionId": "3"})],
        "request": {
            "subject": "Patient/1",
            "actors": ["Practitioner/1"],
            "purpose": "TREAT",
            "action": "access",
            "time": "2024-06-01T12:00:00Z",
        },
        "resource": world.record(),
    }


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "case.json"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_case_is_answered_as_json(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decide", write(tmp_path, json.dumps(case))]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "decision": "permit",
        "basis": "consent",
        "decided_by": [{"consent": "Consent/c", "version": "3", "path": "provision"}],
        "obligations": [],
        "valid_until": None,
        "explanation": ["Consent/c: permit by provision"],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject", {"reference": "Patient/1"}),
        ("subject", ["Patient/1"]),
        ("actors", "Practitioner/1"),
        ("actors", [{"reference": "Practitioner/1"}]),
        ("actors", [{"reference": {"reference": "Practitioner/1"}}]),
        ("actors", [{"identifier": {"system": "s", "value": "v"}}]),
        ("actor_identifiers", [{"system": "s", "value": "v"}]),
        ("actor_identifiers", []),
        ("purpose", ["TREAT"]),
        ("purpose", {"code": "ETREAT"}),
        ("purpose", {"coding": [{"code": "TREAT"}]}),
        ("action", None),
        ("action", {"coding": [{"code": "access"}]}),
        ("custodian", {"reference": "Organization/1"}),
        ("custodian", {"identifier": {"system": "s", "value": "v"}}),
        ("time", "2024-06-01"),
        ("graph", {"Encounter/1": ["Patient/1", {"reference": "Patient/2"}]}),
    ],
)
def test_shapes_are_read_liberally(case: dict[str, Any], name: str, value: Any) -> None:
    case["request"][name] = value
    assert answer_case(case)["decision"] == "permit"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("purpose", ["TREAT", "HPAYMT"], "request.purpose: more than one"),  # Step 0
        ("purpose", {"coding": [{"code": "TREAT"}, {"code": "HRESCH"}]}, "request.purpose"),
        ("purpose", 7, "request.purpose"),
        ("purpose", {"display": "care"}, "request.purpose"),
        ("action", ["access", "use"], "request.action"),
        ("time", None, "request.time"),
        ("time", "noon", "request.time"),
        ("actors", [7], "request.actors"),
        ("actors", [{"display": "Dr. X"}], "request.actors"),
        ("actor_identifiers", [{"value": "v"}], "request.actor_identifiers.system"),
        ("custodian", ["Organization/1", "Organization/2"], "request.custodian"),
        ("subject", {"identifier": {"system": "s", "value": "v"}}, "request.subject"),
        ("graph", ["Encounter/1"], "graph"),
    ],
)
def test_step_0_and_what_else_cannot_be_understood_is_an_error(
    case: dict[str, Any], name: str, value: Any, message: str
) -> None:
    case["request"][name] = value
    with pytest.raises(CaseError, match=message):
        answer_case(case)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"default": "maybe"}, "config.default"),
        ({"zone": "Europe/Atlantis"}, "config.zone"),
        ({"zone": "../../etc/passwd"}, "config.zone"),
        ({"break_glass": True}, "config.break_glass"),
        ({"base": 5}, "config.base"),
        ([1], "config"),
    ],
)
def test_a_config_that_cannot_be_understood_is_an_error(
    case: dict[str, Any], config: Any, message: str
) -> None:
    with pytest.raises(CaseError, match=message):
        answer_case({**case, "config": config})


def test_a_case_without_subject_is_an_error_unless_it_says_that_there_is_none(
    case: dict[str, Any],
) -> None:
    case["request"]["subject"] = None
    assert answer_case(case)["decision"] == "deny"
    del case["request"]["subject"]
    with pytest.raises(CaseError, match="subject"):
        answer_case(case)
    assert answer_case({**case, "subject": "Patient/1"})["decision"] == "permit"


@pytest.mark.parametrize("glass", [["Group/er"], {"groups": ["Group/er"]}, "Group/er"])
def test_config_is_read(case: dict[str, Any], world: Any, glass: Any) -> None:
    case["config"] = {
        "zone": "Europe/Vienna",
        "break_glass": glass,
        "admin_policies": [world.policy({"type": "deny"})],
    }
    assert answer_case(case)["basis"] == "admin"
    case["request"] |= {"purpose": "BTG", "actors": ["Group/er"]}
    answer = answer_case(case)
    assert answer["basis"] == "break-glass"
    assert answer["valid_until"] == "2024-06-01T16:00:00Z"


def test_the_base_of_a_config_is_what_references_may_begin_with(
    case: dict[str, Any], world: Any
) -> None:
    mine = {"reference": "https://ehr.example/fhir/Patient/1"}
    case["consents"] = [world.consent({"type": "deny"}, patient=mine)]
    assert answer_case(case)["basis"] == "default"
    case["config"] = {"base": "https://ehr.example/fhir/"}
    assert answer_case(case)["basis"] == "consent"


def test_a_case_describes_its_whole_world(case: dict[str, Any], world: Any) -> None:
    provision = {"data": world.data("related", "Encounter/1")}
    case["consents"] = [world.consent(provision, "OPTIN")]
    assert answer_case(case)["decision"] == "permit"
    case["request"]["graph"] = {"Encounter/1": ["Observation/r"]}
    assert answer_case(case)["decision"] == "deny"


def test_without_record_only_an_answer_for_every_record_is_given(
    case: dict[str, Any], world: Any
) -> None:
    del case["resource"]
    assert answer_case(case)["decision"] == "permit"
    case["consents"] = [world.consent({"type": "permit", "class": world.classes("Media")})]
    with pytest.raises(CaseError, match="resource"):
        answer_case(case)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '{"request": 1}', '{"a": {"b": 1, "b": 1}}', "[" * 100_000]
)
def test_a_bad_case_ends_with_2_and_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decide", write(tmp_path, text)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("consent_engine: ")
    assert shown.err.count("\n") == 1


def test_a_missing_file_ends_with_2(tmp_path: Path) -> None:
    assert main(["decide", str(tmp_path / "none.json")]) == 2


def test_one_case_a_line_goes_on_after_a_bad_one(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.dumps(case)
    assert main(["decide", "--ndjson", write(tmp_path, f"{good}\n\n{{\n{good}\n")]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in line for line in lines] == [False, True, False]
    assert main(["decide", "--ndjson", write(tmp_path, f"{good}\n")]) == 0


def test_it_runs_as_a_module_from_standard_input_with_a_thousand_levels(
    case: dict[str, Any], world: Any
) -> None:
    provision: dict[str, Any] = {"type": "permit"}
    for _ in range(300):
        provision = {"type": "permit", "provision": [provision]}
    case["consents"] = [world.consent(provision)]
    deep = json.dumps(case).replace(
        '"type": "permit"}', '"type": "permit", "x": ' + "[" * 900 + "]" * 900 + "}"
    )
    run = subprocess.run(
        [sys.executable, "-m", "consent_engine", "decide", "--ndjson", "-"],
        input=deep,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["basis"] == "indeterminate"


def test_help_has_an_example_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["decide", "--help"])
    text = capsys.readouterr().out
    example = text[text.index("  {\n") : text.index("the answer:")]
    assert answer_case(json.loads(example))["decision"] == "permit"
