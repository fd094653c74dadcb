"""CDS Hooks 2.0: the service ``patient-consent-consult``, as the LEAP consent decision service and its clients speak it.

The hook is translated into ``Consent/$decide`` (and a search of the Patient, if she is named by identifiers), asked through
the pipeline with the caller's own token: scopes, consent and audit are those of FHIR requests.  A patient whom the caller
may not see is answered as one who is not here: NO_CONSENT.  What depends on the record is not permitted: send what is known
of it in ``class`` and ``securityLabel``.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import orjson
from fastapi import APIRouter, Request, Response

from fhir_server.errors import FhirError, StoreFullError, StoreLostError
from fhir_server.forms import Received, Recorded
from fhir_server.media import JSON, Form
from fhir_server.pipeline.run import Pipeline
from fhir_server.resource_text import instant
from fhir_server.rest.bodies import read_body
from fhir_server.rest.headers import headers_of
from fhir_server.rest.respond import respond, without_record
from fhir_server.search.criteria import escape

_HOOK = "patient-consent-consult"
_MOST_BYTES = 64 * 1024
_MOST_NAMES = 20
_TYPES = "http://hl7.org/fhir/resource-types"
_OBLIGATIONS = "https://consentry.example/CodeSystem/obligations"
_KEPT = ("authorization", "dpop", "x-purpose-of-use", "x-break-glass-reason")
_SCOPES = ("", "patient-privacy", "research")
_NO_CONSENT, _PERMIT, _DENY = "NO_CONSENT", "CONSENT_PERMIT", "CONSENT_DENY"
_TOLD = {
    _PERMIT: "The patient's Consents and the policies here permit it.",
    _DENY: "The patient's Consents or the policies here do not permit it.",
    _NO_CONSENT: "There is no Consent for this that you may ask about.",
}
_SERVICE = {
    "hook": _HOOK,
    "id": _HOOK,
    "title": "Consent of a patient",
    "description": "Says whether an actor may have a patient's data for a purpose, and with what obligations.",
}
Json = Mapping[str, object]


class HookRoutes:
    """The CDS service and its discovery."""

    def __init__(
        self, pipeline: Callable[[], Pipeline], clock: Callable[[], datetime], base: str
    ) -> None:
        """``base`` is the public URL."""
        self._pipeline = pipeline
        self._clock = clock
        self._base = base
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/cds-services", self.services, response_model=None)
        path = f"/cds-services/{_HOOK}"
        self.router.add_api_route(path, self.consult, methods=["POST"], response_model=None)

    async def services(self) -> Response:
        """CDS Hooks, "Discovery": anyone may know what there is."""
        return _json({"services": [_SERVICE]})

    async def consult(self, request: Request) -> Response:
        """CDS Hooks, "Calling a CDS Service": one card."""
        try:
            return await self._consulted(request)
        except (StoreFullError, StoreLostError) as error:
            return without_record(full=isinstance(error, StoreFullError))

    async def _consulted(self, request: Request) -> Response:
        received = self._received(request)
        try:
            body = await read_body(request, _MOST_BYTES)
        except FhirError as error:
            refused = await self._pipeline().refuse_unread(received, error)
            return respond(refused, "POST", Form())
        context = _context(body)
        found = await self._patients(request, context)
        if isinstance(found, Recorded):
            return respond(found, "POST", Form())
        if found is not None and (not found or context.get("scope", "") not in _SCOPES):
            return self._card(_NO_CONSENT, {})
        asked = body if found is None else orjson.dumps(_parameters(context, found))
        answer = await self._ask(request, "POST", "Consent/$decide", body=asked)
        if answer.status == 404:
            return self._card(_NO_CONSENT, {})
        if answer.status != 200:
            return respond(answer, "POST", Form())
        return self._card(*_decision(answer))

    async def _patients(self, request: Request, context: Json) -> list[str] | Recorded | None:
        """References of the patient; a refusal; None if nobody is named, which ``$decide`` refuses."""
        named = context.get("patientId")
        if isinstance(named, str) and named:
            return [named if named.startswith("Patient/") else f"Patient/{named}"]
        pairs = [f"{escape(system)}|{escape(value)}" for system, value in _identifiers(named)]
        if not pairs:
            return None
        query = (("identifier", ",".join(pairs)), ("_count", str(_MOST_NAMES)))
        answer = await self._ask(request, "GET", "Patient", query)
        if answer.status != 200:
            return answer
        entries = [_object(e.get("resource")) for e in _objects(orjson.loads(answer.body), "entry")]
        return [f"Patient/{e['id']}" for e in entries if e.get("resourceType") == "Patient"]

    async def _ask(
        self,
        request: Request,
        method: str,
        target: str,
        query: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> Recorded:
        return await self._pipeline().answer(self._received(request, method, target, query, body))

    def _received(
        self,
        request: Request,
        method: str = "POST",
        target: str = "Consent/$decide",
        query: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> Received:
        now, headers = self._clock(), headers_of(request)
        return Received(
            method=method,
            target=target,
            query=query,
            headers={"content-type": JSON, **{k: headers[k] for k in _KEPT if k in headers}},
            body=body,
            at=int(now.timestamp() * 1000),
            now=now,
            request_id=f"hook-{int(now.timestamp() * 1_000_000):x}",
            address=request.client.host if request.client else "",
        )

    def _card(self, decision: str, extension: Json) -> Response:
        at = instant(int(self._clock().timestamp() * 1000))
        card = {
            "summary": decision,
            "detail": _TOLD[decision],
            "indicator": "info" if decision == _PERMIT else "critical",
            "source": {"label": "Consentry", "url": self._base},
            "extension": {"decision": decision, "dateTime": at, "obligations": [], **extension},
        }
        return _json({"cards": [card]})


def _context(body: bytes) -> Json:
    try:
        return _object(_object(orjson.loads(body)).get("context"))
    except orjson.JSONDecodeError:
        return {}


def _parameters(context: Json, patients: list[str]) -> Json:
    """The hook as Parameters of ``$decide``."""
    sent: list[object] = [
        {"name": "subject", "valueReference": {"reference": patient}} for patient in patients
    ]
    sent += [
        {"name": "actor", "valueIdentifier": {"system": system, "value": value}}
        for system, value in _identifiers(context.get("actor"))
    ]
    sent += [
        {"name": "actor", "valueReference": {"reference": reference}}
        for reference in _references(context.get("actor"))
    ]
    purpose = context.get("purposeOfUse")
    if purpose:
        sent.append({"name": "purpose", "valueCode": purpose})
    facts = _facts(context)
    if facts:
        sent.append({"name": "resource", "resource": facts})
    return {"resourceType": "Parameters", "parameter": sent}


def _facts(context: Json) -> Json:
    """What is known of the record."""
    classes, labels = _objects(context, "class"), _objects(context, "securityLabel")
    types = [str(each.get("code")) for each in classes if each.get("system") == _TYPES]
    if not types and not labels:
        return {}
    security = {"meta": {"security": labels}} if labels else {}
    return {"resourceType": types[0] if types else "Basic", **security}


def _decision(answer: Recorded) -> tuple[str, Json]:
    [told] = _objects(orjson.loads(answer.body), "parameter")
    parts = _objects(told, "part")
    said = {str(p["name"]): next((v for k, v in p.items() if k != "name"), "") for p in parts}
    duties = [p.get("valueString") for p in parts if p["name"] == "obligation"]
    obligations = [{"id": {"system": _OBLIGATIONS, "code": duty}} for duty in duties]
    if said["decision"] == "permit":
        return _PERMIT, {"obligations": obligations}
    return (_NO_CONSENT if said.get("basis") == "default" else _DENY), {}


def _identifiers(value: object) -> list[tuple[str, str]]:
    listed = _objects({"of": value}, "of")[:_MOST_NAMES]
    return [(str(i["system"]), str(i["value"])) for i in listed if i.get("system") and "value" in i]


def _references(value: object) -> list[str]:
    listed = value if isinstance(value, list) else []
    named = [each.get("reference") if isinstance(each, dict) else each for each in listed]
    return [each for each in named if isinstance(each, str) and each][:_MOST_NAMES]


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object, name: str) -> list[Json]:
    found = _object(value).get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _json(content: Json) -> Response:
    return Response(
        orjson.dumps(content), 200, {"Cache-Control": "no-store"}, media_type="application/json"
    )
