"""How often a revoked Consent still permits: ``python -m tests.bench.consent_races [races]`` (10,000 unless told).

In each race a Consent is revoked while three readers, who may read by it alone, ask again and again over connections of
their own, which the two workers share.  An answer is stale if its request was sent after the revocation was answered and
still gives the record.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.backend import Backend
from tests.bench.client import Answer, Connection
from tests.bench.servers import Consentry
from tests.fhir_server.answers import Json
from tests.fhir_server.clinic import observation, patient, sharing

_READERS = 3
_SIGNED_IN = 1_000  # races with the same tokens, which are good for five minutes
_OBSERVATION = "/fhir/Observation/o"


def races(count: int) -> str:
    """Run so many races on a server with two workers; what came of them."""
    other = Backend("other-hospital", "Organization/other")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clients.json"
        file.write_text(json.dumps([other.registered()]))
        server = Consentry(clients_file=str(file), workers="2", policy="hipaa-tpo")
        started, answers, stale = time.perf_counter(), 0, 0
        try:
            for done in range(0, count, _SIGNED_IN):
                some = min(_SIGNED_IN, count - done)
                found, late = asyncio.run(_run(server.port, server.token(), other, some))
                answers, stale = answers + found, stale + late
        finally:
            server.stop()
    taken = time.perf_counter() - started
    return f"{stale} stale of {answers:,} answers after them, in {taken:.0f} s"


async def _run(port: int, own: str, other: Backend, count: int) -> tuple[int, int]:
    """Sign in, and run so many races; what ``_race`` gives, added up."""
    custodian = await Connection.open(port, own)
    token = await other.token(port)
    readers = [await Connection.open(port, token) for _ in range(_READERS)]
    await _put(custodian, patient("a"))
    await _put(custodian, observation("o", "a"))
    seen = [await _race(custodian, readers) for _ in range(count)]
    for connection in (custodian, *readers):
        connection.close()
    return sum(answers for answers, _ in seen), sum(late for _, late in seen)


async def _race(custodian: Connection, readers: Sequence[Connection]) -> tuple[int, int]:
    """One race; how many answers came after the revocation, and how many of them were stale."""
    await _put(custodian, sharing("a"))
    for reader in readers:
        assert (await reader.send("GET", _OBSERVATION)).status == 200
    ended = asyncio.Event()

    async def read(reader: Connection) -> tuple[int, int]:
        while True:
            after = ended.is_set()
            answer = await reader.send("GET", _OBSERVATION)
            if after:
                return 1, int(answer.status != 404)

    reading = [asyncio.create_task(read(reader)) for reader in readers]
    await _put(custodian, {**sharing("a"), "status": "inactive"})
    ended.set()
    seen = await asyncio.gather(*reading)
    return sum(n for n, _ in seen), sum(late for _, late in seen)


async def _put(connection: Connection, resource: Json) -> Answer:
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    answer = await connection.send("PUT", path, json.dumps(resource).encode())
    assert answer.status in (200, 201), answer
    return answer


if __name__ == "__main__":
    sys.stdout.write(races(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000) + "\n")
