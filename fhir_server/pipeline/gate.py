"""The gate: the only place where a record is opened for a caller.

Consent first (``consent.py``); then the record is opened, decided by its content where it depends on it, with every resource
that it contains and every element that has a label of its own: what is denied of these is taken out (``withholding.py``).
Then the limits of the scopes: the patient in context, and granular parameters, of what is left.  What does not pass is as
if it were not there.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

import orjson

from consent_engine import AccessRequest, Basis, Decision, Kind, Verdict
from consent_engine.obligations import SUBSTANCE_USE_OBLIGATIONS
from fhir_server.errors import (
    InvalidParameterError,
    KeyDestroyedError,
    NotFoundError,
    ScopeError,
)
from fhir_server.forms import Asked, InScope, Json, Located, Record
from fhir_server.interactions.app_state import is_anothers
from fhir_server.interactions.lifecycle.kept import ACCESS_REQUEST, GLASS_REVIEW, OVERSEEN, code_of
from fhir_server.interactions.lifecycle.writers import is_privacy_officer
from fhir_server.interactions.suspension import is_suspended
from fhir_server.ownership import context_of
from fhir_server.pipeline.actors import Organizations, access_request, question
from fhir_server.pipeline.consent import consent, verdict_of
from fhir_server.pipeline.excision import tagged, without
from fhir_server.pipeline.policies import Policies
from fhir_server.pipeline.withholding import (
    Names,
    Part,
    Path,
    names_of,
    parts,
    paths_of,
    taken_out,
)
from fhir_server.resource_text import references
from fhir_server.search.match import Matcher
from fhir_server.search.query import parse_criteria
from fhir_server.search.values import Searchable
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.documents import split
from fhir_server.vault.vault import Reader
from smart_auth.authorization.scopes import Scope

_OVERSIGHT = "HOPERAT"
_NOTHING: frozenset[Path] = frozenset()
_NOT_PERMITTED = "there is no such resource, or you may not see it"


class ConsentGate:
    """A ``Gate`` for one request, over one snapshot."""

    def __init__(
        self,
        asked: Asked,
        reader: Reader,
        policies: Policies,
        organizations: Organizations,
        searchable: Searchable,
        administrative: frozenset[str],
        custodian: str,
        base: str,
        show_redaction: bool = True,
    ) -> None:
        self._asked = asked
        self._reader = reader
        self._policies = policies
        self._organizations = organizations
        self._searchable = searchable
        self._administrative = administrative
        self._custodian = custodian
        self._base = base
        self._shows = show_redaction
        self._requests: dict[str, AccessRequest] = {}
        self._matchers: dict[tuple[Scope, str], Matcher | None] = {}

    async def admit(self, located: Located) -> tuple[Record, ...]:
        """See ``Gate.admit``."""
        later: tuple[Record, ...] = ()
        if located.former:
            later = await self.admit(replace(located, versions=located.former, former=()))
            if not later:
                return ()
        hidden = frozenset(names for record in later for names in record.withheld)
        request = await self._request(located.action)
        consented = await consent(
            located, request, self._policies, self._reader, self._administrative
        )
        admitted = []
        for version, verdicts in zip(consented.versions, consented.verdicts, strict=True):
            older = all(version.version < record.version.version for record in later)
            record = await self._open(version, verdicts, hidden if older else frozenset())
            gone = version.deleted and bool(located.former)  # what it was is in reach: see above
            if record is None or not (gone or self._in_reach(record, located.covering)):
                continue
            if version.type_ != "Binary" or await self._admits_context(record, located):
                admitted.append(record)
        if is_privacy_officer(self._asked.requester, self._custodian):
            return await self._with_reviews(located, admitted)
        return tuple(admitted)

    async def _with_reviews(
        self, located: Located, admitted: Sequence[Record]
    ) -> tuple[Record, ...]:
        """Beside what consent permits, the reviews of broken glasses: no Consent keeps them from being judged (ADR 0041)."""
        known = {(r.version.rid, r.version.version): r for r in admitted}
        for version in located.versions:
            place = (version.rid, version.version)
            if version.type_ != "Task" or version.deleted or place in known:
                continue
            record = await self._open(version, ())
            review = record is not None and code_of(record.value) == GLASS_REVIEW
            if record is not None and review and self._in_reach(record, located.covering):
                known[place] = record
        places = ((version.rid, version.version) for version in located.versions)
        return tuple(known[place] for place in places if place in known)

    async def _admits_context(self, record: Record, located: Located) -> bool:
        """Whether consent permits the resource that a Binary names as its security context (R4 binary.html, 3.4.2).

        It stands for the Binary: whoever may not see it may not see the Binary either; nobody, if it is erased.
        """
        type_, id_ = context_of(record.value, self._base)
        if not type_ or type_ == "Patient":  # a patient's own consent has been asked
            return True
        version = await self._reader.find(type_, id_)
        if version is not None and version.deleted:
            older = await self._reader.history(version.rid)
            version = next((v for v in older if not v.deleted), None)
        if version is None:
            return True
        request = await self._request(located.action)
        behind = replace(located, versions=(version,), former=())
        found = await consent(behind, request, self._policies, self._reader, self._administrative)
        try:
            return bool(found.versions) and bool(
                await self._open(found.versions[0], found.verdicts[0])
            )
        except KeyDestroyedError:
            return False

    async def admit_request(self, in_scope: InScope, version: SealedVersion) -> Record | None:
        """See ``Gate.admit_request``."""
        record = await self._open(version, ())
        caller = self._asked.requester.caller
        if record is None or caller is None or code_of(record.value) != ACCESS_REQUEST:
            return None
        requester = record.value.get("requester")
        named = requester.get("reference") if isinstance(requester, dict) else None
        own = named is not None and named in (caller.user, *caller.organizations)
        return record if own and self._in_reach(record, in_scope.covering) else None

    async def require_write(
        self, in_scope: InScope, content: Json, patients: Sequence[str], action: str
    ) -> tuple[Decision, ...]:
        """See ``Gate.require_write``."""
        type_ = str(content.get("resourceType"))
        if not self._covers_write(in_scope.covering, content, patients):
            raise ScopeError(f"the access token's scopes do not reach this {type_}")
        if self._is_nobodys(type_, patients):
            return ()
        request = await self._request(action)
        decisions = []
        for token in [self._reader.blind.patient(p) for p in patients] or [b""]:
            verdict = await verdict_of(token, request, self._policies, self._reader)
            decision, denied = await self._decide(verdict, content, parts(content))
            if denied:  # who writes what is then hidden from him
                raise NotFoundError(_NOT_PERMITTED)
            decisions.append(decision)
        if any(d.decision is not Kind.PERMIT for d in decisions):
            raise NotFoundError(_NOT_PERMITTED)
        return tuple(decisions)

    def written(
        self,
        version: SealedVersion,
        text: bytes,
        value: Json,
        patients: Sequence[str],
        decisions: tuple[Decision, ...],
    ) -> Record:
        """The record that this request has just written, as the writer may have it back."""
        return Record(version, text, value, decisions, tuple(patients))

    async def question(
        self, action: str, actors: Sequence[str] | None = None, purpose: str | None = None
    ) -> AccessRequest:
        """See ``Gate.question``."""
        own = await self._request(action)
        named = None if actors is None else await self._with_parents(actors)
        return question(own, named, purpose)

    async def verdict(self, patient: str, question: AccessRequest) -> Verdict:
        """See ``Gate.verdict``."""
        token = self._reader.blind.patient(patient)
        return await verdict_of(token, question, self._policies, self._reader)

    async def _with_parents(self, actors: Sequence[str]) -> frozenset[str]:
        above = [await self._organizations.parents(actor, self._reader) for actor in actors]
        return frozenset(actors).union(*above)

    async def _request(self, action: str) -> AccessRequest:
        if action not in self._requests:
            self._requests[action] = await access_request(
                self._asked, action, self._custodian, self._reader, self._organizations
            )
        return self._requests[action]

    async def _open(
        self,
        version: SealedVersion,
        verdicts: tuple[Verdict, ...],
        hidden: frozenset[Names] = frozenset(),
    ) -> Record | None:
        """A record as far as it is permitted; ``hidden`` are elements that are withheld from a later version of it."""
        try:
            text, document = await self._reader.open(version), None
        except KeyDestroyedError:  # erased: as if it had never been
            return None
        if version.type_ == "Binary":
            text, document = split(text)
        value = orjson.loads(text) if text else {}
        decisions, denied = [], set(paths_of(value, hidden)) if hidden else set()
        inside = parts(value, text)
        for verdict in verdicts:
            decision, own = await self._decide(verdict, value, inside)
            if decision.decision is not Kind.PERMIT:
                return None
            decisions.append(decision)
            denied |= own
        overseen = version.type_ == "AuditEvent" or code_of(value) in OVERSEEN
        if overseen and not self._may_read_log(value, verdicts, decisions):
            return None
        patients = await self._reader.patients(version)
        record = Record(version, text, value, tuple(decisions), patients, document=document)
        return self._without(record, denied) if denied else record

    def _without(self, record: Record, denied: Set[Path]) -> Record | None:
        """The record without what is denied; its ``value`` never says that something is missing, so no search finds that."""
        paths = taken_out(record.value, denied)
        if paths is None:
            return None
        text = without(record.text, paths)
        shown = tagged(text) if self._shows else text
        return replace(record, text=shown, value=orjson.loads(text), withheld=names_of(denied))

    def _may_read_log(
        self, event: Json, verdicts: Sequence[Verdict], decisions: Sequence[Decision]
    ) -> bool:
        """Whether the requester may see an AuditEvent, or what tells of a broken glass, that consent permits.

        It names records that may be withheld from those who treat or pay, and tells who else has seen them.  So it is for
        the patient, for a related person from whom she withholds nothing, for the custodian's own system, and for whoever
        asks to oversee operations (HOPERAT).  What an agency has had suspended is for the last two only.
        """
        requester = self._asked.requester
        caller = requester.caller
        if requester.purpose == _OVERSIGHT or (caller and caller.system):
            return True
        if not decisions or is_suspended(event, self._asked.received.now):
            return False
        if caller is not None and (caller.user or "").startswith("RelatedPerson/"):
            return all(v.kind is Kind.PERMIT for v in verdicts)
        return all(d.basis is Basis.SELF for d in decisions)

    async def _decide(
        self, verdict: Verdict, value: Json, inside: Sequence[Part]
    ) -> tuple[Decision, frozenset[Path]]:
        """The decision about a record, and which of its parts are denied; those permitted add their obligations."""
        said = verdict.decision if verdict.kind is Kind.PERMIT else None
        if said is not None and not inside and not _labelled(value):
            return said, _NOTHING
        graph = await self._graph(verdict) if verdict.needs else {}
        decision = verdict.decide(value, graph)
        if decision.decision is not Kind.PERMIT or not (inside or decision.obligations):
            return decision, _NOTHING
        duties, denied = dict.fromkeys(decision.obligations), set()
        for part in inside:
            inner = verdict.decide(part.pseudo, graph)
            if inner.decision is Kind.PERMIT:
                duties.update(dict.fromkeys(inner.obligations))
            else:
                denied.add(part.path)
        owed = tuple(duty for duty in duties if self._is_owed(duty, decision.basis))
        return replace(decision, obligations=owed), frozenset(denied)

    def _is_owed(self, duty: str, basis: Basis) -> bool:
        """The notice accompanies what is disclosed: neither what patients see of themselves nor what the custodian uses."""
        caller = self._asked.requester.caller
        own = caller is not None and self._custodian in caller.organizations
        return not ((own or basis is Basis.SELF) and duty in SUBSTANCE_USE_OBLIGATIONS)

    async def _graph(self, verdict: Verdict) -> dict[str, Sequence[str]]:
        return {needed: await self._outgoing(needed) for needed in verdict.needs}

    async def _outgoing(self, reference: str) -> Sequence[str]:
        """What a record that a Consent names refers to; used to decide, never shown."""
        type_, _, id_ = reference.partition("/")
        version = await self._reader.find(type_, id_) if id_ else None
        if version is None or version.deleted:
            return ()
        try:
            return tuple(references(orjson.loads(await self._reader.open(version))))
        except KeyDestroyedError:
            return ()

    def _in_reach(self, record: Record, covering: tuple[Scope, ...]) -> bool:
        return any(
            self._reaches(s, record.version.type_, record.value, record.patients) for s in covering
        )

    def _covers_write(
        self, covering: tuple[Scope, ...], content: Json, patients: Sequence[str]
    ) -> bool:
        type_ = str(content.get("resourceType"))
        return any(self._reaches(s, type_, content, patients) for s in covering)

    def _reaches(self, scope: Scope, type_: str, value: Json, patients: Sequence[str]) -> bool:
        """Whether one scope reaches a record: level, whose app state it is, then parameters."""
        caller = self._asked.requester.caller
        in_context = caller is not None and caller.patient in patients
        if scope.level == "patient" and not in_context and not self._is_nobodys(type_, patients):
            return False
        if caller is not None and caller.user and is_anothers(value, caller.user, self._base):
            return False
        if not scope.parameters:
            return True
        matcher = self._matcher(scope, type_)
        return matcher is not None and matcher.matches(value)

    def _matcher(self, scope: Scope, type_: str) -> Matcher | None:
        """What decides the parameters of a granular scope, read once for all records of the request.

        None where no record of the type can be tested by them: a scope of all types does not reach this one.
        """
        if (scope, type_) not in self._matchers:
            self._matchers[scope, type_] = self._read_matcher(scope, type_)
        return self._matchers[scope, type_]

    def _read_matcher(self, scope: Scope, type_: str) -> Matcher | None:
        values = self._searchable.of(type_)
        try:
            criteria = parse_criteria(values, scope.parameters)
            return Matcher(values, criteria, self._base, self._asked.received.now)
        except InvalidParameterError:
            return None

    def _is_nobodys(self, type_: str, patients: Sequence[str]) -> bool:
        return not patients and type_ in self._administrative


def _labelled(value: Json) -> bool:
    """Whether a permitted record may carry obligations."""
    meta = value.get("meta")
    return isinstance(meta, dict) and "security" in meta
