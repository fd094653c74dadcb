"""What somebody can do who has stolen a bound token, or a whole request, but not the key: nothing."""

from __future__ import annotations

import socket
from typing import Any

import httpx2
import pytest

from fhir_server.app import clock
from fhir_server.commands.story.play import Play
from tests.app_site import CALLBACK, AppSite
from tests.smart_auth.conformance.conftest import App
from tests.smart_auth.proving import Prover


class Now:
    """What a Prover needs of a house: the time."""

    def __init__(self) -> None:
        self.clock = self
        self.now = clock()


def new_prover() -> Prover:
    now: Any = Now()
    return Prover(now)


class Holder:
    """Who holds a bound token and its key."""

    def __init__(self, app: App) -> None:
        self.app, self.fhir = app, app.play.server.fhir
        self.prover = new_prover()
        form = {
            "grant_type": "authorization_code",
            "code": app.code(),
            "redirect_uri": CALLBACK,
            "code_verifier": app.verifier,
            "client_id": "py-app",
        }
        proof = {"DPoP": self.prover.proof(url=f"{app.issuer}/token")}
        answer = httpx2.post(f"{app.issuer}/token", data=form, headers=proof, timeout=60)
        assert answer.json()["token_type"] == "DPoP"
        self.token = answer.json()["access_token"]

    def headers(self, method: str, path: str, prover: Prover | None = None) -> dict[str, str]:
        url = f"{self.fhir}/{path}".rstrip("/")
        proof = (prover or self.prover).proof(method, url, self.token)
        return {"Authorization": f"DPoP {self.token}", "DPoP": proof}

    def send(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx2.Response:
        return httpx2.request(method, f"{self.fhir}/{path}", headers=headers, timeout=60, **more)


@pytest.fixture
def holder(journey: Play, site: AppSite) -> Holder:
    return Holder(App(journey, site))


def test_with_its_key_the_token_opens_what_it_covers(holder: Holder) -> None:
    patient = holder.app.play.patient
    for path in (patient, "Observation?_count=5", f"{patient}/_history"):
        answer = holder.send("GET", path, holder.headers("GET", path.partition("?")[0]))
        assert answer.status_code == 200
    assert holder.send("HEAD", patient, holder.headers("HEAD", patient)).status_code == 200


def test_a_stolen_token_is_refused_whatever_it_comes_with(holder: Holder) -> None:
    patient = holder.app.play.patient
    good = holder.headers("GET", patient)
    thief = new_prover()
    attempts = [
        {"Authorization": f"Bearer {holder.token}"},
        {"Authorization": f"Bearer {holder.token}", "DPoP": good["DPoP"]},
        {"Authorization": f"DPoP {holder.token}"},
        {"Authorization": f"DPoP {holder.token}", "DPoP": ""},
        holder.headers("GET", patient, thief),
        holder.headers("PUT", patient),
        holder.headers("GET", "Patient"),
        {**good, "DPoP": f"{good['DPoP']}, {good['DPoP']}"},
    ]
    for headers in attempts:
        answer = holder.send("GET", patient, headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"].startswith("DPoP")
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert holder.token not in answer.text
    assert holder.send("GET", patient, good).status_code == 200


def test_a_request_that_was_seen_cannot_be_sent_again(holder: Holder) -> None:
    patient = holder.app.play.patient
    good = holder.headers("GET", patient)
    assert holder.send("GET", patient, good).status_code == 200
    for _ in range(8):  # whichever worker answers
        answer = holder.send("GET", patient, good)
        assert answer.status_code == 401
        assert 'error="invalid_dpop_proof"' in answer.headers["www-authenticate"]


def test_two_proof_headers_are_one_too_many(holder: Holder) -> None:
    patient = holder.app.play.patient
    headers = [*holder.headers("GET", patient).items(), *holder.headers("GET", patient).items()]
    answer = httpx2.get(f"{holder.fhir}/{patient}", headers=headers[:2] + headers[3:], timeout=60)
    assert answer.status_code == 401


@pytest.mark.parametrize("type_", ["batch", "transaction"])
def test_a_bundle_is_proved_as_a_whole_and_each_entry_decided_for_itself(
    holder: Holder, type_: str
) -> None:
    patient = holder.app.play.patient
    entries = [{"request": {"method": "GET", "url": url}} for url in (patient, "Observation")]
    bundle = {"resourceType": "Bundle", "type": type_, "entry": entries}
    answer = holder.send("POST", "", holder.headers("POST", ""), json=bundle)
    assert answer.status_code == 200
    assert {each["response"]["status"][:3] for each in answer.json()["entry"]} == {"200"}
    for headers in (
        {"Authorization": f"Bearer {holder.token}"},
        holder.headers("POST", "", new_prover()),
        holder.headers("GET", patient),
    ):
        assert holder.send("POST", "", headers, json=bundle).status_code == 401


def test_a_bound_token_of_another_patient_sees_no_more_than_a_bearer_token(
    holder: Holder, journey: Play
) -> None:
    other = "Patient/j-0" if journey.patient != "Patient/j-0" else "Patient/j-1"
    answer = holder.send("GET", other, holder.headers("GET", other))
    assert answer.status_code in (403, 404)


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x" * 300, "evil.example:99999", "\xff"])
@pytest.mark.parametrize("path", ["/fhir/Patient", "/auth/authorize?client_id=x", "/auth/jwks"])
def test_a_host_header_that_is_none_breaks_nothing(clinic: Play, host: str, path: str) -> None:
    port = int(clinic.server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        status = int(connection.recv(64).split(b" ")[1])
    assert status < 500
