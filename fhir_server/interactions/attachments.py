"""Whose a document is: ``Binary.securityContext`` (R4 binary.html, 3.4.2) and ``Attachment.url``.

A Binary belongs to the patients that it names, and to those of the resource that is its security context.  A resource that
names by url a Binary of another patient is refused, so that one consent decides of both and both are erased together.  What
the caller may not see is as if it were not there, in both: it gives a Binary no patient, and a url to it leads nowhere.
"""

from collections.abc import Sequence

from fhir_server.errors import InvalidResourceError
from fhir_server.forms import InScope, Json, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.stages import located
from fhir_server.media import JSON_TYPES, XML_TYPES, media_type
from fhir_server.ownership import context_of, documents_of
from fhir_server.resource_text import ResourceText, with_member
from fhir_server.vault.documents import Document

_BINARY = "Binary"
_KEEPING = frozenset({"patch", "operation"})  # interactions that change a part of a resource


async def with_context(
    in_scope: InScope, desk: Desk, value: Json, patients: Sequence[str]
) -> tuple[str, ...]:
    """``patients``, and of a Binary those of its security context."""
    type_, id_ = context_of(value, desk.tools.base)
    if value.get("resourceType") != _BINARY or type_ in ("", "Patient"):
        return tuple(patients)
    record = await _seen(in_scope, desk, type_, id_)
    return tuple(sorted({*patients, *(record.patients if record else ())}))


async def require_documents(
    in_scope: InScope, desk: Desk, content: ResourceText, patients: Sequence[str]
) -> None:
    """Refuse a resource that names a Binary here which is not its patients' own.

    Raises:
        InvalidResourceError: A Binary that the caller may see is another patient's, or nobody's.
    """
    if f"{_BINARY}/" not in content.text:
        return
    for id_ in documents_of(content.value, desk.tools.base):
        record = await _seen(in_scope, desk, _BINARY, id_)
        if record is not None and not set(patients) <= set(record.patients):
            raise InvalidResourceError(
                "a url names a Binary that is not of the same patient: "
                "send it with securityContext or X-Security-Context first",
                "Attachment.url",
            )


def kept_context(in_scope: InScope, content: ResourceText, previous: Record | None) -> ResourceText:
    """A Binary sent as what it holds, and without X-Security-Context, stays whose it was."""
    received = in_scope.asked.received
    kind = media_type(received.headers.get("content-type", ""))
    if previous is None or content.type_ != _BINARY or kind in JSON_TYPES | XML_TYPES:
        return content
    context = previous.value.get("securityContext")
    if context is None or "securityContext" in content.value:
        return content
    return with_member(content, "securityContext", context)


def document_of(
    in_scope: InScope, desk: Desk, content: ResourceText, previous: Record | None
) -> Document | None:
    """What the version that is written holds: what was received; or, where only a part is changed, what was there."""
    if desk.document is not None or previous is None or "data" in content.value:
        return desk.document
    return previous.document if in_scope.asked.interaction.code in _KEEPING else None


async def _seen(in_scope: InScope, desk: Desk, type_: str, id_: str) -> Record | None:
    """A resource that the caller may see by consent, and work with by some scope."""
    caller = in_scope.asked.requester.caller
    letters = (caller.scopes.covers(type_, letter) for letter in "rcu") if caller else ()
    covering = next((found for found in letters if found), ())
    version = await desk.reader.find(type_, id_)
    if version is None or version.deleted or not covering:
        return None
    records = await desk.gate.admit(located(in_scope, (version,), covering=covering))
    return records[0] if records else None
