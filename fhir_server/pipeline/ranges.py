"""Which part of a document is wanted (RFC 9110, 14): one range of bytes, or all of it.

What asks for several ranges, for another unit, or for a part of another version (``If-Range``) gets the whole, as RFC 9110
allows.  ``If-Range`` with a date never holds: what was written twice within a second has one date.
"""

import re
from collections.abc import Mapping

from fhir_server.errors import RangeError

_ONE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


def wanted(headers: Mapping[str, str], size: int, tag: str) -> tuple[int, int] | None:
    """First byte, and the one behind the last, of the part that is wanted of ``size`` bytes; None for all.

    Args:
        tag: The entity tag of what there is.

    Raises:
        RangeError: The document has no such part.
    """
    found = _ONE.fullmatch(headers.get("range", ""))
    if (
        found is None
        or found.group(1, 2) == ("", "")
        or headers.get("if-range", tag).strip() != tag
    ):
        return None
    first, last = found[1], found[2]
    if first and last and int(last) < int(first):
        return None  # not a valid range: ignored
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or start >= stop:
        raise _unsatisfiable(size)
    return start, stop


def _unsatisfiable(size: int) -> RangeError:
    error = RangeError(f"there are {size} bytes")
    error.size = size
    return error
