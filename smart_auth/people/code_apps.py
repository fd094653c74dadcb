"""The code app of a person: its secret, kept for good, and the codes that were accepted already.

A new secret waits in the browser that asked for it until the person has typed a code of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from smart_auth.errors import AlreadyThereError
from smart_auth.people.one_time_codes import WrongCodeError, new_secret, step_of
from smart_auth.store import Entry, GrantStore, RegisterStore, digest, json_of, stored_form
from smart_auth.tokens.issuing import RandomBytes

_KIND, _NEW, _USED = "code-app", "new-code-app", "used-code"
_WAITS = timedelta(minutes=15)
_REMEMBERED = timedelta(minutes=5)  # longer than a code can be accepted


@dataclass(frozen=True, slots=True)
class CodeApps:
    """One code app for each person; ``owner`` is the store key of a person."""

    register: RegisterStore
    store: GrantStore
    random_bytes: RandomBytes = field(repr=False)

    async def has(self, owner: str) -> bool:
        """Tell whether the person has one."""
        return await self.register.find(_KIND, owner) is not None

    async def begin(self, owner: str, cookie: str, now: datetime) -> str:
        """Return a new secret, which waits in this browser to be confirmed."""
        secret = new_secret(self.random_bytes)
        stored = stored_form({"secret": secret})
        await self.store.put(_NEW, digest(f"{owner}\n{cookie}"), stored, now + _WAITS)
        return secret

    async def waiting(self, owner: str, cookie: str) -> str | None:
        """Return the secret that waits in this browser, if any."""
        stored = await self.store.find(_NEW, digest(f"{owner}\n{cookie}"))
        return None if stored is None else str(json.loads(json_of(stored))["secret"])

    async def confirm(self, owner: str, cookie: str, code: str, now: datetime) -> None:
        """Make the secret that waits the person's, in the place of any before.

        Raises:
            WrongCodeError: The code is not one of it, or nothing waits in this browser.
            ChangedError: The person does the same elsewhere at this moment.
        """
        secret = await self.waiting(owner, cookie)
        if secret is None:
            raise WrongCodeError
        await self._use(owner, step_of(code, secret, now), now)
        await self.store.drop(_NEW, digest(f"{owner}\n{cookie}"))
        before = await self.register.find(_KIND, owner)
        version = 0 if before is None else before.version
        entry = Entry(owner, owner, version, stored_form({"secret": secret}))
        await self.register.save(_KIND, entry)

    async def accept(self, owner: str, code: str, now: datetime) -> None:
        """Return when ``code`` is one of the person's app and was not accepted before, anywhere.

        Raises:
            WrongCodeError: It is not, or was.
        """
        entry = await self.register.find(_KIND, owner)
        if entry is None:
            raise WrongCodeError
        secret = str(json.loads(json_of(entry.value))["secret"])
        await self._use(owner, step_of(code, secret, now), now)

    async def drop(self, owner: str) -> None:
        """Forget the person's app."""
        await self.register.drop(_KIND, owner)

    async def _use(self, owner: str, step: int, now: datetime) -> None:
        try:
            await self.store.add(_USED, digest(f"{owner}\n{step}"), b"\x01", now + _REMEMBERED)
        except AlreadyThereError as error:
            raise WrongCodeError from error
