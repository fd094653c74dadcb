"""Pages of a search: in the order of creation, in that of ``_lastUpdated``, or sorted by values.

A page of the first two begins behind a place (number of the type, time, row); the order of a row does not change while
others write, so no row comes twice and none is lost.  A sorted search opens all candidates once and keeps the order of its
row keys for the pages that follow (``orders.py``); each page reads, decides and checks its own rows anew.  If the order is
gone, the search is sorted again and goes on behind the last row shown that is still there.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fhir_server.forms import Pairs, Record
from fhir_server.interactions.cursors import Place
from fhir_server.interactions.search.finding import Finder, Reach
from fhir_server.interactions.sorting import in_order, sort_keys
from fhir_server.search.query import Query
from fhir_server.store.protocol import Selection

_REMEMBERED = 20  # rows of a sorted page that a link names, in case the last are deleted
_FEW_PATIENTS = 20  # a total over more patients says little of each
_SMALL = 128  # a page that one look at the index is likely to fill


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        total: If it is known.
        after: The place behind it, if there is more.
        counted: Of a page that is a total only, the patients whose records were counted, if they are few.
    """

    records: tuple[Record, ...]
    total: int | None
    after: Place | None
    counted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """A match by its place: the number of its finder, its row key, its place in the order of creation."""

    finder: int
    row: bytes
    rid: int


