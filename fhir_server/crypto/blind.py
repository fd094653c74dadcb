"""Keyed hashes: what the database may see of ids, patients and search values.

``token = HMAC-SHA-256(K, parts)[:12]``, every part length-prefixed, the tenant, type and parameter name inside.  Equal
values of two parameters, types or tenants get unrelated tokens; without the key nothing can be guessed and tried.
"""

import hmac
from functools import lru_cache

from fhir_server.crypto.scopes import PatientOnly

Token = bytes
_CACHED = 32_768
_KEY = 32


class BlindIndex:
    """Makes the tokens of one tenant from its index key: the first 32 bytes of what is kept sealed in the store."""

    def __init__(self, key: bytes, tenant: str, patient_only: PatientOnly | None = None) -> None:
        key = key[:_KEY]
        self.patient_only = (patient_only or PatientOnly()).holds
        self._row_key = hmac.digest(key, b"row|" + tenant.encode(), "sha256")
        self._patient_key = hmac.digest(key, b"patient|" + tenant.encode(), "sha256")
        self._erased_key = hmac.digest(key, b"erased|" + tenant.encode(), "sha256")
        self._note_key = hmac.digest(key, b"note|" + tenant.encode(), "sha256")
        self._token_key = hmac.digest(key, b"token|" + tenant.encode(), "sha256")
        self.token = lru_cache(_CACHED)(self._token)
        self.patient = lru_cache(_CACHED)(self._patient)

    def row(self, type_: str, id_: str) -> bytes:
        """The 16-byte row key of ``type_/id_``: a client may choose a record number as id."""
        return hmac.digest(self._row_key, f"{type_}/{id_}".encode(), "sha256")[:16]

    def erased(self, key_id: bytes) -> str:
        """What stands for a destroyed data key in the list of erasures: 32 hexadecimal digits."""
        return hmac.digest(self._erased_key, key_id, "sha256")[:16].hex()

    def authenticate(self, content: bytes) -> bytes:
        """The 32 bytes that prove who wrote what stands in the database in clear."""
        return hmac.digest(self._note_key, content, "sha256")

    def forget(self) -> None:
        """Keep no value in memory of which a token was made."""
        self.token.cache_clear()
        self.patient.cache_clear()

    def _patient(self, reference: str) -> bytes:
        """The 16-byte token of a patient, by its reference (``Patient/1``)."""
        return hmac.digest(self._patient_key, reference.encode(), "sha256")[:16]

    def _token(self, type_: str, parameter: str, kind: str, value: str) -> Token:
        """The 12-byte token of one search value."""
        parts = "".join(f"{len(p)}:{p}" for p in (type_, parameter, kind, value))
        return hmac.digest(self._token_key, parts.encode("utf-8", "surrogatepass"), "sha256")[:12]
