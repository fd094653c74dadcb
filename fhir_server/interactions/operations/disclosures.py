"""What an AuditEvent tells, in the words of whoever reads a log: who, when, what, why, under which consent.

Reads our own events and those of disclosures made elsewhere: the recipient is the person, the organizations are those that
the person or the app acted for, ``period`` says when if that is not when it was recorded.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fhir_server.forms import Json

_PERSON, _ORGANIZATION, _DATA = "IRCP", "PROV", "4"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One AuditEvent, read.

    Attributes:
        at: R4 instant or dateTime.
        person: Who acted, with the reference; or empty.
        app: With what; or empty.
        organizations: For whom.
        what: References of records, with their versions.
        description: What was done, in a word or a sentence.
        why: v3-ActReason code; or empty.
        consents: Consents, with version and provision, by which it was permitted.
        basis: Whatever permitted it: self, consent, admin, break-glass ...
        refused: Why nothing was given; empty if something was.
        is_ours: Whether it was an interaction with this server; else a disclosure made elsewhere.
    """

    at: str
    person: str
    app: str
    organizations: tuple[str, ...]
    what: tuple[str, ...]
    description: str
    why: str
    consents: tuple[str, ...]
    basis: tuple[str, ...]
    refused: str
    is_ours: bool

    @property
    def recipient(self) -> str:
        """Whom an accounting names: the organizations, or else the person, or else the app."""
        return "; ".join(self.organizations) or self.person or self.app


def disclosure(event: Json) -> Disclosure:
    """Read an AuditEvent."""
    agents, entities = _objects(event, "agent"), _objects(event, "entity")
    people = [_named(a) for a in agents if _is(a, _PERSON)]
    apps = [_named(a) for a in agents if "identifier" in _object(a, "who")]
    organizations = [_named(a) for a in agents if _is(a, _ORGANIZATION)]
    subtypes = [str(s.get("code", "")) for s in _objects(event, "subtype")]
    told = [str(e["description"]) for e in entities if e.get("description")]
    failed = str(event.get("outcome", "0")) != "0"
    return Disclosure(
        at=str(_object(event, "period").get("start") or event.get("recorded", "")),
        person="; ".join(people),
        app="; ".join(apps),
        organizations=tuple(organizations),
        what=tuple(_reference(e) for e in entities if _holds(e)),
        description="; ".join(told) or " ".join(subtypes),
        why=next(iter(_codes(event, "purposeOfEvent")), ""),
        consents=tuple(str(p) for a in agents for p in _list(a, "policy")),
        basis=tuple(_details(entities, "consent-basis")),
        refused=str(event.get("outcomeDesc") or "refused") if failed else "",
        is_ours=_object(event, "type").get("code") == "rest",
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """CSV (RFC 4180), UTF-8.  A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _is(agent: Json, code: str) -> bool:
    kind = _object(agent, "type")
    return any(c.get("code") == code for c in _objects(kind, "coding"))


def _holds(entity: Json) -> bool:
    return _object(entity, "role").get("code") == _DATA and bool(_reference(entity))


def _reference(entity: Json) -> str:
    return str(_object(entity, "what").get("reference", ""))


def _named(agent: Json) -> str:
    who = _object(agent, "who")
    name = str(who.get("display", ""))
    reference = str(who.get("reference") or _object(who, "identifier").get("value", ""))
    return (
        f"{name} ({reference})" if name and reference and name != reference else name or reference
    )


def _details(entities: Sequence[Json], type_: str) -> list[str]:
    details = [d for e in entities for d in _objects(e, "detail")]
    return [str(d.get("valueString", "")) for d in details if d.get("type") == type_]


def _codes(value: Json, name: str) -> list[str]:
    codings = [c for concept in _objects(value, name) for c in _objects(concept, "coding")]
    return [str(c.get("code", "")) for c in codings]


def _object(value: Json, name: str) -> Mapping[str, object]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _list(value: Json, name: str) -> list[object]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _objects(value: Json, name: str) -> list[Mapping[str, object]]:
    return [each for each in _list(value, name) if isinstance(each, dict)]
