"""Several worker processes behind one port keep the promises of one: real servers, real connections, real kills."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_server.commands.story.server import ServerProcess
from fhir_server.commands.token import system_token
from fhir_server.store.opening import DATABASE_FILE

from ..clinic import consent, observation, patient

Json = dict[str, Any]
PARAMETER = {
    "resourceType": "SearchParameter",
    "id": "note-text",
    "url": "https://example.org/SearchParameter/note-text",
    "name": "NoteText",
    "status": "active",
    "description": "Text of a note",
    "code": "note-text",
    "base": ["Observation"],
    "type": "string",
    "expression": "Observation.note.text",
}


class Caller:
    """One kept-alive connection: one worker answers all of its requests."""

    def __init__(self, server: ServerProcess, token: str) -> None:
        address = urlsplit(server.url)
        self._connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=30)
        self._token = token

    def ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/fhir+json",
        }
        content = json.dumps(body) if body is not None else None
        self._connection.request(method, f"/fhir/{path}", content, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}

    def close(self) -> None:
        self._connection.close()


def serving(folder: Path) -> Iterator[ServerProcess]:
    started = ServerProcess(folder / "data", folder / "log", {"workers": "2"})
    (folder / "data").mkdir()
    started.start()
    until(lambda: starts(started) == 2)
    yield started
    started.stop()


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    yield from serving(folder)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for the tests that kill nobody."""
    yield from serving(tmp_path_factory.mktemp("workers"))


@pytest.fixture
def both(shared: ServerProcess) -> Iterator[tuple[Caller, Caller]]:
    """Two callers; connections are handed out in turn, so each has a worker of its own."""
    token = system_token(shared.data, "system/*.cruds")
    pair = (Caller(shared, token), Caller(shared, token))
    for caller in pair:
        assert caller.ask("GET", "Patient?_count=1")[0] == 200
    assert len(set(open_sockets(shared))) == 2
    yield pair
    for caller in pair:
        caller.close()


