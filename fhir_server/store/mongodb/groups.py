"""Search tokens that AuditEvents share: they lie in groups, not in each event's own document.

Every answer has an AuditEvent, and most of its tokens are those of its neighbours: the same caller, patient, hour.  So the
tokens that the same events of one commit have, and no others of it, lie in one document of ``event_group``, whose ``_id``
is 16 random bytes; and each of these events has that ``_id`` among its own ``tokens``, in place of all of them.  A search
asks first which groups have a token, and then for the events that have the token itself or one of these groups.

AuditEvents are never changed, so a group is not, either; it is deleted with its last event.  Events that were written
before there were groups have all of their tokens themselves, and are found as well.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from fhir_server.store.mongodb.documents import RECORD, selected
from fhir_server.store.mongodb.mongo import ASCENDING, Document, IndexModel, Query
from fhir_server.store.mongodb.overlay import place
from fhir_server.store.protocol import Selection

EVENT = "AuditEvent"
GROUP = "event_group"
GROUP_INDEXES = {GROUP: (IndexModel([("tokens", ASCENDING)]),)}
_NAME = 16  # bytes of a group's name; a token has 12
_WORTH = 8  # entries of an index that one more document costs
_IN_QUESTION = 100_000  # alternatives: 3 MB of the 16 that a question may have
Find = Callable[[Query], Awaitable[list[Document]]]


def grouped(events: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """The documents of the new events of one commit with what they share taken out of them, and the groups of that."""
    own: list[list[bytes]] = [[] for _ in events]
    groups: list[Document] = []
    for members, tokens in _together(events):
        if (len(tokens) - 1) * (len(members) - 1) > _WORTH:
            groups.append({"_id": secrets.token_bytes(_NAME), "tokens": tokens})
            tokens = [groups[-1]["_id"]]
        for at in members:
            own[at] += tokens
    return [{**event, "tokens": own[at]} for at, event in enumerate(events)], groups


async def chosen(selection: Selection, find: Find) -> list[Document]:
    """The records of a selection, in its order."""
    if selection.type_ != EVENT or not selection.all_of:
        return await find(selected(selection))
    widened = [await _with_groups(alternatives, find) for alternatives in selection.all_of]
    questions = list(product(*map(_in_parts, widened)))
    found: dict[bytes, Document] = {}
    for all_of in questions:
        for each in await find(selected(replace(selection, all_of=all_of))):
            found[each["_id"]] = each
    if len(questions) == 1:
        return list(found.values())
    order = sorted(
        found.values(), key=lambda each: place(each, selection), reverse=selection.descending
    )
    return order[: selection.limit]


async def spelled_out(records: Sequence[Document], find: Find) -> list[frozenset[bytes]]:
    """The tokens of each record, those of its groups too."""
    groups = await _groups(groups_of(records), find)
    return [
        frozenset(token for name in record["tokens"] for token in groups.get(name, [name]))
        for record in records
    ]


async def without(
    tokens: Mapping[int, Collection[bytes]], find: Find
) -> tuple[dict[int, list[bytes]], set[bytes]]:
    """What events have left without some of their tokens, by record; and the groups that they left for it."""
    records = await find(Query(RECORD, {"rid": {"$in": list(tokens)}, "type": EVENT}))
    groups = await _groups(groups_of(records), find)
    left, names = {}, set()
    for record in records:
        gone = frozenset(tokens[record["rid"]])
        broken = {n for n in record["tokens"] if not gone.isdisjoint(groups.get(n, ()))}
        kept = {
            t for name in record["tokens"] for t in (groups[name] if name in broken else [name])
        }
        left[record["rid"]] = sorted(kept - gone)
        names |= broken
    return left, names


async def empty(names: Iterable[bytes], find: Find) -> list[bytes]:
    """Those of some groups that no event has any more."""
    one = (("_id", 1),)
    return [
        name
        for name in names
        if not await find(Query(RECORD, {"tokens": name}, fields=one, limit=1))
    ]


def groups_of(records: Iterable[Document]) -> set[bytes]:
    """The names of the groups that records have."""
    return {name for record in records for name in record["tokens"] if len(name) == _NAME}


def _together(events: Sequence[Document]) -> Iterator[tuple[tuple[int, ...], list[bytes]]]:
    """The tokens of some events, those together that the same of them have."""
    having: dict[bytes, list[int]] = {}
    for at, event in enumerate(events):
        for token in set(event["tokens"]):
            having.setdefault(token, []).append(at)
    alike: dict[tuple[int, ...], list[bytes]] = {}
    for token, members in having.items():
        alike.setdefault(tuple(members), []).append(token)
    yield from alike.items()


async def _groups(names: Collection[bytes], find: Find) -> dict[bytes, list[bytes]]:
    if not names:
        return {}
    found = await find(Query(GROUP, {"_id": {"$in": list(names)}}))
    return {each["_id"]: each["tokens"] for each in found}


async def _with_groups(tokens: Sequence[bytes], find: Find) -> tuple[bytes, ...]:
    where = {"tokens": tokens[0] if len(tokens) == 1 else {"$in": list(tokens)}}
    found = await find(Query(GROUP, where, fields=(("_id", 1),)))
    return (*tokens, *(each["_id"] for each in found))


def _in_parts(alternatives: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """So that each question finds room in a document."""
    for at in range(0, max(1, len(alternatives)), _IN_QUESTION):
        yield tuple(alternatives[at : at + _IN_QUESTION])
