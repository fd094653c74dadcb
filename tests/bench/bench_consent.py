"""How long decisions take: ``python tests/bench/bench_consent.py`` prints medians.

Not a test: it asserts nothing.  Consents and record are made up here and are ours.
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from consent_engine import AccessRequest, Coding, Config, compile_policy, load_template

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_REASON, _ACT = f"{_TERMINOLOGY}v3-ActReason", f"{_TERMINOLOGY}v3-ActCode"


def consent(number: int, labelled: bool) -> dict[str, Any]:
    role = {"coding": [{"system": f"{_TERMINOLOGY}v3-ParticipationType", "code": "IRCP"}]}
    provision: dict[str, Any] = {
        "type": "permit",
        "period": {"start": "2020-01-01", "end": "2030-12-31"},
        "purpose": [{"system": _REASON, "code": code} for code in ("TREAT", "HPAYMT")],
        "actor": [{"role": role, "reference": {"reference": "Organization/1"}}],
    }
    if labelled:
        label = {"system": _ACT, "code": "PSY"}
        provision["provision"] = [{"type": "deny", "securityLabel": [label]}]
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": "active",
        "scope": {"coding": [{"system": f"{_TERMINOLOGY}consentscope", "code": "patient-privacy"}]},
        "patient": {"reference": "Patient/1"},
        "dateTime": "2020-01-01T10:00:00+01:00",
        "provision": provision,
    }


def median(name: str, work: Callable[[], object], rounds: int) -> None:
    times = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    p99 = sorted(times)[int(rounds * 0.99)]
    print(f"{name:58} p50 {statistics.median(times) / 1000:9.2f} us   p99 {p99 / 1000:9.2f} us")


def main() -> None:
    config = Config(admin_policies=load_template("hipaa-tpo", "Organization/1"))
    actors = frozenset({"Practitioner/1", "Organization/1"})
    purpose = Coding(_REASON, "TREAT")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    request = AccessRequest(actors, frozenset(), purpose, "access", now, "Organization/1")
    record = {
        "resourceType": "Observation",
        "id": "r",
        "meta": {"security": [{"system": _ACT, "code": "HIV"}]},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2025-05-05",
    }
    for count in (1, 3, 20):
        plain = [consent(number, labelled=False) for number in range(count)]
        labelled = [consent(number, labelled=True) for number in range(count)]
        policy = compile_policy(plain, config, "Patient/1")
        verdict = compile_policy(labelled, config, "Patient/1").narrow(request)
        again = compile_policy(plain, config, "Patient/1")

        def first(again: Any = again) -> object:
            again._memo.clear()
            return again.narrow(request)

        median(
            f"{count} Consents: compile",
            lambda c=labelled: compile_policy(c, config, "Patient/1"),
            300,
        )
        median(f"{count} Consents: first verdict for a requester", first, 2000)
        median(f"{count} Consents: verdict", lambda p=policy: p.narrow(request), 20000)
        median(
            f"{count} Consents: decision by the record", lambda v=verdict: v.decide(record), 5000
        )


if __name__ == "__main__":
    main()
