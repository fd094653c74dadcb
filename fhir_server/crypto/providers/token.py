"""A KEK inside a PKCS#11 token: an HSM, or SoftHSM2.  The key never leaves it.

The KEK is an AES-256 key (sensitive, not extractable).  A wrapped key's body is ``nonce (12) | ciphertext and tag``, AES-GCM
inside the token with the purpose as associated data.  A symmetric 256-bit key is as safe from a quantum computer as HPKE
with ML-KEM is (Grover's search leaves 128 bits): there is no public key to break.  Nonces are random: at most 2**32
wraps by one KEK (SP 800-38D, 8.3).

Which token and key is said by an RFC 7512 URI:
``pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin``.
Not read: ``pin-value``, because settings are shown in many places; the other attributes of RFC 7512.
"""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import parse_qsl, unquote

import pkcs11
from pkcs11 import exceptions as refusals

from fhir_server.crypto.provider import kek_of, missing, named
from fhir_server.errors import KeyProviderUnavailableError, SettingsError, WrongKeyError

_NONCE = 12
_TAG_BITS = 128
_BITS = 256
_PATH = frozenset({"token", "object"})
_QUERY = frozenset({"module-path", "pin-source"})
_GCM = pkcs11.Mechanism.AES_GCM
_GUARDED = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """Which key of which token, and where the module and the PIN are.

    Attributes:
        token: Label of the token.
        object_: Label of the key.
        module: Path of the PKCS#11 library.
        pin_source: File with the PIN; empty if it is given otherwise.
    """

    token: str
    object_: str
    module: str
    pin_source: str = field(default="", repr=False)


def parse_address(uri: str) -> TokenAddress:
    """Read an RFC 7512 URI.

    Raises:
        SettingsError: An attribute is missing, unknown or given twice.
    """
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    pairs = [tuple(part.split("=", 1)) for part in path.split(";") if "=" in part]
    found = {name: unquote(value) for name, value in pairs}
    asked = dict(parse_qsl(query.replace("+", "%2B")))
    if set(found) != _PATH or not set(asked) <= _QUERY or "module-path" not in asked:
        raise SettingsError(
            "key_provider must be like pkcs11:token=LABEL;object=LABEL?module-path=/path/of/module.so"
            " (and pin-source=/path, or key_secret)"
        )
    source = asked.get("pin-source", "").removeprefix("file:")
    return TokenAddress(found["token"], found["object"], asked["module-path"], source)


class _AesKey(Protocol):
    """What the library gives for an AES key."""

    def encrypt(
        self, data: bytes, *, mechanism: pkcs11.Mechanism, mechanism_param: pkcs11.GCMParams
    ) -> bytes: ...

    def decrypt(
        self, data: bytes, *, mechanism: pkcs11.Mechanism, mechanism_param: pkcs11.GCMParams
    ) -> bytes: ...


class TokenKeyProvider:
    """The AES key of a label in a token; named ``pkcs11:TOKEN/LABEL``.

    One session, one call at a time; a session that broke is opened anew once.
    """

    remote = True

    def __init__(self, address: TokenAddress, pin: str, *, may_create: bool) -> None:
        """Open the token and find the key, made if ``may_create`` and there is none.

        Raises:
            SettingsError: The module, token or PIN can not be used.
            WrongKeyError: The key is missing and may not be made.
            KeyProviderUnavailableError: The token does not answer.
        """
        self._address = address
        self._pin = pin
        self._turn = threading.Lock()
        self._key: _AesKey | None = None
        self._session: pkcs11.Session | None = None
        self.name = f"pkcs11:{address.token}/{address.object_}"
        with self._turn:
            self._open(may_create=may_create)

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.wrap``."""
        nonce = secrets.token_bytes(_NONCE)
        return named(self.name, nonce + self._call(lambda kek: _encrypt(kek, key, nonce, purpose)))

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.unwrap``."""
        name, body = kek_of(wrapped)
        if name != self.name:
            raise missing(name)
        nonce, sealed = body[:_NONCE], body[_NONCE:]
        return self._call(lambda kek: self._decrypt(kek, sealed, nonce, purpose))

    def is_current(self, wrapped: bytes) -> bool:
        """See ``KeyProvider.is_current``."""
        return kek_of(wrapped)[0] == self.name

    def refresh(self) -> None:
        """See ``KeyProvider.refresh``: this one has one key."""

    def _decrypt(self, kek: _AesKey, sealed: bytes, nonce: bytes, purpose: bytes) -> bytes:
        """Modules tell a wrong tag by any error: where the token still encrypts, it was the tag."""
        try:
            return bytes(kek.decrypt(sealed, mechanism=_GCM, mechanism_param=_gcm(nonce, purpose)))
        except refusals.PKCS11Error as error:
            _encrypt(kek, b"probe", secrets.token_bytes(_NONCE), b"probe")
            raise WrongKeyError(
                f"the key-encryption key '{self.name}' does not open this store: give back the key it was made with"
            ) from error

    def _call(self, work: Callable[[_AesKey], bytes]) -> bytes:
        with self._turn:
            if self._key is not None:
                try:
                    return work(self._key)
                except refusals.PKCS11Error:
                    self._close()
            self._open(may_create=False)
            assert self._key is not None
            try:
                return work(self._key)
            except refusals.PKCS11Error as error:
                self._close()
                raise self._unavailable(error) from error

    def _close(self) -> None:
        session, self._session, self._key = self._session, None, None
        if session is not None:
            with suppress(refusals.PKCS11Error):
                session.close()

    def _open(self, *, may_create: bool) -> None:
        address = self._address
        try:
            token = pkcs11.lib(address.module).get_token(token_label=address.token)
            self._session = _log_in(token, self._pin, rw=may_create)
            self._key = self._find(self._session, may_create=may_create)
        except (refusals.NoSuchToken, refusals.PinIncorrect, refusals.PinLocked) as error:
            told = type(error).__name__
            raise SettingsError(
                f"the token '{address.token}' can not be opened ({told})"
            ) from error
        except (refusals.PKCS11Error, RuntimeError) as error:
            self._close()
            raise self._unavailable(error) from error

    def _find(self, session: pkcs11.Session, *, may_create: bool) -> _AesKey:
        label = self._address.object_
        kind = pkcs11.ObjectClass.SECRET_KEY
        try:
            found = session.get_key(object_class=kind, key_type=pkcs11.KeyType.AES, label=label)
            return cast("_AesKey", found)
        except refusals.NoSuchKey as error:
            if not may_create:
                raise missing(self.name) from error
        made = session.generate_key(
            pkcs11.KeyType.AES, _BITS, label=label, store=True, template=_GUARDED
        )
        return cast("_AesKey", made)

    def _unavailable(self, error: Exception) -> KeyProviderUnavailableError:
        told = type(error).__name__
        return KeyProviderUnavailableError(
            f"the key provider '{self.name}' does not answer ({told})"
        )


def _log_in(token: pkcs11.Token, pin: str, *, rw: bool) -> pkcs11.Session:
    """A session; whoever has logged in to a token has done so for all of this process."""
    try:
        return token.open(rw=rw, user_pin=pin)
    except refusals.UserAlreadyLoggedIn:
        return token.open(rw=rw)


def _encrypt(kek: _AesKey, key: bytes, nonce: bytes, purpose: bytes) -> bytes:
    return bytes(kek.encrypt(key, mechanism=_GCM, mechanism_param=_gcm(nonce, purpose)))


def _gcm(nonce: bytes, purpose: bytes) -> pkcs11.GCMParams:
    return pkcs11.GCMParams(nonce, purpose, _TAG_BITS)
