"""Checking user name and password, slowly enough for guessers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import anyio
import anyio.to_thread

from smart_auth.people.passwords import WrongPasswordError, decoy_hash, verify_password
from smart_auth.people.throttle import Throttle
from smart_auth.people.users import User, UserRegistry

_LONGEST_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class Entrance:
    """Checks passwords.

    Attributes:
        nobody: A hash that is checked for unknown user names, so that these take as long.
        at_once: How many hashes are computed at the same time: each one takes 64 MiB.
    """

    users: UserRegistry
    throttle: Throttle
    nobody: str = field(repr=False)
    at_once: anyio.CapacityLimiter

    @classmethod
    def of(cls, users: UserRegistry, throttle: Throttle) -> Entrance:
        """Return the entrance for these users."""
        hashes = (user.password_hash for user in users if user.password_hash)
        nobody = next(hashes, None) or decoy_hash()
        return cls(users, throttle, nobody, anyio.CapacityLimiter(2))

    async def admit(self, username: str, password: str, now: datetime) -> User | None:
        """Return the person, or None when name or password is wrong.

        Raises:
            TemporarilyUnavailableError: Too many wrong passwords for this name just now.
        """
        await self.throttle.begin(username, now)
        person = self.users.find(username)
        if person is not None and person.password_hash is None:
            person = None  # she signs in outside only
        hashed = (person.password_hash if person else None) or self.nobody
        try:
            await anyio.to_thread.run_sync(
                verify_password, password[:_LONGEST_PASSWORD], hashed, limiter=self.at_once
            )
        except WrongPasswordError:
            return None
        if person is not None:
            await self.throttle.succeeded(username, now)
        return person
