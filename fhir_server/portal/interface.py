"""What can be asked of this server, read from what is registered: the matter of ``/docs`` and ``/openapi.json``.

It tells of types, paths and parameters, never of data; whoever reads it needs no token.
"""

import re
from dataclasses import dataclass

from fhir_server.interactions.registered import REGISTERED, Registered
from fhir_server.search.values import Searchable
from profiles.definitions import Definitions, SearchParameter

COMMON = frozenset({"Resource", "DomainResource"})
_TITLES = {
    "capabilities": "What this server can do (CapabilityStatement)",
    "transaction": "Batch or transaction: a Bundle of requests",
    "search-system": "Search all types",
    "search-type": "Search",
    "_search": "Search by a form",
    "history-system": "Changes of all types",
    "history-type": "Changes of this type",
    "history-instance": "Versions of one resource",
    "create": "Create",
    "read": "Read",
    "vread": "Read one version",
    "update": "Update, or create under an id of your own",
    "patch": "Patch",
    "delete": "Delete",
}
_CONDITIONAL = {
    "create": "Create unless a search finds it",
    "update": "Update what a search finds",
    "patch": "Patch what a search finds",
    "delete": "Delete what a search finds",
}
SHAPING = (
    ("_count", "Entries of a page; 0 for the total alone"),
    ("_sort", "Parameters to sort by, with commas between; a minus before one for descending"),
    ("_total", "none, estimate or accurate"),
    ("_include", "Type:parameter; what matches refer to comes along"),
    ("_revinclude", "Type:parameter; what refers to matches comes along"),
    ("_summary", "true, text, data, count or false"),
    ("_elements", "Elements wanted, with commas between"),
    ("_format", "json or xml"),
)
_OPERATIONS = {
    "meta": "Profiles, tags and labels",
    "meta-add": "Add profiles, tags and labels",
    "meta-delete": "Take profiles, tags and labels off",
    "file-consent": "File a Consent with its document and signature",
    "revoke-consent": "End a Consent; it stays on record",
    "judge-break-glass": "Judge a broken glass (privacy officers of the custodian)",
    "record-disclosure": "Put a disclosure made elsewhere on record (the custodian)",
    "request-access": "Ask a patient for access",
    "chain-answer": "The patient's signed words that answer a request for access on the chain",
    "chain-filing": "A Consent on the chain under a key of the patient's own",
    "chain-revocation": "The patient's signed word that ends a Consent on the chain",
    "access-status": "How a request of one's own stands",
    "approve-access": "Grant a request for access, or a part of it (the patient)",
    "deny-access": "Refuse a request for access (the patient)",
    "everything": "Everything of one record",
    "receipt": "Proof that this event is in the anchored log",
    "reindex": "Bring older records into the index again (systems of the custodian)",
    "reindex-status": "How far the index of custom parameters is (systems of the custodian)",
    "lastn": "The newest of each code",
    "docref": "Documents of a patient",
    "document": "The document of a Composition",
    "match": "Who is likely meant",
    "summary": "International Patient Summary",
    "validate": "Check a resource without storing it",
}
_LETTERS = {"c": "create", "r": "read", "u": "update", "d": "delete", "s": "search"}
_MOST_TARGETS = 6  # named of a reference; more are "any of many"
_ABOUT = re.compile(r"\* \[(\w+)\]\([^)]*\): ([^\r\n]*)")


@dataclass(frozen=True, slots=True)
class Call:
    """One thing to ask.

    Attributes:
        path: Below the FHIR base, with variable parts in braces; without the query.
        query: Whether a search stands behind the path (a conditional interaction).
        letter: Of the scope that it needs for the type; empty for what is authorised in another way.
    """

    method: str
    path: str
    title: str
    code: str
    letter: str
    query: bool = False

    @property
    def scope(self) -> str:
        """The scope in words; empty for none."""
        return _LETTERS.get(self.letter, "")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter; ``state`` is that of the job of a custom one, else empty."""

    code: str
    type: str
    url: str
    about: str
    targets: tuple[str, ...]
    state: str = ""


@dataclass(frozen=True, slots=True)
class OfType:
    """What can be asked of one resource type; parameters that all types have are left out."""

    name: str
    calls: tuple[Call, ...]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """All that can be asked.

    Attributes:
        common: Parameters that all types have.
        compartments: Each with the types that it holds.
    """

    base: str
    system: tuple[Call, ...]
    common: tuple[Parameter, ...]
    types: tuple[OfType, ...]
    compartments: tuple[tuple[str, tuple[str, ...]], ...]


def interface(definitions: Definitions, searchable: Searchable, base: str) -> Interface:
    """What can be asked of the server at ``base`` now."""
    common = [p for p in _readable("Patient", searchable) if _is_common(p)]
    return Interface(
        base=base,
        system=tuple(_call(r, "") for r in REGISTERED if not r.shape.startswith("[")),
        common=tuple(_asked("Patient", p, searchable) for p in common),
        types=tuple(_of_type(name, searchable) for name in sorted(definitions.resource_types)),
        compartments=tuple(
            (owner, tuple(sorted(members)))
            for owner, members in sorted(definitions.compartments.items())
        ),
    )


def _of_type(name: str, searchable: Searchable) -> OfType:
    return OfType(
        name,
        tuple(
            _call(r, name) for r in REGISTERED if r.shape.startswith("[type]") and r.offers(name)
        ),
        tuple(
            _asked(name, p, searchable) for p in _readable(name, searchable) if not _is_common(p)
        ),
    )


def _readable(name: str, searchable: Searchable) -> list[SearchParameter]:
    values = searchable.of(name)
    return [p for code, p in sorted(values.parameters.items()) if values.reads(code)]


def _is_common(parameter: SearchParameter) -> bool:
    return not COMMON.isdisjoint(parameter.base)


def _call(found: Registered, type_: str) -> Call:
    shape = found.shape
    query = shape.endswith("?")
    path = shape.rstrip("?").replace("[type]", type_).replace("[id]", "{id}")
    title = _CONDITIONAL[found.code] if query else _TITLES.get(found.code, "")
    if shape.endswith("_search"):
        title = _TITLES["_search"]
    if found.operation:
        title = _OPERATIONS.get(found.operation, f"The operation {found.operation}")
    return Call(
        found.method, path.replace("[vid]", "{vid}"), title, found.code, found.letter, query
    )


def _asked(type_: str, parameter: SearchParameter, searchable: Searchable) -> Parameter:
    custom = searchable.custom(type_, parameter.code)
    return Parameter(
        parameter.code,
        parameter.type,
        parameter.url,
        _about(type_, parameter.description),
        parameter.target if len(parameter.target) <= _MOST_TARGETS else (),
        custom.state if custom else "",
    )


def _about(type_: str, description: str) -> str:
    """What a parameter is, in one line: R4 describes those of several types together."""
    for name, about in _ABOUT.findall(description):
        if name == type_:
            return str(about)
    return description.partition("\n")[0].strip()
