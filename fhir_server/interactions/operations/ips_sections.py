"""The sections of an International Patient Summary (IPS 1.1, Composition-uv-ips), and which records stand in each.

The three that IPS requires are always there; the others if there is something to say.  Not here: social history, pregnancy,
functional status, advance directives, plan of care, alerts and the patient's story.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fhir_server.forms import Json

Keep = Callable[[Json], bool]
_ALL = 10_000
_DONE = ("final", "amended", "corrected", "preliminary", "partial", "registered")


@dataclass(frozen=True, slots=True)
class Source:
    """Records of one type that stand in a section.

    Attributes:
        keep: Whether a record does, beside being one of the patient that ``criteria`` find.
        date: Search parameter that they are sorted by, newest first; empty for none.
        each: How many of each code; of what is not counted by code, all.
    """

    type_: str
    keep: Keep
    criteria: tuple[tuple[str, str], ...] = ()
    date: str = "date"
    each: int = _ALL

    @property
    def coded(self) -> str:
        """The member by which records are counted, if they are."""
        return "code" if self.each < _ALL else ""


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its title, its LOINC code with the name that LOINC gives it, and what it says where it is empty."""

    title: str
    code: str
    display: str
    sources: tuple[Source, ...]
    required: bool = False


def _coded(value: object) -> set[str]:
    """The codes of a code or CodeableConcept."""
    if isinstance(value, str):
        return {value}
    codings = value.get("coding") if isinstance(value, dict) else None
    return {str(c.get("code")) for c in (codings if isinstance(codings, list) else ())}


def _among(member: str, codes: Iterable[str]) -> Keep:
    wanted = set(codes)
    return lambda resource: bool(wanted & _coded(resource.get(member)))


def _none_of(member: str, codes: Iterable[str]) -> Keep:
    unwanted = set(codes)
    return lambda resource: not unwanted & _coded(resource.get(member))


def _both(one: Keep, other: Keep) -> Keep:
    return lambda resource: one(resource) and other(resource)


_STANDS = _none_of("verificationStatus", ("entered-in-error", "refuted"))
_OVER = ("inactive", "remission", "resolved")


def _ordered(resource: Json) -> bool:
    """Whether a MedicationRequest asks for something to be taken now."""
    planned = _coded(resource.get("intent")) & {"proposal", "plan"}
    current = _coded(resource.get("status")) & {"active", "on-hold"}
    return bool(current) and not planned and resource.get("doNotPerform") is not True


SECTIONS = (
    Section(
        "Allergies and Intolerances",
        "48765-2",
        "Allergies and adverse reactions Document",
        (Source("AllergyIntolerance", _both(_STANDS, _none_of("clinicalStatus", _OVER))),),
        required=True,
    ),
    Section(
        "Problem List",
        "11450-4",
        "Problem list - Reported",
        (
            Source(
                "Condition",
                _both(_STANDS, _none_of("clinicalStatus", _OVER)),
                date="recorded-date",
            ),
        ),
        required=True,
    ),
    Section(
        "Medication Summary",
        "10160-0",
        "History of Medication use Narrative",
        (
            Source(
                "MedicationStatement",
                _none_of("status", ("entered-in-error", "not-taken")),
                date="effective",
            ),
            Source("MedicationRequest", _ordered, date="authoredon"),
        ),
        required=True,
    ),
    Section(
        "Immunizations",
        "11369-6",
        "History of Immunization note",
        (Source("Immunization", _among("status", ("completed",))),),
    ),
    Section(
        "Results",
        "30954-2",
        "Relevant diagnostic tests/laboratory data note",
        (
            Source(
                "Observation",
                _among("status", _DONE),
                (("category", "laboratory,imaging"),),
                each=3,
            ),
            Source("DiagnosticReport", _among("status", _DONE), each=3),
        ),
    ),
    Section(
        "History of Procedures",
        "47519-4",
        "History of Procedures Document",
        (Source("Procedure", _among("status", ("completed", "in-progress"))),),
    ),
    Section(
        "Device Use",
        "46264-8",
        "History of medical device use",
        (
            Source(
                "DeviceUseStatement", _among("status", ("active", "on-hold", "completed")), date=""
            ),
        ),
    ),
    Section(
        "Vital Signs",
        "8716-3",
        "Vital signs note",
        (Source("Observation", _among("status", _DONE), (("category", "vital-signs"),), each=1),),
    ),
    Section(
        "History of Past Problems",
        "11348-0",
        "History of Past illness note",
        (
            Source(
                "Condition",
                _both(_STANDS, _among("clinicalStatus", _OVER)),
                date="recorded-date",
            ),
        ),
    ),
)
