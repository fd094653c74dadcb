"""The authorization server put together: what of the house ``smart_auth`` needs, given to it."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from fhir_server.archive import Archive
from fhir_server.crypto.keys import new_seed
from fhir_server.errors import SettingsError
from fhir_server.portal.attempts import AuditedAttempts
from fhir_server.portal.brands import PATH as BRANDS
from fhir_server.portal.brands import read_brands
from fhir_server.portal.fetching import Fetcher
from fhir_server.portal.outside_provider import provider_of
from fhir_server.portal.scope_support import SearchedScopes
from fhir_server.settings import Settings
from fhir_server.store.grants import SealedGrants, SealedRegister
from fhir_server.store.own_secrets import OwnSecret
from profiles.validation import r4_validator
from smart_auth.authorization.launch import PatientDirectory
from smart_auth.clients.registry import ClientRegistry
from smart_auth.people.record_access import RecordAccess
from smart_auth.people.users import UserRegistry
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from smart_auth.tokens.jwt import generate_keys, load_keys


async def open_smart(
    settings: Settings,
    archive: Archive,
    clock: Callable[[], datetime],
    since: str,
    patients: PatientDirectory | None = None,
    record_access: RecordAccess | None = None,
) -> SmartServer:
    """The authorization server on a database.

    Args:
        since: When this program was started, as a FHIR instant.
        patients: Where its pages find patients; None for commands, which show none; so is ``record_access``,
            where they find who has seen a record.

    Raises:
        SettingsError: A file that the settings name can not be used.
    """
    own = archive.own
    smart_settings = SmartSettings(
        issuer=f"{settings.public_url}/auth",
        fhir_base=settings.fhir_base,
        custodian=settings.custodian,
        brand_bundle=f"{settings.public_url}{BRANDS}",
        brand_identifier=read_brands(settings, r4_validator(), since).identifier,
        second_factor=settings.second_factor_rule,
        outside_name=settings.sign_in_name if settings.sign_in_issuer else "",
    )
    key_store = OwnSecret(own, "token-keys", generate_keys)
    clients = ClientRegistry.from_mappings(_read_list(settings.clients_file))
    users = UserRegistry.from_mappings(_read_list(settings.users_file))
    grants = SealedGrants(archive.database.grants, await own.get("grants", new_seed), clock)
    register = SealedRegister(archive.database.register, await own.get("register", new_seed))
    smart = SmartServer(
        smart_settings,
        load_keys(await key_store.load()),
        clients,
        users,
        grants,
        register,
        clock,
        patients,
        record_access,
        tell=archive.database.news.tell,
        fetcher=Fetcher(local=_is_local(settings)),
        provider=provider_of(settings),
        key_store=key_store,
        attempts=AuditedAttempts(archive.vault, settings, clock),
        support=SearchedScopes(archive.vault, archive.database, settings.fhir_base),
    )
    await smart.recheck()
    return smart


def _is_local(settings: Settings) -> bool:
    """Whether this is a server for its own machine: then clients may be there, too, without TLS."""
    return settings.env == "development" and urlsplit(settings.public_url).scheme == "http"


def _read_list(name: str) -> list[Mapping[str, object]]:
    if not name:
        return []
    try:
        content = json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name} cannot be read: {error}") from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise SettingsError(f"{name} must hold a JSON list of objects")
    return content
