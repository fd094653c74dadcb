"""Signing in at an outside provider: a real one answers, and every other answer is refused."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import oidc_provider_mock
import pytest

from fhir_server.errors import SettingsError
from fhir_server.portal.outside_provider import OutsideProvider
from smart_auth.clients.registry import ClientRegistry
from smart_auth.errors import PageError
from smart_auth.exchange import HttpRequest, Pairs
from smart_auth.people.assurance import TWO_FACTORS
from smart_auth.people.browser import Visitor
from smart_auth.people.outside import Arrival, Outside
from smart_auth.people.users import UserRegistry
from smart_auth.server import SmartServer

from ..browsing import Browser
from ..conftest import House, asking, client_mappings, user_mappings
from ..stand_ins import Patients

HANDLE = "h" * 43
HERE = Visitor("c" * 43)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@dataclass
class Desk:
    """Our side, and a browser that goes to the provider and comes back."""

    outside: Outside
    issuer: str

    async def away(self, subject: str = "helena@id", **claims: object) -> Pairs:
        """Sign in there; what it answers with."""
        async with httpx2.AsyncClient() as client:
            told = await client.put(f"{self.issuer}/users/{subject}", json=claims)
            told.raise_for_status()
            address = await self.outside.begin(HERE, HANDLE)
            answer = await client.post(address, data={"sub": subject})
        assert answer.headers["location"].startswith(self.outside.settings.outside_page)
        return tuple(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def back(self, answer: Pairs, visitor: Visitor = HERE) -> Arrival:
        page = self.outside.settings.outside_page
        return await self.outside.arrive(HttpRequest("GET", page, "/x", {}, answer), visitor)


@pytest.fixture
def desk(house: House, issuer: str) -> Desk:
    people = user_mappings()
    people[1]["outside"] = "helena@id"
    provider = OutsideProvider(issuer, "consentry", "secret", "Hospital sign-in")
    settings, vault = house.server._settings, house.server._vault
    users = UserRegistry.from_mappings(people)
    real_time = lambda: datetime.now(UTC)  # noqa: E731  the provider's clock is the real one
    return Desk(Outside(provider, settings, users, vault, real_time), issuer)


@pytest.fixture(autouse=True)
def _now(clock: Any) -> None:
    clock.now = datetime.now(UTC)


async def test_who_signs_in_there_is_a_user_here(desk: Desk) -> None:
    arrival = await desk.back(await desk.away())
    assert (arrival.person.username, arrival.sign_in, arrival.amr) == ("drdoe", HANDLE, ())


async def test_two_factors_there_are_two_factors_here(desk: Desk) -> None:
    for claims, methods in (
        ({"amr": ["pwd", "mfa", 5, "x" * 99, "a b"]}, ("pwd", "mfa")),
        ({"acr": TWO_FACTORS}, ("mfa",)),
        ({"acr": TWO_FACTORS, "amr": ["otp"]}, ("otp", "mfa")),
        ({"acr": "mfa", "amr": "mfa"}, ()),
        ({"amr": ["pwd"] * 50}, ("pwd",)),
    ):
        assert (await desk.back(await desk.away(**claims))).amr == methods


async def test_the_request_has_state_nonce_and_a_challenge(desk: Desk) -> None:
    one, two = [
        dict(parse_qsl(urlsplit(await desk.outside.begin(HERE, HANDLE)).query)) for _ in "12"
    ]
    assert one["scope"] == "openid"
    assert one["code_challenge_method"] == "S256"
    assert all(one[name] != two[name] for name in ("state", "nonce", "code_challenge"))
    assert HANDLE not in str(one)
    assert HERE.cookie not in str(one)


async def test_who_is_no_user_here_does_not_become_one(desk: Desk) -> None:
    with pytest.raises(PageError, match="not registered here"):
        await desk.back(await desk.away("stranger@id"))


async def test_an_answer_is_good_once_in_the_browser_that_asked(desk: Desk) -> None:
    answer = await desk.away()
    with pytest.raises(PageError, match="browser"):
        await desk.back(answer, Visitor("d" * 43))
    with pytest.raises(PageError, match="used already"):
        await desk.back(answer)
    answer = await desk.away()
    await desk.back(answer)
    with pytest.raises(PageError, match="used already"):
        await desk.back(answer)


@pytest.mark.parametrize(
    "changed",
    [
        {"state": None},
        {"state": "x" * 43},
        {"code": None},
        {"code": "another"},
        {"iss": "https://evil.example.org"},
        {"code": None, "error": "access_denied"},
        {"code": "x\x00"},
        {"code": "x" * 9000},
    ],
)
async def test_another_answer_is_refused(desk: Desk, changed: dict[str, str | None]) -> None:
    answer = dict(await desk.away()) | changed
    with pytest.raises(PageError):
        await desk.back(tuple((n, v) for n, v in answer.items() if v is not None))


async def test_a_repeated_parameter_is_refused(desk: Desk) -> None:
    answer = await desk.away()
    with pytest.raises(PageError):
        await desk.back((*answer, ("code", "x")))


async def test_a_code_of_another_request_is_refused(desk: Desk) -> None:
    """The provider would take it; the nonce and the verifier are those of the other browser."""
    victim, mine = dict(await desk.away()), dict(await desk.away("stranger@id"))
    with pytest.raises(PageError):
        await desk.back((("state", mine["state"]), ("code", victim["code"])))


async def test_new_keys_of_the_provider_are_fetched(desk: Desk) -> None:
    provider: Any = desk.outside.provider
    await desk.back(await desk.away())
    [jwks] = [url for url in provider._known if "jwks" in url]
    provider._known[jwks].value = {"keys": []}
    assert (await desk.back(await desk.away())).person.username == "drdoe"


@pytest.mark.parametrize("issuer_", ["http://localhost:1", "http://localhost:1/x"])
async def test_a_provider_that_does_not_answer_is_named(desk: Desk, issuer_: str) -> None:
    provider = OutsideProvider(issuer_, "consentry", "", "Hospital sign-in")
    with pytest.raises(PageError, match="Hospital sign-in does not answer") as refused:
        await replace(desk.outside, provider=provider).begin(HERE, HANDLE)
    assert refused.value.status == 503


async def test_metadata_of_another_issuer_are_refused(desk: Desk) -> None:
    provider = OutsideProvider(desk.issuer + "/", "consentry", "", "Hospital sign-in")
    with pytest.raises(PageError):
        await replace(desk.outside, provider=provider).begin(HERE, HANDLE)


@pytest.mark.parametrize("issuer_", ["http://id.example.org", "ftp://localhost", "", "localhost"])
def test_a_provider_on_plain_http_is_refused(issuer_: str) -> None:
    with pytest.raises(SettingsError, match="https"):
        OutsideProvider(issuer_, "consentry", "", "")


class Away:
    """A browser at our sign-in page that goes to the provider."""

    def __init__(self, house: House, issuer: str) -> None:
        people = user_mappings()
        people[1] |= {"outside": "helena@id", "password_hash": None}
        settings = replace(house.server._settings, outside_name="Hospital <sign-in>")
        provider = OutsideProvider(issuer, "consentry", "secret", settings.outside_name)
        users = UserRegistry.from_mappings(
            {n: v for n, v in each.items() if v is not None} for each in people
        )
        server = SmartServer(
            settings,
            house.keys,
            ClientRegistry.from_mappings(client_mappings(house.client_keys)),
            users,
            house.store,
            house.register,
            house.clock,
            Patients(),
            provider=provider,
        )
        self.browser = Browser(server)
        self.server = server

    async def go(self, subject: str = "helena@id") -> Pairs:
        """Go to the provider and sign in there; what it sends back with the browser."""
        found = re.search(r'href="([^"]*outside[^"]*)"', self.browser.text)
        assert found is not None
        link = urlsplit(html.unescape(found[1]))
        await self.browser.open("/outside", *parse_qsl(link.query))
        async with httpx2.AsyncClient() as client:
            told = await client.post(self.browser.headers["Location"], data={"sub": subject})
        return tuple(parse_qsl(urlsplit(told.headers["location"]).query))

    async def come_back(self, answer: Pairs) -> Browser:
        return await self.browser.open("/outside", *answer)


@pytest.fixture
async def away(house: House, issuer: str) -> Away:
    made = Away(house, issuer)
    await made.browser.get(asking())
    return made


async def test_the_sign_in_page_offers_the_provider_by_its_name(away: Away) -> None:
    assert "Sign in with Hospital &lt;sign-in&gt;" in away.browser.text


async def test_who_came_back_goes_on_where_she_was(away: Away) -> None:
    before = dict(away.browser.cookies)
    browser = await away.come_back(await away.go())
    assert browser.status == 303
    assert browser.cookies != before, "a cookie that somebody planted is worth nothing now"
    await browser._follow()
    assert "Dora Doe" in browser.text


async def test_a_person_without_a_password_signs_in_there_only(away: Away) -> None:
    await away.browser.sign_in("drdoe")
    assert away.browser.status == 403


async def test_a_stranger_is_told_so_and_signs_nobody_in(away: Away) -> None:
    browser = await away.come_back(await away.go("stranger@id"))
    assert (browser.status, "not registered here" in browser.text) == (403, True)


async def test_somebody_else_s_sign_in_is_not_gone_on_with(away: Away) -> None:
    """The attacker's answer, put into the victim's browser (login CSRF)."""
    answer = await away.go()
    victim = Browser(away.server)
    await victim.get(asking())
    away.browser = victim
    assert (await away.come_back(answer)).status == 403


async def test_without_a_provider_there_is_no_such_page(house: House) -> None:
    request = HttpRequest("GET", "x", "/x", {}, (("request", "y"),))
    assert (await house.server.outside(request)).status == 404


@pytest.mark.parametrize(
    "query", [(), (("request", "x"),), (("state", "x"),), (("state", "x\x00"),)]
)
async def test_an_invented_way_leads_nowhere(away: Away, query: Pairs) -> None:
    browser = await away.come_back(query)
    assert browser.status in (400, 403)
    assert "Location" not in browser.headers
