"""A custom search parameter, and what it finds."""

from __future__ import annotations

from typing import Any

from tests.fhir_server.clinic import Json, patient

COLOUR = "http://example.org/StructureDefinition/eye-colour"


def parameter(id_: str = "eyes", **members: Any) -> Json:
    """Patients by the colour of their eyes, which an extension tells."""
    made = {
        "resourceType": "SearchParameter",
        "id": id_,
        "url": f"http://example.org/SearchParameter/{id_}",
        "name": "EyeColour",
        "status": "active",
        "description": "The colour of the eyes",
        "code": "eye-colour",
        "base": ["Patient"],
        "type": "token",
        "expression": f"Patient.extension.where(url = '{COLOUR}').value.ofType(code)",
        **members,
    }
    return {name: value for name, value in made.items() if value is not None}


def coloured(id_: str, colour: str, **members: object) -> Json:
    return patient(id_, extension=[{"url": COLOUR, "valueCode": colour}], **members)
