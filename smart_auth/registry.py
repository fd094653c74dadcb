"""Registered clients and users, read from plain mappings (fhir_server loads the JSON file).

Client metadata follows RFC 7591, 2 where it has a name for it.  Not here: ``jwks_uri``, which
needs fetching and is refused until that is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from smart_auth.errors import ConfigurationError, ScopeParseError
from smart_auth.exchange import has_control_character
from smart_auth.passwords import require_hash
from smart_auth.scopes import ScopeSet, parse_scopes
from smart_auth.tokens import ClientKeys, load_client_keys

PUBLIC = "public"
ASYMMETRIC = "confidential-asymmetric"
SYMMETRIC = "confidential-symmetric"
KINDS = (PUBLIC, ASYMMETRIC, SYMMETRIC)
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")

_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_FHIR_USER = ("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_DANGEROUS = ("javascript", "data", "vbscript", "file", "blob", "about")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Mappings = Iterable[Mapping[str, object]]


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


@dataclass(frozen=True, slots=True)
class User:
    """One person who can sign in.

    Attributes:
        password_hash: argon2id hash.
        fhir_user: Reference of who the person is (``Practitioner/1``, ``Patient/1`` ...).
        organizations: References of the organizations the person works for.
        purposes: v3-ActReason codes the person may use; none permits nothing.
        patient: The person's own Patient reference, if a patient.
    """

    username: str
    password_hash: str = field(repr=False)
    fhir_user: str
    name: str
    organizations: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    patient: str | None = None


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


class UserRegistry:
    """The people who can sign in, by user name."""

    def __init__(self, users: Iterable[User]) -> None:
        """Keep the users.

        Raises:
            ConfigurationError: A username occurs twice.
        """
        self._users: dict[str, User] = {}
        for user in users:
            if user.username in self._users:
                raise ConfigurationError("a username is registered twice")
            self._users[user.username] = user

    @classmethod
    def from_mappings(cls, mappings: Mappings) -> UserRegistry:
        """Read users from plain mappings whose keys are ``User``'s fields.

        Raises:
            ConfigurationError: The message names the user's place in the list and the wrong field.
        """
        return cls(_read_user(mapping, place) for place, mapping in enumerate(mappings))

    def __iter__(self) -> Iterator[User]:
        return iter(self._users.values())

    def find(self, username: str) -> User | None:
        """Return the user, or None when there is none of that name."""
        return self._users.get(username)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads typed fields of one mapping; every refusal names the entry and the field."""

    entry: str
    mapping: Mapping[str, object] = field(repr=False)

    def require_known(self, names: Iterable[str]) -> None:
        unknown = sorted(set(self.mapping) - set(names))
        if unknown:
            raise self.wrong(unknown[0], "is not a known field")

    def wrong(self, name: str, why: str) -> ConfigurationError:
        return ConfigurationError(f"{self.entry}: {name} {why}")

    def text(self, name: str) -> str:
        value = self.optional_text(name)
        if not value:
            raise self.wrong(name, "must be a text and not empty")
        return value

    def optional_text(self, name: str) -> str | None:
        value = self.mapping.get(name)
        if value is not None and (not isinstance(value, str) or has_control_character(value)):
            raise self.wrong(name, "must be a text without control characters")
        return value

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.mapping.get(name, default)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise self.wrong(name, "must be a list of texts")
        return tuple(value)

    def reference(self, name: str) -> str | None:
        value = self.optional_text(name)
        if value is not None and _REFERENCE.fullmatch(value) is None:
            raise self.wrong(name, "must be a relative reference such as Organization/1")
        return value

    def references(self, name: str) -> tuple[str, ...]:
        values = self.texts(name)
        if any(_REFERENCE.fullmatch(value) is None for value in values):
            raise self.wrong(name, "must be a list of relative references")
        return values

    def chosen(
        self, name: str, choices: tuple[str, ...], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        values = self.texts(name, default)
        if any(value not in choices for value in values):
            raise self.wrong(name, f"must be of {', '.join(choices)}")
        return values


def _read_client(mapping: Mapping[str, object]) -> Client:
    read = _Reader(f"client {mapping.get('client_id')!r}", mapping)
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


def _kind(read: _Reader) -> str:
    kind = read.text("kind")
    if kind not in KINDS:
        raise read.wrong("kind", f"must be one of {', '.join(KINDS)}")
    return kind


def _redirect_uris(read: _Reader) -> tuple[str, ...]:
    uris = read.texts("redirect_uris")
    for uri in uris:
        _require_safe_redirect(read, uri)
    return uris


def _require_safe_redirect(read: _Reader, uri: str) -> None:
    if _URI.fullmatch(uri) is None or "#" in uri:
        raise read.wrong("redirect_uris", "must be absolute URIs in ASCII without fragment")
    parts = urlsplit(uri)
    if parts.scheme in _DANGEROUS or "@" in parts.netloc:
        raise read.wrong("redirect_uris", "must not run script or hold a user name")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise read.wrong("redirect_uris", "must be https (plain http only on loopback)")
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise read.wrong("redirect_uris", "must name a host")


def _keys(read: _Reader, kind: str) -> ClientKeys | None:
    if kind != ASYMMETRIC:
        if "jwks" in read.mapping:
            raise read.wrong("jwks", f"is only for {ASYMMETRIC}")
        return None
    try:
        return load_client_keys(read.mapping.get("jwks"))
    except ConfigurationError as error:
        raise read.wrong("jwks", f"is refused: {error}") from error


def _secret_hash(read: _Reader, kind: str) -> str | None:
    hashed = read.optional_text("secret_hash")
    if (kind == SYMMETRIC) != (hashed is not None):
        raise read.wrong("secret_hash", f"is for {SYMMETRIC}, which must have it")
    if hashed is not None:
        require_hash(f"{read.entry}: secret_hash", hashed)
    return hashed


def _grant_types(read: _Reader, kind: str) -> tuple[str, ...]:
    chosen = read.chosen("grant_types", GRANT_TYPES, ("authorization_code", "refresh_token"))
    if kind != ASYMMETRIC and "client_credentials" in chosen:
        raise read.wrong("grant_types", f"client_credentials is for {ASYMMETRIC} only")
    return chosen


def _scope(read: _Reader) -> ScopeSet:
    try:
        return parse_scopes(read.text("scope"))
    except ScopeParseError as error:
        raise read.wrong("scope", f"is refused: {error}") from error


def _read_user(mapping: Mapping[str, object], place: int) -> User:
    read = _Reader(f"user {place}", mapping)
    read.require_known(each.name for each in fields(User))
    fhir_user = read.reference("fhir_user")
    if fhir_user is None or fhir_user.partition("/")[0] not in _FHIR_USER:
        raise read.wrong("fhir_user", f"must refer to one of {', '.join(_FHIR_USER)}")
    patient = read.reference("patient")
    if patient is not None and not patient.startswith("Patient/"):
        raise read.wrong("patient", "must refer to a Patient")
    require_hash(f"{read.entry}: password_hash", read.text("password_hash"))
    return User(
        username=read.text("username"),
        password_hash=read.text("password_hash"),
        fhir_user=fhir_user,
        name=read.text("name"),
        organizations=read.references("organizations"),
        purposes=read.texts("purposes"),
        patient=patient,
    )
