"""``consentry demo`` as a newcomer runs it: it ends well, fails by name, and leaves no process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE = 120


def _environment(**more: str) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("CONSENTRY_")}
    return {**plain, "CI": "true", **more}


def _demo(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fhir_server", "demo", "--data", str(folder), *options],
        env=_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


def _require_no_server(folder: Path) -> None:
    pid = json.loads((folder / "server" / "server.json").read_text())["pid"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail(f"the server (process {pid}) is still there")


@contextmanager
def _running(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    # A suite that was started in the background ignores Ctrl-C, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    demo = subprocess.Popen(
        [sys.executable, "-m", "fhir_server", "demo", "--data", str(folder), *options],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        yield demo
    finally:
        if demo.poll() is None:
            demo.kill()
        demo.wait()
        assert demo.stdout is not None
        demo.stdout.close()


def _read_until(demo: subprocess.Popen[str], text: str) -> str:
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if text in line:
            return said
    pytest.fail(f"the demo ended before it said {text!r}:\n{said}")


def test_every_step_holds_and_nothing_is_left_running(tmp_path: Path) -> None:
    done = _demo(tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 8 steps held" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    _require_no_server(tmp_path / "demo")
    for name in ("clients.json", "users.json"):
        assert (tmp_path / "demo" / name).stat().st_mode & 0o077 == 0
        assert '"d"' not in (tmp_path / "demo" / name).read_text()  # no private key


def test_a_step_that_does_not_hold_is_named(tmp_path: Path) -> None:
    done = _demo(tmp_path / "demo", CONSENTRY_POLICY="opt-in")
    assert done.returncode == 1
    assert "step 1, An EHR writes the chart: failed" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    _require_no_server(tmp_path / "demo")


def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = _demo(tmp_path / "demo", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "The server starts: failed" in done.stdout


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = _demo(tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_middle_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with _running(tmp_path / "demo") as demo:
        _read_until(demo, "1  An EHR")
        demo.send_signal(number)
        assert demo.wait(30) == 130
    _require_no_server(tmp_path / "demo")


def test_it_stays_up_until_ctrl_c_and_tells_how_to_try_it(tmp_path: Path) -> None:
    with _running(tmp_path / "demo", "--stay") as demo:
        said = _read_until(demo, "Ctrl-C ends it")
        assert "rosalind" in said
        token = _token_that_is_told(said)
        line = next(text for text in said.splitlines() if "curl" in text).strip()
        answer = subprocess.run(
            ["sh", "-c", f"TOKEN={token}; {line}"], capture_output=True, check=True
        )
        assert json.loads(answer.stdout)["resourceType"] == "Bundle"
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    _require_no_server(tmp_path / "demo")


def _token_that_is_told(said: str) -> str:
    line = next(text for text in said.splitlines() if "TOKEN=$(" in text).strip()
    shell = subprocess.run(
        ["sh", "-c", f"{line}; echo $TOKEN"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return shell.stdout.strip()
