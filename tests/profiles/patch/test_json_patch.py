"""JSON Patch by the cases of FHIR/fhir-test-cases, and merge patch by the table of RFC 7396, appendix A."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.errors import JsonError, PatchConflictError, PatchError
from profiles.patch.json_patch import json_patch
from profiles.patch.merge_patch import merge_patch

from ...fhir_server.shared_data import folder_of


def cases() -> list[Any]:
    found = json.loads((folder_of("patch") / "json-patch-tests.json").read_bytes())
    return [pytest.param(case, id=case["comment"]) for case in found]


@pytest.mark.parametrize("case", cases())
def test_a_case_gives_what_it_says(case: dict[str, Any]) -> None:
    document, patch = json.dumps(case["doc"]), json.dumps(case["patch"])
    if "error" in case:
        with pytest.raises(PatchConflictError):
            json_patch(document, patch)
    else:
        assert json.loads(json_patch(document, patch)) == case["expected"]


DOCUMENT = '{"a" : 1.00, "b":[1.10,{"c" : 2.50}],"~":{"/":"x"}, "e": "\\u00e9"}'


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ("[]", '{"a" : 1.00,"b":[1.10,{"c" : 2.50}],"~":{"/":"x"},"e": "\\u00e9"}'),
        (
            '[{"op":"remove","path":"/b/0"}]',
            '{"a" : 1.00,"b":[{"c" : 2.50}],"~":{"/":"x"},"e": "\\u00e9"}',
        ),
        (
            '[{"op":"add","path":"/b/-","value":3.000}]',
            '{"a" : 1.00,"b":[1.10,{"c" : 2.50},3.000],"~":{"/":"x"},"e": "\\u00e9"}',
        ),
        (
            '[{"op":"replace","path":"/~0/~1","value":1e2}]',
            '{"a" : 1.00,"b":[1.10,{"c" : 2.50}],"~":{"/":1e2},"e": "\\u00e9"}',
        ),
        (
            '[{"op":"test","path":"/a","value":1},{"op":"remove","path":"/e"}]',
            '{"a" : 1.00,"b":[1.10,{"c" : 2.50}],"~":{"/":"x"}}',
        ),
        (
            '[{"op":"copy","from":"/b/1/c","path":"/a"}]',
            '{"a" : 2.50,"b":[1.10,{"c" : 2.50}],"~":{"/":"x"},"e": "\\u00e9"}',
        ),
        (
            '[{"op":"move","from":"/b/1","path":"/b/0"}]',
            '{"a" : 1.00,"b":[{"c" : 2.50},1.10],"~":{"/":"x"},"e": "\\u00e9"}',
        ),
    ],
)
def test_what_is_not_touched_keeps_its_bytes(patch: str, expected: str) -> None:
    made = json_patch(DOCUMENT, patch)
    assert made.replace(", ", ",") == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/b/3", "value": 1},
        {"op": "add", "path": "/b/01", "value": 1},
        {"op": "add", "path": "/b/x", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "remove", "path": "/b/2"},
        {"op": "remove", "path": "/b/-"},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": "/x"},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "replace", "path": "/b/-", "value": 1},
        {"op": "move", "from": "/b", "path": "/b/0"},
        {"op": "move", "from": "/x", "path": "/y"},
        {"op": "copy", "from": "/b/9", "path": "/y"},
        {"op": "test", "path": "/a", "value": "1.00"},
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/x", "value": None},
        {"op": "test", "path": "", "value": {}},
        {"op": "add", "path": "/b/99999999999", "value": 1},
        {"op": "test", "path": "/b/-1", "value": 1},
        {"op": "test", "path": "/b/١", "value": 1},
    ],
)
def test_what_can_not_be_done_is_refused_by_number(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchConflictError, match="operation 0"):
        json_patch(DOCUMENT, json.dumps([operation]))


@pytest.mark.parametrize(
    "patch",
    [
        "{}",
        "7",
        "null",
        "[7]",
        "[{}]",
        '[{"op":"x","path":""}]',
        '[{"op":7,"path":""}]',
        '[{"op":"add","path":"/a"}]',
        '[{"op":"add","path":"a","value":1}]',
        '[{"op":"add","path":7,"value":1}]',
        '[{"op":"move","path":"/a"}]',
        '[{"op":"remove"}]',
        '[{"op":"remove","path":"/~2"}]',
        '[{"op":"remove","path":"/~"}]',
        json.dumps([{"op": "remove", "path": "/x" * 65}]),
        json.dumps([{"op": "test", "path": "/a", "value": 1}] * 1001),
    ],
)
def test_what_is_no_patch_is_refused(patch: str) -> None:
    with pytest.raises(PatchError):
        json_patch(DOCUMENT, patch)


@pytest.mark.parametrize("patch", ["", "[", "[NaN]", '[{"op":"add","op":"remove","path":"/a"}]'])
def test_what_is_no_json_is_refused(patch: str) -> None:
    for apply in (json_patch, merge_patch):
        with pytest.raises(JsonError):
            apply(DOCUMENT, patch)


def test_copies_of_copies_are_stopped() -> None:
    doubling = [{"op": "copy", "from": "", "path": f"/{n}"} for n in range(60)]
    with pytest.raises(PatchConflictError, match="too much"):
        json_patch('{"a":"' + "x" * 1000 + '"}', json.dumps(doubling))


# RFC 7396, appendix A; rows whose result is no object are left out: they leave no resource
MERGES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("document", "patch", "expected"), MERGES)
def test_a_merge_is_that_of_the_rfc(document: str, patch: str, expected: str) -> None:
    assert merge_patch(document, patch) == expected


@pytest.mark.parametrize("patch", ['["c"]', "null", '"bar"', "7"])
def test_a_merge_that_leaves_no_object_is_refused(patch: str) -> None:
    with pytest.raises(PatchError):
        merge_patch(DOCUMENT, patch)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.decimals(-9, 9, places=2)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=2), values, max_size=4)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


@given(objects, objects)
def test_a_merge_equals_the_pseudo_code_of_the_rfc(target: Any, patch: Any) -> None:
    assert merge_patch(_text(target), _text(patch)) == _text(_merged(target, patch))


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made
