"""Keys behind a ``jwks_uri``: fetched when needed, kept as long as they may be, and not hammered for."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from smart_auth.clients.keys import Fetched, KeyShelf, lifetime_of
from smart_auth.clients.registry import Client, read_client
from smart_auth.errors import InvalidClientError, KeysUnreachableError
from smart_auth.tokens.jwt import generate_client_key, public_jwks
from tests.smart_auth.conftest import Clock

ADDRESS = "https://app.example.org/jwks"


class Web:
    """The KeyFetcher of these tests: one address."""

    def __init__(self) -> None:
        self.body: bytes | None = b""
        self.cache_control = "max-age=3600"
        self.asked = 0

    def show(self, *keys: dict[str, object]) -> None:
        all_ = [each for key in keys for each in public_jwks(key)["keys"]]  # type: ignore[attr-defined]
        self.body = json.dumps({"keys": all_}).encode()

    async def fetch(self, url: str) -> Fetched:
        assert url == ADDRESS
        self.asked += 1
        await asyncio.sleep(0)
        if self.body is None:
            raise KeysUnreachableError
        return Fetched(self.body, self.cache_control)


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def shelf(web: Web, clock: Clock) -> KeyShelf:
    return KeyShelf(web, clock)


@pytest.fixture(scope="module")
def key() -> dict[str, object]:
    return generate_client_key("ES384")


@pytest.fixture
def client() -> Client:
    return read_client(
        {
            "client_id": "far",
            "name": "Far",
            "kind": "confidential-asymmetric",
            "jwks_uri": ADDRESS,
            "grant_types": ["client_credentials"],
            "scope": "system/*.rs",
        }
    )


async def found(shelf: KeyShelf, client: Client, kid: object) -> int:
    return len((await shelf.find(client, kid, "ES384")).fitting(kid, "ES384"))


async def test_keys_are_fetched_once_in_their_lifetime(
    web: Web, shelf: KeyShelf, client: Client, key: Any, clock: Clock
) -> None:
    web.show(key)
    for _ in range(3):
        assert await found(shelf, client, key["kid"]) == 1
    clock.pass_(minutes=59)
    assert await found(shelf, client, key["kid"]) == 1
    assert web.asked == 1
    clock.pass_(minutes=2)
    assert await found(shelf, client, key["kid"]) == 1
    assert web.asked == 2


async def test_an_unknown_kid_fetches_anew_but_once_a_minute_only(
    web: Web, shelf: KeyShelf, client: Client, key: Any, clock: Clock
) -> None:
    web.show(key)
    await found(shelf, client, key["kid"])
    new = generate_client_key("ES384")
    web.show(new)
    clock.pass_(seconds=30)
    for number in range(50):
        assert await found(shelf, client, f"invented-{number}") == 0
    assert web.asked == 1
    clock.pass_(seconds=31)
    assert await found(shelf, client, new["kid"]) == 1
    assert await found(shelf, client, key["kid"]) == 0
    assert web.asked == 2


async def test_many_at_once_fetch_once(web: Web, shelf: KeyShelf, client: Client, key: Any) -> None:
    web.show(key)
    counts = await asyncio.gather(*(found(shelf, client, key["kid"]) for _ in range(50)))
    assert (set(counts), web.asked) == ({1}, 1)


async def test_keys_are_not_used_past_their_lifetime(
    web: Web, shelf: KeyShelf, client: Client, key: Any, clock: Clock
) -> None:
    web.show(key)
    await found(shelf, client, key["kid"])
    web.body = None
    clock.pass_(minutes=30)
    assert await found(shelf, client, "another") == 0  # fails, and what is there stays
    assert await found(shelf, client, key["kid"]) == 1
    clock.pass_(minutes=31)
    for _ in range(10):
        with pytest.raises(InvalidClientError):
            await found(shelf, client, key["kid"])
    assert web.asked == 3


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"[]",
        b"{}",
        b'{"keys":5}',
        b'{"keys":[]}',
        b'{"keys":[{}]}',
        b"\xff",
        b"[" * 60_000,
        b'{"keys":[],"keys":[]}',
        b'{"keys":[{"kty":"oct","k":"AA"}]}',
        b"NaN",
    ],
)
async def test_what_is_no_key_set_gives_no_keys_and_is_not_asked_for_again_at_once(
    web: Web, shelf: KeyShelf, client: Client, clock: Clock, body: bytes | None
) -> None:
    web.body = body
    for _ in range(5):
        with pytest.raises(InvalidClientError):
            await found(shelf, client, "k")
    assert web.asked == 1
    clock.pass_(seconds=11)
    with pytest.raises(InvalidClientError):
        await found(shelf, client, "k")
    assert web.asked == 2


async def test_a_private_key_at_the_address_is_not_used(
    web: Web, shelf: KeyShelf, client: Client, key: Any
) -> None:
    web.body = json.dumps({"keys": [key]}).encode()
    with pytest.raises(InvalidClientError):
        await found(shelf, client, key["kid"])


async def test_a_server_that_fetches_nothing_says_so(client: Client, clock: Clock) -> None:
    from smart_auth.clients.keys import NoFetcher

    with pytest.raises(InvalidClientError):
        await found(KeyShelf(NoFetcher(), clock), client, "k")


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        ("", timedelta(minutes=10)),
        ("max-age=7200", timedelta(hours=2)),
        ("public, max-age=7200", timedelta(hours=2)),
        ('max-age="7200"', timedelta(hours=2)),
        ("max-age=0", timedelta(minutes=1)),
        ("no-store", timedelta(minutes=1)),
        ("max-age=7200, no-cache", timedelta(minutes=1)),
        ("max-age=999999999", timedelta(hours=24)),
        ("max-age=99999999999999999999", timedelta(hours=24)),
        ("max-age=-5", timedelta(minutes=10)),
        ("nonsense", timedelta(minutes=10)),
    ],
)
def test_keys_are_kept_as_their_cache_control_says_within_bounds(
    said: str, lifetime: timedelta
) -> None:
    assert lifetime_of(said) == lifetime
