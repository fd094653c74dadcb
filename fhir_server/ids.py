"""Logical ids that the server gives to what it makes: UUIDs (RFC 9562), lower-case, as FHIR ids may be.

Resources get random ones (version 4), which tell nothing.  An AuditEvent says itself when it was recorded, so its id may,
too: it begins with the time (version 7), and so does the key of its row (``crypto/blind.py``): new ones lie together.
"""

import re
import secrets
import uuid

_TIME = 6  # bytes: milliseconds since 1970 UTC
_TIMED = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def random_id() -> str:
    """An id that tells nothing (version 4)."""
    return str(uuid.uuid4())


def timed_id(at: int) -> str:
    """An id that begins with a time in milliseconds since 1970 UTC (version 7)."""
    chance = bytearray(secrets.token_bytes(10))
    chance[0] = 0x70 | chance[0] & 0x0F
    chance[2] = 0x80 | chance[2] & 0x3F
    text = (at.to_bytes(_TIME, "big") + chance).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def time_of(id_: str) -> bytes:
    """The six bytes of time with which an id of version 7 begins; empty for any other."""
    return bytes.fromhex(id_[:8] + id_[9:13]) if _TIMED.fullmatch(id_) else b""
