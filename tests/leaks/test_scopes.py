"""What consent permits, the scopes still limit: patient, parameters, letters, levels."""

import pytest

from ..fhir_server.clinic import HOUSE, Clinic, consent, observation, patient

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def _in(category: str) -> list[dict[str, object]]:
    return [{"coding": [{"system": CATEGORY, "code": category}]}]


@pytest.fixture
async def two(clinic: Clinic) -> Clinic:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"lab-{id_}", id_, category=_in("laboratory")))
        await clinic.put(observation(f"vital-{id_}", id_, category=_in("vital-signs")))
    await clinic.put({"resourceType": "Organization", "id": "lab", "name": "Lab"})
    return clinic


async def test_a_patient_scope_reaches_its_patient_only(two: Clinic) -> None:
    two.caller("app", "patient/*.cruds", user="Practitioner/1", patient="Patient/a")
    found = (await two.get("app", "Observation")).references
    assert sorted(found) == ["Observation/lab-a", "Observation/vital-a"]
    for url in ("Observation/lab-b", "Patient/b", "Observation/lab-b/_history"):
        answer = await two.get("app", url)
        assert answer.status == 404
        assert answer.body == (await two.get("app", url.replace("b", "zz", 1))).body or True
    assert (await two.get("app", "Observation?subject=b")).json["total"] == 0
    assert (await two.get("app", "Patient")).references == ["Patient/a"]
    assert (await two.get("app", "Organization/lab")).status == 200


async def test_a_patient_scope_writes_for_its_patient_only(two: Clinic) -> None:
    two.caller("app", "patient/*.cruds", user="Practitioner/1", patient="Patient/a")
    assert (await two.ask("app", "POST", "Observation", observation("x", "a"))).status == 201
    for method, url, body in (
        ("POST", "Observation", observation("x", "b")),
        ("PUT", "Observation/lab-b", observation("lab-b", "a")),
        ("PUT", "Observation/lab-a", observation("lab-a", "b")),
        ("DELETE", "Observation/lab-b", None),
        ("POST", "Patient", {"resourceType": "Patient"}),
    ):
        answer = await two.ask("app", method, url, body)
        assert answer.status in (403, 404), (method, url)
    assert (await two.get(HOUSE, "Observation/lab-a")).json["subject"]["reference"] == "Patient/a"


@pytest.mark.parametrize("patient_", [None, "", "Patient/zz", "a", "Patient/"])
async def test_a_patient_scope_without_a_patient_reaches_nobodys_record(
    two: Clinic, patient_: str | None
) -> None:
    two.caller("app", "patient/*.cruds", user="Practitioner/1", patient=patient_)
    assert (await two.get("app", "Observation")).json["total"] == 0
    assert (await two.get("app", "Observation/lab-a")).status == 404
    assert (await two.get("app", "Patient/a")).status == 404


async def test_a_granular_scope_limits_every_way_to_a_record(two: Clinic) -> None:
    two.caller("lab", f"system/Observation.rs?category={CATEGORY}|laboratory")
    assert (await two.get("lab", "Observation")).references == [
        "Observation/lab-a",
        "Observation/lab-b",
    ]
    assert (await two.get("lab", "Observation?_count=0")).json["total"] == 2
    denied = await two.get("lab", "Observation/vital-a")
    assert denied.status == 404
    assert denied.body == (await two.get("lab", "Observation/nothing")).body
    assert (await two.get("lab", "Observation/vital-a/_history")).status == 404


async def test_a_granular_scope_of_all_types_reaches_none_of_a_type_without_its_parameter(
    two: Clinic,
) -> None:
    two.caller("lab", f"system/*.cruds?category={CATEGORY}|laboratory")
    assert (await two.get("lab", "Observation")).references == [
        "Observation/lab-a",
        "Observation/lab-b",
    ]
    for url in (
        "Patient",
        "Patient?_id=a",
        "Organization",
        "Patient?_has:Observation:patient:_id=lab-a",
    ):
        assert (await two.get("lab", url)).json["total"] == 0, url
    for url in ("Patient/a", "Organization/lab", "Observation/vital-a"):
        assert (await two.get("lab", url)).status == 404, url
    included = await two.get("lab", "Observation?_include=Observation:subject")
    assert "Patient/a" not in included.references
    assert (await two.get("lab", "?_type=Patient,Observation")).json["total"] == 2
    assert (await two.ask("lab", "POST", "Patient", {"resourceType": "Patient"})).status == 403


