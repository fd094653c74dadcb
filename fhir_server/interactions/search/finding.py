"""Finding records of one type: candidates from the blind index, permitted by consent, checked exactly.

What other records decide (chains, ``_has``) comes in as ``Joined``: what the index can be asked for it, and the exact check.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fhir_server.errors import ScopeError, TooManyError
from fhir_server.forms import InScope, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.search.candidates import Plan, selection
from fhir_server.interactions.stages import located
from fhir_server.search.joins import Wanted
from fhir_server.search.match import Matcher
from fhir_server.search.plan import Group, compartment
from fhir_server.store.protocol import SealedVersion, Selection
from smart_auth.authorization.scopes import Scope

_CHUNK = 128
_HIDDEN = 10  # times as many candidates may be looked at as may be permitted


class Budget:
    """How much one request may open.

    What counts is what the caller may see, so that the refusal tells nothing of hidden records; only a bound ten times
    as high counts them, too, because the work must end.
    """

    def __init__(self, most: int) -> None:
        self._permitted = most
        self._looked_at = most * _HIDDEN

    def spend(self, looked_at: int, permitted: int) -> None:
        """Take off what was looked at and what of it was permitted.

        Raises:
            TooManyError: The request needs more than one request may.
        """
        self._looked_at -= looked_at
        self._permitted -= permitted
        if self._permitted < 0 or self._looked_at < 0:
            raise TooManyError("the search is too wide: add a patient, a code or a date")


@dataclass(frozen=True, slots=True)
class Reach:
    """Who searches, with what, and how much of it is left."""

    in_scope: InScope
    desk: Desk
    budget: Budget

    def covering(self, type_: str) -> tuple[Scope, ...]:
        """The scopes under which records of a type may be searched; empty for none."""
        caller = self.in_scope.asked.requester.caller
        return caller.scopes.covers(type_, "s") if caller is not None else ()

    def require(self, type_: str, name: str) -> tuple[Scope, ...]:
        """The same.

        Raises:
            ScopeError: There is none; it names the search parameter that needs one.
        """
        found = self.covering(type_)
        if not found:
            raise ScopeError(
                f"the access token's scopes do not cover the search of {type_} by '{name[:64]}'"
            )
        return found


class Joined(Protocol):
    """What other records decide, ready to be asked.

    Attributes:
        groups: Token groups that hold every record for which it holds.
        rows: Row keys of the only records for which it can hold; None for any.
    """

    groups: tuple[Group, ...]
    rows: frozenset[bytes] | None

    async def holds(self, record: Record) -> bool:
        """Whether it holds for an admitted record."""
        ...


class Finder:
    """Finds the permitted records of one type that are wanted.

    Raises:
        InvalidParameterError: When made: a value can not be used.
    """

    def __init__(
        self, reach: Reach, wanted: Wanted, covering: tuple[Scope, ...], joined: Sequence[Joined]
    ) -> None:
        self._reach = reach
        self._covering = covering
        self._joined = tuple(joined)
        tools = reach.desk.tools
        self.wanted = wanted
        self.values = tools.searchable.of(wanted.type_)
        now = reach.in_scope.asked.received.now
        self._matcher = Matcher(self.values, wanted.criteria, tools.base, now)
        self.selection = self._selection()

    async def find(self, selection: Selection) -> AsyncIterator[Record]:
        """The wanted records of a selection (``self.selection``, narrowed or ordered), in its order."""
        if selection.rows is not None and not selection.rows:
            return
        while True:
            versions = await self._reach.desk.reader.select(selection)
            async for record in self.judge(versions):
                yield record
            if len(versions) < selection.limit:
                return
            last = versions[-1]
            selection = replace(selection, after=(last.at, last.rid))

    async def judge(self, versions: Sequence[SealedVersion]) -> AsyncIterator[Record]:
        """Those of the candidates that are permitted and wanted."""
        admitted = await self._admit(versions)
        self._reach.budget.spend(len(versions), len(admitted))
        for record in admitted:
            if self._matcher.matches(record.value) and await self._all_hold(record):
                yield record

    async def among(self, rows: frozenset[bytes]) -> AsyncIterator[Record]:
        """The wanted records among those of some row keys."""
        own = self.selection.rows
        wanted = rows if own is None else rows.intersection(own)
        async for record in self.find(replace(self.selection, rows=tuple(sorted(wanted)))):
            yield record

    async def again(self, rows: Iterable[bytes]) -> dict[bytes, Record]:
        """Records found before in this request, by row key; they were paid for then."""
        named = tuple(sorted(rows))
        wanted = replace(self.selection, rows=named, limit=len(named))
        found = await self._admit(await self._reach.desk.reader.select(wanted))
        return {record.version.row: record for record in found}

    async def few(self, most: int) -> list[Record] | None:
        """All wanted records, or None if there are more than ``most`` candidates; none of those is opened then."""
        if self.selection.rows == ():
            return []
        versions = await self._reach.desk.reader.select(replace(self.selection, limit=most + 1))
        if len(versions) > most:
            return None
        return [record async for record in self.judge(versions)]

    def with_criteria(self, wanted: Wanted) -> "Finder":
        """A finder of the same joins that wants more."""
        return Finder(self._reach, wanted, self._covering, self._joined)

    async def _admit(self, versions: Sequence[SealedVersion]) -> tuple[Record, ...]:
        reach = self._reach
        return await reach.desk.gate.admit(
            located(reach.in_scope, versions, covering=self._covering)
        )

    async def _all_hold(self, record: Record) -> bool:
        for joined in self._joined:
            if not await joined.holds(record):
                return False
        return True

    def _selection(self) -> Selection:
        tools, reader = self._reach.desk.tools, self._reach.desk.reader
        rows = [j.rows for j in self._joined if j.rows is not None]
        plan = Plan(
            (*self._context(), *(group for j in self._joined for group in j.groups)),
            frozenset.intersection(*rows) if rows else None,
        )
        now = self._reach.in_scope.asked.received.now
        made = selection(self.values, self.wanted.criteria, plan, reader.blind, tools.base, now)
        return replace(made, limit=_CHUNK)

    def _context(self) -> tuple[Group, ...]:
        """A token that reaches only its patient is looked up in that patient's compartment."""
        caller = self._reach.in_scope.asked.requester.caller
        only_patient = all(s.level == "patient" for s in self._covering)
        if caller is None or not caller.patient or not only_patient or not self._covering:
            return ()
        if self.wanted.type_ in self._reach.desk.tools.administrative:
            return ()
        blind = self._reach.desk.reader.blind
        return (compartment(self.wanted.type_, blind.patient(caller.patient), blind),)
