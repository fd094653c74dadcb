"""Several key-encryption keys at once: the current one wraps, each opens what it has wrapped.

More than one is there while a rotation is under way (``vault/rotation.py``), and not for longer.
"""

from collections.abc import Callable, Sequence

from fhir_server.crypto.provider import KeyProvider, kek_of, missing
from fhir_server.errors import WrongKeyError


class Keychain:
    """A ``KeyProvider`` of several; the first is the current one.

    Args:
        find: Gives them as they are later: a key file may be rotated while this server runs.
    """

    def __init__(
        self, providers: Sequence[KeyProvider], find: Callable[[], Sequence[KeyProvider]]
    ) -> None:
        self._find = find
        self._providers = tuple(providers)

    @property
    def name(self) -> str:
        """See ``KeyProvider.name``."""
        return self._providers[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """All KEKs that are there, the current one first."""
        return tuple(provider.name for provider in self._providers)

    @property
    def remote(self) -> bool:
        """See ``KeyProvider.remote``."""
        return any(provider.remote for provider in self._providers)

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.wrap``."""
        return self._providers[0].wrap(key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.unwrap``; a KEK that was not there before is looked for."""
        name = kek_of(wrapped)[0]
        if not name:
            return self._unwrap_nameless(wrapped, purpose)
        if name not in self.names:
            self.require(name)
        holder = next(provider for provider in self._providers if provider.name == name)
        return holder.unwrap(wrapped, purpose)

    def is_current(self, wrapped: bytes) -> bool:
        """See ``KeyProvider.is_current``."""
        return self._providers[0].is_current(wrapped)

    def refresh(self) -> None:
        """See ``KeyProvider.refresh``."""
        self._providers = tuple(self._find())

    def require(self, *names: str) -> None:
        """Prove that these KEKs are there, looking for them anew if they are not.

        Raises:
            WrongKeyError: One is missing; it is named.
        """
        if not set(names) <= set(self.names):
            self.refresh()
        for name in names:
            if name not in self.names:
                raise missing(name)

    def _unwrap_nameless(self, wrapped: bytes, purpose: bytes) -> bytes:
        """What was wrapped before KEKs had names: whichever opens it."""
        refused: WrongKeyError = missing("")
        for provider in self._providers:
            try:
                return provider.unwrap(wrapped, purpose)
            except WrongKeyError as error:
                refused = error
        raise refused
