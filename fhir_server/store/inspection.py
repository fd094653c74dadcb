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
    """One snapshot, looked at as it is stored."""

    async def records(self, low: int, high: int) -> Sequence[Kept]:
        """The records ``low < rid <= high``."""
        ...

    async def missing(self, type_: str, tokens: Mapping[int, Sequence[bytes]]) -> Mapping[int, int]:
        """How many of their tokens records of a type lack in the index; none is not told."""
        ...

    async def counts(self, low: int, high: int) -> Mapping[int, int]:
        """How many tokens the records ``low < rid <= high`` have in the index."""
        ...

    async def strays(self) -> tuple[int, int]:
        """How many tokens are of no record, and how many chunks of no document."""
        ...

    async def indexed(self) -> int:
        """How many events of the audit log the index has for certain."""
        ...
