"""The audit log as a transparency log, and the witness that this server is for those of others."""

import logging
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from anchoring.errors import CheckpointError
from anchoring.log.checkpoint import (
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    LogKey,
    LogSeeds,
    WitnessSeeds,
    parse_vkey,
)
from anchoring.log.log import Log
from anchoring.witnessing.announcing import Announcer
from anchoring.witnessing.witness import Logs, Witness
from anchoring.witnessing.witnesses import (
    MOST_WITNESSES,
    Post,
    Quorum,
    WitnessAt,
    Witnesses,
    ask_nobody,
)
from fhir_server.crypto.keys import new_seed
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.store.noted import NotedRecords
from fhir_server.store.own_secrets import Secrets

ORIGIN = "log-origin"
_WITNESS_KEYS = ("witness-ed25519", "witness-mldsa44")
_WITHOUT = {"anchor": False, "wait": True}  # what is done when the quorum is not reached
_LOG = logging.getLogger("consentry")


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
    settings: Settings, database: Database, secrets: Secrets, post: Post = ask_nobody
) -> Transparency:
    """The log of a server; nothing of it is read yet.

    Args:
        post: The way to the witnesses.

    Raises:
        SettingsError: A file of witnesses or logs can not be used.
    """
    log, records = Log(database.leaves, database.tiles), NotedRecords(database.store)
    witnesses = Witnesses(read_witnesses(settings), post, records, _tell)
    announcer = Announcer(log, await log_seeds(settings, secrets), records, witnesses)
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
        *[await secrets.get(each, new_seed) for each in _WITNESS_KEYS],
    )
    return Witness(seeds, read_witness_logs(settings), NotedRecords(database.store))


async def renew_witness(secrets: Secrets) -> None:
    """Give the witness other keys: after a restore it has forgotten what it cosigned with the former ones."""
    for name in _WITNESS_KEYS:
        await secrets.change(name, new_seed())


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


def read_witnesses(settings: Settings) -> Quorum:
    """Who cosigns this server's log.

    Raises:
        SettingsError: ``witnesses`` names no file of the form that docs/anchoring.md shows.
    """
    if not settings.witnesses:
        return Quorum()
    try:
        found = orjson.loads(Path(settings.witnesses).read_bytes())
        named = tuple(_witness(each["url"], each["vkeys"]) for each in found["witnesses"])
        quorum = Quorum(named, found["quorum"], _WITHOUT[found.get("without", "anchor")])
    except KeyError as error:
        raise SettingsError(f"witnesses cannot be used: {error} is missing or unknown") from error
    except (OSError, ValueError, TypeError, AttributeError, CheckpointError) as error:
        raise SettingsError(f"witnesses cannot be used: {error}") from error
    if type(quorum.needed) is not int or not 0 <= quorum.needed <= len(named) <= MOST_WITNESSES:
        raise SettingsError(
            f"witnesses cannot be used: at most {MOST_WITNESSES}, and quorum a number of them"
        )
    if len({each.name for each in named}) < len(named):
        raise SettingsError("witnesses cannot be used: two have one name")
    return quorum


def _witness(url: str, vkeys: list[str]) -> WitnessAt:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not (local or parts.scheme == "https") or not parts.hostname or parts.query:
        raise ValueError("a url is not on https")
    keys = tuple(parse_vkey(vkey) for vkey in vkeys)
    types = [key.type_ for key in keys]
    if not keys or len({key.name for key in keys}) > 1 or len(set(types)) < len(types):
        raise ValueError("a witness has one name, and at most one key of a kind")
    if not set(types) <= {ED25519_COSIGNATURE, MLDSA44_COSIGNATURE}:
        raise ValueError("a witness's key is not one for cosignatures")
    return WitnessAt(url.rstrip("/"), keys)


def _tell(name: str, words: str) -> None:
    loud = _LOG.error if words.startswith("ahead") else _LOG.warning
    loud("a witness did not cosign", extra={"witness": name, "because": words})


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
