"""Row keys: the same for the same record, others for others, and none kept in memory after an erasure."""

from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.blind import BlindIndex
from fhir_server.ids import timed_id

KEY = b"k" * 32
TYPES = st.sampled_from(("Patient", "Observation", "AuditEvent"))
IDS = st.from_regex("[A-Za-z0-9.-]{1,64}", fullmatch=True)


@given(st.lists(st.tuples(TYPES, IDS), min_size=1, max_size=20))
def test_a_row_key_that_is_remembered_is_the_one_that_would_be_made(
    records: list[tuple[str, str]],
) -> None:
    blind = BlindIndex(KEY, "tenant")
    rows = [blind.row(*record) for record in records + records]
    assert rows == [BlindIndex(KEY, "tenant").row(*record) for record in records + records]
    assert len(set(rows)) == len(set(records))
    assert {len(row) for row in rows} == {16}


@given(TYPES, IDS)
def test_another_tenant_or_key_has_other_row_keys(type_: str, id_: str) -> None:
    rows = {
        BlindIndex(key, tenant).row(type_, id_)
        for key in (KEY, b"l" * 32)
        for tenant in ("tenant", "other")
    }
    assert len(rows) == 4


def test_events_that_follow_one_another_have_row_keys_that_rise() -> None:
    blind = BlindIndex(KEY, "tenant")
    rows = [blind.row("AuditEvent", timed_id(1_700_000_000_000 + at)) for at in range(50)]
    assert rows == sorted(rows)


class Id(str):
    """Of which can be told whether anybody has it."""

    __slots__ = ("__weakref__",)


def test_no_id_is_in_memory_once_all_is_forgotten() -> None:
    blind, id_ = BlindIndex(KEY, "tenant"), Id("an-id")
    blind.row("Patient", id_)
    seen = weakref.ref(id_)
    del id_
    assert seen() is not None
    blind.forget()
    assert seen() is None
