"""The sealed store by itself, in process: what sealing, index and audit cost, durable writes, point reads, the index's size.

Each way of importing runs in a process of its own, on the same Bundles; what is left out is replaced by nothing at all.
"""

import asyncio
import gzip
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fhir_server.app import House, clock, close_house, open_house
from fhir_server.crypto.seal import DataKey
from fhir_server.forms import Received
from fhir_server.pipeline import record
from fhir_server.search.tokens import Tokenizer
from fhir_server.settings import read_settings
from fhir_server.store.opening import DATABASE_FILE
from fhir_server.vault.vault import Draft
from tests.bench.observations import draft, new_folder, observation
from tests.bench.workload import BATCHES, patients

_FILES = 8  # patients' transactions
_ROUNDS = 5  # of the ways of importing, in turn
_CLIENTS = 64
_SECONDS = 5.0
_REFERRED = (
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Location",
)  # by identifier: they need the index
_WAYS = {
    "all": "everything on",
    "open": "a sealer that does nothing",
    "bare": "nor index, nor audit",
}


@dataclass(frozen=True, slots=True)
class Import:
    """One import.

    Attributes:
        count: Resources.
        size: Bytes of their JSON.
        index: Bytes of the index of records, of AuditEvents, and of the whole file.
    """

    count: int
    size: int
    seconds: float
    index: tuple[int, int, int]


def store() -> str:
    """A table."""
    rounds = [{way: _measured(way) for way in _WAYS} for _ in range(_ROUNDS)]
    ways = {way: _middle([each[way] for each in rounds]) for way in _WAYS}
    whole, opened, bare = (ways[way] for way in _WAYS)
    reads, writes = asyncio.run(_rates())
    of_records, of_events, _ = whole.index
    rows = [
        *(
            (f"import of {w.count:,} resources, {_WAYS[way]}", f"{w.count / w.seconds:,.0f}/s", "")
            for way, w in ways.items()
        ),
        ("sealing alone, of import time", _share(whole, opened), ""),
        ("sealing, index and audit, of import time", _share(whole, bare), "at most 35 %"),
        (f"durable writes of small resources, {_CLIENTS} clients", f"{writes:,.0f}/s", "2,000/s"),
        ("point reads, one after another", f"{reads:,.0f}/s", "20,000/s"),
        ("index of records, of the resources' bytes", f"{of_records / whole.size:.2f}", "1.5"),
        ("index of AuditEvents, of the resources' bytes", f"{of_events / whole.size:.2f}", ""),
    ]
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join(["| what | measured | goal |", "|---|---|---|", *lines])


def _share(whole: Import, less: Import) -> str:
    return f"{1 - less.seconds / whole.seconds:.0%}"


def _middle(runs: list[Import]) -> Import:
    """The one that is neither quick nor slow: the machine's speed changes while all of them run."""
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def _measured(way: str) -> Import:
    command = [sys.executable, "-m", "tests.bench.store", way]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, size, seconds, index = json.loads(said.splitlines()[-1])
    return Import(count, size, seconds, tuple(index))


async def _import(way: str) -> Import:
    with new_folder() as data, _without(way):
        house = await open_house(read_settings(data=data))
        token = house.smart.system_token("system/*.cruds", clock())
        count = size = 0
        seconds = 0.0
        for file in [*BATCHES, *patients()[:_FILES]]:
            body = gzip.decompress(file.read_bytes())
            bundle = orjson.loads(body)
            started = time.perf_counter()
            answer = await house.pipeline.answer(_post(body, token))
            seconds += time.perf_counter() - started
            assert answer.status == 200, answer.body[:500]
            count += len(bundle["entry"])
            size += sum(len(orjson.dumps(entry["resource"])) for entry in bundle["entry"])
        await close_house(house)
        return Import(count, size, seconds, _sizes(data / DATABASE_FILE))


def _post(body: bytes, token: str) -> Received:
    now = clock()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/fhir+json"}
    return Received(
        "POST", "", (), headers, body, int(now.timestamp() * 1000), now, "bench", "127.0.0.1"
    )


@contextmanager
def _without(way: str) -> Iterator[None]:
    """Replace what is left out by nothing."""
    if way in ("open", "bare"):
        DataKey.seal = lambda _, content, __: b"\x01" + content  # type: ignore[method-assign, assignment, misc]
        DataKey.open = lambda _, sealed, __: sealed[1:]  # type: ignore[method-assign, assignment, misc]
    if way == "bare":
        made = Tokenizer.tokens
        Tokenizer.tokens = lambda self, type_, *rest: (  # type: ignore[method-assign]
            made(self, type_, *rest) if type_ in _REFERRED else frozenset()
        )
        record._drafts = _no_drafts
    yield


async def _no_drafts(*_: object) -> list[Draft]:
    return []


def _sizes(path: Path) -> tuple[int, int, int]:
    """What the file loses with each index, once it is packed."""
    whole = _packed(path)
    without = [_packed(path, table) for table in ("token", "event_token")]
    return whole - without[0], whole - without[1], whole


def _packed(path: Path, without: str = "") -> int:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    if without:
        connection.execute(f"DROP TABLE {without}")
    connection.execute("VACUUM")
    connection.close()
    return copy.stat().st_size


async def _rates() -> tuple[float, float]:
    """Point reads and durable writes a second."""
    with new_folder() as data:
        house = await open_house(read_settings(data=data))
        made = [observation(number, random.Random(number)) for number in range(2000)]
        async with house.vault.writing() as writer:
            for resource in made:
                await writer.put(draft(house, resource))
        reads = await _reads(house, made)
        writes = await _writes(house)
        await close_house(house)
        return reads, writes


async def _reads(house: House, made: list[dict[str, Any]]) -> float:
    count, end = 0, time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        async with house.vault.reading() as reader:
            version = await reader.find("Observation", made[count % len(made)]["id"])
            assert version is not None
            await reader.open(version)
        count += 1
    return count / _SECONDS


async def _writes(house: House) -> float:
    end = time.perf_counter() + _SECONDS
    count = 0

    async def client(number: int) -> None:
        nonlocal count
        chance = random.Random(number)
        at = 0
        while time.perf_counter() < end:
            made = draft(house, observation(10_000_000 + number * 1_000_000 + at, chance))
            async with house.vault.writing() as writer:
                await writer.put(made)
            at += 1
            count += 1

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))
    return count / _SECONDS


if __name__ == "__main__":
    made = asyncio.run(_import(sys.argv[1]))
    sys.stdout.write(json.dumps((made.count, made.size, made.seconds, made.index)) + "\n")
