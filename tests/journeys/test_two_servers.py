"""Two servers on one MongoDB, on two ports: whatever one of them has done, the other knows at the next request."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from fhir_server import sample
from fhir_server.commands.story import steps
from fhir_server.commands.story.apps import discover
from fhir_server.commands.story.asking import Caller, Reply
from fhir_server.commands.story.cast import PORTAL, new_cast, register
from fhir_server.commands.story.expecting import require_status
from fhir_server.commands.story.play import Play
from fhir_server.commands.story.proofs import find_texts
from fhir_server.commands.story.server import ServerProcess, environment
from fhir_server.commands.story.telling import Teller

from .. import mongo_server

pytestmark = mongo_server.needs_mongo


class Second(ServerProcess):
    """The other server: it has the same public url, and answers on a port of its own."""

    def _answers(self) -> bool:
        self.url = f"http://localhost:{self._port}"
        return super()._answers()


class Alternating(httpx2.HTTPTransport):
    """Sends each request to another server than the one before, as a load balancer does."""

    def __init__(self, *ports: int) -> None:
        super().__init__()
        self._ports = itertools.cycle(ports)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(port=next(self._ports))
        return super().handle_request(request)


@dataclass
class Two:
    """Both servers, with a story to play on them.

    Attributes:
        mongo: Their database server, if it is this test's own.
    """

    play: Play
    first: ServerProcess
    second: Second
    settings: dict[str, str]
    mongo: mongo_server.Server | None

    def only(self, caller: Caller, server: ServerProcess) -> Caller:
        """A caller that asks one of the servers."""
        http = httpx2.Client(timeout=60)
        return replace(caller, fhir=f"{server.url}/fhir", http=http)


def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """For all tests of this file; the last one kills a server."""
    tmp_path = tmp_path_factory.mktemp("two")
    own = None if mongo_server.GIVEN else mongo_server.Server()
    store = f"{own.url.partition('?')[0]}consentry" if own else mongo_server.url(tmp_path)
    cast, ports, data = new_cast(()), (port(), port()), tmp_path / "data"
    data.mkdir(mode=0o700)
    settings = {
        **register(cast, tmp_path).settings(),
        "store": store,
        "base_url": f"http://localhost:{ports[0]}",
        "anchor_interval": "1",
    }
    first = ServerProcess(data, tmp_path / "first.log", settings, ports[0])
    second = Second(data, tmp_path / "second.log", settings, ports[1])
    try:
        first.start()
        second.start()
        http = httpx2.Client(timeout=60, transport=Alternating(*ports))
        endpoints = discover(first.fhir)
        play = Play(tmp_path, first, cast, Teller(None), http, endpoints)
        yield Two(play, first, second, settings, own)
        http.close()
    finally:
        first.stop()
        second.stop()
        if own is not None:
            own.stop()


def test_the_whole_story_holds_when_each_request_goes_to_the_other_server(two: Two) -> None:
    """Codes, grants, launches, Consents, the revocation and page links pass from one server to the other."""
    for step in steps.STEPS:
        step.happen(two.play)
    steps.every_request_is_on_record(two.play)
    patient = two.play.person(two.play.user)
    elsewhere = two.only(patient, two.second)
    require_status(elsewhere.get(two.play.patient), 200)
    body = {"token": patient.token, "client_id": PORTAL}
    assert httpx2.post(f"{two.first.url}/auth/revoke", data=body).status_code == 200
    require_status(elsewhere.get(two.play.patient), 401)
    _nothing_is_in_clear(two)
    require_proof(two)


def test_servers_with_an_embedded_chain_share_one_data_folder(two: Two, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    key = (two.first.data / "consentry.key").read_text()
    settings = {**two.settings, "key": key}
    done = subprocess.run(
        [*(sys.executable, "-m", "fhir_server", "serve", "--port", "0"), "--data", str(elsewhere)],
        env=environment(settings), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "embedded chain in another data folder" in done.stderr


def test_without_its_database_a_server_discloses_nothing_and_goes_on_when_it_is_back(
    two: Two,
) -> None:
    if two.mongo is None:
        pytest.skip("this one stops the database server, which is not ours")
    caller = two.only(two.play.insurer(), two.second)
    assert caller.get("Claim").status == 200
    two.mongo.kill()
    for path in ("Claim", "metadata", "Patient/nobody"):
        refused = caller.get(path)
        assert refused.status == 503, refused.body
        assert refused.value["issue"][0]["code"] == "transient"  # type: ignore[index]
    token = {"grant_type": "client_credentials", "scope": "system/*.rs"}
    assert httpx2.post(f"{two.second.url}/auth/token", data=token, timeout=60).status_code >= 400
    two.mongo.start()
    until = time.monotonic() + 30
    while caller.get("Claim").status != 200:
        assert time.monotonic() < until
    require_proof(two)


def test_a_server_that_is_killed_leaves_the_other_all_that_it_answered(two: Two) -> None:
    """Both write at once; the one that anchors is killed; the numbers have no gap and the other anchors on."""
    ehr = two.play.ehr()
    content = json.dumps({**two.play.of("Observation")[0].resource, "encounter": None}).encode()
    content = content.replace(b', "encounter": null', b"")
    writers = [
        Writer(two.only(ehr, server), content)
        for server in (two.first, two.second)
        for _ in range(3)
    ]
    for writer in writers:
        writer.start()
    time.sleep(1.5)
    os.kill(two.first.pid, signal.SIGKILL)
    time.sleep(0.5)
    for writer in writers:
        writer.stop()
    survivor = two.only(ehr, two.second)
    assert all(writer.written for writer in writers)
    for reply in (reply for writer in writers for reply in writer.written):
        require_status(survivor.get(f"Observation/{reply.value['id']}"), 200)
    two.first.stop()
    _wait_for_anchor(two.second)
    two.second.stop()
    require_proof(two)


class Writer(threading.Thread):
    """Writes Observations until it is stopped or its server is gone; ``written`` are those that were answered with 201."""

    def __init__(self, caller: Caller, content: bytes) -> None:
        super().__init__()
        self.written: list[Reply] = []
        self._caller, self._content = caller, content
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                reply = self._caller.post("Observation", self._content)
            except httpx2.TransportError:
                return
            assert reply.status in (201, 503), reply.words
            self.written += [reply] if reply.status == 201 else []

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _wait_for_anchor(server: ServerProcess) -> None:
    """The other server takes over within 10 seconds, and anchors all there is."""
    until = time.monotonic() + 45
    while httpx2.get(f"{server.url}/health").json()["anchorLag"]:
        assert time.monotonic() < until, server.last_words()
        time.sleep(0.3)


def require_proof(two: Two) -> None:
    """``consentry audit``: gapless, each event is what was committed to, anchored."""
    done = subprocess.run(
        [sys.executable, "-m", "fhir_server", "audit", "--data", str(two.first.data)],
        env=environment(two.settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gapless" in done.stdout


def _nothing_is_in_clear(two: Two) -> None:
    """What ``strings`` would find in the files of the database server, of both servers, and in their logs."""
    if two.mongo is None:
        return
    private = sample.private_texts(two.play.chart)
    folders = (two.mongo.folder, two.first.data)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) > 100_000
    assert find_texts([*files, two.first.log, two.second.log], private) == []
