"""What is about to be written: a version of a record, and the leaf of an AuditEvent."""

from dataclasses import dataclass

from fhir_server.store.protocol import SealedVersion


@dataclass(frozen=True, slots=True)
class Draft:
    """A version about to be written.

    Attributes:
        text: The stamped resource, or empty for a tombstone.
        at: Milliseconds since 1970 UTC.
        patients: References of the patients it belongs to (``Patient/1``), sorted.
        tokens: Its search tokens, unpadded.
        previous: The version that it follows, or None for a new resource.
        dropped: Tokens of the previous version.
    """

    type_: str
    id_: str
    version: int
    at: int
    text: str
    patients: tuple[str, ...]
    tokens: frozenset[bytes]
    previous: SealedVersion | None = None
    dropped: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the audit log keeps of an AuditEvent: the commitment in clear, the number ``k`` that opens it sealed."""

    k: bytes
    commitment: bytes
