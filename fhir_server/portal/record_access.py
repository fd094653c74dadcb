"""Who has seen a record, for the page of the people whose record it is: ``$access-log``, in words."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import orjson

from fhir_server.forms import Json, Pairs, Recorded
from fhir_server.interactions.operations.disclosures import Disclosure, disclosure
from fhir_server.portal.asking import Asking, items, mapping
from fhir_server.portal.patients import name_of
from smart_auth.errors import PageError
from smart_auth.people.record_access import Access, AccessPage
from smart_auth.people.users import User

_SCOPE = "user/Patient.rs user/AuditEvent.rs"
_A_PAGE = "20"
_MOST_PATIENTS = "50"
_PATIENT = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")
_EVENT = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_NOT_FOR_HER = (403, 404, 410)
_DEEDS = {
    "read": "read",
    "vread": "read an older version",
    "history-instance": "read the history",
    "history-type": "read the history",
    "history-system": "read the history",
    "search-type": "searched",
    "search-system": "searched",
    "create": "wrote",
    "update": "changed",
    "patch": "changed",
    "delete": "deleted",
    "operation": "read",
}  # http://hl7.org/fhir/restful-interaction
_PURPOSES = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "BTG": "an emergency: consent was overruled",
    "HPAYMT": "payment",
    "HOPERAT": "running the hospital",
    "HRESCH": "research",
    "PATRQT": "at the patient's own request",
    "FAMRQT": "at the family's request",
    "PWATRNY": "at the request of somebody with power of attorney",
    "PUBHLTH": "public health",
    "CAREMGT": "managing care",
}  # v3-ActReason
_GROUNDS = {
    "self": "it is the patient's own record",
    "consent": "the patient's consent",
    "base": "the patient's consent",
    "admin": "the hospital's policy",
    "break-glass": "breaking the glass in an emergency",
    "default": "the hospital's default",
}  # consent_engine Basis


class PipelineRecordAccess:
    """A ``RecordAccess`` over the audit log of this server."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def patients(self, user: User) -> Sequence[tuple[str, str]]:
        """See ``RecordAccess.patients``."""
        own = user.fhir_user or ""
        if own.startswith("Patient/"):
            return await self._labelled(user, own, ())
        if own.startswith("RelatedPerson/"):
            return await self._labelled(user, "Patient", (("_count", _MOST_PATIENTS),))
        return ()

    async def _labelled(self, user: User, target: str, query: Pairs) -> list[tuple[str, str]]:
        answer = await self._asking.get(user, _SCOPE, target, query)
        body = _body(answer)
        found = [body, *(mapping(mapping(e).get("resource")) for e in items(body.get("entry")))]
        patients = [each for each in found if each.get("resourceType") == "Patient"]
        return [(f"Patient/{each['id']}", name_of(each)) for each in patients]

    async def seen(self, user: User, patient: str, page: str) -> AccessPage | None:
        """See ``RecordAccess.seen``."""
        if not _PATIENT.fullmatch(patient):
            return None
        query = (("_count", _A_PAGE), *((("_cursor", page),) if page else ()))
        answer = await self._asking.get(user, _SCOPE, f"{patient}/$access-log", query)
        if answer.status == 400:
            raise PageError("This page of the log is not there any more. Begin at the newest.")
        body = _body(answer)
        if not body:
            return None
        events = [mapping(mapping(each).get("resource")) for each in items(body.get("entry"))]
        return AccessPage([_access(dict(event)) for event in events], _following(body))

    async def receipt(self, user: User, event: str) -> bytes | None:
        """See ``RecordAccess.receipt``."""
        if not _EVENT.fullmatch(event):
            return None
        answer = await self._asking.get(user, _SCOPE, f"AuditEvent/{event}/$receipt")
        if answer.status == 409:  # the log has not been anchored since
            return None
        return answer.body if _body(answer) else None


def _body(answer: Recorded) -> Json:
    """What was answered; nothing if it is not for this person.

    Raises:
        PageError: The server cannot say just now.
    """
    if answer.status == 200:
        return dict(mapping(orjson.loads(answer.body)))
    if answer.status in _NOT_FOR_HER:
        return {}
    raise PageError("The log cannot be read just now. Try again later.", status=503)


def _following(bundle: Json) -> str:
    links = [mapping(each) for each in items(bundle.get("link"))]
    urls = [str(each.get("url", "")) for each in links if each.get("relation") == "next"]
    cursors = parse_qs(urlsplit(urls[0]).query).get("_cursor", []) if urls else []
    return cursors[0] if cursors else ""


def _access(event: Json) -> Access:
    told = disclosure(event)
    return Access(
        event=str(event.get("id", "")),
        at=datetime.fromisoformat(str(event["recorded"])).timestamp(),
        person=told.person,
        app=told.app,
        organizations=told.organizations,
        did=_DEEDS.get(told.description, told.description),
        records=_kinds(told),
        why=_PURPOSES.get(told.why, told.why),
        permitted_by=", ".join(dict.fromkeys(_GROUNDS.get(basis, basis) for basis in told.basis)),
        refused=told.refused,
    )


def _kinds(told: Disclosure) -> tuple[str, ...]:
    """The types of the records, each with how many."""
    types = Counter(reference.partition("/")[0] for reference in told.what)
    return tuple(type_ if number == 1 else f"{number} {type_}" for type_, number in types.items())
