"""What FHIR R4 (4.0.1) says of its own code systems and value sets: members, systems that they imply, is-a hierarchies.

Read from ``terminology.json.gz``, which ``profiles.derive`` makes from the official package.  What needs a terminology
server (SNOMED CT, LOINC, UCUM, other filters than is-a) is not known here, and nothing is guessed: the answer is None.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources

Concept = tuple[str, str]  # system, code
Concepts = frozenset[Concept]
_CACHED = 1024
_DEPTH = 12  # of value sets that include others


class Terminology:
    """Code systems (system to the code above each code, empty for none) and value sets (url to their compose)."""

    def __init__(
        self,
        systems: Mapping[str, Mapping[str, str]],
        sets: Mapping[str, Mapping[str, object]],
    ) -> None:
        self._systems = systems
        self._sets = sets
        self.members = lru_cache(_CACHED)(self._members)
        self.implied = lru_cache(_CACHED)(self._implied)
        self.below = lru_cache(_CACHED)(self._below)

    def _members(self, url: str) -> Concepts | None:
        """The concepts of the value set ``url`` (a version behind a bar is not looked at); None if not known."""
        return self._expand(self._sets.get(url.partition("|")[0]), _DEPTH)

    def lists(self, system: str, code: str) -> bool:
        """Whether ``code`` is in ``system``, or the system is not known here."""
        known = self._systems.get(system)
        return known is None or code in known

    def names_set(self, url: str) -> bool:
        """Whether ``url`` is that of a value set of R4."""
        return url in self._sets

    def enumerate(self, value_set: Mapping[str, object]) -> Concepts | None:
        """The concepts of a ValueSet resource: of its expansion, else of its compose; None if they are not known."""
        expansion = value_set.get("expansion")
        if isinstance(expansion, dict) and "contains" in expansion:
            return frozenset(_contained(expansion["contains"]))
        compose = value_set.get("compose")
        return self._expand(compose, _DEPTH) if isinstance(compose, dict) else None

    def _implied(self, url: str, code: str) -> str:
        """The system of ``code`` in an element that is bound to the value set ``url``; empty if none is implied."""
        compose = self._sets.get(url)
        systems = {str(i["system"]) for i in _list(compose, "include") if "system" in i}
        if len(systems) == 1:
            return systems.pop()
        found = {system for system, member in self.members(url) or () if member == code}
        return found.pop() if len(found) == 1 else ""

    def _below(self, system: str, code: str) -> frozenset[str] | None:
        """``code`` and everything that it subsumes; None if the system or the code is not known."""
        parents = self._systems.get(system, {})
        if code not in parents:
            return None
        return frozenset(other for other in parents if code in self._line(parents, other))

    def above(self, system: str, code: str) -> frozenset[str] | None:
        """``code`` and everything that subsumes it; None if the system or the code is not known."""
        parents = self._systems.get(system, {})
        return frozenset(self._line(parents, code)) if code in parents else None

    def _line(self, parents: Mapping[str, str], code: str) -> Iterator[str]:
        while code:
            yield code
            code = parents.get(code, "")

    def _expand(self, compose: Mapping[str, object] | None, depth: int) -> Concepts | None:
        if not compose or depth == 0:
            return None
        found: set[Concept] = set()
        for include in _list(compose, "include"):
            concepts = self._included(include, depth)
            if concepts is None:
                return None
            found |= concepts
        for exclude in _list(compose, "exclude"):
            concepts = self._included(exclude, depth)
            if concepts is None:
                return None
            found -= concepts
        return frozenset(found)

    def _included(self, include: Mapping[str, object], depth: int) -> Concepts | None:
        """What is in the system part and in all of the value sets of one include."""
        parts: list[Concepts | None] = []
        if "system" in include:
            parts.append(self._of_system(include))
        urls = include.get("valueSet")
        named = [str(url).partition("|")[0] for url in urls] if isinstance(urls, list) else []
        parts += [self._expand(self._sets.get(url), depth - 1) for url in named]
        known = [part for part in parts if part is not None]
        return frozenset.intersection(*known) if known and len(known) == len(parts) else None

    def _of_system(self, include: Mapping[str, object]) -> Concepts | None:
        system = str(include["system"])
        if "concept" in include:
            return frozenset((system, _code(c)) for c in _list(include, "concept"))
        if system not in self._systems:
            return None
        found: frozenset[str] | None = frozenset(self._systems[system])
        for rule in _list(include, "filter"):
            kept = self._filtered(system, rule)
            found = None if kept is None or found is None else found & kept
        return None if found is None else frozenset((system, code) for code in found)

    def _filtered(self, system: str, rule: Mapping[str, object]) -> frozenset[str] | None:
        value = str(rule.get("value"))
        below = self.below(system, value) if rule.get("property") == "concept" else None
        if below is None or rule.get("op") not in ("is-a", "descendent-of"):
            return None
        return below if rule["op"] == "is-a" else below - {value}


def _contained(contains: object) -> Iterator[Concept]:
    for item in contains if isinstance(contains, list) else ():
        if isinstance(item, dict):
            if item.get("code") and not item.get("abstract"):
                yield str(item.get("system", "")), str(item["code"])
            yield from _contained(item.get("contains"))


def _code(concept: Mapping[str, object]) -> str:
    return str(concept.get("code"))


def _list(value: Mapping[str, object] | None, name: str) -> list[Mapping[str, object]]:
    found = value.get(name) if value else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


@cache
def r4_terminology() -> Terminology:
    """Read the table, once a process and only when it is first asked for (about 60 ms)."""
    packed = resources.files("profiles").joinpath("terminology.json.gz").read_bytes()
    table = json.loads(gzip.decompress(packed))
    systems = {url: dict(_parents(tree, "")) for url, tree in table["systems"].items()}
    return Terminology(systems, table["sets"])


def _parents(tree: Sequence[object], parent: str) -> Iterator[tuple[str, str]]:
    """``["a", ["b", ["c"]]]``: a and b at the top, c below b."""
    for item in tree:
        if isinstance(item, list):
            yield str(item[0]), parent
            yield from _parents(item[1], str(item[0]))
        else:
            yield str(item), parent
