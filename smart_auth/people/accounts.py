"""What the operator decides about people: who is disabled, and whose sign-ins and factors end.

The users file says who there is; this is kept in the register beside it.  A disabled person is as
if she were not there, and everything that she was given ends.

Stored form (our own), of the one entry of kind ``accounts``: ``0x01 | JSON object in UTF-8``, for
each user name that something was decided about ``[disabled, ended]``: up to when (seconds since the
epoch) sign-ins have ended.  One entry, so that asking what has changed is one look.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from smart_auth.errors import ConfigurationError
from smart_auth.people.factors import Factors
from smart_auth.people.users import User, UserRegistry
from smart_auth.store import Entry, RegisterStore, digest, json_of, stored_form
from smart_auth.tokens.bearer import subject_of
from smart_auth.tokens.revocation import Revocations

_KIND = "accounts"
_ONLY = digest(_KIND)
_Decided = dict[str, tuple[bool, float]]


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of all people."""

    users: UserRegistry
    register: RegisterStore
    factors: Factors
    revocations: Revocations
    clock: Callable[[], datetime] = field(repr=False)

    async def reload(self) -> None:
        """Take note of what the operator has decided, here or in another process."""
        decided = _decided(await self.register.find(_KIND, _ONLY))
        disabled = frozenset(name for name, (disabled, _) in decided.items() if disabled)
        self.users.renew(disabled, {name: ended for name, (_, ended) in decided.items()})

    async def disable(self, username: str) -> None:
        """Refuse a person from now on, and end her sessions and all that she granted.

        It holds for the next request at every process; durable when it returns.

        Raises:
            ConfigurationError: There is no such user.
            ChangedError: Somebody else decides about people at this moment: try again.
        """
        await self._decide(username, disabled=True)

    async def enable(self, username: str) -> None:
        """Let a person sign in again; what has ended stays ended.

        Raises:
            ConfigurationError: There is no such user.
            ChangedError: Somebody else decides about people at this moment: try again.
        """
        await self._decide(username, disabled=False)

    async def reset(self, username: str) -> None:
        """Forget a person's factors and waits, and end her sessions and all that she granted.

        She signs in with the password alone then, and sets up another factor.

        Raises:
            ConfigurationError: There is no such user.
            ChangedError: Somebody else decides about people at this moment: try again.
        """
        person = self._known(username)
        await self.factors.reset(person)
        await self._decide(username, disabled=username in self.users.disabled)

    async def _decide(self, username: str, *, disabled: bool) -> None:
        self._known(username)
        before = await self.register.find(_KIND, _ONLY)
        version = 0 if before is None else before.version
        told = {**_decided(before), username: (disabled, self.clock().timestamp())}
        await self.register.save(_KIND, Entry(_ONLY, "", version, stored_form(told)))
        await self.reload()
        subject = subject_of(self.factors.settings.issuer, username)
        await self.revocations.revoke_subject(subject)

    def _known(self, username: str) -> User:
        person = next((each for each in self.users if each.username == username), None)
        if person is None:
            raise ConfigurationError("there is no user of that name: see 'consentry user list'")
        return person


def _decided(entry: Entry | None) -> _Decided:
    if entry is None:
        return {}
    members = json.loads(json_of(entry.value))
    return {str(name): (bool(told[0]), float(told[1])) for name, told in members.items()}
