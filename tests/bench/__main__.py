"""``make bench``: the figures of docs/performance.md, measured on a real server with everything on."""

import asyncio
import gzip
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from fhir_server.commands.serve import recall
from fhir_server.commands.token import system_token
from tests.bench.client import Connection, Rate, hammer

SYNTHEA = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthea-2021"
_SECONDS = 8.0


def main() -> int:
    """Measure and print a table in Markdown."""
    if not SYNTHEA.exists():
        sys.stdout.write("bench: the Synthea set is not here (../shared/data/synthea-2021)\n")
        return 1
    data = Path(tempfile.mkdtemp(prefix="consentry-bench-"))
    server = subprocess.Popen(
        [sys.executable, "-m", "fhir_server", "serve", "--port", "0", "--data", str(data)],
        stderr=(data / "log").open("w"),
    )
    try:
        port = _wait(data)
        rows = _run(data, port, server.pid)
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(data)
    cores = os.cpu_count()
    sys.stdout.write(
        f"\n{platform.machine()}, {cores} cores, Python {platform.python_version()}\n\n"
    )
    sys.stdout.write("| what | measured | goal |\n|---|---|---|\n")
    for what, measured, goal in rows:
        sys.stdout.write(f"| {what} | {measured} | {goal} |\n")
    return 0


def _wait(data: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        url = recall(data)
        if url:
            port = int(url.rpartition(":")[2])
            try:
                asyncio.run(_ping(port))
            except OSError:
                time.sleep(0.1)
            else:
                return port
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


async def _ping(port: int) -> None:
    connection = await Connection.open(port, "")
    await connection.send("GET", "/health")
    connection.close()


def _run(data: Path, port: int, pid: int) -> list[tuple[str, str, str]]:
    token = system_token(data, "system/*.cruds")
    batches = [SYNTHEA / "hospitalInformation.json.gz", SYNTHEA / "practitionerInformation.json.gz"]
    asyncio.run(_import(port, token, batches))
    patients = sorted((SYNTHEA / "patients").glob("*.json.gz"), key=lambda p: p.stat().st_size)
    rows = []
    largest = asyncio.run(_import(port, token, patients[-1:]))
    rows.append((f"transaction of {largest[0]:,} entries", f"{largest[1]:.1f} s", "under 10 s"))
    token = system_token(data, "system/*.cruds")
    count, seconds = asyncio.run(_import(port, token, patients[:-1]))
    rows.append(
        (f"import of {count:,} resources in transactions", f"{count / seconds:,.0f}/s", "550/s")
    )
    rows.append(("resident memory while loading, most", f"{_peak_mb(pid):.0f} MB", "under 400 MB"))
    token = system_token(data, "system/*.cruds")
    reads, searches = asyncio.run(_paths(port, token))
    read = asyncio.run(hammer(port, token, reads, clients=16, seconds=_SECONDS))
    rows.append(("read by id, 16 clients", _told(read), "1,500/s, p99 under 15 ms"))
    search = asyncio.run(hammer(port, token, searches, clients=16, seconds=_SECONDS))
    rows.append(("one patient's observations by code, 16 clients", _told(search), "600/s"))
    return rows


def _told(rate: Rate) -> str:
    return f"{rate.per_second:,.0f}/s, p50 {rate.p50_ms:.1f} ms, p99 {rate.p99_ms:.1f} ms"


async def _import(port: int, token: str, files: Sequence[Path]) -> tuple[int, float]:
    """Post Bundles one after another; unpacking is not counted."""
    connection = await Connection.open(port, token)
    count, seconds = 0, 0.0
    for file in files:
        body = gzip.decompress(file.read_bytes())
        started = time.perf_counter()
        answer = await connection.send("POST", "/fhir", body)
        seconds += time.perf_counter() - started
        entries = orjson.loads(answer.body)["entry"]
        assert all(e["response"]["status"][:1] == "2" for e in entries), "an entry was refused"
        count += len(entries)
    connection.close()
    return count, seconds


async def _paths(port: int, token: str) -> tuple[list[str], list[str]]:
    """Real ids to read, and searches of one patient's observations by a code that the patient has."""
    connection = await Connection.open(port, token)
    answer = await connection.send("GET", "/fhir/Patient?_count=1000")
    patients = [e["resource"]["id"] for e in orjson.loads(answer.body)["entry"]]
    found = []
    for patient in patients:  # of every patient some, so that no single large chart decides
        path = f"/fhir/Observation?patient=Patient/{patient}&_count=30"
        answer = await connection.send("GET", path)
        found += [e["resource"] for e in orjson.loads(answer.body).get("entry", ())]
    connection.close()
    reads = [f"/fhir/Observation/{r['id']}" for r in found]
    pairs = {(r["subject"]["reference"], r["code"]["coding"][0]["code"]) for r in found}
    searches = [
        f"/fhir/Observation?patient={p}&code=http://loinc.org%7C{c}" for p, c in sorted(pairs)
    ]
    return reads, searches


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
