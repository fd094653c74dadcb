"""A large document on its way in (R4 binary.html, 3.4.3): decided before its body is read, and again when it is written."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime

from fhir_server.errors import BadRequestError, StoreFullError
from fhir_server.forms import InScope
from fhir_server.interactions.attachments import kept_context
from fhir_server.interactions.conditional import require_preconditions
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.versions import current_record, next_time, require_permitted
from fhir_server.interactions.write import sent, target
from fhir_server.resource_text import stamp
from fhir_server.vault.documents import Document, Documents

_STAGED = 10 * 60 * 1000  # milliseconds: whoever sends nothing for a minute is cut off before
_PAUSE = 5 * 60.0  # seconds


async def require_upload(in_scope: InScope, desk: Desk) -> str:
    """Decide, before a large document is received, what is decided once more when it is written; give the Binary's id.

    Raises:
        FhirError: It would not be written (``create`` and ``update`` say why).
        BadRequestError: It is conditional on a search.
    """
    interaction = in_scope.asked.interaction
    if interaction.condition is not None:
        raise BadRequestError("a large document can not be sent on a condition: send it to its url")
    content = sent(interaction)
    desk.tools.require_valid(content)
    creates = interaction.code == "create"
    id_ = desk.tools.new_id() if creates else await target(in_scope, desk)
    current = None if creates else await desk.reader.find(interaction.type_, id_)
    previous = await current_record(in_scope, desk, current)
    require_preconditions(interaction, current)
    content = kept_context(in_scope, content, previous)
    version = current.version + 1 if current else 1
    stamped = stamp(content, id_, version, next_time(in_scope, current))
    await require_permitted(in_scope, desk, id_, stamped, current)
    return id_


async def keep_swept(documents: Documents, clock: Callable[[], datetime]) -> None:
    """Forget what was received and never written (its server was killed), now and then, until cancelled."""
    while True:
        with suppress(StoreFullError):
            await documents.sweep(int(clock().timestamp() * 1000) - _STAGED)
        await asyncio.sleep(_PAUSE)


async def receive(
    documents: Documents, row: bytes, at: int, parts: AsyncIterator[tuple[bytes, int]]
) -> Document:
    """Stage what comes in, each part with its time (ms since 1970 UTC); what does not come whole is forgotten."""
    incoming = documents.begin(row, at)
    try:
        async for part, at in parts:
            await incoming.add(part, at)
        return await incoming.end()
    except BaseException:
        await incoming.drop()
        raise
