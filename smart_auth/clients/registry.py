"""Registered clients, read from plain mappings (fhir_server loads the JSON file).

Client metadata follows RFC 7591, 2 where it has a name for it.  Not here: clients that register
themselves (registered.py), and fetching what a ``jwks_uri`` holds (keys.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import SplitResult, urlsplit

from smart_auth.authorization.scopes import ScopeSet, parse_scopes
from smart_auth.errors import ConfigurationError, ScopeParseError
from smart_auth.people.passwords import require_hash
from smart_auth.reading import Fields, Mappings
from smart_auth.tokens.jwt import (
    ASSERTION_ALGORITHMS,
    FAPI_ALGORITHMS,
    ClientKeys,
    load_client_keys,
)

PUBLIC = "public"
ASYMMETRIC = "confidential-asymmetric"
SYMMETRIC = "confidential-symmetric"
KINDS = (PUBLIC, ASYMMETRIC, SYMMETRIC)
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_DANGEROUS = ("javascript", "data", "vbscript", "file", "blob", "about")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Client:
    """One registered client.

    Attributes:
        kind: ``public``, ``confidential-asymmetric`` (private_key_jwt) or
            ``confidential-symmetric`` (client secret).
        redirect_uris: Compared character by character, nothing normalised.
        keys: Public keys of an asymmetric client, unless it has a ``jwks_uri``.
        jwks_uri: Where the public keys of an asymmetric client are.
        secret_hash: argon2id hash of a symmetric client's secret.
        scope: The most that it may ever be granted.
        organization: Reference of the organization it acts for, or None.
        purposes: v3-ActReason codes it may use; the first is the default; none permits nothing.
        launch_uri: Where an EHR launch sends the browser.
        system: The custodian's own; it may introspect every token.
        introspects: A resource server; it may introspect every token, too.
        fapi: FAPI 2.0 Security Profile: pushed requests and DPoP, always.
        bound: Its access tokens are bound to a key (RFC 9449, 5.2: ``dpop_bound_access_tokens``).
        pushes: It must push its requests (RFC 9126, 6: ``require_pushed_authorization_requests``).
    """

    client_id: str
    name: str
    kind: str
    redirect_uris: tuple[str, ...] = ()
    keys: ClientKeys | None = field(default=None, repr=False)
    secret_hash: str | None = field(default=None, repr=False)
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    scope: ScopeSet = field(default_factory=ScopeSet)
    organization: str | None = None
    purposes: tuple[str, ...] = ()
    launch_uri: str | None = None
    system: bool = False
    introspects: bool = False
    fapi: bool = False
    bound: bool = False
    pushes: bool = False
    jwks_uri: str | None = None


class ClientRegistry:
    """The registered clients by ``client_id``; those that are disabled are as if they were not."""

    def __init__(self, clients: Iterable[Client]) -> None:
        """Keep the clients of the operator's file.

        Raises:
            ConfigurationError: A client_id occurs twice.
        """
        self._clients: dict[str, Client] = {}
        self._registered: Mapping[str, Client] = {}
        self._disabled: Collection[str] = ()
        self._stands: Callable[[Client], bool] = lambda _: True
        for client in clients:
            if client.client_id in self._clients:
                raise ConfigurationError(f"client {client.client_id!r} is registered twice")
            self._clients[client.client_id] = client

    @classmethod
    def from_mappings(cls, mappings: Mappings) -> ClientRegistry:
        """Read clients from plain mappings whose keys are ``Client``'s fields, and ``jwks``.

        Raises:
            ConfigurationError: The message names the client and the wrong field.
        """
        return cls(read_client(mapping) for mapping in mappings)

    def find(self, client_id: str) -> Client | None:
        """Return the client, or None when nobody registered it, or it is disabled or not in good standing."""
        if client_id in self._disabled:
            return None
        found = self._clients.get(client_id) or self._registered.get(client_id)
        return found if found is not None and self._stands(found) else None

    def require_standing(self, stands: Callable[[Client], bool]) -> None:
        """Ask this about every client that is looked for, from now on."""
        self._stands = stands

    def all(self) -> list[Client]:
        """Return every client, disabled ones too: the file's first."""
        own = [each for id_, each in self._registered.items() if id_ not in self._clients]
        return [*self._clients.values(), *own]

    @property
    def disabled(self) -> Collection[str]:
        """The ids of clients that the operator has disabled."""
        return self._disabled

    def renew(self, registered: Iterable[Client], disabled: Collection[str]) -> None:
        """Take note of the clients that registered themselves, and of those that are disabled."""
        self._registered = {client.client_id: client for client in registered}
        self._disabled = frozenset(disabled)

    def including(self, client: Client) -> ClientRegistry:
        """Return a registry with one client more."""
        return ClientRegistry([*self._clients.values(), client])


def assertion_algorithms(fapi: bool) -> tuple[str, ...]:
    """Return what a client may sign its assertions with: SMART's algorithms, or FAPI 2.0's."""
    return FAPI_ALGORITHMS if fapi else ASSERTION_ALGORITHMS


