"""What the server itself writes about Consents, and only its operations change: requests, notices, reviews and signatures.

Each carries a code of ``SYSTEM``.  Whoever could write such a resource by himself could judge his own broken glass, take
back a notice to the patient, or tell a requester that she has agreed.
"""

from collections.abc import Mapping

from fhir_server.errors import ConflictError

SYSTEM = "https://consentry.example/CodeSystem/consent-lifecycle"
ACCESS_REQUEST = "access-request"
GLASS_REVIEW = "break-glass-review"
GLASS_NOTICE = "break-glass-notice"
SIGNATURE = "consent-signature"
OVERSEEN = frozenset({GLASS_REVIEW, GLASS_NOTICE})  # for whoever may read the audit log
_WHERE = {"Task": "code", "Communication": "category", "Provenance": "activity"}
_KEPT = "this is kept by the server: only its operations change it"


def coded(code: str) -> dict[str, object]:
    """A CodeableConcept of a code of ``SYSTEM``."""
    return {"coding": [{"system": SYSTEM, "code": code}]}


def code_of(resource: Mapping[str, object]) -> str:
    """The code of ``SYSTEM`` that a resource carries; empty for none."""
    held = resource.get(_WHERE.get(str(resource.get("resourceType")), ""))
    concepts = held if isinstance(held, list) else [held]
    return next((str(code) for concept in concepts for code in _codes(concept)), "")


def require_not_kept(*versions: Mapping[str, object] | None) -> None:
    """Refuse to write, change or delete what the server keeps.

    Args:
        versions: The resource before and after; None for none.

    Raises:
        ConflictError: So it is.
    """
    if any(version is not None and code_of(version) for version in versions):
        raise ConflictError(_KEPT)


def of_input(task: Mapping[str, object], code: str) -> list[dict[str, object]]:
    """The inputs of a Task whose type is a code of ``SYSTEM``."""
    inputs = task.get("input")
    found = [each for each in inputs if isinstance(each, dict)] if isinstance(inputs, list) else []
    return [each for each in found if code in _codes(each.get("type"))]


def _codes(concept: object) -> list[object]:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    own = [c for c in codings if isinstance(c, dict)] if isinstance(codings, list) else []
    return [coding.get("code") for coding in own if coding.get("system") == SYSTEM]
