"""What accompanies a disclosure: the notice of 42 CFR 2.32, the Consents behind it, and refrain codes (consent.md, Step 10).

Headers tell it for every kind of answer; a searchset and the entries of a batch say it once more as an OperationOutcome.
ADR 0038.  Refrain codes stand in ``meta.security`` as well, where they were set.
"""

from collections.abc import Sequence

from consent_engine import Basis
from fhir_server.errors import Issue
from fhir_server.forms import Pairs, Record

NOTICE_HEADER = "Disclosure-Notice"
NOTICE = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."  # 2.32(a)(2)
_REFRAIN_HEADER = "Disclosure-Refrain"
_NOTICE_DUTY = "notice:42-CFR-2.32"
_REFRAIN_DUTY = "refrain:"
_MOST_NAMED = 20  # of Consents, so that headers stay short


def accompanying(records: Sequence[Record], base: str) -> Pairs:
    """The headers that go with the disclosure of these records; none where nothing is to be told."""
    duties = {duty for record in records for d in record.decisions for duty in d.obligations}
    refrained = sorted(
        duty.removeprefix(_REFRAIN_DUTY) for duty in duties if duty.startswith(_REFRAIN_DUTY)
    )
    found: Pairs = ((_REFRAIN_HEADER, ", ".join(refrained)),) if refrained else ()
    if _NOTICE_DUTY not in duties:
        return found
    links = ", ".join(f'<{base}/{named}>; rel="describedby"' for named in _consents(records))
    found = (*found, (NOTICE_HEADER, NOTICE))
    return (*found, ("Link", links)) if links else found


def notices(records: Sequence[Record]) -> tuple[Issue, ...]:
    """The same notice for a Bundle."""
    if not any(_owes_notice(record) for record in records):
        return ()
    return (notice(_consents(records)),)


def notice(consents: Sequence[str] = ()) -> Issue:
    """The notice, with the Consents by which the records were disclosed."""
    by = f" Disclosed under {', '.join(consents)}." if consents else ""
    return Issue("informational", f"{NOTICE}{by}", severity="information")


def _owes_notice(record: Record) -> bool:
    return any(_NOTICE_DUTY in decision.obligations for decision in record.decisions)


def _consents(records: Sequence[Record]) -> list[str]:
    """The patients' Consents by which records that carry the notice were disclosed, with their versions."""
    found = {
        f"{rule.consent}{f'/_history/{rule.version}' if rule.version else ''}": None
        for record in records
        if _owes_notice(record)
        for decision in record.decisions
        if decision.basis is Basis.CONSENT
        for rule in decision.decided_by
    }
    return list(found)[:_MOST_NAMED]
