"""The newest of each kind: records that share a code are one kind, whatever else they are coded as.

All matches are opened for their codes and dates and let go; only those that are shown are opened again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_server.forms import Json, Record
from fhir_server.interactions.search.finding import Finder
from fhir_server.interactions.sorting import Keys, in_order, sort_keys
from fhir_server.search.query import Sort


@dataclass(frozen=True, slots=True)
class _Match:
    row: bytes
    kind: int


async def newest(
    finder: Finder, coded: str, sorts: Sequence[Sort], most: int
) -> tuple[Record, ...]:
    """Of each kind the ``most`` first records in the order of ``sorts``; kinds in the order of their first.

    Args:
        coded: The member that tells the kind, a CodeableConcept.

    Raises:
        TooManyError: There are more matches than one request may open.
    """
    kinds = _Kinds()
    keyed: list[tuple[Keys, _Match]] = []
    async for record in finder.find(finder.selection):
        match = _Match(record.version.row, kinds.add(record.value.get(coded)))
        keyed.append((sort_keys(record, sorts, finder.values), match))
    shown: dict[int, list[bytes]] = {}
    for match in in_order(keyed, sorts):
        rows = shown.setdefault(kinds.find(match.kind), [])
        if len(rows) < most:
            rows.append(match.row)
    wanted = [row for rows in shown.values() for row in rows]
    found = await finder.again(wanted) if wanted else {}
    return tuple(found[row] for row in wanted)


class _Kinds:
    """Which codes mean one kind: a code in common joins two kinds into one (union-find)."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._known: dict[object, int] = {}

    def add(self, concept: object) -> int:
        """A new record of a concept: the number of its kind."""
        own = len(self._parents)
        self._parents.append(own)
        for code in _codes(concept):
            other = self.find(self._known.setdefault(code, own))
            self._parents[self.find(own)] = other
        return own

    def find(self, number: int) -> int:
        """What stands for the kind of a number."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number


def _codes(concept: object) -> Iterator[object]:
    """What a concept is known by: its codes, or else its text."""
    codings = concept.get("coding") if isinstance(concept, dict) else None
    found = [_code(c) for c in (codings if isinstance(codings, list) else ()) if "code" in c]
    yield from found
    if not found and isinstance(concept, dict) and "text" in concept:
        yield str(concept["text"])


def _code(coding: Json) -> tuple[str, str]:
    return str(coding.get("system", "")), str(coding["code"])
