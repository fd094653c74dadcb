"""The browser that a person uses: its session cookie, and CSRF tokens bound to it.

The cookie is a random identifier; signing in always changes it (session fixation, CWE-384).  On
https its name begins with ``__Host-``, so that no neighbouring host can set it (RFC 6265bis,
4.1.3.2).  A CSRF token is an HMAC of the page's handle under the cookie, so that it fits one page
of one browser only.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from smart_auth.errors import PageError
from smart_auth.exchange import Pairs

_IDENTIFIER = re.compile(r"[A-Za-z0-9_\-]{43}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """One browser, whoever sits before it.

    Attributes:
        cookie: The browser's identifier.
        more: Headers that the answer must carry: a new cookie.
    """

    cookie: str = field(repr=False)
    more: Pairs = field(default=(), repr=False)


def cookie_name(secure: bool) -> str:
    """Return the name of the session cookie."""
    return "__Host-consentry-session" if secure else "consentry-session"


def read_cookie(cookies: Mapping[str, str], secure: bool) -> str | None:
    """Return the browser's identifier, or None when it has none of our form."""
    value = cookies.get(cookie_name(secure), "")
    return value if _IDENTIFIER.fullmatch(value) else None


def require_cookie(cookies: Mapping[str, str], secure: bool) -> Visitor:
    """Return the browser that has our cookie: it sends a form of a page that we showed to it.

    Raises:
        PageError: It has none.
    """
    cookie = read_cookie(cookies, secure)
    if cookie is None:
        raise PageError("This browser does not keep our cookie.", status=403)
    return Visitor(cookie)


def with_cookie(identifier: str, secure: bool) -> Visitor:
    """Return the browser that takes a new identifier, which it keeps until it is closed."""
    flags = "; Secure" if secure else ""
    value = f"{cookie_name(secure)}={identifier}; Path=/; HttpOnly; SameSite=Lax{flags}"
    return Visitor(identifier, (("Set-Cookie", value),))


def csrf_token(identifier: str, handle: str) -> str:
    """Return the token for one page in one browser."""
    mac = hmac.new(identifier.encode(), f"csrf\n{handle}".encode(), sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def require_csrf_token(identifier: str, handle: str, token: str) -> None:
    """Return when ``token`` is the one of this page in this browser.

    Raises:
        PageError: It is not: the form did not come from a page that we showed to this browser.
    """
    expected = csrf_token(identifier, handle)
    if not hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace")):
        raise PageError("This form does not belong to this browser.", status=403)
