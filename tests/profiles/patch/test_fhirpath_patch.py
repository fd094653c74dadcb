"""FHIRPath Patch by the standard's own cases (FHIR/fhir-test-cases, r4/patch), and bad ones of ours."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from profiles.definitions import r4
from profiles.errors import PatchConflictError, PatchError
from profiles.patch.fhirpath_patch import fhirpath_patch

from ...fhir_server.shared_data import folder_of

F = "{http://hl7.org/fhir}"


def _json(element: ET.Element, type_: str) -> Any:
    """A resource of the cases as JSON: what they need of the XML format, and no more."""
    known = r4().elements[type_]
    made: dict[str, Any] = {"id": element.get("id")} if element.get("id") else {}
    for child in element:
        name = child.tag.removeprefix(F)
        if "}" in name:  # narrative
            made["div"] = ET.canonicalize(
                ET.tostring(child), strip_text=True, rewrite_prefixes=True
            )
            continue
        described = known[name]
        value = child.get("value")
        if value is not None:
            inner: Any = {"boolean": value == "true", "integer": None}.get(described.type, value)
            inner = int(value) if described.type == "integer" else inner
        else:
            inner = _json(child, described.type)
        if described.max == "1":
            made[name] = inner
        else:
            made.setdefault(name, []).append(inner)
    return made


def _canonical(div: str | bytes) -> str:
    return ET.canonicalize(div, strip_text=True, rewrite_prefixes=True)


def _resource(parent: ET.Element) -> Any:
    [whole] = parent
    type_ = whole.tag.removeprefix(F)
    return {"resourceType": type_, **_json(whole, type_)}


def cases() -> list[Any]:
    file = folder_of("patch") / "fhir-patch-tests.xml"
    return [pytest.param(case, id=str(case.get("name"))) for case in ET.parse(file).getroot()]


@pytest.mark.parametrize("case", cases())
def test_a_case_of_the_standard_gives_what_it_says(case: ET.Element) -> None:
    before, patch, after = (_resource(case.find(n)) for n in ("input", "diff", "output"))  # type: ignore[arg-type]
    made = json.loads(fhirpath_patch(json.dumps(before), json.dumps(patch), r4()))
    if "text" in made:  # the same narrative with other prefixes
        made["text"]["div"] = _canonical(made["text"]["div"])
    assert made == after


PATIENT = (
    '{"resourceType" : "Patient", "name":[{"given":["A","B","C"],"_given":[null,{"id":"b"},null]}],'
    '"birthDate":"2000-01-01","_birthDate":{"id":"d"},"extension":[{"url":"urn:e","valueDecimal":1.10}]}'
)


def _patch(type_: str, path: str, *parts: dict[str, Any], **values: Any) -> str:
    told = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    for name, value in values.items():
        kind = "valueInteger" if isinstance(value, int) else "valueString"
        told.append({"name": name, kind: value})
    operation = {"name": "operation", "part": [*told, *parts]}
    return json.dumps({"resourceType": "Parameters", "parameter": [operation]})


def _value(**value: Any) -> dict[str, Any]:
    return {"name": "value", **value}


def _after(patch: str, before: str = PATIENT) -> Any:
    return json.loads(fhirpath_patch(before, patch, r4()))


def test_what_is_not_touched_keeps_its_bytes() -> None:
    made = fhirpath_patch(PATIENT, _patch("delete", "Patient.birthDate"), r4())
    assert made.startswith(
        '{"resourceType" : "Patient","name":[{"given":["A","B","C"],"_given":[null,{"id":"b"},null]}]'
    )
    assert made.endswith('"valueDecimal":1.10}]}')
    assert "birthDate" not in made  # the extension of a primitive goes with it


@pytest.mark.parametrize(
    ("patch", "given", "extra"),
    [
        (_patch("delete", "Patient.name[0].given[0]"), ["B", "C"], [{"id": "b"}, None]),
        (_patch("delete", "Patient.name.given.where($this = 'B')"), ["A", "C"], None),
        (_patch("delete", "Patient.name.given.last()"), ["A", "B"], [None, {"id": "b"}]),
        (
            _patch("move", "Patient.name[0].given", source=1, destination=0),
            ["B", "A", "C"],
            [{"id": "b"}, None, None],
        ),
        (
            _patch("insert", "Patient.name[0].given", _value(valueString="X"), index=0),
            ["X", "A", "B", "C"],
            [None, None, {"id": "b"}, None],
        ),
        (
            _patch("add", "Patient.name[0]", _value(_valueString={"id": "x"}), name="given"),
            ["A", "B", "C", None],
            [None, {"id": "b"}, None, {"id": "x"}],
        ),
        (
            _patch("replace", "Patient.name[0].given[1]", _value(valueString="X")),
            ["A", "X", "C"],
            None,
        ),
    ],
)
def test_a_primitive_and_its_extension_stay_together(patch: str, given: Any, extra: Any) -> None:
    name = _after(patch)["name"][0]
    assert name["given"] == given
    assert name.get("_given") == extra


@pytest.mark.parametrize(
    "condition",
    [
        "url = 'urn:e'",
        "url = 'urn:e' and value = 1.1",
        "(url = 'x' or url = 'urn:e')",
        "value.exists()",
        "url != 'x'",
        "extension.empty()",
        "extension.empty() and value.exists()",
        "value.exists() and url = 'urn:e'",
    ],
)
def test_a_condition_picks_an_element(condition: str) -> None:
    assert "extension" not in _after(_patch("delete", f"Patient.extension.where({condition})"))
    assert "extension" in _after(
        _patch("delete", f"Patient.extension.where({condition} and url = 'y')")
    )


def test_an_extension_is_found_by_its_url_and_a_choice_by_its_name() -> None:
    value = _value(valueDecimal=2.5)
    made = _after(_patch("replace", "Patient.extension('urn:e').value", value))
    assert made["extension"] == [{"url": "urn:e", "valueDecimal": 2.5}]
    other = _value(valueString="x")
    made = _after(_patch("replace", "Patient.extension('urn:e').value", other))
    assert made["extension"] == [{"url": "urn:e", "valueString": "x"}]
    made = _after(_patch("add", "Patient", _value(valueBoolean=True), name="deceased"))
    assert made["deceasedBoolean"] is True


def test_a_backbone_element_is_made_of_parts() -> None:
    parts = [
        {"name": "name", "valueHumanName": {"text": "x"}},
        {"name": "telecom", "valueContactPoint": {"value": "1"}},
        {"name": "telecom", "valueContactPoint": {"value": "2"}},
    ]
    made = _after(_patch("add", "Patient", {"name": "value", "part": parts}, name="contact"))
    assert made["contact"] == [{"name": {"text": "x"}, "telecom": [{"value": "1"}, {"value": "2"}]}]


@pytest.mark.parametrize(
    "patch",
    [
        _patch("delete", "Patient.name.given"),
        _patch("replace", "Patient.gender", _value(valueCode="male")),
        _patch("delete", "Patient"),
        _patch("add", "Patient", _value(valueString="x"), name="nonsense"),
        _patch("add", "Patient", _value(valueDate="2001"), name="birthDate"),
        _patch("move", "Patient.name", source=0, destination=1),
        _patch("add", "Patient", _value(valueString="x"), name="deceased"),
        _patch("insert", "Patient.name", _value(valueString="x"), index=2),
        _patch("add", "Patient.contact", _value(valueString="x"), name="gender"),
        _patch("insert", "Patient", _value(valueString="x"), index=0),
        _patch("insert", "Patient.birthDate", _value(valueString="x"), index=0),
        _patch("replace", "Patient.resourceType", _value(valueString="x")),
        _patch("move", "Patient.name", source=-1, destination=0),
    ],
)
def test_what_can_not_be_done_to_this_resource_is_refused_by_number(patch: str) -> None:
    with pytest.raises(PatchConflictError, match="operation 0"):
        _after(patch)


@pytest.mark.parametrize(
    "patch",
    [
        _patch("delete", ""),
        _patch("delete", "Patient."),
        _patch("delete", "Patient.name["),
        _patch("delete", "Patient.name[x]"),
        _patch("delete", "Patient.name.where("),
        _patch("delete", "Patient.name.where(given)x"),
        _patch("delete", "Patient.name.matches('(a+)+$')"),
        _patch("delete", "Patient.descendants()"),
        _patch("delete", "Patient" + ".name" * 500),
        _patch("delete", "(" * 40),
        _patch("x", "Patient"),
        _patch("delete", "Patient.name; x"),
        _patch("add", "Patient", name="birthDate"),
        _patch("insert", "Patient.name", _value(valueString="x")),
        "[]",
        "7",
        '{"parameter":{}}',
        '{"parameter":[{}]}',
        '{"parameter":[{"name":"x"}]}',
        '{"parameter":[{"name":"operation"}]}',
        '{"parameter":[{"name":"operation","part":[{"name":"path"}]}]}',
        '{"parameter":[{"name":"operation","part":"x"}]}',
        '{"parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueInteger":7}]}]}',
        '{"parameter":[{"name":"operation","part":[7]}]}',
    ],
)
def test_what_is_no_patch_is_refused(patch: str) -> None:
    if patch in ("[]", "7"):
        assert _after(patch) == json.loads(PATIENT)  # the server takes Parameters only
        return
    with pytest.raises(PatchError):
        _after(patch)


def test_a_patch_that_looks_at_too_much_is_stopped() -> None:
    before = json.dumps(
        {"resourceType": "Patient", "name": [{"text": str(n)} for n in range(5000)]}
    )
    one = json.loads(_patch("delete", "Patient.name.where(text = 'none')"))["parameter"][0]
    patch = json.dumps({"resourceType": "Parameters", "parameter": [one] * 900})
    with pytest.raises(PatchConflictError, match="too many"):
        fhirpath_patch(before, patch, r4())
