"""The Consents of one patient as one policy, and its verdicts.

Implements consent.md, Step 9 (every patient of a record has to permit); what one policy says is in ``verdict.py``.
Evaluation is partial: ``Policy.narrow`` answers what does not look at the record, ``Verdict.decide`` the rest.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from . import terms
from .consent import CompiledConsent, compile_consent
from .decision import AccessRequest, Basis, Coding, Config, Decision, Kind, literal
from .record import Graph
from .rulings import rule_on
from .verdict import NO_GRAPH, Case, Verdict, verdict

_BREAK_GLASS = Coding(terms.ACT_REASON, terms.BREAK_GLASS)
_MEMO_SIZE = 1024  # distinct requesters remembered per patient
_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decides about the records of one subject, compiled.

    Attributes:
        subject: "Patient/1"; None for records that belong to no patient.
        config: The deployment's policy.
        mandatory: Mandated admin policies.
        consents: The patient's Consents and the other admin policies.
        boundaries: Every instant at which an answer may change, ascending.
    """

    subject: str | None
    config: Config
    mandatory: tuple[CompiledConsent, ...]
    consents: tuple[CompiledConsent, ...]
    boundaries: tuple[datetime, ...]
    _memo: dict[_Key, Verdict] = field(default_factory=dict, compare=False, repr=False)

    def narrow(self, request: AccessRequest) -> Verdict:
        """Answer the request as far as no record is needed.

        Between two boundaries the answer does not depend on the time, so verdicts are remembered;
        not those of a broken glass, which expire by the clock.
        """
        window = bisect_right(self.boundaries, request.time)
        purpose = request.purpose
        key = (
            window,
            request.actors,
            request.identifiers,
            purpose and purpose.system,
            purpose and purpose.code,
            request.action,
            request.custodian,
            request.custodian_identifiers,
        )
        remembered = self._memo.get(key)
        if remembered is not None:
            return remembered
        case = self._case(request, window)
        answer = self._verdict(request, case)
        if not case.breaks_glass:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = answer
        return answer

    def _verdict(self, request: AccessRequest, case: Case) -> Verdict:
        mandatory = tuple(rule_on(each, request) for each in self.mandatory)
        ordinary = tuple(rule_on(each, request) for each in self.consents)
        return verdict(mandatory, ordinary, case)

    def _case(self, request: AccessRequest, window: int) -> Case:
        config = self.config
        breaks = request.purpose == _BREAK_GLASS
        return Case(
            Kind.PERMIT if config.default == Kind.PERMIT else Kind.DENY,
            self.subject is not None and self.subject in request.actors,
            breaks and not config.break_glass.isdisjoint(request.actors),
            request.time,
            self.boundaries[window] if window < len(self.boundaries) else None,
            config,
        )


class Compiler:
    """Makes the policies of a deployment; what holds for everybody is compiled once, not for each patient."""

    def __init__(self, config: Config) -> None:
        """Compile the admin policies that name no patient."""
        self.config = config
        self._shared = {
            id(each): compile_consent(each, None, config, is_admin=True)
            for each in (*config.mandatory_policies, *config.admin_policies)
            if "patient" not in each
        }

    def policy(
        self, consents: Sequence[Mapping[str, object]], subject: str | None = None
    ) -> Policy:
        """Compile the Consents of one subject with the admin policies of the deployment.

        ``consents`` are those selected for the subject's reference; one of another patient is ignored,
        one that cannot be interpreted denies.  Never raises for the content of a Consent.
        """
        config = self.config
        bare = None if subject is None else literal(subject, config.base)
        own = [compile_consent(each, bare, config) for each in consents]
        admin = [self._admin(each, bare) for each in config.admin_policies]
        mandatory = tuple(self._admin(each, bare) for each in config.mandatory_policies)
        everything = (*mandatory, *own, *admin)
        boundaries = {instant for each in everything for instant in each.boundaries}
        return Policy(bare, config, mandatory, (*own, *admin), tuple(sorted(boundaries)))

    def _admin(self, policy: Mapping[str, object], subject: str | None) -> CompiledConsent:
        shared = self._shared.get(id(policy))  # ``config`` keeps it, so the id is its own
        if shared is not None:
            return shared
        return compile_consent(policy, subject, self.config, is_admin=True)


def compile_policy(
    consents: Sequence[Mapping[str, object]], config: Config, subject: str | None = None
) -> Policy:
    """Compile one policy; see ``Compiler.policy``."""
    return Compiler(config).policy(consents, subject)


def decide(
    subjects: Iterable[str],
    consents: Sequence[Mapping[str, object]],
    request: AccessRequest,
    resource: Mapping[str, object],
    config: Config,
    graph: Graph = NO_GRAPH,
) -> Decision:
    """Decide about a record of all these subjects (Step 9: each has to permit).

    ``consents`` are those of all subjects together.  No subject means that only admin policies and
    the default decide.
    """
    verdicts = narrow_subjects(subjects, consents, request, config)
    return join_subjects([verdict.decide(resource, graph) for verdict in verdicts])


def narrow_subjects(
    subjects: Iterable[str],
    consents: Sequence[Mapping[str, object]],
    request: AccessRequest,
    config: Config,
) -> tuple[Verdict, ...]:
    """One verdict for each subject, or a single one if a record belongs to no patient."""
    named: list[str | None] = list(dict.fromkeys(literal(each, config.base) for each in subjects))
    verdicts = []
    for subject in named or [None]:
        others = frozenset(other for other in named if other != subject)
        own = [each for each in consents if _patient(each, config.base) not in others]
        verdicts.append(compile_policy(own, config, subject).narrow(request))
    return tuple(verdicts)


def join_subjects(decisions: Sequence[Decision]) -> Decision:
    """The decision about a record from those of each of its subjects (Step 9).

    Raises:
        ValueError: There is no decision, so nothing may be concluded.
    """
    if not decisions:
        raise ValueError("a record needs at least one decision")
    denied = [each for each in decisions if each.decision is not Kind.PERMIT]
    speaking = denied or list(decisions)
    # A broken glass must not hide behind another patient's consent.
    first = next((d for d in speaking if d.basis is Basis.BREAK_GLASS), speaking[0])
    ends = [each.valid_until for each in decisions if each.valid_until is not None]
    return Decision(
        first.decision,
        first.basis,
        tuple(dict.fromkeys(by for each in speaking for by in each.decided_by)),
        tuple(dict.fromkeys(duty for each in speaking for duty in each.obligations)),
        min(ends, default=None),
        tuple(dict.fromkeys(line for each in decisions for line in each.explanation)),
    )


def _patient(consent: object, base: str) -> str | None:
    patient = consent.get("patient") if isinstance(consent, dict) else None
    reference = patient.get("reference") if isinstance(patient, dict) else None
    return literal(reference, base) if isinstance(reference, str) else None
