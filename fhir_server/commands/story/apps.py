"""Getting tokens as real clients do: backend services, standalone launch, and EHR launch (SMART App Launch 2.2).

A person's part is played through the pages that a browser would show: their forms are read and posted.
"""

import base64
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

from fhir_server.commands.story.cast import CALLBACK, Cast, Person, scope_of
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.pages import sign_in_and_allow
from smart_auth.people.assurance import TWO_FACTORS
from smart_auth.tokens.jwt import client_assertion

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What ``.well-known/smart-configuration`` tells a client."""

    fhir: str
    authorize: str
    token: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Granted:
    """An answer of the token endpoint.

    Attributes:
        patient: Id of the patient in context, or empty.
    """

    token: str = field(repr=False)
    scope: str
    patient: str
    encounter: str


def discover(fhir: str) -> Endpoints:
    """Ask a FHIR server where its authorization server is."""
    answer = httpx2.get(f"{fhir}/.well-known/smart-configuration", timeout=_TIMEOUT)
    found = answer.json()
    return Endpoints(
        fhir, found["authorization_endpoint"], found["token_endpoint"], found.get("issuer", "")
    )


def backend_token(endpoints: Endpoints, cast: Cast, client_id: str, scope: str) -> Granted:
    """A token by private_key_jwt, ES384.

    Raises:
        StepError: The token endpoint refuses.
    """
    now = datetime.now(UTC)
    assertion = client_assertion(cast.keys[client_id], client_id, endpoints.token, now, "ES384")
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": _ASSERTION,
        "client_assertion": assertion,
    }
    return _granted(httpx2.post(endpoints.token, data=form, timeout=_TIMEOUT))


def app_token(endpoints: Endpoints, client_id: str, person: Person, launch: str = "") -> Granted:
    """A token by authorization code with PKCE: the person signs in and allows what the app asks for.

    Args:
        launch: The handle of an EHR launch; empty for a standalone launch.

    Raises:
        StepError: A page or endpoint answers otherwise than SMART says.
    """
    verifier = secrets.token_urlsafe(48)
    query = _request(endpoints, client_id, verifier, launch)
    if person.code_app is not None:
        query["acr_values"] = TWO_FACTORS
    code = _authorize(endpoints, query, person)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": client_id,
        "code_verifier": verifier,
    }
    return _granted(httpx2.post(endpoints.token, data=form, timeout=_TIMEOUT))


def _request(endpoints: Endpoints, client_id: str, verifier: str, launch: str) -> dict[str, str]:
    """An authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3)."""
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": CALLBACK,
        "scope": scope_of(client_id),
        "state": secrets.token_urlsafe(16),
        "aud": endpoints.fhir,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"launch": launch} if launch else {}),
    }


def ehr_launch(
    server: str, ehr: Granted, client_id: str, username: str, patient: str, encounter: str
) -> str:
    """The EHR opens an app for a member of staff, on a patient: the launch handle.

    Raises:
        StepError: The server refuses.
    """
    answer = httpx2.post(
        f"{server}/auth/launch",
        json={
            "client_id": client_id,
            "username": username,
            "patient": patient,
            "encounter": encounter,
        },
        headers={"Authorization": f"Bearer {ehr.token}"},
        timeout=_TIMEOUT,
    )
    if answer.status_code != 201:
        raise StepError(f"the launch was refused: {answer.status_code} {answer.text[:200]}")
    return str(answer.json()["launch"])


def _authorize(endpoints: Endpoints, query: dict[str, str], person: Person) -> str:
    """The code that an authorization request brings."""
    back = sign_in_and_allow(f"{endpoints.authorize}?{urlencode(query)}", person)
    answer: dict[str, list[str]] = parse_qs(urlsplit(back).query)
    if answer.get("state") != [query["state"]]:
        raise StepError("the authorize page gave back another state")
    if answer.get("iss") != [endpoints.issuer] or "code" not in answer:
        raise StepError(f"the app got no code: {answer.get('error', ['no iss'])[0]}")
    return answer["code"][0]


def _granted(answer: httpx2.Response) -> Granted:
    if answer.status_code != 200:
        raise StepError(f"the token endpoint refuses: {answer.status_code} {answer.text[:200]}")
    found = answer.json()
    return Granted(
        found["access_token"],
        found["scope"],
        found.get("patient", ""),
        found.get("encounter", ""),
    )
