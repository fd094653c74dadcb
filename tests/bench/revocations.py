"""How often a revoked Consent still permits: ``python -m tests.bench.revocations [races]`` (10,000 unless told).

In each race a Consent is revoked while three readers, who may read by it alone, ask again and again.  An answer is stale if
its request came in after the revocation was answered and still gives the record.  In process; all but the HTTP is real.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.fhir_server.clinic import OTHER, Clinic, observation, open_clinic, patient, sharing

_READERS = 3


async def race(clinic: Clinic) -> tuple[int, int]:
    """One race; how many answers came after the revocation, and how many of them were stale."""
    await clinic.put(sharing("a"))
    assert (await clinic.get(OTHER, "Observation/o")).status == 200
    ended = asyncio.Event()

    async def revoke() -> None:
        await clinic.put({**sharing("a"), "status": "inactive"})
        ended.set()

    async def read() -> tuple[int, int]:
        while True:
            after = ended.is_set()
            answer = await clinic.get(OTHER, "Observation/o")
            if after:
                return 1, int(answer.status != 404)

    reading = [asyncio.create_task(read()) for _ in range(_READERS)]
    await revoke()
    seen = await asyncio.gather(*reading)
    return sum(n for n, _ in seen), sum(stale for _, stale in seen)


async def main(races: int) -> None:
    """Run the races and print what came of them."""
    with tempfile.TemporaryDirectory() as folder:
        clinic = await open_clinic(Path(folder))
        await clinic.put(patient("a"))
        await clinic.put(observation("o", "a"))
        started, answers, stale = time.perf_counter(), 0, 0
        for _ in range(races):
            found, late = await race(clinic)
            answers, stale = answers + found, stale + late
        await clinic.close()
    taken = time.perf_counter() - started
    print(f"{races} revocations in {taken:.0f} s: {answers} answers after them, {stale} stale")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
