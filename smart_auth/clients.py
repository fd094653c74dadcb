"""Registered clients, read from plain mappings (fhir_server loads the JSON file).

Client metadata follows RFC 7591, 2 where it has a name for it.  Not here: ``jwks_uri``, which
needs fetching and is refused until that is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from smart_auth.errors import ConfigurationError, ScopeParseError
from smart_auth.passwords import require_hash
from smart_auth.reading import Fields, Mappings
from smart_auth.scopes import ScopeSet, parse_scopes
from smart_auth.tokens import ClientKeys, load_client_keys

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
        keys: Public keys of an asymmetric client.
        secret_hash: argon2id hash of a symmetric client's secret.
        scope: The most that it may ever be granted.
        organization: Reference of the organization it acts for, or None.
        purposes: v3-ActReason codes it may use; the first is the default; none permits nothing.
        launch_uri: Where an EHR launch sends the browser.
        system: The custodian's own; it may introspect every token.
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


class ClientRegistry:
    """The registered clients by ``client_id``."""

    def __init__(self, clients: Iterable[Client]) -> None:
        """Keep the clients.

        Raises:
            ConfigurationError: A client_id occurs twice.
        """
        self._clients: dict[str, Client] = {}
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
        return cls(_read_client(mapping) for mapping in mappings)

    def find(self, client_id: str) -> Client | None:
        """Return the client, or None when nobody registered it."""
        return self._clients.get(client_id)

    def including(self, client: Client) -> ClientRegistry:
        """Return a registry with one client more."""
        return ClientRegistry([*self._clients.values(), client])


def _read_client(mapping: Mapping[str, object]) -> Client:
    read = Fields(f"client {mapping.get('client_id')!r}", mapping)
    if "jwks_uri" in mapping:
        raise read.wrong("jwks_uri", "is not supported yet: give the keys inline as jwks")
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
        launch_uri=read.optional_text("launch_uri"),
        system=mapping.get("system") is True,
    )
    if "authorization_code" in client.grant_types and not client.redirect_uris:
        raise read.wrong("redirect_uris", "must not be empty for authorization_code")
    return client


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


def _require_safe_redirect(read: Fields, uri: str) -> None:
    if _URI.fullmatch(uri) is None or "#" in uri:
        raise read.wrong("redirect_uris", "must be absolute URIs in ASCII without fragment")
    parts = urlsplit(uri)
    if parts.scheme in _DANGEROUS or "@" in parts.netloc:
        raise read.wrong("redirect_uris", "must not run script or hold a user name")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise read.wrong("redirect_uris", "must be https (plain http only on loopback)")
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise read.wrong("redirect_uris", "must name a host")


def _keys(read: Fields, kind: str) -> ClientKeys | None:
    if kind != ASYMMETRIC:
        if "jwks" in read.mapping:
            raise read.wrong("jwks", f"is only for {ASYMMETRIC}")
        return None
    try:
        return load_client_keys(read.mapping.get("jwks"))
    except ConfigurationError as error:
        raise read.wrong("jwks", f"is refused: {error}") from error


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
