"""What can go wrong in this room.

The tree::

    SmartError
    ├── ConfigurationError         a client, user, key or setting that must not be started with
    │   └── FieldError             a field of a client or user
    ├── AlreadyThereError          the store already has that key: a replay
    ├── ProviderError              the outside OpenID provider does not answer as one
    ├── ChangedError               somebody else has changed that entry meanwhile
    ├── KeysUnreachableError       a client's ``jwks_uri`` gives no keys
    ├── OAuthError                 an answer of the token, introspection or revocation endpoint
    │   ├── InvalidRequestError, InvalidClientError, InvalidGrantError, UnauthorizedClientError,
    │   │   UnsupportedGrantTypeError, InvalidScopeError (also: ScopeParseError, UnsupportedScopeError)
    │   ├── TooLargeError, RefusedRequestError, RegistrationTokenError
    │   ├── InvalidProofError, UseNonceError   of a DPoP proof; at the FHIR API a 401
    │   └── TemporarilyUnavailableError
    ├── BearerError                the access token is refused: 401, ``invalid_token``
    │   ├── MalformedTokenError, BadSignatureError, WrongIssuerError, WrongAudienceError
    │   ├── ExpiredTokenError, NotYetValidError, RevokedTokenError, UnknownCallerError
    │   └── UnprovedTokenError     it is bound to a key, and nothing proves that the caller has that
    ├── RedirectError              an answer of the authorization endpoint, sent to the client
    └── PageError                  an answer of the authorization endpoint, shown to the person

Messages are written for logs and clients: they carry no token, code, secret, password or name.
"""

from __future__ import annotations


class SmartError(Exception):
    """Root of this room's errors."""

    status = 500
    error = "server_error"


class ConfigurationError(SmartError):
    """A setting, client, user or key is wrong; the message names the field, never its secret."""


class FieldError(ConfigurationError):
    """A field of an entry is wrong: ``field`` names it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class AlreadyThereError(SmartError):
    """``GrantStore.add`` found the key: whoever sent it has sent it before."""


class ChangedError(SmartError):
    """``RegisterStore.save`` found another version than it was given: read again, then decide again."""


class KeysUnreachableError(SmartError):
    """A ``KeyFetcher`` got nothing that may be used; the message says why, without the address."""


class ProviderError(SmartError):
    """The outside OpenID provider does not answer, or not as one."""


class OAuthError(SmartError):
    """An error answer of RFC 6749, section 5.2: ``error`` is its code, ``str(self)`` its words.

    Attributes:
        challenge: What a 401 asks for in ``WWW-Authenticate``.
    """

    status = 400
    challenge = 'Basic realm="token"'


class InvalidRequestError(OAuthError):
    """A parameter is missing, repeated, malformed or at odds with another (RFC 6749, 5.2)."""

    error = "invalid_request"


class InvalidClientError(OAuthError):
    """The client did not prove who it is (RFC 6749, 5.2; RFC 7523, 3.2)."""

    status = 401
    error = "invalid_client"


class InvalidGrantError(OAuthError):
    """The code or refresh token is unknown, spent, expired, revoked or another client's."""

    error = "invalid_grant"


class UnauthorizedClientError(OAuthError):
    """The client is known but not registered for this grant type."""

    error = "unauthorized_client"


class UnsupportedGrantTypeError(OAuthError):
    """The grant type is not one this server has."""

    error = "unsupported_grant_type"


class InvalidScopeError(OAuthError):
    """Nothing that was asked may be granted, or a refresh asked for more than was granted."""

    error = "invalid_scope"


class ScopeParseError(InvalidScopeError):
    """A scope begins like a SMART scope but does not follow the grammar."""


class UnsupportedScopeError(ScopeParseError):
    """A scope follows the grammar, but with it no request could be answered here."""


class TooLargeError(OAuthError):
    """The request is larger than it may be (RFC 9126, 2.3: 413)."""

    status = 413
    error = "invalid_request"


class RefusedRequestError(OAuthError):
    """A pushed request that the authorization endpoint would refuse, or a registration that is not
    accepted (RFC 7591, 3.2.2), with the code that says so."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class RegistrationTokenError(OAuthError):
    """The initial or registration access token is missing or not good (RFC 6750, 3.1)."""

    status = 401
    error = "invalid_token"
    challenge = 'Bearer realm="registration"'


class InvalidProofError(OAuthError):
    """The DPoP proof is not one for this request (RFC 9449, 4.3 and 5; at a resource 7.1)."""

    error = "invalid_dpop_proof"


class UseNonceError(OAuthError):
    """The DPoP proof must hold ``nonce`` (RFC 9449, 8 and 9)."""

    error = "use_dpop_nonce"

    def __init__(self, message: str, nonce: str) -> None:
        super().__init__(message)
        self.nonce = nonce


class TemporarilyUnavailableError(OAuthError):
    """Too many attempts; ``retry_after`` seconds must pass first (RFC 6585, 429)."""

    status = 429
    error = "temporarily_unavailable"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BearerError(SmartError):
    """The access token is refused: the caller is nobody (RFC 6750, 3.1)."""

    status = 401
    error = "invalid_token"


class MalformedTokenError(BearerError):
    """Not a compact ``at+jwt`` in our algorithm, or a claim is missing or of the wrong type."""


class BadSignatureError(BearerError):
    """The signature was not made with one of our keys."""


class WrongIssuerError(BearerError):
    """The ``iss`` claim is not this server."""


class WrongAudienceError(BearerError):
    """The token was made for another resource server."""


class ExpiredTokenError(BearerError):
    """The time in ``exp`` has come."""


class NotYetValidError(BearerError):
    """The time in ``nbf`` has not come."""


class RevokedTokenError(BearerError):
    """The token, or the grant that it came from, was revoked."""


class UnknownCallerError(BearerError):
    """The client or user of the token is no longer registered."""


class UnprovedTokenError(BearerError):
    """The token is bound to a key that the caller did not prove to hold (RFC 9449, 7.1)."""


class RedirectError(SmartError):
    """An error answer that goes to the client's redirect URI (RFC 6749, 4.1.2.1)."""

    status = 303

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class PageError(SmartError):
    """An error shown as a page, because no redirect URI can be trusted (RFC 6749, 4.1.2.1)."""

    status = 400
    error = "invalid_request"

    def __init__(self, message: str, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
