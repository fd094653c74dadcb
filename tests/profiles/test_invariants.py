"""Our functions for R4's invariants say what the official expressions say, judged by fhirpathpy.

Each rule is asked about every element of its type in the official examples, and about mutants of them: a member left out,
added from another example, or replaced by that of another.  So both answers of a rule come up wherever examples allow it.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fhirpathpy import apply_parsed_path
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models
from fhirpathpy.parser import parse

from profiles.definitions import r4
from profiles.rules import clinical
from profiles.rules.walk import HOLDS

Json = dict[str, Any]
DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
SAMPLES, MUTANTS = 6, 60

# where fhirpathpy, or the published expression, can not be the judge, and why
NOT_JUDGED = {
    "que-12": "the expression says > 2 where the rule's text says more than one: we follow the text",
    "rng-2": "fhirpathpy can not compare quantities",
    "bdl-3": "needs %resource, which the oracle takes to be the entry",
    "bdl-4": "needs %resource",
}


@cache
def _expressions() -> dict[tuple[str, str], str]:
    """(type or backbone path, key) to the official expression."""
    found = {}
    for name in ("profiles-types.json.gz", "profiles-resources.json.gz"):
        bundle = json.loads(gzip.decompress((DATA / "r4-definitions" / name).read_bytes()))
        for definition in (e["resource"] for e in bundle["entry"]):
            for element in definition.get("snapshot", {}).get("element", ()):
                for rule in element.get("constraint", ()):
                    found[element["path"], rule["key"]] = rule["expression"]
    return found


@cache
def _elements() -> dict[str, list[Json]]:
    """Type or backbone path to the elements of it in the official examples; the first of each shape."""
    found: dict[str, dict[tuple[str, ...], Json]] = defaultdict(dict)
    for file in sorted((DATA / "r4-examples").glob("*.ndjson.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            resource = json.loads(line)
            for type_, element in _walk(resource["resourceType"], resource):
                shape = tuple(sorted(k for k in element if k not in ("id", "text", "extension")))
                found[type_].setdefault(shape, element)
    return {type_: list(shapes.values()) for type_, shapes in found.items()}


def _walk(type_: str, element: Json) -> Iterator[tuple[str, Json]]:
    yield type_, element
    known = r4().elements[type_]
    for name, value in element.items():
        inner = known.get(name)
        for item in value if isinstance(value, list) else [value]:
            if inner and isinstance(item, dict) and inner.type in r4().elements:
                nested = item.get("resourceType", inner.type)
                yield from _walk(nested, item)


def _mutants(type_: str, chance: random.Random) -> Iterator[Json]:
    """Elements of a type as they are, and with members left out, added or replaced."""
    own = _elements().get(type_, [])
    yield from own[:SAMPLES]
    members = [
        (k, v) for element in own for k, v in element.items() if k not in ("resourceType", "text")
    ]
    for _ in range(MUTANTS if own else 0):
        made = copy.deepcopy(chance.choice(own))
        for _ in range(chance.randint(1, 3)):
            name, value = chance.choice(members)
            if chance.random() < 0.5:
                made.pop(name, None)
            elif not (choice := r4().elements[type_][name.lstrip("_")].choice) or not any(
                k.startswith(choice) for k in made
            ):
                made[name] = copy.deepcopy(value)
        if set(made) - {"resourceType"}:
            yield made


def _rules() -> list[tuple[str, str]]:
    """(type, key) of every rule that we have."""
    return [
        (type_, key)
        for type_, keys in sorted(r4().rules.items())
        for key in keys
        if (type_, key) in clinical.OF_PATH or key in HOLDS
    ]


RULES = _rules()


@pytest.mark.parametrize(("type_", "key"), RULES, ids=[f"{t} {k}" for t, k in RULES])
def test_a_rule_says_what_its_official_expression_says(type_: str, key: str) -> None:
    if not DATA.is_dir():
        pytest.skip("no shared data here: r4-definitions")
    holds = clinical.OF_PATH.get((type_, key)) or HOLDS[key]
    if key in NOT_JUDGED or key.endswith(
        "-0"
    ):  # names: it looks for a part that matches, we ask for all of it
        return
    parsed = parse(
        _expressions()[type_, key].replace("hasValue()", "exists()")
    )  # not in the oracle
    for element in _mutants(type_, random.Random(f"{type_} {key}")):
        node = ResourceNode.create_node(copy.deepcopy(element), type_)
        said = apply_parsed_path(node, parsed, {"resource": element}, models["r4"])
        if said:  # empty where a member that structure demands is not there
            assert [holds(element)] == said, element


def test_most_rules_of_the_standard_are_there() -> None:
    every = {key for keys in r4().rules.values() for key in keys}
    assert len(every & set(HOLDS)) >= 180
