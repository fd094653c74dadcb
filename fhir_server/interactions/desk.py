"""What an interaction works with: its snapshot or unit of work, the gate, and the tools of the house."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import tzinfo

from consent_engine import review
from fhir_server.errors import InvalidResourceError, Issue
from fhir_server.forms import Gate, Json
from fhir_server.interactions.cursors import Cursors
from fhir_server.interactions.erasing.erasures import Erasures
from fhir_server.interactions.exporting.export import Exports
from fhir_server.interactions.labelling import Labelling
from fhir_server.interactions.reindex.parameters import Parameters
from fhir_server.ownership import patients_of
from fhir_server.resource_text import ResourceText
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from fhir_server.vault.documents import Document, Documents
from fhir_server.vault.vault import Reader, Writer
from profiles.definitions import Definitions
from profiles.problem import Problem
from profiles.resource import MODELLED, check_model
from profiles.validation import Validator

_MOST_ISSUES = 50


@dataclass(frozen=True, slots=True)
class Tools:
    """What every interaction may use; one for the server.

    Attributes:
        base: FHIR base url, without trailing slash.
        strict: Whether bindings, invariants and targets of references are asked for at every write; structure always is.
        page: Default and largest page size.
        max_candidates: Most records that one search may open.
        most_deleted: Most records that one conditional delete may delete.
        new_id: Makes a random logical id.
        new_secret: Makes n random bytes.
        prove: Makes the receipt of an AuditEvent from its number, bytes and opening (``Anchorer.prove``).
        anchor_wait: Seconds that an answer may wait for the log to be anchored.
        erasures: Erases patients.
        capability: Gives the CapabilityStatement or TerminologyCapabilities, whole or a summary of it.
        parameters: The custom search parameters.
        documents: What Binaries hold that is too large to stand in them.
        exports: Where bulk exports are kept.
        labelling: Labels records by their codes.
        most_inline: Largest document, in bytes, that is sent as a FHIR resource all the same.
        show_redaction: Whether a record says that something was taken out of it.
        consents: Registry on a chain where Consents are filed, ``31337:0x...``; empty for none.
        grants: Registry on a chain where access is asked for, ``31337:0x...``; empty for none.
    """

    definitions: Definitions
    searchable: Searchable
    tokenizer: Tokenizer
    validator: Validator
    strict: bool
    cursors: Cursors
    base: str
    page: tuple[int, int]
    max_candidates: int
    most_deleted: int
    zone: tzinfo
    custodian: str
    administrative: frozenset[str]
    new_id: Callable[[], str]
    new_secret: Callable[[int], bytes]
    prove: Callable[[int, bytes, bytes], Awaitable[bytes]]
    anchor_wait: float
    erasures: Erasures
    capability: Callable[[str, str], bytes]
    parameters: Parameters
    documents: Documents
    exports: Exports
    labelling: Labelling
    most_inline: int
    show_redaction: bool
    grants: str = ""
    consents: str = ""

    def require_valid(self, resource: ResourceText) -> tuple[Issue, ...]:
        """Refuse what is not R4; what is stored all the same (see ``strict``) comes back as warnings, 50 at most.

        Raises:
            InvalidResourceError: With one issue for each problem, naming the element.
        """
        issues = self.issues(resource, strict=self.strict)
        errors = [issue for issue in issues if issue.severity == "error"]
        if errors:
            raise InvalidResourceError("the resource is not valid R4", issues=errors[:_MOST_ISSUES])
        return issues[:_MOST_ISSUES]

    def issues(self, resource: ResourceText, *, strict: bool) -> tuple[Issue, ...]:
        """All that there is to say of a resource: errors and warnings.

        Args:
            strict: Whether bindings, invariants and targets are errors; structure always is.
        """
        problems = self.validator.review(resource.value)
        broken = any(p.severity == "error" and (strict or not p.rule) for p in problems)
        if not broken and resource.type_ in MODELLED:
            modelled = check_model(resource.value)
            broken, problems = bool(modelled), (*problems, *modelled)
        found = [_issue(p, strict=strict) for p in problems]
        if (
            resource.type_ == "Consent" and not broken
        ):  # what nobody can interpret denies everything
            unclear = review(resource.value, zone=self.zone)
            found += (Issue("business-rule", f"{p.path}: {p.reason}", p.path) for p in unclear)
        return tuple(found)

    def patients(self, value: Json, type_: str, id_: str) -> tuple[str, ...]:
        """Whose data a resource is."""
        return patients_of(value, type_, id_, self.base)


def _issue(problem: Problem, *, strict: bool) -> Issue:
    severity = problem.severity if strict or not problem.rule else "warning"
    message = f"{problem.expression} {problem.message}"
    return Issue(problem.code, message, problem.expression, severity)


@dataclass(frozen=True, slots=True)
class Desk:
    """For one request: ``writer`` is None in an interaction that only reads; ``document`` is what came in before it."""

    tools: Tools
    reader: Reader
    gate: Gate
    writer: Writer | None = None
    document: Document | None = None

    def unit(self) -> Writer:
        """The unit of work of a writing interaction."""
        assert self.writer is not None, "a reading interaction has no unit of work"
        return self.writer
