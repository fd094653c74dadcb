"""A server in process, with callers made by hand: everything from the pipeline down is the real thing.
Only the authorization server is stood in for: a bearer token is the name of a caller registered with ``Clinic.caller``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import orjson
import pytest

from consent_engine import Config, load_template
from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.keys import new_seed
from fhir_server.crypto.provider import KeyProvider
from fhir_server.crypto.providers.local import LocalKeyProvider, new_key_material
from fhir_server.crypto.scopes import PatientOnly
from fhir_server.errors import KeyDestroyedError
from fhir_server.forms import Received
from fhir_server.interactions.entering import INDEX_KEY, open_register
from fhir_server.interactions.leaf import index_rest
from fhir_server.pipeline.heeding import Heeding
from fhir_server.pipeline.policies import Policies
from fhir_server.pipeline.run import Pipeline
from fhir_server.pipeline.scribe import Scribe
from fhir_server.store.database import Database
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.own_secrets import Secrets
from fhir_server.store.sqlite.database import open_sqlite
from fhir_server.vault.keyring import KeyRing
from fhir_server.vault.vault import Vault
from profiles.definitions import r4
from smart_auth.authorization.scopes import parse_scopes
from smart_auth.errors import ExpiredTokenError
from smart_auth.people.users import User
from smart_auth.tokens.bearer import Caller
from tests import mongo_server
from tests.fhir_server.answers import BASE, Answer, Json
from tests.fhir_server.tools import tools_of

CUSTODIAN = "Organization/custodian"
START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECURITY = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ETH = {"security": [{"system": SECURITY, "code": "ETH"}]}  # substance use: what consents here hide
HOUSE = "house"
OTHER = "other"
OVERSEER = "overseer"
ON_MONGO = os.environ.get("STORE_OF_TESTS") == "mongo"


@cache
def key_provider() -> LocalKeyProvider:
    """One key-encryption key for all tests that do not test keys."""
    return LocalKeyProvider(new_key_material())


@dataclass(repr=False, eq=False)
class Clinic:
    """One server; close it when done."""

    database: Database
    vault: Vault
    pipeline: Pipeline
    path: Path
    now: datetime = START
    callers: dict[str, Caller] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    closed: bool = False

    async def authenticate(self, bearer: str, now: datetime) -> Caller:
        """Stands in for ``SmartServer.authenticate``."""
        if bearer not in self.callers or bearer in self.revoked:
            raise ExpiredTokenError("the token has expired")
        return self.callers[bearer]

    def caller(
        self,
        name: str,
        scope: str = "system/*.cruds",
        organization: str = CUSTODIAN,
        purposes: tuple[str, ...] = ("TREAT",),
        user: str | None = None,
        patient: str | None = None,
        **more: Any,
    ) -> str:
        """Register a caller; its name is its token, ``more`` are fields of ``Caller``."""
        self.callers[name] = Caller(
            client_id=name,
            client_name=name,
            subject=name,
            organization=organization or None,
            user=user,
            user_name=None,
            organizations=(organization,) if organization else (),
            patient=patient,
            encounter=None,
            scopes=parse_scopes(scope),
            purposes=purposes,
            token_id=name,
            grant_id=name,
            issued=START,
            expires=START + timedelta(days=1),
            system=False,
            **more,
        )
        return name

    def page_token(self, user: User, scope: str, now: datetime) -> tuple[str, str]:
        """Stands in for ``SmartServer.page_token``."""
        organization, purpose = next(iter(user.organizations), ""), user.purposes[0]
        name = f"page of {user.username}"
        return self.caller(name, scope, organization, (purpose,), user.fhir_user), purpose

    def received(
        self,
        who: str | None,
        method: str,
        url: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Received:
        self.now += timedelta(milliseconds=7)
        target, _, query = url.partition("?")
        content = body if isinstance(body, bytes) else b"" if body is None else _dump(body)
        own = {"authorization": f"Bearer {who}"} if who else {}
        return Received(
            method=method,
            target=target,
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers={"content-type": "application/fhir+json", **own, **(headers or {})},
            body=content,
            at=int(self.now.timestamp() * 1000),
            now=self.now,
            request_id=uuid.uuid4().hex,
            address="192.0.2.1",
        )

    async def ask(
        self,
        who: str | None,
        method: str,
        url: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return Answer(await self.pipeline.answer(self.received(who, method, url, body, headers)))

    async def get(self, who: str, url: str) -> Answer:
        return await self.ask(who, "GET", url)

    async def put(self, resource: Json, who: str = HOUSE) -> Answer:
        """Store a resource under its own id; it must work."""
        answer = await self.ask(
            who, "PUT", f"{resource['resourceType']}/{resource['id']}", resource
        )
        assert answer.status in (200, 201), answer.body
        return answer

    async def all_pages(self, who: str, url: str) -> list[Json]:
        """The entries of all pages."""
        found: list[Json] = []
        while url:
            answer = await self.get(who, url)
            assert answer.status == 200, answer.body
            found += answer.resources
            url = answer.next
        return found

    async def audits(self, start: int = 0) -> list[Json]:
        """The AuditEvents of the log that were not erased, from a number on, opened behind everybody's back."""
        found = []
        async with self.vault.reading() as reader:
            for row in await reader._snapshot.audit(start=start, stop=2**40):
                (version,) = await reader.history(row.rid)
                with suppress(KeyDestroyedError):
                    found.append(orjson.loads(await reader.open(version)))
        return found

    def log_size(self) -> int:
        if ON_MONGO:
            return mongo_server.log_size(self.path.parent)
        connection = sqlite3.connect(self.path)
        try:
            return int(connection.execute("SELECT count(*) FROM audit").fetchone()[0])
        finally:
            connection.close()

    def sql(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """What somebody with the disk, but without the key, can do."""
        if ON_MONGO:
            pytest.skip("it looks into SQLite's file")
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute(statement, values).fetchall()
            connection.commit()
            return found
        finally:
            connection.close()

    async def destroy_keys(self, owner: bytes) -> None:
        """What an erasure ends with, and nothing before it."""
        async with self.vault.writing() as writer:
            for key in await writer.keys.of(owner):
                await writer.destroy_key(key)
            await writer.keys.advance()

    async def close(self) -> None:
        """Close the store; a second time does nothing."""
        if not self.closed:
            self.closed = True
            await self.database.close()


async def open_clinic(
    folder: Path,
    policy: str = "hipaa-tpo",
    break_glass: tuple[str, ...] = (),
    keys: KeyProvider | None = None,
    tenant: str = "default",
    patient_only: tuple[str, ...] = (),
    **tools: object,
) -> Clinic:
    """Open a clinic on a folder; ``HOUSE`` treats, ``OVERSEER`` oversees, ``OTHER`` is another hospital."""
    path = folder / "consentry.sqlite"
    database = await _database(folder)
    provider = keys or key_provider()
    own = Secrets(database.secrets, provider, tenant)
    index_key = await own.get(INDEX_KEY, new_seed)
    belonging = frozenset(r4().compartments["Patient"]) - {"Patient", "AuditEvent"}
    blind = BlindIndex(index_key, tenant, PatientOnly(patient_only, belonging))
    vault = Vault(database.store, KeyRing(provider, tenant, blind), blind, tenant)
    config = Config(
        zone=ZoneInfo("UTC"),
        admin_policies=load_template(policy, CUSTODIAN),
        break_glass=frozenset(break_glass),
        base=BASE,
    )
    made = tools_of(vault, database, BASE, folder / "consentry.key.erased", **tools)
    await made.parameters.reload()
    await made.erasures.prove()
    await index_rest(vault, made.tokenizer, database.events)
    await open_register(vault, own, index_key)
    await made.erasures.resume(int(START.timestamp() * 1000))
    policies = Policies(config)
    vault.on_forget(policies.forget)
    clinic = Clinic(database, vault, None, path)  # type: ignore[arg-type]
    heeding = Heeding(database.news, vault, (made.parameters.reload,))
    clinic.pipeline = Pipeline(vault, clinic, policies, made, heeding, Scribe(vault, made))  # type: ignore[arg-type]
    clinic.caller(HOUSE)
    clinic.caller(OVERSEER, purposes=("HOPERAT",))
    clinic.caller(OTHER, organization="Organization/other")
    return clinic


async def _database(folder: Path) -> Database:
    """SQLite; or MongoDB, if ``STORE_OF_TESTS`` says so: then all that asks no SQL runs on that."""
    if ON_MONGO:
        return await open_mongo(mongo_server.url(folder))
    return open_sqlite(folder / "consentry.sqlite")


def _dump(body: object) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def patient(id_: str, **members: object) -> Json:
    return {"resourceType": "Patient", "id": id_, **members}


def observation(id_: str, subject: str, code: str = "8867-4", **members: object) -> Json:
    """A vital sign unless told otherwise."""
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{subject}"},
        **members,
    }


