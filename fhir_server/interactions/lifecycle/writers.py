"""Who may write a Consent (ADR 0039): the patient, a proxy, a privacy officer, or the custodian's own systems.

A scope says what an app may do, never for whom a patient speaks: an app with ``patient/*.cruds`` in a clinician's hand could
otherwise permit itself.  Who somebody is is asked before anything is looked up, so the refusal tells of no patient; whose
Consent it is comes with the decisions of the gate.
"""

from collections.abc import Sequence

from consent_engine import Basis, Decision
from fhir_server.errors import ScopeError
from fhir_server.forms import Json, Requester
from fhir_server.ownership import local
from smart_auth.tokens.bearer import Caller

_OVERSIGHT = "HOPERAT"
_BREAK_GLASS = "BTG"
_PROXIES = ("RelatedPerson/", "Person/")
_REFUSED = "a Consent is for the patient, a proxy or a privacy officer to write"


def administers(caller: Caller, custodian: str) -> bool:
    """Whether this is a system of the custodian, in which no person is signed in."""
    return caller.system or (caller.user is None and custodian in caller.organizations)


def is_privacy_officer(requester: Requester, custodian: str) -> bool:
    """Whether this is a person who oversees the custodian's operations, and asks for that purpose."""
    caller = requester.caller
    person = caller is not None and caller.user is not None and custodian in caller.organizations
    return person and requester.purpose == _OVERSIGHT


def require_consent_writer(requester: Requester, custodian: str) -> None:
    """Refuse whoever can be none of those who may write a Consent, whosever it is.

    Raises:
        ScopeError: A clinician, another organization's system, or anybody who breaks the glass.
    """
    caller = requester.caller
    if caller is None or requester.purpose == _BREAK_GLASS:
        raise ScopeError(_REFUSED)
    if administers(caller, custodian) or is_privacy_officer(requester, custodian):
        return
    require_signatory(requester)


def require_signatory(requester: Requester) -> None:
    """Refuse whoever is neither a patient nor can be somebody's proxy.

    Raises:
        ScopeError: So it is.
    """
    caller = requester.caller
    user = caller.user if caller is not None else None
    speaks = (user or "").startswith(("Patient/", *_PROXIES))
    if not speaks or requester.purpose == _BREAK_GLASS:
        raise ScopeError(_REFUSED)


def require_outsider(requester: Requester) -> None:
    """Refuse a patient or related person: access is asked for by providers and payers, not for the glass to be broken.

    Raises:
        ScopeError: So it is.
    """
    caller = requester.caller
    private = caller is None or (caller.user or "").startswith(("Patient/", *_PROXIES))
    if private or requester.purpose == _BREAK_GLASS:
        raise ScopeError("access is for providers, payers and their systems to ask for")


def require_custodian(requester: Requester, custodian: str) -> None:
    """Refuse whoever is neither a system of the custodian nor its privacy officer.

    Raises:
        ScopeError: So it is.
    """
    caller = requester.caller
    own = caller is not None and administers(caller, custodian)
    if requester.purpose == _BREAK_GLASS or not (own or is_privacy_officer(requester, custodian)):
        raise ScopeError("disclosures are for the custodian to record")


def require_own(
    requester: Requester,
    custodian: str,
    patient: str,
    patients: Sequence[str],
    decisions: Sequence[Decision],
) -> None:
    """Refuse a Consent of a patient for whom the requester, though let in, does not speak.

    A policy for everybody makes nobody a proxy: only a Consent of the patient does.

    Args:
        patient: Whose Consent it is; empty if it does not say so.
        decisions: Why the gate lets it be written, one for each of ``patients``.

    Raises:
        ScopeError: So it is.
    """
    caller = requester.caller
    if caller is not None and administers(caller, custodian):
        return
    if not is_privacy_officer(requester, custodian):
        require_spoken_for(requester, patient, patients, decisions)


def require_spoken_for(
    requester: Requester, patient: str, patients: Sequence[str], decisions: Sequence[Decision]
) -> None:
    """Refuse whoever is neither ``patient`` nor acts for her by a Consent of hers.

    Raises:
        ScopeError: So it is.
    """
    caller = requester.caller
    user = (caller.user if caller is not None else None) or ""
    wanted = Basis.CONSENT if user.startswith(_PROXIES) else Basis.SELF
    by_patient = dict(zip(patients, decisions, strict=True))
    decision = by_patient.get(patient)
    if decision is None or decision.basis is not wanted:
        raise ScopeError(_REFUSED)


def subject_of(resource: Json, base: str, element: str = "patient") -> str:
    """The patient of this server whom an element of a resource names, as ``Patient/id``; empty for none."""
    reference = resource.get(element)
    named = reference.get("reference") if isinstance(reference, dict) else None
    type_, id_ = local(named, base) if isinstance(named, str) else ("", "")
    return f"{type_}/{id_}" if type_ == "Patient" else ""
