"""Labels by codes: the right ones for the right codes, and no rule that says something else than it seems to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from consent_engine import LabelRuleError, LabelRules, builtin_rules, highest
from consent_engine.labelling import _codings

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"


def rules(*listed: Any, files: dict[str, Any] | None = None) -> LabelRules:
    made = LabelRules()
    text = json.dumps({"version": 1, "rules": list(listed)})
    made.add(text, lambda name: json.dumps((files or {})[name]))
    return made


def rule(**changed: Any) -> dict[str, Any]:
    good = {"id": "one", "label": "HIV", "systems": [ICD], "codes": ["R75"]}
    return {name: value for name, value in (good | changed).items() if value is not None}


def coded(*codings: tuple[str, str]) -> dict[str, Any]:
    listed = [{"system": system, "code": code} for system, code in codings]
    return {"resourceType": "Condition", "code": {"coding": listed}}


@pytest.fixture(scope="module")
def builtin() -> LabelRules:
    made = LabelRules()
    made.add(builtin_rules(), str)
    return made


def test_without_rules_nothing_gets_a_label() -> None:
    assert not LabelRules()
    assert LabelRules().labels_of(coded((ICD, "F10.2"))) == ()


@pytest.mark.parametrize(
    ("system", "code", "labels"),
    [
        (ICD, "F10.20", ["ETHUD"]),
        (ICD, "F11", ["OPIOIDUD"]),
        (ICD, "F17.2", []),
        (ICD, "F32.1", ["MH"]),
        (ICD, "F1", []),
        (ICD, "B20", ["HIV"]),
        (ICD, "O98.711", ["HIV"]),
        (ICD, "O98.5", []),
        (ICD, "Z30.09", ["SEX"]),
        (ICD, "Z15.01", ["GDIS"]),
        (ICD, "T74.11XA", ["VIO"]),
        (ICD, "I10", []),
        (ICD, "f10", []),
        ("http://hl7.org/fhir/sid/icd-9-cm", "F10", []),
        (LOINC, "20447-9", ["HIV"]),
        (LOINC, "20447-90", []),
        ("http://snomed.info/sct", "7200002", ["ETHUD"]),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "6813", ["OPIOIDUD"]),
    ],
)
def test_the_builtin_rules_know_their_codes_and_no_others(
    builtin: LabelRules, system: str, code: str, labels: list[str]
) -> None:
    assert [rule.label for rule in builtin.labels_of(coded((system, code)))] == labels


def test_every_builtin_rule_says_what_it_is_about() -> None:
    listed = json.loads(builtin_rules())["rules"]
    assert all(each["about"] for each in listed)
    part2 = {"ETHUD", "OPIOIDUD", "SUD"}
    assert all((each.get("basis") == "42CFRPart2") == (each["label"] in part2) for each in listed)


def test_each_label_is_named_once_with_its_rule_and_basis(builtin: LabelRules) -> None:
    found = builtin.labels_of(coded((ICD, "F10"), (ICD, "F10.1"), (ICD, "B20"), (LOINC, "75626-2")))
    assert [(r.label, r.id_, r.basis) for r in found] == [
        ("ETHUD", "icd10-alcohol", "42CFRPart2"),
        ("HIV", "icd10-hiv", ""),
    ]


def test_codes_count_wherever_they_stand_but_in_meta() -> None:
    found = rules(rule())
    nested = {"contained": [coded((ICD, "R75"))]}
    entry = {
        "resourceType": "Bundle",
        "entry": [{"resource": {"contained": [coded((ICD, "R75"))]}}],
    }
    label = {"meta": {"security": [{"system": ICD, "code": "R75"}]}}
    assert [len(found.labels_of(each)) for each in (nested, entry, label)] == [1, 1, 0]


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], [[{}]], {"code": 5, "system": ICD}, {"code": {}}]
)
def test_what_is_no_coding_is_passed_over(value: Any) -> None:
    assert list(_codings({"x": value})) == []


def test_a_value_set_gives_its_codes_expanded_or_composed() -> None:
    expanded = {
        "resourceType": "ValueSet",
        "expansion": {
            "contains": [
                {"system": ICD, "code": "A1", "contains": [{"system": ICD, "code": "A1.1"}]},
                {"system": ICD, "code": "A2", "abstract": True},
            ]
        },
    }
    include = [{"system": LOINC, "concept": [{"code": "1-1"}]}]
    composed = {"resourceType": "ValueSet", "compose": {"include": include}}
    files = {"a.json": expanded, "b.json": composed}
    found = rules(
        rule(codes=None, valueSet="a.json"),
        rule(id="two", label="MH", codes=None, valueSet="b.json"),
        files=files,
    )
    asked = [(ICD, "A1"), (ICD, "A1.1"), (ICD, "A2"), (LOINC, "1-1")]
    assert [[r.label for r in found.labels_of(coded(each))] for each in asked] == [
        ["HIV"],
        ["HIV"],
        [],
        ["MH"],
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"id": None},
        {"id": 5},
        {"label": "NOPE"},
        {"label": "R"},
        {"label": "42CFRPart2"},
        {"label": "_InformationSensitivityPolicy"},
        {"label": None},
        {"systems": ICD},
        {"codes": "R75"},
        {"codes": [""]},
        {"codes": [5]},
        {"codes": []},
        {"prefixes": ["x" * 13]},
        {"basis": 5},
        {"valueSet": "a.json"},
        {"valueSet": 5},
        {"code": "R75"},
        {"confidentiality": "X"},
        {"confidentiality": 5},
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_by_name(changed: dict[str, Any]) -> None:
    with pytest.raises(LabelRuleError, match="rule"):
        rules(rule(**changed), files={"a.json": {"resourceType": "ValueSet"}})


def test_two_rules_of_one_id_are_refused_also_across_files() -> None:
    found = rules(rule())
    with pytest.raises(LabelRuleError, match="twice"):
        found.add(json.dumps({"version": 1, "rules": [rule()]}), str)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"version": 2, "rules": []}', '{"version": 1}', "[" * 9999]
)
def test_a_file_that_is_no_rule_file_is_refused(text: str) -> None:
    with pytest.raises(LabelRuleError):
        LabelRules().add(text, str)


def test_the_highest_confidentiality_of_several_rules_counts() -> None:
    found = rules(
        rule(),
        rule(id="two", label="MH", confidentiality="V"),
        rule(id="three", label="SEX", confidentiality="V"),
    ).labels_of(coded((ICD, "R75")))
    assert (highest(found).id_, highest(found).confidentiality) == ("three", "V")
    assert [r.confidentiality for r in found] == ["R", "V", "V"]
