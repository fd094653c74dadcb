"""The people who can sign in, read from plain mappings (fhir_server loads the JSON file)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields

from smart_auth.errors import ConfigurationError
from smart_auth.people.passwords import require_hash
from smart_auth.reading import Fields, Mappings

_FHIR_USER = ("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person")


@dataclass(frozen=True, slots=True)
class User:
    """One person who can sign in.

    Attributes:
        password_hash: argon2id hash; None for whoever signs in outside only.
        fhir_user: Reference of who the person is (``Practitioner/1``, ``Patient/1`` ...).
        organizations: References of the organizations the person works for.
        purposes: v3-ActReason codes the person may use; none permits nothing.
        patient: The person's own Patient reference, if a patient.
        outside: The person's ``sub`` at the outside OpenID provider, if she signs in there.
    """

    username: str
    password_hash: str | None = field(repr=False)
    fhir_user: str
    name: str
    organizations: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    patient: str | None = None
    outside: str | None = field(default=None, repr=False)


class UserRegistry:
    """The people who can sign in, by user name; who is disabled is as if she were not there."""

    def __init__(self, users: Iterable[User]) -> None:
        """Keep the users.

        Raises:
            ConfigurationError: A username, or who somebody is at the outside provider, occurs twice.
        """
        self._users: dict[str, User] = {}
        self._disabled: Collection[str] = ()
        self._ended: Mapping[str, float] = {}
        self._outside: dict[str, User] = {}
        self._stands: Callable[[User], bool] = lambda _: True
        for user in users:
            if user.username in self._users:
                raise ConfigurationError("a username is registered twice")
            self._users[user.username] = user
            if user.outside is not None and user.outside in self._outside:
                raise ConfigurationError("two users are the same person at the outside provider")
            if user.outside is not None:
                self._outside[user.outside] = user

    @classmethod
    def from_mappings(cls, mappings: Mappings) -> UserRegistry:
        """Read users from plain mappings whose keys are ``User``'s fields.

        Raises:
            ConfigurationError: The message names the user's place in the list and the wrong field.
        """
        return cls(_read_user(mapping, place) for place, mapping in enumerate(mappings))

    def __iter__(self) -> Iterator[User]:
        """Give everybody, disabled people too."""
        return iter(self._users.values())

    def find_outside(self, subject: str) -> User | None:
        """Return the user who is ``subject`` at the outside provider; None as ``find`` does."""
        user = self._outside.get(subject)
        return None if user is None else self.find(user.username)

    def find(self, username: str) -> User | None:
        """Return the user, or None when there is none of that name, or she is disabled or not in good standing."""
        found = None if username in self._disabled else self._users.get(username)
        return found if found is not None and self._stands(found) else None

    def require_standing(self, stands: Callable[[User], bool]) -> None:
        """Ask this about everybody who is looked for, from now on."""
        self._stands = stands

    @property
    def disabled(self) -> Collection[str]:
        """The names of people whom the operator has disabled."""
        return self._disabled

    def has_ended(self, username: str, signed_in: float) -> bool:
        """Tell whether a sign-in (seconds since the epoch) was ended by the operator since."""
        return int(signed_in) <= int(self._ended.get(username, -1))

    def renew(self, disabled: Collection[str], ended: Mapping[str, float]) -> None:
        """Take note of who is disabled, and up to when whose sign-ins have ended."""
        self._disabled, self._ended = disabled, ended


def _read_user(mapping: Mapping[str, object], place: int) -> User:
    read = Fields(f"user {place}", mapping)
    read.require_known(each.name for each in fields(User))
    fhir_user = read.reference("fhir_user")
    if fhir_user is None or fhir_user.partition("/")[0] not in _FHIR_USER:
        raise read.wrong("fhir_user", f"must refer to one of {', '.join(_FHIR_USER)}")
    patient = read.reference("patient")
    if patient is not None and not patient.startswith("Patient/"):
        raise read.wrong("patient", "must refer to a Patient")
    outside = read.optional_text("outside") or None
    hashed = read.optional_text("password_hash")
    if hashed is not None or outside is None:
        require_hash(f"{read.entry}: password_hash", read.text("password_hash"))
    return User(
        username=read.text("username"),
        password_hash=hashed,
        fhir_user=fhir_user,
        name=read.text("name"),
        organizations=read.references("organizations"),
        purposes=read.texts("purposes"),
        patient=patient,
        outside=outside,
    )
