"""Errors of the FHIR server.  The class carries the HTTP status and the OperationOutcome code (R4 IssueType).

ConsentryError
├── SettingsError                a setting that the server refuses to start with
├── StartError                   the server could not open its house
├── LoadError                    a load could not go on
├── BackupError                  a backup that can not be made or restored
├── IntegrityError               stored bytes are not what was sealed: named, audited, never served
│   ├── TamperedRecordError
│   └── KeyDestroyedError        the data key is gone: the record is erased
├── WrongKeyError                the key provider does not hold the key that sealed this store
├── KeyProviderUnavailableError  the key provider does not answer: nothing that needs a new key can be opened
├── StoreFullError               the disk is full: nothing of the request was kept
├── StoreLostError               the database does not answer: nothing half was kept
└── FhirError                    an answer to a caller
    ├── BadRequestError (400)            MalformedError, InvalidParameterError
    ├── UnauthorizedError (401)
    ├── ScopeError (403)                 the token does not cover it
    ├── NotFoundError (404)              missing and denied look the same
    ├── MethodNotAllowedError (405)
    ├── NotAcceptableError (406)
    ├── ConflictError (409)              LostDocumentError
    ├── GoneError (410)
    ├── PreconditionFailedError (412)
    ├── TooLargeError (413)
    ├── UnsupportedMediaTypeError (415)
    ├── RangeError (416)                 a part of a document that it does not have
    ├── InvalidResourceError (422)
    ├── TooManyExportsError (429)
    ├── TooManyError (503)
    ├── KeysUnavailableError (503)
    ├── DatabaseLostError (503)
    └── StorageUnavailableError (507)

Messages name elements, parameters and ids that the caller sent; they never quote a stored or received value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_UNSAID = re.compile("[\x00-\x1f\ufffe\uffff]")  # in no string of R4


@dataclass(frozen=True, slots=True)
class Issue:
    """One ``OperationOutcome.issue``.

    Attributes:
        code: R4 IssueType.
        diagnostics: A plain sentence with the next step, without patient data.
        expression: FHIRPath of the element, or empty.
        severity: fatal, error, warning or information.
        place: Line and column of the element in the text that was sent, both from 1, or empty.
    """

    code: str
    diagnostics: str
    expression: str = ""
    severity: str = "error"
    place: tuple[int, ...] = ()


class ConsentryError(Exception):
    """Anything this server refuses or cannot do."""


class SettingsError(ConsentryError):
    """A setting is missing, malformed or unsafe; the server does not start."""


class StartError(ConsentryError):
    """The server could not open its house: a wrong key, another chain, a client that can not be read."""


class LoadError(ConsentryError):
    """A load could not go on; what was answered is stored, and loading again continues."""


class BackupError(ConsentryError):
    """A backup can not be made or restored; the message says why, and nothing was changed."""


class IntegrityError(ConsentryError):
    """Stored bytes are not those that were sealed for that place."""


class TamperedRecordError(IntegrityError):
    """The authentication tag does not match: bytes, place, version or owner were changed."""


class KeyDestroyedError(IntegrityError):
    """The data key of this record was destroyed, which is how a patient's data is erased."""


class WrongKeyError(ConsentryError):
    """The key provider's key is not the one that this store was sealed with; the server does not start."""


class KeyProviderUnavailableError(ConsentryError):
    """The key provider does not answer, or wraps with another key by now; try again later."""


class StoreFullError(ConsentryError):
    """The disk is full; the unit of work was rolled back whole."""


class StoreLostError(ConsentryError):
    """The database does not answer, or no longer holds for us; of the unit of work all or nothing was kept."""


class FhirError(ConsentryError):
    """An answer to a caller: status, and the issues of its OperationOutcome."""

    status = 500
    code = "exception"

    def __init__(
        self, diagnostics: str, expression: str = "", issues: Sequence[Issue] = ()
    ) -> None:
        said = _UNSAID.sub("\ufffd", diagnostics)  # an id that the caller sent may hold anything
        super().__init__(said)
        self.issues = tuple(issues) or (Issue(self.code, said, expression),)


class BadRequestError(FhirError):
    """The request cannot be understood."""

    status = 400
    code = "invalid"


class MalformedError(BadRequestError):
    """The body is not JSON, or not JSON as FHIR allows it."""

    code = "structure"


class InvalidParameterError(BadRequestError):
    """A search parameter, modifier, prefix or value that cannot be used."""

    code = "value"


class UnauthorizedError(FhirError):
    """No access token, or one that is not valid (RFC 6750: ``invalid_token``).

    Attributes:
        challenge: ``WWW-Authenticate`` of the answer.
        nonce: ``DPoP-Nonce`` of the answer (RFC 9449, 9), or empty.
    """

    status = 401
    code = "login"

    def __init__(
        self,
        diagnostics: str,
        challenge: str = 'Bearer realm="fhir", error="invalid_token"',
        nonce: str = "",
    ) -> None:
        super().__init__(diagnostics)
        self.challenge = challenge
        self.nonce = nonce


class ScopeError(FhirError):
    """The access token's scopes do not cover this interaction."""

    status = 403
    code = "forbidden"


class NotFoundError(FhirError):
    """There is no such resource for this caller: missing and denied look the same."""

    status = 404
    code = "not-found"


class MethodNotAllowedError(FhirError):
    """There is something at that path, but not for this method (an AuditEvent is never changed).

    Attributes:
        allow: The methods that are possible there.
    """

    status = 405
    code = "not-supported"

    def __init__(
        self,
        diagnostics: str,
        expression: str = "",
        issues: Sequence[Issue] = (),
        allow: Sequence[str] = (),
    ) -> None:
        super().__init__(diagnostics, expression, issues)
        self.allow = tuple(allow)


class NotAcceptableError(FhirError):
    """The caller accepts no format that the server speaks."""

    status = 406
    code = "not-supported"


class ConflictError(FhirError):
    """Two requests, or two entries of a transaction, want to change the same resource."""

    status = 409
    code = "conflict"


class LostDocumentError(ConflictError):
    """A document that was being received is no longer there: nothing of it came for too long."""


class GoneError(FhirError):
    """The resource was deleted."""

    status = 410
    code = "deleted"


class PreconditionFailedError(FhirError):
    """``If-Match`` names another version, or a condition matched more than one resource."""

    status = 412
    code = "conflict"


class TooLargeError(FhirError):
    """The body is larger than the setting allows."""

    status = 413
    code = "too-long"


class UnsupportedMediaTypeError(FhirError):
    """The body's Content-Type is not one that the server reads."""

    status = 415
    code = "not-supported"


class RangeError(FhirError):
    """A part is asked for that the document does not have (RFC 9110, 15.5.17)."""

    status = 416
    code = "value"
    size: int = 0  # of the whole, in bytes


class InvalidResourceError(FhirError):
    """The resource is JSON, but not a valid R4 resource."""

    status = 422
    code = "structure"


class TooManyExportsError(FhirError):
    """The caller has as many exports as one may have."""

    status = 429
    code = "throttled"


class TooManyError(FhirError):
    """More than the server takes at once; try again later or narrow the request."""

    status = 503
    code = "too-costly"


class KeysUnavailableError(FhirError):
    """A key is needed that the key provider does not give at the moment; try again later."""

    status = 503
    code = "transient"


class DatabaseLostError(FhirError):
    """The database did not answer; the same request may succeed later."""

    status = 503
    code = "transient"


class StorageUnavailableError(FhirError):
    """The store could not write (the disk is full): nothing was kept."""

    status = 507
    code = "no-store"
