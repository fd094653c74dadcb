"""The custom search parameters in use, and the jobs that bring the records written before them into the index.

A parameter is in use from the commit that made its SearchParameter active: what is written from then on gets its tokens at
once.  Older records get theirs from a job, in small units of work, in the order of creation.  Until it is complete a search
by the parameter is not narrowed by the index, but decided on every record that the caller may see: slower, never wrong.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from fhir_server.errors import IntegrityError, InvalidResourceError, StoreFullError, StoreLostError
from fhir_server.interactions.reindex.jobs import (
    COMPLETE,
    FAILED,
    IN_PROGRESS,
    QUEUED,
    Job,
    Journal,
    definition_of,
    pack_job,
    unpack_job,
)
from fhir_server.interactions.reindex.stored import Stored, active_parameters
from fhir_server.search.custom import read_parameter, types_of
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Custom, Searchable
from fhir_server.store.database import ALL_TOKENS
from fhir_server.vault.vault import Vault
from profiles.definitions import Definitions, SearchParameter

_LOG = logging.getLogger("consentry")
_UNIT = 24  # records: a few milliseconds in which others wait
_SAVED = 4  # units after which a job's place is kept; a killed server does these again
_WAIT = 1.0  # seconds until a job goes on that met a full disk
_LOOK = 1.0  # seconds between two looks whether the jobs are this process' own
_UNFINISHED = frozenset({QUEUED, IN_PROGRESS})


@dataclass(frozen=True, slots=True)
class InUse:
    """A custom parameter.

    Attributes:
        reference: ``SearchParameter/[id]``.
        types: The types for which it can be searched.
    """

    reference: str
    parameter: SearchParameter
    types: tuple[str, ...]
    job: Job


class Parameters:
    """The custom search parameters of one server."""

    def __init__(
        self,
        vault: Vault,
        journal: Journal,
        searchable: Searchable,
        tokenizer: Tokenizer,
        definitions: Definitions,
        tell: Callable[[], Awaitable[None]],
    ) -> None:
        self._tell = tell
        self._leads = False  # whether the jobs are done by this process
        self._vault = vault
        self._journal = journal
        self._definitions = definitions
        self._lock = asyncio.Lock()  # whoever changes which parameters there are
        self._wanted = asyncio.Event()
        self._units = 0
        self._in_use: dict[str, InUse] = {}
        self.searchable = searchable
        self.tokenizer = tokenizer

    @property
    def in_use(self) -> Mapping[str, InUse]:
        """The custom parameters by the row key of their SearchParameter, hexadecimal."""
        return self._in_use

    @property
    def left(self) -> int:
        """How many records the jobs have not looked at yet."""
        jobs = (each.job for each in self._in_use.values() if each.job.state == IN_PROGRESS)
        return sum(max(0, job.total - job.done) for job in jobs)

    async def reload(self) -> None:
        """Use what the store says now: at the start, and after each commit of any process that wrote a SearchParameter."""
        async with self._lock:
            async with self._vault.reading() as reader:
                stored = await active_parameters(reader)
            kept = await self._journal.load()
            found = self._checked(stored, kept)
            kept = {row: job for row, job in kept.items() if row != ALL_TOKENS}
            for row in kept.keys() - {r for r, each in found.items() if _is_of(each, kept.get(r))}:
                # durable before anything is written without these tokens
                await self._journal.drop(row)
            self._use(found)

    async def look(self) -> None:
        """Use those whose index is complete, as the store says now, and leave the jobs alone: for whoever only looks."""
        async with self._vault.reading() as reader:
            stored = await active_parameters(reader)
        found = self._checked(stored, await self._journal.load())
        self._use({row: each for row, each in found.items() if each.job.state == COMPLETE})

    async def restart(self, row: str) -> None:
        """Begin a parameter's job anew."""
        async with self._lock:
            await self._journal.drop(row)
            if row in self._in_use:
                self._replace(row, Job(self._in_use[row].job.definition))

    async def run(self, pause: float, leads: Callable[[], Awaitable[bool]]) -> None:
        """Do the jobs as they come, with ``pause`` seconds between two units, until cancelled.

        Args:
            leads: Whether this process is the one that does them, of all that share the database; asked again and again.
        """
        while True:
            led, self._leads = self._leads, await leads()
            if self._leads and not led:
                await self.reload()
            self._wanted.clear()
            if not (self._leads and await self._stepped()):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), _LOOK)
            await asyncio.sleep(pause)

    async def _stepped(self) -> bool:
        try:
            return await self.step()
        except StoreFullError:
            _LOG.warning("reindexing waits: the disk is full")
            await asyncio.sleep(_WAIT)
            return True

    async def step(self) -> bool:
        """Do one unit of one job; whether there may be more to do."""
        unfinished = (r for r, each in self._in_use.items() if each.job.state in _UNFINISHED)
        row = next(unfinished, None)
        if row is None:
            return False
        found = self._in_use[row]
        try:
            done = await self._unit(found)
        except (StoreFullError, StoreLostError):
            raise
        except Exception as error:  # noqa: BLE001  a record that does not open must not end all jobs
            integrity = isinstance(error, IntegrityError)
            _LOG.error(
                "reindexing failed", extra={"kind": type(error).__name__}, exc_info=not integrity
            )
            done = replace(found.job, state=FAILED)
        await self._note(row, found, done)
        return True

    async def _unit(self, found: InUse) -> Job:
        job = found.job
        if job.state == QUEUED:
            return await self._begun(found)
        code = found.parameter.code
        async with self._vault.writing() as writer:
            if self.searchable.custom(job.type_, code) is None:
                return job  # it was taken out of use while this unit waited for its turn
            make = partial(self.tokenizer.tokens_of, code)
            rids = await writer.index_records(job.type_, job.rid, _UNIT, make)
        older = [rid for rid in rids if rid <= job.last]
        job = replace(job, rid=max((job.rid, *older)), done=job.done + len(older))
        if len(older) == _UNIT:
            return job
        later = [type_ for type_ in found.types if type_ > job.type_]
        if later:
            return replace(job, type_=later[0], rid=0)
        return replace(job, state=COMPLETE)

    async def _begun(self, found: InUse) -> Job:
        if found.parameter.component:  # a composite has no tokens of its own
            return replace(found.job, state=COMPLETE)
        extents = [await self._journal.extent(type_) for type_ in found.types]
        return replace(
            found.job,
            state=IN_PROGRESS,
            type_=found.types[0],
            last=max(last for _, last in extents),
            total=sum(count for count, _ in extents),
        )

    async def _note(self, row: str, found: InUse, job: Job) -> None:
        """Keep how far a job is, unless its parameter has changed meanwhile."""
        self._units += 1
        changed = job.state != found.job.state
        async with self._lock:
            if self._in_use.get(row) != found:
                return
            if changed or self._units % _SAVED == 0:
                await self._journal.save(row, pack_job(job))
            if changed:
                self._replace(row, job)
                _LOG.info("reindexing", extra={"state": job.state, "records": job.done})
                await self._tell()
            else:
                self._in_use[row] = replace(found, job=job)

    def _replace(self, row: str, job: Job) -> None:
        self._use({**self._in_use, row: replace(self._in_use[row], job=job)})

    def _use(self, found: Mapping[str, InUse]) -> None:
        self._in_use = dict(found)
        self.searchable.adopt(
            [
                Custom(each.parameter, each.types, each.job.state == COMPLETE, each.job.state)
                for each in found.values()
            ]
        )
        self._wanted.set()

    def _checked(self, stored: list[Stored], kept: Mapping[str, bytes]) -> dict[str, InUse]:
        """What can be used of what is stored; of two that exclude each other, the older one."""
        found: dict[str, InUse] = {}
        for each in stored:
            others = [other.parameter for other in found.values()]
            try:
                parameter = read_parameter(each.value, others, self._definitions)
            except InvalidResourceError:
                _LOG.warning("a stored SearchParameter can not be used")
                continue
            if parameter is not None:
                found[each.row] = self._with_job(each, parameter, kept.get(each.row))
        return found

    def _with_job(self, stored: Stored, parameter: SearchParameter, kept: bytes | None) -> InUse:
        definition = definition_of(parameter, self._vault.blind)
        types = types_of(parameter, self._definitions)
        known = self._in_use.get(stored.row)
        job = unpack_job(kept) if kept else None
        if job is None or job.definition != definition:
            job = Job(definition)
        elif self._leads and known and known.job.definition == definition:
            job = known.job  # further than what is kept
        return InUse(stored.reference, parameter, types, job)


def _is_of(found: InUse, kept: bytes | None) -> bool:
    """Whether a job that was kept is that of a parameter as it is now."""
    job = unpack_job(kept) if kept else None
    return job is not None and job.definition == found.job.definition
