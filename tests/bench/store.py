"""The sealed store by itself, in process: what sealing, index and audit cost, durable writes, point reads, the index's size.

Each way of importing has a house of its own; each Bundle goes to one after the other, because the machine's speed changes.
What is left out is replaced by nothing at all.
"""

import asyncio
import gzip
import random
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_server.app import House, clock, close_house
from fhir_server.crypto.seal import DataKey
from fhir_server.evidence import preload_evidence
from fhir_server.forms import Received
from fhir_server.pipeline import record
from fhir_server.pipeline.audit_event import Happening
from fhir_server.search.tokens import Tokenizer
from fhir_server.settings import read_settings
from fhir_server.store.opening import DATABASE_FILE
from tests.bench.observations import draft, new_folder, observation
from tests.bench.worker import opened, run
from tests.bench.workload import BATCHES, patients

_FILES = 8  # patients' transactions
_ROUNDS = 9  # of all ways of importing, behind one that warms up
_CLIENTS = 64
_SECONDS = 5.0
_MOST = 500  # writes of one client
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
_TOKENS = Tokenizer.tokens


@dataclass(slots=True)
class Import:
    """What one way has imported.

    Attributes:
        count: Resources.
        size: Bytes of their JSON.
        index: Bytes of the index of records, of AuditEvents, and of the whole file.
    """

    count: int = 0
    size: int = 0
    seconds: float = 0
    index: tuple[int, int, int] = (0, 0, 0)

    def add(self, body: bytes, seconds: float) -> None:
        """One more Bundle."""
        entries = orjson.loads(body)["entry"]
        self.count += len(entries)
        self.size += sum(len(orjson.dumps(entry["resource"])) for entry in entries)
        self.seconds += seconds


def store() -> str:
    """A table."""
    preload_evidence(read_settings())
    _, *rounds = [run(_imports()) for _ in range(1 + _ROUNDS)]
    rounds.sort(key=lambda ways: _less(ways, "bare"))
    ways = rounds[_ROUNDS // 2]
    whole = ways["all"]
    reads, writes = run(_rates())
    of_records, of_events, _ = whole.index
    shares = [f"{_less(each, 'bare'):.0%}" for each in rounds]
    rows = [
        *(
            (f"import of {w.count:,} resources, {_WAYS[way]}", f"{w.count / w.seconds:,.0f}/s", "")
            for way, w in ways.items()
        ),
        ("sealing alone, of import time", f"{_less(ways, 'open'):.0%}", ""),
        ("sealing, index and audit, of import time", ", ".join(shares), "at most 35 %"),
        (f"durable writes of small resources, {_CLIENTS} clients", f"{writes:,.0f}/s", "2,000/s"),
        ("point reads, one after another", f"{reads:,.0f}/s", "20,000/s"),
        ("index of records, of the resources' bytes", f"{of_records / whole.size:.2f}", "1.5"),
        ("index of AuditEvents, of the resources' bytes", f"{of_events / whole.size:.2f}", ""),
    ]
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join(["| what | measured | goal |", "|---|---|---|", *lines])


def _less(ways: Mapping[str, Import], way: str) -> float:
    """The share of the time that is saved by leaving something out."""
    return 1 - ways[way].seconds / ways["all"].seconds


async def _imports() -> Mapping[str, Import]:
    """The same files into a house of each way; each file goes to one after the other."""
    found = {way: Import() for way in _WAYS}
    async with AsyncExitStack() as opened:
        houses = {way: await opened.enter_async_context(_house(way, found[way])) for way in _WAYS}
        files = [*BATCHES, *patients()[:_FILES]]
        for at, file in enumerate(files):
            body = gzip.decompress(file.read_bytes())
            for way in sorted(_WAYS, reverse=bool(at % 2)):
                found[way].add(body, await _post(houses[way], way, body))
    return found


@asynccontextmanager
async def _house(way: str, found: Import) -> AsyncIterator[House]:
    with new_folder() as data:
        with _without(way):
            house = await opened(data)
        yield house
        with _without(way):
            await close_house(house)
        found.index = _sizes(data / DATABASE_FILE)  # all of the log is in the file now


async def _post(house: House, way: str, body: bytes) -> float:
    """Seconds that a Bundle took."""
    token = house.smart.system_token("system/*.cruds", clock())
    with _without(way):
        started = time.perf_counter()
        answer = await house.pipeline.answer(_received(body, token))
        seconds = time.perf_counter() - started
    assert answer.status == 200, answer.body[:500]
    return seconds


def _received(body: bytes, token: str) -> Received:
    now = clock()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/fhir+json"}
    return Received(
        "POST", "", (), headers, body, int(now.timestamp() * 1000), now, "bench", "127.0.0.1"
    )


@contextmanager
def _without(way: str) -> Iterator[None]:
    """Replace what is left out by nothing."""
    with pytest.MonkeyPatch.context() as patch:
        if way in ("open", "bare"):
            patch.setattr(DataKey, "seal", lambda _, content, __: b"\x01" + content)
            patch.setattr(DataKey, "open", lambda _, sealed, __: sealed[1:])
        if way == "bare":
            patch.setattr(Tokenizer, "tokens", _few_tokens)
            patch.setattr(record, "_happenings", _nothing)
        yield


def _few_tokens(
    tokenizer: Tokenizer, type_: str, resource: Mapping[str, object], patients: Sequence[str]
) -> frozenset[bytes]:
    return _TOKENS(tokenizer, type_, resource, patients) if type_ in _REFERRED else frozenset()


async def _nothing(*_: object) -> list[Happening]:
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
        house = await opened(data)
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
    of_each = [_new_ones(number) for number in range(_CLIENTS)]
    began = time.perf_counter()
    count = 0

    async def client(resources: Iterator[dict[str, Any]]) -> None:
        nonlocal count
        for resource in resources:
            if time.perf_counter() > began + _SECONDS:
                return
            made = draft(house, resource)
            async with house.vault.writing() as writer:
                await writer.put(made)
            count += 1

    await asyncio.gather(*(client(iter(resources)) for resources in of_each))
    return count / (time.perf_counter() - began)


def _new_ones(client: int) -> list[dict[str, Any]]:
    """More than one client writes in the time."""
    chance, first = random.Random(client), 10_000_000 + client * 1_000_000
    return [observation(first + at, chance) for at in range(_MOST)]
