"""The anchorer at work beside the server: started with it, never on the way of a request."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from anchoring.chain.chain import Chain, Head
from anchoring.chain.journal import Anchored, decode_anchor
from anchoring.errors import (
    AnchoringError,
    AuditFailure,
    ChainError,
    ChainUnavailableError,
    HistoryError,
    NotCosignedError,
)
from anchoring.log.checkpoint import log_id
from anchoring.log.log import Log, NoTiles
from anchoring.publishing.anchorer import Anchorer, Cadence, open_anchorer
from anchoring.receipts.audit import StoredEvent
from fhir_server.chains import account_secret, json_rpc_chain
from fhir_server.crypto.keys import new_seed
from fhir_server.errors import (
    KeyDestroyedError,
    SettingsError,
    StoreFullError,
    StoreLostError,
    TamperedRecordError,
)
from fhir_server.measures import AnchorMeasures
from fhir_server.settings import Settings
from fhir_server.store.database import Database, Leases
from fhir_server.store.own_secrets import Secrets
from fhir_server.store.protocol import AuditRow, Store
from fhir_server.store.shelf import ANCHOR_WANTED
from fhir_server.transparency import Transparency, log_seeds
from fhir_server.vault.vault import Reader

CHAIN_FILE = "chain.sqlite"
CHAIN_MARK = "chain.mark"  # a random number beside it, by which its folder is known
_TASK = "anchoring"
_LOG = logging.getLogger("consentry")
_PAUSE = 1.0  # seconds between two looks at the log
_LONGEST_REST = 60  # looks
_BETWEEN = 5  # looks while a transaction is waited for: nodes are paid by the question
_FEW = 64  # tiles that may be missing at start: they are written with those that come
_OFTEN = 4096  # tiles, a million events, between two lines that tell how far it is


def preload_evidence(settings: Settings) -> None:
    """What opening takes into memory whatever the log is: once, before a server forks its workers."""
    if not settings.chain_url:
        from anchoring.chain.embedded import import_py_evm

        import_py_evm()


async def open_evidence(
    settings: Settings, database: Database, secrets: Secrets, transparency: Transparency
) -> Anchorer:
    """The anchorer of this server's log, checked against its chain.

    Raises:
        SettingsError: The embedded chain has another id than the settings say.
        WrongChainError: The chain is not the one of the settings, or that this log was anchored on.
        HistoryError: The stored log is not what was anchored.
    """
    await _require_same_chain(settings, secrets)
    key = await account_secret(secrets).load()
    chain = await asyncio.to_thread(_open_chain, settings, key)
    if settings.chain_id and not settings.chain_url:
        found = await asyncio.to_thread(chain.identity)
        if found.chain_id != settings.chain_id:
            raise SettingsError(
                f"the chain has id {found.chain_id}, chain_id says {settings.chain_id}"
            )
    cadence = Cadence(settings.anchor_events, settings.anchor_interval)
    await _fill(transparency.log, database.leases)
    return await open_anchorer(
        transparency.log, database.anchors, chain, transparency.announcer, cadence
    )


async def _fill(log: Log, leases: Leases) -> None:
    """Write the tiles that a database without any lacks, or one that grew long beside its server; one process does it."""
    while await log.untiled() > _FEW:
        if await leases.holds(_TASK):
            await log.grow(_tell_filled)
        else:
            await asyncio.sleep(_PAUSE)


def _tell_filled(done: int, goal: int) -> None:
    if done % _OFTEN == 0 or done == goal:
        _LOG.info("writing the log's tiles", extra={"done": done, "of": goal})


async def _require_same_chain(settings: Settings, secrets: Secrets) -> None:
    """The embedded chain is a file: servers on one database must have the same one, so they run on one machine.

    Raises:
        SettingsError: This database is anchored on an embedded chain in another data folder.
    """
    if settings.chain_url or not settings.store:
        return
    mark = settings.data / CHAIN_MARK
    if not mark.exists():
        mark.write_text(new_seed().hex())
    if await secrets.get("embedded-chain", mark.read_bytes) != mark.read_bytes():
        raise SettingsError(
            "this database is anchored on an embedded chain in another data folder: share that folder, or name a chain"
            " that all servers reach (chain_url)"
        )


async def chain_head(settings: Settings, secrets: Secrets) -> Head:
    """What the chain holds of this server's log; of an embedded chain that is not there, nothing.

    Raises:
        ChainUnavailableError: The chain does not answer.
    """
    log = log_id((await log_seeds(settings, secrets)).origin)
    if settings.chain_url:
        key = await account_secret(secrets).load()
        chain = await asyncio.to_thread(_open_chain, settings, key)
        return await asyncio.to_thread(chain.head, log)
    return await asyncio.to_thread(_embedded_head, settings.data / CHAIN_FILE, log)


async def require_past(database: Database, head: Head) -> None:
    """Refuse a log of which the chain, or its own journal, holds what is not its past.

    Raises:
        HistoryError: It is shorter than what was anchored, or another.
    """
    log = Log(database.leaves, NoTiles())  # the tiles themselves may be wrong
    record = await database.anchors.last_anchor()
    last = decode_anchor(record).made if record else None
    if last is not None and not head.size:
        raise HistoryError(f"{last.size} events were anchored, of which the chain knows nothing")
    for size, root in ((head.size, head.root), *([(last.size, last.root)] if last else [])):
        if size:
            await log.require_past(size, root)


def _embedded_head(file: Path, log: bytes) -> Head:
    from anchoring.chain.embedded import EmbeddedChain

    if not file.exists():
        return Head(bytes(20), 0, bytes(32))
    chain = EmbeddedChain(file, None)
    try:
        return chain.head(log)
    finally:
        chain.close()


async def stored_events(reader: Reader, start: int, stop: int) -> list[StoredEvent]:
    """Events ``start`` to ``stop - 1`` of the log, each opened to be compared with its commitment.

    Raises:
        AuditFailure: An AuditEvent is gone, or is not what was sealed.
    """
    rows = await reader.audit_rows(start, stop)  # of the same snapshot: others go on writing
    return [await _stored_event(row, reader) for row in rows]


async def _stored_event(row: AuditRow, reader: Reader) -> StoredEvent:
    versions = await reader.history(row.rid)
    if not versions:
        raise AuditFailure(row.n, f"event {row.n}: its AuditEvent is not in the store")
    first = versions[-1]
    try:
        event = await reader.open(first)
        k = await reader.open_commitment(first, row)
    except KeyDestroyedError as error:
        if not first.buried:
            raise AuditFailure(
                row.n, f"event {row.n}: its key is another's, who was erased"
            ) from error
        return StoredEvent(row.n, row.commitment, None, None)
    except TamperedRecordError as error:
        reason = f"event {row.n}: its AuditEvent or opening is not what was sealed"
        raise AuditFailure(row.n, reason) from error
    return StoredEvent(row.n, row.commitment, event, k)


def _open_chain(settings: Settings, key: bytes) -> Chain:
    if settings.chain_url:
        return json_rpc_chain(settings, key)
    from anchoring.chain.embedded import EmbeddedChain

    return EmbeddedChain(Path(settings.data) / CHAIN_FILE, key)


async def _hurry(anchorer: Anchorer, store: Store) -> None:
    """Anchor at once what some process wants to be anchored: a patient's erasure is proved without waiting."""
    async with store.reading() as snapshot:
        wanted = await snapshot.notes.find(ANCHOR_WANTED)
    if wanted is not None:
        anchorer.hurry(int.from_bytes(wanted, "big"))


