"""Passwords: returning means the right one."""

from __future__ import annotations

import pytest

from smart_auth.errors import ConfigurationError
from smart_auth.people.passwords import (
    WrongPasswordError,
    decoy_hash,
    hash_password,
    require_hash,
    verify_password,
)
from tests.smart_auth.conftest import CHEAP


@pytest.mark.parametrize("hashed", ["", "x", "$argon2id$v=19$m=8", "correct horse"])
def test_what_is_no_hash_matches_no_password(hashed: str) -> None:
    for password in ("", hashed, "correct horse"):
        with pytest.raises(WrongPasswordError):
            verify_password(password, hashed)


def test_only_the_right_password_matches() -> None:
    hashed = hash_password("correct horse", CHEAP)
    verify_password("correct horse", hashed)
    for wrong in ("", "correct horse ", "Correct horse", hashed):
        with pytest.raises(WrongPasswordError):
            verify_password(wrong, hashed)


def test_two_hashes_of_one_password_differ_and_name_argon2id() -> None:
    first, second = (hash_password("x", CHEAP) for _ in range(2))
    assert first != second
    require_hash("x", first)
    with pytest.raises(ConfigurationError):
        require_hash("x", first.replace("argon2id", "argon2i"))


def test_a_decoy_costs_what_a_hash_costs_and_matches_nothing() -> None:
    decoy, real = decoy_hash(), hash_password("x")
    shapes = [[*each.split("$")[:4], *map(len, each.split("$")[4:])] for each in (decoy, real)]
    assert shapes[0] == shapes[1]
    assert decoy != decoy_hash()
    for password in ("", "x", "nobody", decoy):
        with pytest.raises(WrongPasswordError):
            verify_password(password, decoy)
