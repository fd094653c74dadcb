"""Somebody without a token finds out what can be asked; nothing of it is somebody's data."""

from __future__ import annotations

import httpx2

from fhir_server.commands.story.play import Play


def test_the_page_and_the_description_need_no_token(clinic: Play) -> None:
    page = httpx2.get(f"{clinic.server.url}/docs")
    assert page.status_code == 200
    assert clinic.server.fhir in page.text
    described = httpx2.get(f"{clinic.server.url}/openapi.json")
    assert described.json()["servers"] == [{"url": clinic.server.fhir}]
    assert httpx2.head(f"{clinic.server.url}/docs").status_code == 200
    for text in (page.text, described.text):
        assert clinic.patient.partition("/")[2] not in text


def test_a_browser_that_knows_the_statement_is_told_so(clinic: Play) -> None:
    url = f"{clinic.server.fhir}/metadata"
    tag = httpx2.get(url).headers["etag"]
    again = httpx2.get(url, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
