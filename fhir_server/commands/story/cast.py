"""Who takes part: registered apps, systems and people, with keys and passwords made afresh each time.

Private keys stay in memory; the files hold public keys and password hashes, and only their owner may read them.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fhir_server.commands.story.server import write_private
from fhir_server.sample import people
from smart_auth.people.one_time_codes import STEP_SECONDS, code_of
from smart_auth.people.passwords import hash_password
from smart_auth.tokens.jwt import Jwk, generate_client_key, public_jwks

CALLBACK = "http://127.0.0.1/callback"
EHR, INSURER = "lindenbach-ehr", "meridian-claims"
CHART, PORTAL, EMERGENCY, AUDIT = "chart-app", "patient-portal", "emergency-viewer", "audit-viewer"


@dataclass(slots=True)
class CodeApp:
    """An app on a person's phone that shows codes; it never shows one twice.

    Attributes:
        secret: What the sign-in page has shown, once.
        shown: The time step of the last code.
    """

    secret: str = field(default="", repr=False)
    shown: int = 0

    def code(self, now: float) -> str:
        """The next code: this step's or the one after; then one has to wait."""
        current = int(now) // STEP_SECONDS
        self.shown = max(self.shown + 1, current)
        time.sleep(max(0, self.shown - current - 1) * STEP_SECONDS)
        return code_of(self.secret, datetime.fromtimestamp(self.shown * STEP_SECONDS, UTC))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs in.

    Attributes:
        purposes: v3-ActReason codes the person may use.
        organization: Whom the person works for; empty for a patient.
        password_hash: Made from the password if it is not given.
        code_app: Of whoever signs in with two factors.
    """

    username: str
    name: str
    fhir_user: str
    purposes: tuple[str, ...]
    organization: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9), repr=False)
    password_hash: str = field(default="", repr=False)
    code_app: CodeApp | None = None

    def registration(self) -> dict[str, object]:
        """The person as the authorization server reads it."""
        patient = self.fhir_user if self.fhir_user.startswith("Patient/") else None
        return {
            "username": self.username,
            "password_hash": self.password_hash or hash_password(self.password),
            "fhir_user": self.fhir_user,
            "name": self.name,
            "organizations": [self.organization] if self.organization else [],
            "purposes": list(self.purposes),
            "patient": patient,
        }


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody who takes part.

    Attributes:
        people: By user name.
        keys: Private keys of the backend systems, by client_id.
    """

    people: Mapping[str, Person]
    keys: Mapping[str, Jwk] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registry:
    """The two files that the server reads."""

    clients: Path
    users: Path

    def settings(self) -> dict[str, str]:
        """The settings that name them, and who may break the glass."""
        return {
            "clients_file": str(self.clients),
            "users_file": str(self.users),
            "break_glass": people.HOSPITAL,
            "custodian": people.CLINIC,
        }


def new_cast(more: Sequence[Person] = ()) -> Cast:
    """The people and systems of the sample clinic, and more people if they are given."""
    everybody = [*_people(), *more]
    keys = {client_id: generate_client_key("ES384") for client_id in (EHR, INSURER)}
    return Cast({person.username: person for person in everybody}, keys)


def register(cast: Cast, folder: Path, apps: Sequence[Mapping[str, object]] = ()) -> Registry:
    """Write the files that register the cast, and more apps, for their owner only."""
    registry = Registry(folder / "clients.json", folder / "users.json")
    write_private(registry.clients, [*_systems(cast), *_apps(), *apps])
    write_private(registry.users, [person.registration() for person in cast.people.values()])
    return registry


def _people() -> tuple[Person, ...]:
    clinic, hospital = people.CLINIC, people.HOSPITAL
    return (
        Person("rosalind", "Rosalind Achterberg", people.PATIENT, ("PATRQT",)),
        Person("helena", "Dr. Helena Brandtner", people.CLINICIAN, ("TREAT",), clinic),
        Person("tobias", "Tobias Lindqvist", people.THERAPIST, ("TREAT",), clinic),
        Person("irisa", "Irisa Vandenberg", people.PRIVACY_OFFICER, ("HOPERAT",), clinic),
        Person(
            *("mirela", "Dr. Mirela Kovalenko", people.EMERGENCY, ("TREAT", "BTG"), hospital),
            code_app=CodeApp(),
        ),
    )


def _systems(cast: Cast) -> list[dict[str, object]]:
    """SMART Backend Services, private_key_jwt."""
    ehr = _system(EHR, "Lindenbach EHR", people.CLINIC, "system/*.cruds", ("TREAT", "HPAYMT"))
    insurer = _system(INSURER, "Meridian claims", people.INSURER, "system/*.rs", ("HPAYMT",))
    return [
        {**each, "jwks": public_jwks(cast.keys[str(each["client_id"])])} for each in (ehr, insurer)
    ]


def _system(
    client_id: str, name: str, organization: str, scope: str, purposes: tuple[str, ...]
) -> dict[str, object]:
    return {
        "client_id": client_id,
        "name": name,
        "kind": "confidential-asymmetric",
        "grant_types": ["client_credentials"],
        "organization": organization,
        "scope": scope,
        "purposes": list(purposes),
    }


def _apps() -> list[dict[str, object]]:
    """Apps that people use: public clients, PKCE."""
    openid = "openid fhirUser"
    return [
        _app(CHART, "Chart viewer", f"{openid} launch patient/*.rs", ("TREAT",)),
        _app(PORTAL, "My record", f"{openid} launch/patient patient/*.cruds", ("PATRQT",)),
        _app(EMERGENCY, "Harbourside viewer", f"{openid} user/*.rs", ("TREAT", "BTG")),
        _app(AUDIT, "Audit viewer", f"{openid} user/AuditEvent.rs user/Consent.rs", ("HOPERAT",)),
    ]


def _app(client_id: str, name: str, scope: str, purposes: tuple[str, ...]) -> dict[str, object]:
    return {
        "client_id": client_id,
        "name": name,
        "kind": "public",
        "grant_types": ["authorization_code"],
        "redirect_uris": [CALLBACK],
        "scope": scope,
        "purposes": list(purposes),
    }


def scope_of(client_id: str) -> str:
    """The scopes that an app of the cast is registered for."""
    return next(str(app["scope"]) for app in _apps() if app["client_id"] == client_id)
