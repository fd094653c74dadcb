"""What a clinic in process answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.forms import Recorded

BASE = "http://localhost:8080/fhir"

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    recorded: Recorded

    @property
    def status(self) -> int:
        return self.recorded.status

    @property
    def body(self) -> bytes:
        return self.recorded.body

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.recorded.headers)

    @property
    def json(self) -> Json:
        value: Json = orjson.loads(self.recorded.body)
        return value

    @property
    def id_(self) -> str:
        return str(self.json["id"])

    @property
    def resources(self) -> list[Json]:
        """The resources of a Bundle's entries, outcomes left out."""
        found = [e["resource"] for e in self.json.get("entry", ()) if "resource" in e]
        return [r for r in found if r["resourceType"] != "OperationOutcome"]

    @property
    def references(self) -> list[str]:
        return [f"{r['resourceType']}/{r['id']}" for r in self.resources]

    @property
    def next(self) -> str:
        """Target and query of the next page, or empty."""
        links = {link["relation"]: link["url"] for link in self.json.get("link", ())}
        return str(links.get("next", "")).removeprefix(BASE).removeprefix("/")
