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
_WHERE = {"Task": "code", "Communication": "category", "Provenance": "activity"}
_KEPT = "this is kept by the server: only its operations change it"


def coded(code: str) -> dict[str, object]:
    """A CodeableConcept of a code of ``SYSTEM``."""
    return {"coding": [{"system": SYSTEM, "code": code}]}


def code_of(resource: Mapping[str, object]) -> str:
    """The code of ``SYSTEM`` that a resource carries; empty for none."""
    held = resource.get(_WHERE.get(str(resource.get("resourceType")), ""))
    concepts = held if isinstance(held, list) else [held]
    for concept in concepts:
        codings = concept.get("coding") if isinstance(concept, dict) else None
        for each in codings if isinstance(codings, list) else ():
            if isinstance(each, dict) and each.get("system") == SYSTEM:
                return str(each.get("code"))
    return ""


def require_not_kept(*versions: Mapping[str, object] | None) -> None:
    """Refuse to write, change or delete what the server keeps.

    Args:
        versions: The resource before and after; None for none.

    Raises:
        ConflictError: So it is.
    """
    if any(version is not None and code_of(version) for version in versions):
        raise ConflictError(_KEPT)
