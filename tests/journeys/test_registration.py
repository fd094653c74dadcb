"""A backend service comes from nothing to a record: it registers, publishes its keys, and is trusted by them alone."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from fhir_server.app import clock, open_tokens
from fhir_server.commands.story.play import Play
from fhir_server.commands.token import settings_of
from fhir_server.sample import people
from smart_auth.clients.registered import Terms
from smart_auth.tokens.jwt import client_assertion, generate_client_key, public_jwks
from tests.app_site import AppSite

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def _initial(play: Play, terms: Terms) -> str:
    async with open_tokens(settings_of(play.server.data, None)) as smart:
        now = clock()
        return await smart.initial_tokens.make(terms, 1, now + timedelta(hours=1), now)


def token(play: Play, client_id: str, key: dict[str, object]) -> httpx2.Response:
    url = f"{play.server.url}/auth/token"
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.cruds",
        "client_assertion_type": ASSERTION,
        "client_assertion": client_assertion(key, client_id, url, datetime.now(UTC), "ES384"),
    }
    return httpx2.post(url, data=form, timeout=60)


@pytest.fixture
def registered(journey: Play, site: AppSite) -> tuple[str, dict[str, object]]:
    """The id and private key of a service that has registered where its keys are."""
    key = generate_client_key("ES384")
    published = f"{key['kid']}.jwks"
    (site.folder / published).write_text(json.dumps(public_jwks(key)))
    terms = Terms("system/Patient.rs system/Observation.rs", people.CLINIC, ("TREAT",))
    initial = asyncio.run(_initial(journey, terms))
    metadata: dict[str, Any] = {
        "client_name": "A service",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "jwks_uri": f"{site.url}/{published}",
    }
    answer = httpx2.post(
        f"{journey.server.url}/auth/register",
        json=metadata,
        headers={"Authorization": f"Bearer {initial}"},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["client_id"], key


def test_a_service_that_registered_reads_what_its_terms_say(
    journey: Play, registered: tuple[str, dict[str, object]]
) -> None:
    answer = token(journey, *registered)
    assert answer.json()["scope"] == "system/Patient.rs system/Observation.rs"
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    for path, status in ((journey.patient, 200), ("Condition?_count=1", 403)):
        read = httpx2.get(f"{journey.server.fhir}/{path}", headers=headers, timeout=60)
        assert read.status_code == status


def test_another_key_than_the_published_one_is_refused(
    journey: Play, registered: tuple[str, dict[str, object]]
) -> None:
    client_id, key = registered
    other = generate_client_key("ES384")
    for wrong in (other, {**other, "kid": key["kid"]}):
        answer = token(journey, client_id, wrong)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert token(journey, client_id, key).status_code == 200
