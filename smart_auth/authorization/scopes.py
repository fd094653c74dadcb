"""SMART scopes: reading them, narrowing them, and asking whether they cover an interaction.

Implements SMART App Launch 2.2, "Scopes for requesting FHIR Resources": version 2
(``patient/Observation.rs?category=laboratory``; letters of ``cruds`` in that order only) and
version 1 (``patient/*.read``; ``read`` = ``rs``, ``write`` = ``cud``, ``*`` = ``cruds``).  Words
without FHIR permission (``openid``, ``launch/patient``, ``offline_access`` ...) are kept apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from urllib.parse import unquote

from smart_auth.errors import ScopeParseError

LETTERS = "cruds"
LEVELS = ("patient", "user", "system")
WORDS = (
    "openid",
    "fhirUser",
    "profile",
    "launch",
    "launch/patient",
    "launch/encounter",
    "online_access",
    "offline_access",
)

_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_SHAPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]{1,63})\.([a-z]{1,5}|\*)(?:\?(.+))?")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*(?::[A-Za-z\-]+)?")
_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, 3.3: scope-token
_MOST_SCOPES = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """One permission on FHIR resources.

    Attributes:
        level: ``patient`` (the patient in context), ``user`` (what the user may see) or ``system``.
        type_: Resource type, or ``*``.
        letters: Some of ``cruds``, in that order.
        parameters: Search parameters that a resource must match, decoded; all of them (AND).
        text: The scope as it was written, which is how it is granted.
    """

    level: str
    type_: str
    letters: str
    parameters: tuple[tuple[str, str], ...]
    text: str

    def covers(self, type_: str, letter: str) -> bool:
        """Tell whether this scope covers the letter on the type, its parameters aside."""
        return self.type_ in ("*", type_) and letter in self.letters

    def includes(self, other: Scope) -> bool:
        """Tell whether every permission of ``other`` is also one of this scope."""
        return (
            self.level == other.level
            and self.type_ in ("*", other.type_)
            and set(other.letters) <= set(self.letters)
            and set(self.parameters) <= set(other.parameters)
        )


@dataclass(frozen=True, slots=True)
class ScopeSet:
    """What one token, client or request covers: resource scopes and words, in their order."""

    resources: tuple[Scope, ...] = ()
    words: tuple[str, ...] = ()

    def covers(self, type_: str, letter: str) -> tuple[Scope, ...]:
        """Return the scopes that cover ``letter`` (one of ``cruds``) on ``type_``.

        Empty means no permission.  One scope without parameters at level ``user`` or ``system``
        permits the whole type; the others permit what matches their parameters, and at level
        ``patient`` only within the compartment of the patient in context.  They add up (OR).
        """
        return tuple(scope for scope in self.resources if scope.covers(type_, letter))

    def includes(self, other: ScopeSet) -> bool:
        """Tell whether every word and every permission of ``other`` is in this set."""
        each = [replace(scope, letters=x) for scope in other.resources for x in scope.letters]
        held = all(any(mine.includes(single) for mine in self.resources) for single in each)
        return held and set(other.words) <= set(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.words

    def __str__(self) -> str:
        return " ".join(self)

    def __iter__(self) -> Iterator[str]:
        yield from self.words
        yield from (scope.text for scope in self.resources)

    def __bool__(self) -> bool:
        return bool(self.resources or self.words)

    def at_levels(self, *levels: str) -> ScopeSet:
        """Return the set without the resource scopes of other levels; words stay."""
        kept = tuple(scope for scope in self.resources if scope.level in levels)
        return ScopeSet(kept, self.words)

    def without_words(self, *words: str) -> ScopeSet:
        """Return the set without these words."""
        return ScopeSet(self.resources, tuple(word for word in self.words if word not in words))


def parse_scope(text: str) -> Scope:
    """Read one resource scope.

    Raises:
        ScopeParseError: It is not a version 1 or 2 scope; letters out of order count as that.
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None or _TOKEN.fullmatch(text) is None:
        raise ScopeParseError("a resource scope does not follow the grammar")
    level, type_, access, query = shape.groups()
    if access in _V1:
        if query is not None:
            raise ScopeParseError("a version 1 scope takes no parameters")
        return Scope(level, type_, _V1[access], (), text)
    if access not in _LETTER_SETS:
        raise ScopeParseError("the letters of a scope must be some of cruds, in that order")
    return Scope(level, type_, access, _parameters(query), text)


def parse_scopes(text: str) -> ScopeSet:
    """Read a scope parameter (RFC 6749, 3.3); unknown words are left out, repeats dropped.

    Raises:
        ScopeParseError: Something begins like a resource scope but is not one, or too many.
    """
    return _parse_scopes(text)


def narrow(asked: ScopeSet, most: ScopeSet) -> ScopeSet:
    """Return what is in both: of ``asked``, as much as ``most`` permits, never more than either.

    A scope that ``most`` includes keeps its spelling; any other is cut down and written as
    version 2.  Parameters of both sides apply together.
    """
    cut = [_meet(scope, limit) for scope in asked.resources for limit in most.resources]
    resources = _largest(scope for scope in cut if scope is not None)
    return ScopeSet(resources, tuple(word for word in asked.words if word in most.words))


@lru_cache(maxsize=1024)
def _parse_scopes(text: str) -> ScopeSet:
    tokens = list(dict.fromkeys(text.split(" ")))
    if len(tokens) > _MOST_SCOPES:
        raise ScopeParseError("too many scopes")
    words = tuple(token for token in tokens if token in WORDS)
    resources = tuple(parse_scope(token) for token in tokens if token.startswith(_PREFIXES))
    return ScopeSet(resources, words)


def _meet(asked: Scope, limit: Scope) -> Scope | None:
    if limit.includes(asked):
        return asked
    same_type = asked.type_ == limit.type_ or "*" in (asked.type_, limit.type_)
    if asked.level != limit.level or not same_type:
        return None
    letters = "".join(letter for letter in asked.letters if letter in limit.letters)
    if not letters:
        return None
    type_ = limit.type_ if asked.type_ == "*" else asked.type_
    query = "&".join(dict.fromkeys([*_query(asked), *_query(limit)]))
    return parse_scope(f"{asked.level}/{type_}.{letters}" + (f"?{query}" if query else ""))


def _query(scope: Scope) -> list[str]:
    _, _, query = scope.text.partition("?")
    return query.split("&") if query else []


def _largest(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Drop repeats and scopes that another one of them includes; order is kept."""
    kept: list[Scope] = []
    for scope in scopes:
        if not any(other.includes(scope) for other in kept):
            kept = [other for other in kept if not scope.includes(other)] + [scope]
    return tuple(kept)


def _parameters(query: str | None) -> tuple[tuple[str, str], ...]:
    if query is None:
        return ()
    return tuple(_parameter(pair) for pair in query.split("&"))


def _parameter(pair: str) -> tuple[str, str]:
    name, separator, value = pair.partition("=")
    decoded = unquote(value)
    if not separator or not decoded or _PARAMETER.fullmatch(name) is None:
        raise ScopeParseError("a scope parameter must be name=value")
    return name, decoded


_PREFIXES = tuple(f"{level}/" for level in LEVELS)
_LETTER_SETS = frozenset(
    "".join(chosen) for size in range(1, 6) for chosen in combinations(LETTERS, size)
)
