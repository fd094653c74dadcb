"""The seams of the jobs that touch what is stored without reading or writing a resource: rotation, resealing, erasure.

They are parts of a snapshot or unit of work (``protocol.py``), and so of one transaction with everything else in it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

ANCHOR_WANTED = (
    "anchor-wanted"  # a note: the audit number that is to be anchored soon (8 bytes, big-endian)
)
UNPROVED = "destroyed-unproved"  # a note: what was erased may be empty yet, as programs before ADR 67 left it
DESTROYED = b"\x00"  # begins what is left of a data key or a seal; these begin with their versions (crypto/)


def changed(consumer: str, type_: str) -> str:
    """What notes begin with, by row key, of records of a type that were written, for a consumer that drops them."""
    return f"changed|{consumer}|{type_}|"


class SealedVersion(NamedTuple):
    """One version of one resource, as the database holds it (a tuple: of these more are made than of anything else).

    Attributes:
        rid: Place in the order of creation; the same for all versions.
        row: 16-byte keyed hash of type and id.
        version: ``meta.versionId``; 1 for the first, then rising by 1.
        at: When this version was written, milliseconds since 1970 UTC.
        deleted: Whether this version is a tombstone.
        key_id: The data key that seals it; of a record of several patients, a name only (see ``wraps``).
        patients: The 16-byte tokens of the patients it belongs to, sorted and joined; empty for none.
        wraps: For a record of several patients, its own key wrapped for each of them; else empty.
        sealed: Ciphertext; the store never sees the plaintext.  Of what was erased ``DESTROYED`` and the proof of that
            (``vault/reader.py``); empty before ADR 67.
    """

    rid: int
    row: bytes
    type_: str
    version: int
    at: int
    deleted: bool
    key_id: bytes
    patients: bytes
    wraps: bytes
    sealed: bytes

    @property
    def buried(self) -> bool:
        """Whether there is nothing to open."""
        return self.sealed[:1] in (b"", DESTROYED)


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as stored.

    Attributes:
        wrapped: Of a destroyed key ``DESTROYED`` and the proof of that (``vault/keyring.py``); empty before ADR 67.
        made: When, milliseconds since 1970 UTC; 0 where that was not noted yet.
    """

    id: bytes
    owner: bytes
    wrapped: bytes
    made: int = 0

    @property
    def living(self) -> bool:
        """Whether there is something to unwrap."""
        return self.wrapped[:1] not in (b"", DESTROYED)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which versions to look at, of the records ``low < rid <= high``: one of four kinds.

    Attributes:
        keys: Sealed by one of these data keys.
        shared: Those of several patients instead.
        deleted: All versions of records that are deleted now instead, if sealed by one of ``keys``.
        everything: All of them instead.
    """

    low: int
    high: int
    keys: tuple[bytes, ...] = ()
    shared: bool = False
    deleted: bool = False
    everything: bool = False


class KeyTable(Protocol):
    """The data keys.  What changes here is for a unit of work only."""

    async def of(self, owner: bytes) -> Sequence[WrappedKey]:
        """All keys of an owner, destroyed ones too, oldest first."""
        ...

    async def after(self, id_: bytes, limit: int) -> Sequence[WrappedKey]:
        """The next keys in the order of their ids."""
        ...

    async def replace(self, key: WrappedKey) -> None:
        """Keep ``wrapped`` for a key that is there."""
        ...

    async def advance(self) -> None:
        """Count the epoch on."""
        ...


class Notes(Protocol):
    """Small things, by name, in one transaction with all else: what jobs keep, and the register of Consents."""

    async def find(self, name: str) -> bytes | None:
        """The one of this name."""
        ...

    async def find_all(self, names: Collection[str]) -> Mapping[str, bytes]:
        """Those of these names that there are, by name."""
        ...

    async def load(self, prefix: str) -> Mapping[str, bytes]:
        """Those whose name begins so, by the rest of their name."""
        ...

    async def save(self, name: str, content: bytes) -> None:
        """Insert or replace."""
        ...

    async def drop(self, name: str) -> None:
        """Forget; nothing happens where there is none."""
        ...


class Shelf(Protocol):
    """Records where they lie.  What changes here is for a unit of work only; versions and times stay."""

    async def last(self) -> int:
        """The ``rid`` of the newest record; 0 for none."""
        ...

    async def walk(self, stretch: Stretch) -> Sequence[SealedVersion]:
        """Versions by (rid, version)."""
        ...

    async def replace(self, version: SealedVersion, opening: bytes = b"") -> None:
        """Put another seal (with key, patients, wraps) on a version that is there; ``opening`` that of its audit row."""
        ...

    async def bury(self, proofs: Mapping[int, bytes]) -> None:
        """Leave tombstones that no id leads to, by record what each has in place of its seals.

        They have no patients and no opening; type, times, key id and leaf stay.

        Their large documents are staged again, untouched since 1970: the next sweep forgets them (``ChunkItems``).
        """
        ...

    async def unindex(self, type_: str, postings: Mapping[bytes, Sequence[int]]) -> None:
        """Take records of a type out of the index, by token."""
        ...
