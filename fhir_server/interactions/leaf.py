"""Writing an AuditEvent together with its leaf in the audit log: in one commit, or not at all."""

from collections.abc import Callable, Mapping

import orjson

from anchoring.log.commitment import commit
from fhir_server.search.tokens import Tokenizer
from fhir_server.store.database import EventIndex
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Draft, Leaf, Vault, Writer

_SECRET = 32
_CHUNK = 500


def event_draft(
    event: Mapping[str, object], at: int, patients: tuple[str, ...], tokenizer: Tokenizer
) -> Draft:
    """An AuditEvent of ours, about to be written ``at`` (ms since 1970 UTC) for the patients whom it concerns."""
    return Draft(
        type_="AuditEvent",
        id_=str(event["id"]),
        version=1,
        at=at,
        text=orjson.dumps(event).decode(),
        patients=patients,
        tokens=tokenizer.tokens("AuditEvent", event, patients),
    )


async def put_with_leaf(
    writer: Writer, draft: Draft, new_secret: Callable[[int], bytes]
) -> tuple[SealedVersion, int]:
    """Write the AuditEvent of ``draft``; return it and its number in the log."""
    return await writer.put_audited(draft, leaf_of(draft, new_secret))


def leaf_of(draft: Draft, new_secret: Callable[[int], bytes]) -> Leaf:
    """The leaf of an AuditEvent."""
    k = new_secret(_SECRET)
    return Leaf(k, commit(draft.text.encode(), k))


async def index_rest(vault: Vault, tokenizer: Tokenizer, events: EventIndex) -> None:
    """Index the AuditEvents whose tokens a process that died may not have brought into the index."""
    start = await events.adopt()
    while start is not None:
        async with vault.writing() as writer:
            found = await writer.index_events(start, start + _CHUNK, tokenizer.tokens)
        if found < _CHUNK:
            await events.adopted()
            return
        start += _CHUNK
