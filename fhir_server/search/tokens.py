"""The blind-index tokens of a resource: the only search terms that the database ever holds.

For each parameter: token values under ``system|code``, ``|code`` and ``system|``, those that have no place for a system
(code, boolean, string) under their code alone; references under ``Type/id``, and under ``id`` where the parameter may point
at nearly any type; uris whole; strings under each word and its prefixes of 1 to 6 letters; dates, numbers and quantities
under their buckets (``dates.py``, ``numbers.py``).  A parameter whose values all lie in another one's has no tokens.
Composites have no tokens: their components' parameters do.  ``near``, ``_text``, ``_content`` and ``:text`` have none.
Each record also has a token for each patient it belongs to, and its codes and categories, without their systems, once
more under tokens of that patient alone: "this patient's glucose values" is one look-up.  What an operator has named
(``crypto/scopes.py``) has tokens of its patients only.  The vault pads the number to a multiple of 8.
The index gives a superset: what it finds is opened, if consent permits, and checked exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import orjson

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.dates import DAY, Interval, buckets_of, days
from fhir_server.search.elements import Reader, ReferenceValue, TokenValue, Value
from fhir_server.search.events import (
    EVENT,
    WHAT,
    day,
    items,
    kinds,
    named,
    named_record,
    named_request,
    steady_part,
    tags,
)
from fhir_server.search.numbers import Amount, place
from fhir_server.search.numbers import buckets_of as amount_buckets
from fhir_server.search.strings import words
from fhir_server.search.values import ResourceValues, Searchable, pack
from profiles.definitions import SearchParameter
from profiles.fhirpath import Branch

COMPARTMENT = "_patient"
_OF_ALL = "*"  # in the place of a patient: of what is found without one
_NOT_ONE = ("", _OF_ALL)
_OF_ONE = "1"  # in the place of any patient
SCOPED = frozenset({"code", "combo-code", "category"})
_PREFIXES = 6
_CACHED = 8_192
_CACHED_WHOLE = 1024
_CACHED_RECORDS = 2048  # that AuditEvents name: one for each event, where records are made
_ENTITY = "entity"
_NAMED = f"{_ENTITY}.{WHAT}"
_LONGEST_STEADY = 8192
_LONGEST = 400  # bytes of a member worth remembering
_DAYS = 4096
Term = tuple[str, str]  # in what way a value can be asked for, and by what
Way = Callable[[Value], Sequence[Term]]
# A parameter's code, where its values are, how they are read, and turned into terms.
Told = tuple[str, Branch, Reader, Way]
Cut = Callable[[object], Sequence[tuple[str, object]]]  # of the content of a member


class Tokenizer:
    """Makes the tokens of resources; what many of them share (a code, a patient, a device) is computed once.

    Attributes:
        blind: What it makes them with.
    """

    def __init__(self, searchable: Searchable, blind: BlindIndex) -> None:
        self._searchable = searchable
        self.blind = blind
        self._begin()

    def forget(self) -> None:
        """Keep nothing in memory that came out of a record."""
        self._begin()

    def _begin(self) -> None:
        """Remember nothing of what was made before the parameters changed."""
        self._edition = self._searchable.edition
        self._shared = lru_cache(_CACHED)(self._of_packed)
        self._shared_whole = lru_cache(_CACHED_WHOLE)(self._of_whole)
        self._scoped_members = cache(self._own)
        self._told = cache(self._tells)
        self._cut = cache(self._cuts)
        self._looked_at = cache(self._members)
        self._below_entity = self._searchable.of(EVENT).below(_ENTITY) - {WHAT}
        self._of_record = lru_cache(_CACHED_RECORDS)(self._of_reference)

    def tokens(
        self, type_: str, resource: Mapping[str, object], patients: Sequence[str]
    ) -> frozenset[bytes]:
        """The tokens of ``resource``, unpadded; equal input gives equal tokens: an update can take them back."""
        if self._edition != self._searchable.edition:
            self._begin()
        owners = [self.blind.patient(patient).hex() for patient in patients]
        found = {self.blind.token(type_, COMPARTMENT, "patient", owner) for owner in owners}
        steady = self._steady(type_, resource)
        if steady:
            found |= self._shared_whole(type_, steady)
            found.update(*[self._named(what) for what in named(resource.get(_ENTITY))])
            return frozenset(found)
        everybody = (_OF_ALL if owners else "",)
        looked_at, own = self._looked_at(type_), self._scoped_members(type_)
        for member in resource:
            if member in looked_at:
                whose = (*everybody, *owners) if member in own else everybody
                self._add(found, type_, member, resource, whose)
        return frozenset(found)

    def tokens_of(
        self, code: str, type_: str, resource: Mapping[str, object], patients: Sequence[str]
    ) -> frozenset[bytes]:
        """Those of ``tokens`` that are of one parameter."""
        parameter = self._searchable.of(type_).parameters[code]
        owners = [self.blind.patient(patient).hex() for patient in patients]
        only = bool(owners) and within_patients(self._searchable.of(type_), code, self.blind)
        whose = [] if only else [""]
        if only or (code in SCOPED and parameter.type == "token"):
            whose += owners
        values = self._searchable.of(type_).find(parameter, resource)
        return frozenset(
            self.blind.token(type_, scoped(code, owner), *term)
            for owner in whose
            for value in values
            for term in self._way(type_, parameter, owner)(value)
        )

    def _add(
        self,
        found: set[bytes],
        type_: str,
        member: str,
        resource: Mapping[str, object],
        whose: Sequence[str],
    ) -> None:
        """The tokens of one member, each piece of it remembered, unless it may point to a contained resource."""
        pieces = () if "contained" in resource else self._cut(type_, member)(resource[member])
        packed = [(path, pack(piece)) for path, piece in pieces]
        short = bool(packed) and all(0 < len(piece) <= _LONGEST for _, piece in packed)
        for owner in whose:
            if not short:
                found |= self._of_member(type_, member, resource, owner)
                continue
            for path, piece in packed:
                found |= self._shared(type_, path, piece, owner)

    def _cuts(self, type_: str, member: str) -> Cut:
        """How a member is cut into what is remembered by itself, each with its path, and without what has no tokens."""
        if member == "meta":
            return lambda content: [(member, tags(content))]
        if (type_, member) == (EVENT, _ENTITY):
            return lambda content: [
                *((_NAMED, what) for what in named(content)),
                *((member, kind) for kind in kinds(content, self._below_entity)),
            ]
        if self._searchable.of(type_).offers_only("date", member):
            return lambda content: [(member, day(item)) for item in items(content)]
        return lambda content: [(member, item) for item in items(content)]

    def _steady(self, type_: str, resource: Mapping[str, object]) -> bytes:
        """What an AuditEvent shares with others of its caller and day, to remember the tokens of that by; else empty."""
        if type_ != EVENT or "contained" in resource:
            return b""
        packed = pack(steady_part(resource, self._below_entity))
        return packed if len(packed) <= _LONGEST_STEADY else b""

    def _named(self, what: object) -> frozenset[bytes]:
        """The tokens of what an AuditEvent's entity names; a request is named by its own events only."""
        if record := named_record(what):
            return self._of_record(record)
        if request := named_request(what):
            value = ReferenceValue("", TokenValue("", request))
            return self._of_named({}, value)
        return self._of_piece(EVENT, _NAMED, what, "")

    def _of_reference(self, reference: str) -> frozenset[bytes]:
        return self._of_named({"reference": reference}, ReferenceValue(reference))

    def _of_named(self, what: Mapping[str, object], value: ReferenceValue) -> frozenset[bytes]:
        token, terms = self.blind.token, _reference_terms(value, 3)
        offered = self._told(EVENT, _NAMED, "", _steps(_NAMED))
        codes = [code for code, branch, _, _ in offered if branch.find(what)]
        return frozenset([token(EVENT, code, *term) for code in codes for term in terms])

    def _of_packed(self, type_: str, path: str, packed: bytes, owner: str) -> frozenset[bytes]:
        return self._of_piece(type_, path, orjson.loads(packed), owner)

    def _of_whole(self, type_: str, packed: bytes) -> frozenset[bytes]:
        resource = orjson.loads(packed)
        members = self._looked_at(type_).intersection(resource)
        return frozenset().union(*[self._of_member(type_, m, resource, "") for m in members])

    def _of_member(
        self, type_: str, member: str, resource: Mapping[str, object], owner: str
    ) -> frozenset[bytes]:
        return self._of_nodes(type_, member, (resource,), owner)

    def _of_piece(self, type_: str, path: str, piece: object, owner: str) -> frozenset[bytes]:
        """The tokens of what lies at a path in a resource of which nothing else counts."""
        nodes = [node for node in items(piece) if node is not None]
        return self._of_nodes(type_, path, nodes, owner, behind=_steps(path))

    def _of_nodes(
        self, type_: str, path: str, nodes: Sequence[Any], owner: str, *, behind: int = 0
    ) -> frozenset[bytes]:
        token = self.blind.token
        found: list[bytes] = []
        whose = owner if owner in _NOT_ONE else _OF_ONE
        for code, branch, read, terms in self._told(type_, path, whose, behind):
            name = scoped(code, owner)
            values = [v for node in nodes for at in branch.find(node) for v in read(branch, at)]
            found += [token(type_, name, *term) for value in values for term in terms(value)]
        return frozenset(found)

    def _tells(self, type_: str, path: str, owner: str, behind: int) -> Sequence[Told]:
        """What a member offers that has tokens in a record of nobody's, of all patients' records, or of one patient's.

        The way to it begins ``behind`` that many steps.
        """
        return [
            (parameter.code, branch.behind(behind), read, self._way(type_, parameter, owner))
            for parameter, branch, read in self._searchable.of(type_).offers(path)
            if self._is_told(type_, parameter.code, owner)
        ]

    def _way(self, type_: str, parameter: SearchParameter, owner: str) -> Way:
        """How the values of a parameter are turned into terms."""
        if parameter.type == "token" and owner not in _NOT_ONE:
            return _codes
        if self._searchable.of(type_).names_types(parameter.code):
            return _typed_references
        return partial(_terms, type_=parameter.type)

    def _is_told(self, type_: str, code: str, owner: str) -> bool:
        if not owner:
            return True
        only = within_patients(self._searchable.of(type_), code, self.blind)
        return not only if owner == _OF_ALL else only or code in SCOPED

    def _members(self, type_: str) -> frozenset[str]:
        """The members that have tokens."""
        return self._searchable.of(type_).looked_at

    def _own(self, type_: str) -> frozenset[str]:
        """The members that have tokens of one patient's."""
        if type_ == EVENT:
            return frozenset()
        values = self._searchable.of(type_)
        return frozenset(
            member
            for code, parameter in values.parameters.items()
            if values.reads(code)
            and (
                within_patients(values, code, self.blind)
                or (code in SCOPED and parameter.type == "token")
            )
            for member in values.first_members(parameter)
        )


