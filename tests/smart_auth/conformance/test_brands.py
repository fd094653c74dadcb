"""Item 53 of the checklist: user-access brands, over HTTP (``smart_access_brands``)."""

from __future__ import annotations

from typing import Any

import httpx2

from fhir_server.commands.story.play import Play
from profiles.validation import r4_validator

from .conftest import ORIGIN


def discovered(clinic: Play) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(
        f"{clinic.server.fhir}/.well-known/smart-configuration"
    ).json()
    return found


def bundle(clinic: Play) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(discovered(clinic)["user_access_brand_bundle"]).json()
    return found


def of_type(clinic: Play, type_: str) -> list[dict[str, Any]]:
    resources = [entry["resource"] for entry in bundle(clinic)["entry"]]
    return [each for each in resources if each["resourceType"] == type_]


def test_item_53_the_bundle_is_public_for_every_origin_and_has_an_etag(clinic: Play) -> None:
    url = discovered(clinic)["user_access_brand_bundle"]
    answer = httpx2.get(url, headers=ORIGIN)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN["Origin"])
    assert answer.headers["etag"].startswith('W/"')
    again = httpx2.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_item_53_the_bundle_is_valid(clinic: Play) -> None:
    found = bundle(clinic)
    assert (found["type"], bool(found["timestamp"])) == ("collection", True)
    assert r4_validator().check(found) == ()


def test_item_53_every_brand_has_a_name_an_identifier_and_a_website(clinic: Play) -> None:
    for brand in of_type(clinic, "Organization"):
        assert brand["name"]
        assert brand["identifier"][0]["value"]
        assert [each["system"] for each in brand["telecom"]] == ["url"]


def test_item_53_every_endpoint_is_one_of_fhir(clinic: Play) -> None:
    for endpoint in of_type(clinic, "Endpoint"):
        assert endpoint["connectionType"]["code"] == "hl7-fhir-rest"
        versions = [
            e["valueCode"] for e in endpoint["extension"] if e["url"].endswith("fhir-version")
        ]
        assert versions == ["4.0.1"]
        assert [each["system"] for each in endpoint["contact"]] == ["url"]
        assert httpx2.get(endpoint["contact"][0]["value"]).status_code == 200


def test_item_53_the_endpoint_urls_resolve(clinic: Play) -> None:
    addresses = [endpoint["address"] for endpoint in of_type(clinic, "Endpoint")]
    assert addresses == [clinic.server.fhir]
    for address in addresses:
        statement = httpx2.get(f"{address}/metadata").json()
        assert statement["resourceType"] == "CapabilityStatement"
        assert httpx2.get(f"{address}/.well-known/smart-configuration").status_code == 200


def test_item_53_the_primary_identifier_is_one_brands_only(clinic: Play) -> None:
    primary = discovered(clinic)["user_access_brand_identifier"]
    brands = of_type(clinic, "Organization")
    assert len([brand for brand in brands if primary in brand["identifier"]]) == 1
