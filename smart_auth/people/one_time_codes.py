"""Codes of a code app: TOTP (RFC 6238) with SHA-1, 6 digits and steps of 30 seconds, which is all
that the common apps know; the only importer of pyotp.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime

import pyotp

from smart_auth.tokens.issuing import RandomBytes

STEP_SECONDS = 30
_SECRET_BYTES = 20  # as long as the output of SHA-1 (RFC 4226, 4)
_DRIFT = 1  # steps that the person's clock may be off (RFC 6238, 5.2)


class WrongCodeError(Exception):
    """The code is not right, or was used before; nothing else is said."""


def new_secret(random_bytes: RandomBytes) -> str:
    """Return a secret as base32 without padding."""
    return base64.b32encode(random_bytes(_SECRET_BYTES)).decode()


def setup_text(secret: str, username: str, server: str) -> str:
    """Return the ``otpauth:`` URL that a code app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=server)


def code_of(secret: str, at: datetime) -> str:
    """Return the code that an app shows at a moment."""
    return pyotp.TOTP(secret).at(at)


def step_of(code: str, secret: str, now: datetime) -> int:
    """Return the time step that a code belongs to: this one, or one before or after.

    Whoever accepts a code remembers its step: no code is accepted twice (RFC 6238, 5.2).

    Raises:
        WrongCodeError: It belongs to none of them.
    """
    given = "".join(code.split())[:16].encode("utf-8", "replace")
    totp, current = pyotp.TOTP(secret), int(now.timestamp()) // STEP_SECONDS
    steps = range(current - _DRIFT, current + _DRIFT + 1)
    fitting = [n for n in steps if hmac.compare_digest(totp.generate_otp(n).encode(), given)]
    if not fitting:
        raise WrongCodeError
    return fitting[0]
