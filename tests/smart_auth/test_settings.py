"""Settings that would be unsafe refuse to start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from smart_auth.errors import ConfigurationError
from smart_auth.settings import SmartSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issuer", "http://fhir.example.org/auth"),
        ("issuer", "https://fhir.example.org/auth/"),
        ("issuer", "https://fhir.example.org/auth?x"),
        ("issuer", "https://"),
        ("issuer", "/auth"),
        ("fhir_base", "ftp://fhir.example.org"),
        ("fhir_base", "http://localhost.evil.example/fhir"),
        ("backend_token_lifetime", timedelta(minutes=6)),
        ("backend_token_lifetime", timedelta(0)),
        ("app_token_lifetime", timedelta(hours=2)),
        ("code_lifetime", timedelta(minutes=11)),
        ("launch_lifetime", timedelta(minutes=6)),
        ("refresh_lifetime", timedelta(days=30)),
        ("second_factor", "sometimes"),
        ("second_factor", ""),
    ],
)
def test_an_unsafe_setting_is_refused_by_name(name: str, value: Any) -> None:
    good: dict[str, Any] = {"issuer": "https://a.example/auth", "fhir_base": "https://a.example/r4"}
    with pytest.raises(ConfigurationError, match=name):
        SmartSettings(**(good | {name: value}))


def test_plain_http_is_for_loopback_only() -> None:
    settings = SmartSettings("http://localhost:8000/auth", "http://127.0.0.1:8000/fhir")
    assert not settings.secure
