"""Launch context: who may launch what, and where patients come from (SMART App Launch 2.2,
"App Launch: Launch from EHR" and "Standalone Launch")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from smart_auth.clients import ClientRegistry
from smart_auth.errors import SmartError
from smart_auth.store import Launch
from smart_auth.users import User, UserRegistry

_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}")


class LaunchError(SmartError):
    """The launch asked for cannot be made; the message names the wrong part."""

    status = 400


class PatientDirectory(Protocol):
    """Where the patient picker looks; ``fhir_server`` implements it."""

    async def search(self, user: User, text: str) -> Sequence[tuple[str, str]]:
        """Return ``(reference, label)`` of patients that ``user`` may pick, best first.

        ``text`` is what the person typed, perhaps empty. At most 50 are shown. Labels are plain
        text.
        """
        ...


class NoPatients:
    """A directory without patients: nobody can pick one."""

    async def search(self, user: User, text: str) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        """Return none."""
        return ()


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
    if person.patient is not None and launch.patient not in (None, person.patient):
        raise LaunchError("a patient can launch with their own record only")


def _require_reference(type_: str, reference: str | None) -> None:
    if reference is None:
        return
    shape = _REFERENCE.fullmatch(reference)
    if shape is None or shape[1] != type_:
        raise LaunchError(f"the launch's {type_.lower()} must be a reference to one")