def consent(
    id_: str,
    subject: str,
    type_: str,
    actor: str | None = None,
    labels: tuple[str, ...] = (),
    actions: tuple[str, ...] = (),
    **members: object,
) -> Json:
    """A Consent with one provision: ``type_`` for an actor, for records of some labels, for some actions."""
    provision: Json = {"type": type_}
    if actor:
        role = {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                    "code": "IRCP",
                }
            ]
        }
        provision["actor"] = [{"role": role, "reference": {"reference": actor}}]
    if labels:
        provision["securityLabel"] = [{"system": SECURITY, "code": label} for label in labels]
    if actions:
        system = "http://terminology.hl7.org/CodeSystem/consentaction"
        provision["action"] = [{"coding": [{"system": system, "code": code}]} for code in actions]
    return {
        "resourceType": "Consent",
        "id": id_,
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes",
                        "code": "npp",
                    }
                ]
            }
        ],
        "patient": {"reference": f"Patient/{subject}"},
        "policyRule": {"text": "own words"},
        "provision": provision,
        **members,
    }


def sharing(subject: str, actor: str = "Organization/other") -> Json:
    """The patient lets another hospital see everything but what is labelled substance use."""
    made = consent(f"sharing-{subject}", subject, "permit", actor)
    label = {"type": "deny", "securityLabel": [{"system": SECURITY, "code": "ETH"}]}
    made["provision"]["provision"] = [label]
    return made


def transaction(*entries: Json, type_: str = "transaction") -> Json:
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries)}


def entry(method: str, url: str, resource: Json | None = None, **members: object) -> Json:
    """A Bundle entry; ``full_url`` becomes ``fullUrl``, the others members of the request."""
    full_url = members.pop("full_url", None)
    made: Json = {"request": {"method": method, "url": url, **members}}
    if full_url:
        made["fullUrl"] = full_url
    if resource is not None:
        made["resource"] = resource
    return made


def plain(answer: Answer | Json) -> object:
    """An answer without what differs between any two requests: times, versions, page links, random ids."""
    value = answer.json if isinstance(answer, Answer) and answer.body else answer
    return _plain(value) if isinstance(value, dict) else value


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {
            k: _plain(v)
            for k, v in value.items()
            if k not in ("lastUpdated", "lastModified", "link")
        }
    return [_plain(v) for v in value] if isinstance(value, list) else value
