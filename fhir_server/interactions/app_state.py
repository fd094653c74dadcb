"""App state (SMART App Launch 2.2, "smart-app-state"): what an app keeps here between two launches, as Basic resources.

A Basic whose code is an app's own (not one of R4's codes for Basic) counts as app state where the app of a person comes to
it.  Then ``If-Match`` must say which version is replaced or deleted, its subject and code stay as they are, and the state
of another user is not there.  Which app may see which state is said by scopes: ``user/Basic.cruds?code=https://app.example|x``.
"""

from fhir_server.errors import PreconditionFailedError
from fhir_server.forms import InScope, Json, Record
from fhir_server.ownership import local

_STANDARD = "http://terminology.hl7.org/CodeSystem/basic-resource-type"
_USERS = ("Practitioner/", "PractitionerRole/", "RelatedPerson/", "Person/")


def require_state_kept(
    in_scope: InScope, previous: Record | None, content: Json | None, base: str
) -> None:
    """Refuse to replace or delete (``content`` None) app state without knowing it, or to make it another's.

    Raises:
        PreconditionFailedError: ``If-Match`` is missing, or subject or code would change.
    """
    asked = in_scope.asked
    caller = asked.requester.caller
    if previous is None or caller is None or caller.user is None or not _is_state(previous.value):
        return
    if asked.interaction.preconditions.if_match is None:
        raise PreconditionFailedError("app state is changed with If-Match only: read it first")
    if content is None:
        return
    same = _subject(content, base) == _subject(previous.value, base)
    if not same or content.get("code") != previous.value.get("code"):
        raise PreconditionFailedError("subject and code of app state must stay as they are")


def is_anothers(value: Json, user: str, base: str) -> bool:
    """Whether this is the app state of another user than ``user`` (``Practitioner/1``)."""
    subject = _subject(value, base)
    return subject.startswith(_USERS) and subject != user and _is_state(value)


def _is_state(value: Json) -> bool:
    code = value.get("code")
    codings = code.get("coding") if isinstance(code, dict) else None
    own = [c for c in codings if isinstance(c, dict)] if isinstance(codings, list) else []
    systems = [coding.get("system") for coding in own]
    return value.get("resourceType") == "Basic" and bool(systems) and _STANDARD not in systems


def _subject(value: Json, base: str) -> str:
    subject = value.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(reference, str):
        return ""
    type_, id_ = local(reference, base)
    return f"{type_}/{id_}" if type_ else reference
