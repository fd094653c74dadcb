"""``consentry erase``: whom it asks, and what it refuses before anything is erased."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from fhir_server.settings import Settings


@pytest.mark.parametrize(
    ("typed", "words"),
    [("", "say --yes where nobody can be asked"), ("no\n", "nothing was erased")],
)
def test_without_a_yes_nothing_is_erased(
    original: Settings,
    typed: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CONSENTRY_KEY", original.key)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert main(["erase", "Patient/p", "--data", str(original.data)]) == 2
    assert words in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert main(["erase", "Patient/nobody", "--data", str(original.data)]) == 2


def test_nobody_is_asked_about_a_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", pytest.fail)
    assert main(["erase", "Patient/p", "--data", str(tmp_path / "nowhere")]) == 2
    assert "consentry erase: " in capsys.readouterr().err


def test_a_patient_may_be_named_by_this_servers_own_url(
    original: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSENTRY_KEY", original.key)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    url = f"{original.fhir_base}/Patient/p"
    assert main(["erase", url, "--data", str(original.data)]) == 2
    assert "nothing was erased" in capsys.readouterr().err
