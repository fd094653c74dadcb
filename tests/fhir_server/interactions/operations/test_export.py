"""Bulk export: kick-off, status, files, deletion (Bulk Data Access 2.0; checklist items 48 to 52 of smart.md)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fhir_server.interactions.exporting import export as kept_form
from fhir_server.interactions.exporting import walking

from ...clinic import CUSTODIAN, HOUSE, OVERSEER, Clinic, observation, patient
from .exporting import exported, fetch, ids, kick_off, local, manifest_of


@pytest.fixture
async def ward(clinic: Clinic) -> Clinic:
    """Two patients with two observations each, an organization that one of them names, and another that nobody names."""
    for id_ in ("gp", "elsewhere"):
        await clinic.put({"resourceType": "Organization", "id": id_, "name": id_})
    await clinic.put(patient("a", managingOrganization={"reference": "Organization/gp"}))
    await clinic.put(patient("b"))
    for owner in ("a", "b"):
        await clinic.put(observation(f"{owner}1", owner))
        await clinic.put(observation(f"{owner}2", owner, "29463-7"))
    members = [{"entity": {"reference": "Patient/a"}}]
    group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True}
    await clinic.put({**group, "member": members})
    return clinic


async def test_item_48_a_kick_off_is_accepted_and_says_where_its_status_is(ward: Clinic) -> None:
    assert (await kick_off(ward, HOUSE, "Group/g/$export")).startswith("$export-status?job=")
    assert (await ward.ask(None, "GET", "Group/g/$export")).status == 401


async def test_item_49_the_manifest_says_what_there_is(ward: Clinic) -> None:
    status = await kick_off(ward, HOUSE, "Patient/$export?_type=Patient,Observation")
    manifest = await manifest_of(ward, HOUSE, status)
    assert set(manifest) == {"transactionTime", "request", "requiresAccessToken", "output", "error"}
    assert manifest["requiresAccessToken"] is True
    assert manifest["request"].endswith("/Patient/$export?_type=Patient%2CObservation")
    assert [(f["type"], f["count"]) for f in manifest["output"]] == [
        ("Patient", 2),
        ("Observation", 4),
    ]
    assert "Expires" in (await ward.get(HOUSE, status)).headers


async def test_item_50_files_hold_each_resource_in_a_line(ward: Clinic) -> None:
    pretty = b'{\r\n  "resourceType": "Patient",\n  "id": "pretty"\n}'
    await ward.ask(HOUSE, "PUT", "Patient/pretty", pretty)
    found = await exported(ward, HOUSE, "Patient/$export")
    assert ids(found) == {
        "Observation": ["a1", "a2", "b1", "b2"],
        "Patient": ["a", "b", "pretty"],
        "Group": ["g"],
        "Organization": ["gp"],
    }


async def test_item_51_what_was_deleted_is_not_found_any_more(ward: Clinic) -> None:
    status = await kick_off(ward, HOUSE, "Patient/$export")
    [file, *_] = (await manifest_of(ward, HOUSE, status))["output"]
    assert (await ward.ask(HOUSE, "DELETE", status)).status == 202
    for url in (status, local(file["url"])):
        answer = await ward.get(HOUSE, url)
        assert answer.status == 404
        assert answer.json["resourceType"] == "OperationOutcome"
    assert (await ward.ask(HOUSE, "DELETE", status)).status == 404


@pytest.mark.parametrize("name", ["application/fhir+ndjson", "application/ndjson", "ndjson"])
async def test_item_52_formats_of_lines_are_taken(ward: Clinic, name: str) -> None:
    query = name.replace("+", "%2B")
    assert await kick_off(ward, HOUSE, f"Patient/$export?_outputFormat={query}")


async def test_item_52_since_leaves_out_what_is_older(ward: Clinic) -> None:
    ward.now += timedelta(hours=1)
    since = ward.now.isoformat().replace("+00:00", "Z")
    await ward.put(observation("new", "b"))
    found = await exported(ward, HOUSE, f"Patient/$export?_type=Observation,Patient&_since={since}")
    assert ids(found) == {"Observation": ["new"]}


async def test_a_group_s_export_holds_its_members_records_only(ward: Clinic) -> None:
    found = await exported(ward, HOUSE, "Group/g/$export?_type=Patient,Observation,Organization")
    assert ids(found) == {"Observation": ["a1", "a2"], "Patient": ["a"], "Organization": ["gp"]}


async def test_inactive_members_and_named_patients_narrow_a_group(ward: Clinic) -> None:
    members = [
        {"entity": {"reference": "Patient/a"}},
        {"entity": {"reference": "Patient/b"}, "inactive": True},
    ]
    group = {"resourceType": "Group", "id": "h", "type": "person", "actual": True}
    await ward.put({**group, "member": members})
    asked = "Group/h/$export?_type=Patient&patient="
    assert ids(await exported(ward, HOUSE, f"{asked}Patient/a")) == {"Patient": ["a"]}
    assert await exported(ward, HOUSE, f"{asked}Patient/b") == {}


async def test_the_system_s_export_holds_what_is_nobody_s_too(ward: Clinic) -> None:
    found = ids(await exported(ward, HOUSE, "$export"))
    assert found["Organization"] == ["elsewhere", "gp"]
    assert "AuditEvent" not in found
    assert "AuditEvent" in await exported(ward, OVERSEER, "$export?_type=AuditEvent")


async def test_filters_hold_for_their_type_and_several_of_them_add_up(ward: Clinic) -> None:
    asked = "Patient/$export?_type=Observation,Patient&_typeFilter=Observation%3Fcode%3D29463-7"
    assert ids(await exported(ward, HOUSE, asked)) == {
        "Observation": ["a2", "b2"],
        "Patient": ["a", "b"],
    }
    more = f"{asked}%26subject%3DPatient/b&_typeFilter=Observation%3F_id%3Da1"
    assert ids(await exported(ward, HOUSE, more))["Observation"] == ["a1", "b2"]


async def test_elements_shape_the_lines(ward: Clinic) -> None:
    found = await exported(ward, HOUSE, "Patient/$export?_type=Observation&_elements=status")
    assert all("subject" not in each and "status" in each for each in found["Observation"])


async def test_it_can_be_posted_with_parameters(ward: Clinic) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "_type", "valueString": "Observation"},
            {"name": "_type", "valueString": "Patient"},
            {"name": "patient", "valueReference": {"reference": "Patient/b"}},
        ],
    }
    found = await exported(ward, HOUSE, "Patient/$export", method="POST", body=body)
    assert ids(found) == {"Observation": ["b1", "b2"], "Patient": ["b"]}


async def test_a_long_one_goes_on_from_poll_to_poll_and_fills_file_after_file(
    ward: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("STEP", 3), ("_CHUNK", 2), ("_FULL", 3)):
        monkeypatch.setattr(walking, name, value)
    for number in range(8):
        await ward.put(observation(f"o{number}", "a"))
    status = await kick_off(ward, HOUSE, "$export?_type=Observation,Patient")
    first = await ward.get(HOUSE, status)
    assert (first.status, first.headers["X-Progress"]) == (202, "Observation (1 of 2 types)")
    manifest = await manifest_of(ward, HOUSE, status)
    assert [(f["type"], f["count"]) for f in manifest["output"]] == [
        *[("Observation", 3)] * 4,
        ("Patient", 2),
    ]
    lines = [r["id"] for f in manifest["output"] for r in await fetch(ward, HOUSE, f["url"])]
    assert len(lines) == len(set(lines)) == 14


async def test_a_step_that_was_lost_is_done_again_and_nothing_comes_twice(
    ward: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = await kick_off(ward, HOUSE, "$export?_type=Observation")
    exports = ward.pipeline.tools.exports
    save, saved = type(exports).save, []

    async def lost(self: object, kept: object, export: object) -> object:
        saved.append(export)
        if len(saved) == 2:  # its files are kept, itself is not
            raise OSError("killed")
        return await save(self, kept, export)  # type: ignore[arg-type]

    monkeypatch.setattr(type(exports), "save", lost)
    assert (await ward.get(HOUSE, status)).status == 500
    assert (await ward.get(HOUSE, status)).status == 202  # it may be at work still
    ward.now += timedelta(minutes=2)
    manifest = await manifest_of(ward, HOUSE, status)
    [file] = manifest["output"]
    assert len(await fetch(ward, HOUSE, file["url"])) == file["count"] == 4


async def test_what_was_made_after_the_kick_off_is_left_for_the_next_export(ward: Clinic) -> None:
    status = await kick_off(ward, HOUSE, "$export?_type=Observation")
    await ward.put(observation("later", "a"))
    [file] = (await manifest_of(ward, HOUSE, status))["output"]
    assert "later" not in {r["id"] for r in await fetch(ward, HOUSE, file["url"])}


@pytest.mark.parametrize(
    "query",
    [
        "_outputFormat=csv",
        "_since=yesterday",
        "_type=Nothing",
        "_type=Observation&_typeFilter=Patient%3Fname%3Dx",
        "_typeFilter=Observation",
        "_typeFilter=Observation%3F_sort%3Ddate",
        "_typeFilter=Observation%3Fsubject.name%3Dx",
        "_typeFilter=Observation%3Fnonsense%3Dx",
        "_since=2020&_since=2021",
        "nonsense=1",
        "patient=Patient/a",
        "_elements=%3Cx%3E",
    ],
)
async def test_what_cannot_be_done_is_refused_at_once(ward: Clinic, query: str) -> None:
    answer = await ward.get(HOUSE, f"$export?{query}")
    assert answer.status == 400, answer.body


@pytest.mark.parametrize("reference", ["Practitioner/1", "Patient/a/x", "urn:uuid:1", "Patient"])
async def test_only_patients_of_this_server_can_be_named(ward: Clinic, reference: str) -> None:
    assert (await ward.get(HOUSE, f"Patient/$export?patient={reference}")).status == 400


async def test_what_is_not_known_is_ignored_where_that_is_preferred(ward: Clinic) -> None:
    lenient = {"prefer": "respond-async, handling=lenient"}
    answer = await ward.ask(HOUSE, "GET", "$export?nonsense=1", headers=lenient)
    assert answer.status == 202


@pytest.mark.parametrize("job", ["", "x", "0" * 32, "a" * 5000, "%00"])
async def test_there_is_no_other_export(ward: Clinic, job: str) -> None:
    assert (await ward.get(HOUSE, f"$export-status?job={job}")).status in (400, 404)
    assert (await ward.get(HOUSE, f"$export-file?job={job}&file=0")).status in (400, 404)


@pytest.mark.parametrize("file", ["1", "-1", "x", "0x0", "٣", "99999999999"])
async def test_there_is_no_other_file(ward: Clinic, file: str) -> None:
    status = await kick_off(ward, HOUSE, "$export?_type=Patient")
    await manifest_of(ward, HOUSE, status)
    url = status.replace("-status", "-file") + f"&file={file}"
    assert (await ward.get(HOUSE, url)).status == 404


async def test_a_caller_has_ten_exports_at_a_time_and_old_ones_are_forgotten(ward: Clinic) -> None:
    started = [await kick_off(ward, HOUSE, "$export") for _ in range(10)]
    assert (await ward.get(HOUSE, "$export")).status == 429
    assert (await ward.ask(HOUSE, "DELETE", started[0])).status == 202
    await kick_off(ward, HOUSE, "$export")
    ward.now += timedelta(milliseconds=kept_form.LIFETIME)
    assert (await ward.get(HOUSE, started[1])).status == 404
    await kick_off(ward, HOUSE, "$export")
    assert len(await ward.database.register.of("export")) == 1


async def test_types_outside_of_the_scopes_are_refused_by_name_and_else_left_out(
    ward: Clinic,
) -> None:
    ward.caller("narrow", "system/Patient.rs", CUSTODIAN)
    assert (await ward.get("narrow", "$export?_type=Observation")).status == 403
    assert ids(await exported(ward, "narrow", "$export")) == {"Patient": ["a", "b"]}
    ward.caller("writer", "system/*.c", CUSTODIAN)
    assert (await ward.get("writer", "$export")).status == 403


async def test_it_cannot_be_part_of_a_transaction(ward: Clinic) -> None:
    entry = {"request": {"method": "GET", "url": "$export"}}
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert (await ward.ask(HOUSE, "POST", "", sent)).status == 400


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/fhir+ndjson", 200), ("*/*", 200), ("", 200), ("image/png", 406)],
)
async def test_a_file_is_asked_for_as_lines(ward: Clinic, accept: str, status: int) -> None:
    manifest = await manifest_of(ward, HOUSE, await kick_off(ward, HOUSE, "$export?_type=Patient"))
    url = local(manifest["output"][0]["url"])
    assert (await ward.ask(HOUSE, "GET", url, headers={"accept": accept})).status == status


async def test_item_47_the_capability_statement_names_the_export_of_groups(ward: Clinic) -> None:
    statement = (await ward.get(None, "metadata")).json
    [rest] = statement["rest"]
    [group] = [r for r in rest["resource"] if r["type"] == "Group"]
    definition = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export"
    assert {"name": "export", "definition": definition} in group["operation"]
    guide = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
    assert guide in statement["instantiates"]
