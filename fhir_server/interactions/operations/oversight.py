"""Who may know who has seen a patient's record, and why: the patient, her proxy, and the privacy officer.

A proxy is a related person from whom the patient withholds nothing, so that the log tells her of nothing that is hidden
from her.  A privacy officer asks for the custodian, to oversee its operations (HOPERAT).
"""

from consent_engine import Basis, Kind
from fhir_server.errors import NotFoundError, ScopeError
from fhir_server.forms import InScope, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.search.finding import Budget, Finder, Reach
from fhir_server.interactions.stages import located
from fhir_server.search.joins import LOG, Wanted
from fhir_server.search.plan import Group, compartment

_OVERSIGHT = "HOPERAT"


async def patient_of(in_scope: InScope, desk: Desk, named: str = "") -> Record:
    """The Patient that an operation is performed on, or another of an id, under the scopes to read Patients.

    Raises:
        NotFoundError: Missing, deleted or not permitted: the caller can not tell which.
    """
    caller = in_scope.asked.requester.caller
    version = await desk.reader.find("Patient", named or in_scope.asked.interaction.id_)
    living = () if version is None or version.deleted else (version,)
    covering = caller.scopes.covers("Patient", "r") if caller else ()
    records = await desk.gate.admit(located(in_scope, living, covering=covering)) if living else ()
    if not records:
        raise NotFoundError(MISSING)
    return records[0]


async def oversees(in_scope: InScope, desk: Desk, patient: Record) -> bool:
    """Whether the caller is this patient, a proxy of hers, or a privacy officer."""
    requester = in_scope.asked.requester
    if all(d.basis is Basis.SELF for d in patient.decisions):
        return True
    question = await desk.gate.question("access")
    if requester.purpose == _OVERSIGHT:
        return desk.tools.custodian in question.actors
    caller = requester.caller
    if caller is None or not (caller.user or "").startswith("RelatedPerson/"):
        return False
    return (await desk.gate.verdict(patient.reference, question)).kind is Kind.PERMIT


async def overseen(in_scope: InScope, desk: Desk) -> Record:
    """The Patient, for whom may know who has seen her record.

    Raises:
        NotFoundError: Missing or not permitted.
        ScopeError: The caller sees the patient, but is none of those.
    """
    patient = await patient_of(in_scope, desk)
    if not await oversees(in_scope, desk, patient):
        raise ScopeError(
            "this is for the patient, for whoever acts for her in everything, and for the custodian's privacy officer"
            " (purpose HOPERAT)"
        )
    return patient


class _Of:
    """Holds for records of one patient and of nobody else."""

    rows: frozenset[bytes] | None = None

    def __init__(self, patient: str, groups: tuple[Group, ...]) -> None:
        self.patient = patient
        self.groups = groups

    async def holds(self, record: Record) -> bool:
        return record.patients == (self.patient,)


def log_finder(in_scope: InScope, desk: Desk, patient: Record, wanted: Wanted) -> Finder:
    """Finds the AuditEvents about a patient.

    Raises:
        ScopeError: The token's scopes do not let search AuditEvents.
    """
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    blind = desk.reader.blind
    group = compartment(LOG, blind.patient(patient.reference), blind)
    covering = reach.require(LOG, in_scope.asked.interaction.operation)
    return Finder(reach, wanted, covering, (_Of(patient.reference, (group,)),))
