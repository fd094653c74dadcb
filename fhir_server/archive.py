"""A database with the keys to open it: what a server and the commands beside it have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.choosing import key_provider
from fhir_server.crypto.keychain import Keychain
from fhir_server.crypto.keys import new_seed
from fhir_server.crypto.scopes import PatientOnly
from fhir_server.errors import SettingsError
from fhir_server.interactions.entering import INDEX_KEY
from fhir_server.interactions.leaf import index_rest
from fhir_server.interactions.registries.mirroring import CONSUMER as FILING
from fhir_server.interactions.registries.requesting import CONSUMER as REQUESTING
from fhir_server.interactions.reindex.parameters import Parameters
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.store.opening import open_database
from fhir_server.store.own_secrets import Secrets
from fhir_server.vault.keyring import KeyRing
from fhir_server.vault.rotation import Rotation, keks_of
from fhir_server.vault.vault import Vault
from profiles.definitions import r4

_SCOPES = "patient-only"


@dataclass(frozen=True, slots=True)
class Archive:
    """An existing database with the keys to open it, without a server."""

    database: Database
    own: Secrets
    vault: Vault
    keys: Keychain
    rotation: Rotation
    index_key: bytes = field(repr=False)


@asynccontextmanager
async def open_archive(settings: Settings) -> AsyncIterator[Archive]:
    """Open an existing database.

    Raises:
        SettingsError: There is none.
        WrongKeyError: The key is not the one that it was sealed with.
    """
    archive = await open_vault(settings, create=False)
    try:
        yield archive
    finally:
        await archive.database.close()


async def open_vault(settings: Settings, *, create: bool = True) -> Archive:
    """Open a database, or make it if there is none and ``create``; whoever opens it closes it.

    Raises:
        SettingsError: It can not be used, or was made with other settings.
        WrongKeyError: The key is not the one that it was sealed with.
    """
    database = await open_database(settings, create=create)
    try:
        keys = key_provider(settings, may_create=database.fresh)
        async with database.store.reading() as snapshot:
            keys.require(*(await keks_of(snapshot.notes)).names)
        own = Secrets(database.secrets, keys, settings.tenant)
        index_key = await own.get(INDEX_KEY, new_seed)
        await _require_same_scopes(settings, database)
        belonging = frozenset(r4().compartments["Patient"]) - {"Patient", "AuditEvent"}
        scopes = PatientOnly(settings.patient_only, belonging)
        blind = BlindIndex(index_key, settings.tenant, scopes)
    except BaseException:
        await database.close()
        raise
    ring = KeyRing(keys, settings.tenant, blind)
    vault = Vault(database.store, ring, blind, settings.tenant)
    if settings.chain_consents:
        vault.note_changes(FILING, "Consent")
    if settings.chain_grants:
        vault.note_changes(REQUESTING, "Task", "Consent")
    rotation = Rotation(database.store, database.secrets, keys, settings.tenant)
    return Archive(database, own, vault, keys, rotation, index_key)


async def _require_same_scopes(settings: Settings, database: Database) -> None:
    """Which parameters have tokens within patients only is decided once: all tokens are made by it.

    Raises:
        SettingsError: The database was made with others.
    """
    wanted = ",".join(sorted(set(settings.patient_only))).encode()
    async with database.store.reading() as snapshot:
        kept = await snapshot.notes.find(_SCOPES)
    if kept is None and database.fresh:
        async with database.store.writing() as unit:
            await unit.notes.save(_SCOPES, wanted)
    elif (kept or b"") != wanted:
        raise SettingsError(
            f"this database was made with patient_only = '{(kept or b'').decode()}': set it so again"
        )


async def open_index(archive: Archive) -> Tokenizer:
    """What makes tokens for a command that writes, custom parameters too; what a crash left undone in the index is done."""
    searchable, database = Searchable(r4()), archive.database
    tokenizer = Tokenizer(searchable, archive.vault.blind)
    parameters = Parameters(
        archive.vault, database.reindex, searchable, tokenizer, r4(), database.news.tell
    )
    await parameters.reload()
    await index_rest(archive.vault, tokenizer, database.events)
    return tokenizer
