"""Launch context: who may launch what, and where patients come from (SMART App Launch 2.2,
"App Launch: Launch from EHR", "Standalone Launch" and "Launch context arrives with your
``access_token``").

An EHR's system sends the whole context as JSON; ``read_launch`` reads it.  Patient and encounter
are looked up as the person who will use the app: what she may not see cannot be launched with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from smart_auth.clients.registry import ClientRegistry
from smart_auth.errors import SmartError
from smart_auth.exchange import has_control_character
from smart_auth.people.users import User, UserRegistry
from smart_auth.store import Launch

_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_MEMBERS = frozenset(
    {
        "client_id",
        "username",
        "patient",
        "encounter",
        "need_patient_banner",
        "intent",
        "fhirContext",
    }
)
_ENTRY = frozenset({"reference", "canonical", "identifier", "type", "role"})
_IN_CONTEXT = ("Patient", "Encounter")  # have parameters of their own
_MOST_ENTRIES = 50
_LONGEST = 1000


class LaunchError(SmartError):
    """The launch asked for cannot be made; the message names the wrong part."""

    status = 400
    error = "invalid_request"


class PatientDirectory(Protocol):
    """What our pages show of records; ``fhir_server`` implements it.

    It answers as if ``user`` had asked the FHIR API: consent decides, what is hidden is not there,
    and it is on record that she looked.  Labels are plain text.
    """

    async def search(self, user: User, text: str) -> Sequence[tuple[str, str]]:
        """Return ``(reference, label)`` of patients that ``user`` may pick; at most 50 are shown.

        ``text`` is what the person typed, perhaps empty.

        Raises:
            PageError: The search is too wide or cannot be done just now.
        """
        ...

    async def patient(self, user: User, reference: str) -> str | None:
        """Return the label of one patient, or None when ``user`` can see none there."""
        ...

    async def encounters(self, user: User, patient: str) -> Sequence[tuple[str, str]]:
        """Return ``(reference, label)`` of the patient's encounters, the latest first."""
        ...

    async def encounter(self, user: User, patient: str, reference: str) -> str | None:
        """Return the label of this patient's encounter, or None when ``user`` can see none."""
        ...


class NoPatients:
    """A directory without patients: nobody can pick one."""

    async def search(self, user: User, text: str) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        """Return none."""
        return ()

    async def patient(self, user: User, reference: str) -> str | None:  # noqa: ARG002
        """Return None."""
        return None

    async def encounters(self, user: User, patient: str) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        """Return none."""
        return ()

    async def encounter(self, user: User, patient: str, reference: str) -> str | None:  # noqa: ARG002
        """Return None."""
        return None


def read_launch(document: object) -> Launch:
    """Read what an EHR's system asks to launch: a JSON object with the members of ``_MEMBERS``.

    Raises:
        LaunchError: A member is unknown, missing or of the wrong form.
    """
    if not isinstance(document, dict) or not document.keys() <= _MEMBERS:
        raise LaunchError(f"a launch has the members {', '.join(sorted(_MEMBERS))} only")
    banner = document.get("need_patient_banner", True)
    if not isinstance(banner, bool):
        raise LaunchError("need_patient_banner must be true or false")
    return Launch(
        client_id=_required(document, "client_id"),
        username=_required(document, "username"),
        patient=_text(document, "patient"),
        encounter=_text(document, "encounter"),
        need_patient_banner=banner,
        intent=_text(document, "intent"),
        fhir_context=json.dumps(read_context(document.get("fhirContext", []))),
    )


def read_context(entries: object) -> list[Mapping[str, object]]:
    """Return the entries of ``fhirContext`` (SMART App Launch 2.2, "fhirContext").

    Raises:
        LaunchError: One is not of the form that the specification gives it.
    """
    if not isinstance(entries, (list, tuple)) or len(entries) > _MOST_ENTRIES:
        raise LaunchError(f"fhirContext must be a list of at most {_MOST_ENTRIES}")
    return [_read_entry(entry) for entry in entries]


def _read_entry(entry: object) -> Mapping[str, object]:
    wrong = LaunchError(
        "an entry of fhirContext has a reference (Type/id), canonical or identifier, "
        "and perhaps a type and a role"
    )
    if not isinstance(entry, dict) or not entry.keys() <= _ENTRY:
        raise wrong
    if not entry.keys() & {"reference", "canonical", "identifier"}:
        raise wrong
    for name in entry.keys() - {"identifier"}:
        _required(entry, name)
    if not isinstance(entry.get("identifier", {}), dict) or len(json.dumps(entry)) > _LONGEST:
        raise wrong
    if "type" in entry and _TYPE.fullmatch(entry["type"]) is None:
        raise wrong
    shape = _REFERENCE.fullmatch(entry.get("reference", "List/1"))
    if shape is None:
        raise wrong
    if shape[1] in _IN_CONTEXT and entry.get("role", "launch") == "launch":
        raise LaunchError("the patient and encounter that are open do not stand in fhirContext")
    return entry


def _required(members: Mapping[str, object], name: str) -> str:
    found = _text(members, name)
    if not found:
        raise LaunchError(f"{name} is needed")
    return found


def _text(members: Mapping[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST or has_control_character(value):
        raise LaunchError(f"{name} must be a text")
    return value


async def seen_by_its_user(
    launch: Launch, users: UserRegistry, directory: PatientDirectory
) -> Launch:
    """Return the launch with the patient's label, once its user can see what it is about.

    Raises:
        LaunchError: She can see no such patient, or no such encounter of this patient.
    """
    person = users.find(launch.username)
    if person is None or launch.patient is None:
        return launch
    label = await directory.patient(person, launch.patient)
    if label is None:
        raise LaunchError("there is no such patient, or this user may not see it")
    if launch.encounter is not None:
        encounter = await directory.encounter(person, launch.patient, launch.encounter)
        if encounter is None:
            raise LaunchError(
                "there is no such encounter of this patient, or this user may not see it"
            )
    return replace(launch, patient_label=label)


def require_acceptable(launch: Launch, clients: ClientRegistry, users: UserRegistry) -> None:
    """Return when the launch may be made.

    Raises:
        LaunchError: Unknown client or user, a reference of the wrong type, or a patient user
            launching with somebody else.
    """
    client, person = clients.find(launch.client_id), users.find(launch.username)
    if client is None or "authorization_code" not in client.grant_types:
        raise LaunchError("the client is not registered for authorization_code")
    if person is None:
        raise LaunchError("the user is not registered")
    _require_reference("Patient", launch.patient)
    _require_reference("Encounter", launch.encounter)
    if launch.encounter is not None and launch.patient is None:
        raise LaunchError("an encounter needs its patient")
    if person.patient is not None and launch.patient not in (None, person.patient):
        raise LaunchError("a patient can launch with their own record only")


def _require_reference(type_: str, reference: str | None) -> None:
    if reference is None:
        return
    shape = _REFERENCE.fullmatch(reference)
    if shape is None or shape[1] != type_:
        raise LaunchError(f"the launch's {type_.lower()} must be a reference to one")
