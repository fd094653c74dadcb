"""What holds above patients: templates and files, together."""

import json
from pathlib import Path
from typing import Any

import pytest

from consent_engine import load_template
from fhir_server.admin_policies import read_admin_policies
from fhir_server.errors import SettingsError
from fhir_server.settings import _POLICIES, Settings

MANDATORY = {
    "url": "https://consentry.example/StructureDefinition/mandatory-policy",
    "valueBoolean": True,
}


def rule(id_: str = "ours", **members: Any) -> dict[str, Any]:
    [found] = load_template("opt-out", "Organization/1")
    return {**found, "id": id_, **members}


def read(tmp_path: Path, content: object, before: str = "hipaa-tpo") -> Any:
    path = tmp_path / "ours.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_admin_policies(Settings(data=tmp_path, policy=f"{before},{path}"))


def test_every_template_can_be_named(tmp_path: Path) -> None:
    from consent_engine import TEMPLATES

    assert _POLICIES == TEMPLATES
    ordinary, mandatory = read_admin_policies(Settings(data=tmp_path, policy=",".join(TEMPLATES)))
    assert len(ordinary) >= len(TEMPLATES)
    assert mandatory == ()


def test_files_hold_beside_templates_and_mandatory_rules_come_first(tmp_path: Path) -> None:
    court = rule("court", extension=[MANDATORY])
    ordinary, mandatory = read(tmp_path, [rule(), court])
    assert [each["id"] for each in ordinary] == ["hipaa-tpo", "ours"]
    assert [each["id"] for each in mandatory] == ["court"]
    assert [each["id"] for each in read(tmp_path, rule())[0]] == ["hipaa-tpo", "ours"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "ours.json"),
        ("[]", "ours.json"),
        ("[1]", "ours.json"),
        ("[" * 100_000, "ours.json"),
        ([rule(provision={"type": "maybe"})], "Consent ours"),
        ([rule(), rule("second", modifierExtension=[{"url": "urn:x"}])], "Consent second"),
        ([{"resourceType": "Patient"}], "ours.json"),
    ],
)
def test_what_nobody_can_interpret_refuses_to_start_and_is_named(
    tmp_path: Path, content: object, named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        read(tmp_path, content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.json"):
        read_admin_policies(Settings(data=tmp_path, policy="nowhere.json"))
