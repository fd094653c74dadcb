"""A part of a document (RFC 9110, 14), whether it stands in its Binary or beside it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.pipeline.ranges import wanted
from tests.fhir_server.clinic import HOUSE, Clinic
from tests.fhir_server.large_documents import PDF, fetch, pattern, send

CONTENT = pattern(700_000)


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=65530-65545", 65_530, 65_546),
        ("bytes=-5", 199_995, 200_000),
        ("bytes=199999-", 199_999, 200_000),
        ("bytes=0-999999999", 0, 200_000),
        ("bytes=-999999999", 0, 200_000),
        ("BYTES=7-8", 7, 9),
    ],
)
async def test_a_part_is_what_was_asked_for(
    clinic: Clinic, large: bool, asked: str, start: int, stop: int
) -> None:
    content = pattern(200_000)
    await _hold(clinic, content, large=large)
    recorded, body = await fetch(clinic, HOUSE, "Binary/b", range=asked)
    headers = dict(recorded.headers)
    assert (recorded.status, body) == (206, content[start:stop])
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/200000"
    assert headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize(
    "asked",
    [
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "lines=0-1",
        "bytes=0-1,3-4",
        "bytes=a-b",
        "0-1",
        "bytes=٣-",
    ],
)
async def test_what_is_no_single_range_gets_the_whole(
    clinic: Clinic, large: bool, asked: str
) -> None:
    await _hold(clinic, CONTENT, large=large)
    recorded, body = await fetch(clinic, HOUSE, "Binary/b", range=asked)
    assert (recorded.status, body) == (200, CONTENT)


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("asked", ["bytes=700000-", "bytes=700000-700001", "bytes=-0"])
async def test_a_part_that_is_not_there_is_told_with_the_size(
    clinic: Clinic, large: bool, asked: str
) -> None:
    await _hold(clinic, CONTENT, large=large)
    recorded, _ = await fetch(clinic, HOUSE, "Binary/b", range=asked)
    assert recorded.status == 416
    assert dict(recorded.headers)["Content-Range"] == "bytes */700000"


@pytest.mark.parametrize(
    ("tag", "status"),
    [('"1"', 206), ('"2"', 200), ('W/"1"', 200), ("Mon, 04 May 2026 12:00:00 GMT", 200), ("", 200)],
)
async def test_a_part_of_another_version_is_not_given(
    clinic: Clinic, tag: str, status: int
) -> None:
    await _hold(clinic, CONTENT, large=True)
    recorded, _ = await fetch(clinic, HOUSE, "Binary/b", range="bytes=0-1", if_range=tag)
    assert recorded.status == status


async def test_who_has_it_already_is_told_so(clinic: Clinic) -> None:
    await _hold(clinic, CONTENT, large=True)
    recorded, body = await fetch(clinic, HOUSE, "Binary/b", if_none_match='"1"')
    assert (recorded.status, recorded.stream, body) == (304, None, b"")


async def _hold(clinic: Clinic, content: bytes, *, large: bool) -> None:
    if large:
        await send(clinic, content, "Binary/b", method="PUT")
    else:
        data = base64.b64encode(content).decode()
        await clinic.put({"resourceType": "Binary", "id": "b", "contentType": PDF, "data": data})


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 50), st.integers(0, 60), st.integers(0, 60), st.sampled_from(["ab", "a-", "-b"])
)
def test_a_range_is_a_part_of_what_there_is(size: int, a: int, b: int, form: str) -> None:
    text = {"ab": f"bytes={a}-{b}", "a-": f"bytes={a}-", "-b": f"bytes=-{b}"}[form]
    content = bytes(range(size))
    expected = {"ab": content[a : b + 1], "a-": content[a:], "-b": content[max(0, size - b) :]}[
        form
    ]
    if form == "-b" and b == 0:
        expected = b""
    try:
        found = wanted({"range": text}, size, '"1"')
    except Exception:
        assert not expected
        return
    if found is None:
        assert (form, b < a) == ("ab", True)
    else:
        assert content[slice(*found)] == expected != b""
