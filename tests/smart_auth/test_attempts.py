"""What is told of a request: who claims to ask, how it ended, and nothing else that was sent."""

from __future__ import annotations

import base64

import pytest

from smart_auth.attempts import LONGEST_CLIENT_ID, Party, attempt_of, claimed_client
from smart_auth.exchange import HttpRequest, json_response
from tests.smart_auth.browsing import pairs
from tests.smart_auth.conftest import TOKEN_URL, House, basic

REFUSED = json_response(401, {"error": "invalid_client", "error_description": "unknown"})
GRANTED = json_response(200, {"access_token": "secret"})


def asked(headers: dict[str, str] | None = None, **form: str) -> HttpRequest:
    return HttpRequest(
        "POST", TOKEN_URL, "/auth/token", headers or {}, (), pairs(form), address="192.0.2.7"
    )


def test_who_claims_nothing_is_nobody() -> None:
    told = attempt_of("token", asked(), REFUSED, claimed_client(asked()))
    assert (told.client, told.person, told.address) == (None, None, "192.0.2.7")
    assert (told.status, told.why) == (401, "invalid_client: unknown")


def test_the_client_is_named_in_whichever_way_it_names_itself(house: House) -> None:
    for request in (
        asked(client_id="web"),
        asked(basic()),
        asked(client_id="web", client_secret="s"),
        asked(client_assertion=house.assertion("web")),
        asked({"authorization": "Bearer x"}, client_id="web"),
    ):
        assert claimed_client(request) == Party("web", proved=False)


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Basic !"}, {"authorization": "Bearer x"}, {"authorization": ""}],
)
def test_a_proof_that_cannot_be_read_names_nobody(headers: dict[str, str]) -> None:
    assert claimed_client(asked(headers)) is None
    assert claimed_client(asked(client_assertion="a.b.c")) is None


def test_a_claimed_name_is_shortened_and_plain() -> None:
    told = claimed_client(asked(client_id="<b>\n\x00\u202e" + "x" * 5000))
    assert told is not None
    assert told.id.startswith("<b>???x")
    assert len(told.id) == LONGEST_CLIENT_ID
    sent = base64.b64encode("né:x".encode()).decode()
    assert claimed_client(asked({"authorization": f"Basic {sent}"})) == Party("n?", proved=False)


def test_a_grant_type_or_step_of_nobodys_is_not_told() -> None:
    def step(**form: str) -> str:
        return attempt_of("token", asked(**form), REFUSED, None).step

    assert step(grant_type="refresh_token") == "refresh_token"
    assert step(step="drop-code-app") == "drop-code-app"
    for other in ("password of Anna", "", "x" * 50, "Anna"):
        assert step(grant_type=other) == step(step=other) == ""


def test_what_was_given_has_no_reason() -> None:
    assert attempt_of("token", asked(), GRANTED, None).why == ""
