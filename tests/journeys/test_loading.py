"""``consentry load`` beside a real server: files that refer to one another, posted several at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from fhir_server.commands.story.play import Play


def transaction(resource: dict[str, object]) -> str:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})


def test_patients_find_the_hospital_that_is_loaded_with_them(
    clinic: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = "urn:load-test"
    hospital = {"resourceType": "Organization", "identifier": [{"system": system, "value": "1"}]}
    (tmp_path / "hospitalInformation.json").write_text(transaction(hospital))
    refers = {"reference": f"Organization?identifier={system}|1"}
    for number in range(6):
        patient = {"resourceType": "Patient", "managingOrganization": refers}
        (tmp_path / f"{number}.json").write_text(transaction(patient))
    assert main(["load", "--data", str(clinic.server.data), str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "6  Patient" in said
    assert "7 resources" in said
    assert "0 refused" in said


def test_what_is_refused_is_named_and_the_rest_is_stored(
    clinic: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = {"resourceType": "Patient", "managingOrganization": {"reference": "Organization?name="}}
    (tmp_path / "bad.json").write_text(transaction(lost))
    (tmp_path / "good.json").write_text(transaction({"resourceType": "Patient"}))
    assert main(["load", "--data", str(clinic.server.data), str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "refused: bad.json: 4" in said
    assert "1  Patient" in said
