"""``consentry token``: what it refuses, in a sentence."""

from __future__ import annotations

import json

import pytest

from fhir_server.__main__ import main
from fhir_server.commands.serve import RUNNING_FILE
from fhir_server.settings import Settings


@pytest.mark.parametrize(
    "scope",
    ["system/Patient.rx", "system/*.sr", "patient/*.rs", "", "garbage", "system/Patient.rs?x"],
)
def test_a_scope_that_a_system_can_not_have_is_refused_in_a_sentence(
    original: Settings,
    scope: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (original.data / RUNNING_FILE).write_text(json.dumps({"url": "http://localhost:8080"}))
    monkeypatch.setenv("CONSENTRY_KEY", original.key)
    assert main(["token", "--data", str(original.data), "--scope", scope]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("consentry token: --scope: ")
