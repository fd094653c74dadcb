"""The headers of a request: what comes twice is one list (RFC 9110, 5.3), so that neither of two is chosen."""

import secrets
from collections.abc import Mapping

from fastapi import Request

_TRACE_LENGTH = 64


def headers_of(request: Request) -> dict[str, str]:
    """Headers by their names in lower case."""
    raw = request.headers.raw
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(headers) == len(raw):
        return headers
    return {name: ", ".join(request.headers.getlist(name)) for name in headers}


def trace_of(headers: Mapping[str, str]) -> str:
    """The caller's ``X-Request-Id`` if it is plain, or a new one."""
    given = headers.get("x-request-id", "")
    plain = given.isascii() and given.replace("-", "").replace("_", "").isalnum()
    return given if plain and len(given) <= _TRACE_LENGTH else secrets.token_hex(16)
