"""A transaction is no way around consent or scopes, and leaves nothing behind when it fails."""

import pytest

from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    Clinic,
    consent,
    entry,
    observation,
    patient,
    sharing,
    transaction,
)


@pytest.fixture
async def closed(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("open", "a"))
    await clinic.put(observation("hidden", "a", meta=ETH))
    return clinic


async def test_a_search_in_a_transaction_shows_what_a_search_shows(closed: Clinic) -> None:
    answer = await closed.ask(OTHER, "POST", "", transaction(entry("GET", "Observation?subject=a")))
    inner = answer.json["entry"][0]["resource"]
    assert [e["resource"]["id"] for e in inner["entry"]] == ["open"]
    assert inner["total"] == 1


@pytest.mark.parametrize("url", ["Observation/hidden", "Observation/hidden/_history/1"])
async def test_a_hidden_record_read_in_a_transaction_equals_a_missing_one(
    closed: Clinic, url: str
) -> None:
    hidden = await closed.ask(OTHER, "POST", "", transaction(entry("GET", url)))
    missing = await closed.ask(
        OTHER, "POST", "", transaction(entry("GET", url.replace("hidden", "nobody")))
    )
    assert hidden.status == missing.status == 404
    assert hidden.body == missing.body


async def test_scopes_hold_for_each_entry(closed: Clinic) -> None:
    closed.caller("narrow", "system/Observation.r")
    for made in (
        entry("GET", "Patient/a"),
        entry("GET", "Observation?subject=a"),
        entry("POST", "Observation", observation("x", "a")),
        entry("DELETE", "Observation/open"),
        entry("PUT", "Observation/open", observation("open", "a")),
    ):
        assert (await closed.ask("narrow", "POST", "", transaction(made))).status == 403


async def test_what_fails_takes_everything_back(closed: Clinic) -> None:
    await closed.get(HOUSE, "Observation/does-not-exist")  # makes the key of such audit records
    before = closed.sql("SELECT count(*) FROM record WHERE type != 'AuditEvent'")
    keys, tokens = closed.sql("SELECT count(*) FROM data_key"), closed.sql("SELECT * FROM token")
    log = closed.log_size()
    bundle = transaction(
        entry("DELETE", "Observation/open"),
        entry("POST", "Patient", patient("new-one")),
        entry("PUT", "Patient/new-two", patient("new-two")),
        entry("PUT", "Observation/hidden", observation("hidden", "a")),
        entry("GET", "Observation/does-not-exist"),
    )
    answer = await closed.ask(HOUSE, "POST", "", bundle)
    assert answer.status == 404
    assert "Bundle.entry[4]" in answer.json["issue"][0]["diagnostics"]
    assert closed.sql("SELECT count(*) FROM record WHERE type != 'AuditEvent'") == before
    assert closed.sql("SELECT count(*) FROM data_key") == keys
    assert closed.log_size() == log + 1
    assert (await closed.get(HOUSE, "Observation/open")).status == 200
    assert (await closed.get(HOUSE, "Patient/new-two")).status == 404
    assert (await closed.get(OTHER, "Observation/hidden")).status == 404
    assert len(closed.sql("SELECT * FROM token")) > len(tokens) or log  # of audit records only


async def test_a_consent_that_was_rolled_back_permits_nothing(closed: Clinic) -> None:
    """Row numbers are used again after a rollback: what was compiled from them must not be."""
    await closed.put(patient("b"))
    await closed.put(observation("b1", "b"))
    permissive = consent("c", "b", "permit", actor="Organization/other")
    failing = transaction(
        entry("POST", "Organization", {"resourceType": "Organization", "name": "x"}),
        entry("POST", "Consent", permissive),
        entry("POST", "Observation", observation("x", "b")),  # compiles the patient's policy
        entry("GET", "Observation/does-not-exist"),
    )
    for filler in range(6):
        assert (await closed.ask(HOUSE, "POST", "", failing)).status == 404
        for _ in range(filler):
            await closed.get(HOUSE, "Patient/a")
        closed.caller("third", organization="Organization/third")
        denying = consent(f"d{filler}", "b", "deny", actor="Organization/third")
        await closed.put(denying)
        answer = await closed.get(OTHER, "Observation/b1")
        assert answer.status == 404, f"after {filler} other records"
        await closed.put({**denying, "status": "inactive"})


async def test_a_consent_in_the_transaction_holds_for_the_entries_behind_it(
    closed: Clinic,
) -> None:
    answer = await closed.ask(
        HOUSE,
        "POST",
        "",
        transaction(
            entry("PUT", "Consent/no", consent("no", "a", "deny", actor="Organization/custodian")),
            entry("GET", "Observation/open"),
        ),
    )
    assert answer.status == 404
    assert (await closed.get(HOUSE, "Observation/open")).status == 200  # rolled back with the rest


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_an_error_names_its_entry_and_nothing_stored(closed: Clinic, number: int) -> None:
    entries = [entry("PUT", f"Patient/p{n}", patient(f"p{n}")) for n in range(3)]
    entries[number]["resource"]["gender"] = "Geheim"
    answer = await closed.ask(HOUSE, "POST", "", transaction(*entries))
    assert answer.status == 422
    assert f"Bundle.entry[{number}]" in answer.json["issue"][0]["diagnostics"]
    assert b"Geheim" not in answer.body
    for n in range(3):
        assert (await closed.get(HOUSE, f"Patient/p{n}")).status == 404


async def test_each_entry_has_its_audit_record_and_so_has_the_bundle(closed: Clinic) -> None:
    start = closed.log_size()
    bundle = transaction(
        entry("PUT", "Patient/n", patient("n")),
        entry("GET", "Observation/open"),
        entry("DELETE", "Observation/hidden"),
    )
    assert (await closed.ask(HOUSE, "POST", "", bundle)).status == 200
    codes = [e["subtype"][0]["code"] for e in await closed.audits(start)]
    assert sorted(codes) == ["delete", "read", "transaction", "update"]
