"""R4 data types and labels that the sample clinic is written with."""

import base64

Json = dict[str, object]

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
UCUM = "http://unitsofmeasure.org"
_TERMS = "http://terminology.hl7.org/CodeSystem"
_ACT_CODE = f"{_TERMS}/v3-ActCode"

ALCOHOL: Json = {
    "security": [
        {"system": f"{_TERMS}/v3-Confidentiality", "code": "R", "display": "restricted"},
        {
            "system": _ACT_CODE,
            "code": "ETHUD",
            "display": "alcohol use disorder information sensitivity",
        },
    ]
}
SUBSTANCE_USE: Json = {
    "security": [
        {"system": f"{_TERMS}/v3-Confidentiality", "code": "R", "display": "restricted"},
        {
            "system": _ACT_CODE,
            "code": "SUD",
            "display": "substance use disorder information sensitivity",
        },
    ]
}


def reference(target: str) -> Json:
    """A Reference; ``@name`` names another record of the sample."""
    return {"reference": target}


def concept(system: str, code: str, display: str) -> Json:
    """A CodeableConcept of one Coding."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def code(system: str, value: str) -> Json:
    """A CodeableConcept of HL7 Terminology, by the last part of its code system."""
    return {"coding": [{"system": f"{_TERMS}/{system}", "code": value}]}


def quantity(value: str, unit: str, ucum: str = "") -> Json:
    """A Quantity whose decimal keeps its zeros (``build.py`` writes it without quotes)."""
    return {"value": f"decimal:{value}", "unit": unit, "system": UCUM, "code": ucum or unit}


def money(value: str) -> Json:
    """An amount in US dollars."""
    return {"value": f"decimal:{value}", "currency": "USD"}


def pdf(file: bytes, title: str) -> Json:
    """An Attachment with an inline PDF."""
    return {
        "contentType": "application/pdf",
        "data": base64.b64encode(file).decode(),
        "title": title,
    }
