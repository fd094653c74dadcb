"""A server that is killed in the middle of its work: what was answered is kept, is on record and is proved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx2

from fhir_server.commands.story import steps
from fhir_server.commands.story.asking import Reply
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.server import environment
from fhir_server.commands.story.telling import Teller


def test_what_was_answered_before_a_crash_is_kept_and_proved(tmp_path: Path) -> None:
    play = set_stage(tmp_path / "clinic", Teller(None))
    try:
        for step in (steps.load_chart, steps.file_consent, steps.search_claims):
            step(play)
        written = _write_until_killed(play)
        play.server.stop()
        play.server.start()
        for reply in written:
            require_status(play.ehr().get(f"Observation/{reply.value['id']}"), 200)
        require_exactly(play.insurer().get(f"Claim?{play.about}"), play.of("Claim"))
        play.replies += written
        steps.every_request_is_on_record(play)
        play.server.stop()
        proved = subprocess.run(
            [sys.executable, "-m", "fhir_server", "audit", "--data", str(play.server.data)],
            env=environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert proved.returncode == 0, proved.stdout + proved.stderr
    finally:
        strike(play)


def _write_until_killed(play: Play) -> list[Reply]:
    """Observations that were answered with 201 while the server was on its way to be killed."""
    ehr = play.ehr()
    content = json.dumps({**play.of("Observation")[0].resource, "encounter": None}).encode()
    content = content.replace(b', "encounter": null', b"")
    timer = threading.Timer(0.7, os.kill, (play.server.pid, signal.SIGKILL))
    timer.start()
    written: list[Reply] = []
    try:
        while True:
            written.append(require_status(ehr.post("Observation", content), 201))
    except httpx2.TransportError:
        timer.join()
    assert written
    return written
