"""The anchorer at work beside the server: started with it, never on the way of a request."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from anchoring.anchorer import Anchorer, Cadence, open_anchorer
from anchoring.chain import Chain
from anchoring.checkpoint import LogSeeds
from anchoring.errors import ChainUnavailableError
from fhir_server.crypto.keys import new_account_key, new_seed
from fhir_server.settings import Settings
from fhir_server.store.sqlite import SqliteStore
from fhir_server.store.sqlite_grants import Secrets
from fhir_server.store.sqlite_log import SqliteJournal, SqliteLeaves

CHAIN_FILE = "chain.sqlite"
_LOG = logging.getLogger("consentry")
_PAUSE = 1.0  # seconds between two looks at the log


async def open_evidence(settings: Settings, store: SqliteStore, secrets: Secrets) -> Anchorer:
    """The anchorer of this server's log, checked against its chain.

    Raises:
        WrongChainError: The chain is not the one this log was anchored on.
        HistoryError: The stored log is not what was anchored.
        ChainUnavailableError: The chain does not answer.
    """
    host = urlsplit(settings.public_url).hostname or "localhost"
    origin = await secrets.get("log-origin", lambda: f"{host}/audit/{settings.tenant}".encode())
    seeds = LogSeeds(
        origin.decode(), await secrets.get("log-ed25519", new_seed), await secrets.get("log-mldsa44", new_seed)
    )
    key = await secrets.get("chain-account", new_account_key)
    chain = await asyncio.to_thread(_open_chain, settings, key)
    cadence = Cadence(settings.anchor_events, settings.anchor_interval)
    return await open_anchorer(SqliteLeaves(store), SqliteJournal(store), chain, seeds, cadence)


def _open_chain(settings: Settings, key: bytes) -> Chain:
    if settings.chain_url:
        from anchoring.evm import JsonRpcChain, RpcSettings, connect

        contract = bytes.fromhex(settings.chain_contract.removeprefix("0x"))
        rpc = RpcSettings(contract, key, settings.chain_confirmations)
        return JsonRpcChain(connect(settings.chain_url), rpc)
    from anchoring.embedded import EmbeddedChain

    return EmbeddedChain(Path(settings.data) / CHAIN_FILE, key)


async def keep_anchoring(anchorer: Anchorer, clock: Callable[[], datetime]) -> None:
    """Anchor what is due, until cancelled.  A chain that is down only makes the log wait."""
    while True:
        try:
            anchored = await anchorer.run_once(clock())
            if anchored is not None:
                _LOG.info("anchored", extra={"size": anchored.made.size, "block": anchored.block})
        except ChainUnavailableError as error:
            _LOG.warning("chain unavailable", extra={"kind": type(error).__name__, "lag": anchorer.lag})
        await asyncio.sleep(_PAUSE)


async def anchor_now(anchorer: Anchorer, clock: Callable[[], datetime]) -> None:
    """Anchor whatever waits, as a server does before it stops."""
    with suppress(ChainUnavailableError):
        await anchorer.run_once(clock())
