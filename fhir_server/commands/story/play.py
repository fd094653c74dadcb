"""What the steps of the story share: the server, the cast, who is signed in, and what is where.

Setting the scene happens here; what is asked and what must come back is in ``steps.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from fhir_server import sample
from fhir_server.commands.story.apps import (
    Endpoints,
    Granted,
    app_token,
    backend_token,
    discover,
    ehr_launch,
)
from fhir_server.commands.story.asking import Caller, Json, Reply
from fhir_server.commands.story.cast import (
    AUDIT,
    CHART,
    EHR,
    EMERGENCY,
    INSURER,
    PORTAL,
    Cast,
    Person,
    new_cast,
    register,
)
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.server import ServerProcess
from fhir_server.commands.story.telling import Teller
from fhir_server.sample import people

DATABASE = "server"  # sub-folder of the server's own files: database, chain, key
_TIMEOUT = 60.0
_PEOPLE = {
    "helena": CHART,
    "tobias": CHART,
    "mirela": EMERGENCY,
    "irisa": AUDIT,
}


@dataclass(frozen=True, slots=True)
class Filed:
    """One record of the sample as the server keeps it.

    Attributes:
        reference: ``Type/id``.
        patient: Reference of its patient, or empty.
        labelled: Whether it carries a security label.
    """

    type_: str
    reference: str
    patient: str
    labelled: bool
    resource: Json = field(repr=False)


@dataclass(slots=True)
class Play:
    """The state of the story.

    Attributes:
        patient: Whose record the story is about.
        user: The patient's user name.
        chart: The transaction that the EHR posts.
        filed: The sample's records, once they are loaded.
        consent: The patient's Consent as the server keeps it, once filed.
        replies: Everything that was asked, in its order.
        kept: What a later step comes back to: the insurer's page link, the broken glass.
    """

    folder: Path
    server: ServerProcess
    cast: Cast
    teller: Teller
    http: httpx2.Client
    endpoints: Endpoints
    patient: str = people.PATIENT
    user: str = "rosalind"
    chart: bytes = field(default_factory=sample.clinic, repr=False)
    filed: tuple[Filed, ...] = ()
    consent: Json = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """The search parameter that names the patient."""
        return f"patient={self.patient}"

    def of(self, type_: str, *, labelled: bool = False) -> list[Filed]:
        """The patient's records of a type, labelled ones or the others."""
        own = (f for f in self.filed if f.type_ == type_ and f.patient == self.patient)
        return [f for f in own if f.labelled is labelled]

    def ehr(self) -> Caller:
        """The clinic's EHR, a backend system."""
        return self._backend(EHR, "EHR", people.CLINIC, "system/*.cruds", "TREAT")

    def insurer(self) -> Caller:
        """The insurer's claims system, a backend system."""
        return self._backend(INSURER, "Insurer", people.INSURER, "system/*.rs", "HPAYMT")

    def person(self, username: str) -> Caller:
        """A person with a token of the person's own app; staff of the clinic launch it from the EHR."""
        if username not in self.callers:
            app = _PEOPLE.get(username, PORTAL)
            launch = self._launch(username) if app == CHART else ""
            granted = app_token(self.endpoints, app, self.cast.people[username], launch)
            self.callers[username] = self._caller_of(username, granted)
        return self.callers[username]

    def asks(self, caller: Caller, path: str, reason: str = "") -> Reply:
        """GET, remembered for the audit."""
        return self.remember(caller.get(path, reason))

    def remember(self, reply: Reply) -> Reply:
        """Note a reply: it must be on record."""
        self.replies.append(reply)
        return reply

    def _backend(
        self, client_id: str, name: str, organization: str, scope: str, purpose: str
    ) -> Caller:
        if client_id not in self.callers:
            granted = backend_token(self.endpoints, self.cast, client_id, scope)
            self.callers[client_id] = Caller(
                name, self.server.fhir, granted.token, (organization,), purpose, self.http
            )
        return self.callers[client_id]

    def _launch(self, username: str) -> str:
        """A launch from the EHR, on the first patient and her first encounter."""
        ehr = Granted(self.ehr().token, "", "", "")
        encounter = self.of("Encounter")[0].reference
        return ehr_launch(self.server.url, ehr, CHART, username, self.patient, encounter)

    def _caller_of(self, username: str, granted: Granted) -> Caller:
        person = self.cast.people[username]
        actors = tuple(a for a in (person.fhir_user, person.organization) if a)
        name = person.name.removeprefix("Dr. ").partition(" ")[0]
        return Caller(name, self.server.fhir, granted.token, actors, person.purposes[0], self.http)


def set_stage(
    folder: Path,
    teller: Teller,
    port: int = 0,
    more: Sequence[Person] = (),
    apps: Sequence[Mapping[str, object]] = (),
) -> Play:
    """Make the cast, register it, and start a server for it; whoever called ends with ``strike``.

    Args:
        folder: Takes the registry, the log, and the server's own folder.
        more: More people who can sign in.
        apps: More clients, as the clients file has them.

    Raises:
        ServerError: The server does not start.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cast = new_cast(more)
    own = {**register(cast, folder, apps).settings(), "anchor_interval": "1"}
    data = folder / DATABASE
    data.mkdir(mode=0o700, exist_ok=True)
    server = ServerProcess(data, folder / "server.log", own, port)
    server.start()
    try:
        endpoints = discover(server.fhir)
    except BaseException:
        server.stop()
        raise
    return Play(folder, server, cast, teller, httpx2.Client(timeout=_TIMEOUT), endpoints)


def strike(play: Play) -> None:
    """Stop the server and close the connections."""
    play.http.close()
    play.server.stop()


def filed_as(reply: Reply, chart: bytes) -> tuple[Filed, ...]:
    """The records of a chart with the references that a transaction's answer gives them.

    Raises:
        StepError: The answer is not about as many entries as were sent.
    """
    sent = sample.resources(chart)
    entries = reply.value.get("entry")
    if not isinstance(entries, list) or len(entries) != len(sent):
        raise StepError("the answer does not have an entry for each that was sent")
    return tuple(
        _filed(resource, str(entry["response"].get("location", "")))
        for resource, entry in zip(sent, entries, strict=True)
    )


def _filed(resource: Json, location: str) -> Filed:
    """``location`` is empty for what was there before, under the id that was sent."""
    type_ = str(resource["resourceType"])
    path = location.partition("/_history/")[0].split("/")
    reference = "/".join(path[-2:]) if location else f"{type_}/{resource['id']}"
    patient = reference if type_ == "Patient" else _patient_of(resource)
    return Filed(type_, reference, patient, "meta" in resource, resource)


def _patient_of(resource: Json) -> str:
    for name in ("subject", "patient", "beneficiary"):
        named = resource.get(name)
        if isinstance(named, dict):
            return str(named.get("reference", ""))
    return ""