def _steps(path: str) -> int:
    return path.count(".") + 1


def within_patients(values: ResourceValues, code: str, blind: BlindIndex) -> bool:
    """Whether what the index keeps under a parameter's name lies within patients only: if one of those kept there does."""
    return any(blind.patient_only(values.type_, each) for each in values.kept_under(code))


def scoped(code: str, owner: str) -> str:
    """The name inside a token: of a parameter, or of a parameter within one patient's records."""
    return code if owner in _NOT_ONE else f"{code}@{owner}"


def _codes(value: Value) -> Sequence[Term]:
    """Within one patient few codes are the same in two systems: the code alone narrows as well."""
    return [("code", value.code)] if isinstance(value, TokenValue) and value.code else ()


def _typed_references(value: Value) -> Sequence[Term]:
    """Without the id alone, which a search asks for under each type that it may be of."""
    return _reference_terms(value, 2) if isinstance(value, ReferenceValue) else ()


def _terms(value: Value, type_: str) -> Sequence[Term]:
    match value:
        case TokenValue():
            return _token_terms(value)
        case ReferenceValue():
            return _reference_terms(value, 3)
        case Interval():
            return _date_terms(value)
        case Amount():
            return _amount_terms(value)
        case str():
            return [("uri", value)] if type_ == "uri" else string_terms(value)
        case _:
            return ()


