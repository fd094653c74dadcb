"""A server that is killed while it brings old records into the index of a new search parameter goes on when it is back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from fhir_server.commands.story.server import ServerProcess
from fhir_server.commands.token import system_token

RECORDS = 240
COLOUR = "http://example.org/StructureDefinition/eye-colour"
PARAMETER = {
    "resourceType": "SearchParameter",
    "id": "eyes",
    "url": "http://example.org/SearchParameter/eyes",
    "name": "EyeColour",
    "status": "active",
    "description": "The colour of the eyes",
    "code": "eye-colour",
    "base": ["Patient"],
    "type": "token",
    "expression": f"Patient.extension('{COLOUR}').value",
}


def test_a_killed_reindex_job_resumes_and_no_search_loses_a_row_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with _serving(tmp_path, 0.4) as server:
        client = _client(server)
        assert client.post("", json=_patients()).status_code == 200
        assert client.put("SearchParameter/eyes", json=PARAMETER).status_code == 201
        before = _until(client, lambda job: job["done"] >= RECORDS // 4)
        assert before["state"] == "in-progress"
        assert _found(client) == RECORDS // 2
        os.kill(server.pid, signal.SIGKILL)
    with _serving(tmp_path, 60) as server:  # it does one unit and rests, however slow we are
        client = _client(server)
        after = _job(client)
        assert after["state"] == "in-progress"
        assert 0 < after["done"] < RECORDS  # neither from the start nor lost
        assert _found(client) == RECORDS // 2
    with _serving(tmp_path, 0.01) as server:
        client = _client(server)
        done = _until(client, lambda job: job["state"] == "complete")
        assert done["done"] == done["total"] == RECORDS
        assert _found(client) == RECORDS // 2
        statement = client.get("metadata").json()
        [patient] = [r for r in statement["rest"][0]["resource"] if r["type"] == "Patient"]
        [told] = [p for p in patient["searchParam"] if p["name"] == "eye-colour"]
        assert told["extension"][0]["valueCode"] == "complete"


@contextmanager
def _serving(folder: Path, pause: float) -> Iterator[ServerProcess]:
    """A server on the folder whose job rests ``pause`` seconds between two units of work."""
    settings = {"reindex_pause": str(pause), "workers": "1"}
    server = ServerProcess(folder / "data", folder / "log", settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _client(server: ServerProcess) -> httpx2.Client:
    token = system_token(server.data, "system/*.cruds")
    return httpx2.Client(
        base_url=f"{server.fhir}/", headers={"Authorization": f"Bearer {token}"}, timeout=30
    )


def _patients() -> dict[str, object]:
    entries = [
        {
            "request": {"method": "PUT", "url": f"Patient/p{number}"},
            "resource": {
                "resourceType": "Patient",
                "id": f"p{number}",
                "extension": [{"url": COLOUR, "valueCode": "green" if number % 2 else "brown"}],
            },
        }
        for number in range(RECORDS)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _job(client: httpx2.Client) -> dict[str, Any]:
    [told] = client.get("$reindex-status").json()["parameter"]
    return {p["name"]: next(v for k, v in p.items() if k != "name") for p in told["part"]}


def _until(client: httpx2.Client, holds: Any) -> dict[str, Any]:
    for _ in range(600):
        job = _job(client)
        if holds(job):
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def _found(client: httpx2.Client) -> int:
    answer = client.get("Patient?eye-colour=green&_summary=count").json()
    return int(answer["total"])