def read_client(mapping: Mapping[str, object]) -> Client:
    """Read one client; keys of the mapping are ``Client``'s fields, and ``jwks``.

    Raises:
        ConfigurationError: The message names the client and the wrong field.
    """
    read = Fields(f"client {mapping.get('client_id')!r}", mapping)
    read.require_known([*(each.name for each in fields(Client)), "jwks"])
    kind = _kind(read)
    client = Client(
        client_id=read.text("client_id"),
        name=read.text("name"),
        kind=kind,
        redirect_uris=_redirect_uris(read),
        keys=_keys(read, kind),
        secret_hash=_secret_hash(read, kind),
        grant_types=_grant_types(read, kind),
        scope=_scope(read),
        organization=read.reference("organization"),
        purposes=read.texts("purposes"),
        launch_uri=_launch_uri(read),
        system=read.flag("system"),
        introspects=read.flag("introspects"),
        fapi=read.flag("fapi"),
        bound=read.flag("bound") or read.flag("fapi"),
        pushes=read.flag("pushes") or read.flag("fapi"),
        jwks_uri=_jwks_uri(read, kind),
    )
    _require_fitting(read, client)
    return client


def _require_fitting(read: Fields, client: Client) -> None:
    """Refuse fields that do not go together."""
    if "authorization_code" in client.grant_types and not client.redirect_uris:
        raise read.wrong("redirect_uris", "must not be empty for authorization_code")
    if client.fapi and client.kind != ASYMMETRIC:
        raise read.wrong("fapi", f"is for {ASYMMETRIC} only")
    if client.introspects and client.kind == PUBLIC:
        raise read.wrong("introspects", "is for clients that authenticate")


def _kind(read: Fields) -> str:
    kind = read.text("kind")
    if kind not in KINDS:
        raise read.wrong("kind", f"must be one of {', '.join(KINDS)}")
    return kind


def _redirect_uris(read: Fields) -> tuple[str, ...]:
    uris = read.texts("redirect_uris")
    for uri in uris:
        _require_safe_redirect(read, uri)
    return uris


def _require_safe_redirect(read: Fields, uri: str, name: str = "redirect_uris") -> None:
    if _URI.fullmatch(uri) is None or "#" in uri:
        raise read.wrong(name, "must be absolute URIs in ASCII without fragment")
    parts = _split(read, name, uri)
    if parts.scheme in _DANGEROUS or "@" in parts.netloc:
        raise read.wrong(name, "must not run script or hold a user name")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise read.wrong(name, "must be https (plain http only on loopback)")
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise read.wrong(name, "must name a host")


def _launch_uri(read: Fields) -> str | None:
    uri = read.optional_text("launch_uri")
    if uri is not None:
        _require_safe_redirect(read, uri, "launch_uri")
    return uri


def _keys(read: Fields, kind: str) -> ClientKeys | None:
    if kind != ASYMMETRIC:
        if "jwks" in read.mapping:
            raise read.wrong("jwks", f"is only for {ASYMMETRIC}")
        return None
    if ("jwks" in read.mapping) == ("jwks_uri" in read.mapping):
        raise read.wrong("jwks", "or jwks_uri must be given, and not both")
    if "jwks" not in read.mapping:
        return None
    try:
        return load_client_keys(read.mapping.get("jwks"), assertion_algorithms(read.flag("fapi")))
    except ConfigurationError as error:
        raise read.wrong("jwks", f"is refused: {error}") from error


def _jwks_uri(read: Fields, kind: str) -> str | None:
    uri = read.optional_text("jwks_uri")
    if uri is None:
        return None
    if kind != ASYMMETRIC:
        raise read.wrong("jwks_uri", f"is only for {ASYMMETRIC}")
    parts = _split(read, "jwks_uri", uri)
    if _URI.fullmatch(uri) is None or "#" in uri or "@" in parts.netloc or not parts.hostname:
        raise read.wrong("jwks_uri", "must be an absolute URL without user name and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise read.wrong("jwks_uri", "must be https (plain http only on loopback)")
    return uri


def _split(read: Fields, name: str, uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        _ = parts.port, parts.hostname
    except ValueError as error:
        raise read.wrong(name, "must be a URI that can be read") from error
    return parts


def _secret_hash(read: Fields, kind: str) -> str | None:
    hashed = read.optional_text("secret_hash")
    if (kind == SYMMETRIC) != (hashed is not None):
        raise read.wrong("secret_hash", f"is for {SYMMETRIC}, which must have it")
    if hashed is not None:
        require_hash(f"{read.entry}: secret_hash", hashed)
    return hashed


def _grant_types(read: Fields, kind: str) -> tuple[str, ...]:
    chosen = read.chosen("grant_types", GRANT_TYPES, ("authorization_code", "refresh_token"))
    if kind != ASYMMETRIC and "client_credentials" in chosen:
        raise read.wrong("grant_types", f"client_credentials is for {ASYMMETRIC} only")
    return chosen


def _scope(read: Fields) -> ScopeSet:
    try:
        return parse_scopes(read.text("scope"))
    except ScopeParseError as error:
        raise read.wrong("scope", f"is refused: {error}") from error
