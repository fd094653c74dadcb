"""What stands in for the rest of the server: a clock set by hand, stores in memory, two patients."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from smart_auth.attempts import Attempt
from smart_auth.errors import AlreadyThereError, ChangedError
from smart_auth.people.users import User
from smart_auth.store import Entry


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class MemoryStore:
    """The GrantStore of these tests."""

    clock: Clock
    entries: dict[tuple[str, str], tuple[bytes, datetime]] = field(default_factory=dict)
    asked: int = 0

    async def put(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        self.entries[kind, key] = (value, expires)

    async def add(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        if await self.find(kind, key) is not None:
            raise AlreadyThereError
        await self.put(kind, key, value, expires)

    async def find(self, kind: str, key: str) -> bytes | None:
        self.asked += 1
        value, expires = self.entries.get((kind, key), (None, self.clock.now))
        return value if expires > self.clock.now else None

    async def take(self, kind: str, key: str) -> bytes | None:
        value = await self.find(kind, key)
        self.entries.pop((kind, key), None)
        return value

    async def drop(self, kind: str, key: str) -> None:
        self.entries.pop((kind, key), None)


@dataclass
class MemoryRegister:
    """The RegisterStore of these tests."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    async def find(self, kind: str, key: str) -> Entry | None:
        return self.entries.get((kind, key))

    async def of(self, kind: str, owner: str | None = None) -> list[Entry]:
        found = sorted(e.key for (k, _), e in self.entries.items() if k == kind)
        all_ = [self.entries[kind, key] for key in found]
        return [each for each in all_ if owner in (None, each.owner)]

    async def save(self, kind: str, entry: Entry) -> None:
        before = self.entries.get((kind, entry.key))
        if entry.version != (before.version if before else 0):
            raise ChangedError
        self.entries[kind, entry.key] = replace(entry, version=entry.version + 1)

    async def drop(self, kind: str, key: str) -> None:
        self.entries.pop((kind, key), None)


class Patients:
    """The PatientDirectory of these tests."""

    async def search(self, user: User, text: str) -> list[tuple[str, str]]:
        known = [("Patient/1", "Anna Archer"), ("Patient/2", "Ben <b>Baker</b>")]
        return [each for each in known if text.lower() in each[1].lower()]

    async def patient(self, user: User, reference: str) -> str | None:
        return dict(await self.search(user, "")).get(reference)

    async def encounters(self, user: User, patient: str) -> list[tuple[str, str]]:
        return [("Encounter/5", "2026-05-04 · ambulatory")] if patient == "Patient/2" else []

    async def encounter(self, user: User, patient: str, reference: str) -> str | None:
        return dict(await self.encounters(user, patient)).get(reference)


class KeptAttempts:
    """An ``AttemptLog`` in memory; a broken one keeps nothing.

    Attributes:
        broken: Whether the disk behind it is full.
    """

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.broken = False

    async def note(self, attempt: Attempt) -> None:
        if self.broken:
            raise OSError("the disk is full")
        self.attempts.append(attempt)

    @property
    def last(self) -> Attempt:
        """What was noted last."""
        return self.attempts[-1]
