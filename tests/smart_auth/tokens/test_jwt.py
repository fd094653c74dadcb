"""Keys: what is stored, what is published, and what is refused."""

from __future__ import annotations

import json

import pytest

from smart_auth.errors import ConfigurationError
from smart_auth.tokens.jwt import (
    SigningKeys,
    generate_client_key,
    generate_keys,
    load_keys,
    sign_access_token,
    verify_access_token,
)

PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


def test_only_public_halves_are_published(keys: SigningKeys) -> None:
    published = keys.public_jwks()["keys"]
    assert isinstance(published, list)
    assert [(key["kty"], key["alg"], key["use"]) for key in published] == [
        ("EC", "ES384", "sig"),
        ("RSA", "RS256", "sig"),
    ]
    assert not any(name in key for key in published for name in PRIVATE)
    assert all(key["kid"] for key in published)


def test_no_repr_shows_a_key(keys: SigningKeys) -> None:
    assert repr(keys) == "SigningKeys()"


def test_a_new_key_is_put_in_front_and_old_tokens_still_verify() -> None:
    old, new = json.loads(generate_keys()), json.loads(generate_keys())
    both = {"version": 1, "keys": [*new["keys"], *old["keys"]]}
    old_keys, both_keys = load_keys(json.dumps(old).encode()), load_keys(json.dumps(both).encode())
    token = sign_access_token({"sub": "x"}, old_keys)
    assert verify_access_token(token, both_keys) == {"sub": "x"}
    assert both_keys.access[0].kid == new["keys"][0]["kid"]


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"version": 2, "keys": []}',
        b'{"version": 1, "keys": []}',
        b'{"version": 1, "keys": [{"kty": "EC"}]}',
        b'{"version": 1, "keys": 5}',
    ],
)
def test_what_generate_keys_did_not_make_is_refused(stored: bytes) -> None:
    with pytest.raises(ConfigurationError):
        load_keys(stored)


def test_public_keys_cannot_sign(keys: SigningKeys) -> None:
    with pytest.raises(ConfigurationError):
        load_keys(json.dumps({"version": 1, **keys.public_jwks()}).encode())


def test_a_client_key_is_es384_or_rs384() -> None:
    for algorithm in ("RS256", "HS256", "none", ""):
        with pytest.raises(ConfigurationError):
            generate_client_key(algorithm)
