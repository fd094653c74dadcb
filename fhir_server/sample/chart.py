"""The charts of the sample clinic, by name; ``@name`` in a reference is another of them.

What tells of substance use is labelled in ``meta.security``: an encounter, a condition, an observation, a note, a claim
and its explanation of benefit, all of the first patient.
"""

from fhir_server.sample import people
from fhir_server.sample.pdf import write_pdf
from fhir_server.sample.shapes import (
    ALCOHOL,
    ICD10,
    LOINC,
    SNOMED,
    SUBSTANCE_USE,
    Json,
    code,
    concept,
    money,
    pdf,
    quantity,
    reference,
)

_VISIT_NOTE = (
    "Patient reports better sleep and regular walks along the river.",
    "Glycated haemoglobin fell from 7.90 to 7.20 percent since autumn.",
    "Metformin continued unchanged; feet examined, no ulceration seen.",
)
_COUNSELLING_NOTE = (
    "Third counselling session; eleven weeks without a relapse.",
    "Wishes this record to stay between herself and her therapist.",
)
_ALCOHOL_REMARK = "Drank daily after the bereavement; motivated to remain abstinent."


def records() -> dict[str, Json]:
    """Every record that is not a person or an organization."""
    return {**_visits(), **_sessions(), **_billing(), **_second(), **_third()}


def _visits() -> dict[str, Json]:
    of, by = people.PATIENT, people.CLINICIAN
    glucose, haemoglobin = "Glucose [Moles/volume] in Blood", "Hemoglobin A1c"
    return {
        "visit": _encounter(of, by, "2026-01-14", "AMB"),
        "follow-up": _encounter(of, by, "2026-04-22", "AMB"),
        "diabetes": _condition(of, "visit", "44054006", "Diabetes mellitus type 2", "E11.9"),
        "hypertension": _condition(of, "visit", "38341003", "Hypertensive disorder", "I10"),
        "hba1c": _observation(of, "visit", "4548-4", haemoglobin, quantity("7.20", "%")),
        "hba1c-later": _observation(of, "follow-up", "4548-4", haemoglobin, quantity("6.90", "%")),
        "glucose": _observation(of, "visit", "15074-8", glucose, quantity("6.30", "mmol/L")),
        "weight": _observation(of, "visit", "29463-7", "Body weight", quantity("71.50", "kg")),
        "pressure": _blood_pressure(of, "follow-up", "138.0", "84.0"),
        "visit-note": _note(of, "visit", by, "Visit note", _VISIT_NOTE),
    }


def _sessions() -> dict[str, Json]:
    """What tells of substance use: all of it is labelled."""
    of, by, during = people.PATIENT, people.THERAPIST, "session"
    score = quantity("7.0", "{score}")
    return {
        "session": _encounter(of, by, "2026-03-05", "AMB") | {"meta": SUBSTANCE_USE},
        "alcohol": _condition(of, during, "7200002", "Alcoholism", "F10.20", by)
        | {"meta": ALCOHOL, "note": [{"text": _ALCOHOL_REMARK}]},
        "audit-c": _observation(of, during, "75626-2", "Total score [AUDIT-C]", score, by)
        | {"meta": SUBSTANCE_USE},
        "counselling-note": _note(of, during, by, "Counselling note", _COUNSELLING_NOTE)
        | {"meta": SUBSTANCE_USE},
    }


def _billing() -> dict[str, Json]:
    of = people.PATIENT
    claims = {
        "claim-visit": _claim(of, "coverage", "visit", "2026-01-15", "99214", "142.50"),
        "claim-lab": _claim(of, "coverage", "visit", "2026-01-16", "83036", "18.70"),
        "claim-follow-up": _claim(of, "coverage", "follow-up", "2026-04-23", "99213", "98.00"),
        "claim-session": _claim(of, "coverage", "session", "2026-03-06", "H0004", "120.00")
        | {"meta": SUBSTANCE_USE},
    }
    benefits = {
        "benefit-visit": _benefit(of, "coverage", "claim-visit", "2026-02-02", "114.00"),
        "benefit-follow-up": _benefit(of, "coverage", "claim-follow-up", "2026-05-11", "78.40"),
        "benefit-session": _benefit(of, "coverage", "claim-session", "2026-03-24", "96.00")
        | {"meta": SUBSTANCE_USE},
    }
    return {"coverage": _coverage(of, "MM-2204-81"), **claims, **benefits}


def _second() -> dict[str, Json]:
    of = people.SECOND
    return {
        "second-visit": _encounter(of, people.CLINICIAN, "2026-02-10", "AMB"),
        "second-asthma": _condition(of, "second-visit", "195967001", "Asthma", "J45.909"),
        "second-peak-flow": _observation(
            of, "second-visit", "19935-6", "Maximum expiratory gas flow", quantity("410.0", "L/min")
        ),
        "second-coverage": _coverage(of, "MM-7719-40"),
        "second-claim": _claim(
            of, "second-coverage", "second-visit", "2026-02-11", "99213", "98.00"
        ),
        "second-benefit": _benefit(of, "second-coverage", "second-claim", "2026-02-25", "78.40"),
    }


