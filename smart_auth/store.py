"""What this room keeps, and the seam to where it is kept.

Keys given to the store are SHA-256 digests, so codes, refresh tokens, sessions and launch handles
are never stored in clear.  Stored form of a value (our own): ``0x01 | JSON object in UTF-8``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Protocol

_VERSION = b"\x01"


class GrantStore(Protocol):
    """A small store of short-lived secrets; ``fhir_server`` implements it.

    ``kind`` is a word of ours (``code``, ``refresh`` ...), ``key`` 64 hexadecimal digits.  After
    ``expires`` (UTC) an entry is as if it had never been.
    """

    async def put(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        """Insert or replace; durable when it returns."""
        ...

    async def add(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        """Insert; of callers at the same moment exactly one succeeds.

        Raises:
            AlreadyThereError: The key is there and has not expired.
        """
        ...

    async def find(self, kind: str, key: str) -> bytes | None:
        """Return the value, or None when absent or expired."""
        ...

    async def take(self, kind: str, key: str) -> bytes | None:
        """Return and delete the value as one step: of callers at the same moment one gets it."""
        ...

    async def drop(self, kind: str, key: str) -> None:
        """Delete; nothing happens when it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a RegisterStore.

    Attributes:
        key: 64 hexadecimal digits.
        owner: Whose it is, 64 hexadecimal digits, or empty.
        version: How often it was saved; 0 for one that is not there yet.
    """

    key: str
    owner: str
    version: int
    value: bytes = field(repr=False)


class RegisterStore(Protocol):
    """What is kept for good: accounts, clients, grants; ``fhir_server`` implements it.

    ``kind`` is a word of ours.  Entries last until they are dropped.
    """

    async def find(self, kind: str, key: str) -> Entry | None:
        """Return the entry as it was last saved, by whatever process."""
        ...

    async def of(self, kind: str, owner: str | None = None) -> Sequence[Entry]:
        """Return the entries of a kind in the order of their keys: all, or those of one owner."""
        ...

    async def save(self, kind: str, entry: Entry) -> None:
        """Keep owner and value, if ``entry.version`` is still the version that is there; durable when it returns.

        Raises:
            ChangedError: It is not, so nothing was kept: somebody else was faster.
        """
        ...

    async def drop(self, kind: str, key: str) -> None:
        """Delete; nothing happens when it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person granted to a client, once; its tokens all carry ``grant_id``.

    Attributes:
        scope: Granted scopes, as text.
        auth_time: When the person signed in, seconds since the epoch.
        granted_at: When the person decided, seconds since the epoch.
        patient: Relative reference, ``Patient/1``; so is ``encounter``.
        fhir_context: Text of a JSON array (SMART "fhirContext").
        online_until: For ``online_access``: when the session ends, seconds; else None.
        jkt: Thumbprint of the key that refresh tokens of a public client are bound to (RFC 9449, 5).
        acr: How surely the person signed in; None for grants made before this was noted.
        amr: With what (RFC 8176).
    """

    grant_id: str
    client_id: str
    username: str
    scope: str
    auth_time: int
    granted_at: float
    patient: str | None = None
    encounter: str | None = None
    need_patient_banner: bool = True
    intent: str | None = None
    fhir_context: str = "[]"
    online_until: int | None = None
    jkt: str | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """What an authorization code stands for.

    Attributes:
        jkt: Thumbprint of the only key that may redeem it (RFC 9449, 10); None for any or none.
    """

    grant: Grant
    redirect_uri: str
    code_challenge: str
    nonce: str | None
    jkt: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of one person in one browser; times in seconds since the epoch.

    Attributes:
        acr: How surely, one of ``assurance.LEVELS``.
        amr: With what (RFC 8176).
        before: Digest of the cookie that the browser had when the sign-in began.
    """

    username: str
    auth_time: int
    ends: int
    acr: str
    amr: tuple[str, ...]
    before: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that is not finished.

    Attributes:
        cookie: Digest of the browser's cookie: only this browser goes on with it.
        before: Digest of the cookie that it had at the beginning.
        asked_at: Seconds since the epoch.
        back: URL of the page that asked for it.
        why: What the sign-in page says, a sentence.
        acr: What the page wants at least.
        since: When the sign-in must have been at the earliest, seconds; None for any.
        username: Who has shown a first factor.
        amr: What was shown so far.
    """

    cookie: str = field(repr=False)
    before: str = field(repr=False)
    asked_at: int
    back: str = field(repr=False)
    why: str
    acr: str
    since: int | None = None
    username: str | None = None
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """What an EHR launch handle stands for (SMART "EHR Launch")."""

    client_id: str
    username: str
    patient: str | None = None
    encounter: str | None = None
    patient_label: str | None = field(default=None, repr=False)
    need_patient_banner: bool = True
    intent: str | None = None
    fhir_context: str = "[]"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A validated authorization request (RFC 6749, 4.1.1; RFC 7636; SMART "Obtain code").

    Attributes:
        scope: What is asked and the client may have, as text.
        launch: EHR launch handle.
        max_age: Oldest acceptable sign-in in seconds; 0 asks for a new one.
        dpop_jkt: Thumbprint of the only key that may redeem the code (RFC 9449, 10).
        acr: How surely the person must sign in at least; None for whatever the server wants.
    """

    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str = field(repr=False)
    state: str | None = field(repr=False)
    nonce: str | None = field(repr=False)
    launch: str | None = field(repr=False)
    max_age: int | None = None
    dpop_jkt: str | None = None
    acr: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An authorization request while a person looks at our pages.

    Attributes:
        session: Digest of the session cookie that it is bound to.
        asked_at: Seconds since the epoch.
        launch: What its EHR launch handle stands for.
        patient: The patient picked so far.
        offered: Patients that the picker page offered; nothing else can be picked.
    """

    request: AuthorizationRequest
    session: str = field(repr=False)
    asked_at: int
    launch: Launch | None = None
    patient: str | None = None
    patient_label: str | None = field(default=None, repr=False)
    offered: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def digest(secret: str) -> str:
    """Return the store key of a secret: SHA-256 in hexadecimal."""
    return sha256(secret.encode()).hexdigest()


def pack(record: Grant | IssuedCode | Session | SignIn | Launch | Pending) -> bytes:
    """Return the stored form of a record."""
    return stored_form(asdict(record))


def stored_form(members: Mapping[str, object]) -> bytes:
    """Return the stored form of plain members; ``json_of`` gives them back as JSON."""
    return _VERSION + json.dumps(members).encode()


def unpack_grant(stored: bytes) -> Grant:
    """Read a Grant that ``pack`` made."""
    return _grant(json_of(stored))


def unpack_code(stored: bytes) -> IssuedCode:
    """Read an IssuedCode that ``pack`` made."""
    members = json.loads(json_of(stored))
    return IssuedCode(**{**members, "grant": _grant(json.dumps(members["grant"]))})


def unpack_session(stored: bytes) -> Session:
    """Read a Session that ``pack`` made."""
    members = json.loads(json_of(stored))
    return Session(**{**members, "amr": tuple(members["amr"])})


def unpack_sign_in(stored: bytes) -> SignIn:
    """Read a SignIn that ``pack`` made."""
    members = json.loads(json_of(stored))
    return SignIn(**{**members, "amr": tuple(members["amr"])})


def unpack_launch(stored: bytes) -> Launch:
    """Read a Launch that ``pack`` made."""
    return Launch(**json.loads(json_of(stored)))


def unpack_pending(stored: bytes) -> Pending:
    """Read a Pending that ``pack`` made."""
    members = json.loads(json_of(stored))
    request = AuthorizationRequest(**members["request"])
    launch = None if members["launch"] is None else Launch(**members["launch"])
    offered = tuple((reference, label) for reference, label in members["offered"])
    return Pending(**{**members, "request": request, "launch": launch, "offered": offered})


def _grant(text: bytes | str) -> Grant:
    members = json.loads(text)
    return Grant(**{**members, "amr": tuple(members.get("amr", ()))})


def json_of(stored: bytes) -> bytes:
    """Return the JSON of a stored record.

    Raises:
        ValueError: Another version.
    """
    if stored[:1] != _VERSION:
        raise ValueError("unknown version of a stored record")
    return stored[1:]
