"""A value set that a search names is read like any record: who may not read it learns nothing by it."""

import pytest

from ..fhir_server.clinic import BASE, HOUSE, Clinic, Json, observation, patient, sharing

URL = "http://v.org/secret"


def value_set(id_: str) -> Json:
    include = [{"system": "http://loinc.org", "concept": [{"code": "8867-4"}]}]
    return {
        "resourceType": "ValueSet",
        "id": id_,
        "status": "active",
        "url": URL,
        "compose": {"include": include},
    }


@pytest.fixture
async def listed(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    await clinic.put(value_set("secret"))
    await clinic.put(observation("o", "a"))
    clinic.caller("narrow", scope="system/Observation.rs")
    return clinic


@pytest.mark.parametrize("name", [URL, "ValueSet/secret", f"{BASE}/ValueSet/secret"])
async def test_a_value_set_outside_the_scopes_is_as_unknown_as_a_missing_one(
    listed: Clinic, name: str
) -> None:
    for query in (f"code:in={name}", f"code:not-in={name}", f"_filter=code in {name}"):
        assert (await listed.get(HOUSE, f"Observation?{query}")).status == 200
        hidden = await listed.get("narrow", f"Observation?{query}")
        missing = await listed.get("narrow", f"Observation?{query}x")
        assert hidden.status == missing.status == 400
        assert hidden.json["issue"] == missing.json["issue"]


async def test_a_deleted_value_set_is_not_known(listed: Clinic) -> None:
    assert (await listed.ask(HOUSE, "DELETE", "ValueSet/secret")).status == 204
    for name in (URL, "ValueSet/secret"):
        assert (await listed.get(HOUSE, f"Observation?code:in={name}")).status == 400


async def test_a_scope_can_not_name_a_stored_value_set(listed: Clinic) -> None:
    """Whoever writes the set would decide what the scope reaches: such a token reaches nothing."""
    listed.caller("scoped", scope=f"system/Observation.rs?code:in={URL}")
    for target in ("Observation", "Observation/o", "Observation?code=8867-4"):
        answer = await listed.get("scoped", target)
        assert answer.status in (200, 404), target
        assert b"Patient/a" not in answer.body
        assert answer.status == 404 or answer.json["total"] == 0
