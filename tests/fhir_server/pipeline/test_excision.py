"""Taking elements out of a text leaves the rest as it was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.pipeline.excision import tagged, without


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        (b'{"a" : 1.50,"b":2, "_b":{}}', ("b",), b'{"a" : 1.50}'),
        (b'{"a":[1,2],"_a":[null,{"id":"x"}]}', ("a", 1), b'{"a":[1]}'),
        (
            b'{"a":[1,2],"_a":[{"id":"x"},{"id":"y"}]}',
            ("a", 0),
            b'{"a":[2],"_a":[{"id":"y"}]}',
        ),
        (b'{"a":[null,2],"_a":[{"id":"x"},null]}', ("a", 1), b'{"a":[null],"_a":[{"id":"x"}]}'),
        (b'{"a":[{"b":[{"c":1}]}],"d":1}', ("a", 0, "b", 0, "c"), b'{"d":1}'),
        (
            b'{"a":["x","y"],"_a":[{"extension":[{"url":"u"}]},{"id":"i"}]}',
            ("_a", 0, "extension", 0),
            b'{"a":["x","y"],"_a":[null,{"id":"i"}]}',
        ),
        (b'{"a":{"b":1,"c":2}}', ("a", "x"), b'{"a":{"b":1,"c":2}}'),
        (b'{"a":[1]}', ("a", 7), b'{"a":[1]}'),
    ],
)
def test_what_stays_keeps_its_bytes_and_nothing_empty_stays(
    before: bytes, path: tuple[str | int, ...], after: bytes
) -> None:
    assert without(before, {path}) == after


def test_an_outer_element_takes_the_inner_one_with_it() -> None:
    text = b'{"a":[{"b":1,"c":2},{"b":3}]}'
    assert without(text, {("a", 0), ("a", 0, "b"), ("a", 1, "b")}) == b"{}"


def test_that_there_are_labels_is_not_said_when_none_is_left() -> None:
    text = b'{"meta":{"security":[{"code":"PROCESSINLINELABEL"}]},"b":"inline-sec-label"}'
    assert without(text, {("b",)}) == b'{"meta":{}}'


def test_tags_are_added_once() -> None:
    once = tagged(b'{"resourceType":"Patient","meta":{"tag":[{"code":"x"}]}}')
    assert tagged(once) == once
    meta = json.loads(once)["meta"]
    assert [c["code"] for c in meta["tag"]] == ["x", "SUBSETTED"]
    assert [c["code"] for c in meta["security"]] == ["REDACTED"]
    assert json.loads(tagged(b'{"resourceType":"Patient"}'))["meta"].keys() == {"security", "tag"}


JSON = st.recursive(
    st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3)
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@given(value=st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), pick=st.data())
def test_no_element_that_is_taken_out_can_be_reached(
    value: dict[str, object], pick: st.DataObject
) -> None:
    everywhere = list(_paths(value, ()))
    path = pick.draw(st.sampled_from(everywhere)) if everywhere else ("a",)
    left = json.loads(without(json.dumps(value).encode(), {path}))
    assert _leaves(left) == _leaves(value) - _leaves(_at(value, path))


def _paths(node: object, path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    found = []
    for step, child in _children(node):
        found += [(*path, step), *_paths(child, (*path, step))]
    return found


def _children(node: object) -> list[tuple[str | int, object]]:
    if isinstance(node, dict):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list) else []


def _at(node: object, path: tuple[str | int, ...]) -> object:
    for step in path:
        node = dict(_children(node)).get(step)
    return node


def _leaves(node: object) -> int:
    children = _children(node)
    if isinstance(node, (dict, list)):
        return sum(_leaves(child) for _, child in children)
    return 0 if node is None else 1
