"""The seam of ``consentry check``: what is stored, as it is stored, so that what does not fit together is seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fhir_server.store.shelf import SealedVersion


@dataclass(frozen=True, slots=True)
class Kept:
    """A record with all of its versions, oldest first.

    Attributes:
        version: What the record says is its current version; so are ``at`` and ``deleted``.
    """

    rid: int
    row: bytes
    type_: str
    version: int
    at: int
    deleted: bool
    versions: tuple[SealedVersion, ...]


class Inspection(Protocol):
    """One snapshot, looked at as a whole."""

    async def records(self, low: int, high: int) -> Sequence[Kept]:
        """The records ``low < rid <= high``."""
        ...

    async def missing(self, type_: str, tokens: Mapping[int, Sequence[bytes]]) -> Mapping[int, int]:
        """How many of their tokens records of a type lack in the index; none is not told."""
        ...

    async def counts(self) -> Sequence[int]:
        """How many tokens each record has in the index, by ``rid`` up to that of the newest; of none that is there, at 0."""
        ...

    async def orphans(self) -> int:
        """How many chunks are of no document."""
        ...

    async def events(self) -> tuple[int, int]:
        """How many events the audit log has, and how many of them the index has for certain."""
        ...
