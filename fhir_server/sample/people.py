"""The organizations, the staff and the patients of the sample clinic, under ids of their own."""

from fhir_server.sample.shapes import Json, code, reference

CLINIC = "Organization/custodian"
INSURER = "Organization/meridian-insurance"
HOSPITAL = "Organization/harbour-hospital"
CLINICIAN = "Practitioner/clinician"
THERAPIST = "Practitioner/therapist"
PRIVACY_OFFICER = "Practitioner/privacy-officer"
EMERGENCY = "Practitioner/emergency-physician"
PATIENT = "Patient/p-1001"
SECOND = "Patient/p-1002"
THIRD = "Patient/p-1003"


def everybody() -> list[Json]:
    """Organizations first, then staff, then patients."""
    return [
        _organization(CLINIC, "Lindenbach Community Clinic", "prov", "4 Lindenbach Lane"),
        _organization(INSURER, "Meridian Mutual Insurance", "ins", "77 Exchange Plaza"),
        _organization(HOSPITAL, "Harbourside General Hospital", "prov", "1 Quayside Road"),
        _practitioner(CLINICIAN, "Brandtner", "Helena", "Dr."),
        _practitioner(THERAPIST, "Lindqvist", "Tobias", "Mr."),
        _practitioner(PRIVACY_OFFICER, "Vandenberg", "Irisa", "Ms."),
        _practitioner(EMERGENCY, "Kovalenko", "Mirela", "Dr."),
        _patient(
            PATIENT, ("Achterberg", "Rosalind"), "female", "1984-03-17", "12 Willowmere Street"
        ),
        _patient(SECOND, ("Oyelaran", "Bertram"), "male", "1957-11-02", "9 Thistledown Court"),
        _patient(THIRD, ("Marchetti", "Valentina"), "female", "1992-08-29", "31 Copperfield Road"),
    ]


def _organization(reference_: str, name: str, kind: str, street: str) -> Json:
    type_, _, id_ = reference_.partition("/")
    return {
        "resourceType": type_,
        "id": id_,
        "active": True,
        "type": [code("organization-type", kind)],
        "name": name,
        "address": [{"line": [street], "city": "Springwater", "country": "US"}],
    }


def _practitioner(reference_: str, family: str, given: str, prefix: str) -> Json:
    type_, _, id_ = reference_.partition("/")
    name = {"family": family, "given": [given], "prefix": [prefix]}
    return {"resourceType": type_, "id": id_, "active": True, "name": [name]}


def _patient(
    reference_: str, name: tuple[str, str], gender: str, birth_date: str, street: str
) -> Json:
    type_, _, id_ = reference_.partition("/")
    family, given = name
    return {
        "resourceType": type_,
        "id": id_,
        "identifier": [{"system": "urn:oid:2.16.840.1.113883.19.5", "value": f"MRN-{id_}"}],
        "active": True,
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": [{"system": "phone", "value": f"+1-555-01{id_[-2:]}-{birth_date[:4]}"}],
        "gender": gender,
        "birthDate": birth_date,
        "address": [{"use": "home", "line": [street], "city": "Springwater", "country": "US"}],
        "managingOrganization": reference(CLINIC),
    }
