"""The server put together: settings in, an ASGI application out.  The only file that knows the real clock."""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from anchoring.publishing.anchorer import Anchorer
from consent_engine import Config
from fhir_server.admin_policies import policy_bundle, read_admin_policies
from fhir_server.archive import open_archive, open_vault
from fhir_server.crypto.choosing import erasures_file
from fhir_server.crypto.keychain import Keychain
from fhir_server.crypto.keys import new_seed
from fhir_server.evidence import Condition, keep_anchoring, open_evidence
from fhir_server.exchange.keeping import (
    Part,
    Parts,
    keep_exchanging,
    open_exchange,
    registry_at,
)
from fhir_server.ids import random_id
from fhir_server.interactions.capabilities import Statements
from fhir_server.interactions.capability_statement import capability_statement
from fhir_server.interactions.cursors import Cursors
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.entering import open_register
from fhir_server.interactions.erasing.erasures import Erasures, Maker
from fhir_server.interactions.exporting.export import Exports
from fhir_server.interactions.labelling import Labelling
from fhir_server.interactions.leaf import index_rest
from fhir_server.interactions.reindex.anew import index_anew
from fhir_server.interactions.reindex.parameters import Parameters
from fhir_server.interactions.upload import keep_swept
from fhir_server.labels import read_label_rules
from fhir_server.measures import AnchorMeasures, Measures
from fhir_server.memory import settle_memory
from fhir_server.ownership import administrative_types
from fhir_server.pipeline.heeding import Heeding
from fhir_server.pipeline.policies import Policies
from fhir_server.pipeline.run import Pipeline
from fhir_server.pipeline.scribe import Scribe
from fhir_server.portal.asking import Asking
from fhir_server.portal.authorization import AuthorizationRoutes
from fhir_server.portal.brands import BrandRoutes, read_brands
from fhir_server.portal.cosigning import post
from fhir_server.portal.documentation import DocumentationRoutes
from fhir_server.portal.health import HealthRoutes, Probes
from fhir_server.portal.hooks import HookRoutes
from fhir_server.portal.log import LogRoutes
from fhir_server.portal.metrics import MetricsRoutes
from fhir_server.portal.patients import PipelinePatients
from fhir_server.portal.record_access import PipelineRecordAccess
from fhir_server.portal.together import Gauges, Shared
from fhir_server.portal.verifier import verifier_router
from fhir_server.portal.witness import WitnessRoutes
from fhir_server.rest.routes import FhirRoutes
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import OWN_TYPES, Searchable
from fhir_server.settings import Settings
from fhir_server.smart import open_smart
from fhir_server.store.database import Database
from fhir_server.store.grants import SealedRegister
from fhir_server.tracing import open_tracing
from fhir_server.transparency import Transparency, open_transparency
from fhir_server.vault.documents import Documents
from fhir_server.vault.ledger import Ledger
from fhir_server.vault.vault import Vault
from profiles.definitions import r4
from profiles.validation import r4_validator
from smart_auth.server import SmartServer

_ANCHOR_WAIT = 5.0  # seconds; the anchorer looks every second what is wanted
_LOG = logging.getLogger("consentry")


@dataclass(frozen=True, slots=True)
class House:
    """A server's rooms, open and connected."""

    settings: Settings
    database: Database
    keys: Keychain
    vault: Vault
    smart: SmartServer
    transparency: Transparency
    anchorer: Anchorer
    anchoring: Condition
    pipeline: Pipeline
    exchange: Sequence[Part]


def clock() -> datetime:
    """The real time, UTC."""
    return datetime.now(UTC)


_STARTED = clock()  # of this program: its workers say the same of themselves


def _since() -> str:
    return _STARTED.isoformat(timespec="seconds")


def _now() -> int:
    return int(clock().timestamp() * 1000)


