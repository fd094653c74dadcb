"""The server on a MongoDB: that of ``MONGODB_URI``, or secantusdb, which then has one of the machine's cores to itself."""

import asyncio
import os
import tempfile
from pathlib import Path

from tests import mongo_server
from tests.bench.client import Call, Rate
from tests.bench.servers import Consentry
from tests.bench.workload import BATCHES, load, patients, rate

_PATIENTS = 16  # the smallest ones: some 3,500 resources


class OnMongo(Consentry):
    """This project, with all that it stores in MongoDB."""

    name = "Consentry on MongoDB"

    def __init__(self) -> None:
        self._own = None if mongo_server.GIVEN else mongo_server.Server()
        store = self._own.url.replace("/?", "/bench?") if self._own else _given()
        os.environ["CONSENTRY_STORE"] = store
        super().__init__()

    def stop(self) -> None:
        super().stop()
        if self._own is not None:
            self._own.stop()


def _given() -> str:
    """A database of its own on the server that was given."""
    with tempfile.TemporaryDirectory() as name:
        return mongo_server.url(Path(name))


def on_mongo() -> str:
    """Import, reads and creates, as a table in Markdown."""
    server = OnMongo()
    try:
        asyncio.run(load(server, server.token(), BATCHES))
        count, seconds = asyncio.run(load(server, server.token(), patients()[:_PATIENTS]))
        reads = [Call("/fhir/Patient?_count=1")]
        created = rate(server, [Call("/fhir/Observation", "POST", _OBSERVATION)])
        read = rate(server, reads)
    finally:
        server.stop()
    rows = [
        (f"import of {count:,} resources in transactions", f"{count / seconds:,.0f}/s", "300/s"),
        ("search for one Patient, 16 clients", _told(read), ""),
        ("create, 16 clients", _told(created), ""),
    ]
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join([f"| on MongoDB ({_which()}) | measured | goal |", "|---|---|---|", *lines])


def _which() -> str:
    return "MONGODB_URI" if mongo_server.GIVEN else "secantusdb, durable commits"


def _told(found: Rate) -> str:
    return f"{found.per_second:,.0f}/s, p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms"


_OBSERVATION = (
    b'{"resourceType":"Observation","status":"final",'
    b'"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},'
    b'"valueQuantity":{"value":72,"unit":"/min"}}'
)
