"""The table of operations: what stands in it works, is told in the CapabilityStatement, and needs its scope."""

import pytest

from fhir_server.interactions.operations.offered import OPERATIONS, Operation, find_operation
from fhir_server.interactions.operations.performing import ON_THEIR_OWN, PERFORMED
from fhir_server.interactions.registered import operations_of

from ...clinic import HOUSE, Clinic, patient


def test_every_operation_is_performed_and_no_other() -> None:
    assert {o.name for o in OPERATIONS} == PERFORMED.keys() | ON_THEIR_OWN.keys()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.definition.rpartition("/")[2])
def test_what_changes_something_is_only_posted_and_needs_a_scope_to_change(
    operation: Operation,
) -> None:
    changes = {letter for _, letter in operation.levels} & set("cud")
    gives_power = operation.name in ("chain-revocation", "chain-answer")  # whoever has that may
    assert not changes or gives_power or operation.methods == ("POST",)


def test_an_operation_that_is_not_there_is_not_found() -> None:
    with pytest.raises(LookupError):
        find_operation("everything", "Device")


async def test_the_capability_statement_names_them(clinic: Clinic) -> None:
    [rest] = (await clinic.get(None, "metadata")).json["rest"]
    assert "meta" in [o["name"] for o in rest["operation"]]
    named = {r["type"]: {o["name"] for o in r.get("operation", ())} for r in rest["resource"]}
    labels = {"meta", "meta-add", "meta-delete", "validate"}
    assert named["Patient"] == labels | {
        *("access-explain", "access-log", "accounting-of-disclosures"),
        *("erase", "everything", "export", "match", "summary"),
    }
    assert named["Group"] == labels | {"export"}
    assert named["Encounter"] == labels | {"everything"}
    assert named["Observation"] == labels | {"lastn"}
    assert named["DocumentReference"] == labels | {"docref"}
    assert named["Composition"] == labels | {"document"}
    assert "decide" in named["Consent"]
    assert named["AuditEvent"] == {"meta", "receipt", "validate"}
    assert named["Device"] == labels == {o.name for o in operations_of("Device")}


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("$everything", ["meta"]),
        ("Patient/$lastn", ["everything", "export", "match", "meta", "summary"]),
        ("Patient/a/$match", ["erase", "everything", "meta", "meta-add", "meta-delete", "summary"]),
        ("Observation/$nothing", ["lastn", "meta"]),
        ("AuditEvent/1/$meta-add", ["meta", "receipt"]),
    ],
)
async def test_a_wrong_operation_is_answered_with_those_that_there_are(
    clinic: Clinic, url: str, there: list[str]
) -> None:
    await clinic.put(patient("a"))
    for method in ("GET", "POST"):
        answer = await clinic.ask(HOUSE, method, url)
        assert answer.status == 404
        [issue] = answer.json["issue"]
        named = issue["diagnostics"].partition(": ")[2].split(", ")
        assert {f"${name}" for name in there} <= set(named)
        assert "$lastn" not in named or url.startswith("Observation/")


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"resourceType":"Parameters","parameter":"x"}',
        '{"parameter":[]}',
        '{"resourceType":"Parameters","parameter":[{"name":"_count","valueRange":{}}]}',
        '{"resourceType":"Parameters","parameter":[{"valueString":"x"}]}',
    ],
)
async def test_what_is_posted_must_be_parameters(clinic: Clinic, body: str) -> None:
    await clinic.put(patient("a"))
    answer = await clinic.ask(HOUSE, "POST", "Patient/a/$everything", body)
    assert answer.status in (400, 422)
    form = {"content-type": "text/plain"}
    assert (await clinic.ask(HOUSE, "POST", "Patient/a/$summary", body, form)).status == 415
