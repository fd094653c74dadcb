"""What an interaction works with: its snapshot or unit of work, the gate, and the tools of the house."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import tzinfo

from consent_engine import review
from fhir_server.errors import InvalidResourceError, Issue
from fhir_server.forms import Gate, Json
from fhir_server.interactions.cursors import Cursors
from fhir_server.interactions.reindex.parameters import Parameters
from fhir_server.ownership import patients_of
from fhir_server.resource_text import ResourceText
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from fhir_server.vault.vault import Reader, Writer
from profiles.definitions import Definitions
from profiles.resource import MODELLED, check_model
from profiles.validation import Validator

_MOST_ISSUES = 50


@dataclass(frozen=True, slots=True)
class Tools:
    """What every interaction may use; one for the server.

    Attributes:
        base: FHIR base url, without trailing slash.
        page: Default and largest page size.
        max_candidates: Most records that one search may open.
        most_deleted: Most records that one conditional delete may delete.
        new_id: Makes a random logical id.
        new_secret: Makes n random bytes.
        prove: Makes the receipt of an AuditEvent from its number, bytes and opening (``Anchorer.prove``).
        capability: Gives the CapabilityStatement or TerminologyCapabilities, whole or a summary of it.
        parameters: The custom search parameters.
    """

    definitions: Definitions
    searchable: Searchable
    tokenizer: Tokenizer
    validator: Validator
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
    capability: Callable[[str, str], bytes]
    parameters: Parameters

    def require_valid(self, resource: ResourceText) -> None:
        """Refuse what is not R4.

        Raises:
            InvalidResourceError: With one issue for each problem, naming the element.
        """
        issues = tuple(self._issues(resource))
        if issues:
            raise InvalidResourceError("the resource is not valid R4", issues=issues[:_MOST_ISSUES])

    def _issues(self, resource: ResourceText) -> Iterator[Issue]:
        problems = self.validator.check(resource.value)
        if not problems and resource.type_ in MODELLED:
            problems = check_model(resource.value)
        yield from (Issue(p.code, f"{p.expression} {p.message}", p.expression) for p in problems)
        if (
            resource.type_ == "Consent" and not problems
        ):  # one that nobody can interpret would deny everything
            found = review(resource.value, zone=self.zone)
            yield from (Issue("business-rule", f"{p.path}: {p.reason}", p.path) for p in found)

    def patients(self, value: Json, type_: str, id_: str) -> tuple[str, ...]:
        """Whose data a resource is."""
        return patients_of(value, type_, id_, self.base)


@dataclass(frozen=True, slots=True)
class Desk:
    """For one request: ``writer`` is None in an interaction that only reads."""

    tools: Tools
    reader: Reader
    gate: Gate
    writer: Writer | None = None

    def unit(self) -> Writer:
        """The unit of work of a writing interaction."""
        assert self.writer is not None, "a reading interaction has no unit of work"
        return self.writer
