"""Whose data a resource is: known before consent is decided, kept with the record as keyed hashes.

A record belongs to every Patient that it refers to anywhere (so at least to those whose R4 compartment it is in), a Bundle
also to those in it, and a Patient to itself.  A record of a type that can not speak of patients (Organization, ValueSet
...) is nobody's: scopes alone decide.  Any other record without a patient is decided by the policies that hold for
everybody.
"""

from collections.abc import Iterator, Mapping

from consent_engine import literal
from fhir_server.resource_text import references
from profiles.definitions import Definitions

_PATIENT = "Patient/"
_MAY_HOLD_ANYTHING = frozenset(
    {
        "Binary",
        "Bundle",
        "Parameters",
        "OperationOutcome",
        "Basic",
        "EnrollmentResponse",
        "Subscription",
        "DeviceMetric",
    }
)


def patients_of(value: Mapping[str, object], type_: str, id_: str, base: str) -> tuple[str, ...]:
    """References of the patients a resource belongs to, sorted, each once; ``base`` is our own FHIR base url."""
    found = {f"{_PATIENT}{id_}"} if type_ == "Patient" else set()
    if type_ in ("Bundle", "Parameters"):
        found.update(_patients_in(value))
    for reference in references(value):
        named = literal(reference, base)
        if named.startswith(_PATIENT) or f"/{_PATIENT}" in named:
            found.add(named)
    return tuple(sorted(found))


def context_of(binary: Mapping[str, object], base: str) -> tuple[str, str]:
    """Type and id of the resource here that a Binary names as its security context; empty for none of ours."""
    context = binary.get("securityContext")
    reference = context.get("reference") if isinstance(context, dict) else None
    return local(reference, base) if isinstance(reference, str) else ("", "")


def documents_of(value: object, base: str) -> set[str]:
    """The ids of the Binaries here that a resource names by url, as ``Attachment.url`` does."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            url = node.get("url")
            type_, id_ = local(url, base) if isinstance(url, str) else ("", "")
            if type_ == "Binary":
                found.add(id_)
        waiting += (
            node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        )
    return found


def local(reference: str, base: str) -> tuple[str, str]:
    """Type and id of the resource here that a reference names; empty for none of ours."""
    type_, _, id_ = literal(reference, base).partition("/")
    return (type_, id_) if type_.isalpha() and id_ and "/" not in id_ else ("", "")


def _patients_in(value: object) -> Iterator[str]:
    """The Patients that a Bundle or Parameters holds whole."""
    children = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    for child in children:
        if isinstance(child, dict) and child.get("resourceType") == "Patient" and child.get("id"):
            yield f"{_PATIENT}{child['id']}"
        if isinstance(child, (dict, list)):
            yield from _patients_in(child)


def administrative_types(definitions: Definitions) -> frozenset[str]:
    """The types whose resources can not speak of a patient: no element may refer to a Patient or to just anything."""
    return frozenset(
        type_
        for type_ in definitions.resource_types - _MAY_HOLD_ANYTHING
        if type_ not in definitions.compartments["Patient"]
        and not _may_refer(type_, definitions, set())
    )


def _may_refer(type_: str, definitions: Definitions, seen: set[str]) -> bool:
    seen.add(type_)
    for element in definitions.elements[type_].values():
        if element.type == "Reference" and not _harmless(element.targets):
            return True
        backbone = element.type.startswith(f"{type_.partition('.')[0]}.")
        if backbone and element.type not in seen and _may_refer(element.type, definitions, seen):
            return True
    return False


def _harmless(targets: tuple[str, ...]) -> bool:
    return bool(targets) and not {"Patient", "Resource", "Any"} & set(targets)
