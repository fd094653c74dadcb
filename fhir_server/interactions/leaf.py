"""Writing an AuditEvent together with its leaf in the audit log: in one commit, or not at all."""

from collections.abc import Callable

from anchoring.commitment import commit
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Draft, Writer

_SECRET = 32


async def put_with_leaf(
    writer: Writer, draft: Draft, new_secret: Callable[[int], bytes]
) -> tuple[SealedVersion, int]:
    """Write the AuditEvent of ``draft``; return it and its number in the log."""
    k = new_secret(_SECRET)
    return await writer.put_audited(draft, k, commit(draft.text.encode(), k))
