"""What is asked of each server: the same data and the same requests."""

import asyncio
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.bench.client import Answer, Call, Connection, Rate, hammer
from tests.bench.servers import Consentry, Server

SYNTHEA = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthea-2021"
BATCHES = [SYNTHEA / "hospitalInformation.json.gz", SYNTHEA / "practitionerInformation.json.gz"]
_SECONDS = 8.0
_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Figures:
    """What one server did.

    Attributes:
        largest: Entries and seconds of the largest transaction.
        loaded: Entries and seconds of all others.
        by_two: The same of all others once more, posted by two clients at once, at the end.
    """

    largest: tuple[int, float]
    loaded: tuple[int, float]
    peak_mb: float
    read: Rate
    search: Rate
    by_two: tuple[int, float]


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
    asyncio.run(load(server, server.token(), BATCHES))
    largest = asyncio.run(load(server, server.token(), patients()[-1:]))
    others = asyncio.run(load(server, server.token(), patients()[:-1]))
    peak, asked = server.peak_mb(), loaded(server)
    read, search = rate(server, asked.reads), rate(server, searches(asked.found))
    by_two = asyncio.run(load_at_once(server, server.token(), patients()[:-1], 2))
    return Figures(largest, others, peak, read, search, by_two)


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


async def load_at_once(
    server: Server, token: str, files: Sequence[Path], clients: int
) -> tuple[int, float]:
    """The same from several clients, each of which takes the next Bundle."""
    bodies = iter([gzip.decompress(file.read_bytes()) for file in files])

    async def one() -> int:
        connection = await Connection.open(server.port, token)
        count = 0
        for body in bodies:
            count += _stored(await connection.send("POST", "/fhir", body))
        connection.close()
        return count

    started = asyncio.get_running_loop().time()
    counts = await asyncio.gather(*(one() for _ in range(clients)))
    return sum(counts), asyncio.get_running_loop().time() - started


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
