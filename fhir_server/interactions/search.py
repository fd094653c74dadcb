"""search-type (R4 search.html): candidates from the blind index, permitted by consent, checked exactly, page by page.

Order is that of creation unless ``_sort`` says otherwise; it does not change when a resource is updated, so a page shows no
row twice and loses none while others write.  Sorting by anything but ``_lastUpdated`` opens all candidates first.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fhir_server.errors import InvalidParameterError, Issue, TooManyError
from fhir_server.forms import InScope, Opened, Pairs, Record
from fhir_server.interactions.cursors import Place
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.sorting import sort_records
from fhir_server.interactions.stages import located, page
from fhir_server.interactions.value_sets import with_value_sets
from fhir_server.search.conditions import local_reference
from fhir_server.search.criteria import Criterion, split_prefix, unescape
from fhir_server.search.dates import FOREVER, NEVER, interval, widened
from fhir_server.search.elements import ReferenceValue
from fhir_server.search.match import Matcher
from fhir_server.search.plan import compartment, groups
from fhir_server.search.query import Include, Query, parse_query
from fhir_server.store.protocol import Selection

_CHUNK = 128
_REMEMBERED = 20  # rows of a sorted page that a link names, in case the last are deleted


async def search(in_scope: InScope, desk: Desk) -> Opened:
    """One page of what matches and is permitted, with what it includes.

    Raises:
        InvalidParameterError: A parameter or page link can not be used.
        TooManyError: The search would open more records than the setting allows.
    """
    asked = in_scope.asked
    interaction = asked.interaction
    strict = interaction.prefer.get("handling") == "strict"
    values = desk.tools.searchable.of(interaction.type_)
    query = parse_query(
        values, interaction.type_, interaction.query, page=desk.tools.page, strict=strict
    )
    query = replace(query, criteria=await with_value_sets(query.criteria, values, in_scope, desk))
    finder = _Finder(in_scope, desk, query)
    found = await finder.page()
    included = await _included(in_scope, desk, query, found.records)
    issues = [
        Issue(
            "not-supported",
            f"the parameter '{n}' is not supported and was left out",
            severity="warning",
        )
        for n in query.unknown
    ]
    links = finder.links(found)
    return page(
        in_scope,
        "searchset",
        [*found.records, *included],
        total=found.total,
        links=links,
        issues=issues,
    )


async def find_matches(
    in_scope: InScope, desk: Desk, type_: str, condition: Pairs, most: int
) -> Sequence[Record]:
    """At most ``most`` permitted matches of the condition of a conditional interaction.

    Raises:
        InvalidParameterError: The condition can not be used; an unknown parameter in it is an error.
    """
    values = desk.tools.searchable.of(type_)
    query = parse_query(values, type_, condition, page=(most, most), strict=True)
    if not query.criteria:
        raise InvalidParameterError("a condition must hold a search parameter that narrows it")
    criteria = await with_value_sets(query.criteria, values, in_scope, desk)
    return (
        await _Finder(in_scope, desk, replace(query, count=most, criteria=criteria)).page()
    ).records


@dataclass(frozen=True, slots=True)
class _Page:
    records: tuple[Record, ...]
    total: int | None
    after: Place | None


class _Finder:
    """Runs one query for one request."""

    def __init__(self, in_scope: InScope, desk: Desk, query: Query) -> None:
        self._in_scope = in_scope
        self._desk = desk
        self._query = query
        self._received = in_scope.asked.received
        self._values = desk.tools.searchable.of(query.type_)
        self._applied = urlencode(query.applied)
        self._matcher = Matcher(self._values, query.criteria, desk.tools.base, self._received.now)

    async def page(self) -> _Page:
        return await (self._streamed() if self._in_order() else self._sorted())

    def _in_order(self) -> bool:
        """Whether the order of the answer is one that the database has."""
        sorts = self._query.sorts
        return not sorts or (len(sorts) == 1 and sorts[0].parameter.code == "_lastUpdated")

    def links(self, found: _Page) -> Pairs:
        base = f"{self._desk.tools.base}/{self._query.type_}"
        own = f"{base}?{self._applied}" if self._applied else base
        if found.after is None:
            return (("self", own),)
        cursor = self._desk.tools.cursors.make(
            found.after, self._owner(), self._search(), self._received.at
        )
        following = urlencode((*self._query.applied, ("_cursor", cursor)))
        return (("self", own), ("next", f"{base}?{following}"))

    async def _streamed(self) -> _Page:
        """Matches in column order; stops one behind the page unless the total is wanted."""
        count = self._query.count
        start = self._place()
        records: list[Record] = []
        total = 0
        async for record in self._matches(
            None if self._query.total or start is None else _pair(start)
        ):
            total += 1
            if start is not None and self._query.total and not self._is_behind(record, start):
                continue
            if len(records) <= count:
                records.append(record)
            if len(records) > count and not self._query.total:
                break
        complete = start is None and len(records) <= count
        after = self._order_of(records[count - 1]) if 0 < count < len(records) else None
        known = total if self._query.total or complete else None
        return _Page(tuple(records[:count]), known, after)

    async def _sorted(self) -> _Page:
        everything = [record async for record in self._matches(None)]
        ordered = sort_records(everything, self._query.sorts, self._values)
        start = self._place()
        first = _behind(ordered, start) if start is not None else 0
        last = first + self._query.count
        more = first < last < len(ordered)
        shown = [r.version.rid for r in reversed(ordered[max(first, last - _REMEMBERED) : last])]
        after: Place | None = [last, *shown] if more else None
        return _Page(tuple(ordered[first:last]), len(ordered), after)

    async def _matches(self, after: tuple[int, int] | None) -> AsyncIterator[Record]:
        """All permitted, exactly matching records behind ``after``, in column order."""
        opened = 0
        selection = replace(self._selection(), after=after)
        while True:
            versions = await self._desk.reader.select(selection)
            for record in await self._desk.gate.admit(located(self._in_scope, versions)):
                if self._matcher.matches(record.value):
                    yield record
            opened += len(versions)
            if len(versions) < selection.limit:
                return
            if opened > self._desk.tools.max_candidates:
                raise TooManyError("the search is too wide: add a patient, a code or a date")
            last = versions[-1]
            selection = replace(selection, after=(last.at, last.rid))

    def _selection(self) -> Selection:
        tools, reader = self._desk.tools, self._desk.reader
        ids = [c for c in self._query.criteria if c.parameter.code == "_id" and not c.modifier]
        times = [
            c for c in self._query.criteria if c.parameter.code == "_lastUpdated" and not c.modifier
        ]
        others = [
            c for c in self._query.criteria if c.parameter.code not in ("_id", "_lastUpdated")
        ]
        made = groups(self._values, others, reader.blind, tools.base, self._received.now)
        since, until = self._bounds(times)
        sorts = self._query.sorts
        exact = (
            0 < self._query.count < _CHUNK
        )  # a page that one look at the index is likely to fill
        return Selection(
            self._query.type_,
            all_of=(*self._context(), *made),
            rows=self._rows(ids),
            since=since,
            until=until,
            by_time=bool(sorts) and sorts[0].parameter.code == "_lastUpdated",
            descending=bool(sorts)
            and sorts[0].parameter.code == "_lastUpdated"
            and sorts[0].descending,
            limit=self._query.count + 1 if exact and not self._query.total else _CHUNK,
        )

    def _context(self) -> tuple[tuple[bytes, ...], ...]:
        """A token that reaches only its patient is looked up in that patient's compartment."""
        caller = self._in_scope.asked.requester.caller
        only_patient = all(s.level == "patient" for s in self._in_scope.covering)
        if caller is None or not caller.patient or not only_patient or not self._in_scope.covering:
            return ()
        if self._query.type_ in self._desk.tools.administrative:
            return ()
        blind = self._desk.reader.blind
        return (compartment(self._query.type_, blind.patient(caller.patient), blind),)

    def _rows(self, ids: Sequence[Criterion]) -> tuple[bytes, ...] | None:
        if not ids:
            return None
        blind = self._desk.reader.blind
        wanted = [{blind.row(self._query.type_, unescape(v)) for v in c.values} for c in ids]
        return tuple(set.intersection(*wanted))

    def _bounds(self, times: Iterable[Criterion]) -> tuple[int | None, int | None]:
        lows, highs = [NEVER], [FOREVER]
        for criterion in (c for c in times if len(c.values) == 1):
            prefix, text = split_prefix(criterion.values[0])
            span = interval(text)
            if prefix == "ap":
                span = widened(span, self._received.now)
            if prefix in ("eq", "ge", "gt", "sa", "ap"):
                lows.append(span.low)
            if prefix in ("eq", "le", "lt", "eb", "ap"):
                highs.append(span.high)
        low, high = max(lows), min(highs)
        return (None if low == NEVER else low), (None if high == FOREVER else high)

    def _place(self) -> Place | None:
        if not self._query.cursor:
            return None
        return self._desk.tools.cursors.read(
            self._query.cursor, self._owner(), self._search(), self._received.at
        )

    def _is_behind(self, record: Record, start: Place) -> bool:
        mine, there = _pair(self._order_of(record)), _pair(start)
        sorts = self._query.sorts
        if not sorts:
            return mine[1] > there[1]
        return mine < there if sorts[0].descending else mine > there

    def _order_of(self, record: Record) -> Place:
        return [record.version.at, record.version.rid]

    def _owner(self) -> str:
        caller = self._in_scope.asked.requester.caller
        return f"{caller.client_id}|{caller.subject}|{caller.patient}" if caller else ""

    def _search(self) -> str:
        return f"{self._query.type_}?{self._applied}"


