"""An outside OpenID provider over HTTP: what it says of itself, its keys, and the token request.

The operator named it, so unlike a client's ``jwks_uri`` it may be inside of the house's own network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from smart_auth.errors import ProviderError
from smart_auth.people.outside import Errand

_SECONDS = 5.0
_KEPT = 600.0  # seconds
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_Json = Mapping[str, object]


@dataclass(slots=True)
class _Kept:
    value: _Json
    until: float


def provider_of(settings: Settings) -> "OutsideProvider | None":
    """The provider that the settings name, if they do.

    Raises:
        SettingsError: They name it by half, or its secret can not be read.
    """
    if not settings.sign_in_issuer:
        return None
    if not settings.sign_in_client_id:
        raise SettingsError("sign_in_client_id is needed with sign_in_issuer")
    secret, path = settings.sign_in_secret, settings.sign_in_secret_file
    if path:
        try:
            secret = Path(path).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"sign_in_secret_file cannot be read: {error}") from error
    name = settings.sign_in_name
    return OutsideProvider(settings.sign_in_issuer, settings.sign_in_client_id, secret, name)


class OutsideProvider:
    """A ``smart_auth.people.outside.IdentityProvider``.

    Args:
        timer: Seconds that only grow.

    Raises:
        SettingsError: The issuer is not on https, nor on this machine.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        secret: str,
        name: str,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        parts = urlsplit(issuer)
        if parts.scheme != "https" and (parts.scheme, parts.hostname) not in {
            ("http", host) for host in _LOOPBACK
        }:
            raise SettingsError("sign_in_issuer must be on https (plain http only on this machine)")
        self.issuer, self.client_id, self.name = issuer, client_id, name
        self._secret = secret
        self._timer = timer
        self._known: dict[str, _Kept] = {}

    async def address(self, back: str, state: str, errand: Errand) -> str:
        """See ``IdentityProvider.address``."""
        endpoint = await self._endpoint("authorization_endpoint")
        async with self._client(back) as client:
            location, _ = client.create_authorization_url(
                endpoint, state=state, nonce=errand.nonce, code_verifier=errand.verifier
            )
        return str(location)

    async def redeem(self, back: str, code: str, errand: Errand) -> str:
        """See ``IdentityProvider.redeem``."""
        endpoint = await self._endpoint("token_endpoint")
        try:
            async with self._client(back) as client:
                answer = await client.fetch_token(
                    endpoint, code=code, code_verifier=errand.verifier
                )
        except (AuthlibBaseError, httpx2.HTTPError, ValueError) as error:
            raise ProviderError("the provider gives no token for the code") from error
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderError("the provider gives no id_token")
        return token

    async def keys(self, *, fresh: bool = False) -> _Json:
        """See ``IdentityProvider.keys``."""
        return await self._fetched(await self._endpoint("jwks_uri"), fresh=fresh)

    async def _endpoint(self, name: str) -> str:
        """An address that the provider names in its metadata (OpenID Connect Discovery 1.0, 4)."""
        told = await self._fetched(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        address = told.get(name)
        if told.get("issuer") != self.issuer or not isinstance(address, str):
            raise ProviderError("the provider's metadata is not that of the issuer")
        if urlsplit(address).scheme != urlsplit(self.issuer).scheme:
            raise ProviderError("the provider names an address that is not on https")
        return address

    async def _fetched(self, url: str, *, fresh: bool = False) -> _Json:
        known = self._known.get(url)
        if known is not None and not fresh and self._timer() < known.until:
            return known.value
        try:
            async with httpx2.AsyncClient(timeout=_SECONDS) as client:
                answer = await client.get(url, headers={"Accept": "application/json"})
            value = answer.raise_for_status().json()
        except (httpx2.HTTPError, ValueError) as error:
            raise ProviderError("the provider does not answer as it should") from error
        if not isinstance(value, dict):
            raise ProviderError("the provider does not answer as it should")
        self._known[url] = _Kept(value, self._timer() + _KEPT)
        return value

    def _client(self, back: str) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            self.client_id,
            self._secret or None,
            scope="openid",
            redirect_uri=back,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            code_challenge_method="S256",
            timeout=_SECONDS,
        )
