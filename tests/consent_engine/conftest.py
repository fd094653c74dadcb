"""What these tests share: short ways to write Consents and to ask about them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consent_engine import AccessRequest, Coding, Config, Decision, decide

SYSTEMS = {
    "reason": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "act": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "confidentiality": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "participation": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
    "scope": "http://terminology.hl7.org/CodeSystem/consentscope",
    "action": "http://terminology.hl7.org/CodeSystem/consentaction",
    "type": "http://hl7.org/fhir/resource-types",
    "loinc": "http://loinc.org",
}
_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


class World:
    """One patient, Patient/1, and short ways to write Consents about the patient."""

    def coding(self, system: str, code: str) -> dict[str, Any]:
        return {"system": SYSTEMS.get(system, system), "code": code}

    def concept(self, system: str, code: str) -> dict[str, Any]:
        return {"coding": [self.coding(system, code)]}

    def purposes(self, *codes: str) -> list[dict[str, Any]]:
        return [self.coding("reason", code) for code in codes]

    def actions(self, *codes: str) -> list[dict[str, Any]]:
        return [self.concept("action", code) for code in codes]

    def classes(self, *types: str) -> list[dict[str, Any]]:
        return [self.coding("type", each) for each in types]

    def labels(self, *codes: str) -> list[dict[str, Any]]:
        return [self.coding("confidentiality" if c in "ULMNRV" else "act", c) for c in codes]

    def actor(self, reference: str, role: str = "IRCP") -> dict[str, Any]:
        return {
            "role": self.concept("participation", role),
            "reference": {"reference": reference},
        }

    def data(self, meaning: str, reference: str) -> list[dict[str, Any]]:
        return [{"meaning": meaning, "reference": {"reference": reference}}]

    def consent(
        self, provision: Any = None, rule: str | None = None, id_: str = "c", **more: Any
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "resourceType": "Consent",
            "id": id_,
            "status": "active",
            "scope": self.concept("scope", "patient-privacy"),
            "patient": {"reference": "Patient/1"},
        }
        if rule is not None:
            found["policyRule"] = self.concept("act", rule)
        if provision is not None:
            found["provision"] = provision
        found.update(more)
        return {name: value for name, value in found.items() if value is not ...}

    def policy(self, provision: Any = None, rule: str | None = None, **more: Any) -> dict[str, Any]:
        return self.consent(provision, rule, **{"id_": "admin", "patient": ..., **more})

    def record(self, *labels: str, type_: str = "Observation", **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"resourceType": type_, "id": "r", **more}
        if labels:
            found["meta"] = {"security": self.labels(*labels)}
        return found

    def request(self, **given: Any) -> AccessRequest:
        time = given.get("time", "2024-06-01T12:00:00Z")
        purpose = given.get("purpose", "TREAT")
        return AccessRequest(
            frozenset(given.get("actors", ("Practitioner/1", "Organization/1"))),
            frozenset(given.get("identifiers", ())),
            Coding(SYSTEMS["reason"], purpose) if isinstance(purpose, str) else purpose,
            given.get("action", "access"),
            time if isinstance(time, datetime) else datetime.fromisoformat(time).astimezone(UTC),
            given.get("custodian", "Organization/1"),
            frozenset(given.get("custodian_identifiers", ())),
        )

    def decide(self, consents: Any, resource: Any = None, **given: Any) -> Decision:
        return decide(
            given.pop("subjects", ("Patient/1",)),
            consents if isinstance(consents, list) else [consents],
            given.pop("request", None) or self.request(**given),
            self.record() if resource is None else resource,
            given.pop("config", Config()),
            given.pop("graph", {}),
        )

    def answer(self, consents: Any, resource: Any = None, **given: Any) -> str:
        """The decision and its basis in one line, such as "permit by consent"."""
        decision = self.decide(consents, resource, **given)
        return f"{decision.decision} by {decision.basis}"


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of public example data, which is not part of the repository."""
    if not _DATA.is_dir():
        pytest.skip("the public example data are not beside this checkout (../shared/data)")
    return _DATA
