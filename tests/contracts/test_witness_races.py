"""A witness in several processes on one store: of two histories at once, one is cosigned, in whatever order they come."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anchoring.errors import WitnessRefusal
from anchoring.witnessing.witness import Witness
from fhir_server.store.noted import NotedRecords

from ..anchoring.witnessing.test_witness import FORK, LOG, SEEDS, TREE, sent
from .stores import ADAPTERS, DATABASES

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
PROCESS = """
import asyncio, sys
from pathlib import Path
from tests.contracts.test_witness_races import process
asyncio.run(process(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


async def process(folder: Path, adapter: str, number: int) -> None:
    """One process: even ones send the log's own history, odd ones the fork; tells what was cosigned."""
    database = await DATABASES[adapter](folder)
    witness = Witness(SEEDS, {LOG.origin: LOG.public_keys()}, NotedRecords(database.store))
    tree, size = (FORK, 0) if number % 2 else (TREE, 0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for _ in range(40):
        try:
            await witness.add_checkpoint(sent(size, size + 1, tree), NOW)
        except WitnessRefusal as refusal:
            size = max(size, getattr(refusal, "size", 0))
            sys.stdout.write(f"{refusal.status} {size}\n")
        else:
            size += 1
            sys.stdout.write(f"200 {size}\n")
    await database.close()


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_processes_that_race_cosign_one_history_whose_sizes_only_grow(
    folder: Path, adapter: str
) -> None:
    database = await DATABASES[adapter](folder)  # made before the others open it
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", PROCESS, str(folder), adapter, str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )
        for number in range(3)
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout is not None
            assert await asyncio.to_thread(child.stdout.readline) == "ready\n"
        told = await asyncio.gather(
            *(asyncio.to_thread(child.communicate, "go\n", 60) for child in children)
        )
    finally:
        for child in children:
            child.kill()
            child.wait()
    lines = [[line.split(" ") for line in out.splitlines()] for out, _ in told]
    cosigned = [[int(size) for status, size in each if status == "200"] for each in lines]
    assert all(each == sorted(set(each)) for each in cosigned)
    assert bool(cosigned[1]) != bool(cosigned[0] or cosigned[2])  # the log's own or the fork
    every = sorted(size for each in cosigned for size in each)
    assert set(every) == set(range(1, max(every) + 1))
    witness = Witness(SEEDS, {LOG.origin: LOG.public_keys()}, NotedRecords(database.store))
    (known,) = await witness.witnessed()
    assert known.size == max(every)
    assert known.conflicts > 0
    await database.close()
