"""What comes with a permit: the obligations of break-glass and of labelled records.

Implements the obligations of consent.md, Step 8, and the pure part of Step 10: the notice that
accompanies substance use records (42 CFR 2.32) and the refrain codes of v3-ActCode that are passed
on.  Not here: removing elements, which is the business of the server.
"""

from datetime import timedelta

from . import terms
from .record import Record

BREAK_GLASS_LIFETIME = timedelta(hours=4)
BREAK_GLASS_OBLIGATIONS = (
    "reason-text-required",
    "audit-purpose-of-event:BTG",
    "notify:patient",
    "notify:privacy-officer",
    "expires-within:PT4H",
)
SUBSTANCE_USE_OBLIGATIONS = ("notice:42-CFR-2.32", "copy-of-consent:42-CFR-2.32")
_REFRAIN = "refrain:"


def label_obligations(record: Record) -> tuple[str, ...]:
    """What the labels of a record oblige its recipient to.

    A record whose labels cannot be read may be a substance use record, so it carries the notice.
    """
    labels = record.labels
    if labels.readable and not labels.all:
        return ()
    substance = not labels.readable or not labels.sensitive.isdisjoint(terms.SUBSTANCE_USE)
    refrains = sorted(
        code
        for system, code in labels.all
        if system == terms.ACT_CODE and code in terms.REFRAIN_CODES
    )
    notices = SUBSTANCE_USE_OBLIGATIONS if substance else ()
    return (*notices, *(f"{_REFRAIN}{code}" for code in refrains))
