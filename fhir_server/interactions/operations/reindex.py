"""``$reindex-status`` and ``SearchParameter/[id]/$reindex``: the jobs that bring older records into an index.

How many records there are is for systems of the custodian only (``pipeline/administration.py``): consent hides some of them
from everybody else.
"""

from collections.abc import Iterable

import orjson

from fhir_server.errors import NotFoundError, ScopeError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.read import read
from fhir_server.interactions.reindex.parameters import InUse
from fhir_server.interactions.stages import document
from fhir_server.search.custom import SEARCH_PARAMETER

_NOT_IN_USE = "this SearchParameter is not in use: it is not active, or R4's own"


async def reindex_status(in_scope: InScope, desk: Desk) -> Opened:
    """The state of one job, or of all jobs.

    Raises:
        NotFoundError: The SearchParameter is missing, or not in use.
        ScopeError: All are asked for, and the token does not cover reading SearchParameters.
    """
    if in_scope.asked.interaction.id_:
        record, found = await _one(in_scope, desk)
        return document(in_scope, _status((found,)), (record,))
    caller = in_scope.asked.requester.caller
    if caller is None or not caller.scopes.covers(SEARCH_PARAMETER, "r"):
        raise ScopeError(f"this needs a scope to read {SEARCH_PARAMETER}")
    return document(in_scope, _status(desk.tools.parameters.in_use.values()))


async def reindex(in_scope: InScope, desk: Desk) -> Opened:
    """Begin the job of a SearchParameter anew; answer with its state.

    Raises:
        NotFoundError: The SearchParameter is missing, or not in use.
    """
    record, _ = await _one(in_scope, desk)
    await desk.tools.parameters.restart(record.version.row.hex())
    return document(in_scope, _status(((await _one(in_scope, desk))[1],)), (record,))


async def _one(in_scope: InScope, desk: Desk) -> tuple[Record, InUse]:
    record = (await read(in_scope, desk)).records[0]
    found = desk.tools.parameters.in_use.get(record.version.row.hex())
    if found is None:
        raise NotFoundError(_NOT_IN_USE)
    return record, found


def _status(found: Iterable[InUse]) -> bytes:
    """Parameters with one ``parameter`` for each SearchParameter."""
    told = [{"name": "parameter", "part": _parts(each)} for each in found]
    return orjson.dumps({"resourceType": "Parameters", **({"parameter": told} if told else {})})


def _parts(each: InUse) -> list[dict[str, object]]:
    job = each.job
    return [
        {"name": "searchParameter", "valueReference": {"reference": each.reference}},
        {"name": "url", "valueUri": each.parameter.url},
        {"name": "code", "valueCode": each.parameter.code},
        {"name": "state", "valueCode": job.state},
        {"name": "done", "valueUnsignedInt": job.done},
        {"name": "total", "valueUnsignedInt": job.total},
    ]
