"""What consent costs: one decision, and its share of a search whose 10,000 candidates belong to 500 patients.

The search is in process, so that nothing but the server's own work is in the sum; what counts as consent is the finding and
compiling of policies, their verdicts, and every decision about a record or a part of it.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fhir_server.memory import settle_memory
from fhir_server.pipeline import gate
from fhir_server.pipeline.gate import ConsentGate
from tests.bench.consent_races import races
from tests.bench.decisions import Decisions, decisions
from tests.fhir_server.clinic import (
    HOUSE,
    OTHER,
    Clinic,
    entry,
    observation,
    open_clinic,
    patient,
    sharing,
    transaction,
)

_PATIENTS, _EACH = 500, 20
_CODE = "8867-4"
_RACES = 500
_SEARCHES = 7


def consent() -> str:
    """A table in Markdown."""
    first, again = asyncio.run(_shares())
    raced = races(_RACES)
    rows = [
        *_decided(decisions(3)),
        ("compiling a patient with 20 Consents", f"{decisions(20).compiling:,.0f} µs", "2 ms"),
        (f"{_name()}, first", first.told(), ""),
        (f"{_name()}, again", again.told(), "under 15 %"),
        (f"{_RACES} revocations, over HTTP, two workers", raced, "0 stale"),
    ]
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join(["| what | measured | goal |", "|---|---|---|", *lines, ""])


def _decided(found: Decisions) -> list[tuple[str, str, str]]:
    return [
        ("verdict for a requester, 3 Consents, p50", f"{found.verdict:.1f} µs", "under 5 µs"),
        ("the same, the first for this requester", f"{found.first:.1f} µs", ""),
        ("decision by the record, 3 Consents, p50", f"{found.by_record:.1f} µs", "under 25 µs"),
    ]


def _name() -> str:
    return f"consent in a search of {_PATIENTS * _EACH:,} candidates of {_PATIENTS} patients"


@dataclass(frozen=True, slots=True)
class _Share:
    """Seconds in consent, and of the whole search."""

    consent: float
    whole: float

    @property
    def part(self) -> float:
        """What consent takes, of 1."""
        return self.consent / self.whole

    def told(self) -> str:
        return f"{self.part:.1%} of {self.whole:.2f} s"


async def _shares() -> tuple[_Share, _Share]:
    """The share when every policy must be compiled, and when they are known: the middle one of some searches."""
    with tempfile.TemporaryDirectory() as folder:
        clinic = await open_clinic(Path(folder), max_candidates=20_000)
        try:
            await _fill(clinic)
            clinic.pipeline.policies.forget()
            settle_memory()  # as a server does
            first = await _search(clinic)
            again = [await _search(clinic) for _ in range(_SEARCHES)]
            return first, sorted(again, key=lambda share: share.part)[_SEARCHES // 2]
        finally:
            await clinic.close()


async def _fill(clinic: Clinic) -> None:
    """Patients who share all but what is labelled substance use, so that every record is decided by its content."""
    for number in range(_PATIENTS):
        id_ = f"p{number}"
        records = [observation(f"{id_}-{n}", id_) for n in range(_EACH)]
        own = [patient(id_), sharing(id_), *records]
        sent = transaction(*(entry("PUT", f"{r['resourceType']}/{r['id']}", r) for r in own))
        answer = await clinic.ask(HOUSE, "POST", "", sent)
        assert answer.status == 200, answer.body


async def _search(clinic: Clinic) -> _Share:
    with _clock() as spent:
        started = time.perf_counter()
        answer = await clinic.get(OTHER, f"Observation?code={_CODE}&_summary=count")
        whole = time.perf_counter() - started
    assert answer.json["total"] == _PATIENTS * _EACH, answer.body
    return _Share(sum(spent) - len(spent) * await _idle(), whole)


async def _idle() -> float:
    """Seconds that the clock measures of nothing at all."""
    spent: list[float] = []

    async def nothing() -> None:
        pass

    for _ in range(10_000):
        await _timed(nothing, spent)()
    return sum(spent) / len(spent)


def _timed(
    work: Callable[..., Awaitable[Any]], spent: list[float]
) -> Callable[..., Awaitable[Any]]:
    async def run(*given: Any) -> Any:
        started = time.perf_counter()
        try:
            return await work(*given)
        finally:
            spent.append(time.perf_counter() - started)

    return run


@contextmanager
def _clock() -> Iterator[list[float]]:
    """Collects the seconds that the gate spends in consent."""
    spent: list[float] = []
    with (
        patch.object(gate, "consent", _timed(gate.consent, spent)),
        patch.object(ConsentGate, "_decide", _timed(ConsentGate._decide, spent)),
    ):
        yield spent
