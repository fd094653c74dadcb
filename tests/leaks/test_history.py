"""Older versions are hidden by what is said of the record now, and by what was said of them then."""

import pytest

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, observation, patient, plain, sharing
from .pairs import Pair, assert_same

SAME = [
    "Patient/b/_history",
    "Observation/h1/_history",
    "Observation/o1/_history",
    "Patient/a/_history",
    "_history",
    "Patient/_history",
    "Observation/_history",
    "Observation/_history?_count=1",
    "_history?_count=2",
    "Patient/a/_history?_since=2020-01-01",
    "Encounter/_history",
    "List/_history",
]


@pytest.fixture
async def versions(clinic: Clinic) -> Clinic:
    """``o`` was open and is labelled now; ``p`` was labelled and is open now."""
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("o", "a"))
    await clinic.put(observation("o", "a", meta=ETH))
    await clinic.put(observation("p", "a", meta=ETH))
    await clinic.put(observation("p", "a"))
    return clinic


async def test_a_label_added_later_hides_the_older_versions(versions: Clinic) -> None:
    for target in ("o", "o/_history", "o/_history/1", "o/_history/2"):
        answer = await versions.get(OTHER, f"Observation/{target}")
        assert answer.status == 404, target
        missing = await versions.get(OTHER, f"Observation/{target.replace('o', 'z', 1)}")
        assert answer.body == missing.body
    assert len((await versions.get(HOUSE, "Observation/o/_history")).json["entry"]) == 2


async def test_a_label_taken_off_later_does_not_open_the_older_version(versions: Clinic) -> None:
    assert (await versions.get(OTHER, "Observation/p/_history/1")).status == 404
    history = await versions.get(OTHER, "Observation/p/_history")
    assert history.json["total"] == 1
    assert [r["meta"]["versionId"] for r in history.resources] == ["2"]


async def test_a_version_that_never_was_looks_like_one_that_is_denied(versions: Clinic) -> None:
    denied = await versions.get(OTHER, "Observation/p/_history/1")
    missing = await versions.get(OTHER, "Observation/p/_history/9")
    assert (denied.status, denied.body) == (missing.status, missing.body)


async def test_a_deleted_record_is_gone_only_for_those_who_could_see_it(versions: Clinic) -> None:
    for id_ in ("o", "p"):
        assert (await versions.ask(HOUSE, "DELETE", f"Observation/{id_}")).status == 204
    assert (await versions.get(OTHER, "Observation/p")).status == 410
    assert (await versions.get(OTHER, "Observation/o")).status == 404
    assert (await versions.get(OTHER, "Observation/o")).body == (
        await versions.get(OTHER, "Observation/never")
    ).body
    assert (await versions.get(HOUSE, "Observation/o")).status == 410


async def test_the_history_of_a_deleted_record_is_as_closed_as_the_record_was(
    versions: Clinic,
) -> None:
    for id_ in ("o", "p"):
        await versions.ask(HOUSE, "DELETE", f"Observation/{id_}")
    assert (await versions.get(OTHER, "Observation/o/_history")).status == 404
    assert (await versions.get(OTHER, "Observation/o/_history/1")).status == 404
    assert (await versions.get(OTHER, "Observation/o/_history/3")).status == 404
    told = await versions.get(OTHER, "Observation/p/_history")
    assert [e["request"]["method"] for e in told.json["entry"]] == ["DELETE", "PUT"]
    assert told.json["total"] == 2
    assert (await versions.get(OTHER, "Observation/p/_history/3")).status == 410
    assert (await versions.get(OTHER, "Observation/p/_history/2")).status == 200


async def test_a_record_that_was_another_patients_stays_closed_in_its_history(
    versions: Clinic,
) -> None:
    await versions.put(patient("b"))
    await versions.put(observation("moved", "b"))
    await versions.put(observation("moved", "a"))
    history = await versions.get(OTHER, "Observation/moved/_history")
    assert [r["meta"]["versionId"] for r in history.resources] == ["2"]
    assert (await versions.get(OTHER, "Observation/moved/_history/1")).status == 404


