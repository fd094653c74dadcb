"""What a decision must know about one record, taken from the resource only when it is asked for.

Implements the record side of consent.md, Step 6, after the labelling service has run.  Whatever the
resource says in a form that cannot be read counts as unknown, so that no permit rests on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from . import terms
from .decision import Config, literal
from .elements import EMPTY, Json, read_date_time, read_period
from .periods import Interval
from .selectors import Parties, mime_type

Graph = Mapping[str, Sequence[str]]

_AUTHORS = ("performer", "author", "recorder", "requester", "asserter", "sender", "participant")
_AUTHOR_PARTS = ("actor", "individual", "member")
# When it was true or done, then when it was written down (Step 6, dataPeriod).
_CLINICAL_TIMES = ("effective", "performed", "occurrence", "onset")
_TIME_FORMS = ("DateTime", "Period", "Instant", "Date", "Timing", "String", "Age", "Range")
_WRITTEN_TIMES = ("authoredOn", "date", "issued", "recordedDate")


@dataclass(frozen=True, slots=True)
class RecordLabels:
    """meta.security of a record.

    Attributes:
        rank: Effective confidentiality (2.4): the highest code; without one R if there is a
            sensitivity label, else N; V where the labels cannot be read.
        sensitive: The sensitivity labels.
        all: Every readable label.
        readable: False if some label cannot be read, so the record may be anything.
    """

    rank: int
    sensitive: frozenset[tuple[str, str]]
    all: frozenset[tuple[str, str]]
    readable: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """What occurs anywhere in a record: codings, literal references, attachment types."""

    codings: frozenset[tuple[str, str]]
    references: frozenset[str]
    mime_types: frozenset[str]


class Record:
    """One resource, with what the records it is compared with refer to.

    Attributes:
        resource: Decoded FHIR JSON.
        graph: Outgoing references of the records that the rules name; a record that is not a key
            has not been looked at, so what it refers to is unknown.
        config: Says the zone of dates that carry none, and what is written before relative references.
    """

    def __init__(self, resource: Json, graph: Graph, config: Config) -> None:
        """Take the resource as it is; nothing is read yet."""
        self.resource = resource
        self.graph = graph
        self.config = config

    @cached_property
    def labels(self) -> RecordLabels:
        """Its security labels."""
        return labels_of(self.resource)

    @cached_property
    def type_(self) -> str | None:
        """The resource type; None if it is not readable."""
        found = self.resource.get("resourceType")
        return found if isinstance(found, str) else None

    @cached_property
    def reference(self) -> str | None:
        """The relative reference "Type/id" of the record; None without type or id."""
        id_ = self.resource.get("id")
        return f"{self.type_}/{id_}" if self.type_ and isinstance(id_, str) else None

    @cached_property
    def profiles(self) -> frozenset[str]:
        """meta.profile, with and without the version."""
        meta = self.resource.get("meta", EMPTY)
        listed = meta.get("profile") if isinstance(meta, dict) else None
        canonicals = (
            [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
        )
        return frozenset(canonicals).union(each.partition("|")[0] for each in canonicals)

    @cached_property
    def contents(self) -> Contents:
        """Its codings, references and attachment types."""
        return _collect(self.resource, self.config.base)

    @cached_property
    def time(self) -> Interval | None:
        """When the recorded thing was; None if the record does not say it as a date."""
        for name in _CLINICAL_TIMES:
            for form in _TIME_FORMS:
                if name + form in self.resource:
                    return self._interval(name + form)
        for name in ("period", *_WRITTEN_TIMES):
            if name in self.resource:
                return self._interval(name)
        return None

    @cached_property
    def authors(self) -> Parties:
        """Who made it; ``unnamed`` if nobody is known or somebody cannot be compared."""
        return _read_authors(self.resource, self.config.base)

    def outgoing(self, named: str) -> Iterator[str]:
        """What another record refers to, as far as that is known."""
        return (literal(each, self.config.base) for each in self.graph.get(named, ()))

    def _interval(self, name: str) -> Interval | None:
        if name.lower().endswith("period"):
            interval = read_period(self.resource, name, "", self.config.zone, [])
        else:
            interval = read_date_time(self.resource, name, "", self.config.zone, [])
        return None if interval is None or interval.start > interval.end else interval


def labels_of(resource: Json) -> RecordLabels:
    """The security labels of a resource, which every decision looks at."""
    meta = resource.get("meta", EMPTY)
    listed = meta.get("security", ()) if isinstance(meta, dict) else None
    if not isinstance(listed, list | tuple):
        return _labels((), readable=False)
    return _labels(tuple([_label(each) for each in listed])) if listed else _UNLABELLED


def _label(label: object) -> tuple[str, str] | None:
    """System and code; None if it cannot be read."""
    if not isinstance(label, dict):
        return None
    system, code = label.get("system"), label.get("code")
    return (system, code) if isinstance(system, str) and isinstance(code, str) else None


@lru_cache(maxsize=4096)  # records of a clinic have few different labels
def _labels(listed: tuple[tuple[str, str] | None, ...], *, readable: bool = True) -> RecordLabels:
    found = frozenset(label for label in listed if label is not None)
    readable = readable and None not in listed
    sensitive = frozenset(label for label in found if terms.is_sensitivity(*label))
    rank = _rank(found, sensitive) if readable else terms.VERY_RESTRICTED
    return RecordLabels(rank, sensitive, found, readable)


_UNLABELLED = RecordLabels(terms.NORMAL, frozenset(), frozenset(), readable=True)


def _rank(labels: frozenset[tuple[str, str]], sensitive: frozenset[tuple[str, str]]) -> int:
    ranks = [
        terms.RANKS.get(code, terms.VERY_RESTRICTED)
        for system, code in labels
        if system == terms.CONFIDENTIALITY
    ]
    return max(ranks, default=terms.RESTRICTED if sensitive else terms.NORMAL)


def _collect(resource: Json, base: str) -> Contents:
    codings: set[tuple[str, str]] = set()
    references: set[str] = set()
    mime_types: set[str] = set()
    waiting: list[object] = [dict(resource)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            _note(node, codings, references, mime_types)
            waiting.extend([value for value in node.values() if isinstance(value, (dict, list))])
    named = frozenset(literal(each, base) for each in references)
    return Contents(frozenset(codings), named, frozenset(mime_types))


def _note(
    node: Json, codings: set[tuple[str, str]], references: set[str], mime_types: set[str]
) -> None:
    code, system = node.get("code"), node.get("system")
    if isinstance(code, str) and isinstance(system, str):
        codings.add((system, code))
    reference = node.get("reference")
    if isinstance(reference, str):
        references.add(reference)
    content_type = node.get("contentType")
    if isinstance(content_type, str):
        mime_types.add(mime_type(content_type))


def _read_authors(resource: Json, base: str) -> Parties:
    named: set[str] = set()
    identified: set[tuple[str, str]] = set()
    unnamed = False
    for name in _AUTHORS:
        value = resource.get(name, ())
        for each in value if isinstance(value, list | tuple) else (value,):
            text, identifier = _read_author(each)
            named.update(() if text is None else (literal(text, base),))
            identified.update(() if identifier is None else (identifier,))
            unnamed = unnamed or (text is None and identifier is None)
    nobody = not named and not identified
    return Parties(frozenset(named), frozenset(identified), unnamed or nobody)


def _read_author(value: object) -> tuple[str | None, tuple[str, str] | None]:
    """Reference and identifier of an author, which may sit in a backbone element."""
    if not isinstance(value, dict):
        return None, None
    parts = [value[part] for part in _AUTHOR_PARTS if isinstance(value.get(part), dict)]
    author = parts[0] if parts else value
    reference, identifier = author.get("reference"), author.get("identifier")
    text = reference if isinstance(reference, str) and not reference.startswith("#") else None
    system, code = (
        (identifier.get("system"), identifier.get("value"))
        if isinstance(identifier, dict)
        else (0, 0)
    )
    key = (system, code) if isinstance(system, str) and isinstance(code, str) else None
    return text, key
