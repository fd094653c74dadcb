"""The redirect's URL, character by character."""

from __future__ import annotations

from smart_auth.authorization.request import code_location, error_location
from smart_auth.errors import RedirectError
from smart_auth.store import AuthorizationRequest


def test_a_registered_query_is_kept_and_nothing_can_be_injected() -> None:
    uri = "https://app.example.org/cb?keep=1"
    asked = AuthorizationRequest("c", uri, "", "", "a&iss=evil#x\u2603", None, None)
    location = code_location(asked, "k&=", "https://as.example/auth")
    assert location == (
        f"{uri}&code=k%26%3D&state=a%26iss%3Devil%23x%E2%98%83&iss=https%3A%2F%2Fas.example%2Fauth"
    )


def test_an_error_for_a_native_app_goes_to_its_scheme() -> None:
    error = RedirectError("access_denied", "no")
    location = error_location("org.example.app:/cb", None, error, "https://as.example")
    assert location.startswith("org.example.app:/cb?error=access_denied&error_description=no&iss=")
