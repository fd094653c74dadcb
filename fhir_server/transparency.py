"""The audit log as a transparency log, and the witness that this server is for those of others."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from anchoring.announcing import Announcer
from anchoring.checkpoint import LogKey, LogSeeds, WitnessSeeds, parse_vkey
from anchoring.errors import CheckpointError
from anchoring.log import Log
from anchoring.witness import Logs, Witness
from fhir_server.crypto.keys import new_seed
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.store.noted import NotedRecords
from fhir_server.store.own_secrets import Secrets

ORIGIN = "log-origin"


@dataclass(frozen=True, slots=True)
class Transparency:
    """One server's log, for whoever may read it: everybody.

    Attributes:
        log: Its tiles and proofs.
        announcer: Its signed states.
        witness: Cosigns the states of others' logs.
    """

    log: Log
    announcer: Announcer
    witness: Witness


async def open_transparency(
    settings: Settings, database: Database, secrets: Secrets
) -> Transparency:
    """The log of a server; nothing of it is read yet.

    Raises:
        SettingsError: A file of witnesses or logs can not be used.
    """
    log, records = Log(database.leaves, database.tiles), NotedRecords(database.store)
    announcer = Announcer(log, await log_seeds(settings, secrets), records)
    return Transparency(log, announcer, await open_witness(settings, database, secrets))


async def open_witness(settings: Settings, database: Database, secrets: Secrets) -> Witness:
    """The witness alone.

    Raises:
        SettingsError: The file of logs can not be used.
    """
    host = urlsplit(settings.public_url).hostname or "localhost"
    name = await secrets.get("witness-name", lambda: f"{host}/witness/{settings.tenant}".encode())
    seeds = WitnessSeeds(
        name.decode(),
        await secrets.get("witness-ed25519", new_seed),
        await secrets.get("witness-mldsa44", new_seed),
    )
    return Witness(seeds, read_witness_logs(settings), NotedRecords(database.store))


def read_witness_logs(settings: Settings) -> Logs:
    """The logs that this server cosigns, by name, with the keys of which one must have signed.

    Raises:
        SettingsError: ``witness_logs`` names no JSON object of names and arrays of verifier keys, or a key is another log's.
    """
    if not settings.witness_logs:
        return {}
    try:
        found = orjson.loads(Path(settings.witness_logs).read_bytes())
        return {str(origin): _keys(origin, vkeys) for origin, vkeys in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, CheckpointError) as error:
        raise SettingsError(f"witness_logs cannot be used: {error}") from error


def _keys(name: str, vkeys: list[str]) -> tuple[LogKey, ...]:
    keys = tuple(parse_vkey(vkey) for vkey in vkeys)
    if not keys or any(key.name != name for key in keys):
        raise ValueError(f"{name} has no key, or one under another name")
    return keys


async def log_seeds(settings: Settings, secrets: Secrets) -> LogSeeds:
    """The log's name and signing keys; the name is fixed at the first start, whatever the url becomes."""
    host = urlsplit(settings.public_url).hostname or "localhost"
    origin = await secrets.get(ORIGIN, lambda: f"{host}/audit/{settings.tenant}".encode())
    return LogSeeds(
        origin.decode(),
        await secrets.get("log-ed25519", new_seed),
        await secrets.get("log-mldsa44", new_seed),
    )
