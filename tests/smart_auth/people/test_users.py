"""Users from plain mappings: every refusal names the field, none shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

from smart_auth.errors import ConfigurationError
from smart_auth.people.users import UserRegistry
from tests.smart_auth.conftest import CHEAP, hash_password

HASH = hash_password("x", CHEAP)
USER = {"username": "a", "name": "A", "fhir_user": "Patient/1", "password_hash": HASH}


def without(good: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (good | changed).items() if value is not None}


def test_the_good_one_of_these_tests_is_accepted() -> None:
    users = UserRegistry.from_mappings([USER])
    assert users.find("a") is not None
    assert users.find("b") is None
    assert HASH not in repr(users.find("a"))


def test_a_name_cannot_be_registered_twice() -> None:
    with pytest.raises(ConfigurationError, match="username"):
        UserRegistry.from_mappings([USER, USER])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("name", None),
        ("password_hash", None),
        ("password_hash", "in clear"),
        ("fhir_user", None),
        ("fhir_user", "Organization/1"),
        ("fhir_user", "anna"),
        ("organizations", ["clinic"]),
        ("organizations", "Organization/1"),
        ("purposes", [5]),
        ("patient", "Practitioner/1"),
        ("email", "a@example.org"),
    ],
)
def test_a_wrong_user_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field) as refused:
        UserRegistry.from_mappings([without(USER, {field: value})])
    assert "in clear" not in str(refused.value)
