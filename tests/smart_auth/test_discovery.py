"""Discovery documents: what conformance kits look for (smart.md, items 2 to 5, 26 and 27)."""

from __future__ import annotations

from typing import Any

from tests.smart_auth.conftest import House

WANTED = {
    *("launch-standalone", "launch-ehr", "client-public", "client-confidential-symmetric"),
    *("client-confidential-asymmetric", "sso-openid-connect", "context-standalone-patient"),
    *("context-banner", "context-style", "context-ehr-patient", "context-ehr-encounter"),
    *("permission-offline", "permission-patient", "permission-user", "authorize-post"),
    *("permission-v1", "permission-v2"),
}


def test_the_smart_configuration_has_what_g10_wants(house: House) -> None:
    document: dict[str, Any] = house.server.smart_configuration()
    assert set(document["capabilities"]) >= WANTED
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert set(document["grant_types_supported"]) >= {"authorization_code", "client_credentials"}
    algorithms = document["token_endpoint_auth_signing_alg_values_supported"]
    assert set(algorithms) >= {"ES384", "RS384"}
    assert not {"none", "HS256", "RS256"} & set(algorithms)


def test_no_scope_or_flow_is_announced_that_is_refused(house: House) -> None:
    document: dict[str, Any] = house.server.openid_configuration()
    assert document["response_types_supported"] == ["code"]
    assert not document["request_parameter_supported"]


def test_every_url_is_absolute_and_https(house: House) -> None:
    for document in (house.server.smart_configuration(), house.server.openid_configuration()):
        urls = [document[name] for name in document if name.endswith(("_endpoint", "_uri"))]
        assert len(urls) >= 5
        assert all(str(url).startswith("https://auth.example.org/auth/") for url in urls)


def test_the_openid_document_promises_rs256_and_the_key_is_there(house: House) -> None:
    document: dict[str, Any] = house.server.openid_configuration()
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    keys: Any = house.server.jwks()["keys"]
    assert any(key["kty"] == "RSA" for key in keys)


def test_the_style_is_flat_text(house: House) -> None:
    assert all(isinstance(value, str) for value in house.server.smart_style().values())
