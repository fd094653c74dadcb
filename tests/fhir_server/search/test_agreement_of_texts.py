"""Dates, strings, uris, ``:missing`` and what looks at the whole: index and exact check give what a plain scan gives."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from . import oracle
from .agreement import (
    CONCEPTS,
    EACH,
    GENDERS,
    MOMENTS,
    NAMES,
    NOW,
    PIECES,
    PREFIXES,
    SUBJECTS,
    agree,
    escaped,
    members,
    names_of,
    quantities,
    several,
)
from .oracle import Json

DAYS = ["2019-12-31", "2020-01-01", "2020-03-01", "2020-03", "2020", "2021"]


ASKED_DATES = st.sampled_from(
    [*MOMENTS, "2019", "2020-04", "2020-03-01T00:30+01:00", "2026-05-04", "2010"]
)


PERIODS = st.builds(
    lambda a, b: {k: v for k, v in (("start", a), ("end", b)) if v},
    st.sampled_from(["", *DAYS[:3]]),
    st.sampled_from(["", *DAYS[2:]]),
).filter(bool)


@EACH
@given(
    several(
        members("Observation", effectiveDateTime=st.sampled_from(MOMENTS))
        | members("Observation", effectivePeriod=PERIODS)
    ),
    PREFIXES,
    ASKED_DATES,
)
def test_dates_and_periods(resources: list[Json], prefix: str, asked: str) -> None:
    def expected(resource: Json) -> bool:
        found = [v for k, v in resource.items() if k.startswith("effective")]
        return any(oracle.date_is(prefix, asked, node, NOW) for node in found)

    agree(resources, "date", f"{prefix}{asked}", expected)


PEOPLE = members(
    "Patient",
    name=st.lists(
        st.fixed_dictionaries(
            {}, optional={"family": st.sampled_from(NAMES), "text": st.sampled_from(NAMES)}
        ),
        min_size=1,
        max_size=2,
    ),
)


@EACH
@given(several(PEOPLE), st.sampled_from(["", "exact", "contains"]), PIECES)
def test_strings(resources: list[Json], modifier: str, want: str) -> None:
    name = f"name:{modifier}" if modifier else "name"
    agree(
        resources,
        name,
        escaped(want),
        lambda r: any(oracle.string_is(modifier, want, have) for have in names_of(r)),
    )


URIS = [
    "http://a.org/fhir",
    "http://a.org/fhir/",
    "http://a.org/fhir/ValueSet/1",
    "http://a.org/fhirx",
    "http://a.org",
    "urn:oid:1.2",
]


@EACH
@given(
    several(members("ValueSet", url=st.sampled_from(URIS))),
    st.sampled_from(["", "above", "below"]),
    st.sampled_from(URIS),
)
def test_uris(resources: list[Json], modifier: str, asked: str) -> None:
    if modifier and asked.startswith("urn:"):
        return

    def under(uri: str, top: str) -> bool:
        return uri.startswith(top.rstrip("/") + "/") if uri != top else True

    def expected(resource: Json) -> bool:
        mine = resource.get("url")
        if mine is None:
            return False
        if modifier == "below":
            return under(mine, asked)
        return under(asked, mine) if modifier == "above" else mine == asked

    agree(resources, f"url:{modifier}" if modifier else "url", asked, expected)


@EACH
@given(
    several(
        members(
            "Observation",
            code=CONCEPTS,
            valueQuantity=quantities(),
            subject=SUBJECTS.filter(bool),
            effectiveDateTime=st.sampled_from(MOMENTS),
        )
    ),
    st.sampled_from(["true", "false"]),
)
def test_missing(resources: list[Json], missing: str) -> None:
    for name, member in (
        ("code", "code"),
        ("value-quantity", "valueQuantity"),
        ("date", "effectiveDateTime"),
        ("subject", "subject"),
    ):
        agree(
            resources,
            f"{name}:missing",
            missing,
            lambda r, m=member: (m in r) == (missing == "false"),
        )


NARRATIVES = st.sampled_from(["Anna has a cold", "a <b>cold</b> day", "Cold&amp;wet", "Änne"])


TOLD = members(
    "Patient",
    text=NARRATIVES.map(lambda t: {"status": "generated", "div": f"<div>{t}</div>"}),
    name=st.lists(st.sampled_from(NAMES).map(lambda n: {"family": n}), min_size=1, max_size=1),
)


@EACH
@given(
    several(TOLD),
    st.sampled_from(["_text", "_content"]),
    st.sampled_from(["cold", "COLD day", "anne", "wet cold", "amp", "div", "b", "o brien"]),
)
def test_words_of_the_narrative_and_of_everything(
    resources: list[Json], name: str, want: str
) -> None:
    def expected(resource: Json) -> bool:
        div = resource.get("text", {}).get("div", "")
        for tag in ("<div>", "</div>", "<b>", "</b>"):
            div = div.replace(tag, " ")
        found = oracle.text_words(div.replace("&amp;", "&"))
        if name == "_content":
            found |= {word for text in names_of(resource) for word in oracle.text_words(text)}
            found |= {"patient"} | ({"generated"} if "text" in resource else set())
        return oracle.text_words(want) <= found

    agree(resources, name, want, expected)


FAMILIES = st.sampled_from(["Anna", "an", "berg", "na"])
BIRTHS = st.sampled_from(["2020", "2020-03", "2020-03-01"])
COMPARED = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "po"])
COMPARISONS = st.one_of(
    st.tuples(st.just("family"), st.sampled_from(["eq", "ne", "co", "sw", "ew"]), FAMILIES),
    st.tuples(st.just("gender"), st.sampled_from(["eq", "ne"]), st.sampled_from(GENDERS)),
    st.tuples(st.just("birthdate"), COMPARED, BIRTHS),
    st.tuples(
        st.sampled_from(["family", "gender", "birthdate"]),
        st.just("pr"),
        st.sampled_from(["true", "false"]),
    ),
)
EXPRESSIONS: st.SearchStrategy[Any] = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


def _written(expression: Any) -> str:
    if expression[0] == "not":
        return f"not ({_written(expression[1])})"
    if expression[0] in ("and", "or"):
        return "(" + f" {expression[0]} ".join(_written(each) for each in expression[1]) + ")"
    parameter, operator, value = expression
    return (
        f'{parameter} {operator} "{value}"'
        if parameter == "family" and operator != "pr"
        else " ".join(expression)
    )


def _holds(expression: Any, resource: Json) -> bool:
    if expression[0] == "not":
        return not _holds(expression[1], resource)
    if expression[0] in ("and", "or"):
        several = [_holds(each, resource) for each in expression[1]]
        return all(several) if expression[0] == "and" else any(several)
    parameter, operator, value = expression
    if parameter == "family":
        found = [name["family"] for name in resource.get("name", ()) if "family" in name]
        tests = [
            oracle.string_is("eq" if operator == "ne" else operator, value, have)
            for have in found
            if operator != "pr"
        ]
    else:
        found = (
            [resource["gender" if parameter == "gender" else "birthDate"]]
            if ("gender" if parameter == "gender" else "birthDate") in resource
            else []
        )
        if parameter == "gender":
            tests = [have == value for have in found]
        else:
            tests = [
                oracle.date_is("eq" if operator == "ne" else operator, value, have, NOW)
                for have in found
                if operator != "pr"
            ]
    if operator == "pr":
        return bool(found) == (value == "true")
    return any(not test for test in tests) if operator == "ne" else any(tests)


@EACH
@given(
    several(
        members(
            "Patient",
            name=st.lists(
                st.sampled_from(NAMES).map(lambda n: {"family": n}), min_size=1, max_size=2
            ),
            gender=st.sampled_from(GENDERS),
            birthDate=st.sampled_from(["2020", "2020-03", "2020-03-01", "1950-01-01", "2025"]),
        )
    ),
    EXPRESSIONS,
)
def test_filters(resources: list[Json], expression: Any) -> None:
    agree(resources, "_filter", _written(expression), lambda r: _holds(expression, r))