async def open_house(settings: Settings) -> House:
    """Open everything that a server needs.

    Raises:
        SettingsError: A setting can not be used; the message says which and what to do.
        WrongKeyError: The key is not the one that this store was sealed with.
    """
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive = await open_vault(settings)
    database, own, vault = archive.database, archive.own, archive.vault
    await archive.rotation.begin()
    await vault.prepare(_now())
    asking = Asking(lambda: pipeline, clock)
    pages = PipelinePatients(asking), PipelineRecordAccess(asking)
    smart = await open_smart(settings, archive, clock, _since(), *pages)
    transparency = await open_transparency(settings, database, own, post)
    anchorer = await open_evidence(settings, database, own, transparency)
    ordinary, mandatory = read_admin_policies(settings)
    config = Config(
        zone=ZoneInfo(settings.zone),
        admin_policies=ordinary,
        mandatory_policies=mandatory,
        break_glass=frozenset(settings.break_glass),
        base=settings.fhir_base,
    )
    searchable = Searchable(r4())
    tokenizer = Tokenizer(searchable, vault.blind)
    parameters = Parameters(
        vault, database.reindex, searchable, tokenizer, r4(), database.news.tell
    )
    documents = Documents(database.chunks, settings.tenant)
    erasures = open_erasures(settings, vault, tokenizer)
    cursor_key = await own.get("cursors", new_seed)
    exports = Exports(SealedRegister(database.register, await own.get("exports", new_seed)))
    tools = _tools(settings, anchorer, parameters, documents, erasures, exports, cursor_key)
    await parameters.reload()
    await erasures.prove()
    await index_anew(vault, database.reindex, tokenizer, r4().resource_types)
    await index_rest(vault, tokenizer, database.events)
    await open_register(vault, own, archive.index_key)
    await erasures.resume(_now())
    tools.capability(
        "CapabilityStatement", ""
    )  # compiles every search parameter before anybody asks
    policies = Policies(config)
    vault.on_forget(policies.forget)
    heeding = Heeding(database.news, vault, (smart.recheck, parameters.reload))
    tracing = open_tracing(os.environ)
    pipeline = Pipeline(
        vault, smart, policies, tools, heeding, Scribe(vault, tools), tracing=tracing
    )
    exchange = await open_exchange(
        Parts(
            *(settings, own, vault, tools, heeding.unit),
            *(smart.credentials, policy_bundle(settings)),
        )
    )
    return House(
        *(settings, database, archive.keys, vault, smart),
        *(transparency, anchorer, Condition(), pipeline, exchange),
    )


def open_erasures(settings: Settings, vault: Vault, tokenizer: Tokenizer) -> Erasures:
    """What erases patients; whoever keeps in memory what came out of records forgets it with the keys."""
    maker = Maker(random_id, secrets.token_bytes, settings.fhir_base, settings.custodian)
    vault.on_forget(tokenizer.forget)
    vault.on_forget(vault.blind.forget)
    ledger = Ledger(erasures_file(settings))
    return Erasures(vault, ledger, tokenizer, (*r4().resource_types, *OWN_TYPES), maker)


async def close_house(house: House) -> None:
    """Let go of the database."""
    await house.database.close()
    house.pipeline.tracing.close()


@asynccontextmanager
async def open_tokens(settings: Settings) -> AsyncIterator[SmartServer]:
    """Only the authorization server, for commands on the machine that holds the keys.

    Raises:
        SettingsError: There is no database there.
    """
    async with open_archive(settings) as archive:
        yield await open_smart(settings, archive, clock, _since())


def _tools(
    settings: Settings,
    anchorer: Anchorer,
    parameters: Parameters,
    documents: Documents,
    erasures: Erasures,
    exports: Exports,
    cursor_key: bytes,
) -> Tools:
    definitions = r4()
    searchable = parameters.searchable
    statement = partial(
        capability_statement,
        definitions,
        searchable,
        settings.fhir_base,
        f"{settings.public_url}/auth",
        _since(),
        settings.conditional_delete,
    )
    lifetime = int(settings.cursor_lifetime.total_seconds() * 1000)
    return Tools(
        definitions=definitions,
        searchable=searchable,
        tokenizer=parameters.tokenizer,
        validator=r4_validator(),
        strict=settings.validation == "strict",
        cursors=Cursors(cursor_key, lifetime),
        base=settings.fhir_base,
        page=(settings.page_size, settings.max_page_size),
        max_candidates=settings.max_candidates,
        most_deleted=settings.conditional_delete,
        zone=ZoneInfo(settings.zone),
        custodian=settings.custodian,
        administrative=administrative_types(definitions),
        new_id=random_id,
        new_secret=secrets.token_bytes,
        prove=anchorer.prove,
        anchor_wait=_ANCHOR_WAIT,
        erasures=erasures,
        capability=Statements(searchable, statement).current,
        parameters=parameters,
        documents=documents,
        exports=exports,
        labelling=Labelling(
            read_label_rules(settings), settings.custodian, administrative_types(definitions)
        ),
        most_inline=settings.max_body_bytes,
        show_redaction=settings.show_redaction,
        grants=registry_at(settings, settings.chain_grants),
        consents=registry_at(settings, settings.chain_consents),
    )


