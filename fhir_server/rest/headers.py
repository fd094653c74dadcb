"""The headers of a request: what comes twice is one list (RFC 9110, 5.3), so that neither of two is chosen."""

from fastapi import Request


def headers_of(request: Request) -> dict[str, str]:
    """Headers by their names in lower case."""
    raw = request.headers.raw
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(headers) == len(raw):
        return headers
    return {name: ", ".join(request.headers.getlist(name)) for name in headers}
