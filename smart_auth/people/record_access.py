"""Who has seen a person's health record: the seam to those who keep it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from smart_auth.people.users import User


@dataclass(frozen=True, slots=True)
class Access:
    """One access, told in words.

    Attributes:
        event: Id of its AuditEvent.
        at: When it was recorded; seconds since the epoch.
        person: Who acted, perhaps nobody; so is ``app``, with what.
        organizations: For whom.
        did: What was done.
        records: Of which kinds, with their numbers.
        why: The purpose that was told.
        permitted_by: What permitted it.
        refused: Why nothing was shown; empty if something was.
    """

    event: str
    at: float
    person: str
    app: str
    organizations: tuple[str, ...]
    did: str
    records: tuple[str, ...]
    why: str
    permitted_by: str
    refused: str


@dataclass(frozen=True, slots=True)
class AccessPage:
    """Accesses, the newest first.

    Attributes:
        following: What names the next page; empty if there is none.
    """

    accesses: Sequence[Access]
    following: str = ""


class RecordAccess(Protocol):
    """What our pages show of the audit log; ``fhir_server`` implements it.

    It answers as if ``user`` had asked the FHIR API: nobody learns more than there, and it is on
    record that she looked.
    """

    async def patients(self, user: User) -> Sequence[tuple[str, str]]:
        """Return ``(reference, label)`` of those whose log ``user`` may ask for as patient or for a patient."""
        ...

    async def seen(self, user: User, patient: str, page: str) -> AccessPage | None:
        """Return a page of a patient's log; None when ``user`` may not see it, or it is not there.

        Raises:
            PageError: It cannot be read just now.
        """
        ...

    async def receipt(self, user: User, event: str) -> bytes | None:
        """Return the proof of one access, JSON; None when there is none for ``user``, or none yet.

        Raises:
            PageError: It cannot be made just now.
        """
        ...


class NoRecordAccess:
    """No log: nobody has a record here."""

    async def patients(self, user: User) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        """Return none."""
        return ()

    async def seen(self, user: User, patient: str, page: str) -> AccessPage | None:  # noqa: ARG002
        """Return None."""
        return None

    async def receipt(self, user: User, event: str) -> bytes | None:  # noqa: ARG002
        """Return None."""
        return None
