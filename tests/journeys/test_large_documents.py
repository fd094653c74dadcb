"""A document of a gibibyte over HTTP: in and out with a server that stays small, and what interruptions leave behind."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from fhir_server.commands.story.server import ServerProcess
from fhir_server.commands.token import system_token

SIZE = 1024**3
PART = 1024**2
MOST_RESIDENT = 200  # MiB, of the server
DICOM = "application/dicom"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    data = tmp_path / "data"
    data.mkdir()
    server = ServerProcess(data, tmp_path / "log", {})
    server.start()
    yield server
    server.stop()


def test_a_gibibyte_goes_in_and_out_through_a_small_server(server: ServerProcess) -> None:
    block = os.urandom(PART)
    expected, came = hashlib.sha256(), hashlib.sha256()

    def parts() -> Iterator[bytes]:
        for number in range(SIZE // PART):
            part = number.to_bytes(8, "big") + block[8:]
            expected.update(part)
            yield part

    with client(server) as http:
        headers = {"content-type": DICOM, "content-length": str(SIZE)}
        made = http.post("/Binary", content=parts(), headers=headers)
        assert made.status_code == 201, made.text
        url = f"/Binary/{made.json()['id']}"
        with http.stream("GET", url) as answer:
            assert answer.headers["content-length"] == str(SIZE)
            for part in answer.iter_raw():
                came.update(part)
        assert came.digest() == expected.digest()
        if Path("/proc").is_dir():
            assert resident(server.pid) < MOST_RESIDENT
        end = http.get(url, headers={"range": "bytes=-8"})
        assert (end.status_code, end.content) == (206, block[-8:])
        head = http.head(url, headers={"range": "bytes=-8"})
        assert (head.status_code, head.headers["content-length"]) == (200, str(SIZE))
        assert http.get(url, headers={"accept": "application/fhir+json"}).status_code == 406


def resident(pid: int) -> int:
    """The most memory that a process, or the largest of its workers, had so far, MiB."""
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    sizes = []
    for each in (str(pid), *workers):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{each}/status").read_text())
        assert found
        sizes.append(int(found[1]) // 1024)
    return max(sizes)


def test_a_caller_that_goes_away_leaves_nothing_behind(server: ServerProcess) -> None:
    begun = _begin(server)
    _wait_for(server, "SELECT count(*) > 0 FROM chunk")
    begun.close()
    _wait_for(server, "SELECT count(*) = 0 FROM chunk")
    _wait_for(server, "SELECT count(*) = 0 FROM document")
    with client(server) as http:
        assert http.get("/Binary?_summary=count").json()["total"] == 0


def test_a_server_that_is_killed_leaves_what_the_next_start_does_not_serve(
    server: ServerProcess,
) -> None:
    begun = _begin(server)
    _wait_for(server, "SELECT count(*) > 0 FROM chunk")
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    begun.close()
    with sqlite3.connect(server.data / "consentry.sqlite") as connection:
        connection.execute("UPDATE document SET touched = touched - 3600000")  # an hour later
    connection.close()
    server.start()
    _wait_for(server, "SELECT count(*) = 0 FROM chunk")
    with client(server) as http:
        assert http.get("/Binary?_summary=count").json()["total"] == 0


def test_a_refused_document_is_not_read(server: ServerProcess) -> None:
    """The answer comes while the body is still to be sent."""
    with _begin(server, token="none", rest=b"") as begun:
        begun.settimeout(10)
        assert begun.recv(64).startswith(b"HTTP/1.1 401")


def test_a_document_that_is_too_large_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    server = ServerProcess(data, tmp_path / "log", {"max_binary_bytes": str(3 * PART)})
    server.start()
    try:
        with client(server) as http:
            headers = {"content-type": DICOM}
            declared = http.post("/Binary", content=bytes(4 * PART), headers=headers)
            told_too_late = http.post(
                "/Binary", content=(bytes(PART) for _ in range(4)), headers=headers
            )
            assert (declared.status_code, told_too_late.status_code) == (413, 413)
            fits = http.post("/Binary", content=(bytes(PART) for _ in range(3)), headers=headers)
            assert fits.status_code == 201
        _wait_for(server, "SELECT count(*) = 1 FROM document")
    finally:
        server.stop()


def client(server: ServerProcess) -> httpx2.Client:
    token = system_token(server.data, "system/*.cruds")
    headers = {"authorization": f"Bearer {token}", "accept": "*/*"}
    return httpx2.Client(base_url=server.fhir, headers=headers, timeout=120)


def _begin(server: ServerProcess, token: str = "", rest: bytes = bytes(4 * PART)) -> socket.socket:
    """Begin to send a document, and go no further."""
    address = urlsplit(server.url)
    begun = socket.create_connection((address.hostname or "", address.port or 0), timeout=30)
    token = token or system_token(server.data, "system/*.cruds")
    head = (
        f"POST /fhir/Binary HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {DICOM}\r\nContent-Length: {SIZE}\r\n\r\n"
    )
    begun.sendall(head.encode() + rest)
    return begun


def _wait_for(server: ServerProcess, query: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = sqlite3.connect(server.data / "consentry.sqlite")
        try:
            if connection.execute(query).fetchone()[0]:
                return
        finally:
            connection.close()
        time.sleep(0.05)
    raise AssertionError(query)
