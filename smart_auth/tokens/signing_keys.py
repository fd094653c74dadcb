"""The server's signing keys over time: renewed by an operator, taken up by every process, published
as long as they may be needed (OpenID Connect Core 1.0, 10.1.1 "Rotation of Asymmetric Signing Keys").

Stored form: that of ``jwt.py`` with one member more, ``"retired"``: by ``kid`` the second since
the epoch at which another key took a key's place.  That there are new ones is noted in the register
(kind ``signing``), which costs less to ask for than the keys themselves.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from smart_auth.errors import ChangedError
from smart_auth.store import Entry, RegisterStore, digest
from smart_auth.tokens.jwt import SigningKeys, generate_keys, load_keys

NEEDED = timedelta(hours=2)  # no token that a key signed lives longer
_KIND = "signing"
_MARK = digest(_KIND)


class KeyStore(Protocol):
    """Where the signing keys lie; ``fhir_server`` implements it."""

    async def load(self) -> bytes:
        """Return the keys in stored form, made if there are none."""
        ...

    async def save(self, stored: bytes) -> None:
        """Put others in their place; durable when it returns."""
        ...


@dataclass(slots=True)
class KeyRing:
    """The signing keys that this process holds.

    Attributes:
        store: Where they lie; None for keys that never change.
        tell: Makes other processes call ``reload``.
        changed: Called when other keys hold: tokens that were verified must be verified anew.
        seen: How often they had been renewed when they were last loaded.
    """

    keys: SigningKeys = field(repr=False)
    register: RegisterStore
    tell: Callable[[], Awaitable[None]] = field(repr=False)
    changed: Callable[[], None] = field(repr=False)
    store: KeyStore | None = None
    seen: int = 0

    async def reload(self) -> None:
        """Take up keys that were renewed meanwhile."""
        if self.store is None:
            return
        marked = await self.register.find(_KIND, _MARK)
        version = 0 if marked is None else marked.version
        if version == self.seen:
            return
        self.keys.take(load_keys(await self.store.load()))
        self.seen = version
        self.changed()

    async def renew(self, now: datetime, forget: bool = False) -> None:
        """Put new keys in the place of those that sign, and tell the other processes.

        Args:
            forget: Whether the former keys are good for nothing from now on, not even for the
                tokens that they have signed.

        Raises:
            ChangedError: Somebody else renews them at this moment.
        """
        if self.store is None:
            raise ChangedError("these keys are not kept anywhere")
        marked = await self.register.find(_KIND, _MARK)
        await self.store.save(renewed(await self.store.load(), now, forget))
        await self.register.save(_KIND, marked or Entry(_MARK, "", 0, b"\x01"))
        await self.reload()
        await self.tell()


def renewed(
    stored: bytes, now: datetime, forget: bool, make: Callable[[], bytes] = generate_keys
) -> bytes:
    """Return stored keys with new ones in front; those that nothing needs any more are gone."""
    document, at = json.loads(stored), now.timestamp()
    fresh: list[dict[str, object]] = json.loads(make())["keys"]
    former = [] if forget else document["keys"]
    retired = {str(key["kid"]): at for key in former} | document.get("retired", {})
    still = at - NEEDED.total_seconds()
    kept = [key for key in former if retired[str(key["kid"])] > still]
    names = {str(key["kid"]) for key in kept}
    return json.dumps(
        {
            **document,
            "keys": [*fresh, *kept],
            "retired": {kid: when for kid, when in retired.items() if kid in names},
        }
    ).encode()
