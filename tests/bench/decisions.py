"""How long the decisions of the consent engine take, in process and alone.  Consents and record are made up here."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from consent_engine import AccessRequest, Coding, Compiler, Config, load_template
from consent_engine.periods import parse_date_time

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_REASON, _ACT = f"{_TERMINOLOGY}v3-ActReason", f"{_TERMINOLOGY}v3-ActCode"
_PATIENT, _HOSPITAL = "Patient/1", "Organization/1"
_RECORD = {
    "resourceType": "Observation",
    "id": "r",
    "meta": {"security": [{"system": _ACT, "code": "HIV"}]},
    "subject": {"reference": _PATIENT},
    "effectiveDateTime": "2025-05-05",
}


@dataclass(frozen=True, slots=True)
class Decisions:
    """Medians in microseconds.

    Attributes:
        compiling: A patient's Consents into a policy, no date of which was met before.
        first: A verdict for a requester who has not asked before.
        verdict: One for a requester who has.
        by_record: A decision that depends on the record.
    """

    compiling: float
    first: float
    verdict: float
    by_record: float


def decisions(consents: int) -> Decisions:
    """Measure a patient with so many Consents."""
    config = Config(admin_policies=load_template("hipaa-tpo", _HOSPITAL))
    request = AccessRequest(
        frozenset({"Practitioner/1", _HOSPITAL}),
        frozenset(),
        Coding(_REASON, "TREAT"),
        "access",
        datetime(2026, 1, 1, tzinfo=UTC),
        _HOSPITAL,
    )
    plain = [_consent(number) for number in range(consents)]
    labelled = [_labelled(number) for number in range(consents)]
    compiler = Compiler(config)
    policy = compiler.policy(plain, _PATIENT)
    again = compiler.policy(plain, _PATIENT)
    verdict = compiler.policy(labelled, _PATIENT).narrow(request)

    def first() -> object:
        again._memo.clear()
        return again.narrow(request)

    return Decisions(
        compiling=_median(
            lambda: compiler.policy(labelled, _PATIENT), 300, parse_date_time.cache_clear
        ),
        first=_median(first, 2000),
        verdict=_median(lambda: policy.narrow(request), 20_000),
        by_record=_median(lambda: verdict.decide(_RECORD), 5000),
    )


def _consent(number: int) -> dict[str, Any]:
    role = {"coding": [{"system": f"{_TERMINOLOGY}v3-ParticipationType", "code": "IRCP"}]}
    scope = {"coding": [{"system": f"{_TERMINOLOGY}consentscope", "code": "patient-privacy"}]}
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": "active",
        "scope": scope,
        "patient": {"reference": _PATIENT},
        "dateTime": f"2020-01-{number % 28 + 1:02}T10:00:00+01:00",
        "provision": {
            "type": "permit",
            "period": {"start": f"{2000 + number % 20}-01-01", "end": f"{2030 + number}-12-31"},
            "purpose": [{"system": _REASON, "code": code} for code in ("TREAT", "HPAYMT")],
            "actor": [{"role": role, "reference": {"reference": _HOSPITAL}}],
        },
    }


def _labelled(number: int) -> dict[str, Any]:
    made = _consent(number)
    label = {"system": _ACT, "code": "PSY"}
    made["provision"]["provision"] = [{"type": "deny", "securityLabel": [label]}]
    return made


def _median(
    work: Callable[[], object], rounds: int, before: Callable[[], object] | None = None
) -> float:
    times = []
    for _ in range(rounds):
        if before is not None:
            before()
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000
