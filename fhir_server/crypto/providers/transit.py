"""A KEK inside the transit engine of HashiCorp Vault or OpenBao: the key never leaves it.

A wrapped key's body is the engine's own ciphertext (``vault:v1:...``), by an ``aes256-gcm96`` key with the purpose as
associated data (Vault 1.12 or newer; OpenBao).  What holds for a symmetric key against a quantum computer stands in
``token.py``.  The engine numbers the versions of a key: after ``vault write -f transit/keys/KEY/rotate``,
``consentry keys rotate`` wraps anew what older versions wrapped.

Which engine and key is said by a URL, ``vault+https://HOST:PORT/MOUNT/KEY``, with ``?namespace=`` and ``?ca=FILE`` if
need be.  Plain http is for this machine only.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import hvac
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultError
from requests.exceptions import RequestException

from fhir_server.crypto.provider import kek_of, missing, named
from fhir_server.errors import KeyProviderUnavailableError, SettingsError, WrongKeyError

_TIMEOUT = 5  # seconds
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_QUERY = frozenset({"namespace", "ca"})


@dataclass(frozen=True, slots=True)
class TransitAddress:
    """Which key of which engine.

    Attributes:
        server: URL without a path.
        mount: Where the engine is mounted.
        key: Name of the key.
        namespace: Of Vault Enterprise or OpenBao; empty for none.
        authorities: File of the certificate authority to trust; empty for the system's.
    """

    server: str
    mount: str
    key: str
    namespace: str = ""
    authorities: str = ""


def parse_address(url: str) -> TransitAddress:
    """Read a ``vault+https://`` URL.

    Raises:
        SettingsError: It has another form, carries a password, or is plain http to another machine.
    """
    parts = urlsplit(url.removeprefix("vault+"))
    mount, _, key = parts.path.strip("/").rpartition("/")
    asked = dict(parse_qsl(parts.query))
    whole = parts.hostname and mount and key and parts.scheme in ("http", "https")
    if not whole or parts.username or not set(asked) <= _QUERY:
        raise SettingsError(
            "key_provider must be like vault+https://HOST:8200/MOUNT/KEY (and ?namespace=, ?ca=FILE)"
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise SettingsError("key_provider must be vault+https unless it is on this machine")
    return TransitAddress(
        f"{parts.scheme}://{parts.netloc}",
        mount,
        key,
        asked.get("namespace", ""),
        asked.get("ca", ""),
    )


class TransitKeyProvider:
    """A key of a transit engine; named ``vault:HOST/MOUNT/KEY``."""

    remote = True

    def __init__(self, address: TransitAddress, token: str, *, may_create: bool) -> None:
        """Find the key, made if ``may_create`` and there is none.

        Raises:
            SettingsError: The token is not accepted, or may not use the key.
            WrongKeyError: The key is missing and may not be made.
            KeyProviderUnavailableError: The engine does not answer.
        """
        self._address = address
        self._client = hvac.Client(
            url=address.server,
            token=token,
            namespace=address.namespace or None,
            verify=address.authorities or True,
            timeout=_TIMEOUT,
            allow_redirects=False,  # the token is for this server only
        )
        host = urlsplit(address.server).netloc
        self.name = f"vault:{host}/{address.mount}/{address.key}"
        self._version = ""
        self._probe(may_create=may_create)

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.wrap``."""
        try:
            return self._wrap(key, purpose)
        except Forbidden as error:  # the token has expired
            raise self._unavailable(error) from error

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.unwrap``."""
        name, body = kek_of(wrapped)
        if name != self.name:
            raise missing(name)
        try:
            sealed = body.decode("ascii", "replace")
            return base64.b64decode(
                self._crypt("decrypt", "ciphertext", sealed, purpose, "plaintext")
            )
        except InvalidRequest as error:
            raise WrongKeyError(
                f"the key-encryption key '{self.name}' does not open this store: give back the key it was made with"
            ) from error
        except (Forbidden, InvalidPath, ValueError) as error:
            raise self._unavailable(error) from error

    def is_current(self, wrapped: bytes) -> bool:
        """See ``KeyProvider.is_current``; by the newest version that has wrapped."""
        name, body = kek_of(wrapped)
        return name == self.name and _version(body.decode("ascii", "replace")) == self._version

    def refresh(self) -> None:
        """See ``KeyProvider.refresh``: this one has one key."""

    def _probe(self, *, may_create: bool) -> None:
        """Wrap something: it tells whether the key can be used, and its newest version."""
        keys = f"/v1/{self._address.mount}/keys/{self._address.key}"
        try:
            if not self._exists(keys):  # the engine would make a key of this name unasked
                if not may_create:
                    raise missing(self.name)
                self._ask(keys, {"type": "aes256-gcm96", "exportable": False})
            self._wrap(b"probe", b"probe")
        except Forbidden as error:
            raise SettingsError(f"the token may not use the key '{self.name}'") from error

    def _exists(self, keys: str) -> bool:
        """Whether the key is there; a token that may not look is taken at its word."""
        try:
            self._ask(keys, None)
        except InvalidPath:
            return False
        except Forbidden:
            return True
        return True

    def _wrap(self, key: bytes, purpose: bytes) -> bytes:
        try:
            body = self._crypt("encrypt", "plaintext", _text(key), purpose, "ciphertext")
        except (InvalidRequest, InvalidPath) as error:
            raise self._unavailable(error) from error
        self._version = _version(body)
        return named(self.name, body.encode())

    def _crypt(self, verb: str, name: str, value: str, purpose: bytes, wanted: str) -> str:
        """One call; the member ``wanted`` of its answer."""
        path = f"/v1/{self._address.mount}/{verb}/{self._address.key}"
        found = self._ask(path, {name: value, "associated_data": _text(purpose)})
        if not isinstance(found.get(wanted), str):
            raise self._unavailable(ValueError())
        return str(found[wanted])

    def _ask(self, path: str, content: Mapping[str, object] | None) -> Mapping[str, object]:
        """The ``data`` of an answer; asked by GET without a content, else by POST."""
        adapter = self._client.adapter
        try:
            answer = adapter.get(path) if content is None else adapter.post(path, json=content)
        except (Forbidden, InvalidRequest, InvalidPath):
            raise
        except (VaultError, RequestException) as error:
            raise self._unavailable(error) from error
        found = answer.get("data") if isinstance(answer, dict) else None
        return found if isinstance(found, dict) else {}

    def _unavailable(self, error: Exception) -> KeyProviderUnavailableError:
        told = type(error).__name__
        return KeyProviderUnavailableError(
            f"the key provider '{self.name}' does not answer ({told})"
        )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _version(ciphertext: str) -> str:
    """``v1`` of ``vault:v1:...``."""
    return ciphertext.removeprefix("vault:").partition(":")[0]
