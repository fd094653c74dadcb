"""What a person can show besides the password: passkeys, a code app, recovery codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from smart_auth.people.code_apps import CodeApps
from smart_auth.people.passkeys import Passkey, Passkeys
from smart_auth.people.recovery_codes import RecoveryCodes
from smart_auth.people.throttle import CODES, Throttle
from smart_auth.people.users import User
from smart_auth.settings import SmartSettings
from smart_auth.store import GrantStore, RegisterStore, digest
from smart_auth.tokens.bearer import subject_of
from smart_auth.tokens.issuing import RandomBytes

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Held:
    """The second factors of one person; ``recovery_left`` counts codes that were not used."""

    passkeys: tuple[Passkey, ...]
    code_app: bool
    recovery_left: int

    @property
    def count(self) -> int:
        """How many factors there are; recovery codes only stand in for one."""
        return len(self.passkeys) + int(self.code_app)


@dataclass(frozen=True, slots=True)
class Factors:
    """The second factors of all people."""

    settings: SmartSettings
    passkeys: Passkeys
    code_apps: CodeApps
    recovery: RecoveryCodes
    throttle: Throttle
    clock: Callable[[], datetime] = field(repr=False)

    @classmethod
    def over(
        cls,
        settings: SmartSettings,
        store: GrantStore,
        register: RegisterStore,
        random_bytes: RandomBytes,
        clock: Callable[[], datetime],
    ) -> Factors:
        """Return the factors that are kept in these stores."""
        return cls(
            settings,
            Passkeys(settings, register, store, random_bytes),
            CodeApps(register, store, random_bytes),
            RecoveryCodes(register, random_bytes),
            Throttle(store, CODES, random_bytes),
            clock,
        )

    def owner(self, person: User) -> str:
        """Return the store key under which everything of a person lies."""
        return digest(subject_of(self.settings.issuer, person.username))

    async def held(self, person: User) -> Held:
        """Return what the person can show."""
        owner = self.owner(person)
        passkeys = await self.passkeys.of(owner)
        return Held(passkeys, await self.code_apps.has(owner), await self.recovery.left(owner))

    async def accept_code(self, person: User, code: str) -> None:
        """Return when ``code`` is one of the person's app, or a recovery code; it is used up now.

        Raises:
            WrongCodeError: It is neither, or was used before.
            TemporarilyUnavailableError: Too many wrong codes lately.
        """
        owner, now = self.owner(person), self.clock()
        await self.throttle.begin(person.username, now)
        plain = "".join(code.split())
        if len(plain) == _DIGITS and plain.isdecimal():
            await self.code_apps.accept(owner, plain, now)
        else:
            await self.recovery.use(owner, plain)
        await self.throttle.succeeded(person.username, now)

    async def confirm_code_app(self, person: User, cookie: str, code: str) -> tuple[str, ...]:
        """Give the person the code app that waits in this browser; return what ``enrolled`` does.

        Raises:
            WrongCodeError: The code is not one of the app.
        """
        owner = self.owner(person)
        await self.code_apps.confirm(owner, cookie, code, self.clock())
        return await self.enrolled(person)

    async def make_passkey(
        self, person: User, cookie: str, answer: tuple[str, str], name: str
    ) -> tuple[str, ...]:
        """Keep a new passkey of the person; return what ``enrolled`` does.

        Raises:
            PasskeyError: It is refused.
        """
        await self.passkeys.make(person, self.owner(person), cookie, answer, name, self.clock())
        return await self.enrolled(person)

    async def enrolled(self, person: User) -> tuple[str, ...]:
        """Return new recovery codes when the person has none yet, else nothing."""
        owner = self.owner(person)
        return () if await self.recovery.left(owner) else await self.recovery.renew(owner)

    async def reset(self, person: User) -> None:
        """Forget all factors of a person, who then signs in with the password alone."""
        owner = self.owner(person)
        for passkey in await self.passkeys.of(owner):
            await self.passkeys.drop(owner, passkey.key)
        await self.code_apps.drop(owner)
        await self.recovery.drop(owner)
        await self.throttle.succeeded(person.username, self.clock())
