"""Padding: tokens of nothing, which bring the number of a record's tokens to a multiple of 8, so that it tells less.

The records of one patient and type share them, as they share those of their subject, and so do those of a type that belong
to nobody.  A token that no other record has would be known for what it is; and it would cost a row, or a page of the index,
of its own.  Records of several patients, one of whom may be erased, have padding of their own.
"""

from fhir_server.crypto.blind import BlindIndex, Token
from fhir_server.store.protocol import SealedVersion

_MULTIPLE = 8
_ONE = 16  # bytes of a patient's token


def padding(blind: BlindIndex, version: SealedVersion, count: int) -> list[Token]:
    """What a record with ``count`` tokens has beside them: the same each time."""
    return _padding(blind, version, -count % _MULTIPLE)


def all_padding(blind: BlindIndex, version: SealedVersion) -> list[Token]:
    """What a record may have, whatever the number of its tokens, and though an erasure has left it to one patient."""
    shared = _padding(blind, version, _MULTIPLE - 1)
    return shared + _of(blind, version.type_, version.row, _MULTIPLE - 1)


def sharing(version: SealedVersion | None) -> bytes | None:
    """With whom a version shares its padding: a patient, nobody's records, or only itself; None if it has none."""
    if version is None or version.deleted:
        return None
    return version.patients if len(version.patients) <= _ONE else version.row


def _padding(blind: BlindIndex, version: SealedVersion, missing: int) -> list[Token]:
    return _of(blind, version.type_, sharing(version) or b"", missing)


def _of(blind: BlindIndex, type_: str, whose: bytes, missing: int) -> list[Token]:
    return [blind.token(type_, "_padding", whose.hex(), str(n)) for n in range(missing)]
