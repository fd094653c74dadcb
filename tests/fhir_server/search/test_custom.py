"""SearchParameters that could not be searched by are refused, each for what is wrong with it."""

from __future__ import annotations

import pytest

from profiles.definitions import r4
from tests.fhir_server.clinic import HOUSE, Clinic, entry, transaction
from tests.fhir_server.custom_parameters import parameter


def used(clinic: Clinic) -> list[str]:
    return [each.reference for each in clinic.pipeline.tools.parameters.in_use.values()]


_REFUSED = {
    "R4's own code": ({"code": "gender"}, "SearchParameter.code"),
    "R4's own common code": ({"code": "_tag"}, "SearchParameter.code"),
    "a code with punctuation": ({"code": "a:b"}, "SearchParameter.code"),
    "the url of R4's with another meaning": (
        {"url": "http://hl7.org/fhir/SearchParameter/individual-gender"},
        "SearchParameter.url",
    ),
    "an unknown function": (
        {"expression": "Patient.name.trace('x')"},
        "SearchParameter.expression",
    ),
    "a variable": ({"expression": "Patient.name | %context.name"}, "SearchParameter.expression"),
    "a regular expression": (
        {"expression": "Patient.name.family.matches('(a+)+$')"},
        "SearchParameter.expression",
    ),
    "an element there is not": ({"expression": "Patient.eyes"}, "SearchParameter.expression"),
    "another type's element": ({"expression": "Observation.code"}, "SearchParameter.expression"),
    "the resource itself": ({"expression": "Patient"}, "SearchParameter.expression"),
    "what no token is": ({"expression": "Patient.name"}, "SearchParameter.expression"),
    "no expression": ({"expression": None}, "SearchParameter.expression"),
    "type special": ({"type": "special"}, "SearchParameter.type"),
    "AuditEvent": (
        {"base": ["AuditEvent"], "expression": "AuditEvent.type"},
        "SearchParameter.base",
    ),
    "deep parentheses": (
        {"expression": "(" * 500 + "Patient.gender" + ")" * 500},
        "SearchParameter.expression",
    ),
    "a way through everything": (
        {"expression": "Patient.extension" + ".value.extension" * 5},
        "SearchParameter.expression",
    ),
    "parts of no composite": (
        {"component": [{"definition": "http://example.org/none", "expression": "gender"}]},
        "SearchParameter.component",
    ),
    "a composite of nothing": ({"type": "composite"}, "SearchParameter.component"),
    "a composite of the unknown": (
        {
            "type": "composite",
            "expression": "Patient",
            "component": [{"definition": "http://example.org/none", "expression": "gender"}] * 2,
        },
        "SearchParameter.component[0].definition",
    ),
}


@pytest.mark.parametrize("case", _REFUSED)
async def test_what_can_not_be_searched_by_is_refused_by_name(clinic: Clinic, case: str) -> None:
    members, element = _REFUSED[case]
    answer = await clinic.ask(HOUSE, "PUT", "SearchParameter/eyes", parameter(**members))
    assert answer.status == 422
    assert element in [i["expression"][0] for i in answer.json["issue"]]
    draft = await clinic.ask(
        HOUSE, "PUT", "SearchParameter/eyes", parameter(**{**members, "status": "draft"})
    )
    assert draft.status == 201
    assert used(clinic) == []


async def test_the_part_that_is_not_understood_is_named(clinic: Clinic) -> None:
    for expression, part in (("Patient.name.first()", "'('"), ("Patient.name + 1", "'+'")):
        answer = await clinic.ask(
            HOUSE, "POST", "SearchParameter", parameter(id_="x", expression=expression)
        )
        assert part in answer.json["issue"][0]["diagnostics"]


async def test_two_parameters_do_not_share_a_code_or_a_url(clinic: Clinic) -> None:
    await clinic.put(parameter())
    for members in ({"id_": "other"}, {"id_": "other", "url": parameter()["url"], "code": "else"}):
        answer = await clinic.ask(HOUSE, "PUT", "SearchParameter/other", parameter(**members))
        assert (answer.status, answer.json["issue"][0]["code"]) == (422, "conflict")
    both = transaction(
        entry("PUT", "SearchParameter/x", parameter("x", code="twice")),
        entry("PUT", "SearchParameter/y", parameter("y", code="twice")),
    )
    assert (await clinic.ask(HOUSE, "POST", "", both)).status == 422
    assert len(used(clinic)) == 1


async def test_r4s_own_parameter_may_be_stored_and_changes_nothing(clinic: Clinic) -> None:
    own = r4().by_url["http://hl7.org/fhir/SearchParameter/individual-gender"]
    stored = parameter(
        "own",
        url=own.url,
        code=own.code,
        type=own.type,
        base=list(own.base),
        expression=own.expression,
    )
    await clinic.put(stored)
    assert used(clinic) == []
