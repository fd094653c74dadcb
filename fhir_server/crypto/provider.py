"""Key providers: who holds the key-encryption key (KEK) that wraps every other key of a store.

Each wrapped key tells which KEK it needs, so that a missing one can be named.  Form:
``version (1 byte, 0x02) | length of the name (1) | name of the KEK (UTF-8) | body``; what the body is, each provider says.
Version 0x01, which is read but no longer made, has no name: the body of ``providers/local.py`` follows at once.
"""

from typing import Protocol

from fhir_server.errors import WrongKeyError

_NAMED = b"\x02"
_NAMELESS = b"\x01"
_LONGEST = 255


class KeyProvider(Protocol):
    """Holds a KEK.

    Callers keep what they unwrap in memory.  A ``remote`` provider leaves the process (an HSM, a vault): call it in a
    thread.  All providers may be called from several threads at once.
    """

    @property
    def name(self) -> str:
        """Which KEK wraps from now on; tells nothing of the key itself."""
        ...

    @property
    def remote(self) -> bool:
        """Whether a call may take longer than a request should hold up all others."""
        ...

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Wrap ``key``; it opens only with the same ``purpose``.

        Raises:
            KeyProviderUnavailableError: It does not answer; nothing was wrapped.
        """
        ...

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Open what ``wrap`` made.

        Raises:
            WrongKeyError: Another KEK (it is named), another purpose or altered bytes.
            KeyProviderUnavailableError: It does not answer: nothing is known of the key.
        """
        ...

    def is_current(self, wrapped: bytes) -> bool:
        """Whether ``wrap`` would use the same KEK, so that there is nothing to rotate."""
        ...

    def refresh(self) -> None:
        """Look anew which KEKs there are: one may have been rotated since."""
        ...


def named(name: str, body: bytes) -> bytes:
    """A wrapped key from the name of its KEK and its body."""
    told = name.encode()[:_LONGEST]
    return _NAMED + bytes([len(told)]) + told + body


def kek_of(wrapped: bytes) -> tuple[str, bytes]:
    """The name of the KEK (empty in version 0x01) and the body of a wrapped key.

    Raises:
        WrongKeyError: It has another form.
    """
    if wrapped[:1] == _NAMELESS:
        return "", wrapped[1:]
    end = 2 + (wrapped[1] if len(wrapped) > 1 else 0)
    if wrapped[:1] != _NAMED or len(wrapped) <= end:
        raise WrongKeyError("a wrapped key has an unknown version")
    return wrapped[2:end].decode("utf-8", "replace"), wrapped[end:]


def missing(name: str) -> WrongKeyError:
    """The error that says which KEK is needed and not there."""
    told = f"the key-encryption key '{name}'" if name else "a key-encryption key of an older form"
    return WrongKeyError(
        f"{told} is needed to open this store and is not there: give back the key it was made with"
    )
