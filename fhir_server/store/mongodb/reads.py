"""Where the parts of a snapshot or unit of work in MongoDB look and write."""

from typing import Protocol

from fhir_server.store.mongodb.documents import PART, part_ids, version_of
from fhir_server.store.mongodb.mongo import Document, Query
from fhir_server.store.mongodb.pending import Pending
from fhir_server.store.mongodb.turn import NUMBERS, Counters, counters_of
from fhir_server.store.shelf import SealedVersion


class Reads(Protocol):
    """One transaction, whose reads are all of one instant."""

    async def find(self, query: Query) -> list[Document]:
        """What matches, in the order asked for."""
        ...


class Writes(Reads, Protocol):
    """One transaction that writes, too."""

    @property
    def pending(self) -> Pending:
        """What the units of this transaction have written."""
        ...

    async def look(self, query: Query) -> list[Document]:
        """What matches of what is committed or was sent before."""
        ...

    async def send(self) -> None:
        """Let the reads see all that was written."""
        ...


async def opened(found: Document, reads: Reads) -> SealedVersion:
    """The version with all of its parts, asked for one after another: a second one has to find room beside them."""
    if not found["parts"]:
        return version_of(found)
    sealed = b""
    for id_ in part_ids(found):
        part = await reads.find(Query(PART, {"_id": id_}, limit=1))
        sealed += part[0]["part"] if part else b""  # with a part missing it does not open
    return version_of(found, sealed)


async def numbers(reads: Reads) -> Counters:
    """How far the numbers have come in a snapshot."""
    found = await reads.find(Query(NUMBERS[0], NUMBERS[1], limit=1))
    return counters_of(found[0]) if found else Counters()