def _third() -> dict[str, Json]:
    of = people.THIRD
    return {
        "third-visit": _encounter(of, people.CLINICIAN, "2026-05-19", "AMB"),
        "third-migraine": _condition(of, "third-visit", "37796009", "Migraine", "G43.909"),
        "third-weight": _observation(
            of, "third-visit", "29463-7", "Body weight", quantity("58.20", "kg")
        ),
    }


def _encounter(patient: str, by: str, day: str, class_: str) -> Json:
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class_},
        "subject": reference(patient),
        "participant": [{"individual": reference(by)}],
        "period": {"start": f"{day}T09:00:00+01:00", "end": f"{day}T09:25:00+01:00"},
        "serviceProvider": reference(people.CLINIC),
    }


def _condition(
    patient: str, encounter: str, snomed: str, display: str, icd10: str, by: str = people.CLINICIAN
) -> Json:
    known = concept(SNOMED, snomed, display)
    known["coding"] = [
        {"system": SNOMED, "code": snomed, "display": display},
        {"system": ICD10, "code": icd10},
    ]
    return {
        "resourceType": "Condition",
        "clinicalStatus": code("condition-clinical", "active"),
        "verificationStatus": code("condition-ver-status", "confirmed"),
        "category": [code("condition-category", "encounter-diagnosis")],
        "code": known,
        "subject": reference(patient),
        "encounter": reference(f"@{encounter}"),
        "recordedDate": "2026-01-14",
        "asserter": reference(by),
    }


def _observation(
    patient: str, encounter: str, loinc: str, display: str, value: Json, by: str = people.CLINICIAN
) -> Json:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(LOINC, loinc, display),
        "subject": reference(patient),
        "encounter": reference(f"@{encounter}"),
        "effectiveDateTime": "2026-01-14T09:10:00+01:00",
        "performer": [reference(by)],
        "valueQuantity": value,
    }


def _blood_pressure(patient: str, encounter: str, systolic: str, diastolic: str) -> Json:
    panel = _observation(patient, encounter, "85354-9", "Blood pressure panel", {})
    del panel["valueQuantity"]
    panel["component"] = [
        {
            "code": concept(LOINC, "8480-6", "Systolic blood pressure"),
            "valueQuantity": quantity(systolic, "mmHg", "mm[Hg]"),
        },
        {
            "code": concept(LOINC, "8462-4", "Diastolic blood pressure"),
            "valueQuantity": quantity(diastolic, "mmHg", "mm[Hg]"),
        },
    ]
    return panel


def _note(patient: str, encounter: str, by: str, title: str, lines: tuple[str, ...]) -> Json:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "final",
        "type": concept(LOINC, "11506-3", "Progress note"),
        "subject": reference(patient),
        "date": "2026-01-14T09:30:00+01:00",
        "author": [reference(by)],
        "custodian": reference(people.CLINIC),
        "content": [{"attachment": pdf(write_pdf(title, lines), title)}],
        "context": {"encounter": [reference(f"@{encounter}")]},
    }


def _coverage(patient: str, member: str) -> Json:
    return {
        "resourceType": "Coverage",
        "status": "active",
        "subscriberId": member,
        "beneficiary": reference(patient),
        "relationship": code("subscriber-relationship", "self"),
        "period": {"start": "2026-01-01", "end": "2026-12-31"},
        "payor": [reference(people.INSURER)],
    }


def _claim(
    patient: str, coverage: str, encounter: str, day: str, procedure: str, amount: str
) -> Json:
    service = {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.12", "code": procedure}]}
    item = {
        "sequence": 1,
        "productOrService": service,
        "net": money(amount),
        "encounter": [reference(f"@{encounter}")],
    }
    return {
        "resourceType": "Claim",
        "status": "active",
        "type": code("claim-type", "professional"),
        "use": "claim",
        "patient": reference(patient),
        "created": day,
        "insurer": reference(people.INSURER),
        "provider": reference(people.CLINIC),
        "priority": code("processpriority", "normal"),
        "insurance": [{"sequence": 1, "focal": True, "coverage": reference(f"@{coverage}")}],
        "item": [item],
        "total": money(amount),
    }


def _benefit(patient: str, coverage: str, claim: str, day: str, amount: str) -> Json:
    return {
        "resourceType": "ExplanationOfBenefit",
        "status": "active",
        "type": code("claim-type", "professional"),
        "use": "claim",
        "patient": reference(patient),
        "created": day,
        "insurer": reference(people.INSURER),
        "provider": reference(people.CLINIC),
        "claim": reference(f"@{claim}"),
        "outcome": "complete",
        "insurance": [{"focal": True, "coverage": reference(f"@{coverage}")}],
        "payment": {"date": day, "amount": money(amount)},
    }
