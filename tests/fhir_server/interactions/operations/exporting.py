"""Short words for tests of ``$export``: kick off, follow to the manifest, fetch the files."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ...answers import BASE, Json
from ...clinic import Clinic


def local(url: str) -> str:
    assert url.startswith(f"{BASE}/")
    return url.removeprefix(f"{BASE}/")


async def kick_off(clinic: Clinic, who: str, url: str, **more: object) -> str:
    """The url of the status, below the base."""
    answer = await clinic.ask(who, str(more.pop("method", "GET")), url, **more)  # type: ignore[arg-type]
    assert answer.status == 202, answer.body
    assert answer.body == b""
    return local(answer.headers["Content-Location"])


async def manifest_of(clinic: Clinic, who: str, status: str) -> Json:
    """Ask for the status until it is complete."""
    for _ in range(100):
        answer = await clinic.get(who, status)
        if answer.status == 200:
            assert answer.headers["Content-Type"] == "application/json"
            return answer.json
        assert (answer.status, answer.headers["Retry-After"]) == (202, "1"), answer.body
    raise AssertionError("the export does not end")


async def fetch(
    clinic: Clinic, who: str, url: str, headers: Mapping[str, str] | None = None
) -> list[Json]:
    answer = await clinic.ask(who, "GET", local(url), headers=headers)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/fhir+ndjson"
    assert answer.body == b"" or answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]


async def exported(clinic: Clinic, who: str, url: str, **more: object) -> dict[str, list[Json]]:
    """What an export holds, by type."""
    manifest = await manifest_of(clinic, who, await kick_off(clinic, who, url, **more))
    found: dict[str, list[Json]] = {}
    for file in manifest["output"]:
        resources = await fetch(clinic, who, file["url"])
        assert {r["resourceType"] for r in resources} == {file["type"]}
        assert len(resources) == file["count"]
        found.setdefault(file["type"], []).extend(resources)
    return found


def ids(found: Mapping[str, list[Json]]) -> dict[str, list[str]]:
    return {type_: sorted(r["id"] for r in resources) for type_, resources in found.items()}
