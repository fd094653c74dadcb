"""The value sets that a search names (``:in``, ``:not-in``, R4 search, 3.1.1.4.4), found among the caller's own records.

A ValueSet that is stored here is opened like any record: under the caller's scopes and through the gate.  One that the
caller may not read is as unknown as one that does not exist.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhir_server.errors import InvalidParameterError
from fhir_server.forms import InScope, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.stages import located
from fhir_server.search.criteria import Criterion
from fhir_server.search.filter import unknown_sets
from fhir_server.search.values import ResourceValues
from fhir_server.store.protocol import SealedVersion, Selection
from profiles.terminology import Concepts, r4_terminology

_TYPE = "ValueSet"
_MOST = 10  # value sets that one search may name
_LIMIT = 100  # stored ones of one url


async def with_value_sets(
    criteria: Iterable[Criterion], values: ResourceValues, in_scope: InScope, desk: Desk
) -> tuple[Criterion, ...]:
    """The criteria, each with the members of the stored value sets that it names.

    Raises:
        InvalidParameterError: One of them is not known to this caller, or only a terminology server could list it.
    """
    completed = []
    for criterion in criteria:
        urls = set(unknown_sets(criterion, values))
        if len(urls) > _MOST:
            raise InvalidParameterError("a search may name ten value sets at most")
        sets = {url: await _members(url, criterion, in_scope, desk) for url in sorted(urls)}
        completed.append(replace(criterion, sets=sets) if sets else criterion)
    return tuple(completed)


async def _members(url: str, criterion: Criterion, in_scope: InScope, desk: Desk) -> Concepts:
    for record in await _find(url, in_scope, desk):
        known = r4_terminology().enumerate(record.value)
        if known is not None:
            return known
    raise InvalidParameterError(
        f"search parameter '{criterion.parameter.code}': this value set is not known here, or can not be enumerated"
    )


async def _find(url: str, in_scope: InScope, desk: Desk) -> Sequence[Record]:
    """The permitted records of a value set: by its relative or absolute url, or by its canonical, newest first."""
    caller = in_scope.asked.requester.caller
    covering = caller.scopes.covers(_TYPE, "r") if caller else ()
    if not covering:
        return ()
    relative = url.removeprefix(f"{desk.tools.base}/")
    type_, _, id_ = relative.partition("/")
    if type_ == _TYPE and id_:
        version = await desk.reader.find(_TYPE, id_)
        return await _admit((version,) if version else (), in_scope, desk)
    canonical, _, business = url.partition("|")
    token = desk.reader.blind.token(_TYPE, "url", "uri", canonical)
    versions = await desk.reader.select(Selection(_TYPE, all_of=((token,),), limit=_LIMIT))
    found = await _admit(versions, in_scope, desk)
    same = [r for r in found if r.value.get("url") == canonical]
    if business:
        same = [r for r in same if r.value.get("version") == business]
    return sorted(same, key=lambda record: record.version.at, reverse=True)


async def _admit(
    versions: Sequence[SealedVersion], in_scope: InScope, desk: Desk
) -> Sequence[Record]:
    caller = in_scope.asked.requester.caller
    living = [version for version in versions if not version.deleted]
    if caller is None or not living:
        return ()
    covering = caller.scopes.covers(_TYPE, "r")
    return await desk.gate.admit(located(in_scope, living, covering=covering))
