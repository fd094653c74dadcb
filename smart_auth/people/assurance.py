"""How surely a person is who signed in: ``acr`` (OpenID Connect Core 1.0, 2) and ``amr`` (RFC 8176).

Two levels: a password alone, named as SAML has named it for twenty years, and two factors, named
as REFEDS has (docs/adr/0024 says why these).
"""

from __future__ import annotations

from smart_auth.errors import RedirectError

PASSWORD_ALONE = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105
TWO_FACTORS = "https://refeds.org/profile/mfa"
PASSKEY_AMR = ("pop", "user", "mfa")  # a key was proved, by somebody who was there
LEVELS = (PASSWORD_ALONE, TWO_FACTORS)


def acr_wanted(values: str) -> str | None:
    """Return the first of ``acr_values`` that we know, or None when nothing is asked.

    Raises:
        RedirectError: Something is asked and none of it is ours: the app must not believe that it
            got what it needs (OpenID Connect Unmet Authentication Requirements 1.0).
    """
    asked = values.split()
    known = [each for each in asked if each in LEVELS]
    if asked and not known:
        raise RedirectError("unmet_authentication_requirements", "acr_values are not ours")
    return known[0] if known else None


def reaches(held: str, wanted: str) -> bool:
    """Tell whether a sign-in of level ``held`` is enough where ``wanted``, one of ours, is asked."""
    return held in LEVELS and LEVELS.index(held) >= LEVELS.index(wanted)
