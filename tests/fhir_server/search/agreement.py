"""Index and exact check on one side, a plain scan (``oracle.py``) on the other: what the tests of both share.

The tokens of a resource and the groups of a search decide whether it is a candidate, as the store does; the matcher
decides the rest.  A candidate that is missing fails like a wrong match.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.match import Matcher
from fhir_server.search.plan import groups
from fhir_server.search.query import parse_criteria
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from profiles.definitions import r4
from profiles.strict_json import read

from .oracle import Json

BASE = "http://localhost:8080/fhir"
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SEARCHABLE = Searchable(r4())
BLIND = BlindIndex(bytes(32), "tenant")
TOKENIZER = Tokenizer(SEARCHABLE, BLIND)
EACH = settings(max_examples=150, deadline=None)
PREFIXES = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
UCUM = "http://unitsofmeasure.org"


def scan(resources: list[Json], name: str, value: str) -> list[int]:
    """The numbers of the resources that index and matcher give for ``name=value``."""
    type_ = resources[0]["resourceType"]
    values = SEARCHABLE.of(type_)
    criteria = parse_criteria(values, [(name, value)])
    wanted = groups(values, criteria, BLIND, BASE, NOW)
    matcher = Matcher(values, criteria, BASE, NOW)
    found = []
    for number, resource in enumerate(resources):
        stored = read(json.dumps(resource, ensure_ascii=False).replace('"§', "").replace('§"', ""))
        assert isinstance(stored, dict)
        tokens = TOKENIZER.tokens(type_, stored, ("Patient/1",))
        if all(tokens & set(group) for group in wanted) and matcher.matches(stored):
            found.append(number)
    return found


def agree(resources: list[Json], name: str, value: str, expected: Callable[[Json], bool]) -> None:
    assert scan(resources, name, value) == [n for n, r in enumerate(resources) if expected(r)]


def escaped(text: str) -> str:
    for character in "\\,|$":
        text = text.replace(character, f"\\{character}")
    return text


def several(resource: st.SearchStrategy[Json]) -> st.SearchStrategy[list[Json]]:
    return st.lists(resource, min_size=6, max_size=8)


def members(type_: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Resources that have some of the parts."""
    return st.fixed_dictionaries({"resourceType": st.just(type_)}, optional=parts)


# Numbers that lie close to each other and to the edges of what rounds to them; value and search are of one row.
CLUSTERS = [
    ["5.4", "5.40", "5.35", "5.45", "5.44999", "5.3", "5", "5.4e0"],
    ["99.5", "100", "100.0", "100.5", "100.49", "95", "105", "110", "90", "1e2", "1.0e2", "10e1"],
    [
        "0",
        "0.0",
        "0.5",
        "-0.5",
        "1",
        "1.0",
        "-1",
        "1E-3",
        "0.001",
        "1e-300",
        "0.00000095367431640625",
    ],
    ["-100", "-99.5", "-100.5", "-1e2", "-90", "-110"],
    ["8796093022208", "8796093022207", "1e300", "-1e300", "9007199254740993", "9007199254740992"],
]
CLUSTER = st.shared(
    st.sampled_from(CLUSTERS)
    | st.lists(
        st.decimals(-1000, 1000, places=2, allow_nan=False, allow_infinity=False).map(str),
        min_size=2,
        max_size=5,
    ),
    key="numbers",
)
NUMBERS = CLUSTER.flatmap(st.sampled_from)
UNITS = st.sampled_from(
    [
        {"unit": "mg", "system": UCUM, "code": "mg"},
        {"unit": "milligram", "system": UCUM, "code": "mg"},
        {"unit": "mg"},
        {"system": "urn:x", "code": "mg"},
        {"system": UCUM, "code": "g"},
        {},
    ]
)


ASKED_UNITS = st.sampled_from(
    [("", (None, "")), (f"|{UCUM}|mg", (UCUM, "mg")), ("||mg", ("", "mg")), ("||milligram", ("", "milligram")),
     (f"|{UCUM}|", (UCUM, "")), ("|urn:x|mg", ("urn:x", "mg")), ("||", ("", ""))]
)  # fmt: skip


def quantities(*, compared: bool = True) -> st.SearchStrategy[Json]:
    comparators = [{}, {}, {"comparator": "<"}, {"comparator": ">="}, {"comparator": ">"},
                   {"comparator": "<="}] if compared else [{}]  # fmt: skip
    return st.builds(
        lambda number, unit, compared: {"value": f"§{number}§", **unit, **compared},
        NUMBERS,
        UNITS,
        st.sampled_from(comparators),
    )


def bare(value: Any) -> Any:
    """The same with its numbers as plain text, for the oracle."""
    return json.loads(json.dumps(value, ensure_ascii=False).replace("§", ""))


MOMENTS = ["2020", "2020-03", "2020-03-01", "2020-02-29", "2020-03-01T00:30:00+01:00", "2020-02-29T23:30:00Z",
           "2020-03-01T12:00:00.123Z", "2019-12-31T23:59:59-05:00", "2020-03-31T23:59:59+14:00",
           "1850", "2199-06"]  # fmt: skip


NAMES = [
    "Anna",
    "anna maria",
    "Änne",
    "O'Brien",
    "Müller-Lüdenscheid",
    "van der Berg",
    "straße",
    "李",
    "x,y|z\\",
    "$5",
    "ANNA",
]


PIECES = st.sampled_from(NAMES).flatmap(
    lambda n: st.tuples(st.integers(0, len(n) - 1), st.integers(1, len(n))).map(
        lambda cut: n[cut[0] : cut[0] + cut[1]].strip() or n
    )
)


def names_of(resource: Json) -> list[str]:
    return [text for name in resource.get("name", ()) for text in name.values()]


SYSTEMS = ["", "urn:a", "urn:b|c", "http://x/y,z"]


CODES = ["1", "A", "a", "b|c", "d,e", "f\\", "ä b"]


TEXTS = ["Blood glucose", "glucose", "Glück", "serum blood"]


CODINGS = st.fixed_dictionaries(
    {},
    optional={
        "system": st.sampled_from(SYSTEMS[1:]),
        "code": st.sampled_from(CODES),
        "display": st.sampled_from(TEXTS),
    },
).filter(lambda coding: bool(coding) and ("code" in coding or "display" in coding))


_SPOKEN = st.sampled_from(TEXTS)
CONCEPTS = st.one_of(  # never empty: what is filtered away again and again ends the test
    st.fixed_dictionaries(
        {"coding": st.lists(CODINGS, min_size=1, max_size=2)}, optional={"text": _SPOKEN}
    ),
    st.fixed_dictionaries({"text": _SPOKEN}),
)


ASKED_CODES = st.sampled_from(
    [(system, code) for system in (None, *SYSTEMS) for code in (*CODES, "") if system or code]
)


def spelled(system: str | None, code: str) -> str:
    return escaped(code) if system is None else f"{escaped(system)}|{escaped(code)}"


GENDER = "http://hl7.org/fhir/administrative-gender"


GENDERS = ["male", "female", "other", "unknown"]


REFERENCES = ["Patient/a", f"{BASE}/Patient/a", "Patient/a/_history/2", "http://other/fhir/Patient/a", "Group/a",
              "Patient/b", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"]  # fmt: skip


SUBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "reference": st.sampled_from(REFERENCES),
        "identifier": st.fixed_dictionaries(
            {"value": st.sampled_from(CODES)}, optional={"system": st.sampled_from(SYSTEMS[1:])}
        ),
    },
)
