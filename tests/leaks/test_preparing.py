"""A large transaction reads before its turn comes: what was taken away until then, it must not give."""

from __future__ import annotations

from functools import partial

import pytest

from tests.fhir_server.clinic import (
    HOUSE,
    ON_MONGO,
    OTHER,
    Clinic,
    Json,
    entry,
    observation,
    patient,
    sharing,
    transaction,
)
from tests.fhir_server.pipeline.test_preparing import runs_of

pytestmark = pytest.mark.skipif(ON_MONGO, reason="units of work on a server are not prepared")


def _reading() -> Json:
    """A transaction of another hospital: many reads, so that it is prepared."""
    return transaction(
        *(entry("GET", f"Observation/o?_pretty={n}") for n in ("true", "false") * 20)
    )


async def _erase(clinic: Clinic) -> None:
    assert (await clinic.ask(HOUSE, "POST", "Patient/p/$erase")).status == 200


@pytest.fixture
async def shared(clinic: Clinic) -> Clinic:
    await clinic.put(patient("p", name=[{"family": "Hidden"}]))
    await clinic.put(observation("o", "p", note=[{"text": "secret"}]))
    await clinic.put(sharing("p"))
    return clinic


async def test_a_consent_that_was_revoked_meanwhile_holds(
    shared: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def revoke() -> None:
        await shared.put({**sharing("p"), "status": "inactive"})

    permitted = await shared.ask(OTHER, "POST", "", _reading())
    assert b"secret" in permitted.body
    async with runs_of(monkeypatch, revoke) as runs:
        answer = await shared.ask(OTHER, "POST", "", _reading())
    assert runs.count == 2
    assert b"secret" not in answer.body
    assert answer.status == 404


async def test_a_record_that_was_erased_meanwhile_is_not_given(
    shared: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runs_of(monkeypatch, partial(_erase, shared)):
        answer = await shared.ask(OTHER, "POST", "", _reading())
    assert b"secret" not in answer.body
    assert answer.status == 404


async def test_what_is_written_for_a_patient_who_was_erased_meanwhile_opens(
    shared: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = (entry("PUT", f"Observation/n{n}", observation(f"n{n}", "p")) for n in range(40))
    async with runs_of(monkeypatch, partial(_erase, shared)) as runs:
        answer = await shared.ask(HOUSE, "POST", "", transaction(*some))
    assert runs.count == 2
    assert answer.status == 200
    for number in range(40):
        assert (await shared.get(HOUSE, f"Observation/n{number}")).status == 200
    assert (await shared.get(HOUSE, "Patient/p")).status in (404, 410)


async def test_a_label_that_came_meanwhile_hides_what_it_labels(
    shared: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def label() -> None:
        security = {"security": [_ETH]}
        await shared.put(observation("o", "p", note=[{"text": "secret"}], meta=security))

    async with runs_of(monkeypatch, label) as runs:
        answer = await shared.ask(OTHER, "POST", "", _reading())
    assert runs.count == 2
    assert b"secret" not in answer.body


_ETH = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "ETH"}
