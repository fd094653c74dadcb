"""What is told of requests to the token endpoint: who claims to ask, how it ended, and nothing else that was sent."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from smart_auth.exchange import HttpRequest, json_response
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from smart_auth.tokens.attempts import LONGEST_CLIENT_ID, TokenAttempt, attempt_of
from tests.smart_auth.browsing import ISSUER, pairs
from tests.smart_auth.conftest import FHIR, TOKEN_URL, House, basic
from tests.smart_auth.stand_ins import Patients

REFUSED = json_response(401, {"error": "invalid_client", "error_description": "unknown"})
GRANTED = json_response(200, {"access_token": "secret"})


class Kept:
    """An ``AttemptLog``; a broken one keeps nothing."""

    def __init__(self, broken: bool = False) -> None:
        self.attempts: list[TokenAttempt] = []
        self.broken = broken

    async def note(self, attempt: TokenAttempt) -> None:
        if self.broken:
            raise OSError("the disk is full")
        self.attempts.append(attempt)


def asked(headers: dict[str, str] | None = None, **form: str) -> HttpRequest:
    return HttpRequest(
        "POST", TOKEN_URL, "/auth/token", headers or {}, (), pairs(form), address="192.0.2.7"
    )


def server_with(house: House, registered: Any, log: Kept) -> SmartServer:
    settings = SmartSettings(ISSUER, FHIR, custodian="Organization/custodian")
    return SmartServer(
        *(settings, house.keys, *registered, house.store, house.register, house.clock, Patients()),
        attempts=log,
    )


def test_who_claims_nothing_is_nobody() -> None:
    told = attempt_of(asked(), REFUSED, "")
    assert told == TokenAttempt("", False, "", "192.0.2.7", 401, "invalid_client: unknown")


def test_the_client_is_named_in_whichever_way_it_names_itself(house: House) -> None:
    for request in (
        asked(client_id="web"),
        asked(basic()),
        asked(client_id="web", client_secret="s"),
        asked(client_assertion=house.assertion("web")),
    ):
        told = attempt_of(request, REFUSED, "")
        assert (told.client_id, told.proved) == ("web", False)


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Basic !"}, {"authorization": "Bearer x"}, {"authorization": ""}],
)
def test_a_proof_that_cannot_be_read_names_nobody(headers: dict[str, str]) -> None:
    assert attempt_of(asked(headers), REFUSED, "").client_id == ""
    assert attempt_of(asked(client_assertion="a.b.c"), REFUSED, "").client_id == ""


def test_a_claimed_name_is_shortened_and_plain() -> None:
    told = attempt_of(asked(client_id="<b>\n\x00\u202e" + "x" * 5000), REFUSED, "")
    assert told.client_id.startswith("<b>???x")
    assert len(told.client_id) == LONGEST_CLIENT_ID
    sent = base64.b64encode("né:x".encode()).decode()
    assert attempt_of(asked({"authorization": f"Basic {sent}"}), REFUSED, "").client_id == "n?"


def test_a_grant_type_of_nobodys_is_not_told() -> None:
    assert attempt_of(asked(grant_type="password of Anna"), REFUSED, "").grant_type == ""
    assert attempt_of(asked(grant_type="refresh_token"), GRANTED, "web").grant_type
    assert attempt_of(asked(), GRANTED, "web").why == ""


async def test_each_request_is_noted_with_the_client_that_was_authenticated(
    house: House, registered: Any
) -> None:
    log = Kept()
    server = server_with(house, registered, log)
    code = {"grant_type": "authorization_code", "code": "none", "client_id": "phone"}
    await server.token(asked(**code))
    await server.token(asked(**code | {"client_id": "stranger"}))
    await server.token(asked(basic(secret="wrong"), grant_type="refresh_token", refresh_token="x"))
    await server.token(
        asked(
            grant_type="client_credentials",
            scope="system/Patient.rs",
            client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            client_assertion=house.assertion("backend-ES384"),
        )
    )
    told = [(each.client_id, each.proved, each.status) for each in log.attempts]
    assert told == [
        ("phone", True, 400),
        ("stranger", False, 401),
        ("web", False, 401),
        ("backend-ES384", True, 200),
    ]


async def test_a_refresh_that_names_no_client_is_that_of_its_token(
    house: House, registered: Any
) -> None:
    log = Kept()
    first = await house.redeem(await house.code())
    form = {"grant_type": "refresh_token", "refresh_token": first.body["refresh_token"]}
    assert (await server_with(house, registered, log).token(asked(**form))).status == 200
    assert [(each.client_id, each.grant_type) for each in log.attempts] == [
        ("phone", "refresh_token")
    ]


async def test_what_cannot_be_noted_is_not_answered(house: House, registered: Any) -> None:
    server = server_with(house, registered, Kept(broken=True))
    with pytest.raises(OSError, match="full"):
        await server.token(asked(client_id="stranger", grant_type="refresh_token"))
    with pytest.raises(OSError, match="full"):
        await server.token_unread("192.0.2.7", 413, "invalid_request: too large")
