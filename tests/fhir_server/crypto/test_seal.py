"""AES-256-GCM bound to a place, padded to Padmé lengths."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.seal import DataKey, padded_length, place
from fhir_server.errors import TamperedRecordError

KEY = DataKey(b"id", bytes(range(32)))


@given(st.binary(max_size=3000), st.binary(max_size=50))
def test_what_was_sealed_opens_at_its_place(content: bytes, where: bytes) -> None:
    assert KEY.open(KEY.seal(content, where), where) == content


@given(st.binary(max_size=600), st.data())
def test_no_byte_of_a_seal_can_be_changed_cut_or_added(content: bytes, data: st.DataObject) -> None:
    sealed = KEY.seal(content, b"here")
    at = data.draw(st.integers(0, len(sealed) - 1))
    turned = bytearray(sealed)
    turned[at] ^= 1 << data.draw(st.integers(0, 7))
    for wrong in (bytes(turned), sealed[:at], sealed + b"\x00", b""):
        with pytest.raises(TamperedRecordError):
            KEY.open(wrong, b"here")


def test_another_place_or_key_does_not_open() -> None:
    sealed = KEY.seal(b"x", b"here")
    for key, where in ((KEY, b"there"), (KEY, b""), (DataKey(b"id", os.urandom(32)), b"here")):
        with pytest.raises(TamperedRecordError):
            key.open(sealed, where)


def test_equal_content_is_sealed_differently_each_time() -> None:
    assert len({KEY.seal(b"x", b"") for _ in range(50)}) == 50


def test_the_form_is_version_nonce_ciphertext_tag() -> None:
    sealed = KEY.seal(b"", b"")
    assert sealed[:1] == b"\x01"
    assert len(sealed) == 1 + 12 + 256 + 16


# Nikitin et al., PoPETs 2019, algorithm 1 (lengths worked out by hand from it); nothing is shorter than 256 here
@pytest.mark.parametrize(
    ("length", "padded"),
    [
        (0, 256),
        (1, 256),
        (256, 256),
        (257, 272),
        (1000, 1024),
        (1025, 1088),
        (2000, 2048),
        (4097, 4352),
        (70000, 71680),
    ],
)
def test_padme_lengths(length: int, padded: int) -> None:
    assert padded_length(length) == padded


@given(st.integers(257, 10**9))
def test_padding_costs_at_most_an_eighth_and_never_cuts(length: int) -> None:
    assert length <= padded_length(length) <= length * 1.125
    assert padded_length(padded_length(length)) == padded_length(length)


@given(st.lists(st.binary(max_size=5), max_size=5), st.lists(st.binary(max_size=5), max_size=5))
def test_two_places_look_the_same_only_if_they_are(one: list[bytes], two: list[bytes]) -> None:
    assert (place(one) == place(two)) == (one == two)
