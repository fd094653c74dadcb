"""A reindex job: how far the index has been brought up to one custom search parameter, as it is kept.

Kept form, under the row key of the SearchParameter: JSON of ``version`` (1), ``definition`` (keyed hash of what the
parameter says, hexadecimal), ``state``, ``type`` and ``rid`` (the last record that was looked at), ``last`` (the newest one
when it began), ``done`` and ``total`` (records).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.custom import SEARCH_PARAMETER
from fhir_server.vault.noted import as_written
from profiles.definitions import SearchParameter

QUEUED = "queued"
IN_PROGRESS = "in-progress"
COMPLETE = "complete"
FAILED = "failed"
_VERSION = 1


class Journal(Protocol):
    """Where jobs are kept, so that a killed server goes on where it was."""

    async def load(self) -> Mapping[str, bytes]:
        """All jobs, by name."""
        ...

    async def save(self, name: str, content: bytes) -> None:
        """Keep a job; it is durable when this returns."""
        ...

    async def drop(self, name: str) -> None:
        """Forget a job."""
        ...

    async def extent(self, type_: str) -> tuple[int, int]:
        """How many current records a type has, and the ``rid`` of the newest (0 for none)."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        definition: Keyed hash of what the parameter says: if it says something else, the job begins anew.
        type_: The type that is being looked at; those before it in the alphabet are done.
        rid: The last record of that type that is done.
        last: The newest record when it began: those behind it got their tokens when they were written.
        done: Records looked at.
        total: Records there were when it began.
    """

    definition: str
    state: str = QUEUED
    type_: str = ""
    rid: int = 0
    last: int = 0
    done: int = 0
    total: int = 0


def definition_of(parameter: SearchParameter, blind: BlindIndex) -> str:
    """The keyed hash of what decides a parameter's tokens."""
    said = (parameter.code, parameter.type, sorted(parameter.base), parameter.expression)
    return blind.row(SEARCH_PARAMETER, f"definition|{orjson.dumps(said).decode()}").hex()


def pack_job(job: Job) -> bytes:
    """A job as it is kept."""
    return orjson.dumps(
        {
            "version": _VERSION,
            "definition": job.definition,
            "state": job.state,
            "type": job.type_,
            "rid": job.rid,
            "last": job.last,
            "done": job.done,
            "total": job.total,
        }
    )


def unpack_job(content: bytes) -> Job | None:
    """The job that was kept; None for one of another version, which begins anew."""
    with as_written("the note of a reindexing"):
        kept = orjson.loads(content)
        if kept.get("version") != _VERSION:
            return None
        return Job(
            definition=kept["definition"],
            state=kept["state"],
            type_=kept["type"],
            rid=kept["rid"],
            last=kept["last"],
            done=kept["done"],
            total=kept["total"],
        )
