"""The forms of a request on its way: each stage of the pipeline takes one and returns the next.

Received -> Asked -> InScope -> Located -> Consented -> Opened -> Released -> Recorded.  Each is constructed in one file
only (``tests/architecture`` checks it); ``rest/respond.py`` accepts nothing but a ``Recorded``.  So plaintext cannot leave
without a consent decision, nor an answer without an audit record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from consent_engine import AccessRequest, Decision, Verdict
from fhir_server.errors import Issue
from fhir_server.resource_text import ResourceText
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.documents import Document
from smart_auth.authorization.scopes import Scope
from smart_auth.tokens.bearer import Caller

Json = Mapping[str, object]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in.

    Attributes:
        target: Path below the FHIR base, without leading slash.
        headers: Names in lower case.
        at: When, milliseconds since 1970 UTC.
        now: The same instant.
        request_id: Ours, or the caller's ``X-Request-Id``.
        address: Network address of the caller.
        proved: Thumbprint of the key that the request which this one is an entry of has proved to hold (RFC 9449).
    """

    method: str
    target: str
    query: Pairs
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: int
    now: datetime
    request_id: str
    address: str
    proved: str = ""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks, as whom, and why.

    Attributes:
        caller: From the access token; None for what needs none (``/metadata``).
        purpose: The v3-ActReason code picked for this request; empty for none.
        reason: Why the glass is broken, in the caller's words; empty for none.
    """

    caller: Caller | None
    purpose: str = ""
    reason: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Tags:
    """The versions that an ``If-Match`` or ``If-None-Match`` names; ``any_`` for ``*``."""

    versions: frozenset[int] = frozenset()
    any_: bool = False

    def name(self, version: int | None) -> bool:
        """Whether ``version`` (None: there is no current one) is among them."""
        return version is not None and (self.any_ or version in self.versions)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold for a request to be performed (RFC 9110, 13).

    Attributes:
        if_modified_since: Seconds since 1970 UTC.
    """

    if_match: Tags | None = None
    if_none_match: Tags | None = None
    if_modified_since: int | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch as sent: its kind (``interactions/patching.py`` names them) and its text."""

    kind: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Interaction:
    """What is asked, typed.

    Attributes:
        code: R4 restful-interaction (``interactions/registered.py`` has those that there are).
        compartment: ``Patient/1`` of a search in a compartment, or of what an operation is performed on; or empty.
        version: Of vread.
        query: Search parameters, in their order.
        content: The resource sent; of an operation its Parameters, those that are plain values being in ``query``, too.
        patch: The patch sent.
        operation: Name of an operation, without ``$``.
        condition: Search of a conditional create, update, patch or delete; None if it is not conditional.
        preconditions: ``If-Match`` and its like.
        prefer: ``return`` and ``handling`` of ``Prefer``.
    """

    code: str
    type_: str = ""
    id_: str = ""
    version: int | None = None
    query: Pairs = ()
    compartment: str = ""
    operation: str = ""
    content: ResourceText | None = None
    patch: Patch | None = None
    condition: Pairs | None = None
    preconditions: Preconditions = Preconditions()
    prefer: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """An authenticated, parsed request."""

    received: Received
    requester: Requester
    interaction: Interaction


@dataclass(frozen=True, slots=True)
class InScope:
    """A request that the token's scopes cover.

    Attributes:
        covering: The scopes that cover it; each limits what it permits by level and parameters.
    """

    asked: Asked
    covering: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Located:
    """Sealed records that the request is about; nothing has been opened yet.

    Attributes:
        covering: Scopes under which these records may be seen (of their own type).
        action: Consent action: access, collect, correct.
        former: For an older version: the current one, which must be permitted as well.
    """

    in_scope: InScope
    versions: tuple[SealedVersion, ...]
    covering: tuple[Scope, ...]
    action: str = "access"
    former: tuple[SealedVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class Consented:
    """Located records with what consent says of each before it is opened; denied ones are gone.

    Attributes:
        verdicts: For each version one verdict per patient it belongs to; none for what is nobody's record.
    """

    located: Located
    versions: tuple[SealedVersion, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]


@dataclass(frozen=True, slots=True)
class Grade:
    """How well a record matches what was described (``$match``).

    Attributes:
        score: 0 to 100, in hundredths.
        code: R4 match-grade.
    """

    score: int
    code: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record opened for this request.

    Attributes:
        text: The stored resource, as bytes of JSON; empty for a tombstone.
        value: The same, read (numbers as ``float``: for decisions and search, never for answers).
        decisions: Why it was permitted, one for each patient.
        patients: References of the patients it belongs to.
        mode: ``match`` or ``include`` in a search.
        grade: How well it matches, where that was weighed.
        document: Of a Binary, what it holds, if that is too large for ``text``; still sealed.
        withheld: Names on the ways to elements that were taken out of ``text`` and ``value``; none where it is whole.
    """

    version: SealedVersion
    text: bytes = field(repr=False)
    value: Json = field(repr=False)
    decisions: tuple[Decision, ...]
    patients: tuple[str, ...]
    mode: str = "match"
    grade: Grade | None = None
    document: Document | None = None
    withheld: frozenset[tuple[str, ...]] = frozenset()

    @property
    def id_(self) -> str:
        """Logical id."""
        return str(self.value.get("id", ""))

    @property
    def reference(self) -> str:
        """``Type/id``."""
        return f"{self.version.type_}/{self.id_}"