def workers(server: ServerProcess) -> list[int]:
    """Process ids."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def starts(server: ServerProcess) -> int:
    """How often a worker has started."""
    return server.log.read_text().count('"started"')


def open_sockets(server: ServerProcess) -> list[int]:
    """For each connection to the server, the worker that has it."""
    port = f":{urlsplit(server.url).port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = {f[9] for f in map(str.split, lines) if f[1].endswith(port) and f[3] == "01"}
    return [
        pid
        for pid in workers(server)
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if file.is_symlink() and str(file.readlink()).strip("socket:[]") in inodes
    ]


def until(done: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_what_one_worker_wrote_the_other_reads_at_once(both: tuple[Caller, Caller]) -> None:
    for number, (writer, reader) in enumerate(
        itertools.islice(itertools.cycle((both, both[::-1])), 20)
    ):
        resource = patient(f"p{number}", name=[{"family": f"F{number}"}])
        assert writer.ask("PUT", f"Patient/p{number}", resource)[0] == 201
        assert reader.ask("GET", f"Patient/p{number}")[0] == 200
        assert reader.ask("GET", f"Patient?family=F{number}")[1]["total"] == 1


def test_a_consent_filed_at_one_holds_for_the_next_request_at_the_other(
    both: tuple[Caller, Caller],
) -> None:
    one, other = both
    one.ask("PUT", "Patient/a2", patient("a2"))
    one.ask("PUT", "Observation/o2", observation("o2", "a2"))
    for turn in range(6):
        deny = turn % 2 == 0
        rule = "deny" if deny else "permit"
        filed = consent("c2", "a2", rule, "Organization/custodian", actions=("access",))
        assert one.ask("PUT", "Consent/c2", filed)[0] in (200, 201)
        assert other.ask("GET", "Observation/o2")[0] == (404 if deny else 200), turn
        one, other = other, one


def test_a_search_parameter_of_one_is_known_to_the_other_at_once(
    both: tuple[Caller, Caller],
) -> None:
    one, other = both
    one.ask("PUT", "Patient/a3", patient("a3"))
    other.ask("PUT", "Observation/old", observation("old", "a3", note=[{"text": "green"}]))
    other.ask("PUT", "Observation/red", observation("red", "a3", note=[{"text": "red"}]))
    assert (
        other.ask("GET", "Observation?subject=Patient/a3&note-text=green")[1]["total"] == 2
    )  # ignored
    assert one.ask("PUT", "SearchParameter/note-text", PARAMETER)[0] == 201
    assert other.ask("GET", "Observation?subject=Patient/a3&note-text=green")[1]["total"] == 1
    other.ask("PUT", "Observation/new", observation("new", "a3", note=[{"text": "blue"}]))
    for asker in both:
        assert asker.ask("GET", "Observation?subject=Patient/a3&note-text=blue")[1]["total"] == 1
    assert (
        other.ask("PUT", "SearchParameter/note-text", {**PARAMETER, "status": "retired"})[0] == 200
    )
    assert one.ask("GET", "Observation?subject=Patient/a3&note-text=green")[1]["total"] == 3


def test_audit_events_of_one_are_found_by_a_search_at_the_other(
    both: tuple[Caller, Caller],
) -> None:
    one, other = both
    one.ask("PUT", "Patient/a4", patient("a4"))
    for number in range(1, 11):
        one.ask("GET", "Patient/a4")
        status, found = other.ask("GET", "AuditEvent?entity=Patient/a4&action=R&_count=0")
        assert (status, found["total"]) == (200, number)


def test_a_conditional_create_at_both_at_once_makes_one(both: tuple[Caller, Caller]) -> None:
    made: list[int] = []

    def create(caller: Caller) -> None:
        for number in range(15):
            bundle = {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [
                    {
                        "resource": {
                            "resourceType": "Patient",
                            "identifier": [{"system": "urn:test", "value": str(number)}],
                        },
                        "request": {
                            "method": "POST",
                            "url": "Patient",
                            "ifNoneExist": f"identifier=urn:test|{number}",
                        },
                    }
                ],
            }
            status, answer = caller.ask("POST", "", bundle)
            assert status == 200
            made.append(int(answer["entry"][0]["response"]["status"][:3]))

    threads = [threading.Thread(target=create, args=(caller,)) for caller in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [200] * 15 + [201] * 15
    assert both[0].ask("GET", "Patient?identifier=urn:test|&_count=0")[1]["total"] == 15


def test_a_killed_worker_is_replaced_and_loses_nothing_it_answered(server: ServerProcess) -> None:
    token = system_token(server.data, "system/*.cruds")
    kept: list[str] = []
    stopped = threading.Event()

    def write(name: str) -> None:
        caller = Caller(server, token)
        for number in itertools.count():
            if stopped.is_set():
                break
            id_ = f"{name}-{number}"
            try:
                if caller.ask("PUT", f"Patient/{id_}", patient(id_))[0] == 201:
                    kept.append(id_)
            except (OSError, http.client.HTTPException):
                caller.close()
                caller = Caller(server, token)
        caller.close()

    threads = [threading.Thread(target=write, args=(f"w{n}",), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for number in range(3):
        time.sleep(0.4)
        os.kill(workers(server)[-1], signal.SIGKILL)
        until(lambda started=3 + number: starts(server) == started)  # type: ignore[misc]
    stopped.set()
    for thread in threads:
        thread.join()
    caller = Caller(server, token)
    assert len(kept) > 20
    for id_ in kept:
        assert caller.ask("GET", f"Patient/{id_}")[0] == 200
    # each of them is on record, and can be found there
    assert caller.ask("GET", "AuditEvent?action=C,U&_count=0")[1]["total"] >= len(kept)
    caller.close()
    server.stop()
    assert_gapless(server.data / DATABASE_FILE)


def assert_gapless(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        count, last = connection.execute("SELECT count(*), max(n) FROM audit").fetchone()
    assert count == last + 1


def test_all_processes_end_with_the_server(server: ServerProcess) -> None:
    pids = [server.pid, *workers(server)]
    server.stop()
    assert not any(map(alive, pids))


def test_workers_end_when_their_parent_was_killed(server: ServerProcess) -> None:
    pids = workers(server)
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not any(map(alive, pids)))


def test_a_server_that_can_not_start_says_why_in_one_sentence(folder: Path) -> None:
    (folder / "users.json").write_text("{")
    ended = subprocess.run(
        [sys.executable, "-m", "fhir_server", "serve", "--port", "0", "--workers", "2"],
        env={
            **os.environ,
            "CONSENTRY_DATA": str(folder / "data"),
            "CONSENTRY_USERS_FILE": str(folder / "users.json"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "the server did not start" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
