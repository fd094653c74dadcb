"""Clients that registered themselves, and clients of whatever kind that the operator has disabled.

Each process keeps them in memory, because every request asks for one; ``reload`` looks whether
another process has changed something, and costs one look-up if none has.

Stored forms (our own), each ``0x01 | JSON object in UTF-8``: kind ``client``, key the digest of the
client_id, a ``Registered``; kind ``client-disabled``, the same key, ``{"client_id"}``.  The version of
the one entry of kind ``clients-changed`` rises with each change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from smart_auth.clients.registry import Client, ClientRegistry, read_client
from smart_auth.errors import ChangedError, ConfigurationError
from smart_auth.store import Entry, RegisterStore, digest
from smart_auth.tokens.revocation import Revocations

_KIND, _DISABLED, _CHANGED = "client", "client-disabled", "clients-changed"
_ONLY = digest("clients-changed")
_VERSION = b"\x01"


@dataclass(frozen=True, slots=True)
class Terms:
    """The most that a client may register for, as its initial access token says.

    Attributes:
        scope: As text.
        organization: Reference of the organization that the client acts for, or None.
        purposes: v3-ActReason codes, the default first.
    """

    scope: str
    organization: str | None = None
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """One client that registered itself.

    Attributes:
        client: What ``registry.read_client`` takes.
        method: ``token_endpoint_auth_method`` (RFC 7591, 2).
        issued_at: Seconds since the epoch.
        token: Digest of its registration access token (RFC 7592, 3).
        version: How often it was saved; 0 for one that is not there yet.
    """

    client: Mapping[str, object] = field(repr=False)
    method: str
    issued_at: int
    token: str = field(repr=False)
    terms: Terms
    version: int = 0

    @property
    def client_id(self) -> str:
        """Return its id."""
        return str(self.client["client_id"])


class RegisteredClients:
    """The register of clients, kept in step with the registry that every request asks."""

    def __init__(
        self, registry: ClientRegistry, register: RegisterStore, revocations: Revocations
    ) -> None:
        self._registry = registry
        self._register = register
        self._revocations = revocations
        self._read: dict[tuple[str, int], Client] = {}
        self._seen = 0

    @property
    def registry(self) -> ClientRegistry:
        """The clients as this process knows them."""
        return self._registry

    async def reload(self) -> None:
        """Take note of what any process has changed."""
        mark = await self._register.find(_CHANGED, _ONLY)
        version = mark.version if mark else 0
        if version == self._seen:
            return
        entries = await self._register.of(_KIND)
        read = {(each.key, each.version): self._client(each) for each in entries}
        self._read = {name: client for name, client in read.items() if client is not None}
        disabled = [_members(each)["client_id"] for each in await self._register.of(_DISABLED)]
        self._registry.renew(self._read.values(), [str(each) for each in disabled])
        self._seen = version

    async def find(self, client_id: str) -> Registered | None:
        """Return a client that registered itself, as the store has it."""
        entry = await self._register.find(_KIND, digest(client_id))
        return None if entry is None else _unpack(entry)

    async def save(self, registered: Registered) -> None:
        """Keep a client, if it is still in the version that was given; it holds for all processes.

        Raises:
            ChangedError: Somebody else has changed it meanwhile.
        """
        members = asdict(registered)
        del members["version"]
        value = _VERSION + json.dumps(members).encode()
        entry = Entry(digest(registered.client_id), "", registered.version, value)
        await self._register.save(_KIND, entry)
        await self._changed(None)

    async def remove(self, client_id: str) -> None:
        """Forget a client, and end all that it was granted."""
        await self._register.drop(_KIND, digest(client_id))
        await self._changed(client_id)

    async def disable(self, client_id: str) -> None:
        """Refuse a client from now on, and end all that it was granted.

        Raises:
            ConfigurationError: There is no such client.
        """
        self._require(client_id)
        key = digest(client_id)
        if await self._register.find(_DISABLED, key) is None:
            value = _VERSION + json.dumps({"client_id": client_id}).encode()
            await self._register.save(_DISABLED, Entry(key, "", 0, value))
        await self._changed(client_id)

    async def enable(self, client_id: str) -> None:
        """Let a client that was disabled ask again; what it had been granted stays ended.

        Raises:
            ConfigurationError: There is no such client.
        """
        self._require(client_id)
        await self._register.drop(_DISABLED, digest(client_id))
        await self._changed(None)

    def _require(self, client_id: str) -> None:
        found = [each for each in self._registry.all() if each.client_id == client_id]
        if not found:
            raise ConfigurationError(f"no client is registered as {client_id!r}")
        if not found[0].grant_types:
            raise ConfigurationError(f"{client_id} is the server's own")

    async def _changed(self, ended: str | None) -> None:
        """Let all processes know, and end what a client was granted, if one is named."""
        while True:
            mark = await self._register.find(_CHANGED, _ONLY) or Entry(_ONLY, "", 0, b"")
            try:
                await self._register.save(_CHANGED, replace(mark, value=_VERSION))
                break
            except ChangedError:
                continue
        await self.reload()
        if ended is None:
            await self._revocations.tell()
        else:
            await self._revocations.revoke_client(ended)

    def _client(self, entry: Entry) -> Client | None:
        """Return the client of an entry; None when today's rules would not accept it."""
        known = self._read.get((entry.key, entry.version))
        if known is not None:
            return known
        try:
            return read_client(_unpack(entry).client)
        except ConfigurationError:
            return None


def _members(entry: Entry) -> dict[str, object]:
    if entry.value[:1] != _VERSION:
        raise ValueError("unknown version of a stored client")
    return dict(json.loads(entry.value[1:]))


def _unpack(entry: Entry) -> Registered:
    members = _members(entry)
    terms = members.pop("terms")
    assert isinstance(terms, dict)
    read = Terms(**{**terms, "purposes": tuple(terms["purposes"])})
    return Registered(**members, terms=read, version=entry.version)  # type: ignore[arg-type]