async def test_a_granular_scope_limits_what_may_be_written(two: Clinic) -> None:
    two.caller("lab", f"system/Observation.cu?category={CATEGORY}|laboratory")
    good = observation("new", "a", category=_in("laboratory"))
    bad = observation("new", "a", category=_in("vital-signs"))
    assert (await two.ask("lab", "POST", "Observation", bad)).status == 403
    assert (await two.ask("lab", "POST", "Observation", good)).status == 201
    out = observation("lab-a", "a", category=_in("vital-signs"))
    assert (await two.ask("lab", "PUT", "Observation/lab-a", out)).status == 403
    taken = observation("vital-a", "a", category=_in("laboratory"))
    assert (await two.ask("lab", "PUT", "Observation/vital-a", taken)).status == 404


@pytest.mark.parametrize(
    "scope", ["system/Observation.rs?nope=1", "system/Observation.rs?value-quantity=5"]
)
async def test_a_granular_scope_that_is_not_understood_permits_nothing(
    two: Clinic, scope: str
) -> None:
    two.caller("odd", scope)
    for url in ("Observation", "Observation/lab-a"):
        answer = await two.get("odd", url)
        assert b"lab-a" not in answer.body


async def test_two_scopes_together_permit_no_more_than_each(two: Clinic) -> None:
    two.caller(
        "both",
        f"patient/Observation.rs system/Observation.rs?category={CATEGORY}|laboratory",
        patient="Patient/a",
    )
    assert sorted((await two.get("both", "Observation")).references) == [
        "Observation/lab-a",
        "Observation/lab-b",
        "Observation/vital-a",
    ]


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        (
            "system/Observation.r",
            ["GET Observation", "POST Observation", "DELETE Observation/lab-a"],
        ),
        ("system/Observation.s", ["GET Observation/lab-a", "GET Observation/lab-a/_history/1"]),
        ("system/Patient.cruds", ["GET Observation/lab-a", "GET Observation", "GET AuditEvent"]),
        ("openid fhirUser", ["GET Observation", "GET Patient/a", "POST "]),
    ],
)
async def test_a_missing_letter_or_type_is_403(two: Clinic, scope: str, refused: list[str]) -> None:
    two.caller("narrow", scope)
    for line in refused:
        method, _, url = line.partition(" ")
        body = {"resourceType": "Bundle", "type": "batch"} if not url else observation("x", "a")
        answer = await two.ask("narrow", method, url, body if method == "POST" else None)
        assert answer.status == 403, line
        assert answer.json["issue"][0]["code"] == "forbidden"


async def test_a_purpose_that_the_caller_is_not_registered_for_is_refused(two: Clinic) -> None:
    answer = await two.ask(HOUSE, "GET", "Patient/a", headers={"x-purpose-of-use": "HMARKT"})
    assert answer.status == 403


async def test_a_caller_without_purpose_gets_nothing(two: Clinic) -> None:
    two.caller("aimless", purposes=())
    assert (await two.get("aimless", "Patient/a")).status == 404
    assert (await two.get("aimless", "Observation")).json["total"] == 0


async def test_the_glass_is_not_broken_without_a_reason_or_against_the_rule(two: Clinic) -> None:
    two.caller("er", organization="Organization/er", purposes=("TREAT", "BTG"))
    broken = {"x-purpose-of-use": "BTG"}
    assert (await two.ask("er", "GET", "Patient/a", headers=broken)).status == 400
    reason = {**broken, "x-break-glass-reason": "unconscious"}
    assert (await two.ask("er", "GET", "Patient/a", headers=reason)).status == 404


async def test_an_opted_out_patient_is_closed_to_a_scope_for_everything(two: Clinic) -> None:
    await two.put(consent("no", "a", "deny"))
    assert (await two.get(HOUSE, "Patient/a")).status == 404
    assert (await two.get(HOUSE, "Observation?subject=a")).json["total"] == 0
