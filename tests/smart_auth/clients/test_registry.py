"""Clients from plain mappings: every refusal names the field, none shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

from smart_auth.clients.registry import ClientRegistry
from smart_auth.errors import ConfigurationError
from smart_auth.tokens.jwt import generate_client_key, public_jwks
from tests.smart_auth.conftest import REDIRECT, client_mappings

HASH = "$argon2id$v=19$m=8,t=1,p=1$LKHYgFSai8MPz6idkRVxzA$GMf2ZxnnqOfJeoSh3LUNhUN5QJGAZ77YSUWwbav7kig"  # of "x"
APP = {
    "client_id": "app",
    "name": "App",
    "kind": "public",
    "redirect_uris": [REDIRECT],
    "scope": "patient/*.rs",
}


def without(good: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (good | changed).items() if value is not None}


def test_the_good_ones_of_these_tests_are_accepted(client_keys: Any) -> None:
    clients = ClientRegistry.from_mappings([APP, *client_mappings(client_keys)])
    assert clients.find("app") is not None
    assert clients.find("nobody") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", ""),
        ("client_id", 5),
        ("client_id", "a\nb"),
        ("name", None),
        ("kind", "confidential"),
        ("kind", None),
        ("kind", ["public"]),
        ("redirect_uris", None),
        ("redirect_uris", []),
        ("redirect_uris", REDIRECT),
        ("redirect_uris", ["/callback"]),
        ("redirect_uris", ["javascript:alert(1)"]),
        ("redirect_uris", ["data:text/html,x"]),
        ("redirect_uris", ["http://app.example.org/callback"]),
        ("redirect_uris", ["https://app.example.org/callback#x"]),
        ("redirect_uris", ["https://user@app.example.org/callback"]),
        ("redirect_uris", ["https://app.example.org/a b"]),
        ("redirect_uris", ["https://app.example.org;script-src/"]),
        ("redirect_uris", ["https:///callback"]),
        ("redirect_uris", ["https://äpp.example.org/callback"]),
        ("jwks", {"keys": []}),
        ("secret_hash", HASH),
        ("grant_types", ["password"]),
        ("grant_types", ["client_credentials"]),
        ("scope", None),
        ("scope", "patient/*.sr"),
        ("organization", "acme"),
        ("organization", "https://evil.example/Organization/1"),
        ("purposes", "TREAT"),
        ("jwks_uri", "https://app.example.org/jwks"),
        ("fapi", True),
        ("fapi", "yes"),
        ("introspects", True),
        ("redirect_uris", ["https://[app.example.org/"]),
        ("redirect_uris", ["https://app.example.org:99999/"]),
        ("redirect_url", REDIRECT),
    ],
)
def test_a_wrong_client_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field):
        ClientRegistry.from_mappings([without(APP, {field: value})])


@pytest.mark.parametrize(
    "secret_hash", [None, "secret in clear", "5ebe2294ecd0e0f08eab7690d2a6ee69"]
)
def test_a_client_secret_must_be_an_argon2_hash(secret_hash: str | None) -> None:
    changed = {"kind": "confidential-symmetric", "secret_hash": secret_hash}
    with pytest.raises(ConfigurationError, match="secret_hash") as refused:
        ClientRegistry.from_mappings([without(APP, changed)])
    assert not secret_hash or secret_hash not in str(refused.value)


def weak_keys() -> list[Any]:
    ec, rsa = generate_client_key("ES384"), generate_client_key("RS384")
    return [
        None,
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": ["x"]},
        {"keys": [{"kty": "EC"}]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]},
        {"keys": [ec]},
        {"keys": [rsa]},
        {"keys": [{**public_jwks(ec)["keys"][0], "use": "enc"}]},  # type: ignore[index]
        {"keys": [{**public_jwks(rsa)["keys"][0], "alg": "RS256"}]},  # type: ignore[index]
    ]


@pytest.mark.parametrize("jwks", weak_keys())
def test_wrong_private_or_unfit_keys_are_refused(jwks: Any) -> None:
    changed = {"kind": "confidential-asymmetric", "jwks": jwks}
    with pytest.raises(ConfigurationError, match="jwks") as refused:
        ClientRegistry.from_mappings([without(APP, changed)])
    assert "'d'" not in str(refused.value)


def test_a_name_cannot_be_registered_twice() -> None:
    with pytest.raises(ConfigurationError, match="app"):
        ClientRegistry.from_mappings([APP, APP])


def test_no_repr_shows_a_secret() -> None:
    changed = {"kind": "confidential-symmetric", "secret_hash": HASH}
    clients = ClientRegistry.from_mappings([APP | changed])
    assert HASH not in repr(clients.find("app"))


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example.org/jwks",
        "https://user@app.example.org/jwks",
        "https://app.example.org/jwks#x",
        "https:///jwks",
        "https://[::1/jwks",
        "https://app.example.org:99999/jwks",
        "file:///etc/passwd",
        "ftp://app.example.org/jwks",
        "//app.example.org/jwks",
        "https://app.example.org/\njwks",
        "",
        5,
    ],
)
def test_an_address_of_keys_that_is_not_plain_https_is_refused(uri: object) -> None:
    changed = {"kind": "confidential-asymmetric", "jwks_uri": uri}
    with pytest.raises(ConfigurationError, match="jwks"):
        ClientRegistry.from_mappings([without(APP, changed)])


def test_keys_come_inline_or_from_an_address_and_not_both_ways(client_keys: Any) -> None:
    asymmetric = {**APP, "kind": "confidential-asymmetric"}
    uri, jwks = {"jwks_uri": "https://a.example/k"}, {"jwks": public_jwks(client_keys["ES384"])}
    assert ClientRegistry.from_mappings([{**asymmetric, **uri}]).find("app") is not None
    for both_or_none in ({**uri, **jwks}, {}):
        with pytest.raises(ConfigurationError, match="jwks"):
            ClientRegistry.from_mappings([{**asymmetric, **both_or_none}])


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://app.example.org/launch",
        "/launch",
        "https://u@app.example.org/launch",
        "https://app.example.org/launch#x",
        "https://app.example.org/launch; script-src *",
        "",
    ],
)
def test_an_unsafe_launch_uri_is_refused(uri: str) -> None:
    client = {"client_id": "x", "name": "X", "kind": "public", "scope": "patient/*.rs"}
    uris = {"redirect_uris": ["https://app.example.org/cb"], "launch_uri": uri}
    with pytest.raises(ConfigurationError):
        ClientRegistry.from_mappings([{**client, **uris}])