class Pager:
    """Pages of one search."""

    def __init__(self, reach: Reach, query: Query, finders: Sequence[Finder]) -> None:
        self._reach = reach
        self._query = query
        self._finders = finders
        self._applied = urlencode(query.applied)

    async def page(self) -> Page:
        """The page that the request asks for.

        Raises:
            InvalidParameterError: Its page link is not valid.
            TooManyError: The search opens more than one request may.
        """
        start = self._start()
        if self._query.count == 0:
            return await self._counted()
        if self._in_order():
            return await self._streamed(start)
        if start is not None and not self._query.total:
            kept = await self._kept(start)
            if kept is not None:
                return kept
        return await self._sorted(start)

    def links(self, found: Page) -> Pairs:
        """The links of a page."""
        base = f"{self._reach.desk.tools.base}/{self._reach.in_scope.asked.received.target}"
        base = base.removesuffix("/_search").rstrip("/")
        own = f"{base}?{self._applied}" if self._applied else base
        links: Pairs = (("self", own),)
        if self._query.cursor:
            links = (*links, ("first", own))
        if found.after is None:
            return links
        cursor = self._reach.desk.tools.cursors.make(
            found.after, self._owner(), self._search(), self._reach.in_scope.asked.received.at
        )
        following = urlencode((*self._query.applied, ("_cursor", cursor)))
        return (*links, ("next", f"{base}?{following}"))

    def _in_order(self) -> bool:
        """Whether the order of the answer is one that the database has."""
        sorts = self._query.sorts
        by_time = len(sorts) == 1 and sorts[0].parameter.code == "_lastUpdated"
        return not sorts or (by_time and len(self._finders) == 1)

    async def _counted(self) -> Page:
        """The total only."""
        total = 0
        patients: set[str] = set()
        async for _, record in self._all(None):
            total += 1
            if len(patients) <= _FEW_PATIENTS:
                patients.update(p for p in record.patients if p)
        told = sorted(patients) if len(patients) <= _FEW_PATIENTS else ()
        return Page((), total, None, tuple(told))

    async def _streamed(self, start: Place | None) -> Page:
        """Matches in the database's order; stops one behind the page unless the total is wanted."""
        count = self._query.count
        place = None if start is None else _numbers(start)
        shown: list[Record] = []
        last: Place | None = None
        total = 0
        more = False
        async for number, record in self._all(None if self._query.total else place):
            total += 1
            if (
                place is not None
                and self._query.total
                and not self._is_behind(number, record, place)
            ):
                continue
            if len(shown) < count:
                shown.append(record)
                last = [number, record.version.at, record.version.rid]
                continue
            more = True
            if not self._query.total:
                break
        known = total if self._query.total or (place is None and not more) else None
        return Page(tuple(shown), known, last if more else None)

    async def _all(self, place: tuple[int, ...] | None) -> AsyncIterator[tuple[int, Record]]:
        """All matches behind a place, type by type, each with the number of its type."""
        for number, finder in enumerate(self._finders):
            if place is not None and number < place[0]:
                continue
            after = place[1:] if place is not None and number == place[0] else None
            async for record in finder.find(self._ordered(finder, after)):
                yield number, record

    def _ordered(self, finder: Finder, after: Sequence[int] | None) -> Selection:
        sorts, count = self._query.sorts, self._query.count
        few = 0 < count < _SMALL and not self._query.total
        return replace(
            finder.selection,
            by_time=bool(sorts) and self._in_order(),
            descending=bool(sorts) and sorts[0].descending and self._in_order(),
            after=(after[0], after[1]) if after is not None else None,
            limit=count + 1 if few else finder.selection.limit,
        )

    async def _sorted(self, start: Place | None) -> Page:
        ordered = await self._order()
        first = _behind(ordered, start) if start is not None else 0
        last = first + self._query.count
        if not first < last < len(ordered):
            return Page(await self._rows(ordered[first:last]), len(ordered), None)
        key = b""
        if len(self._finders) == 1:
            rows = [place.row for place in ordered[last:]]
            key = self._reach.desk.tools.cursors.orders.keep(rows, self._now())
        shown = [place.rid for place in ordered[max(first, last - _REMEMBERED) : last]]
        after = _place(last, key, 0, shown)
        return Page(await self._rows(ordered[first:last]), len(ordered), after)

    async def _order(self) -> list[_Row]:
        """All matches in order.  Each is opened for its keys and let go: the page alone is held in plaintext."""
        sorts, values = self._query.sorts, self._finders[0].values
        keyed = [
            (sort_keys(r, sorts, values), _Row(number, r.version.row, r.version.rid))
            for number, finder in enumerate(self._finders)
            async for r in finder.find(finder.selection)
        ]
        return in_order(keyed, sorts)

    async def _rows(self, places: Sequence[_Row]) -> tuple[Record, ...]:
        """The records of some rows, opened again."""
        found: dict[bytes, Record] = {}
        for number in {place.finder for place in places}:
            rows = [place.row for place in places if place.finder == number]
            found |= await self._finders[number].again(rows)
        return tuple(found[place.row] for place in places)

    async def _kept(self, start: Place) -> Page | None:
        """A later page by the order that the first one kept; None if that is gone."""
        number, key, at, *_ = start
        orders = self._reach.desk.tools.cursors.orders
        rows = orders.rows(bytes.fromhex(str(key)), self._now())
        if rows is None:
            return None
        at, count = int(str(at)), self._query.count
        shown: list[Record] = []
        while len(shown) < count and at < len(rows):
            part = rows[at : at + count - len(shown)]
            found = {r.version.row: r async for r in self._finders[0].among(frozenset(part))}
            shown += [found[row] for row in part if row in found]
            at += len(part)
        if at >= len(rows):
            return Page(tuple(shown), None, None)
        after = _place(
            int(str(number)) + len(shown),
            bytes.fromhex(str(key)),
            at,
            [r.version.rid for r in shown[-_REMEMBERED:]],
        )
        return Page(tuple(shown), None, after)

    def _start(self) -> Place | None:
        if not self._query.cursor:
            return None
        received = self._reach.in_scope.asked.received
        return self._reach.desk.tools.cursors.read(
            self._query.cursor, self._owner(), self._search(), received.at
        )

    def _is_behind(self, number: int, record: Record, place: tuple[int, ...]) -> bool:
        version, sorts = record.version, self._query.sorts
        if not sorts:
            return (number, version.rid) > (place[0], place[2])
        mine, there = (version.at, version.rid), place[1:]
        return mine < there if sorts[0].descending else mine > there

    def _now(self) -> int:
        return self._reach.in_scope.asked.received.at

    def _owner(self) -> str:
        caller = self._reach.in_scope.asked.requester.caller
        return f"{caller.client_id}|{caller.subject}|{caller.patient}" if caller else ""

    def _search(self) -> str:
        interaction = self._reach.in_scope.asked.interaction
        types = ",".join(finder.wanted.type_ for finder in self._finders)
        return f"{interaction.compartment}/{types}?{self._applied}"


def _numbers(place: Place) -> tuple[int, ...]:
    return tuple(int(str(part)) for part in place)


def _place(last: int, key: bytes, at: int, shown: Sequence[int]) -> Place:
    """The place behind a sorted page: its number, the kept order and where it goes on in that, the rows just shown."""
    return [last, key.hex(), at, *reversed(shown)]


def _behind(ordered: Sequence[_Row], start: Place) -> int:
    """Where the next page begins: behind the last row shown that is still there, or at its number if none is."""
    number, _, _, *shown = start
    rows = {place.rid: at + 1 for at, place in enumerate(ordered)}
    return next((rows[rid] for rid in shown if rid in rows), int(str(number)))
