"""What is asked and what is answered: the data of the room.

Implements the Inputs and Outputs of consent.md, section 2.  Not here: any rule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum

_HISTORY = "/_history/"
# What follows the id was never valid, but must not hide whom an older record is about.
_LITERAL = re.compile(r"([A-Za-z]+/[A-Za-z0-9\-.]+)(?:/_history/[^/?#]*)?/?(?:[?#].*)?", re.DOTALL)


class Kind(StrEnum):
    """The answer, or that it depends on the record."""

    PERMIT = "permit"
    DENY = "deny"
    DEPENDS = "depends"


class Basis(StrEnum):
    """What a decision rests on.

    ``CONSENT`` and ``ADMIN`` are rules of a patient's Consent and of an admin policy; ``BASE`` is
    the weak deny of an OPTOUT policyRule whose exceptions did not apply; ``INDETERMINATE`` means
    that the only reason to deny is a Consent that cannot be interpreted.
    """

    SELF = "self"
    CONSENT = "consent"
    BASE = "base"
    ADMIN = "admin"
    BREAK_GLASS = "break-glass"
    DEFAULT = "default"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Coding:
    """A code in its system; equality is exact in both."""

    system: str
    code: str


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Who asks, why, for what and when.

    Attributes:
        actors: References of everything the requester is: user, role, organization and its
            ancestors, teams, groups, device.  ``/_history/n`` is dropped.
        identifiers: (system, value) of the same actors.
        purpose: The one purpose of this request (Step 0); None when it is not known.
        action: A consentaction code: collect, access, use, disclose or correct.
        time: When access takes place, with a zone.
        custodian: Reference of the organization that holds the record.
        custodian_identifiers: (system, value) of the custodian.
    """

    actors: frozenset[str]
    identifiers: frozenset[tuple[str, str]]
    purpose: Coding | None
    action: str | None
    time: datetime
    custodian: str | None
    custodian_identifiers: frozenset[tuple[str, str]] = frozenset()

    def __post_init__(self) -> None:
        """Drop versions from references.

        Raises:
            ValueError: ``time`` has no zone; the caller must say which instant it means.
        """
        if self.time.tzinfo is None:
            raise ValueError("the time of an access request needs a zone")
        if any(_HISTORY in actor for actor in self.actors):
            bare = frozenset(literal(actor) for actor in self.actors)
            object.__setattr__(self, "actors", bare)
        if self.custodian is not None and _HISTORY in self.custodian:
            object.__setattr__(self, "custodian", literal(self.custodian))


@dataclass(frozen=True, slots=True)
class Config:
    """The policy of the deployment.

    Attributes:
        default: "permit" or "deny" when no Consent and no policy decides; anything but "permit"
            denies.
        zone: Zone of dates that carry none.
        admin_policies: Consents of the organization.  One without a patient holds for everybody,
            one with a patient for that patient only.
        break_glass: References of the groups whose members may break the glass.
        mandatory_policies: Admin policies required by law (court, public health): where one of them
            decides, nothing else is asked, neither the subject's own access nor break-glass.
        base: Base url of the server.  A reference that begins with it means the same as the relative
            one (R4 references.html#literal); empty if references are relative anyway.
    """

    default: str = "deny"
    zone: tzinfo = UTC
    admin_policies: tuple[Mapping[str, object], ...] = ()
    break_glass: frozenset[str] = frozenset()
    mandatory_policies: tuple[Mapping[str, object], ...] = ()
    base: str = ""


@dataclass(frozen=True, slots=True)
class DecidedBy:
    """The rule that decided.

    Attributes:
        consent: "Consent/id"; "Consent/?" when it has no readable id.
        version: ``meta.versionId``, if any.
        path: FHIRPath within the Consent, like "provision.provision[0]" or "policyRule"; of an
            INDETERMINATE Consent the element that cannot be interpreted.
    """

    consent: str
    version: str | None
    path: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request for one record.

    Attributes:
        decision: PERMIT or DENY, never DEPENDS.
        decided_by: The rules of the strongest kind that spoke; empty for self and default.
        obligations: What must be done with a permitted disclosure; see ``obligations.py``.
        valid_until: The first later instant at which the answer may change by passing of time
            alone; a cached answer must not be used from then on.  None: it never does.
        explanation: One line per Consent: its status and the first element that did not match.
            Ids, codes and paths only.
    """

    decision: Kind
    basis: Basis
    decided_by: tuple[DecidedBy, ...]
    obligations: tuple[str, ...]
    valid_until: datetime | None
    explanation: tuple[str, ...]


def literal(reference: str, base: str = "") -> str:
    """The reference as all that compare use it: "Type/id" for whatever names a resource here.

    ``/_history/n`` does not matter to consent (Step 6), nor does how the server itself is written: scheme
    and host know no case (RFC 3986, 6.2.2.1).  A foreign or contained one stays, but for its version.
    """
    start = f"{base}/"
    inside = base and reference[: len(start)].lower() == start.lower()
    found = _LITERAL.fullmatch(reference[len(start) :] if inside else reference)
    return found[1] if found else reference.partition(_HISTORY)[0]
