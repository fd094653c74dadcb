"""The commitment to one AuditEvent: the only thing about it that the log holds.

``C = HMAC-SHA-256(k, "fhir-audit/v1" | 0x00 | event)`` with a fresh ``k`` of exactly 32 random
bytes for every event.  The label carries the version.  Whoever has neither event nor ``k`` learns
nothing from ``C``, and destroying both leaves a leaf that nobody can link (GDPR, article 17).
"""

import hmac

from anchoring.errors import CommitmentError

KEY_BYTES = 32
COMMITMENT_BYTES = 32
_LABEL = b"fhir-audit/v1\x00"


def commit(event: bytes, k: bytes) -> bytes:
    """Commit to the stored bytes of an AuditEvent; 32 bytes.

    Args:
        event: The AuditEvent exactly as it is stored and served.
        k: 32 random bytes, made for this event alone.

    Raises:
        CommitmentError: ``k`` has another length.  HMAC would pad or hash it, and two keys could
            then open one commitment.
    """
    if len(k) != KEY_BYTES:
        raise CommitmentError(f"the commitment key has {len(k)} bytes, not {KEY_BYTES}")
    return hmac.digest(k, _LABEL + event, "sha256")


def check_commitment(commitment: bytes, event: bytes, k: bytes) -> None:
    """Prove that ``commitment`` was made from this event with this key; returning means proved.

    Raises:
        CommitmentError: It was not: the event, the key or the commitment has been changed.
    """
    if not hmac.compare_digest(commitment, commit(event, k)):
        raise CommitmentError("event and key do not give the commitment")
