"""Custom search parameters: checked, in use at once, complete by a job that can be killed, gone when they are withdrawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.interactions.reindex import parameters
from tests.fhir_server.clinic import (
    HOUSE,
    OTHER,
    Clinic,
    Json,
    entry,
    observation,
    open_clinic,
    patient,
    sharing,
    transaction,
)
from tests.fhir_server.custom_parameters import coloured, parameter


async def found(clinic: Clinic, query: str, who: str = HOUSE) -> set[str]:
    return {f"{r['resourceType']}/{r['id']}" for r in await clinic.all_pages(who, query)}


async def finish(clinic: Clinic) -> None:
    while await clinic.pipeline.tools.parameters.step():
        pass


def state(clinic: Clinic) -> list[tuple[str, int, int]]:
    jobs = [each.job for each in clinic.pipeline.tools.parameters.in_use.values()]
    return [(job.state, job.done, job.total) for job in jobs]


async def test_a_parameter_finds_old_and_new_records_before_during_and_after_its_job(
    clinic: Clinic,
) -> None:
    for number in range(60):
        await clinic.put(coloured(f"old-{number}", "green" if number % 3 == 0 else "brown"))
    expected = {f"Patient/old-{number}" for number in range(0, 60, 3)}
    assert (await clinic.get(HOUSE, "Patient?eye-colour=green")).json["entry"][-1]["search"] == {
        "mode": "outcome"
    }
    await clinic.put(parameter())
    assert state(clinic) == [("queued", 0, 0)]
    assert await found(clinic, "Patient?eye-colour=green") == expected
    steps = 0
    while await clinic.pipeline.tools.parameters.step():
        steps += 1
        if steps == 2:
            await clinic.put(coloured("new", "green"))
            await clinic.put(coloured("old-0", "blue"))  # before or behind the job: both move
            await clinic.put(coloured("old-58", "green"))
            expected = expected - {"Patient/old-0"} | {"Patient/new", "Patient/old-58"}
        assert await found(clinic, "Patient?eye-colour=green") == (
            expected if steps >= 2 else {f"Patient/old-{n}" for n in range(0, 60, 3)}
        )
    assert state(clinic) == [("complete", 60, 60)]
    assert await found(clinic, "Patient?eye-colour=green") == expected
    assert await found(clinic, "Patient?eye-colour=blue") == {"Patient/old-0"}


async def test_a_complete_parameter_narrows_a_search_that_would_else_be_too_wide(
    folder: Path,
) -> None:
    clinic = await open_clinic(folder, max_candidates=10)
    try:
        for number in range(30):
            await clinic.put(coloured(f"p{number}", "green" if number == 7 else "brown"))
        await clinic.put(parameter())
        assert (await clinic.get(HOUSE, "Patient?eye-colour=green&_sort=birthdate")).status == 503
        await finish(clinic)
        assert await found(clinic, "Patient?eye-colour=green&_sort=birthdate") == {"Patient/p7"}
    finally:
        await clinic.close()


async def test_updates_while_half_of_the_index_is_there_lose_nothing_and_leave_nothing(
    clinic: Clinic,
) -> None:
    for number in range(50):
        await clinic.put(coloured(f"p{number:02}", "brown"))
    await clinic.put(parameter())
    for _ in range(2):  # begun, and one unit of 24 done
        await clinic.pipeline.tools.parameters.step()
    for number in (3, 40):  # indexed, and not yet
        await clinic.put(coloured(f"p{number:02}", "brown", gender="male"))
        await clinic.ask(HOUSE, "DELETE", f"Patient/p{number + 1:02}")
    await finish(clinic)
    assert await found(clinic, "Patient?eye-colour=brown") == {
        f"Patient/p{number:02}" for number in range(50) if number not in (4, 41)
    }
    colour = clinic.vault.blind.token("Patient", "eye-colour", "code", "brown")
    assert clinic.sql("SELECT count(*) FROM token WHERE token = ?", (colour,)) == [(48,)]


async def test_a_job_goes_on_where_a_closed_server_left_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "_SAVED", 1)
    clinic = await open_clinic(folder)
    for number in range(80):
        await clinic.put(coloured(f"p{number}", "green"))
    await clinic.put(parameter())
    for _ in range(3):  # begun, and two units
        await clinic.pipeline.tools.parameters.step()
    await clinic.close()
    again = await open_clinic(folder)
    try:
        assert state(again) == [("in-progress", 48, 80)]
        assert len(await found(again, "Patient?eye-colour=green")) == 80
        await again.put(coloured("late", "green"))
        await finish(again)
        assert state(again) == [("complete", 80, 80)]
        assert len(await found(again, "Patient?eye-colour=green")) == 81
        assert (await again.ask(HOUSE, "DELETE", "SearchParameter/eyes")).status == 204
        assert state(again) == []
    finally:
        await again.close()


@pytest.mark.parametrize("how", ["delete", "retired", "draft", "patch"])
async def test_a_withdrawn_parameter_is_unknown_again(clinic: Clinic, how: str) -> None:
    await clinic.put(coloured("p", "green"))
    await clinic.put(parameter())
    await finish(clinic)
    if how == "delete":
        await clinic.ask(HOUSE, "DELETE", "SearchParameter/eyes")
    elif how == "patch":
        patch = [{"op": "replace", "path": "/status", "value": "retired"}]
        kind = {"content-type": "application/json-patch+json"}
        answer = await clinic.ask(HOUSE, "PATCH", "SearchParameter/eyes", patch, kind)
        assert answer.status == 200
    else:
        await clinic.put(parameter(status=how))
    refused = await clinic.ask(
        HOUSE, "GET", "Patient?eye-colour=green", headers={"prefer": "handling=strict"}
    )
    assert refused.status == 400
    await clinic.put(coloured("late", "green"))
    await clinic.put(parameter())
    assert await found(clinic, "Patient?eye-colour=green") == {"Patient/p", "Patient/late"}
    await finish(clinic)
    assert await found(clinic, "Patient?eye-colour=green") == {"Patient/p", "Patient/late"}


async def test_another_expression_begins_a_new_job_and_another_text_does_not(
    clinic: Clinic,
) -> None:
    await clinic.put(coloured("p", "green", gender="male"))
    await clinic.put(parameter())
    await finish(clinic)
    await clinic.put(parameter(description="Other words"))
    assert state(clinic) == [("complete", 1, 1)]
    await clinic.put(parameter(expression="Patient.gender"))
    assert state(clinic) == [("queued", 0, 0)]
    assert await found(clinic, "Patient?eye-colour=male") == {"Patient/p"}
    await finish(clinic)
    assert await found(clinic, "Patient?eye-colour=male") == {"Patient/p"}
    assert await found(clinic, "Patient?eye-colour=green") == set()


async def test_a_reference_parameter_chains_includes_and_goes_back_at_any_state(
    clinic: Clinic,
) -> None:
    await clinic.put(patient("a", name=[{"family": "Alder"}]))
    url = "http://example.org/witness"
    await clinic.put(
        observation(
            "o", "a", extension=[{"url": url, "valueReference": {"reference": "Patient/a"}}]
        )
    )
    await clinic.put(
        parameter(
            "witness",
            code="witness",
            type="reference",
            base=["Observation"],
            expression=f"Observation.extension('{url}').value.ofType(Reference)",
            target=["Patient"],
        )
    )
    for _ in range(2):
        assert await found(clinic, "Observation?witness=Patient/a") == {"Observation/o"}
        assert await found(clinic, "Observation?witness.name=alder") == {"Observation/o"}
        assert await found(clinic, "Patient?_has:Observation:witness:status=final") == {"Patient/a"}
        both = {"Observation/o", "Patient/a"}
        assert await found(clinic, "Observation?_include=Observation:witness") == both
        assert await found(clinic, "Patient?_revinclude=Observation:witness") == both
        await finish(clinic)


async def test_a_composite_takes_its_parts_from_r4_and_from_here(clinic: Clinic) -> None:
    await clinic.put(coloured("p", "green", gender="male"))
    await clinic.put(coloured("q", "green", gender="female"))
    await clinic.put(parameter())
    parts = [
        {
            "definition": "http://example.org/SearchParameter/eyes",
            "expression": parameter()["expression"][8:],
        },
        {
            "definition": "http://hl7.org/fhir/SearchParameter/individual-gender",
            "expression": "gender",
        },
    ]
    answer = await clinic.put(
        parameter(
            "both", code="eyes-gender", type="composite", expression="Patient", component=parts
        )
    )
    assert answer.status == 201
    for _ in range(2):
        assert await found(clinic, "Patient?eyes-gender=green$male") == {"Patient/p"}
        await finish(clinic)
    await clinic.ask(HOUSE, "DELETE", "SearchParameter/eyes")
    assert state(clinic) == []  # what builds on it is out of use, too


async def test_what_consent_hides_is_not_found_by_a_custom_parameter_in_any_state(
    clinic: Clinic,
) -> None:
    await clinic.put(coloured("shared", "green"))
    await clinic.put(sharing("shared"))
    await clinic.put(coloured("own", "green"))
    await clinic.put(parameter())
    for _ in range(2):
        answer = await clinic.get(OTHER, "Patient?eye-colour=green&_total=accurate")
        assert (answer.references, answer.json["total"]) == (["Patient/shared"], 1)
        await finish(clinic)


async def test_one_made_in_a_transaction_or_batch_is_in_use_when_the_answer_comes(
    clinic: Clinic,
) -> None:
    await clinic.put(coloured("p", "green"))
    bundle = transaction(entry("PUT", "SearchParameter/eyes", parameter()))
    assert (await clinic.ask(HOUSE, "POST", "", bundle)).status == 200
    assert await found(clinic, "Patient?eye-colour=green") == {"Patient/p"}
    bundle = transaction(entry("DELETE", "SearchParameter/eyes"), type_="batch")
    assert (await clinic.ask(HOUSE, "POST", "", bundle)).status == 200
    assert state(clinic) == []


async def test_erased_patients_are_passed_over(clinic: Clinic) -> None:
    await clinic.put(coloured("erased", "green"))
    await clinic.put(coloured("here", "green"))
    await clinic.destroy_keys(clinic.vault.blind.patient("Patient/erased"))
    await clinic.put(parameter())
    await finish(clinic)
    assert state(clinic) == [("complete", 2, 2)]


async def test_a_record_that_was_altered_fails_the_job_and_loses_nothing_else(
    clinic: Clinic,
) -> None:
    await clinic.put(coloured("bad", "brown"))
    await clinic.put(coloured("good", "green"))
    await clinic.put(parameter())
    row = clinic.vault.blind.row("Patient", "bad")
    clinic.sql(
        "UPDATE version SET sealed = zeroblob(length(sealed)) WHERE rid = (SELECT rid FROM record WHERE row = ?)",
        (row,),
    )
    await finish(clinic)
    assert state(clinic) == [("failed", 0, 2)]
    assert await found(clinic, "Patient?eye-colour=green&_id=good") == {"Patient/good"}


async def test_the_capability_statement_says_how_far_the_index_is(clinic: Clinic) -> None:
    def told(statement: Json) -> list[Json]:
        [type_] = [r for r in statement["rest"][0]["resource"] if r["type"] == "Patient"]
        return [p for p in type_["searchParam"] if p["name"] == "eye-colour"]

    assert told((await clinic.get(None, "metadata")).json) == []  # type: ignore[arg-type]
    await clinic.put(coloured("p", "green"))
    await clinic.put(parameter())
    for word in ("queued", "in-progress"):
        [param] = told((await clinic.get(None, "metadata")).json)  # type: ignore[arg-type]
        assert param["extension"][0]["valueCode"] == word
        assert word in param["documentation"]
        await clinic.pipeline.tools.parameters.step()
    await finish(clinic)
    [param] = told((await clinic.get(None, "metadata")).json)  # type: ignore[arg-type]
    assert param["extension"][0]["valueCode"] == "complete"
