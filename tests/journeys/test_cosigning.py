"""Two hospitals cosign one another's logs; a forked log is refused, with evidence; a restart forgets nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from anchoring import verify
from anchoring.log import checkpoint as note
from anchoring.log.checkpoint import Checkpoint, LogKey, LogSeeds
from anchoring.receipts.receipt import parse
from anchoring.witnessing.witness import write_submission
from fhir_server.app import clock, close_house, open_house, open_tokens
from fhir_server.commands import witness
from fhir_server.commands.story.server import ServerProcess
from fhir_server.settings import Settings

from .test_two_servers import port

_PATIENCE = 30.0  # seconds


@dataclass
class Hospital:
    """One of the two, with what the other one is told of it."""

    server: ServerProcess
    seeds: LogSeeds
    witness_keys: tuple[LogKey, ...]
    url: str

    def say_something(self) -> None:
        """An event for its log."""
        httpx2.get(f"{self.server.fhir}/Patient/none", headers=self.headers())

    def headers(self) -> dict[str, str]:
        """Of the hospital's own system."""
        data = self.server.data
        settings = Settings(data=data, tenant=data.name, base_url=self.server.url)

        async def token() -> str:
            async with open_tokens(settings) as smart:
                return smart.system_token("system/*.rs", clock())

        return {"Authorization": f"Bearer {asyncio.run(token())}"}

    def newest(self) -> str:
        return httpx2.get(f"{self.url}/log/checkpoint").text

    def cosigned(self, keys: tuple[LogKey, ...], *, beyond: int = 0) -> Checkpoint:
        """The newest checkpoint, once it has more events than these, by the log and the other hospital."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer = httpx2.get(f"{self.url}/log/checkpoint")
            if answer.status_code == 200 and note.parse(answer.text)[0].size > beyond:
                return note.verify(answer.text, [*self.seeds.public_keys(), *keys])
            time.sleep(0.2)
        pytest.fail("no new checkpoint came")


def _made(folder: Path, name: str) -> Hospital:
    settings = Settings(data=folder / name, tenant=name)

    async def known() -> tuple[LogSeeds, tuple[LogKey, ...]]:
        house = await open_house(settings)
        try:
            known_of = house.transparency
            return known_of.announcer._seeds, known_of.witness.keys
        finally:
            await close_house(house)

    seeds, keys = asyncio.run(known())
    at = port()
    told = {
        "tenant": name,
        "workers": "2",
        "anchor_interval": "1",
        "witnesses": str(folder / f"{name}-witnesses.json"),
        "witness_logs": str(folder / f"{name}-logs.json"),
    }
    server = ServerProcess(folder / name, folder / f"{name}.log", told, at)
    return Hospital(server, seeds, keys, f"http://localhost:{at}")


def _acquaint(folder: Path, one: Hospital, other: Hospital) -> None:
    name = one.server.data.name
    witness = {"url": f"{other.url}/log", "vkeys": [key.vkey for key in other.witness_keys]}
    quorum = {"quorum": 1, "without": "wait", "witnesses": [witness]}
    (folder / f"{name}-witnesses.json").write_text(json.dumps(quorum))
    keys = [key.vkey for key in other.seeds.public_keys()]
    (folder / f"{name}-logs.json").write_text(json.dumps({other.seeds.origin: keys}))


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hospital, Hospital]]:
    folder = tmp_path_factory.mktemp("hospitals")
    north, south = _made(folder, "north"), _made(folder, "south")
    _acquaint(folder, north, south)
    _acquaint(folder, south, north)
    try:
        north.server.start()
        south.server.start()
        yield north, south
    finally:
        north.server.stop()
        south.server.stop()


def test_each_has_its_log_cosigned_by_the_other_and_receipts_prove_it(
    hospitals: tuple[Hospital, Hospital], tmp_path: Path
) -> None:
    north, south = hospitals
    for hospital, other in ((north, south), (south, north)):
        hospital.say_something()
        size = hospital.cosigned(other.witness_keys).size
        hospital.say_something()
        assert hospital.cosigned(other.witness_keys, beyond=size).size > size
    file = tmp_path / "receipt.json"
    file.write_bytes(_receipt(north))
    receipt = parse(file.read_bytes())
    assert receipt.signatories.quorum == 1
    pinned = [f"--witness-key={key.vkey}" for key in south.witness_keys]
    assert verify.main([str(file), *pinned]) == 0
    strangers = [f"--witness-key={key.vkey}" for key in north.witness_keys]
    assert verify.main([str(file), *strangers]) == 1


def _receipt(hospital: Hospital) -> bytes:
    headers = hospital.headers()
    found = httpx2.get(f"{hospital.server.fhir}/AuditEvent?_count=1&_sort=_lastUpdated", headers=headers)  # fmt: skip
    event = found.json()["entry"][0]["resource"]["id"]
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        answer = httpx2.get(f"{hospital.server.fhir}/AuditEvent/{event}/$receipt", headers=headers)
        if answer.status_code == 200:
            return answer.content
        time.sleep(0.2)
    pytest.fail("no receipt came")


def test_a_forked_log_is_refused_with_both_notes_as_evidence_after_a_restart(
    hospitals: tuple[Hospital, Hospital], capsys: pytest.CaptureFixture[str]
) -> None:
    """The thief has the keys of north's log, and shows south another history."""
    north, south = hospitals
    north.say_something()
    last = north.cosigned(south.witness_keys)
    north.server.stop()  # what comes next is not north's doing
    south.server.stop()
    south.server.start()
    forged = Checkpoint(north.seeds.origin, last.size + 1, b"\x66" * 32)
    signed = note.sign(forged, north.seeds, datetime.now(UTC))
    answers = {
        old: httpx2.post(f"{south.url}/log/add-checkpoint", content=write_submission(old, [bytes(32)], signed))
        for old in (0, last.size)
    }  # fmt: skip
    assert (answers[0].status_code, answers[0].text) == (409, f"{last.size}\n")
    assert answers[last.size].status_code == 422
    same = note.sign(Checkpoint(north.seeds.origin, last.size, b"\x66" * 32), north.seeds, datetime.now(UTC))  # fmt: skip
    body = write_submission(last.size, [], same)
    assert httpx2.post(f"{south.url}/log/add-checkpoint", content=body).status_code == 409
    known = asyncio.run(witness._known(_settings(south)))[1]
    assert (known[0].size, known[0].conflicts) == (last.size, 2)
    for conflict, size in zip(known[0].first, (last.size + 1, last.size), strict=True):
        assert note.verify(conflict.kept, north.seeds.public_keys()) == last
        assert note.verify(conflict.refused, north.seeds.public_keys()).size == size
    assert "two histories" in south.server.log.read_text()


def _settings(hospital: Hospital) -> Settings:
    data = hospital.server.data
    logs = data.parent / f"{data.name}-logs.json"
    return Settings(data=data, tenant=data.name, witness_logs=str(logs))
