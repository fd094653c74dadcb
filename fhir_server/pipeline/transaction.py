"""transaction (R4 http.html, 3.1.0.11.2): all entries in one unit of work, or none.

Order: deletes, creates, updates and patches, reads.  What each entry writes to is known first (``identities.py``), so that
entries may refer to one another in any order; links are replaced when an entry is written.  Each entry goes the way of a
request of its own, with its own scopes, consent and audit record; the records of up to 64 entries are made together.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from fhir_server.errors import (
    FhirError,
    InvalidResourceError,
    Issue,
)
from fhir_server.forms import Asked, Gate, InScope, Pairs, Recorded, Released
from fhir_server.interactions import links
from fhir_server.interactions.conditional import matches
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.referring import condition_of, conditional, only
from fhir_server.interactions.stages import one
from fhir_server.pipeline.ask import ask
from fhir_server.pipeline.authorise import authorise
from fhir_server.pipeline.bundles import Entry, entries_of, received_for, response
from fhir_server.pipeline.identities import Identities
from fhir_server.pipeline.record import Unrecorded, record, record_all, unrecorded
from fhir_server.pipeline.redact import redact
from fhir_server.resource_text import ResourceText, references
from fhir_server.search.match import Matcher
from fhir_server.search.query import parse_criteria
from fhir_server.vault.vault import Reader

_LARGE = 30  # entries: more of them take longer than a commit, many times over
_LOT = 64  # entries that are recorded together
_READS = frozenset({"GET", "HEAD"})
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}

_Answer = TypeVar("_Answer")
Perform = Callable[[InScope, Desk, str], Awaitable[Released]]
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
    for entry in entries:
        await _for_entry(entry, run.identify(entry))
    answers = await _answers(run, entries)
    opened = response(in_scope, "transaction-response", entries, answers)
    return await record(redact(opened, desk.tools.base), desk.unit(), desk.tools)


def is_large(in_scope: InScope) -> bool:
    """Whether a transaction has so many entries that others would have to wait for it."""
    content = in_scope.asked.interaction.content
    entries = content.value.get("entry") if content is not None else None
    return isinstance(entries, list) and len(entries) > _LARGE


async def _answers(run: "_Transaction", entries: list[Entry]) -> list[Recorded]:
    """The answers, by the number of the entry; the content of each entry is let go when it is done.

    They are recorded in lots; before a read, which may look for AuditEvents, and at the end all that are not yet.
    """
    answers: dict[int, Recorded] = {}
    lot: dict[int, Unrecorded] = {}
    waiting = deque(sorted(entries, key=_order))
    while waiting:
        entry = waiting.popleft()
        lot[entry.number] = await _for_entry(entry, run.entry(entry))
        entries[entry.number] = replace(entry, content=None)
        if len(lot) == _LOT or not waiting or waiting[0].method in _READS:
            answers.update(zip(lot, await run.recorded([*lot.values()]), strict=True))
            lot.clear()
        await asyncio.sleep(0)  # let others in: reads go on while a large Bundle is written
    return [answers[number] for number in range(len(entries))]


class _Transaction:
    def __init__(self, in_scope: InScope, desk: Desk, perform: Perform, gate: MakeGate) -> None:
        self._in_scope = in_scope
        self._desk = desk
        self._perform = perform
        self._gate = gate
        self._identities = Identities()
        self._conditional: dict[str, str] = {}  # Type?query -> Type/id
        self._linked: links.Identities | None = None

    async def identify(self, entry: Entry) -> None:
        """Find out what an entry writes to, before anything is written."""
        await self._identities.add(entry, self._scoped, self._desk)

    async def entry(self, entry: Entry) -> Unrecorded:
        """Perform one entry; it is still to be recorded."""
        released = await self._released(entry)
        return await unrecorded(released, self._desk.unit(), self._desk.tools)

    async def recorded(self, lot: Sequence[Unrecorded]) -> Sequence[Recorded]:
        """Record what was done for some entries."""
        return await record_all(lot, self._desk.unit(), self._desk.tools)

    async def _released(self, entry: Entry) -> Released:
        if entry.number in self._identities.existing:
            return self._found(entry)
        content = await self._resolved(entry) if entry.content else None
        in_scope, desk = self._scoped(replace(entry, content=content))
        id_ = self._identities.ids.get(entry.number, "")
        answer = await self._perform(in_scope, desk, id_)
        self._identities.written.pop(f"{entry.type_}/{id_}" if id_ else entry.path, None)
        return answer

    def _scoped(self, entry: Entry) -> tuple[InScope, Desk]:
        """An entry as a request of its own."""
        own = received_for(entry, self._in_scope.asked.received)
        types = self._desk.tools.definitions.resource_types
        asked = ask(own, self._in_scope.asked.requester, types, entry.content)
        desk = replace(self._desk, gate=self._gate(asked, self._desk.reader))
        return authorise(asked, desk.tools.custodian), desk

    def _found(self, entry: Entry) -> Released:
        """A conditional create whose resource is there already: it answers with that, as a read."""
        opened = one(self._scoped(entry)[0], self._identities.existing[entry.number])
        return redact(opened, self._desk.tools.base)

    async def _resolved(self, entry: Entry) -> ResourceText:
        """The resource of an entry with its links to other entries, and its conditional references, replaced."""
        content = entry.content
        assert content is not None
        own = references(content.value)
        for reference in conditional(own) - self._conditional.keys():
            self._conditional[reference] = await self._conditional_target(reference)
        known, root = self._identities.by_url, links.root_of(entry.full_url)

        def resolve(reference: str) -> str | None:
            found = known.get(reference) or self._conditional.get(reference)
            return found or (known.get(root + reference) if root else None)

        if self._linked is None:
            self._linked = links.identities(known)
        return links.rewrite_links(
            content, own, resolve, self._linked, self._desk.tools.definitions
        )

    async def _conditional_target(self, reference: str) -> str:
        """What a conditional reference means: one resource, be it stored or still to be written by this transaction."""
        type_, pairs = condition_of(reference, self._desk)
        written = self._identities.written.items()
        replaced = {r for r, e in written if e.method == "PUT" and e.type_ == type_}
        stored = await matches(self._in_scope, self._desk, type_, pairs, 1 + len(replaced))
        found = {found.reference for found in stored} - replaced
        return only(type_, found | set(self._pending(type_, pairs)))

    def _pending(self, type_: str, condition: Pairs) -> list[str]:
        written = self._identities.written.items()
        waiting = {r: e.content for r, e in written if e.type_ == type_ and e.content}
        if not waiting:
            return []
        tools, now = self._desk.tools, self._in_scope.asked.received.now
        values = tools.searchable.of(type_)
        matcher = Matcher(values, parse_criteria(values, condition), tools.base, now)
        return [
            reference
            for reference, content in waiting.items()
            if matcher.matches({**content.value, "id": reference.partition("/")[2]})
        ]


def _order(entry: Entry) -> tuple[int, bool]:
    """Binaries are written before what may name them by url, which is looked at then (``attachments.py``)."""
    first = entry.type_ == "Binary" and entry.method in ("POST", "PUT")
    return (_ORDER["POST"] if first else _ORDER[entry.method]), not first


async def _for_entry(entry: Entry, work: Awaitable[_Answer]) -> _Answer:
    """Do what an entry asks; an error is told as one of that entry."""
    try:
        return await work
    except FhirError as error:
        where = f"Bundle.entry[{entry.number}]"
        issues = tuple(
            replace(i, diagnostics=f"{where}: {i.diagnostics}", expression=i.expression or where)
            for i in error.issues
        )
        raise type(error)(str(error), issues=issues) from error
