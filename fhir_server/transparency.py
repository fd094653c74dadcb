"""The audit log as a transparency log: its name and keys, its tiles, and its newest signed state."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from anchoring.announcing import Announcer
from anchoring.checkpoint import LogSeeds
from anchoring.log import Log
from fhir_server.crypto.keys import new_seed
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
    """

    log: Log
    announcer: Announcer


async def open_transparency(
    settings: Settings, database: Database, secrets: Secrets
) -> Transparency:
    """The log of a server; nothing of it is read yet."""
    log = Log(database.leaves, database.tiles)
    seeds = await log_seeds(settings, secrets)
    return Transparency(log, Announcer(log, seeds, NotedRecords(database.store)))


async def log_seeds(settings: Settings, secrets: Secrets) -> LogSeeds:
    """The log's name and signing keys; the name is fixed at the first start, whatever the url becomes."""
    host = urlsplit(settings.public_url).hostname or "localhost"
    origin = await secrets.get(ORIGIN, lambda: f"{host}/audit/{settings.tenant}".encode())
    return LogSeeds(
        origin.decode(),
        await secrets.get("log-ed25519", new_seed),
        await secrets.get("log-mldsa44", new_seed),
    )
