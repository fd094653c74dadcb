"""``/docs`` and ``/openapi.json``: all that is registered, nothing from elsewhere, nothing of anybody."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI

from fhir_server.interactions.registered import REGISTERED
from fhir_server.portal.documentation import DocumentationRoutes
from profiles.definitions import r4
from tests.fhir_server.clinic import Clinic, patient
from tests.fhir_server.custom_parameters import parameter


@pytest.fixture
async def browser(clinic: Clinic) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(DocumentationRoutes(lambda: clinic.pipeline.tools).router)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_the_page_names_every_type_and_loads_nothing(browser: httpx2.AsyncClient) -> None:
    answer = await browser.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = answer.text
    assert all(f'id="{type_}"' in text for type_ in r4().resource_types)
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\ssrc=|\son\w+=", text)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


async def test_the_search_box_works_without_script(browser: httpx2.AsyncClient) -> None:
    text = (await browser.get("/docs", params={"q": "BirthDate"})).text
    assert re.findall(r'<details id="(\w+)" open', text) == ["Patient", "Person", "RelatedPerson"]
    assert "gender" not in text
    by_name = (await browser.get("/docs?q=practitionerrole")).text
    assert re.findall(r'<details id="(\w+)"', by_name) == ["PractitionerRole"]
    assert "PractitionerRole/{id}/_history" in by_name
    assert "Nothing has that in its name" in (await browser.get("/docs?q=nothing-such")).text


@pytest.mark.parametrize(
    "wanted", ['"><script>alert(1)</script>', "{{ 7 * 7 }}", "é" * 9000, "\x00"]
)
async def test_what_is_looked_for_stays_text(browser: httpx2.AsyncClient, wanted: str) -> None:
    answer = await browser.get("/docs", params={"q": wanted})
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "49" not in answer.text
    assert len(answer.text) < 20_000


async def test_a_custom_parameter_is_shown_with_its_state_and_no_record_is(
    browser: httpx2.AsyncClient, clinic: Clinic
) -> None:
    await clinic.put(patient("secret-id", name=[{"family": "Zubrowka"}]))
    assert "eye-colour" not in (await browser.get("/docs")).text
    await clinic.put(parameter())
    text = (await browser.get("/docs?q=eye-colour")).text
    assert "its index is queued" in text
    described = (await browser.get("/openapi.json")).text
    assert "Patient.eye-colour" in described
    assert not re.search("secret-id|Zubrowka", text + described)


async def test_the_description_for_programs_holds_together(browser: httpx2.AsyncClient) -> None:
    found = (await browser.get("/openapi.json")).json()
    assert found["openapi"] == "3.1.0"
    text = (await browser.get("/openapi.json")).text
    for reference in set(re.findall(r'"\$ref":"#/components/(\w+)/([^"]+)"', text)):
        assert reference[1] in found["components"][reference[0]]
    operations = [
        operation
        for item in found["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for path, item in found["paths"].items():
        named = {
            p["$ref"].rpartition(".")[2] if "$ref" in p else p["name"]
            for p in item.get("parameters", ())
        }
        assert named == set(re.findall(r"\{(\w+)\}", path)), path


async def test_every_registered_interaction_is_described(browser: httpx2.AsyncClient) -> None:
    paths = (await browser.get("/openapi.json")).json()["paths"]
    for found in REGISTERED:
        if found.shape.startswith("[compartment]"):
            continue
        for type_ in r4().resource_types if "[type]" in found.shape else {""}:
            shape = found.shape.rstrip("?").replace("[type]", type_)
            path = "/" + shape.replace("[id]", "{id}").replace("[vid]", "{vid}")
            described = found.method.lower() in paths.get(path, {})
            offered = [r for r in REGISTERED if r.offers(type_) and r.method == found.method]
            assert described == any(r.shape.rstrip("?") == found.shape.rstrip("?") for r in offered)
    assert paths["/metadata"]["get"]["security"] == []
