"""The two forms that interactions make: what they located, and what came of it."""

from collections.abc import Sequence

from fhir_server.errors import Issue
from fhir_server.forms import InScope, Located, Opened, Pairs, Record
from fhir_server.store.protocol import SealedVersion
from smart_auth.authorization.scopes import Scope


def located(
    in_scope: InScope,
    versions: Sequence[SealedVersion],
    *,
    covering: tuple[Scope, ...] | None = None,
    action: str = "access",
    former: Sequence[SealedVersion] = (),
) -> Located:
    """Sealed records that the request is about, under the scopes of the request or those given."""
    return Located(
        in_scope,
        tuple(versions),
        in_scope.covering if covering is None else covering,
        action,
        tuple(former),
    )


def one(
    in_scope: InScope, record: Record, *, status: int = 200, issues: Sequence[Issue] = ()
) -> Opened:
    """One resource; ``issues`` are told where the caller prefers an OperationOutcome."""
    return Opened(in_scope, status, (record,), issues=tuple(issues))


def nothing(in_scope: InScope, status: int, *, records: Sequence[Record] = ()) -> Opened:
    """An answer without a body; ``records`` are those it is about."""
    return Opened(in_scope, status, tuple(records), shape="empty")


def page(
    in_scope: InScope,
    shape: str,
    records: Sequence[Record],
    *,
    total: int | None,
    links: Pairs,
    issues: Sequence[Issue] = (),
    counted: Sequence[str] = (),
) -> Opened:
    """A Bundle of records: ``searchset`` or ``history``."""
    return Opened(
        in_scope, 200, tuple(records), shape, total, links, tuple(issues), counted=tuple(counted)
    )


def document(
    in_scope: InScope, content: bytes, records: Sequence[Record] = (), headers: Pairs = ()
) -> Opened:
    """A ready body, and the records that it tells of."""
    return Opened(
        in_scope, 200, tuple(records), shape="document", document=content, headers=headers
    )


def answered(in_scope: InScope, status: int, headers: Pairs, content: bytes = b"") -> Opened:
    """An answer that is told by headers, and perhaps a ready body that names no record."""
    return Opened(in_scope, status, shape="document", document=content, headers=headers)


def lines(in_scope: InScope, records: Sequence[Record]) -> Opened:
    """Resources as NDJSON."""
    return Opened(in_scope, 200, tuple(records), shape="lines")
