"""How surely a person is who signed in: ``acr`` (OpenID Connect Core 1.0, 2) and ``amr`` (RFC 8176).

Two levels: a password alone, named as SAML has named it for twenty years, and two factors, named
as REFEDS has (docs/adr/0024 says why these).
"""

from __future__ import annotations

PASSWORD_ALONE = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105
TWO_FACTORS = "https://refeds.org/profile/mfa"
LEVELS = (PASSWORD_ALONE, TWO_FACTORS)


def reaches(held: str, wanted: str) -> bool:
    """Tell whether a sign-in of level ``held`` is enough where ``wanted`` is asked; both known."""
    return LEVELS.index(held) >= LEVELS.index(wanted)
