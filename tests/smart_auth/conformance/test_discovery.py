"""Items 1 to 8 of the checklist: discovery, over HTTP (g10 1.8, 3.7, 1.9.01)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from fhir_server.commands.story.play import Play
from smart_auth.errors import ConfigurationError
from smart_auth.settings import SmartSettings

from .conftest import ORIGIN

STANDALONE = {
    *("launch-standalone", "client-public", "client-confidential-symmetric"),
    *("client-confidential-asymmetric", "sso-openid-connect", "context-standalone-patient"),
    *("permission-offline", "permission-patient", "authorize-post"),
    *("permission-v2", "permission-v1"),
}
EHR = {
    *("launch-ehr", "client-public", "client-confidential-symmetric"),
    *("client-confidential-asymmetric", "sso-openid-connect", "context-banner", "context-style"),
    *("context-ehr-patient", "context-ehr-encounter", "permission-offline", "permission-user"),
    *("authorize-post", "permission-v2", "permission-v1"),
}
RECOMMENDED = {
    *("scopes_supported", "response_types_supported", "introspection_endpoint"),
    *("revocation_endpoint", "management_endpoint", "user_access_brand_bundle"),
    "user_access_brand_identifier",
}


def well_known(play: Play, **headers: str) -> httpx2.Response:
    return httpx2.get(f"{play.server.fhir}/.well-known/smart-configuration", headers=headers)


def document(play: Play) -> dict[str, Any]:
    found: dict[str, Any] = well_known(play).json()
    return found


@pytest.mark.parametrize("accept", ["", "application/json", "text/html", "application/fhir+xml"])
def test_item_01_the_well_known_is_json_whatever_is_accepted(clinic: Play, accept: str) -> None:
    answer = well_known(clinic, **({"Accept": accept} if accept else {}))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")


def test_item_02_what_is_required_is_there(clinic: Play) -> None:
    found = document(clinic)
    assert found["authorization_endpoint"]
    assert found["token_endpoint"]
    assert found["capabilities"]
    assert all(isinstance(each, str) for each in found["capabilities"])
    assert "authorization_code" in found["grant_types_supported"]
    assert found["code_challenge_methods_supported"] == ["S256"]


def test_item_03_issuer_and_keys_come_with_openid_connect(clinic: Play) -> None:
    found = document(clinic)
    assert "sso-openid-connect" in found["capabilities"]
    assert isinstance(found["issuer"], str)
    assert isinstance(found["jwks_uri"], str)


def test_item_04_the_capabilities_of_a_standalone_launch(clinic: Play) -> None:
    assert set(document(clinic)["capabilities"]) >= STANDALONE


def test_item_05_the_capabilities_of_an_ehr_launch(clinic: Play) -> None:
    assert set(document(clinic)["capabilities"]) >= EHR


@pytest.mark.parametrize("path", ["/fhir/.well-known/smart-configuration", "/fhir/metadata"])
def test_item_06_any_origin_may_read_it(clinic: Play, path: str) -> None:
    answer = httpx2.get(clinic.server.url + path, headers=ORIGIN)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN["Origin"])
    asked = {**ORIGIN, "Access-Control-Request-Method": "GET"}
    assert httpx2.options(clinic.server.url + path, headers=asked).status_code == 200


def test_item_07_what_is_recommended_is_there_and_every_url_is_absolute(clinic: Play) -> None:
    found = document(clinic)
    assert found.keys() >= RECOMMENDED
    urls = {name: value for name, value in found.items() if isinstance(value, str) and "/" in value}
    assert all(urlsplit(url).scheme and urlsplit(url).netloc for url in urls.values())
    assert {urlsplit(url).netloc for url in urls.values()} == {urlsplit(clinic.server.url).netloc}


def test_item_07_every_scope_that_is_announced_is_understood(clinic: Play) -> None:
    from smart_auth.authorization.scopes import parse_scopes

    scopes = document(clinic)["scopes_supported"]
    read = parse_scopes(" ".join(scopes))
    assert len(list(read)) == len(scopes)


def test_item_07_the_capability_statement_names_the_same_endpoints(clinic: Play) -> None:
    found = document(clinic)
    security = httpx2.get(f"{clinic.server.fhir}/metadata").json()["rest"][0]["security"]
    services = [c["code"] for s in security["service"] for c in s["coding"]]
    assert services == ["SMART-on-FHIR"]
    (extension,) = security["extension"]
    named = {each["url"]: each["valueUri"] for each in extension["extension"]}
    same = {
        "authorize": "authorization_endpoint",
        "token": "token_endpoint",
        "introspect": "introspection_endpoint",
        "revoke": "revocation_endpoint",
        "manage": "management_endpoint",
        "register": "registration_endpoint",
    }
    assert {name: found.get(same[name]) for name in named} == named


def test_item_07_the_pages_that_it_names_are_there(clinic: Play) -> None:
    found = document(clinic)
    for name in ("management_endpoint", "user_access_brand_bundle", "jwks_uri"):
        assert httpx2.get(found[name]).status_code == 200, name


@pytest.mark.parametrize(
    "url", ["http://fhir.example.org", "ftp://x", "http://127.0.0.1.example.org"]
)
def test_item_08_no_endpoint_is_without_tls_but_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        SmartSettings(issuer=f"{url}/auth", fhir_base="https://fhir.example.org/fhir")


def test_item_08_the_cookie_of_a_public_server_is_for_tls_only() -> None:
    settings = SmartSettings("https://fhir.example.org/auth", "https://fhir.example.org/fhir")
    assert settings.secure
