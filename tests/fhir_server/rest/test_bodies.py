"""Bodies that come packed, and those that would burst."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest

from .served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = b'{"resourceType":"Patient"}'
PACKED = gzip.compress(GOOD, mtime=0)  # the same in each run


async def test_a_packed_body_is_read(served: Served) -> None:
    answer = await served.ask("POST", "/Patient", gzip.compress(GOOD), content_encoding="gzip")
    assert answer.status_code == 201


@pytest.mark.parametrize("size", [200, 2000])
async def test_a_bomb_does_not_go_off(served: Served, size: int) -> None:
    """Megabytes of spaces, packed a thousand times smaller."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * 1024 * 1024) for _ in range(size)) + packer.flush()
    before = await served.log_size()
    started = time.monotonic()
    answer = await served.ask("POST", "/Patient", bomb, content_encoding="gzip")
    assert time.monotonic() - started < 1
    assert answer.status_code == 413
    assert answer.json()["issue"][0]["code"] == "too-long"
    assert await served.log_size() == before + 2


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", GOOD, 400), ("gzip", b"", 400), ("gzip", PACKED[:-4], 400), ("br", GOOD, 415),
        ("gzip", PACKED + b"x", 400), ("gzip", gzip.compress(PACKED, mtime=0), 400),
        ("gzip, gzip", GOOD, 415),
    ],
)  # fmt: skip
async def test_what_is_not_packed_as_it_says_is_refused(
    served: Served, coding: str, body: bytes, status: int
) -> None:
    answer = await served.ask("POST", "/Patient", body, content_encoding=coding)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
