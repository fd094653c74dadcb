"""User-access brands: made from the settings, or the operator's own file, which must fit this server."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from fhir_server.errors import SettingsError
from fhir_server.portal.brands import PATH, BrandRoutes, read_brands
from fhir_server.settings import Settings
from profiles.validation import Validator, r4_validator

SINCE = "2026-05-04T12:00:00+00:00"
NAMED = Settings(brand_name="Lindenbach Clinic", base_url="https://fhir.example.org")


@pytest.fixture(scope="module")
def validator() -> Validator:
    return r4_validator()


@pytest.fixture
def made(validator: Validator) -> dict[str, Any]:
    bundle: dict[str, Any] = json.loads(read_brands(NAMED, validator, SINCE).body)
    return bundle


def test_what_is_made_names_this_server(made: dict[str, Any], validator: Validator) -> None:
    organization, endpoint = (entry["resource"] for entry in made["entry"])
    assert (made["type"], made["timestamp"]) == ("collection", SINCE)
    assert organization["name"] == "Lindenbach Clinic"
    assert endpoint["address"] == "https://fhir.example.org/fhir"
    assert validator.check(made) == ()
    brands = read_brands(NAMED, validator, SINCE)
    assert brands.identifier == ("urn:ietf:rfc:3986", "https://fhir.example.org")


def test_a_file_of_ones_own_is_sent_as_it_is(
    made: dict[str, Any], validator: Validator, tmp_path: Path
) -> None:
    other = copy.deepcopy(made["entry"][0])
    other["fullUrl"] += "-2"
    other["resource"]["id"] = "second"
    other["resource"]["identifier"] = [{"system": "urn:x", "value": "2"}]
    made["entry"][0]["resource"]["identifier"] = [{"system": "urn:x", "value": "1"}]
    made["entry"].append(other)
    brands = read_brands(_with_file(made, tmp_path), validator, SINCE)
    assert brands.identifier == ("urn:x", "1")
    assert json.loads(brands.body) == made


def _with_file(content: object, folder: Path) -> Settings:
    path = folder / "brands.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Settings(base_url="https://fhir.example.org", brands_file=str(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "searchset"}, "collection"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": "yesterday"}, "not valid R4"),
        ({"entry": []}, "Endpoint whose address"),
        ({"resourceType": "Patient"}, "FHIR Bundle"),
        ({"nonsense": 1}, "not valid R4"),
    ],
)
def test_a_bundle_that_does_not_fit_refuses_to_start(
    made: dict[str, Any], validator: Validator, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    wrong = {name: value for name, value in (made | change).items() if value not in (None, [])}
    with pytest.raises(SettingsError, match=said):
        read_brands(_with_file(wrong, tmp_path), validator, SINCE)


def test_a_bundle_of_another_server_refuses_to_start(
    made: dict[str, Any], validator: Validator, tmp_path: Path
) -> None:
    made["entry"][1]["resource"]["address"] = "https://elsewhere.example.org/fhir"
    with pytest.raises(SettingsError, match=r"https://fhir\.example\.org/fhir"):
        read_brands(_with_file(made, tmp_path), validator, SINCE)


def test_an_identifier_that_two_share_is_nobodys(
    made: dict[str, Any], validator: Validator, tmp_path: Path
) -> None:
    twin = copy.deepcopy(made["entry"][0])
    twin["fullUrl"] += "-2"
    twin["resource"]["id"] = "twin"
    made["entry"].append(twin)
    with pytest.raises(SettingsError, match="identifier of its own"):
        read_brands(_with_file(made, tmp_path), validator, SINCE)


def test_nothing_but_organizations_and_endpoints_is_published(
    made: dict[str, Any], validator: Validator, tmp_path: Path
) -> None:
    patient = {"fullUrl": "urn:uuid:0b2a4e40-0000-4000-8000-000000000001"}
    made["entry"].append({**patient, "resource": {"resourceType": "Patient", "id": "x"}})
    with pytest.raises(SettingsError, match="only"):
        read_brands(_with_file(made, tmp_path), validator, SINCE)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "null"])
def test_a_file_that_is_no_bundle_refuses_to_start(
    validator: Validator, tmp_path: Path, text: str
) -> None:
    with pytest.raises(SettingsError, match="brands_file"):
        read_brands(_with_file(text, tmp_path), validator, SINCE)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_brand_has_a_name(name: str) -> None:
    with pytest.raises(SettingsError, match="brand_name"):
        Settings(brand_name=name)


async def test_who_has_it_already_is_told_so(validator: Validator) -> None:
    app = FastAPI()
    app.include_router(BrandRoutes(read_brands(NAMED, validator, SINCE)).router)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        first = await client.get(PATH)
        etag = first.headers["etag"]
        assert etag.startswith('W/"')
        for known in (etag, f'"x", {etag}'):
            again = await client.get(PATH, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
        assert (await client.get(PATH, headers={"If-None-Match": '"x"'})).status_code == 200
        assert (await client.head(PATH)).headers["content-type"] == "application/fhir+json"
