"""Passkeys (W3C Web Authentication, Level 2): making one, and signing in with one; the only
importer of webauthn.

A passkey is bound to our origin by the browser, and to a person who has unlocked it (user
verification is required), so that it is two factors in one.  Its user handle is the person's
``sub``, never the user name.  A challenge is good for one answer of one browser to one page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from smart_auth.errors import ChangedError
from smart_auth.people.users import User
from smart_auth.settings import SmartSettings
from smart_auth.store import Entry, GrantStore, RegisterStore, digest, json_of, stored_form
from smart_auth.tokens.bearer import subject_of
from smart_auth.tokens.issuing import RandomBytes, random_text

_KIND, _CHALLENGE = "passkey", "challenge"
_MAKE, _SHOW = "make", "show"
_LONGEST_NAME = 60
_MOST = 20
_TIMEOUT_MS = 300_000


class PasskeyError(Exception):
    """The answer of the browser is refused; nothing else is said."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """One passkey of a person.

    Attributes:
        credential_id: As base64url; so is the public key (COSE).
        sign_count: As the authenticator told last; 0 for those that do not count.
        added: Seconds since the epoch; so is ``used``, None before the first time.
    """

    username: str
    credential_id: str
    public_key: str = field(repr=False)
    sign_count: int
    name: str
    added: int
    used: int | None = None

    @property
    def key(self) -> str:
        """Its key in the store; forms name it by that."""
        return digest(self.credential_id)


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What a page needs to ask the browser for a passkey.

    Attributes:
        options: JSON for the browser's WebAuthn interface.
        challenge: As in ``options``; the form sends it back.
        script: URL of our script that asks.
    """

    options: str = field(repr=False)
    challenge: str = field(repr=False)
    script: str


@dataclass(frozen=True, slots=True)
class Passkeys:
    """The passkeys of all people; ``owner`` is the store key of a person."""

    settings: SmartSettings
    register: RegisterStore
    store: GrantStore
    random_bytes: RandomBytes = field(repr=False)

    async def of(self, owner: str) -> tuple[Passkey, ...]:
        """Return a person's passkeys, the oldest first."""
        entries = await self.register.of(_KIND, owner)
        return tuple(sorted((_passkey(each) for each in entries), key=lambda each: each.added))

    async def to_make(self, person: User, owner: str, cookie: str, now: datetime) -> Ceremony:
        """Return what the browser needs to make a passkey that the person does not have yet."""
        challenge = await self._challenge(f"{_MAKE}\n{owner}", cookie, now)
        subject = subject_of(self.settings.issuer, person.username)
        options = generate_registration_options(
            rp_id=self.settings.host,
            rp_name="Consentry",
            user_name=person.username,
            user_display_name=person.name,
            user_id=subject.encode(),
            challenge=base64url_to_bytes(challenge),
            timeout=_TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_described(await self.of(owner)),
        )
        return Ceremony(options_to_json(options), challenge, self.settings.passkey_script)

    async def make(
        self,
        person: User,
        owner: str,
        cookie: str,
        answer: tuple[str, str],
        name: str,
        now: datetime,
    ) -> None:
        """Keep the passkey that the browser has made.

        Args:
            answer: The challenge, and the browser's credential as JSON.

        Raises:
            PasskeyError: The challenge is not one of this person, page and browser, or was
                answered before; or the credential does not fit it, our origin, or our rules.
        """
        challenge, credential = answer
        await self._take(f"{_MAKE}\n{owner}", cookie, challenge)
        if len(await self.of(owner)) >= _MOST:
            raise PasskeyError
        try:
            made = verify_registration_response(
                credential=credential,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self.settings.host,
                expected_origin=self.settings.origin,
                require_user_verification=True,
            )
        except Exception as error:
            raise PasskeyError from error
        passkey = Passkey(
            person.username,
            bytes_to_base64url(made.credential_id),
            bytes_to_base64url(made.credential_public_key),
            made.sign_count,
            " ".join(name.split())[:_LONGEST_NAME] or "Passkey",
            int(now.timestamp()),
        )
        await self._save(Entry(passkey.key, owner, 0, b""), passkey)

    async def to_show(self, cookie: str, now: datetime, owner: str | None = None) -> Ceremony:
        """Return what the browser needs to show a passkey: any of ours, or one of a person's."""
        challenge = await self._challenge(_SHOW, cookie, now)
        options = generate_authentication_options(
            rp_id=self.settings.host,
            challenge=base64url_to_bytes(challenge),
            timeout=_TIMEOUT_MS,
            allow_credentials=[] if owner is None else _described(await self.of(owner)),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return Ceremony(options_to_json(options), challenge, self.settings.passkey_script)

    async def show(self, cookie: str, answer: tuple[str, str], now: datetime) -> str:
        """Return the user name of whoever has shown a passkey.

        Args:
            answer: The challenge, and the browser's credential as JSON.

        Raises:
            PasskeyError: The challenge is not one of this browser, or was answered before; the
                credential is unknown, does not fit, was not unlocked, or counts backwards, which a
                copied one does.
        """
        challenge, credential = answer
        await self._take(_SHOW, cookie, challenge)
        entry = await self.register.find(_KIND, digest(_id_of(credential)))
        if entry is None:
            raise PasskeyError
        passkey = _passkey(entry)
        try:
            shown = verify_authentication_response(
                credential=credential,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self.settings.host,
                expected_origin=self.settings.origin,
                credential_public_key=base64url_to_bytes(passkey.public_key),
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except Exception as error:
            raise PasskeyError from error
        self._require_handle(credential, passkey)
        used = replace(passkey, sign_count=shown.new_sign_count, used=int(now.timestamp()))
        await self._save(entry, used)
        return passkey.username

    async def drop(self, owner: str, key: str) -> None:
        """Forget one passkey of a person; nothing happens when it is not hers."""
        if any(each.key == key for each in await self.of(owner)):
            await self.register.drop(_KIND, key)

    async def _challenge(self, purpose: str, cookie: str, now: datetime) -> str:
        challenge = random_text(self.random_bytes)
        key = digest(f"{purpose}\n{cookie}\n{challenge}")
        expires = now + self.settings.page_lifetime
        await self.store.put(_CHALLENGE, key, b"\x01", expires)
        return challenge

    async def _take(self, purpose: str, cookie: str, challenge: str) -> None:
        key = digest(f"{purpose}\n{cookie}\n{challenge}")
        if await self.store.take(_CHALLENGE, key) is None:
            raise PasskeyError

    async def _save(self, entry: Entry, passkey: Passkey) -> None:
        try:
            await self.register.save(_KIND, replace(entry, value=stored_form(asdict(passkey))))
        except ChangedError as error:  # used at the same moment, or somebody else's already
            raise PasskeyError from error

    def _require_handle(self, credential: str, passkey: Passkey) -> None:
        """Require the person's ``sub`` where the authenticator tells a user handle (WebAuthn, 7.2)."""
        handle = json.loads(credential)["response"].get("userHandle")
        subject = subject_of(self.settings.issuer, passkey.username)
        if handle is not None and handle != bytes_to_base64url(subject.encode()):
            raise PasskeyError


def _passkey(entry: Entry) -> Passkey:
    return Passkey(**json.loads(json_of(entry.value)))


def _described(passkeys: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(id=base64url_to_bytes(each.credential_id))
        for each in passkeys
    ]


def _id_of(credential: str) -> str:
    try:
        return str(json.loads(credential)["id"]).encode("ascii").decode()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PasskeyError from error
