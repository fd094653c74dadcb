"""Keyed hashes: what the database may see of ids, patients and search values.

``token = HMAC-SHA-256(K, parts)[:12]``, every part length-prefixed, the tenant, type and parameter name inside.  Equal
values of two parameters, types or tenants get unrelated tokens; without the key nothing can be guessed and tried.
"""

from collections.abc import Callable
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from fhir_server.crypto.scopes import PatientOnly
from fhir_server.ids import time_of

Token = bytes
_CACHED = 16_384
_ROWS = 4_096  # of records that are asked for again and again: their patient's, a chart's, an organization's
_KEY = 32
_ROW = 16


class BlindIndex:
    """Makes the tokens of one tenant from its index key: the first 32 bytes of what is kept sealed in the store."""

    def __init__(self, key: bytes, tenant: str, patient_only: PatientOnly | None = None) -> None:
        key = key[:_KEY]
        self.patient_only = (patient_only or PatientOnly()).holds
        derive = _keyed(key)
        self._of_row = _keyed(derive(b"row|" + tenant.encode()))
        self._of_patient = _keyed(derive(b"patient|" + tenant.encode()))
        self._of_erased = _keyed(derive(b"erased|" + tenant.encode()))
        self._of_note = _keyed(derive(b"note|" + tenant.encode()))
        self._of_token = _keyed(derive(b"token|" + tenant.encode()))
        self.token = lru_cache(_CACHED)(self._token)
        self.patient = lru_cache(_CACHED)(self._patient)
        self._known = lru_cache(_ROWS)(self._row)

    def row(self, type_: str, id_: str) -> bytes:
        """The 16-byte row key of ``type_/id_``: a client may choose a record number as id.

        That of an AuditEvent begins with the time in its id, if that has one: when it was written stands in clear anyhow,
        and keys that rise go where the last ones went, not each to a page of its own.
        """
        if type_ == "AuditEvent":  # most of them are asked for once, when they are written
            return (time_of(id_) + self._row(type_, id_))[:_ROW]
        return self._known(type_, id_)

    def erased(self, key_id: bytes) -> str:
        """What stands for a destroyed data key in the list of erasures: 32 hexadecimal digits."""
        return self._of_erased(key_id)[:16].hex()

    def destroyed(self, key_id: bytes, owner: bytes) -> bytes:
        """The 16 bytes that prove in the database that this server destroyed a data key, whose it was too."""
        return self._of_erased(key_id + owner)[:16]

    def buried(self, rid: int) -> bytes:
        """The 16 bytes that prove in the database that this server erased a record."""
        return self._of_erased(b"a record that is buried|%d" % rid)[:16]

    def authenticate(self, content: bytes) -> bytes:
        """The 32 bytes that prove who wrote what stands in the database in clear."""
        return self._of_note(content)

    def forget(self) -> None:
        """Keep no value in memory of which a token was made."""
        self.token.cache_clear()
        self.patient.cache_clear()
        self._known.cache_clear()

    def _row(self, type_: str, id_: str) -> bytes:
        return self._of_row(f"{type_}/{id_}".encode())[:_ROW]

    def _patient(self, reference: str) -> bytes:
        """The 16-byte token of a patient, by its reference (``Patient/1``)."""
        return self._of_patient(reference.encode())[:16]

    def _token(self, type_: str, parameter: str, kind: str, value: str) -> Token:
        """The 12-byte token of one search value."""
        parts = f"{len(type_)}:{type_}{len(parameter)}:{parameter}{len(kind)}:{kind}{len(value)}:{value}"
        return self._of_token(parts.encode("utf-8", "surrogatepass"))[:12]


def _keyed(key: bytes) -> Callable[[bytes], bytes]:
    """HMAC-SHA-256 under one key, which is taken in once: that is most of what a short text costs."""
    begun = HMAC(key, SHA256())

    def digest(content: bytes) -> bytes:
        hashing = begun.copy()
        hashing.update(content)
        return hashing.finalize()

    return digest
