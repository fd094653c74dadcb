"""Which key providers the settings name: the current one, and former ones that are still needed.

``key_provider`` and each of ``key_former`` is one of: ``file:PATH``, ``env:VARIABLE``, ``pkcs11:...`` (RFC 7512),
``vault+https://...``.  Without a ``key_provider`` it is ``key``, or else the key file.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from fhir_server.crypto.keychain import Keychain
from fhir_server.crypto.provider import KeyProvider
from fhir_server.crypto.providers.local import from_file, from_text
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings

KEY_FILE = "consentry.key"


def key_provider(settings: Settings, *, may_create: bool) -> Keychain:
    """The KEKs that the settings name; the current one is made at a first start only (``may_create``).

    Raises:
        SettingsError: One can not be used; the message says which and what to do.
        WrongKeyError: One is missing.
        KeyProviderUnavailableError: One does not answer.
    """
    made: dict[str, KeyProvider] = {}  # sessions of tokens and vaults stay open
    first = [*_current(settings, made, may_create=may_create), *_former(settings, made)]

    def find() -> list[KeyProvider]:
        return [*_current(settings, made, may_create=False), *_former(settings, made)]

    return Keychain(first, find)


def key_file(settings: Settings) -> Path | None:
    """The key file, if the current KEK is in one."""
    if settings.key_provider:
        name = settings.key_provider
        return Path(name.removeprefix("file:")) if name.startswith("file:") else None
    if settings.key:
        return None
    return Path(settings.key_file) if settings.key_file else settings.data / KEY_FILE


def erasures_file(settings: Settings) -> Path:
    """The list of erasures: beside the key file, unless the settings name it."""
    if settings.erasures:
        return Path(settings.erasures)
    path = key_file(settings) or settings.data / KEY_FILE
    return path.with_name(f"{path.name}.erased")


def _current(
    settings: Settings, made: dict[str, KeyProvider], *, may_create: bool
) -> Sequence[KeyProvider]:
    path = key_file(settings)
    if path is not None:
        return from_file(path, may_create=may_create)
    if not settings.key_provider:
        return (from_text(settings.key),)
    return _named(settings.key_provider, settings, made, may_create=may_create)


def _former(settings: Settings, made: dict[str, KeyProvider]) -> list[KeyProvider]:
    return [
        provider
        for name in settings.key_former
        for provider in _named(name, settings, made, may_create=False)
    ]


def _named(
    name: str, settings: Settings, made: dict[str, KeyProvider], *, may_create: bool
) -> Sequence[KeyProvider]:
    if name.startswith("file:"):
        return from_file(Path(name.removeprefix("file:")), may_create=may_create)
    if name.startswith("env:"):
        return (from_text(os.environ.get(name.removeprefix("env:"), "")),)
    if name not in made:
        made[name] = _remote(name, settings, may_create=may_create)
    return (made[name],)


def _remote(name: str, settings: Settings, *, may_create: bool) -> KeyProvider:
    """A provider outside of this process; its library is needed only where it is used."""
    try:
        if name.startswith("pkcs11:"):
            from fhir_server.crypto.providers import token

            address = token.parse_address(name)
            pin = _secret(settings, address.pin_source)
            return token.TokenKeyProvider(address, pin, may_create=may_create)
        if name.startswith(("vault+https://", "vault+http://")):
            from fhir_server.crypto.providers import transit

            return transit.TransitKeyProvider(
                transit.parse_address(name), _secret(settings, ""), may_create=may_create
            )
    except ImportError as error:
        extra = "pkcs11" if name.startswith("pkcs11:") else "vault"
        raise SettingsError(
            f"this key provider needs more packages: pip install 'consentry[{extra}]'"
        ) from error
    raise SettingsError("key_provider must begin with file:, env:, pkcs11: or vault+https://")


def _secret(settings: Settings, source: str) -> str:
    """The PIN or token that opens a provider."""
    path = source or settings.key_secret_file
    if not path:
        return settings.key_secret
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        raise SettingsError(
            "the file with the PIN or token of the key provider cannot be read"
        ) from error
