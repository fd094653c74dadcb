"""transaction (R4 http.html, 3.1.0.11.2): all entries in one unit of work, or none.

Order: deletes, creates, updates, reads.  Ids are given out first, so that entries may refer to one another in any order;
conditional creates and conditional references are resolved next, inside the unit.  Each entry then goes the way of a
request of its own, with its own scopes, consent and audit record.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from fhir_server.errors import (
    BadRequestError,
    FhirError,
    InvalidResourceError,
    Issue,
    PreconditionFailedError,
)
from fhir_server.forms import Asked, Gate, InScope, Record, Recorded
from fhir_server.interactions import conditional
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.stages import one
from fhir_server.pipeline.ask import ask
from fhir_server.pipeline.authorise import authorise
from fhir_server.pipeline.bundles import Entry, entries_of, received_for, response
from fhir_server.pipeline.record import record
from fhir_server.pipeline.redact import redact
from fhir_server.resource_text import ResourceText, references, rewrite_references
from fhir_server.vault.vault import Reader

_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}

Perform = Callable[[InScope, Desk, str], Awaitable[Recorded]]
MakeGate = Callable[[Asked, Reader], Gate]


async def run_transaction(
    in_scope: InScope, desk: Desk, perform: Perform, gate: MakeGate
) -> Recorded:
    """Run a transaction in the desk's unit of work; an error in any entry takes all of it back.

    Raises:
        FhirError: What the first failing entry was refused for; the issue names the entry.
    """
    asked = in_scope.asked
    content = asked.interaction.content
    assert content is not None
    problems = desk.tools.validator.check_own(content.value)
    if problems:
        issues = tuple(
            Issue(p.code, f"{p.expression} {p.message}", p.expression) for p in problems[:50]
        )
        raise InvalidResourceError("the Bundle is not valid R4", issues=issues)
    entries = entries_of(content, desk.tools.base)
    run = _Transaction(in_scope, desk, perform, gate)
    await run.identify(entries)
    answers: dict[int, Recorded] = {}
    for entry in sorted(entries, key=lambda e: _ORDER[e.method]):
        try:
            answers[entry.number] = await run.entry(entry)
        except FhirError as error:
            raise _located(error, entry.number) from error
        await asyncio.sleep(0)  # let others in: reads go on while a large Bundle is written
    opened = response(in_scope, "transaction-response", [answers[n] for n in range(len(entries))])
    return await record(redact(opened, desk.tools.base), desk.unit(), desk.tools)


class _Transaction:
    def __init__(self, in_scope: InScope, desk: Desk, perform: Perform, gate: MakeGate) -> None:
        self._in_scope = in_scope
        self._desk = desk
        self._perform = perform
        self._gate = gate
        self._identities: dict[str, str] = {}  # fullUrl -> Type/id
        self._ids: dict[int, str] = {}
        self._existing: dict[int, Record] = {}
        self._conditional: dict[str, str] = {}  # Type?query -> Type/id
        self._conditions: set[str] = set()  # Type?query of conditional creates

    async def identify(self, entries: Sequence[Entry]) -> None:
        """Give each written resource its identity before anything is written."""
        taken: set[str] = set()
        for entry in entries:
            reference = await self._identity(entry)
            if not reference:
                continue
            if reference in taken and entry.number not in self._existing:
                raise BadRequestError(
                    "two entries are about the same resource", _where(entry.number)
                )
            taken.add(reference)
            if entry.full_url:
                self._identities[entry.full_url] = reference

    async def entry(self, entry: Entry) -> Recorded:
        """Perform one entry."""
        received = self._in_scope.asked.received
        if entry.number in self._existing:
            return await self._found(entry)
        content = await self._resolved(entry.content) if entry.content else None
        conditions = {k: v for k, v in entry.conditions.items() if k != "if-none-exist"}
        own = received_for(replace(entry, conditions=conditions), received)
        asked = ask(
            own,
            self._in_scope.asked.requester,
            self._desk.tools.definitions.resource_types,
            content,
        )
        desk = replace(self._desk, gate=self._gate(asked, self._desk.reader))
        return await self._perform(authorise(asked), desk, self._ids.get(entry.number, ""))

    async def _found(self, entry: Entry) -> Recorded:
        """A conditional create whose resource is there already: it answers with that, as a read."""
        opened = one(authorise(self._asked(entry)), self._existing[entry.number])
        return await record(
            redact(opened, self._desk.tools.base), self._desk.unit(), self._desk.tools
        )

    async def _identity(self, entry: Entry) -> str:
        type_, _, id_ = entry.url.partition("?")[0].partition("/")
        if entry.method == "PUT" and "?" in entry.url:
            raise BadRequestError("conditional update is not supported yet", _where(entry.number))
        if entry.method in ("PUT", "DELETE"):
            return f"{type_}/{id_}"
        if entry.method != "POST" or entry.content is None:
            return ""
        condition = entry.conditions.get("if-none-exist")
        if condition is not None:
            found = await self._match(type_, condition)
            if found is not None:
                self._existing[entry.number] = found
                return found.reference
            if f"{type_}?{condition}" in self._conditions:
                raise BadRequestError(
                    "two entries create on the same condition", _where(entry.number)
                )
            self._conditions.add(f"{type_}?{condition}")
        self._ids[entry.number] = self._desk.tools.new_id()
        return f"{type_}/{self._ids[entry.number]}"

    def _asked(self, entry: Entry) -> Asked:
        own = received_for(entry, self._in_scope.asked.received)
        return ask(
            own,
            self._in_scope.asked.requester,
            self._desk.tools.definitions.resource_types,
            entry.content,
        )

    async def _resolved(self, content: ResourceText) -> ResourceText:
        known: Mapping[str, str] = self._identities
        for reference in references(content.value):
            if (
                "?" in reference
                and reference not in self._conditional
                and ":" not in reference.partition("?")[0]
            ):
                self._conditional[reference] = await self._conditional_target(reference)
        return rewrite_references(content, lambda r: known.get(r) or self._conditional.get(r))

    async def _conditional_target(self, reference: str) -> str:
        type_, _, query = reference.partition("?")
        if type_ not in self._desk.tools.definitions.resource_types:
            raise BadRequestError("a conditional reference must name a resource type")
        found = await self._match(type_, query)
        if found is None:
            raise PreconditionFailedError(f"a conditional reference to {type_} matches no resource")
        return found.reference

    async def _match(self, type_: str, condition: str) -> Record | None:
        """The one permitted match of a condition, or None.  Raises ``PreconditionFailedError`` for several."""
        pairs = tuple(parse_qsl(condition.lstrip("?"), keep_blank_values=True))
        if not pairs:
            raise BadRequestError("a condition must hold search parameters")
        return await conditional.match(self._in_scope, self._desk, type_, pairs)


def _located(error: FhirError, number: int) -> FhirError:
    """The error, told as one of an entry."""
    issues = tuple(
        replace(
            i,
            diagnostics=f"{_where(number)}: {i.diagnostics}",
            expression=i.expression or _where(number),
        )
        for i in error.issues
    )
    return type(error)(str(error), issues=issues)


def _where(number: int) -> str:
    return f"Bundle.entry[{number}]"
