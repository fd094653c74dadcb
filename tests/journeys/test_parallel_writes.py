"""Sixteen clients at once on a real server: a condition holds for exactly one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from fhir_server.commands.story.play import Play

ORGANIZATION = {"resourceType": "Organization", "name": "Parallel"}


@pytest.fixture
def ask(clinic: Play, token_of_system: Callable[[str], str]) -> Callable[..., httpx2.Response]:
    token = token_of_system("system/*.cruds")

    def send(method: str, url: str, body: object = None, **headers: str) -> httpx2.Response:
        named = {n.replace("_", "-"): v for n, v in headers.items()}
        own = {"authorization": f"Bearer {token}", "content-type": "application/fhir+json", **named}
        content = json.dumps(body) if body is not None else None
        with httpx2.Client(timeout=60) as client:  # a connection of its own, as 16 clients have
            return client.request(
                method, f"{clinic.server.fhir}/{url}", content=content, headers=own
            )

    return send


def _known(value: str) -> dict[str, object]:
    return {**ORGANIZATION, "identifier": [{"system": "urn:parallel", "value": value}]}


def _at_once(count: int, work: Callable[[int], httpx2.Response]) -> list[httpx2.Response]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


def test_sixteen_conditional_creates_leave_one_resource(
    ask: Callable[..., httpx2.Response],
) -> None:
    condition = "identifier=urn:parallel|create"
    answers = _at_once(
        16, lambda _: ask("POST", "Organization", _known("create"), if_none_exist=condition)
    )
    assert sorted(a.status_code for a in answers) == [200] * 15 + [201]
    assert ask("GET", f"Organization?{condition}&_total=accurate").json()["total"] == 1


def test_sixteen_conditional_updates_leave_one_resource(
    ask: Callable[..., httpx2.Response],
) -> None:
    condition = "identifier=urn:parallel|update"
    answers = _at_once(
        16,
        lambda n: ask("PUT", f"Organization?{condition}", {**_known("update"), "alias": [str(n)]}),
    )
    assert sorted(a.status_code for a in answers) == [200] * 15 + [201]
    assert ask("GET", f"Organization?{condition}&_total=accurate").json()["total"] == 1
    versions = sorted(int(a.json()["meta"]["versionId"]) for a in answers)
    assert versions == list(range(1, 17))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_eight_writes_with_if_match_have_one_winner(
    ask: Callable[..., httpx2.Response], method: str
) -> None:
    id_ = f"if-match-{method.lower()}"
    assert ask("PUT", f"Organization/{id_}", {**ORGANIZATION, "id": id_}).status_code == 201

    def write(number: int) -> httpx2.Response:
        body: dict[str, object] = {"alias": [str(number)]}
        kind = "application/merge-patch+json"
        if method == "PUT":
            body, kind = {**ORGANIZATION, "id": id_, **body}, "application/fhir+json"
        sent = None if method == "DELETE" else body
        return ask(method, f"Organization/{id_}", sent, if_match='W/"1"', content_type=kind)

    statuses = sorted(a.status_code for a in _at_once(8, write))
    assert statuses == sorted([204 if method == "DELETE" else 200] + [412] * 7)
    assert len(ask("GET", f"Organization/{id_}/_history").json()["entry"]) == 2
