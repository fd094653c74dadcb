"""The elements by which a provision selects requests and records, read and made ready to compare.

Implements R4 Consent.provision: actor, action, purpose, securityLabel, class, code, dataPeriod,
data, with the roles of consent.md 2.14.  Code closures are taken here, once.  Not here: whether an
element matches, which also depends on the type of the rule (``matching.py``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import terms
from .decision import Coding, Config, literal
from .elements import (
    EMPTY,
    Json,
    Problem,
    Problems,
    forbid_others,
    read_codings,
    read_concept,
    read_object,
    read_objects,
    read_period,
    read_text,
)
from .periods import Interval

_ACTOR_ELEMENTS = frozenset({"id", "extension", "role", "reference"})
_DATA_ELEMENTS = frozenset({"id", "extension", "meaning", "reference"})
_MEANINGS = frozenset({"instance", "related", "dependents", "authoredby"})


@dataclass(frozen=True, slots=True)
class Parties:
    """The actors of one role group.

    Attributes:
        references: Without ``/_history/n``.
        identifiers: (system, value).
        unnamed: Some actor has neither, so it may be anybody: permits nobody, denies everybody.
    """

    references: frozenset[str]
    identifiers: frozenset[tuple[str, str]]
    unnamed: bool


@dataclass(frozen=True, slots=True)
class Actors:
    """provision.actor by role group (2.14); a group that is None restricts nothing."""

    recipients: Parties | None
    custodians: Parties | None
    authors: Parties | None


@dataclass(frozen=True, slots=True)
class Actions:
    """provision.action: consentaction codes; a code of another system matches none of them."""

    codes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Purposes:
    """provision.purpose.

    Attributes:
        covered: (system, code) of each purpose and its descendants.
        emergency: BTG or ETREAT is named literally, so break-glass does not override the rule.
    """

    covered: frozenset[tuple[str, str]]
    emergency: bool


@dataclass(frozen=True, slots=True)
class Labels:
    """provision.securityLabel.

    Attributes:
        lowest: Rank of the lowest listed confidentiality code; None if none is listed.
        highest: Rank of the highest one.
        covered: The other labels with their descendants; None if none is listed.
        touched: The other labels with descendants and ancestors.
    """

    lowest: int | None
    highest: int | None
    covered: frozenset[tuple[str, str]] | None
    touched: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Classes:
    """provision.class by coding system.

    Attributes:
        types: Resource types.
        profiles: Canonicals, as written.
        mime_types: Lower case, without parameters.
        unknown: A coding of another system is listed: it may mean any record.
    """

    types: frozenset[str]
    profiles: frozenset[str]
    mime_types: frozenset[str]
    unknown: bool


@dataclass(frozen=True, slots=True)
class Codes:
    """provision.code: (system, code) of each coding of each concept."""

    codes: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class DataPeriod:
    """provision.dataPeriod."""

    interval: Interval


@dataclass(frozen=True, slots=True)
class Data:
    """provision.data.

    Attributes:
        instances: References named as instance, related or dependents: the record itself.
        referred: References named as related or dependents: records that point at them.
        related: References named as related: what they point at.
        authors: Parties named by authoredby.
        unnamed: Some reference names no resource that could be compared.
    """

    instances: frozenset[str]
    referred: frozenset[str]
    related: frozenset[str]
    authors: Parties | None
    unnamed: bool


Selector = Actors | Actions | Purposes | Labels | Classes | Codes | DataPeriod | Data


class Reader:
    """Reads the selectors of one Consent.

    Attributes:
        config: Says the zone of dates that carry none, and what is written before relative references.
        contained: Contained resources by "#id".
        problems: Filled with whatever cannot be read.
    """

    def __init__(self, config: Config, contained: Mapping[str, Json], problems: Problems) -> None:
        """Start with no problems of its own."""
        self.config = config
        self.contained = contained
        self.problems = problems

    def read(self, provision: Json, path: str) -> dict[str, Selector]:
        """The selectors that the provision has, by element name, in the order of matching."""
        found: dict[str, Selector] = {}
        for name, read in _READERS.items():
            selector = read(self, provision, path) if name in provision else None
            if selector is not None:
                found[name] = selector
        return found

    def _actors(self, provision: Json, path: str) -> Selector:
        groups: dict[str, list[tuple[str, Json]]] = {}
        for at, actor in read_objects(provision, "actor", path, self.problems):
            forbid_others(actor, _ACTOR_ELEMENTS, at, self.problems)
            reference = read_object(actor, "reference", at, self.problems)
            if reference is None:
                self.problems.append(Problem(at, "an actor needs a reference"))
            group = self._role(actor, at)
            groups.setdefault(group, []).append((f"{at}.reference", reference or EMPTY))
        return Actors(*(self._parties(groups.get(name)) for name in ("IRCP", "CST", "AUT")))

    def _role(self, actor: Json, path: str) -> str:
        role = read_object(actor, "role", path, self.problems)
        if role is None:
            self.problems.append(Problem(path, "an actor needs a role"))
            return "IRCP"
        codings = read_concept(role, f"{path}.role", self.problems)
        standard = {each.code for each in codings if each.system == terms.PARTICIPATION_TYPE}
        groups = {code if code in ("CST", "AUT") else "IRCP" for code in standard}
        if len(groups) > 1:
            self.problems.append(Problem(f"{path}.role", "the codings contradict each other"))
        return groups.pop() if groups else "IRCP"

    def _parties(self, references: list[tuple[str, Json]] | None) -> Parties | None:
        if not references:
            return None
        named: set[str] = set()
        identified: set[tuple[str, str]] = set()
        unnamed = False
        for path, reference in references:
            text, identifiers = self._target(reference, path)
            named.update(() if text is None else (text,))
            identified.update(identifiers)
            unnamed = unnamed or (text is None and not identifiers)
        return Parties(frozenset(named), frozenset(identified), unnamed)

    def _target(self, reference: Json, path: str) -> tuple[str | None, set[tuple[str, str]]]:
        """The reference (None if there is none or it is contained) and the identifiers."""
        text = read_text(reference, "reference", path, self.problems)
        identifier = read_object(reference, "identifier", path, self.problems)
        identifiers = self._identifier(identifier, path) if identifier else set()
        if text is None or not text.startswith("#"):
            return (None if text is None else literal(text, self.config.base)), identifiers
        if text not in self.contained:
            self.problems.append(Problem(f"{path}.reference", "no such contained resource"))
        for at, each in read_objects(
            self.contained.get(text, EMPTY), "identifier", text, self.problems
        ):
            identifiers |= self._identifier(each, at)
        return None, identifiers

    def _identifier(self, identifier: Json, path: str) -> set[tuple[str, str]]:
        system = read_text(identifier, "system", path, self.problems)
        value = read_text(identifier, "value", path, self.problems)
        return set() if system is None or value is None else {(system, value)}

    def _actions(self, provision: Json, path: str) -> Selector:
        codings = self._concepts(provision, "action", path)
        return Actions(frozenset(c.code for c in codings if c.system == terms.CONSENT_ACTION))

    def _codes(self, provision: Json, path: str) -> Selector:
        return Codes(frozenset((c.system, c.code) for c in self._concepts(provision, "code", path)))

    def _concepts(self, provision: Json, name: str, path: str) -> list[Coding]:
        concepts = read_objects(provision, name, path, self.problems)
        return [coding for at, each in concepts for coding in read_concept(each, at, self.problems)]

    def _purposes(self, provision: Json, path: str) -> Selector:
        codings = read_codings(provision, "purpose", path, self.problems)
        return Purposes(
            frozenset().union(*(terms.purposes_covered(c.system, c.code) for c in codings)),
            any(
                c.system == terms.ACT_REASON and c.code in terms.EMERGENCY_PURPOSES for c in codings
            ),
        )

    def _labels(self, provision: Json, path: str) -> Selector:
        codings = read_codings(provision, "securityLabel", path, self.problems)
        ranked = [c.code for c in codings if c.system == terms.CONFIDENTIALITY]
        if not all(code in terms.RANKS for code in ranked):
            self.problems.append(Problem(f"{path}.securityLabel", "not one of U, L, M, N, R, V"))
        ranks = [terms.RANKS[code] for code in ranked if code in terms.RANKS]
        others = [c for c in codings if c.system != terms.CONFIDENTIALITY]
        covered = frozenset().union(*(terms.labels_covered(c.system, c.code) for c in others))
        return Labels(
            min(ranks, default=None),
            max(ranks, default=None),
            covered if others else None,
            frozenset().union(*(terms.labels_touched(c.system, c.code) for c in others)),
        )

    def _classes(self, provision: Json, path: str) -> Selector:
        codings = read_codings(provision, "class", path, self.problems)
        by_system = (terms.RESOURCE_TYPES, terms.URI, terms.MIME)
        types, profiles, mime_types = (
            frozenset(c.code for c in codings if c.system == system) for system in by_system
        )
        unknown = any(c.system not in by_system for c in codings)
        return Classes(types, profiles, frozenset(map(mime_type, mime_types)), unknown)

    def _data_period(self, provision: Json, path: str) -> Selector | None:
        interval = read_period(provision, "dataPeriod", path, self.config.zone, self.problems)
        return None if interval is None else DataPeriod(interval)

    def _data(self, provision: Json, path: str) -> Selector:
        named: dict[str, set[str]] = {meaning: set() for meaning in _MEANINGS}
        authors: list[tuple[str, Json]] = []
        unnamed = False
        for at, each in read_objects(provision, "data", path, self.problems):
            forbid_others(each, _DATA_ELEMENTS, at, self.problems)
            meaning = read_text(each, "meaning", at, self.problems)
            reference = read_object(each, "reference", at, self.problems)
            if meaning not in _MEANINGS or reference is None:
                self.problems.append(Problem(at, "data needs a meaning of R4 and a reference"))
            elif meaning == "authoredby":
                authors.append((f"{at}.reference", reference))
            else:
                text, _ = self._target(reference, f"{at}.reference")
                named[meaning].update(() if text is None else (text,))
                unnamed = unnamed or text is None
        referred = frozenset(named["related"] | named["dependents"])
        return Data(
            referred | named["instance"],
            referred,
            frozenset(named["related"]),
            self._parties(authors),
            unnamed,
        )


_READERS: Mapping[str, Callable[[Reader, Json, str], Selector | None]] = {
    "actor": Reader._actors,
    "action": Reader._actions,
    "purpose": Reader._purposes,
    "securityLabel": Reader._labels,
    "class": Reader._classes,
    "code": Reader._codes,
    "dataPeriod": Reader._data_period,
    "data": Reader._data,
}


def mime_type(text: str) -> str:
    """A MIME type for comparison: lower case, without parameters."""
    return text.partition(";")[0].strip().lower()
