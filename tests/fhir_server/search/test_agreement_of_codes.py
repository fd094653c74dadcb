"""Tokens and references with all of their modifiers: index and exact check give what a plain scan gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from . import oracle
from .agreement import (
    ASKED_CODES,
    BASE,
    CODES,
    CODINGS,
    CONCEPTS,
    EACH,
    GENDER,
    GENDERS,
    REFERENCES,
    SUBJECTS,
    SYSTEMS,
    TEXTS,
    agree,
    escaped,
    members,
    several,
    spelled,
)
from .oracle import Json


@EACH
@given(
    several(members("Observation", code=CONCEPTS)),
    st.sampled_from(["", "not"]),
    st.lists(ASKED_CODES, min_size=1, max_size=3),
)
def test_tokens(resources: list[Json], modifier: str, asked: list[tuple[str | None, str]]) -> None:
    def expected(resource: Json) -> bool:
        have = oracle.codings(resource["code"]) if "code" in resource else []
        hit = any(oracle.coding_is(*want, mine) for want in asked for mine in have)
        return hit != (modifier == "not")

    value = ",".join(spelled(*pair) for pair in asked)
    agree(resources, f"code:{modifier}" if modifier else "code", value, expected)


@EACH
@given(
    several(members("Observation", code=CONCEPTS)), st.sampled_from([*TEXTS, "Bl", "gluc", "ood"])
)
def test_the_text_of_tokens(resources: list[Json], want: str) -> None:
    def expected(resource: Json) -> bool:
        concept = resource.get("code", {})
        texts = [concept.get("text"), *(c.get("display") for c in concept.get("coding", ()))]
        return any(oracle.string_is("", want, text) for text in texts if text)

    agree(resources, "code:text", want, expected)


IDENTIFIERS = st.fixed_dictionaries(
    {},
    optional={
        "system": st.sampled_from(SYSTEMS[1:]),
        "value": st.sampled_from(CODES),
        "type": st.fixed_dictionaries(
            {"coding": st.lists(CODINGS.filter(lambda c: "code" in c), min_size=1, max_size=2)}
        ),
    },
)


@EACH
@given(
    several(members("Patient", identifier=st.lists(IDENTIFIERS, min_size=1, max_size=2))),
    st.tuples(st.sampled_from(SYSTEMS[1:]), st.sampled_from(CODES), st.sampled_from(CODES)),
)
def test_identifiers_of_a_type(resources: list[Json], asked: tuple[str, str, str]) -> None:
    def expected(resource: Json) -> bool:
        return any(
            (coding.get("system"), coding["code"], identifier.get("value")) == asked
            for identifier in resource.get("identifier", ())
            for coding in identifier.get("type", {}).get("coding", ())
        )

    agree(resources, "identifier:of-type", "|".join(map(escaped, asked)), expected)


@EACH
@given(
    several(members("Patient", gender=st.sampled_from(GENDERS), active=st.booleans())),
    st.sampled_from([None, "", GENDER, "urn:else"]),
    st.sampled_from([*GENDERS, ""]),
)
def test_a_code_has_the_system_that_its_binding_implies(
    resources: list[Json], system: str | None, code: str
) -> None:
    if not system and not code:
        return

    def expected(resource: Json) -> bool:
        have = resource.get("gender")
        systems = (None, "", GENDER)
        return have is not None and system in systems and code in ("", have)

    agree(resources, "gender", spelled(system, code), expected)


ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


# A part of the hierarchy as v3-ActCode of R4 has it.
UNDER = {"_ActEncounterCode": ["AMB", "IMP", "ACUTE", "NONAC", "PRENC",
                               "EMER", "FLD", "HH", "OBSENC", "SS", "VR"],
         "IMP": ["ACUTE", "NONAC"]}  # fmt: skip


CLASSES = ["AMB", "IMP", "ACUTE", "_ActEncounterCode"]


def _is_under(code: str, top: str) -> bool:
    return code == top or code in UNDER.get(top, ())


@EACH
@given(
    several(
        members(
            "Encounter",
            **{
                "class": st.fixed_dictionaries(
                    {"system": st.sampled_from([ACT, "urn:x"]), "code": st.sampled_from(CLASSES)}
                )
            },
        )
    ),
    st.sampled_from(["below", "above"]),
    st.sampled_from(CLASSES[:3]),
)
def test_codes_above_and_below(resources: list[Json], modifier: str, asked: str) -> None:
    def expected(resource: Json) -> bool:
        mine = resource.get("class", {})
        if mine.get("system") != ACT:
            return False
        pair = (mine["code"], asked) if modifier == "below" else (asked, mine["code"])
        return _is_under(*pair)

    agree(resources, f"class:{modifier}", f"{ACT}|{asked}", expected)


@EACH
@given(
    several(members("Patient", gender=st.sampled_from(GENDERS))),
    st.sampled_from(["in", "not-in"]),
)
def test_codes_in_a_value_set(resources: list[Json], modifier: str) -> None:
    url = "http://hl7.org/fhir/ValueSet/administrative-gender"
    agree(resources, f"gender:{modifier}", url, lambda r: ("gender" in r) == (modifier == "in"))
    if modifier == "in":
        agree(
            resources,
            "gender:in",
            "http://hl7.org/fhir/ValueSet/observation-status",
            lambda _: False,
        )


@EACH
@given(
    several(members("Observation", subject=SUBJECTS)),
    st.sampled_from(["", "Patient", "Group"]),
    st.sampled_from(["a", "b", *REFERENCES]),
)
def test_references(resources: list[Json], type_: str, want: str) -> None:
    if type_ and (want.startswith("urn:") or ("/" in want and f"{type_}/" not in want)):
        return
    agree(
        resources,
        f"subject:{type_}" if type_ else "subject",
        want,
        lambda r: oracle.reference_is(type_, want, r.get("subject", {}), BASE),
    )


@EACH
@given(several(members("Observation", subject=SUBJECTS)), ASKED_CODES)
def test_references_by_identifier(resources: list[Json], asked: tuple[str | None, str]) -> None:
    def expected(resource: Json) -> bool:
        identifier = resource.get("subject", {}).get("identifier")
        return identifier is not None and oracle.coding_is(*asked, oracle.codings(identifier)[0])

    agree(resources, "subject:identifier", spelled(*asked), expected)


CANONICALS = [
    "http://q/1",
    "http://q/1|1",
    "http://q/1|1.2",
    "http://q/1|1.2.3",
    "http://q/1|1.20",
    "http://q/2|1",
]


@EACH
@given(
    several(members("QuestionnaireResponse", questionnaire=st.sampled_from(CANONICALS))),
    st.sampled_from(["", "above", "below"]),
    st.sampled_from(CANONICALS),
)
def test_canonicals_and_their_versions(resources: list[Json], modifier: str, asked: str) -> None:
    url, _, version = asked.partition("|")

    def expected(resource: Json) -> bool:
        mine, _, have = resource.get("questionnaire", "").partition("|")
        if mine != url:
            return False
        mine_parts, asked_parts = [
            have.split(".") if have else [],
            version.split(".") if version else [],
        ]
        if modifier == "below":
            return mine_parts[: len(asked_parts)] == asked_parts
        if modifier == "above":
            return asked_parts[: len(mine_parts)] == mine_parts
        return not version or have == version

    name = f"questionnaire:{modifier}" if modifier else "questionnaire"
    agree(resources, name, asked, expected)
