"""What the entries of a transaction write to, known before anything is written (R4 http.html, 3.1.0.11.2).

Ids are given out and conditions decided first, over the state before the transaction; two entries must not write to the same
resource.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fhir_server.errors import BadRequestError
from fhir_server.forms import InScope, Record
from fhir_server.interactions.conditional import match, matches
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.patch import patched
from fhir_server.interactions.write import target
from fhir_server.pipeline.bundles import Entry

Scoped = Callable[[Entry], tuple[InScope, Desk]]


@dataclass(slots=True)
class Identities:
    """Of one transaction.

    Attributes:
        ids: The id that an entry writes to, by number, where it is not in its url.
        existing: What a conditional create has found, by number.
        by_url: ``Type/id`` by ``fullUrl``.
        written: ``Type/id`` of what is still to be written whole, with its entry.
    """

    ids: dict[int, str] = field(default_factory=dict)
    existing: dict[int, Record] = field(default_factory=dict)
    by_url: dict[str, str] = field(default_factory=dict)
    written: dict[str, Entry] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    _conditions: set[str] = field(default_factory=set)

    async def add(self, entry: Entry, scoped: Scoped, desk: Desk) -> None:
        """Find out what an entry writes to.

        Args:
            scoped: Gives the entry as a request of its own, for those with a condition.

        Raises:
            BadRequestError: Another entry writes to it, or has the same ``fullUrl`` or condition.
            FhirError: Its condition can not be used, or finds what it must not.
        """
        references = await self._references(entry, scoped, desk)
        for reference in references:
            if reference in self._taken and entry.number not in self.existing:
                raise BadRequestError("two entries are about the same resource", _where(entry))
            self._taken.add(reference)
            if entry.method in ("POST", "PUT") and entry.number not in self.existing:
                self.written[reference] = entry
            if entry.full_url and self.by_url.setdefault(entry.full_url, reference) != reference:
                raise BadRequestError("two resources have the same fullUrl", _where(entry))

    async def _references(self, entry: Entry, scoped: Scoped, desk: Desk) -> list[str]:
        type_ = entry.type_
        if entry.method == "POST" and entry.content is not None and type_ == entry.path:
            await self._created(entry, scoped, desk)
        elif entry.method not in ("PUT", "PATCH", "DELETE"):
            return []
        elif not entry.query or type_ != entry.path:
            return [entry.path]
        elif entry.method == "DELETE":
            return await _deleted(*scoped(entry))
        else:
            in_scope, own = scoped(entry)
            finds: Callable[[InScope, Desk], Awaitable[str]]
            finds = target if entry.method == "PUT" else patched
            self.ids[entry.number] = await finds(in_scope, own)
            self._condition(entry, in_scope)
        found = self.existing.get(entry.number)
        return [found.reference if found else f"{type_}/{self.ids[entry.number]}"]

    async def _created(self, entry: Entry, scoped: Scoped, desk: Desk) -> None:
        if "if-none-exist" in entry.conditions or entry.query:
            in_scope, own = scoped(entry)
            condition = in_scope.asked.interaction.condition
            found = await match(in_scope, own, entry.type_, condition) if condition else None
            if found is not None:
                self.existing[entry.number] = found
                return
            self._condition(entry, in_scope)
        self.ids[entry.number] = desk.tools.new_id()

    def _condition(self, entry: Entry, in_scope: InScope) -> None:
        """Note the condition of an entry: two that find nothing on one condition would make two resources."""
        condition = f"{entry.type_}?{in_scope.asked.interaction.condition}"
        if condition in self._conditions:
            raise BadRequestError("two entries have the same condition", _where(entry))
        self._conditions.add(condition)


async def _deleted(in_scope: InScope, desk: Desk) -> list[str]:
    interaction = in_scope.asked.interaction
    assert interaction.condition is not None
    most = desk.tools.most_deleted
    found = await matches(in_scope, desk, interaction.type_, interaction.condition, most)
    return [record.reference for record in found]


def _where(entry: Entry) -> str:
    return f"Bundle.entry[{entry.number}]"
