"""Ids that the server makes: what they tell, and what of them the database may see."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.blind import BlindIndex
from fhir_server.ids import time_of, timed_id

from .clinic import HOUSE, OVERSEER, Clinic, observation

MOMENTS = st.integers(min_value=0, max_value=2**48 - 1)
TIMED = "00000000-0001-7399-832a-5c4cfed4daff"
RANDOM = "279be426-c6b1-4322-b041-93d75c39eb2c"
BLIND = BlindIndex(bytes(32), "t")


@given(MOMENTS)
def test_a_timed_id_is_a_uuid_of_version_7_that_gives_its_time_back(at: int) -> None:
    text = timed_id(at)
    made = uuid.UUID(text)
    assert str(made) == text
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert int.from_bytes(time_of(str(made)), "big") == at


def test_two_ids_of_one_moment_differ() -> None:
    assert len({timed_id(1) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "1",
        RANDOM,
        "../../etc/passwd",
        TIMED.upper(),
        TIMED + "0",
        TIMED[:-1],
        "0" * 14 + "7" + "0" * 21,
        "-" * 36,
        "Ⅷ" * 36,
        TIMED + "\n",
    ],
)
def test_any_other_id_has_no_time(id_: str) -> None:
    assert time_of(id_) == b""


@given(MOMENTS, MOMENTS)
def test_the_row_keys_of_audit_events_lie_in_the_order_of_their_times(one: int, two: int) -> None:
    rows = [BLIND.row("AuditEvent", timed_id(at)) for at in (one, two)]
    assert {len(row) for row in rows} == {16}
    if one < two:
        assert rows[0] < rows[1]


def test_no_other_row_key_tells_anything_of_an_id() -> None:
    id_ = timed_id(1_700_000_000_000)
    for type_ in ("Observation", "Patient", "AuditEvents"):
        assert not BLIND.row(type_, id_).startswith(time_of(id_))
    numbers = [BLIND.row("AuditEvent", str(number)) for number in range(9)]
    assert sorted(numbers) != numbers


async def test_only_audit_events_have_ids_that_tell_when_they_were_made(clinic: Clinic) -> None:
    made = await clinic.ask(HOUSE, "POST", "Observation", observation("x", "a"))
    assert made.status == 201
    start = clinic.log_size()
    resource = made.json
    assert time_of(resource["id"]) == b""
    await clinic.get(HOUSE, f"Observation/{resource['id']}")
    [event] = await clinic.audits(start)
    assert time_of(event["id"])
    found = await clinic.get(OVERSEER, f"AuditEvent/{event['id']}")
    assert found.json["id"] == event["id"]