def _probes(house: Callable[[], House], settings: Settings) -> Probes:
    async def write() -> None:
        async with house().database.store.writing() as unit:
            await unit.notes.save("health", b"")

    async def wrap() -> None:
        keys, purpose = house().keys, b"health"
        wrapped = await asyncio.to_thread(keys.wrap, bytes(32), purpose)
        await asyncio.to_thread(keys.unwrap, wrapped, purpose)

    late = settings.anchor_late.total_seconds()
    return Probes(write, wrap, partial(_anchoring, house), late)


def _anchoring(house: Callable[[], House]) -> AnchorMeasures:
    measures, log = house().anchoring.measures(house().anchorer, clock()), house().transparency
    measures.uncosigned, measures.conflicts = log.announcer.uncosigned, log.witness.refused
    return measures


def _gauges(house: Callable[[], House]) -> Gauges:
    return Gauges(
        events=lambda: house().anchorer.size,
        anchoring=partial(_anchoring, house),
        batches=lambda: house().database.batches,
        prepared=lambda: house().pipeline.prepared,
        waiting=lambda: house().database.waiting(),
        reindexing=lambda: house().pipeline.tools.parameters.left,
    )


def create_app(settings: Settings, failures: list[Exception] | None = None) -> ASGIApp:
    """The ASGI application; the house opens when it starts and closes when it stops.

    Args:
        failures: Takes the error with which the house did not open, so that it can be told in a sentence.
    """
    opened: list[House] = []
    measures = Measures()
    shared = Shared(settings.data, measures, _gauges(lambda: opened[0]))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            house = await open_house(settings)
        except Exception as error:
            if failures is not None:
                failures.append(error)
            raise
        opened.append(house)
        settle_memory()
        _LOG.info(
            "started", extra={"policy": settings.policy_name, "custodian": settings.custodian}
        )
        parameters = house.pipeline.tools.parameters
        beside = (
            asyncio.create_task(
                keep_anchoring(
                    house.anchorer,
                    house.database.leases,
                    house.database.store,
                    clock,
                    house.anchoring,
                )
            ),
            asyncio.create_task(
                parameters.run(
                    settings.reindex_pause.total_seconds(),
                    partial(house.database.leases.holds, "reindexing"),
                )
            ),
            asyncio.create_task(keep_swept(house.pipeline.tools.documents, clock)),
            asyncio.create_task(shared.keep()),
            *(
                asyncio.create_task(keep_exchanging(part, house.database.leases, clock))
                for part in house.exchange
            ),
        )
        yield
        for task in beside:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await close_house(house)

    app = FastAPI(
        title="Consentry", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[
            *("ETag", "Location", "Last-Modified", "X-Request-Id"),
            *("Accept-Ranges", "Content-Range", "WWW-Authenticate", "DPoP-Nonce"),
            *("Disclosure-Notice", "Disclosure-Refrain", "Link"),
        ],
    )
    fhir = FhirRoutes(
        lambda: opened[0].pipeline,
        clock,
        settings.max_body_bytes,
        settings.max_bundle_bytes,
        settings.max_binary_bytes,
        measures,
    )

    async def heed() -> None:
        await opened[0].pipeline.heeding.heed()

    authorization = AuthorizationRoutes(lambda: opened[0].smart, heed)
    app.include_router(authorization.router)
    app.include_router(BrandRoutes(read_brands(settings, r4_validator(), _since())).router)
    app.include_router(DocumentationRoutes(lambda: opened[0].pipeline.tools).router)
    app.router.routes.extend(fhir.routes)
    hooks = HookRoutes(lambda: opened[0].pipeline, clock, settings.public_url)
    app.include_router(hooks.router)
    app.include_router(HealthRoutes(_probes(lambda: opened[0], settings)).router)
    app.include_router(verifier_router())
    app.include_router(LogRoutes(lambda: opened[0].transparency).router)
    app.include_router(WitnessRoutes(lambda: opened[0].transparency.witness, clock).router)
    app.include_router(MetricsRoutes(shared, settings.metrics_token).router)
    return fhir.in_front_of(app)
