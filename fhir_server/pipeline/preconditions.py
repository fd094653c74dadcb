"""What headers demand and prefer: ``If-Match``, ``If-None-Match``, ``If-Modified-Since``, ``Prefer``.

R4 http.html, 3.1.0.1.9, 3.1.0.3 and 3.1.0.5.1; RFC 9110, 13; RFC 7240.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

from fhir_server.errors import BadRequestError
from fhir_server.forms import Preconditions, Tags

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_NAMES = frozenset({"if-match", "if-none-match", "if-modified-since"})
_NONE = Preconditions()


def preconditions(headers: Mapping[str, str]) -> Preconditions:
    """What the headers of a request demand.

    Raises:
        BadRequestError: ``If-Match`` or ``If-None-Match`` holds no entity tags.
    """
    if _NAMES.isdisjoint(headers):
        return _NONE
    return Preconditions(
        _tags(headers, "if-match", bare=False),
        _tags(headers, "if-none-match", bare=True),
        _seconds(headers.get("if-modified-since")),
    )


def prefer(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The preferences that have a value."""
    text = headers.get("prefer")
    if not text:
        return {}
    parts = (part.partition("=") for part in re.split(r"[,;]", text))
    return {name.strip().lower(): value.strip(' "') for name, _, value in parts if value}


def _tags(headers: Mapping[str, str], name: str, *, bare: bool) -> Tags | None:
    """The tags of a header; ``bare`` takes a version without quotes as well, as fhirpy sends it."""
    text = headers.get(name)
    if text is None:
        return None
    if text.strip() == "*":
        return Tags(any_=True)
    found = [part.strip() for part in text.split(",")]
    named = [match[1] for part in found if (match := _TAG.fullmatch(part))]
    if len(named) < len(found) and bare and all(part.isalnum() for part in found):
        named = found
    if len(named) < len(found):
        raise BadRequestError(f'{name} must look like W/"1"')
    return Tags(frozenset(int(n) for n in named if n.isascii() and n.isdigit() and len(n) < 10))


def _seconds(text: str | None) -> int | None:
    """An HTTP date, or an instant as in a Bundle; what is none is as if it were not there (RFC 9110, 13.1.3)."""
    for read in (parsedate_to_datetime, datetime.fromisoformat) if text else ():
        with suppress(ValueError, OverflowError):
            return int(read(str(text)).timestamp())
    return None
