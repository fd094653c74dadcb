"""Step 0 of consent.md: a token may be good for several purposes, a request has one."""

from __future__ import annotations

import pytest

from tests.fhir_server.clinic import CUSTODIAN, Clinic, consent, patient


@pytest.fixture
async def clinic_(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(
        consent("c", "a", "permit", "Organization/other")
        | {
            "provision": {
                "type": "permit",
                "purpose": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
                        "code": "HRESCH",
                    }
                ],
            }
        }
    )
    clinic.caller("two", organization="Organization/other", purposes=("TREAT", "HRESCH"))
    return clinic


async def test_step_0_one_purpose_is_picked_the_first_if_none_is_named(clinic_: Clinic) -> None:
    assert (await clinic_.get("two", "Patient/a")).status == 404
    named = {"x-purpose-of-use": "HRESCH"}
    assert (await clinic_.ask("two", "GET", "Patient/a", headers=named)).status == 200


@pytest.mark.parametrize("named", ["TREAT,HRESCH", "TREAT HRESCH", "BTG", "hresch"])
async def test_step_0_several_purposes_or_anothers_are_an_error(
    clinic_: Clinic, named: str
) -> None:
    answer = await clinic_.ask("two", "GET", "Patient/a", headers={"x-purpose-of-use": named})
    assert answer.status == 403


async def test_step_0_without_a_purpose_only_rules_without_one_permit(clinic_: Clinic) -> None:
    clinic_.caller("none", organization="Organization/other", purposes=())
    assert (await clinic_.get("none", "Patient/a")).status == 404
    clinic_.caller("own", organization=CUSTODIAN, purposes=())
    assert (await clinic_.get("own", "Patient/a")).status == 404
