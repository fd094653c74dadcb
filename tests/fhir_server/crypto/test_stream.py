"""STREAM: chunks open in their place only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.seal import padded_length
from fhir_server.crypto.stream import CHUNK, StreamSeal, chunks_of, new_stream_key
from fhir_server.errors import TamperedRecordError

KEY = bytes(range(32))


def sealed(parts: list[bytes], place: bytes = b"here", key: bytes = KEY) -> list[bytes]:
    seal = StreamSeal(key, place)
    return [seal.seal(n, part, last=n == len(parts) - 1) for n, part in enumerate(parts)]


def test_a_chunk_opens_in_its_place() -> None:
    parts = [b"one", b"two", b"three"]
    seal = StreamSeal(KEY, b"here")
    opened = [seal.open(n, part, last=n == 2) for n, part in enumerate(sealed(parts))]
    assert opened == parts


@pytest.mark.parametrize(
    ("number", "last", "place", "key"),
    [
        (0, False, b"here", KEY),  # moved
        (2, False, b"here", KEY),
        (1, True, b"here", KEY),  # cut off behind
        (1, False, b"there", KEY),  # of another document
        (1, False, b"here", bytes(32)),
    ],
)
def test_a_chunk_opens_nowhere_else(number: int, last: bool, place: bytes, key: bytes) -> None:
    chunk = sealed([b"one", b"two", b"three"])[1]
    with pytest.raises(TamperedRecordError):
        StreamSeal(key, place).open(number, chunk, last=last)


def test_the_last_chunk_is_not_one_in_the_middle() -> None:
    chunk = sealed([b"one", b"two"])[1]
    with pytest.raises(TamperedRecordError):
        StreamSeal(KEY, b"here").open(1, chunk, last=False)


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"", lambda c: b"\x02" + c[1:]]
)
def test_a_damaged_chunk_is_told_as_such(damage: object) -> None:
    (chunk,) = sealed([b"content"])
    with pytest.raises(TamperedRecordError):
        StreamSeal(KEY, b"here").open(0, damage(chunk), last=True)  # type: ignore[operator]


@given(st.binary(min_size=1, max_size=300), st.integers(0, 10**6))
def test_any_flipped_bit_is_noticed(content: bytes, at: int) -> None:
    (chunk,) = sealed([content])
    place = at % (8 * len(chunk))
    flipped = bytearray(chunk)
    flipped[place // 8] ^= 1 << place % 8
    with pytest.raises(TamperedRecordError):
        StreamSeal(KEY, b"here").open(0, bytes(flipped), last=True)


@given(st.integers(0, 10**10))
def test_the_number_of_chunks_tells_no_more_than_a_padded_length(size: int) -> None:
    assert chunks_of(size) * CHUNK >= padded_length(size) >= size
    assert (chunks_of(size) - 1) * CHUNK < max(1, padded_length(size))


def test_no_two_documents_have_one_key() -> None:
    assert len({new_stream_key() for _ in range(100)}) == 100
