"""The interactions that there are (R4 http.html): one table for the router, the scopes and the CapabilityStatement.

A shape is a path below the base with its variable parts in brackets; ``[type]?`` is a type with search parameters.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_server.interactions.operations.offered import OPERATIONS, Operation, find_operation

FIXED_TYPES = frozenset({"AuditEvent"})  # what is never changed or deleted
KEPT_TYPES = frozenset({"Consent"})  # what is never deleted: it ends by a version that says so
_CHANGES = frozenset({"update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Registered:
    """One interaction at one kind of path.

    Attributes:
        code: R4 restful-interaction.
        letter: Of the SMART scope that covers it (``cruds``), or several of which any will do; empty: otherwise authorised.
        types: Only for these types; empty for all.
    """

    method: str
    shape: str
    code: str
    letter: str = ""
    types: frozenset[str] = frozenset()

    @property
    def operation(self) -> str:
        """The name of an operation, without ``$``; else empty."""
        return self.shape.rpartition("$")[2] if self.code == "operation" else ""

    def offers(self, type_: str) -> bool:
        """Whether it is possible for a type."""
        if type_ in FIXED_TYPES and (self.code in _CHANGES or self.letter == "u"):
            return False
        if type_ in KEPT_TYPES and self.code == "delete":
            return False
        return not self.types or type_ in self.types


_INTERACTIONS = (
    Registered("GET", "metadata", "capabilities"),
    Registered("POST", "", "transaction"),  # and batch: the Bundle says which
    Registered("GET", "", "search-system", "s"),
    Registered("POST", "_search", "search-system", "s"),
    Registered("GET", "[compartment]/[id]/[type]", "search-type", "s"),  # "*" for all types
    Registered("POST", "[compartment]/[id]/[type]/_search", "search-type", "s"),
    Registered("POST", "[compartment]/[id]/_search", "search-system", "s"),
    Registered("GET", "_history", "history-system", "s"),
    Registered("GET", "[type]", "search-type", "s"),
    Registered("POST", "[type]/_search", "search-type", "s"),
    Registered("POST", "[type]", "create", "c"),
    Registered("POST", "[type]?", "create", "c"),
    Registered("PUT", "[type]?", "update", "u"),
    Registered("PATCH", "[type]?", "patch", "u"),
    Registered("DELETE", "[type]?", "delete", "d"),
    Registered("GET", "[type]/_history", "history-type", "s"),
    Registered("GET", "[type]/[id]", "read", "r"),
    Registered("PUT", "[type]/[id]", "update", "u"),
    Registered("PATCH", "[type]/[id]", "patch", "u"),
    Registered("DELETE", "[type]/[id]", "delete", "d"),
    Registered("GET", "[type]/[id]/_history", "history-instance", "r"),
    Registered("GET", "[type]/[id]/_history/[vid]", "vread", "r"),
)
REGISTERED = (
    *_INTERACTIONS,
    *(
        Registered(method, f"{before}${operation.name}", "operation", letter, operation.types)
        for operation in OPERATIONS
        for before, letter in operation.levels
        for method in operation.methods
    ),
)
_LETTERS = {found.code: found.letter for found in _INTERACTIONS if found.letter}
_AT: dict[tuple[str, str], list[Registered]] = {}
for _found in REGISTERED:
    _AT.setdefault((_found.method, _found.shape), []).append(_found)


def registered(method: str, shape: str, type_: str) -> Registered | None:
    """The interaction of a method (GET stands for HEAD, too) at a shape, for a type."""
    return next((found for found in _AT.get((method, shape), ()) if found.offers(type_)), None)


def letter_of(code: str, operation: str, type_: str, id_: str) -> str:
    """The letters of SMART scopes, any of which covers an interaction (``operation``: its name, if it is one)."""
    if code == "operation":
        return find_operation(operation, type_).letter(type_, id_)
    return _LETTERS[code]


def operations_at(shape: str, type_: str) -> tuple[str, ...]:
    """The names of the operations that there are beside one of some shape, for a type."""
    before = shape.partition("$")[0]
    found = (f for f in REGISTERED if f.code == "operation" and f.offers(type_))
    return tuple(
        sorted({f.shape.removeprefix(before) for f in found if f.shape.partition("$")[0] == before})
    )


def operations_of(type_: str) -> tuple[Operation, ...]:
    """The operations of a type, or of the system (empty), as a CapabilityStatement names them."""
    shapes = ("[type]/$",) if type_ else ("$",)
    names = {
        f.shape.rpartition("$")[2]
        for f in REGISTERED
        if f.code == "operation"
        and f.offers(type_)
        and (f.shape.startswith(shapes) or (type_ and f.shape.startswith("[type]/[id]/$")))
    }
    return tuple(find_operation(name, type_) for name in sorted(names))


def allowed(shapes: Iterable[str], type_: str) -> tuple[str, ...]:
    """The methods that are possible at shapes, for a type; none if there is nothing."""
    wanted = set(shapes)
    found = {f.method for f in REGISTERED if f.shape in wanted and f.offers(type_)}
    return tuple(sorted(found | ({"HEAD"} if "GET" in found else set())))


def is_conditional(code: str) -> bool:
    """Whether an interaction can be asked for by search parameters instead of an id."""
    return any(f.code == code and f.shape == "[type]?" for f in REGISTERED)


def codes_of(type_: str) -> tuple[str, ...]:
    """The interactions of a type, in the table's order."""
    found = (f.code for f in REGISTERED if f.shape.startswith("[type]") and f.offers(type_))
    return tuple(dict.fromkeys(code for code in found if code != "operation"))


def system_codes() -> tuple[str, ...]:
    """The interactions of the whole system, as a CapabilityStatement names them."""
    found = (f.code for f in REGISTERED if not f.shape.startswith("["))
    codes = dict.fromkeys(code for code in found if code not in ("capabilities", "operation"))
    return (*codes, *(("batch",) if "transaction" in codes else ()))
