"""Writing the next version of a resource, whichever interaction asks for it: consent for what was and for what will be."""

from collections.abc import Mapping
from decimal import Decimal

from consent_engine import Decision
from fhir_server.errors import NotFoundError
from fhir_server.forms import InScope, Record
from fhir_server.interactions.attachments import document_of, require_documents, with_context
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.leaf import put_with_leaf
from fhir_server.interactions.lifecycle.kept import require_not_kept
from fhir_server.interactions.lifecycle.writers import require_own, subject_of
from fhir_server.interactions.read import MISSING, last_living
from fhir_server.interactions.referring import resolved
from fhir_server.interactions.reindex.stored import require_usable
from fhir_server.interactions.stages import located
from fhir_server.resource_text import ResourceText, stamp
from fhir_server.search.custom import SEARCH_PARAMETER
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.documents import Document, joined
from fhir_server.vault.vault import Draft
from profiles.strict_json import read

_CONSENT = "Consent"
_OWN = frozenset({"versionId", "lastUpdated"})


async def current_record(
    in_scope: InScope, desk: Desk, current: SealedVersion | None
) -> Record | None:
    """The current version, opened: whoever may not see all of it may not change it either.  None if there is none to see.

    Raises:
        NotFoundError: It is not permitted.
    """
    if current is None:
        return None
    former = await last_living(current, desk) if current.deleted else ()
    records = await desk.gate.admit(located(in_scope, (current,), action="correct", former=former))
    if not records or records[0].withheld:  # whoever may not see a part of it would write it away
        raise NotFoundError(MISSING)
    return None if current.deleted else records[0]


async def write_version(
    in_scope: InScope,
    desk: Desk,
    id_: str,
    content: ResourceText,
    current: SealedVersion | None,
    previous: Record | None = None,
) -> Record:
    """Write the version behind ``current``; ``previous`` is that one opened, unless it is missing or deleted.

    What equals ``previous`` makes no new version: the record given back is then that one.

    Raises:
        NotFoundError: Consent does not permit it.
        ScopeError: The token's scopes do not reach it.
        InvalidResourceError: It is an active SearchParameter that can not be searched by.
        ConflictError: It is what the server keeps about Consents.
        PreconditionFailedError: A conditional reference of it does not match one resource.
    """
    type_ = in_scope.asked.interaction.type_
    require_not_kept(previous.value if previous else None, content.value)
    content = desk.tools.labelling.labelled(await resolved(in_scope, desk, content))
    version = current.version + 1 if current else 1
    at = next_time(in_scope, current)
    stamped = stamp(content, id_, version, at)
    patients, decisions = await require_permitted(in_scope, desk, id_, stamped, current)
    document = document_of(in_scope, desk, stamped, previous)
    if previous is not None and _is_unchanged(stamped, document, previous):
        return previous
    if type_ == SEARCH_PARAMETER:
        await require_usable(stamped.value, id_, desk.reader, desk.tools.definitions)
    dropped = (
        desk.tools.tokenizer.tokens(type_, previous.value, previous.patients)
        if previous
        else frozenset[bytes]()
    )
    tokens = desk.tools.tokenizer.tokens(type_, stamped.value, patients)
    text = joined(stamped.text, document)
    draft = Draft(type_, id_, version, at, text, patients, tokens, current, dropped)
    sealed = await _put(desk, draft)
    if desk.document is not None:
        await desk.unit().attach(desk.document, sealed)
    return desk.gate.written(sealed, stamped.text.encode(), stamped.value, patients, decisions)


async def require_permitted(
    in_scope: InScope,
    desk: Desk,
    id_: str,
    content: ResourceText,
    current: SealedVersion | None,
) -> tuple[tuple[str, ...], tuple[Decision, ...]]:
    """Whose data ``content`` is, and why they let it be written.

    Raises:
        NotFoundError: Consent does not permit it.
        ScopeError: The token's scopes do not reach it, or it is a Consent of somebody for whom the requester does not speak.
        InvalidResourceError: It names a document of another patient.
    """
    type_ = in_scope.asked.interaction.type_
    own = desk.tools.patients(content.value, type_, id_)
    patients = await with_context(in_scope, desk, content.value, own)
    action = "collect" if current is None and not in_scope.asked.interaction.id_ else "correct"
    decisions = await desk.gate.require_write(in_scope, content.value, patients, action)
    if type_ == _CONSENT:
        requester, custodian = in_scope.asked.requester, desk.tools.custodian
        patient = subject_of(content.value, desk.tools.base)
        require_own(requester, custodian, patient, patients, decisions)
    await require_documents(in_scope, desk, content, patients)
    return patients, decisions


def _is_unchanged(content: ResourceText, document: Document | None, previous: Record) -> bool:
    """Whether a write says what is stored already."""
    held = previous.document.digest if previous.document else b""
    return (document.digest if document else b"") == held and is_same(content.value, previous.text)


async def _put(desk: Desk, draft: Draft) -> SealedVersion:
    """Write; an AuditEvent that a client sends gets a leaf in the audit log like our own."""
    if draft.type_ != "AuditEvent":
        return await desk.unit().put(draft)
    version, _ = await put_with_leaf(desk.unit(), draft, desk.tools.new_secret)
    return version


def next_time(in_scope: InScope, current: SealedVersion | None) -> int:
    """When a version is written; never before the one it follows, whatever the clock does."""
    at = in_scope.asked.received.at
    return max(at, current.at + 1) if current else at


def is_same(value: Mapping[str, object], text: bytes) -> bool:
    """Whether a resource says what a stored one says, but for version and time: 1.0 and 1.00 are not the same."""
    stored = read(text.decode())
    assert isinstance(stored, dict)
    if value.keys() != stored.keys():
        return False
    return all(
        _is_same(_without_own(value[k]), _without_own(stored[k]))
        if k == "meta"
        else _is_same(value[k], stored[k])
        for k in value
    )


def _without_own(meta: object) -> object:
    return {k: v for k, v in meta.items() if k not in _OWN} if isinstance(meta, dict) else meta


def _is_same(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(v, other[k]) for k, v in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one.as_tuple() == other.as_tuple()
    return one == other
