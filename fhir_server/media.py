"""Media types of FHIR (R4 http.html, 3.1.0.1.10 and 3.1.0.1.11): what a body is, and what the answer is to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fhir_server.errors import NotAcceptableError

JSON = "application/fhir+json"
XML = "application/fhir+xml"
JSON_TYPES = frozenset({JSON, "application/json", "application/json+fhir", "text/json", "json", ""})
XML_TYPES = frozenset({XML, "application/xml", "application/xml+fhir", "text/xml", "xml"})
_ANY = frozenset({"*/*", "application/*", "text/html", "html"})  # a browser is shown JSON
NDJSON = "application/fhir+ndjson"
_NDJSON_TYPES = frozenset(
    {NDJSON, "application/ndjson", "application/x-ndjson", "ndjson", "text/plain"}
)
CSV = "text/csv"
_OTHER_VERSION = "fhirversion"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is written.

    Attributes:
        media_type: ``JSON``, ``XML``, or another that a Binary is wanted in.
        pretty: Whether people are to read it.
        any_: Whether the caller takes anything: a Binary is sent as what it holds then (R4 binary.html, 3.4.3).
    """

    media_type: str = JSON
    pretty: bool = False
    any_: bool = False

    @property
    def is_fhir(self) -> bool:
        """Whether it is a resource that is wanted, not the content of a Binary."""
        return self.media_type in (JSON, XML)

    @property
    def is_content(self) -> bool:
        """Whether of a Binary the content is wanted, not the resource."""
        return self.any_ or not self.is_fhir


def media_type(header: str) -> str:
    """The type in a ``Content-Type``, without parameters, in lower case.

    FHIR of another version than R4 (``fhirVersion``, R4 http.html, 3.1.0.1.11) is a type that nobody knows here.
    """
    kind, _, parameters = header.lower().partition(";")
    kind = kind.strip().replace(" ", "+")
    foreign = "fhirversion" in parameters and _is_foreign(parameters)
    return f"{kind};{_OTHER_VERSION}" if foreign else kind


def _is_foreign(parameters: str) -> bool:
    pairs = (each.partition("=") for each in parameters.split(";"))
    asked = [value.strip(' "') for name, _, value in pairs if name.strip() == "fhirversion"]
    return any(version != "4.0" and not version.startswith("4.0.") for version in asked)


def form_of(headers: Mapping[str, str], query: tuple[tuple[str, str], ...]) -> Form:
    """What the caller wants: ``_format`` counts more than ``Accept`` (R4: "to allow for limited clients")."""
    if not query:
        return _form(headers.get("accept", ""), "")
    asked = dict(query)
    wanted = asked.get("_format", "")
    return _form(wanted or headers.get("accept", ""), asked.get("_pretty", ""))


def require_fhir(form: Form) -> None:
    """Refuse what is neither JSON nor XML.

    Raises:
        NotAcceptableError: The caller takes neither.
    """
    if not form.is_fhir:
        raise NotAcceptableError(f"accept {JSON} or {XML}")


def require_table(form: Form) -> None:
    """Refuse what is neither a form of FHIR nor CSV (RFC 4180).

    Raises:
        NotAcceptableError: The caller takes none of them.
    """
    if not form.is_fhir and form.media_type != CSV:
        raise NotAcceptableError(f"accept {JSON}, {XML} or {CSV}")


def require_lines(form: Form) -> None:
    """Refuse who takes no NDJSON; who takes a resource in JSON takes its lines.

    Raises:
        NotAcceptableError: The caller takes neither.
    """
    if form.media_type not in _NDJSON_TYPES | {JSON}:
        raise NotAcceptableError(f"accept {NDJSON}")


@lru_cache(1024)
def _form(wanted: str, pretty: str) -> Form:
    kinds = [_weighted(part, at) for at, part in enumerate(wanted.split(","))]
    ranked = sorted(kinds)
    known = next(
        (kind for _, _, kind in ranked if kind in JSON_TYPES | XML_TYPES | _ANY), ranked[0][2]
    )
    if known in JSON_TYPES | _ANY:
        return Form(JSON, pretty == "true", any_=known in _ANY)
    return Form(XML if known in XML_TYPES else known, pretty == "true")


def _weighted(part: str, at: int) -> tuple[float, int, str]:
    """By weight (RFC 9110, 12.5.1), then as written."""
    _, _, weight = part.partition(";q=")
    try:
        value = float(weight.partition(";")[0]) if weight else 1.0
    except ValueError:
        value = 0.0
    return -value, at, media_type(part)
