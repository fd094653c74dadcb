"""Numbers, quantities, composites and places: index and exact check give what a plain scan gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from profiles.definitions import r4
from profiles.fhirpath import compile_expression

from . import oracle
from .agreement import (
    ASKED_CODES,
    ASKED_UNITS,
    CONCEPTS,
    EACH,
    NUMBERS,
    PREFIXES,
    SEARCHABLE,
    agree,
    bare,
    members,
    quantities,
    several,
    spelled,
)
from .oracle import Json


def ranges() -> st.SearchStrategy[Json]:
    ends = st.tuples(quantities(compared=False), quantities(compared=False)).map(
        lambda pair: sorted(pair, key=lambda q: oracle.Fraction(q["value"].strip("§")))
    )
    return ends.flatmap(
        lambda pair: st.sampled_from(
            [{"low": pair[0], "high": pair[1]}, {"low": pair[0]}, {"high": pair[1]}]
        )
    )


SAMPLES = st.builds(
    lambda origin, data, factor: {
        "origin": origin, "period": 10, "dimensions": 1, "data": " ".join(data), **factor,
    },
    quantities(compared=False),
    st.lists(st.sampled_from(["1", "2.5", "-3", "100", "E", "U", "L"]), max_size=4),
    st.sampled_from([{}, {"factor": 2}, {"factor": "§0.5§"}]),
)  # fmt: skip


@EACH
@given(
    several(members("ChargeItem", factorOverride=NUMBERS.map(lambda n: f"§{n}§"))),
    PREFIXES,
    NUMBERS,
)
def test_numbers(resources: list[Json], prefix: str, number: str) -> None:
    def expected(resource: Json) -> bool:
        if "factorOverride" not in resource:
            return False
        mine = oracle.Fraction(bare(resource["factorOverride"]))
        return oracle.number_is(prefix, number, [mine], lambda n: n == mine)

    agree(resources, "factor-override", f"{prefix}{number}", expected)


@EACH
@given(
    several(
        members("Observation", valueQuantity=quantities())
        | members("Observation", valueSampledData=SAMPLES)
    ),
    PREFIXES,
    NUMBERS,
    ASKED_UNITS,
)
def test_quantities_and_sampled_data(
    resources: list[Json], prefix: str, number: str, unit: tuple[str, tuple[str | None, str]]
) -> None:
    def expected(resource: Json) -> bool:
        found = [v for k, v in bare(resource).items() if k.startswith("value")]
        return any(oracle.quantity_is(prefix, number, unit[1], node) for node in found)

    agree(resources, "value-quantity", f"{prefix}{number}{unit[0]}", expected)
    agree(resources, "combo-value-quantity", f"{prefix}{number}{unit[0]}", expected)


@EACH
@given(
    several(
        members("Condition", onsetRange=ranges()) | members("Condition", onsetAge=quantities())
    ),
    PREFIXES,
    NUMBERS,
    ASKED_UNITS,
)
def test_ages_and_ranges(
    resources: list[Json], prefix: str, number: str, unit: tuple[str, tuple[str | None, str]]
) -> None:
    def expected(resource: Json) -> bool:
        found = [v for k, v in bare(resource).items() if k.startswith("onset")]
        return any(oracle.quantity_is(prefix, number, unit[1], node) for node in found)

    agree(resources, "onset-age", f"{prefix}{number}{unit[0]}", expected)


MONEY = st.builds(
    lambda number, currency: {"value": f"§{number}§", "currency": currency},
    NUMBERS,
    st.sampled_from(["USD", "EUR"]),
)


@EACH
@given(
    several(members("Invoice", totalGross=MONEY)),
    PREFIXES,
    NUMBERS,
    st.sampled_from(
        [("", (None, "")), ("|urn:iso:std:iso:4217|USD", ("urn:iso:std:iso:4217", "USD")), ("||EUR", ("", "EUR"))]
    ),
)  # fmt: skip
def test_money(
    resources: list[Json], prefix: str, number: str, unit: tuple[str, tuple[str | None, str]]
) -> None:
    def expected(resource: Json) -> bool:
        node = bare(resource).get("totalGross")
        return node is not None and oracle.quantity_is(prefix, number, unit[1], node)

    agree(resources, "totalgross", f"{prefix}{number}{unit[0]}", expected)


COMPONENTS = st.fixed_dictionaries(
    {"code": CONCEPTS}, optional={"valueQuantity": quantities(), "valueCodeableConcept": CONCEPTS}
)


PANELS = members(
    "Observation",
    code=CONCEPTS,
    valueQuantity=quantities(),
    component=st.lists(COMPONENTS, min_size=1, max_size=3),
)


@EACH
@given(
    several(PANELS),
    st.sampled_from(["code", "component-code", "combo-code"]),
    ASKED_CODES,
    PREFIXES,
    NUMBERS,
)
def test_composites_hold_in_one_element(
    resources: list[Json], kind: str, asked: tuple[str | None, str], prefix: str, number: str
) -> None:
    def expected(resource: Json) -> bool:
        plain = bare(resource)
        elements = [] if kind == "component-code" else [plain]
        elements += [] if kind == "code" else plain.get("component", [])
        return any(
            "code" in e
            and "valueQuantity" in e
            and any(oracle.coding_is(*asked, c) for c in oracle.codings(e["code"]))
            and oracle.quantity_is(prefix, number, (None, ""), e["valueQuantity"])
            for e in elements
        )

    agree(resources, f"{kind}-value-quantity", f"{spelled(*asked)}${prefix}{number}", expected)


@EACH
@given(several(PANELS), ASKED_CODES, ASKED_CODES)
def test_composites_of_codes(
    resources: list[Json], asked: tuple[str | None, str], value: tuple[str | None, str]
) -> None:
    def expected(resource: Json) -> bool:
        return any(
            any(oracle.coding_is(*asked, c) for c in oracle.codings(e["code"]))
            and any(oracle.coding_is(*value, c) for c in oracle.codings(e["valueCodeableConcept"]))
            for e in resource.get("component", ())
            if "valueCodeableConcept" in e
        )

    agree(
        resources,
        "component-code-value-concept",
        f"{spelled(*asked)}${spelled(*value)}",
        expected,
    )


PLACES = [
    (46.0, 7.0),
    (46.1, 7.0),
    (46.0, 8.0),
    (-46.0, 173.0),
    (89.9, 0.0),
    (0.0, 180.0),
    (0.0, -179.9),
]


@EACH
@given(
    several(
        members(
            "Location",
            position=st.sampled_from(PLACES).map(
                lambda p: {"latitude": f"§{p[0]}§", "longitude": f"§{p[1]}§"}
            ),
        )
    ),
    st.sampled_from(PLACES),
    st.sampled_from(
        [
            ("", 50_000.0),
            ("|15|km", 15_000.0),
            ("|15", 15_000.0),
            ("|100000|m", 100_000.0),
            ("|9|[mi_i]", 14_484.096),
        ]
    ),
)
def test_places(
    resources: list[Json], at: tuple[float, float], distance: tuple[str, float]
) -> None:
    def expected(resource: Json) -> bool:
        if "position" not in resource:
            return False
        mine = bare(resource["position"])
        return oracle.metres((float(mine["latitude"]), float(mine["longitude"])), at) <= distance[1]

    agree(resources, "near", f"{at[0]}|{at[1]}{distance[0]}", expected)


def test_a_component_of_a_composite_is_a_part_of_the_parameter_whose_tokens_it_uses() -> None:
    definitions, looked = r4(), 0
    for type_ in definitions.resource_types:
        values = SEARCHABLE.of(type_)
        for parameter in (p for p in values.parameters.values() if p.component):
            for whole, parts in values.parts(parameter).items():
                for part in parts:
                    named = values.parameters[part.parameter.code]
                    all_of_it = compile_expression(named.expression, type_, definitions)
                    top = () if part.from_root else whole.steps
                    mine = {
                        (*top, *b.steps)
                        for b in part.branches
                        if part.parameter.code != "value" or b.type not in NO_CODES
                    }
                    assert mine, (type_, parameter.code)
                    assert mine <= {b.steps for b in all_of_it}, (type_, parameter.code)
                    looked += 1
    assert looked > 140


NO_CODES = {"Reference", "Range"} | {
    "Quantity"
}  # of Group.characteristic.value, which is asked as a token
