"""``$reindex-status`` and ``$reindex``: what the custodian's systems are told of the jobs, and nobody else."""

from __future__ import annotations

from tests.fhir_server.clinic import CUSTODIAN, HOUSE, OTHER, Answer, Clinic
from tests.fhir_server.custom_parameters import coloured, parameter


def told(answer: Answer) -> list[dict[str, object]]:
    assert answer.status == 200, answer.body
    return [
        {part["name"]: next(v for k, v in part.items() if k != "name") for part in each["part"]}
        for each in answer.json.get("parameter", ())
    ]


async def test_the_state_of_all_jobs_and_of_one(clinic: Clinic) -> None:
    assert told(await clinic.get(HOUSE, "$reindex-status")) == []
    for number in range(30):
        await clinic.put(coloured(f"p{number}", "green"))
    await clinic.put(parameter())
    step = clinic.pipeline.tools.parameters.step
    for expected in (("queued", 0, 0), ("in-progress", 0, 30), ("in-progress", 24, 30)):
        for url in ("$reindex-status", "SearchParameter/eyes/$reindex-status"):
            [one] = told(await clinic.get(HOUSE, url))
            assert (one["state"], one["done"], one["total"]) == expected
            assert one["code"] == "eye-colour"
            assert one["searchParameter"] == {"reference": "SearchParameter/eyes"}
        await step()
    [one] = told(await clinic.get(HOUSE, "$reindex-status"))
    assert (one["state"], one["done"], one["total"]) == ("complete", 30, 30)


async def test_a_job_can_be_begun_anew(clinic: Clinic) -> None:
    await clinic.put(coloured("p", "green"))
    await clinic.put(parameter())
    while await clinic.pipeline.tools.parameters.step():
        pass
    clinic.sql("DELETE FROM token")  # an index that was lost
    assert (await clinic.get(HOUSE, "Patient?eye-colour=green")).references == []
    [one] = told(await clinic.ask(HOUSE, "POST", "SearchParameter/eyes/$reindex"))
    assert one["state"] == "queued"
    for _ in range(2):
        assert (await clinic.get(HOUSE, "Patient?eye-colour=green")).references == ["Patient/p"]
        while await clinic.pipeline.tools.parameters.step():
            pass
    assert (await clinic.ask(HOUSE, "GET", "SearchParameter/eyes/$reindex")).status == 405


async def test_what_is_not_in_use_has_no_job(clinic: Clinic) -> None:
    await clinic.put(parameter(status="draft"))
    for url in ("SearchParameter/eyes", "SearchParameter/none"):
        assert (await clinic.get(HOUSE, f"{url}/$reindex-status")).status == 404
        assert (await clinic.ask(HOUSE, "POST", f"{url}/$reindex")).status == 404
    assert (await clinic.get(HOUSE, "Patient/p/$reindex-status")).status == 404


async def test_how_many_records_there_are_is_told_to_systems_of_the_custodian_only(
    clinic: Clinic,
) -> None:
    await clinic.put(parameter())
    clinic.caller("person", "user/*.cruds", CUSTODIAN, user="Practitioner/p")
    clinic.caller("app", "patient/*.cruds", "", user="Patient/p", patient="Patient/p")
    clinic.caller("narrow", "system/Patient.cruds")
    clinic.caller("reader", "system/SearchParameter.rs")
    for who in (OTHER, "person", "app", "narrow"):
        for method, url in (
            ("GET", "$reindex-status"),
            ("POST", "$reindex-status"),
            ("GET", "SearchParameter/eyes/$reindex-status"),
            ("POST", "SearchParameter/eyes/$reindex"),
            ("POST", "SearchParameter/eyes/$meta-add"),
        ):
            assert (await clinic.ask(who, method, url)).status == 403, (who, url)
    assert (await clinic.get("reader", "$reindex-status")).status == 200
    assert (await clinic.ask("reader", "POST", "SearchParameter/eyes/$reindex")).status == 403
    assert (await clinic.get(None, "$reindex-status")).status == 401  # type: ignore[arg-type]