async def test_a_record_that_went_to_a_patient_who_shares_nothing_is_gone_whole(
    versions: Clinic,
) -> None:
    await versions.put(patient("b"))
    await versions.put(observation("left", "a"))
    assert (await versions.get(OTHER, "Observation/left")).status == 200
    await versions.put(observation("left", "b"))
    for target in ("left", "left/_history", "left/_history/1"):
        assert (await versions.get(OTHER, f"Observation/{target}")).status == 404


async def test_a_granular_scope_holds_for_each_version(versions: Clinic) -> None:
    await versions.put(observation("s", "a", status="final"))
    await versions.put(observation("s", "a", status="amended"))
    versions.caller("amended", "system/Observation.rs?status=amended")
    told = await versions.get("amended", "Observation/s/_history")
    assert [r["meta"]["versionId"] for r in told.resources] == ["2"]
    assert (await versions.get("amended", "Observation/s/_history/1")).status == 404


async def test_a_restored_record_does_not_show_what_was_hidden_before(versions: Clinic) -> None:
    await versions.ask(HOUSE, "DELETE", "Observation/o")
    await versions.put(observation("o", "a"))
    told = plain(await versions.get(OTHER, "Observation/o/_history"))
    assert isinstance(told, dict)
    assert [e.get("resource", {}).get("meta", {}).get("versionId") for e in told["entry"]] in (
        ["4", None, "1"],  # the tombstone and the open first version; never the labelled second
        ["4", "1"],
        ["4"],
    )


# --- type and system


URLS = ["Observation/_history", "_history", "Observation/_history?_count=1", "_history?_at=2026"]


@pytest.mark.parametrize("url", URLS)
async def test_a_hidden_record_has_no_history_at_any_level(versions: Clinic, url: str) -> None:
    told: list[str] = []
    while url:
        answer = await versions.get(OTHER, url)
        assert answer.status == 200
        told += [str(e) for e in answer.json.get("entry", ())]
        url = answer.next
    assert not any("Observation/o" in e for e in told)
    shown = [e for e in told if "Observation/p" in e]
    assert len(shown) == 1
    assert "ETH" not in shown[0]


@pytest.mark.parametrize("url", URLS)
async def test_a_deletion_of_a_hidden_record_is_not_told(versions: Clinic, url: str) -> None:
    before = plain(await versions.get(OTHER, url))
    assert (await versions.ask(HOUSE, "DELETE", "Observation/o")).status == 204
    assert plain(await versions.get(OTHER, url)) == before


async def test_another_patients_context_sees_only_its_own_history(versions: Clinic) -> None:
    await versions.put(patient("b"))
    await versions.put(observation("q", "b"))
    versions.caller("app", "patient/*.rs", patient="Patient/b")
    for url in ("Observation/_history", "_history"):
        answer = await versions.get("app", url)
        assert answer.status == 200
        told = [e["fullUrl"] for e in answer.json["entry"]]
        assert not any(
            url.endswith(("Patient/a", "Observation/o", "Observation/p")) for url in told
        )
    assert (await versions.get("app", "Observation/o/_history")).status == 404


async def test_a_scope_for_one_type_shows_the_system_history_of_that_type(versions: Clinic) -> None:
    versions.caller("narrow", "system/Observation.s")
    told = {r["resourceType"] for r in (await versions.get("narrow", "_history")).resources}
    assert told == {"Observation"}
    versions.caller("writer", "system/Observation.cud")
    for url in ("_history", "Observation/_history"):
        assert (await versions.get("writer", url)).status == 403


async def test_a_granular_scope_limits_each_version(versions: Clinic) -> None:
    await versions.put(observation("r", "a", status="amended"))
    await versions.put(observation("r", "a"))
    versions.caller("narrow", "system/Observation.rs?status=final")
    told = await versions.get("narrow", "Observation/_history")
    assert {r["status"] for r in told.resources} == {"final"}


async def test_a_page_link_shows_nothing_that_was_hidden_since(versions: Clinic) -> None:
    for number in range(3):
        await versions.put(observation(f"s{number}", "a"))
    link = (await versions.get(OTHER, "Observation/_history?_count=1")).next
    for number in range(3):
        await versions.put(observation(f"s{number}", "a", meta=ETH))
    told = (await versions.get(OTHER, link)).resources
    assert not any(r["id"].startswith("s") for r in told)


async def test_a_history_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
