"""Settings of the authorization server; unsafe ones refuse to start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from smart_auth.errors import ConfigurationError
from smart_auth.people.assurance import PASSWORD_ALONE, TWO_FACTORS

_LOOPBACK = ("localhost", "127.0.0.1")  # what Authlib accepts without https


@dataclass(frozen=True, slots=True)
class SmartSettings:
    """Where the server stands and how long its grants live.

    Attributes:
        issuer: Base URL of the endpoints below, and ``iss`` of every token; no trailing slash.
        fhir_base: Base URL of the FHIR API: audience of access tokens; no trailing slash.
        brand_bundle: URL of the Bundle of user-access brands; empty for none.
        brand_identifier: (system, value) of the brand that this server is.
        custodian: Reference of the organization that runs this server (``Organization/x``).
        system_purposes: v3-ActReason codes of the custodian's own system, the default first.
        backend_token_lifetime: Of client_credentials; SMART Backend Services: at most 5 min.
        app_token_lifetime: Of tokens that a person granted; at most 1 h.
        refresh_lifetime: Of an unused refresh token; 3 months or more (ONC g10).
        session_lifetime: Of a sign-in; also of ``online_access`` refresh tokens.
        code_lifetime: Of an authorization code; at most 10 min (RFC 6749, 4.1.2).
        launch_lifetime: Of an EHR launch handle.
        outside_name: What people call the outside OpenID provider; empty if there is none.
        second_factor: Whether each person must show two factors; ``required`` or ``optional``.
        page_lifetime: How long a person may look at the sign-in and authorize pages.
        revocation_recheck: How soon a revocation made by another process holds here.
    """

    issuer: str
    fhir_base: str
    custodian: str = ""
    brand_bundle: str = ""
    brand_identifier: tuple[str, str] = ("", "")
    system_purposes: tuple[str, ...] = ("TREAT", "HOPERAT")
    backend_token_lifetime: timedelta = timedelta(minutes=5)
    app_token_lifetime: timedelta = timedelta(minutes=30)
    refresh_lifetime: timedelta = timedelta(days=100)
    session_lifetime: timedelta = timedelta(hours=8)
    code_lifetime: timedelta = timedelta(seconds=60)
    launch_lifetime: timedelta = timedelta(minutes=5)
    page_lifetime: timedelta = timedelta(minutes=15)
    revocation_recheck: timedelta = timedelta(seconds=5)
    outside_name: str = ""
    second_factor: str = "optional"

    def __post_init__(self) -> None:
        """Refuse what would be unsafe.

        Raises:
            ConfigurationError: The message names the setting.
        """
        _require_safe_url("issuer", self.issuer)
        _require_safe_url("fhir_base", self.fhir_base)
        _require_at_most("backend_token_lifetime", self.backend_token_lifetime, minutes=5)
        _require_at_most("app_token_lifetime", self.app_token_lifetime, minutes=60)
        _require_at_most("code_lifetime", self.code_lifetime, minutes=10)
        _require_at_most("launch_lifetime", self.launch_lifetime, minutes=5)
        if self.second_factor not in ("optional", "required"):
            raise ConfigurationError("second_factor must be optional or required")
        if self.refresh_lifetime < timedelta(days=90):
            raise ConfigurationError("refresh_lifetime must be 90 days or more (ONC g10)")

    @property
    def authorization_endpoint(self) -> str:
        """RFC 6749, 3.1."""
        return f"{self.issuer}/authorize"

    @property
    def token_endpoint(self) -> str:
        """RFC 6749, 3.2; also the audience of client assertions."""
        return f"{self.issuer}/token"

    @property
    def sign_in_page(self) -> str:
        """Where the forms of the sign-in pages go."""
        return f"{self.issuer}/sign-in"

    def elsewhere(self, handle: str) -> tuple[str, str] | None:
        """Return the outside provider's name, and where a sign-in of this handle goes on there."""
        if not self.outside_name:
            return None
        return self.outside_name, f"{self.outside_page}?request={handle}"

    @property
    def outside_page(self) -> str:
        """Where the outside OpenID provider sends browsers back to."""
        return f"{self.issuer}/outside"

    @property
    def account_page(self) -> str:
        """Where people see how they sign in."""
        return f"{self.issuer}/account"

    @property
    def apps_page(self) -> str:
        """SMART "management_endpoint": where people see what they granted to apps."""
        return f"{self.issuer}/apps"

    @property
    def seen_page(self) -> str:
        """Where people see who has seen their record."""
        return f"{self.issuer}/seen"

    @property
    def open_app_page(self) -> str:
        """Where people open apps on a patient: our own EHR launch."""
        return f"{self.issuer}/open-app"

    @property
    def introspection_endpoint(self) -> str:
        """RFC 7662."""
        return f"{self.issuer}/introspect"

    @property
    def revocation_endpoint(self) -> str:
        """RFC 7009."""
        return f"{self.issuer}/revoke"

    @property
    def registration_endpoint(self) -> str:
        """RFC 7591."""
        return f"{self.issuer}/register"

    @property
    def pushing_endpoint(self) -> str:
        """RFC 9126."""
        return f"{self.issuer}/par"

    @property
    def passkey_script(self) -> str:
        """The script of the pages that ask for a passkey."""
        return f"{self.issuer}/passkeys.js"

    @property
    def least_acr(self) -> str:
        """What every sign-in must reach."""
        return TWO_FACTORS if self.second_factor == "required" else PASSWORD_ALONE

    @property
    def origin(self) -> str:
        """Where our pages are (RFC 6454): passkeys are bound to it."""
        parts = urlsplit(self.issuer)
        usual = parts.port in (None, {"https": 443, "http": 80}[parts.scheme])
        return f"{parts.scheme}://{parts.hostname}{'' if usual else f':{parts.port}'}"

    @property
    def host(self) -> str:
        """The name of our pages' host, which passkeys call the relying party."""
        return urlsplit(self.issuer).hostname or ""

    @property
    def has_passkeys(self) -> bool:
        """Whether browsers make passkeys for our host: it must be a name, not an address."""
        return not re.fullmatch(r"[0-9.]+|.*:.*", self.host)

    @property
    def secure(self) -> bool:
        """Whether the endpoints are on https, so that cookies can be ``Secure``."""
        return self.issuer.startswith("https:")

    @property
    def style_url(self) -> str:
        """SMART "smart_style_url"."""
        return f"{self.issuer}/smart-style.json"


def _require_safe_url(name: str, url: str) -> None:
    parts = urlsplit(url)
    if url.endswith("/") or parts.query or parts.fragment or not parts.hostname:
        raise ConfigurationError(f"{name} must be an absolute URL without trailing slash or query")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigurationError(f"{name} must be https (plain http only on loopback)")


def _require_at_most(name: str, lifetime: timedelta, minutes: int) -> None:
    if not timedelta(0) < lifetime <= timedelta(minutes=minutes):
        raise ConfigurationError(f"{name} must be more than 0 and at most {minutes} minutes")
