"""The command line: every command is there, and none pays for another."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from fhir_server import commands
from fhir_server.__main__ import main

FOLDER = Path(next(iter(commands.__path__)))
COMMANDS = sorted(
    module.stem for module in FOLDER.glob("*.py") if "def add_arguments(" in module.read_text()
)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_tells_its_arguments_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"example: consentry {command}" in said
    assert said.count("--") > 1  # those of its own, too
    assert callable(import_module(f"fhir_server.commands.{command}").run)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in said if line.startswith("    ")} >= set(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["__init__"], "invalid choice"),
        (["acting"], "invalid choice"),
        (["--data", "verify"], "consentry verify: error:"),
        (["verify", "a.json", "--nothing"], "unrecognized arguments: --nothing"),
    ],
)
def test_what_is_no_command_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verify", "decide"])
def test_who_needs_no_server_does_not_wait_for_one(command: str) -> None:
    asked = (
        "import sys, contextlib; from fhir_server.__main__ import main\n"
        f"with contextlib.suppress(SystemExit): main(['{command}', '--help'])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('fhir_server.')))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    *_, packages, own = answer.stdout.splitlines()
    assert not {"fastapi", "uvicorn", "motor", "smart_auth"} & set(packages.split())
    assert set(own.split()) == {
        "fhir_server.__main__", "fhir_server.commands", f"fhir_server.commands.{command}", "fhir_server.errors",
    }  # fmt: skip


def test_who_interrupts_a_command_that_is_not_there_yet_sees_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fhir_server.__main__.import_module", interrupted)
    assert main(["load", "patients/"]) == 130
    assert capsys.readouterr().err == ""
