"""What goes with an erased patient although it names somebody else, and what stays although it names her."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.crypto.choosing import key_provider
from fhir_server.settings import Settings

from ...clinic import (
    BASE,
    HOUSE,
    ON_MONGO,
    OTHER,
    Clinic,
    consent,
    observation,
    open_clinic,
    patient,
)
from ...vault.test_rotation import ran

ERASE = "Patient/a/$erase"
NUMBER = {"system": "urn:mrn", "value": "4711"}
LINK = [{"other": {"reference": "Patient/b"}, "type": "seealso"}]


@pytest.fixture
async def linked(clinic: Clinic) -> Clinic:
    """Patient a, whose Patient and Consents name b, and b, whose Patient names a."""
    await clinic.put(patient("b"))
    await clinic.put(patient("a", name=[{"family": "Zwetschge"}]))
    await clinic.put(patient("a", identifier=[NUMBER], link=LINK))
    await clinic.put(consent("hers", "a", "permit", "Patient/b"))
    await clinic.put(consent("his", "b", "permit", "Patient/a"))
    await clinic.put(observation("o", "a"))
    return clinic


async def erase(clinic: Clinic) -> None:
    answer = await clinic.ask(HOUSE, "POST", ERASE)
    assert answer.status == 200, answer.body


async def again(clinic: Clinic) -> Clinic:
    """The same server started anew."""
    await clinic.close()
    return await open_clinic(clinic.path.parent)


async def is_gone(clinic: Clinic) -> None:
    for url in ("Patient/a", "Patient/a/_history", "Patient/a/_history/1", "Consent/hers"):
        assert (await clinic.get(HOUSE, url)).status == 404, url
    for url in (
        "Patient?identifier=urn:mrn|4711",
        "Patient?link=Patient/b",
        "Patient?_id=a",
        "Patient?family=Zwetschge",
        "Consent?patient=Patient/a",
        "Consent?_id=hers",
    ):
        assert (await clinic.get(HOUSE, url)).json["total"] == 0, url


async def test_her_patient_goes_though_it_links_to_another(linked: Clinic) -> None:
    await erase(linked)
    await is_gone(linked)


async def test_her_patient_goes_too_if_it_was_deleted_before(linked: Clinic) -> None:
    assert (await linked.ask(HOUSE, "DELETE", "Patient/a")).status == 204
    assert (await linked.get(HOUSE, "Patient/a/_history")).json["total"] == 3
    await erase(linked)
    await is_gone(linked)


async def test_it_goes_too_if_it_named_the_other_only_once(linked: Clinic) -> None:
    await linked.put(patient("a"))
    await linked.put(consent("hers", "a", "permit"))
    await erase(linked)
    await is_gone(linked)
    assert (await linked.get(HOUSE, "Consent/hers/_history")).status == 404


async def test_the_consents_of_the_other_go_on_deciding(linked: Clinic) -> None:
    await linked.put(consent("his", "b", "deny", "Organization/other"))
    await linked.put(patient("b", name=[{"family": "Birne"}]))
    await erase(linked)
    assert (await linked.get(HOUSE, "Patient/b")).status == 200
    assert (await linked.get(OTHER, "Patient/b")).status == 404
    linked = await again(linked)
    assert (await linked.get(OTHER, "Patient/b")).status == 404
    await linked.close()


async def test_what_is_anothers_and_names_her_stays(linked: Clinic) -> None:
    await linked.put(patient("b", link=[{"other": {"reference": "Patient/a"}, "type": "seealso"}]))
    await erase(linked)
    assert (await linked.get(HOUSE, "Patient/b")).status == 200
    assert (await linked.get(HOUSE, "Consent/his")).status == 200
    assert (await linked.get(HOUSE, "Patient?_id=b")).json["total"] == 1
    assert (await linked.get(HOUSE, "Consent?patient=Patient/b")).references == ["Consent/his"]


async def test_a_consent_is_hers_by_whatever_reference_names_her(linked: Clinic) -> None:
    absolute = consent("far", "a", "deny", "Patient/b")
    absolute["patient"] = {"reference": f"{BASE}/Patient/a"}
    await linked.put(absolute)
    await erase(linked)
    assert (await linked.get(HOUSE, "Consent/far")).status == 404


@pytest.mark.skipif(ON_MONGO, reason="it reads the file of SQLite")
async def test_nothing_of_her_is_left_in_the_index(tmp_path: Path) -> None:
    keys = key_provider(Settings(data=tmp_path), may_create=True)
    clinic = await open_clinic(tmp_path, keys=keys)
    await clinic.put(patient("b"))
    await clinic.put(patient("a", identifier=[NUMBER], link=LINK))
    await clinic.put(consent("hers", "a", "permit", "Patient/b"))
    await clinic.put(consent("once", "a", "permit", "Patient/b"))
    await clinic.put(consent("once", "a", "permit"))
    await clinic.put(patient("c", link=LINK))
    assert (await clinic.ask(HOUSE, "DELETE", "Patient/c")).status == 204
    await clinic.close()
    for who in ("Patient/a", "Patient/c"):
        done = ran("erase", who, "--yes", "--data", tmp_path)
        assert done.returncode == 0, done.stderr
    checked = ran("check", "--data", tmp_path)
    assert checked.returncode == 0, checked.stdout


async def test_it_stays_gone_after_the_next_start(linked: Clinic) -> None:
    await erase(linked)
    started = await again(linked)
    await is_gone(started)
    await started.close()
