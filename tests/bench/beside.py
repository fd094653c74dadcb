"""What a large transaction costs those who read meanwhile."""

import asyncio
import gzip
import time
from collections.abc import Sequence

from tests.bench.client import Connection
from tests.bench.servers import Consentry
from tests.bench.workload import BATCHES, load, loaded, patients

_READERS = 4
_PAUSE = 0.01  # seconds between two reads of one reader


def beside() -> str:
    """A line."""
    server = Consentry()
    try:
        token = server.token()
        asyncio.run(load(server, token, [*BATCHES, *patients()[:2]]))
        paths = [call.path for call in loaded(server).reads]
        body = gzip.decompress(patients()[-1].read_bytes())
        seconds, times = asyncio.run(_measured(server.port, token, paths, body))
    finally:
        server.stop()
    middle, most = times[len(times) // 2] * 1000, times[-1] * 1000
    return (
        f"while the largest transaction was written ({seconds:.1f} s), {_READERS} readers had {len(times):,} answers: "
        f"p50 {middle:.1f} ms, the slowest {most:,.0f} ms"
    )


async def _measured(
    port: int, token: str, paths: Sequence[str], body: bytes
) -> tuple[float, list[float]]:
    """Seconds of the transaction, and of each read that was asked while it ran."""
    times: list[float] = []
    ended = asyncio.Event()

    async def reader(number: int) -> None:
        connection = await Connection.open(port, token)
        while not ended.is_set():
            began = time.perf_counter()
            answer = await connection.send("GET", paths[number % len(paths)])
            assert answer.status == 200, answer
            times.append(time.perf_counter() - began)
            number += _READERS
            await asyncio.sleep(_PAUSE)
        connection.close()

    readers = [asyncio.create_task(reader(number)) for number in range(_READERS)]
    writer = await Connection.open(port, token)
    began = time.perf_counter()
    answer = await writer.send("POST", "/fhir", body)
    seconds = time.perf_counter() - began
    assert answer.status == 200, answer
    ended.set()
    await asyncio.gather(*readers)
    return seconds, sorted(times)