def _token_terms(value: TokenValue) -> Sequence[Term]:
    """The ways in which a coded value can be asked for; one without a place for a system only by its code."""
    found = [("code", value.code)] if value.code else []
    if value.plain:
        return found
    if value.system:
        return [*found, ("system", value.system), ("both", f"{value.system}|{value.code}")]
    return [*found, ("both", f"|{value.code}")] if value.code else found


def _reference_terms(value: ReferenceValue, ways: int) -> Sequence[Term]:
    """Whole, as ``Type/id`` (an absolute url may be one of ours), by its id if ``ways`` is 3; and by an identifier."""
    found: list[Term] = []
    if value.reference:
        parts = value.reference.split("/")
        texts = (value.reference, "/".join(parts[-2:]), parts[-1])[:ways]
        found = [("reference", text) for text in dict.fromkeys(texts)]
    if value.identifier is not None:
        found.append(("identifier", f"{value.identifier.system}|{value.identifier.code}"))
    return found


def string_terms(text: str) -> Sequence[Term]:
    """Each word by its prefixes of 1 to 6 letters, so that a search finds it by its beginning."""
    return [
        ("prefix", word[:length])
        for word in words(text)
        for length in range(1, min(len(word), _PREFIXES) + 1)
    ]


def word_prefix(word: str) -> str:
    """The longest indexed prefix of a word that is searched for."""
    return word[:_PREFIXES]


def _date_terms(value: Interval) -> Sequence[Term]:
    first, last = days(value)
    if (
        value.high - value.low <= DAY and last - first <= 1
    ):  # a moment near midnight may lie on two days
        return [term for day in {first, last} for term in _day_terms("on", day)]
    return [*_day_terms("start", first), *_day_terms("end", last)]


@lru_cache(_DAYS)
def _day_terms(kind: str, day: int) -> Sequence[Term]:
    return [(kind, bucket) for bucket in buckets_of(day)]


def _amount_terms(value: Amount) -> Sequence[Term]:
    low, high = place(value.low[0]), place(value.high[0])
    if low == high:
        return [("on", bucket) for bucket in amount_buckets(low)]
    starts = [("start", bucket) for bucket in amount_buckets(low)]
    return [*starts, *(("end", bucket) for bucket in amount_buckets(high))]
