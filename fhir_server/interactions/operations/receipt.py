"""``GET AuditEvent/[id]/$receipt``: the proof that one AuditEvent is in the anchored log, to keep and show to anyone.

Whoever may read the AuditEvent may have its receipt; it opens nothing but that event.
"""

from anchoring.errors import CommitmentError, NotYetAnchoredError
from fhir_server.errors import ConflictError, NotFoundError, TamperedRecordError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.read import MISSING, read
from fhir_server.interactions.stages import document


async def receipt(in_scope: InScope, desk: Desk) -> Opened:
    """The receipt of an AuditEvent (``anchoring/receipts/receipt.py`` has its format).

    Raises:
        NotFoundError: Missing, not permitted, or not in the log.
        ConflictError: No anchor covers it yet: ask again later.
    """
    record = (await read(in_scope, desk)).records[0]
    row = await desk.reader.audit_row(record.version.rid)
    if row is None:
        raise NotFoundError(MISSING)
    k = await desk.reader.open_commitment(record.version, row)
    try:
        content = await desk.tools.prove(row.n, record.text, k)
    except CommitmentError as error:
        raise TamperedRecordError("an AuditEvent is not what the log committed to") from error
    except NotYetAnchoredError as error:
        raise ConflictError(
            "the log has not been anchored since this event: ask again later"
        ) from error
    return document(in_scope, content, (record,))