def _pair(place: Place) -> tuple[int, int]:
    return int(str(place[0])), int(str(place[1]))


def _behind(ordered: Sequence[Record], start: Place) -> int:
    """Where the next page begins: behind the last row shown that is still there, or at its number if none is."""
    number, *shown = (int(str(part)) for part in start)
    rows = {record.version.rid: at + 1 for at, record in enumerate(ordered)}
    return next((rows[rid] for rid in shown if rid in rows), number)


async def _included(
    in_scope: InScope, desk: Desk, query: Query, records: Sequence[Record]
) -> Sequence[Record]:
    """What the matches refer to, as far as the caller may see it; each once."""
    caller = in_scope.asked.requester.caller
    if caller is None or not query.includes:
        return ()
    seen = {record.reference for record in records}
    found: list[Record] = []
    for reference in _targets(desk, query.includes, records):
        type_, _, id_ = reference.partition("/")
        if reference in seen or type_ not in desk.tools.definitions.resource_types or not id_:
            continue
        seen.add(reference)
        version = await desk.reader.find(type_, id_)
        covering = caller.scopes.covers(type_, "r")
        if version is not None and not version.deleted and covering:
            admitted = await desk.gate.admit(located(in_scope, (version,), covering=covering))
            found += [replace(record, mode="include") for record in admitted]
    return found


def _targets(desk: Desk, includes: Sequence[Include], records: Sequence[Record]) -> Iterable[str]:
    for include in includes:
        values = desk.tools.searchable.of(include.source)
        for record in records:
            for value in values.find(include.parameter, record.value):
                if isinstance(value, ReferenceValue):
                    reference = local_reference(value.reference, "", desk.tools.base)
                    if not include.target or reference.startswith(f"{include.target}/"):
                        yield reference
