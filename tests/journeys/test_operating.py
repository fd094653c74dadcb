"""Operating a server that works: backups and checks beside it, its health and its numbers, a restore that serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from fhir_server.__main__ import main
from fhir_server.commands.story.server import ServerProcess
from fhir_server.commands.token import system_token

JSON = {"content-type": "application/fhir+json"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    data = tmp_path / "data"
    data.mkdir()
    server = ServerProcess(data, tmp_path / "log", {"anchor_events": "50"})
    server.start()
    yield server
    server.stop()


def client(server: ServerProcess) -> httpx2.Client:
    headers = {"authorization": f"Bearer {system_token(server.data, 'system/*.cruds')}", **JSON}
    return httpx2.Client(base_url=server.fhir, headers=headers, timeout=60)


@contextmanager
def writing(server: ServerProcess) -> Iterator[list[str]]:
    """Somebody who writes, changes, deletes and searches all the time; gives the ids written so far."""
    stop, written = threading.Event(), []

    def work() -> None:
        with client(server) as http:
            while not stop.is_set():
                body = '{"resourceType":"Patient","name":[{"family":"Busy"}]}'
                id_ = http.post("/Patient", content=body).json()["id"]
                changed = (
                    f'{{"resourceType":"Patient","id":"{id_}","name":[{{"family":"Busier"}}]}}'
                )
                http.put(f"/Patient/{id_}", content=changed)
                http.get("/Patient", params={"name": "Busier", "_count": 2})
                if len(written) % 5 == 4:
                    http.delete(f"/Patient/{id_}")
                written.append(id_)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


def test_checks_and_backups_beside_a_busy_server_find_it_whole(
    server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with writing(server) as written:
        while len(written) < 30:
            threading.Event().wait(0.05)
        for _ in range(3):
            assert main(["check", "--data", str(server.data)]) == 0, capsys.readouterr().out
        before = len(written)
        assert main(["backup", "--data", str(server.data), str(tmp_path / "busy.backup")]) == 0
    restored = tmp_path / "restored"
    restored.mkdir()
    for name in ("consentry.key", "consentry.key.erased"):
        if (server.data / name).exists():
            (restored / name).write_bytes((server.data / name).read_bytes())
            (restored / name).chmod(0o600)
    assert main(["restore", "--data", str(restored), str(tmp_path / "busy.backup")]) == 0
    assert main(["check", "--data", str(restored)]) == 0, capsys.readouterr().err
    second = ServerProcess(restored, tmp_path / "second.log", {})
    second.start()
    try:
        with client(second) as http:
            answers = [http.get(f"/Patient/{id_}").status_code for id_ in written[:before]]
            assert set(answers) <= {200, 410}
    finally:
        second.stop()


def test_a_server_tells_how_it_is(server: ServerProcess) -> None:
    with client(server) as http:
        http.get("/Patient/none")
    base = server.url
    assert httpx2.get(f"{base}/health/live").json() == {"status": "up"}
    ready = httpx2.get(f"{base}/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    counted = 'consentry_answers_total{interaction="read",status="404"} 1.0'
    deadline = time.monotonic() + 20  # the numbers of other workers come a moment later
    while counted not in httpx2.get(f"{base}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert (
        httpx2.get(f"{base}/metrics", headers={"x-forwarded-for": "192.0.2.1"}).status_code == 403
    )
