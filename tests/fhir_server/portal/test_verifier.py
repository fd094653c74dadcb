"""The page that checks receipts is there for everybody, the same for all, and may be kept."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from anchoring.verifier_page import verifier_page
from fhir_server.portal.verifier import verifier_router


def client() -> TestClient:
    app = FastAPI()
    app.include_router(verifier_router())
    return TestClient(app)


def test_it_is_the_page_that_can_be_saved() -> None:
    answer = client().get("/log/verify")
    assert (answer.status_code, answer.content) == (200, verifier_page())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "connect-src" not in answer.text
    assert "default-src 'none'" in answer.text


def test_who_has_it_is_told_so() -> None:
    first = client().get("/log/verify")
    again = client().get("/log/verify", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_nothing_can_be_sent_to_it() -> None:
    assert client().post("/log/verify", content=b"{}").status_code == 405
