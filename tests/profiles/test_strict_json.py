"""JSON as FHIR allows it."""

# ruff: noqa: E501  (one case a line)

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.errors import JsonError
from profiles.strict_json import MAX_DEPTH, decode, items, members, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_what_another_writer_wrote_is_read_the_same(
    value: object, indent: int | None, ascii_: bool
) -> None:
    assert read(json.dumps(value, indent=indent, ensure_ascii=ascii_)) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "}", "[1,]", '{"a":1,}', "{'a':1}", "nul", "True", "01", "1.", ".5", "+1", "0x1", "1e", "NaN", "-Infinity",
        "Infinity", '"\t"', '"\x00"', '"a', '"\\x"', '"\\u12"', "[1 2]", '{"a" 1}', "{1:2}", "1 2", "[] []", "//x\n1", "\ufeff1",
        '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[{"b":{"a":1,"a":1}}]', '"\\ud800"', '"\\udc00\\ud800"', '{"\\ud800":1}',
        "1e400", "-1e400", "9" * 301, "9" * 5000, "1" + "0" * 400 + ".0", "[" * 66 + "]" * 66, "[" * 100_000,
        '{"a":' * 66 + "1" + "}" * 66,
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused(text: str) -> None:
    with pytest.raises(JsonError):
        read(text)


@pytest.mark.parametrize(
    "body", [b"\xff", b"\xc3", b'"\xed\xa0\x80"', b"\xff\xfe1\x00", b"\x00\x00\x00{", b"\xfe\xff"]
)
def test_another_encoding_is_refused(body: bytes) -> None:
    with pytest.raises(JsonError):
        read(decode(body))


def test_one_byte_order_mark_at_the_beginning_is_taken_off() -> None:
    assert read(decode(b"\xef\xbb\xbf{}")) == {}
    with pytest.raises(JsonError):
        read(decode(b"\xef\xbb\xbf\xef\xbb\xbf{}"))


@pytest.mark.parametrize(
    "text", ["1.00", "1E5", "-0.0", "0.10", "1e-30", "123456789.123456789012345"]
)
def test_decimals_keep_their_spelling(text: str) -> None:
    value = read(text)
    assert isinstance(value, Decimal)
    assert value == Decimal(text)
    assert value.as_tuple() == Decimal(text).as_tuple()


def test_depth_is_counted_in_containers() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(JsonError, match="64"):
        read("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read('"\\ud83d\\ude00"') == "😀"


def test_an_error_says_where_and_not_what() -> None:
    with pytest.raises(JsonError, match="line 2 column 3") as refused:
        read("{\n  Geheim: 1}")
    assert "Geheim" not in str(refused.value)
    with pytest.raises(JsonError) as refused:
        read('{"Geheim":1,"Geheim":2}')
    assert "Geheim" not in str(refused.value)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), st.sampled_from([None, 3]))
def test_members_are_where_they_say(value: dict[str, object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    found = list(members(text))
    assert {m.name: m.value for m in found} == value
    for m in found:
        assert json.loads(text[m.value_start : m.end]) == m.value
        assert json.loads("{" + text[m.start : m.end] + "}") == {m.name: m.value}


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 2]))
def test_items_begin_where_they_say(value: list[object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    starts = list(items(text, 0))
    assert len(starts) == len(value)
    for start, item in zip(starts, value, strict=True):
        assert json.JSONDecoder().raw_decode(text, start)[0] == item
