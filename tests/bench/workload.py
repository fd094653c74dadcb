"""What is asked of each server: the same data and the same requests."""

import asyncio
import gzip
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.bench.client import Answer, Call, Connection, Rate, hammer
from tests.bench.servers import Consentry, Server

SYNTHEA = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthea-2021"
BATCHES = [SYNTHEA / "hospitalInformation.json.gz", SYNTHEA / "practitionerInformation.json.gz"]
_LOADED = re.compile(r"([\d,]+) resources in ([\d.]+) s")
_SECONDS = 8.0
_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Figures:
    """What one server did.

    Attributes:
        largest: Entries and seconds of the largest transaction.
        loaded: Entries and seconds of all others, as ``consentry load`` loads them.
        by_one: The same of all others once more, posted by one client, at the end.
    """

    largest: tuple[int, float]
    loaded: tuple[int, float]
    peak_mb: float
    read: Rate
    search: Rate
    by_one: tuple[int, float]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A server that has everything, and what it can be asked.

    Attributes:
        found: Some Observations of each patient.
        sort: The chart of one patient, sorted by date, its first page.
        sorted_: How many Observations are in that chart.
    """

    server: Server
    found: Sequence[dict[str, object]]
    sort: Call
    sorted_: int

    @property
    def reads(self) -> list[Call]:
        """Each of them by its id."""
        return [Call(f"/fhir/Observation/{resource['id']}") for resource in self.found]


def patients() -> list[Path]:
    """The patients' transactions, the largest last."""
    return sorted((SYNTHEA / "patients").glob("*.json.gz"), key=lambda p: p.stat().st_size)


def measure(server: Consentry) -> Figures:
    """Load everything, then ask."""
    with server.watched():
        asyncio.run(load(server, server.token(), BATCHES))
        largest = asyncio.run(load(server, server.token(), patients()[-1:]))
        others = load_by_command(server, patients()[:-1])
    asked = loaded(server)
    read, search = rate(server, asked.reads), rate(server, searches(asked.found))
    by_one = asyncio.run(load(server, server.token(), patients()[:-1]))
    return Figures(largest, others, server.peak_mb, read, search, by_one)


def loaded(server: Server) -> Loaded:
    """What a server can be asked that has everything."""
    found = asyncio.run(_found(server, server.token()))
    chart, size = asyncio.run(_largest_chart(server, server.token(), found))
    page = Call(f"/fhir/Observation?patient={chart}&_sort=date&_count=50")
    return Loaded(server, found, page, size)


def rate(
    server: Server, calls: Sequence[Call], *, clients: int = _CLIENTS, seconds: float = _SECONDS
) -> Rate:
    """How fast a server answers."""
    return hammer([server.port], server.token(), calls, clients=clients, seconds=seconds)


def new_ones(found: Sequence[dict[str, object]]) -> list[Call]:
    """Observations like these, to be created."""
    return [Call("/fhir/Observation", "POST", _new(resource)) for resource in found[:200]]


def searches(found: Sequence[dict[str, object]]) -> list[Call]:
    """One patient's observations by a code that the patient has."""
    pairs = {(r["subject"]["reference"], r["code"]["coding"][0]["code"]) for r in found}  # type: ignore[index]
    return [
        Call(f"/fhir/Observation?patient={p}&code=http://loinc.org%7C{c}") for p, c in sorted(pairs)
    ]


async def load(server: Server, token: str, files: Sequence[Path]) -> tuple[int, float]:
    """Post Bundles one after another; unpacking is not counted."""
    count, seconds = 0, 0.0
    for file in files:
        body = gzip.decompress(file.read_bytes())
        connection = await Connection.open(server.port, token)
        started = asyncio.get_running_loop().time()
        answer = await connection.send("POST", "/fhir", body)
        seconds += asyncio.get_running_loop().time() - started
        connection.close()
        count += _stored(answer)
    return count, seconds


def load_by_command(server: Consentry, files: Sequence[Path]) -> tuple[int, float]:
    """Entries and seconds of files, as ``consentry load`` tells them: with unpacking, and without its start."""
    command = [sys.executable, "-m", "fhir_server", "load", "--data", str(server.data)]
    said = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=True)
    found = _LOADED.search(said.stdout)
    assert found, said.stdout
    return int(found[1].replace(",", "")), float(found[2])


def _stored(answer: Answer) -> int:
    entries = orjson.loads(answer.body)["entry"]
    assert all(e["response"]["status"][:1] == "2" for e in entries), "an entry was refused"
    return len(entries)


async def _found(server: Server, token: str) -> list[dict[str, object]]:
    """Of every patient some Observations, so that no single large chart decides."""
    connection = await Connection.open(server.port, token)
    answer = await connection.send("GET", "/fhir/Patient?_count=1000")
    ids = [e["resource"]["id"] for e in orjson.loads(answer.body)["entry"]]
    found: list[dict[str, object]] = []
    for patient in ids:
        answer = await connection.send(
            "GET", f"/fhir/Observation?patient=Patient/{patient}&_count=30"
        )
        found += [e["resource"] for e in orjson.loads(answer.body).get("entry", ())]
    connection.close()
    return found


async def _largest_chart(
    server: Server, token: str, found: Sequence[dict[str, object]]
) -> tuple[str, int]:
    """The patient with the most Observations, and how many."""
    connection = await Connection.open(server.port, token)
    sizes = []
    for patient in {r["subject"]["reference"] for r in found}:  # type: ignore[index]
        path = f"/fhir/Observation?patient={patient}&_summary=count&_total=accurate"
        sizes.append(
            (int(orjson.loads((await connection.send("GET", path)).body)["total"]), patient)
        )
    connection.close()
    size, patient = max(sizes)
    return patient, size


def _new(resource: dict[str, object]) -> bytes:
    return orjson.dumps({k: v for k, v in resource.items() if k not in ("id", "meta")})
