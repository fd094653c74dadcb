"""Reading a kick-off request (Bulk Data Access 2.0, "Query Parameters").

Left out: ``includeAssociatedData`` (what patients' records refer to always comes along), ``organizeOutputBy`` and
``allowPartialManifests``.  With ``Prefer: handling=lenient`` what is not known is ignored, as the guide asks.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl

from fhir_server.errors import InvalidParameterError
from fhir_server.forms import Pairs
from fhir_server.search.dates import interval
from fhir_server.search.values import Searchable

_FORMATS = frozenset({"application/fhir+ndjson", "application/ndjson", "ndjson"})
_ONCE = ("_outputFormat", "_since", "_elements")
_MANY = ("_type", "_typeFilter", "patient")
_SHAPING = frozenset({"_format", "_pretty"})
_NOT_FILTERS = frozenset(
    {"_sort", "_count", "_include", "_revinclude", "_total", "_summary", "_elements", "_contained"}
)
_MOST_FILTERS = 50
_PATIENT = "Patient/"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted.

    Attributes:
        types: The types named, or none for all.
        patients: References, relative; None where no patients are named.
    """

    types: tuple[str, ...]
    since: str
    filters: tuple[str, ...]
    elements: str
    patients: tuple[str, ...] | None


def read_wish(pairs: Pairs, base: str, *, lenient: bool) -> Wish:
    """Read the parameters of a kick-off.

    Raises:
        InvalidParameterError: One is not known, comes twice, or has a value that can not be used.
    """
    once: dict[str, str] = {}
    many: dict[str, list[str]] = {name: [] for name in _MANY}
    for name, value in pairs:
        if name in many:
            many[name] += _listed(name, value)
        elif name in _ONCE and name not in once:
            once[name] = value
        elif name in _ONCE:
            raise InvalidParameterError(f"'{name}' may be given once")
        elif name not in _SHAPING and not lenient:
            raise InvalidParameterError(f"an export has no parameter '{name[:64]}'")
    if once.get("_outputFormat", "ndjson") not in _FORMATS:
        raise InvalidParameterError("_outputFormat must be application/fhir+ndjson")
    since = once.get("_since", "")
    if since:
        interval(since)
    if len(many["_typeFilter"]) > _MOST_FILTERS:
        raise InvalidParameterError(f"an export takes at most {_MOST_FILTERS} filters")
    named = [_patient(each, base) for each in many["patient"]]
    return Wish(
        tuple(dict.fromkeys(many["_type"])),
        since,
        tuple(many["_typeFilter"]),
        once.get("_elements", ""),
        tuple(dict.fromkeys(named)) if named else None,
    )


def filters_of(filters: tuple[str, ...], type_: str) -> list[Pairs]:
    """The searches that ``_typeFilter`` asks of a type: a resource must match one of them."""
    split = (each.partition("?") for each in filters)
    return [tuple(parse_qsl(query)) for named, _, query in split if named == type_]


def require_filters(wish: Wish, searchable: Searchable, known: frozenset[str]) -> None:
    """Refuse filters that are no plain searches of a wanted type.

    Raises:
        InvalidParameterError: One names no type that is wanted, or shapes an answer.
    """
    for each in wish.filters:
        type_, mark, query = each.partition("?")
        if type_ not in known or (wish.types and type_ not in wish.types):
            raise InvalidParameterError("_typeFilter must begin with a type that is exported")
        pairs = parse_qsl(query, keep_blank_values=True)
        if not mark or not pairs or any(name in _NOT_FILTERS for name, _ in pairs):
            raise InvalidParameterError(
                "_typeFilter must be a search without _sort, _include and the like"
            )
        values = searchable.of(type_)
        if any(not values.reads(name.partition(":")[0]) or not value for name, value in pairs):
            raise InvalidParameterError(
                "_typeFilter holds a search parameter that cannot be used here"
            )


def _listed(name: str, value: str) -> list[str]:
    """Types may have commas between; filters, too, but theirs may stand inside of a search: each begins with a type."""
    if name == "_type":
        return [part.strip() for part in value.split(",") if part.strip()]
    if name == "patient":
        return [value]
    found: list[str] = []
    for part in value.split(","):
        if (part[:1].isupper() and "?" in part) or not found:
            found.append(part)
        else:
            found[-1] += f",{part}"
    return found


def _patient(reference: str, base: str) -> str:
    local = reference.removeprefix(f"{base}/")
    if not local.startswith(_PATIENT) or "/" in local.removeprefix(_PATIENT):
        raise InvalidParameterError("'patient' must refer to a Patient of this server")
    return local
