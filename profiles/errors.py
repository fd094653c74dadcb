"""Errors of the room.

ProfilesError
├── FhirPathError     an expression outside the compiled part
└── JsonError         text that is not strict JSON (RFC 8259)
"""


class ProfilesError(Exception):
    """Anything this room refuses."""


class FhirPathError(ProfilesError):
    """A search expression uses FHIRPath that is not compiled here."""


class JsonError(ProfilesError):
    """The text is not JSON as FHIR allows it; the message names the place, never the content."""
