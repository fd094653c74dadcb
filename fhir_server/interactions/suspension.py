"""Disclosures that an agency has asked not to be told of for a while (45 CFR 164.528(a)(2)).

The AuditEvent of such a disclosure has an ``entity.detail`` of type ``accounting-suspended-until``: a date, the last day.
"""

from datetime import UTC, datetime

from fhir_server.forms import Json

SUSPENDED_UNTIL = "accounting-suspended-until"


def is_suspended(event: Json, now: datetime) -> bool:
    """Whether an AuditEvent is not to be told to the patient yet; a date that can not be read holds for ever."""
    today = now.astimezone(UTC).date().isoformat()
    return any(today[: len(until)] <= until for until in _ends(event))  # a month ends with it


def _ends(event: Json) -> list[str]:
    entities = event.get("entity")
    found = [e for e in entities if isinstance(e, dict)] if isinstance(entities, list) else []
    details = [d for e in found for d in e.get("detail") or () if isinstance(d, dict)]
    return [str(d.get("valueString"))[:10] for d in details if d.get("type") == SUSPENDED_UNTIL]
