"""Strict JSON: exactly the members that are expected, each of exactly the expected type.

Bytes are written as base64url without padding (RFC 4648, section 5) or, where Ethereum's tools
expect it, as ``0x`` and lower-case hexadecimal digits.  One spelling for each value, so that every
changed character of a receipt is either refused here or changes what is verified.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass

from anchoring.errors import MalformedReceiptError

_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")
_MAX_NUMBER = 2**64 - 1
_MAX_BRACKETS = 64  # what we write has a handful; nested deep, they could overrun the C stack


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one JSON object, whose names were checked to be exactly those expected."""

    named: dict[str, object]

    def text(self, name: str) -> str:
        """Give a string."""
        value = self.named[name]
        if not isinstance(value, str):
            raise MalformedReceiptError(f"{name} is not a string")
        return value

    def number(self, name: str) -> int:
        """Give an integer from 0 to 2**64 - 1."""
        value = self.named[name]
        if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
            raise MalformedReceiptError(f"{name} is not an integer from 0 to 2**64 - 1")
        return value

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """Give an array of strings."""
        value = self.named[name]
        if not isinstance(value, list) or len(value) > most:
            raise MalformedReceiptError(f"{name} is not an array of at most {most}")
        if not all(isinstance(item, str) for item in value):
            raise MalformedReceiptError(f"{name} holds something else than strings")
        return tuple(value)

    def base64(self, name: str, length: int | None = None) -> bytes:
        """Give bytes that are written in base64url, of this length if one is given."""
        return read_base64(self.text(name), name, length)

    def hex(self, name: str, length: int | None = None) -> bytes:
        """Give bytes that are written in hexadecimal, of this length if one is given."""
        return read_hex(self.text(name), name, length)

    def members(self, name: str, names: frozenset[str]) -> "Members":
        """Give an object with exactly these members."""
        return exactly(self.named[name], names, name)


def parse_object(encoded: bytes, names: frozenset[str]) -> Members:
    """Read one JSON object with exactly these members, each once.

    Raises:
        MalformedReceiptError: It is anything else, or has more than 64 brackets.
    """
    if encoded.count(b"[") + encoded.count(b"{") > _MAX_BRACKETS:
        raise MalformedReceiptError("more arrays and objects than any document has")
    try:
        decoded = json.loads(
            encoded.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise MalformedReceiptError("not JSON") from error
    return exactly(decoded, names, "the document")


def exactly(value: object, names: frozenset[str], what: str) -> Members:
    """Give the members of an object, if they are exactly these.

    Raises:
        MalformedReceiptError: Not an object, or a member is missing or unknown.
    """
    if not isinstance(value, dict):
        raise MalformedReceiptError(f"{what} is not an object")
    if missing := sorted(names - value.keys()):
        raise MalformedReceiptError(f"{what} lacks {missing[0]}")
    if value.keys() - names:
        raise MalformedReceiptError(f"{what} has a member that is not known")
    return Members(value)


def write_base64(value: bytes) -> str:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def read_base64(text: str, what: str, length: int | None = None) -> bytes:
    """Read base64url without padding.

    Raises:
        MalformedReceiptError: Not that, another spelling of the same bytes, or another length.
    """
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedReceiptError(f"{what} is not base64url") from error
    if write_base64(decoded) != text:
        raise MalformedReceiptError(f"{what} is not canonical base64url")
    return _of_length(decoded, what, length)


def read_hex(text: str, what: str, length: int | None = None) -> bytes:
    """Read ``0x`` and lower-case hexadecimal digits.

    Raises:
        MalformedReceiptError: Not that, or another length.
    """
    if not _HEX.fullmatch(text):
        raise MalformedReceiptError(f"{what} is not 0x and lower-case hexadecimal digits")
    return _of_length(bytes.fromhex(text[2:]), what, length)


def write_hex(value: bytes) -> str:
    """Write ``0x`` and lower-case hexadecimal digits."""
    return "0x" + value.hex()


def _of_length(value: bytes, what: str, length: int | None) -> bytes:
    if length is not None and len(value) != length:
        raise MalformedReceiptError(f"{what} has {len(value)} bytes, not {length}")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedReceiptError("a member is given twice")
    return members


def _no_constant(name: str) -> object:
    raise MalformedReceiptError(f"{name} is not JSON")