class Condition:
    """How anchoring is: whether it goes on, and when a run that failed is tried again.

    Attributes:
        failures: Runs that failed, by kind of error.
        stopped: Whether it has ended, and somebody must look.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """Anchoring goes on.

        Args:
            chance: From 0 to 1; servers whose chain was down must not all come back at once.
        """
        self._chance = chance
        self._failed = 0  # in a row
        self._rests = 0  # looks until the next run
        self.failures: Counter[str] = Counter()
        self.stopped = False

    def is_due(self) -> bool:
        """Whether the chain is to be asked at this look at the log."""
        self._rests = max(0, self._rests - 1)
        return not self._rests

    def succeed(self, rests: int = 0) -> None:
        """A run came to its end; the chain need not be asked for so many looks."""
        self._failed, self._rests = 0, rests

    def fail(self, error: Exception) -> int:
        """A run failed, and is tried again: after two looks, four, and so on to a minute, and by chance up to half less.

        Returns:
            After how many looks.
        """
        self.failures[type(error).__name__] += 1
        self._failed += 1
        longest = min(2**self._failed, _LONGEST_REST)
        self._rests = max(1, round(longest * (1 - self._chance() / 2)))
        return self._rests

    def stop(self, error: Exception) -> None:
        """It has ended."""
        self.failures[type(error).__name__] += 1
        self.stopped = True

    def measures(self, anchorer: Anchorer, now: datetime) -> AnchorMeasures:
        """What there is to tell."""
        since, figures = anchorer.waiting_since, anchorer.figures
        return AnchorMeasures(
            lag=anchorer.lag,
            waited=max(0.0, (now - since).total_seconds()) if since else 0.0,
            stopped=int(self.stopped),
            block=figures.block,
            gas_per_event=figures.gas_per_event,
            anchors=figures.anchors,
            paid=figures.paid,
            replaced=figures.replaced,
            moved=figures.moved,
            failures=Counter(self.failures),
        )


async def keep_anchoring(
    anchorer: Anchorer,
    leases: Leases,
    store: Store,
    clock: Callable[[], datetime],
    condition: Condition,
) -> None:
    """Anchor what is due, until cancelled, or until chain and log contradict each other.

    A chain that is down only makes the log wait.  A contradiction is told as loudly as can be, and nothing is anchored any
    more; the server goes on, since every event is durable first, and care does not wait for evidence.  Of the processes that
    share a database one anchors; the others follow, so that they can prove, and one of them takes over when it dies.
    """
    leads = True  # what there was to resume was resumed when it was opened
    while not condition.stopped:
        try:
            led, leads = leads, await leases.holds(_TASK)
            if leads and not led:
                await anchorer.resume()
            await _look(anchorer, store, clock(), condition if leads else None)
        except Exception as error:  # noqa: BLE001  whatever it is must neither go untold nor end it untold
            _fail(error, condition, anchorer.lag)
        await asyncio.sleep(_PAUSE)


async def _look(
    anchorer: Anchorer, store: Store, now: datetime, condition: Condition | None
) -> None:
    """One look at the log; None where another process anchors."""
    if condition is None or not condition.is_due():
        await anchorer.follow(now)
        return
    await _hurry(anchorer, store)
    _tell(await anchorer.run_once(now))
    condition.succeed(_BETWEEN if anchorer.under_way else 0)


def _fail(error: Exception, condition: Condition, lag: int) -> None:
    kind = type(error).__name__
    waits = isinstance(
        error, ChainUnavailableError | NotCosignedError | StoreFullError | StoreLostError
    )
    if waits or type(error) is ChainError:  # such as an account without coins
        _LOG.warning(
            "not anchored", extra={"kind": kind, "lag": lag, "rests": condition.fail(error)}
        )
    elif isinstance(error, AnchoringError):
        condition.stop(error)
        _LOG.error(
            "anchoring has stopped: somebody must look",
            extra={"kind": kind, "reason": str(error), "lag": lag},
        )
    else:
        _LOG.error(
            "anchoring failed", extra={"kind": kind, "lag": lag, "rests": condition.fail(error)}
        )


def _tell(anchored: Anchored | None) -> None:
    if anchored is not None:
        _LOG.info("anchored", extra={"size": anchored.made.size, "block": anchored.block})
