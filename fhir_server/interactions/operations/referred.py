"""What records refer to: found, permitted and opened like any other record, under the scopes to read its type.

Only what belongs to nobody (an Organization, a Practitioner) or to the same patients comes along: an answer about one
patient holds no record of another one, even where a caller may see both.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from fhir_server.forms import Record
from fhir_server.interactions.search.finding import Reach
from fhir_server.interactions.stages import located
from fhir_server.resource_text import references
from fhir_server.search.conditions import local_reference
from fhir_server.store.protocol import Selection

_AT_ONCE = 256
Keep = Callable[[Record], bool]


class Referred:
    """Records that others refer to, each once, in the order in which they are reached.

    Attributes:
        records: What was reached, without those that it began with.
        more: Whether there would have been more than ``most``.
    """

    def __init__(self, reach: Reach, begun: Sequence[Record], keep: Keep, most: int) -> None:
        self._reach = reach
        self._latest = list(begun)
        self._seen = {record.reference for record in begun}
        self._keep = keep
        self._most = most
        self.records: list[Record] = []
        self.more = False

    async def follow(self, deepest: int) -> None:
        """Follow references, those of what was reached as well, ``deepest`` times at most.

        Raises:
            TooManyError: More is referred to than one request may open.
        """
        for _ in range(deepest):
            by_type: dict[str, list[str]] = {}
            for reference in self._new(self._latest):
                type_, _, id_ = reference.partition("/")
                by_type.setdefault(type_, []).append(id_)
            found = [r for type_, ids in by_type.items() for r in await self._open(type_, ids)]
            self._latest = [record for record in found if self._keep(record)]
            self.records += [replace(record, mode="include") for record in self._latest]
            if len(self.records) > self._most:
                self.more = True
                del self.records[self._most :]
            if not self._latest or self.more:
                return

    def _new(self, records: Iterable[Record]) -> list[str]:
        """References to what was not looked at yet."""
        known, base = self._reach.desk.tools.definitions.resource_types, self._reach.desk.tools.base
        found = []
        for record in records:
            for one in references(record.value):
                reference = local_reference(one, "", base)
                type_, _, id_ = reference.partition("/")
                if type_ in known and id_ and reference not in self._seen:
                    self._seen.add(reference)
                    found.append(reference)
        return found

    async def _open(self, type_: str, ids: Sequence[str]) -> list[Record]:
        """The permitted records of some ids, in their order."""
        reach = self._reach
        caller = reach.in_scope.asked.requester.caller
        covering = caller.scopes.covers(type_, "r") if caller else ()
        found: dict[str, Record] = {}
        for at in range(0, len(ids) if covering else 0, _AT_ONCE):
            rows = tuple(reach.desk.reader.blind.row(type_, i) for i in ids[at : at + _AT_ONCE])
            versions = await reach.desk.reader.select(
                Selection(type_, rows=tuple(sorted(rows)), limit=_AT_ONCE)
            )
            admitted = await reach.desk.gate.admit(
                located(reach.in_scope, versions, covering=covering)
            )
            reach.budget.spend(len(versions), len(admitted))
            found |= {record.id_: record for record in admitted}
        return [found[id_] for id_ in ids if id_ in found]


def subject_of(record: Record, base: str) -> str:
    """The patient whom a record is about: itself, or its ``subject`` or ``patient``; empty for none."""
    if record.version.type_ == "Patient":
        return record.reference
    for name in ("subject", "patient"):
        element = record.value.get(name)
        reference = element.get("reference") if isinstance(element, dict) else None
        if isinstance(reference, str):
            return local_reference(reference, "", base)
    return ""


def of_same(patients: Iterable[str]) -> Keep:
    """Whether a record belongs to nobody, or to some of these patients and to no other."""
    owners = frozenset(patient for patient in patients if patient)
    return lambda record: owners.issuperset(record.patients)
