"""Recovery codes: ten codes of letters and digits to sign in with once each, when the phone is
lost (NIST SP 800-63B, 5.1.2, look-up secrets).

A code has 80 random bits, so that its SHA-256 can be kept: no hash needs to be slow for guesses
that cannot succeed.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from smart_auth.errors import ChangedError
from smart_auth.people.one_time_codes import WrongCodeError
from smart_auth.store import Entry, RegisterStore, digest, json_of, stored_form
from smart_auth.tokens.issuing import RandomBytes

CODES = 10
_BYTES = 10
_KIND = "recovery-codes"
_TRIES = 16  # as many codes of one person as can be used at the same moment, and some


@dataclass(frozen=True, slots=True)
class RecoveryCodes:
    """The recovery codes of each person; ``owner`` is the store key of a person."""

    register: RegisterStore
    random_bytes: RandomBytes = field(repr=False)

    async def renew(self, owner: str) -> tuple[str, ...]:
        """Return ten new codes, to be shown once; those before are worth nothing now.

        Raises:
            ChangedError: The person does the same elsewhere at this moment.
        """
        codes = tuple(_grouped(self.random_bytes(_BYTES)) for _ in range(CODES))
        before = await self.register.find(_KIND, owner)
        version = 0 if before is None else before.version
        await self.register.save(_KIND, _entry(owner, version, [hash_of(each) for each in codes]))
        return codes

    async def left(self, owner: str) -> int:
        """Return how many have not been used."""
        entry = await self.register.find(_KIND, owner)
        return 0 if entry is None else len(_hashes(entry))

    async def use(self, owner: str, code: str) -> None:
        """Return when ``code`` is one of the person's; it is used up now.

        Raises:
            WrongCodeError: It is not, or was used before, by whatever process.
        """
        for _ in range(_TRIES):
            entry = await self.register.find(_KIND, owner)
            hashes = [] if entry is None else _hashes(entry)
            if entry is None or hash_of(code) not in hashes:
                raise WrongCodeError
            left = [each for each in hashes if each != hash_of(code)]
            try:
                await self.register.save(_KIND, _entry(owner, entry.version, left))
            except ChangedError:
                continue
            return
        raise WrongCodeError

    async def drop(self, owner: str) -> None:
        """Forget the person's codes."""
        await self.register.drop(_KIND, owner)


def hash_of(code: str) -> str:
    """Return what is kept of a code; spaces, hyphens and case make no difference."""
    plain = "".join(character for character in code[:64] if character.isalnum())
    return digest(plain.upper().encode("ascii", "replace").decode())


def _grouped(content: bytes) -> str:
    text = base64.b32encode(content).decode()
    return "-".join(text[place : place + 4] for place in range(0, len(text), 4))


def _entry(owner: str, version: int, hashes: list[str]) -> Entry:
    return Entry(owner, owner, version, stored_form({"hashes": hashes}))


def _hashes(entry: Entry) -> list[str]:
    return [str(each) for each in json.loads(json_of(entry.value))["hashes"]]
