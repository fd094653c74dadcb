"""What ``_summary`` and ``_elements`` leave, and white space for people."""

import json

import pytest

from profiles.definitions import r4
from profiles.pretty import pretty
from profiles.strict_json import read
from profiles.subset import elements, summary

from ..fhir_server.shared_data import r4_examples

R4 = r4()
PATIENT = (
    '{"resourceType":"Patient","id":"1","meta":{"versionId":"3","tag":[{"code":"t"}]},"text":{"status":"empty","div":"<div/>"},'
    '"active":true,"_birthDate":{"id":"b"},"birthDate":"2000","contact":[{"gender":"male"}],"multipleBirthInteger":2,'
    '"link":[{"other":{"reference":"Patient/2"},"type":"seealso"}]}'
)


def cut(text: str) -> dict[str, object]:
    value = read(text)
    assert isinstance(value, dict)
    return value


def tags(value: dict[str, object]) -> list[str]:
    meta = value["meta"]
    assert isinstance(meta, dict)
    return [tag["code"] for tag in meta["tag"]]


def test_elements_keeps_what_is_named_with_its_extensions_and_what_must_be_there() -> None:
    value = cut(elements(PATIENT, "Patient", frozenset({"birthDate", "multipleBirth"}), R4))
    # active and link change what the others mean
    assert set(value) == {
        "resourceType",
        "id",
        "meta",
        "active",
        "link",
        "birthDate",
        "_birthDate",
        "multipleBirthInteger",
    }
    assert tags(value) == ["t", "SUBSETTED"]


def test_a_summary_keeps_what_the_standard_marks() -> None:
    value = cut(summary(PATIENT, "Patient", "true", R4))
    assert set(value) == {"resourceType", "id", "meta", "active", "birthDate", "_birthDate", "link"}


def test_a_summary_of_text_keeps_the_narrative_and_what_is_mandatory() -> None:
    value = cut(summary(PATIENT, "Patient", "text", R4))
    assert set(value) == {"resourceType", "id", "meta", "text", "active", "link"}


def test_a_summary_of_data_keeps_all_but_the_narrative() -> None:
    assert set(cut(PATIENT)) - set(cut(summary(PATIENT, "Patient", "data", R4))) == {"text"}


def test_numbers_keep_their_spelling() -> None:
    text = '{"resourceType":"Observation","status":"final","valueQuantity":{"value":1.50E+1}}'
    assert '"value":1.50E+1' in summary(text, "Observation", "true", R4)


@pytest.mark.parametrize("mode", ["true", "text", "data"])
def test_every_example_has_a_summary_that_is_part_of_it(mode: str) -> None:
    for line in r4_examples():
        text = line.decode()
        whole = cut(text)
        part = cut(summary(text, str(whole["resourceType"]), mode, R4))
        assert "SUBSETTED" in tags(part)
        assert all(_within(v, whole.get(k)) for k, v in part.items() if k != "meta")


def _within(part: object, whole: object) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(_within(v, whole.get(k)) for k, v in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(any(_within(p, w) for w in whole) for p in part)
    return part == whole


def test_pretty_changes_white_space_only() -> None:
    text = '{"a":[1.00,{"b":"x, \\"y\\": {"},[],{}],"c":null}'
    made = pretty(text)
    assert json.loads(made) == json.loads(text)
    assert made.splitlines()[1] == '  "a": ['
    assert "1.00" in made