@dataclass(frozen=True, slots=True)
class Opened:
    """What the interaction found or did, in plaintext: no function that answers accepts this.

    Attributes:
        status: HTTP status.
        records: What is disclosed or was written.
        shape: ``resource``, ``searchset``, ``history``, ``document``, ``lines`` (NDJSON) or ``empty``.
        total: ``Bundle.total`` after consent, if asked for or known.
        links: (relation, url) of a Bundle.
        issues: To be told beside the answer.
        counted: Patients whose records were counted in a total without being shown, if they are few.
        document: A ready body: a CapabilityStatement, a receipt, or the recorded answers of a Bundle's entries.
        headers: Of an answer with a ready body.
    """

    in_scope: InScope
    status: int
    records: tuple[Record, ...] = ()
    shape: str = "resource"
    total: int | None = None
    links: Pairs = ()
    issues: tuple[Issue, ...] = ()
    document: bytes = b""
    counted: tuple[str, ...] = ()
    headers: Pairs = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """A part of a large document that the caller may have: still sealed, opened chunk by chunk while it goes out.

    Attributes:
        row: Row key of its Binary.
        start: First byte.
        stop: The byte behind the last one.
    """

    in_scope: InScope
    row: bytes
    document: Document
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Released:
    """What the caller may have, composed.

    Attributes:
        body: Bytes of JSON; empty for none.
        headers: ETag, Last-Modified, Location ...
        disclosed: The records in it, for the audit.
        counted: Patients whose records are in its total only, for the audit.
        stream: What goes out instead of ``body``.
    """

    in_scope: InScope
    status: int
    body: bytes = field(repr=False)
    headers: Pairs
    disclosed: tuple[Record, ...]
    counted: tuple[str, ...] = ()
    stream: Stream | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer of which an AuditEvent is durable.

    Attributes:
        log_numbers: Numbers of its AuditEvents in the audit log.
        stream: What goes out instead of ``body``.
        code: The interaction that was asked for.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Pairs
    log_numbers: tuple[int, ...]
    stream: Stream | None = None
    code: str = ""


class Gate(Protocol):
    """The only way to plaintext: consent, then opening, then the scopes' own limits."""

    async def admit(self, located: Located) -> tuple[Record, ...]:
        """Open those of the located records that the requester may have; the others are as if they were not there."""
        ...

    async def admit_request(self, in_scope: InScope, version: SealedVersion) -> Record | None:
        """Open a request for access for who has made it, so that its state can be told; None for anybody else.

        Consent is not asked: it is the requester's own.  Nothing of it but the state may be disclosed.
        """
        ...

    async def require_write(
        self, in_scope: InScope, content: Json, patients: Sequence[str], action: str
    ) -> tuple[Decision, ...]:
        """Decide whether the requester may write ``content``, which belongs to ``patients``.

        Raises:
            NotFoundError: Consent does not permit it.
            ScopeError: The token's scopes do not reach it.
        """
        ...

    def written(
        self,
        version: SealedVersion,
        text: bytes,
        value: Json,
        patients: Sequence[str],
        decisions: tuple[Decision, ...],
    ) -> Record:
        """The record that this request has just written, as the writer may have it back."""
        ...

    async def question(
        self, action: str, actors: Sequence[str] | None = None, purpose: str | None = None
    ) -> AccessRequest:
        """The question that this request puts to consent; of ``actors`` or for ``purpose``, if another is asked about.

        Organizations among the actors come with those that they are part of.
        """
        ...

    async def verdict(self, patient: str, question: AccessRequest) -> Verdict:
        """What is said to a question about the records of one patient (``Patient/1``); nothing is opened for it."""
        ...
