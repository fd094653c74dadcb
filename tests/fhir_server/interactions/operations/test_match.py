"""``Patient/$match``: who is likely meant, and how likely."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.interactions.operations.weighing import weigh

from ...clinic import HOUSE, Clinic, entry, patient, transaction

ANNE = {
    "identifier": [{"system": "urn:mrn", "value": "1"}],
    "name": [{"family": "Müller", "given": ["Anne", "B"]}],
    "birthDate": "1980-02-03",
    "gender": "female",
    "telecom": [{"system": "phone", "value": "+41 44 123 45 67"}],
    "address": [{"postalCode": "8001", "city": "Zürich", "line": ["Weg 1"]}],
}


TWIN = {
    **ANNE,
    "identifier": [{"system": "urn:other", "value": "2"}],
    "name": [{"family": "Müller", "given": ["Eva"]}],
}


def asked(resource: dict[str, Any], **others: Any) -> dict[str, Any]:
    more = [
        {"name": n, "valueBoolean" if isinstance(v, bool) else "valueInteger": v}
        for n, v in others.items()
    ]
    sent = {"name": "resource", "resource": {"resourceType": "Patient", **resource}}
    return {"resourceType": "Parameters", "parameter": [sent, *more]}


@pytest.fixture
async def register(clinic: Clinic) -> Clinic:
    await clinic.put(patient("anne", **ANNE))
    await clinic.put(patient("twin", **TWIN))
    await clinic.put(patient("other", name=[{"family": "Meier"}], birthDate="1950-01-01"))
    return clinic


async def ask(clinic: Clinic, body: object, who: str = HOUSE) -> list[tuple[str, float, str]]:
    answer = await clinic.ask(who, "POST", "Patient/$match", body)
    assert answer.status == 200, answer.body
    assert answer.json["type"] == "searchset"
    return [
        (e["resource"]["id"], e["search"]["score"], e["search"]["extension"][0]["valueCode"])
        for e in answer.json.get("entry", ())
    ]


async def test_the_likeliest_comes_first_with_score_and_grade(register: Clinic) -> None:
    found = await ask(register, asked(ANNE))
    assert found[0] == ("anne", 1.0, "certain")
    assert [id_ for id_, *_ in found] == ["anne", "twin"]
    assert found[1][1] < 0.6
    assert await ask(register, asked(ANNE, count=1)) == found[:1]
    assert await ask(register, asked(ANNE, onlyCertainMatches=True)) == found[:1]


async def test_names_are_found_without_accents_and_case(register: Clinic) -> None:
    spoken = {"name": [{"family": "MULLER", "given": ["anne"]}], "birthDate": "1980-02-03"}
    [(id_, score, grade), *_] = await ask(register, asked(spoken))
    assert (id_, grade) == ("anne", "possible")
    assert score == 0.45


async def test_two_certain_matches_are_none(register: Clinic) -> None:
    await register.put(patient("again", **ANNE))
    assert len(await ask(register, asked(ANNE))) == 3
    assert await ask(register, asked(ANNE, onlyCertainMatches=True)) == []


async def test_an_identifier_is_not_certain_where_the_rest_contradicts(register: Clinic) -> None:
    thief = {
        "identifier": ANNE["identifier"],
        "name": [{"family": "Meier"}],
        "birthDate": "1999-09-09",
    }
    [(id_, score, grade)] = [m for m in await ask(register, asked(thief)) if m[0] == "anne"]
    assert (id_, score, grade) == ("anne", 0.3, "possible")
    assert await ask(register, asked(thief, onlyCertainMatches=True)) == []


async def test_a_patient_sent_by_itself_is_what_is_asked_for(register: Clinic) -> None:
    assert (await ask(register, patient("x", **ANNE)))[0][0] == "anne"


async def test_it_works_in_a_batch(register: Clinic) -> None:
    for type_ in ("batch", "transaction"):
        sent = transaction(entry("POST", "Patient/$match", asked(ANNE)), type_=type_)
        answer = await register.ask(HOUSE, "POST", "", sent)
        assert answer.status == 200, answer.body
        inner = answer.json["entry"][0]["resource"]
        assert inner["entry"][0]["resource"]["id"] == "anne"


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"resourceType": "Parameters"},
        {"resourceType": "Observation"},
        asked({}),
        asked({"gender": "female"}),
        asked({"name": "Müller"}),
        asked({"name": [{"family": "x", "given": [1]}], "birthDate": "1980"}),
        asked({**ANNE, "address": [{"city": "x", "line": [{}]}]}),
        asked({**ANNE, "address": [{"postalCode": {}}]}),
        asked({**ANNE, "gender": []}),
        asked({**ANNE, "telecom": {"value": "x"}}),
        asked({**ANNE, "identifier": [None, {"value": ["x"]}]}),
        asked({"name": [{"family": ["x"]}], "birthDate": "soon"}),
        asked(ANNE, count=0),
        asked(ANNE, colour=True),
        {**asked(ANNE), "parameter": "x"},
        {"resourceType": "Parameters", "parameter": [{"resource": patient("x")}]},
    ],
)
async def test_what_says_nothing_to_look_for_is_refused(register: Clinic, body: object) -> None:
    answer = await register.ask(HOUSE, "POST", "Patient/$match", body)
    assert answer.status in (400, 422), answer.body
    assert b"ller" not in answer.body


async def test_it_is_posted_by_who_may_search_patients(register: Clinic) -> None:
    assert (await register.get(HOUSE, "Patient/$match")).status == 405
    register.caller("narrow", "system/Patient.r system/Observation.rs")
    assert (await register.ask("narrow", "POST", "Patient/$match", asked(ANNE))).status == 403


words = st.sampled_from(["", "A", "Abel", "Béla", "C"])
names = st.fixed_dictionaries({}, optional={"family": words, "given": st.lists(words, max_size=2)})
patients = st.fixed_dictionaries(
    {},
    optional={
        "identifier": st.lists(
            st.fixed_dictionaries(
                {"system": st.sampled_from("ab"), "value": st.sampled_from("12")}
            ),
            max_size=2,
        ),
        "name": st.lists(names, max_size=2),
        "birthDate": st.sampled_from(["1980", "1980-01", "1980-01-02", "1981-01-02"]),
        "gender": st.sampled_from(["male", "female", "other", "unknown"]),
    },
)


@given(patients, patients)
@settings(max_examples=300)
def test_the_score_lies_between_0_and_1_and_goes_with_the_grade(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    found = weigh(one, other)
    assert 0 <= found.score <= 100
    grades = {"certain": 90, "probable": 60, "possible": 30, "certainly-not": 0}
    assert found.score >= grades[found.grade]
    assert weigh(other, one) == found  # whoever asks
