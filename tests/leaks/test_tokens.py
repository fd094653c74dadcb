"""Without a token that is good now there is nothing."""

import pytest

from ..fhir_server.clinic import HOUSE, Clinic, entry, patient, transaction


@pytest.fixture
async def one(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    return clinic


REQUESTS = [
    ("GET", "Patient/a", None),
    ("GET", "Patient", None),
    ("GET", "Patient/a/_history", None),
    ("PUT", "Patient/a", patient("a")),
    ("POST", "Patient", {"resourceType": "Patient"}),
    ("DELETE", "Patient/a", None),
    ("POST", "", transaction(entry("GET", "Patient/a"))),
    ("POST", "", transaction(entry("GET", "Patient/a"), type_="batch")),
    ("GET", "Nonsense", None),
    ("GET", "metadata/1", None),
]


@pytest.mark.parametrize(("method", "url", "body"), REQUESTS)
async def test_without_a_token_every_path_says_401(
    one: Clinic, method: str, url: str, body: object
) -> None:
    for headers in (
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {HOUSE}"},
        {"authorization": f"{HOUSE}"},
        {"authorization": "Bearer nobody"},
        {"authorization": "Bearer \ud800"},
    ):
        answer = await one.ask(None, method, url, body, headers)
        assert answer.status == 401, headers
        assert "WWW-Authenticate" in answer.headers
        assert answer.json["issue"][0]["code"] == "login"
    assert (await one.get(HOUSE, "Patient/a")).json["meta"]["versionId"] == "1"


async def test_a_revoked_token_is_refused_at_once(one: Clinic) -> None:
    assert (await one.get(HOUSE, "Patient/a")).status == 200
    one.revoked.add(HOUSE)
    for method, url, body in REQUESTS:
        assert (await one.ask(HOUSE, method, url, body)).status == 401


async def test_a_refused_token_stands_in_the_log_without_itself(one: Clinic) -> None:
    start = one.log_size()
    await one.get("secret-token-value", "Patient/a")
    [event] = await one.audits(start)
    assert "secret-token-value" not in str(event)
    assert event["agent"][0]["who"] == {"display": "not authenticated"}
