"""``GET Patient/[id]/$accounting-of-disclosures``: what HIPAA has a patient told (45 CFR 164.528).

Six years back at most.  Left out is what the rule exempts: treatment, payment and health care operations; what the patient
has seen herself; what she has permitted by a Consent; what the custodian's own people have used.  So is what an agency has
had suspended (``interactions/suspension.py``).  Repeated disclosures to one recipient for one purpose are told once, with
their first and last date and their number.  As a Bundle of the first AuditEvent of each, or as CSV (``Accept: text/csv``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from consent_engine import purposes_covered
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.disclosures import Disclosure, disclosure, table
from fhir_server.interactions.operations.oversight import log_finder, overseen
from fhir_server.interactions.operations.years import six_years
from fhir_server.interactions.stages import document
from fhir_server.interactions.suspension import is_suspended
from fhir_server.media import CSV, form_of
from fhir_server.search.criteria import read_criterion
from fhir_server.search.joins import LOG, Wanted

_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_REPEATED = "https://consentry.example/StructureDefinition/repeated-disclosures"
_COLUMNS = ("first", "last", "number", "recipient", "description", "purpose")
_OUTSIDE_OPERATIONS = frozenset(
    {"DONAT", "GOV", "HDECD", "HLEGAL", "MILCDM"}
)  # 164.512, not 164.501
_EXEMPT = (
    frozenset(
        code
        for above in ("TREAT", "HPAYMT", "HOPERAT", "PATRQT")
        for _, code in purposes_covered(_ACT_REASON, above)
    )
    - _OUTSIDE_OPERATIONS
)
_BY_THE_PATIENT = frozenset({"self", "consent"})
_USES = frozenset({"R", "E"})


@dataclass(slots=True)
class _Line:
    """Disclosures to one recipient for one purpose; the first and the last by time."""

    record: Record
    first: Disclosure
    last: Disclosure
    number: int = 1


async def accounting_of_disclosures(in_scope: InScope, desk: Desk) -> Opened:
    """All of it, the first recipient first.

    Raises:
        NotFoundError: The patient is missing, deleted or not permitted.
        ScopeError: The caller is none of those whom this is for, or may not search AuditEvents.
        InvalidParameterError: A parameter can not be used.
        TooManyError: There are more AuditEvents than one request may open.
    """
    asked = Parameters(in_scope.asked.interaction.query, ("start", "end"))
    patient = await overseen(in_scope, desk)
    values = desk.tools.searchable.of(LOG)
    dates = [read_criterion(values, "date", bound) for bound in six_years(asked, in_scope)]
    finder = log_finder(in_scope, desk, patient, Wanted(LOG, tuple(dates)))
    now = in_scope.asked.received.now
    found = [
        (record, disclosure(record.value))
        async for record in finder.find(finder.selection)
        if not is_suspended(record.value, now)
    ]
    told = _told(found, desk.tools.custodian)
    records = [line.record for line in told]
    received = in_scope.asked.received
    if form_of(received.headers, received.query).media_type == CSV:
        kind = (("Content-Type", f"{CSV}; charset=utf-8"),)
        return document(in_scope, table(_COLUMNS, map(_row, told)), records, kind)
    return document(in_scope, _bundle(told, desk.tools.base), records)


def _told(found: Iterable[tuple[Record, Disclosure]], custodian: str) -> list[_Line]:
    lines: dict[tuple[str, str], _Line] = {}
    for record, told in sorted(found, key=lambda pair: pair[1].at):
        if not _is_accounted(record, told, custodian):
            continue
        line = lines.get((told.recipient, told.why))
        if line is None:
            lines[told.recipient, told.why] = _Line(record, told, told)
        else:
            line.last, line.number = told, line.number + 1
    return list(lines.values())


def _is_accounted(record: Record, told: Disclosure, custodian: str) -> bool:
    """Whether the rule has it told."""
    if told.refused or told.why in _EXEMPT:
        return False
    if not told.is_ours:  # a disclosure made elsewhere, on record here
        return True
    if _BY_THE_PATIENT.intersection(told.basis) or record.value.get("action") not in _USES:
        return False
    return bool(told.what) and not any(custodian in each for each in told.organizations)


def _row(line: _Line) -> tuple[str, ...]:
    first = line.first
    described = "; ".join(first.what) or first.description
    return (first.at, line.last.at, str(line.number), first.recipient, described, first.why)


def _bundle(told: list[_Line], base: str) -> bytes:
    entries = b",".join(_entry(line, base) for line in told)
    inside = b',"entry":[' + entries + b"]" if told else b""
    return b'{"resourceType":"Bundle","type":"collection"' + inside + b"}"


def _entry(line: _Line, base: str) -> bytes:
    about: dict[str, object] = {"fullUrl": f"{base}/{line.record.reference}"}
    if line.number > 1:
        repeated = [
            {"url": "number", "valueUnsignedInt": line.number},
            {"url": "last", "valueDateTime": line.last.at},
        ]
        about = {"extension": [{"url": _REPEATED, "extension": repeated}], **about}
    return orjson.dumps(about)[:-1] + b',"resource":' + line.record.text + b"}"
