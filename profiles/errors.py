"""Errors of the room.

ProfilesError
├── FhirPathError     an expression outside the compiled part
├── JsonError         text that is not strict JSON (RFC 8259)
├── PatchError        a patch that can not be understood
├── PatchConflictError   a patch that can not be performed on this resource
└── XmlError          text that is not XML as FHIR allows it
"""


class ProfilesError(Exception):
    """Anything this room refuses."""


class FhirPathError(ProfilesError):
    """A search expression uses FHIRPath that is not compiled here.

    Attributes:
        part: What is not understood; empty if that is not one part of it.
    """

    def __init__(self, message: str, part: str = "") -> None:
        super().__init__(message)
        self.part = part


class JsonError(ProfilesError):
    """The text is not JSON as FHIR allows it; the message names the place, never the content."""


class PatchError(ProfilesError):
    """The patch can not be understood, whatever it is applied to; the message never quotes it."""


class PatchConflictError(ProfilesError):
    """The patch can not be performed on this resource: a path leads nowhere, or a test fails."""


class XmlError(ProfilesError):
    """The text is not XML as FHIR allows it; the message names the line, never the content."""
