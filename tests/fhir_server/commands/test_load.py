"""``consentry load``: what is posted in which order, several files at once, and what is said of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import httpx2
import pytest

from fhir_server.__main__ import main
from fhir_server.commands.load import Loading, bundles_of, find_files
from fhir_server.commands.serve import RUNNING_FILE
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from smart_auth.server import SmartServer

HOSPITAL, PRACTITIONER = "hospitalInformation.json", "practitionerInformation.json"


class Tokens:
    """In the place of an authorization server: counts the tokens it has given."""

    def __init__(self) -> None:
        self.given = 0

    def system_token(self, scope: str, now: object) -> str:
        self.given += 1
        return f"{scope}-{self.given}"


class Server:
    """Answers each Bundle once ``crowd`` of them have been sent, and notes how many it had at once."""

    def __init__(self, crowd: int) -> None:
        self.begun: list[str] = []
        self.most = 0
        self._open = 0
        self._crowd = asyncio.Barrier(crowd)

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        self._open += 1
        self.most = max(self.most, self._open)
        self.begun += [e["resource"]["id"] for e in json.loads(request.content)["entry"]]
        async with asyncio.timeout(5):
            await self._crowd.wait()
        self._open -= 1
        location = f"Organization/{self.begun[-1]}/_history/1"
        entries = [{"response": {"status": "201", "location": location}}]
        return httpx2.Response(200, json={"entry": entries})


def organization(id_: str) -> dict[str, object]:
    return {"resourceType": "Organization", "id": id_, "name": id_}


def files(folder: Path, names: list[str]) -> list[Path]:
    for name in names:
        (folder / name).write_text(json.dumps(organization(name.removesuffix(".json"))))
    return [folder / name for name in names]


async def posted(
    server: Server, found: list[Path], clients: int, done: Callable[[], object] = lambda: None
) -> Loading:
    answer = cast("Callable[[httpx2.Request], Awaitable[httpx2.Response]]", server.answer)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        loading = Loading(client, "http://localhost/fhir", cast("SmartServer", Tokens()))
        await loading.post(found, clients, done)
    return loading


async def test_several_files_are_posted_at_once_and_each_of_them_once(tmp_path: Path) -> None:
    server, ended = Server(crowd=3), []
    found = files(tmp_path, [f"{n}.json" for n in range(9)])
    loading = await posted(server, found, 3, lambda: ended.append(1))
    assert server.most == 3
    assert sorted(server.begun) == [str(n) for n in range(9)]
    assert loading.summary.stored == {"Organization": 9}
    assert len(ended) == 9


async def test_one_client_posts_one_file_after_another_in_their_order(tmp_path: Path) -> None:
    server = Server(crowd=1)
    await posted(server, files(tmp_path, ["c.json", "a.json", "b.json"]), 1)
    assert server.most == 1
    assert server.begun == ["c", "a", "b"]


async def test_more_clients_than_files_do_no_harm(tmp_path: Path) -> None:
    server = Server(crowd=1)
    loading = await posted(server, files(tmp_path, ["a.json"]), 8)
    assert server.begun == ["a"]
    assert loading.summary.refused == []


def test_hospitals_and_practitioners_come_first_whatever_their_folder(tmp_path: Path) -> None:
    below = tmp_path / "z"
    below.mkdir()
    files(tmp_path, ["b.json", PRACTITIONER, "a.json"])
    files(below, [HOSPITAL])
    (tmp_path / "notes.txt").write_text("nothing to load")
    names = [file.name for file in find_files([tmp_path])]
    assert names == [HOSPITAL, PRACTITIONER, "a.json", "b.json"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere does not exist"):
        list(find_files([tmp_path / "nowhere"]))


def test_a_file_of_resources_becomes_batches_that_keep_their_ids(tmp_path: Path) -> None:
    lines = [json.dumps(organization(str(n))) for n in range(201)]
    file = tmp_path / "all.ndjson.gz"
    file.write_bytes(gzip.compress("\n\n".join(lines).encode()))
    first, second = [json.loads(bundle) for bundle in bundles_of(file, pytest.fail)]
    assert [len(first["entry"]), len(second["entry"])] == [200, 1]
    assert second["type"] == "batch"
    assert second["entry"][0]["request"] == {"method": "PUT", "url": "Organization/200"}


GOOD = json.dumps(organization("good")).encode()
ZIPPED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b'{"resourceType":', "is not JSON"),
        ("a.json", b"", "is not JSON"),
        ("a.json", b"\xff\xfe{}", "is not JSON"),
        ("a.json", b"[]", "is not a FHIR resource"),
        ("a.json", b"5", "is not a FHIR resource"),
        ("a.json", b'{"resourceType":5}', "is not a FHIR resource"),
        ("a.json.gz", GOOD, "can not be read (BadGzipFile)"),
        ("a.json.gz", ZIPPED[:-12], "can not be read (EOFError)"),
        ("a.json.gz", gzip.compress(b"no", mtime=0), "is not JSON"),
        ("a.ndjson.gz", ZIPPED[:10] + b"\xff" * 20, "can not be read (error)"),
    ],
)
def test_a_file_that_can_not_be_read_is_refused_by_name_and_nothing_of_it_is_said(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    said: list[str] = []
    assert list(bundles_of(file, said.append)) == []
    assert said == [f"{name}: {words}"]


def test_a_line_that_can_not_be_read_is_refused_by_its_number_and_the_others_are_posted(
    tmp_path: Path,
) -> None:
    file = tmp_path / "all.ndjson"
    file.write_bytes(b"\n".join([GOOD, b"5", b"", b'{"resourceType":', GOOD]))
    said: list[str] = []
    (bundle,) = bundles_of(file, said.append)
    assert len(json.loads(bundle)["entry"]) == 2
    assert said == [
        "all.ndjson, line 2: is not a FHIR resource",
        "all.ndjson, line 4: is not JSON",
    ]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD)
    (bundle,) = bundles_of(file, pytest.fail)
    assert json.loads(bundle)["entry"][0]["resource"]["id"] == "good"


async def test_a_bad_file_stops_no_other(tmp_path: Path) -> None:
    made = files(tmp_path, ["a.json", "c.json"])
    bad = tmp_path / "b.json"
    bad.write_bytes(b"{")
    server = Server(crowd=1)
    loading = await posted(server, [made[0], bad, made[1]], clients=1)
    assert server.begun == ["a", "c"]
    assert loading.summary.refused == ["b.json: is not JSON"]


@pytest.mark.parametrize("arguments", [["--at-once", "0"], ["--at-once", "-1"]])
def test_nobody_can_post_less_than_one_file_at_once(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, ["a.json"])
    assert main(["load", str(tmp_path), *arguments]) == 2
    assert "--at-once has to be 1 or more" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_told_in_a_sentence(
    original: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    (original.data / RUNNING_FILE).write_text(json.dumps({"url": url}))
    monkeypatch.setenv("CONSENTRY_KEY", original.key)
    files(tmp_path, ["a.json", "b.json", "c.json"])
    assert main(["load", "--data", str(original.data), str(tmp_path)]) == 2
    assert "is 'consentry serve' running?" in capsys.readouterr().err
