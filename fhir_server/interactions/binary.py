"""A Binary as a resource, or as what it holds (R4 binary.html, 3.4.3).

A large document stands beside its Binary.  Where the resource is wanted it comes as ``data``, up to a size; what is in a
Bundle comes without.
"""

import base64
from dataclasses import replace

from fhir_server.errors import NotAcceptableError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions import read as reading
from fhir_server.interactions.desk import Desk
from fhir_server.media import form_of

_BINARY = "Binary"


async def read(in_scope: InScope, desk: Desk) -> Opened:
    """read, as in ``read.py``; of a Binary with what it holds.

    Raises:
        NotAcceptableError: The document is too large to stand in a resource.
    """
    return await _with_data(await reading.read(in_scope, desk), desk)


async def vread(in_scope: InScope, desk: Desk) -> Opened:
    """vread, as in ``read.py``; of a Binary with what it holds.

    Raises:
        NotAcceptableError: The document is too large to stand in a resource.
    """
    return await _with_data(await reading.vread(in_scope, desk), desk)


async def _with_data(opened: Opened, desk: Desk) -> Opened:
    if opened.in_scope.asked.interaction.type_ != _BINARY or opened.shape != "resource":
        return opened
    received = opened.in_scope.asked.received
    if form_of(received.headers, received.query).is_content:
        return opened
    return replace(opened, records=(await _whole(opened.records[0], desk),))


async def _whole(record: Record, desk: Desk) -> Record:
    document = record.document
    if document is None:
        return record
    if document.size > desk.tools.most_inline:
        raise NotAcceptableError(
            "this Binary is too large to be sent as a FHIR resource: accept its own media type"
        )
    parts = desk.tools.documents.read(document, record.version.row, 0, document.size)
    data = base64.b64encode(b"".join([part async for part in parts])).decode()
    text = b'%b,"data":"%b"}' % (record.text[:-1], data.encode()) if data else record.text
    return replace(record, text=text, value={**record.value, "data": data}, document=None)
