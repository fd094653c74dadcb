"""The way of one request, stage after stage; batch and transaction entries go the same way.

Reading: one snapshot for consent and data, then the audit record is committed, then the answer goes out.  Writing: one unit
of work for condition, consent, data and audit.  A refusal at any stage gets an audit record of its own.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from fhir_server.errors import (
    DatabaseLostError,
    FhirError,
    IntegrityError,
    KeyDestroyedError,
    KeyProviderUnavailableError,
    KeysUnavailableError,
    NotFoundError,
    StorageUnavailableError,
    StoreFullError,
    StoreLostError,
    WrongKeyError,
)
from fhir_server.forms import Asked, InScope, Opened, Received, Recorded, Released, Requester
from fhir_server.interactions import (
    binary,
    capabilities,
    delete,
    history,
    patch,
    search,
    upload,
    write,
)
from fhir_server.interactions.desk import Desk, Tools
from fhir_server.interactions.operations import performing
from fhir_server.interactions.read import MISSING
from fhir_server.pipeline.actors import Organizations
from fhir_server.pipeline.ask import ask, unasked
from fhir_server.pipeline.audit_event import Happening
from fhir_server.pipeline.authenticate import authenticate
from fhir_server.pipeline.authorise import authorise
from fhir_server.pipeline.bundles import Entry, entries_of, received_for, response
from fhir_server.pipeline.gate import ConsentGate
from fhir_server.pipeline.heeding import Heeding
from fhir_server.pipeline.policies import Policies
from fhir_server.pipeline.pour import pour
from fhir_server.pipeline.record import happenings_of, record, record_at_once, record_refusal
from fhir_server.pipeline.redact import redact
from fhir_server.pipeline.scribe import Scribe, Telling
from fhir_server.pipeline.step_up import require_step_up
from fhir_server.pipeline.transaction import is_large, run_transaction
from fhir_server.resource_text import ResourceText
from fhir_server.search.custom import SEARCH_PARAMETER
from fhir_server.store.preparing import StaleError
from fhir_server.tracing import Tracing
from fhir_server.vault.vault import Reader, Vault, Writer
from smart_auth.server import SmartServer

_BROKEN = "a stored record is not what was sealed; the operator has been told"
_LOG = logging.getLogger("consentry")
_AT_ONCE = 32
_OPEN_TARGETS = frozenset({"metadata"})

Parts = AsyncIterator[tuple[bytes, int]]
Perform = Callable[[InScope, Desk], Awaitable[Opened]]
Write = Callable[
    [InScope, Desk, str], Awaitable[Opened]
]  # with the id that a transaction has found or given out
_READS: dict[str, Perform] = {
    "read": binary.read,
    "vread": binary.vread,
    "history-instance": history.history,
    "history-type": history.history,
    "history-system": history.history,
    "search-type": search.search,
    "search-system": search.search,
    "capabilities": capabilities.capabilities,
    "operation": performing.perform,
}
_WRITES: dict[str, Write] = {
    "create": write.create,
    "update": write.update,
    "patch": patch.patch,
    "delete": lambda in_scope, desk, _: delete.delete(in_scope, desk),
}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Answers requests.

    Attributes:
        scribe: Makes the AuditEvents of answers that write nothing.
        large: Who prepares a large transaction.
        prepared: How many were: ``written``, or done ``again`` in a turn, because that could not be written.
    """

    vault: Vault
    smart: SmartServer
    policies: Policies
    tools: Tools
    heeding: Heeding
    scribe: Scribe
    organizations: Organizations = field(default_factory=Organizations)
    tracing: Tracing = field(default_factory=Tracing)
    large: asyncio.Lock = field(default_factory=asyncio.Lock)
    prepared: Counter[str] = field(default_factory=Counter)

    async def answer(
        self,
        received: Received,
        content: ResourceText | None = None,
        parts: Parts | None = None,
    ) -> Recorded:
        """Answer one request; what comes back is on record.

        Args:
            content: Its body, where that was read before (an entry of a batch).
            parts: A large document that is still to be received, each part with its time (ms since 1970 UTC).

        Raises:
            StoreFullError: Not even the refusal could be recorded: there is no answer but 507.
            StoreLostError: The same, because the database does not answer: there is no answer but 503.
        """
        requester = Requester(None)
        asked: Asked | None = None
        await self.heeding.heed()
        try:
            if received.target not in _OPEN_TARGETS:
                with self.tracing.stage("authenticate"):
                    requester = await authenticate(received, self.smart)
                    require_step_up(requester, received.now)
            with self.tracing.stage("authorise"):
                asked = ask(received, requester, self.tools.definitions.resource_types, content)
                in_scope = authorise(asked, self.tools.custodian)
            return await (self._receive(in_scope, parts) if parts else self._perform(in_scope))
        except FhirError as error:
            return await self.refuse(asked or unasked(received, requester), error)
        except StoreFullError:
            full = StorageUnavailableError(
                "the server's disk is full; nothing of this request was kept"
            )
            return await self.refuse(asked or unasked(received, requester), full)
        except KeyDestroyedError:  # erased since the request came in
            gone = NotFoundError(MISSING)
            return await self.refuse(asked or unasked(received, requester), gone)
        except KeyProviderUnavailableError:
            _LOG.error("key provider", extra={"request": received.request_id})
            closed = KeysUnavailableError(
                "the keys are not available at the moment: try again later"
            )
            return await self.refuse(asked or unasked(received, requester), closed)
        except StoreLostError:
            lost = DatabaseLostError("the database did not answer; try again later")
            return await self.refuse(asked or unasked(received, requester), lost)
        except (IntegrityError, WrongKeyError) as error:
            _LOG.error(
                "integrity", extra={"request": received.request_id, "kind": type(error).__name__}
            )
            return await self.refuse(asked or unasked(received, requester), FhirError(_BROKEN))
        except Exception:  # noqa: BLE001  whatever broke, there is no answer without an audit record
            _LOG.exception("failed", extra={"request": received.request_id})
            failed = FhirError("the server failed at this request; the operator has been told")
            return await self.refuse(asked or unasked(received, requester), failed)

    async def refuse(self, asked: Asked, error: FhirError) -> Recorded:
        """Record a refusal and answer it."""
        async with self.heeding.unit() as writer:
            return await record_refusal(asked, error, writer, self.tools)

    async def pour(self, recorded: Recorded) -> tuple[Recorded, AsyncIterator[bytes] | None]:
        """An answer, and the bytes that go out instead of its body; a refusal, if they are damaged at their beginning."""
        stream = recorded.stream
        if stream is None:
            return recorded, None

        async def broken() -> Recorded:
            request = stream.in_scope.asked.received.request_id
            _LOG.error("integrity", extra={"request": request, "kind": "document"})
            return await self.refuse(stream.in_scope.asked, FhirError(_BROKEN))

        try:
            return recorded, await pour(stream, self.tools.documents, broken)
        except IntegrityError:
            return await broken(), None

    async def refuse_unread(self, received: Received, error: FhirError) -> Recorded:
        """Refuse a request whose body was not read (it is too large)."""
        return await self.refuse(unasked(received, Requester(None)), error)

    async def _perform(self, in_scope: InScope) -> Recorded:
        code = in_scope.asked.interaction.code
        if code == "batch":
            return await self._batch(in_scope)
        if code == "transaction":
            return await self._transaction(in_scope)
        if code in _WRITES or performing.writes(in_scope.asked.interaction):
            with self.tracing.stage("perform and record"):
                async with self.heeding.unit() as writer:
                    recorded = await self._entry(in_scope, self._desk(in_scope, writer, writer))
                    await self._announced(writer)
            return await self._committed(writer, recorded)
        if in_scope.asked.interaction.operation in performing.ON_THEIR_OWN:
            return await self._on_its_own(in_scope)
        complete = search.names_log(in_scope.asked.interaction)
        async with self.vault.reading(complete=complete) as reader:
            with self.tracing.stage("perform"):  # locate, consent, open
                opened = await _READS[code](in_scope, self._desk(in_scope, reader, None))
            with self.tracing.stage("redact"):
                released = redact(opened, self.tools.base)
                happenings = await happenings_of(released, reader)
        with self.tracing.stage("record"):
            return await self._on_record(released, happenings, reader.epoch)

    async def _transaction(self, in_scope: InScope) -> Recorded:
        """All entries in one unit of work; a large one is prepared first, so that others do not wait for it."""
        await self._complete_log(in_scope)
        if self.vault.prepares and is_large(in_scope):
            with suppress(StaleError):
                recorded = await self._prepared(in_scope)
                self.prepared["written"] += 1
                return recorded
            self.prepared["again"] += 1
            in_scope = self._in_scope(in_scope.asked.received, in_scope.asked.requester)
        async with self.heeding.unit() as writer:
            desk = self._desk(in_scope, writer, writer)
            recorded = await run_transaction(in_scope, desk, self._released, self._gate)
            await self._announced(writer)
        return await self._committed(writer, recorded)

    def _in_scope(self, received: Received, requester: Requester) -> InScope:
        """The same request read once more: the entries of a Bundle are let go while they are written."""
        asked = ask(received, requester, self.tools.definitions.resource_types)
        return authorise(asked, self.tools.custodian)

    async def _prepared(self, in_scope: InScope) -> Recorded:
        """A transaction in a unit of work that is prepared, one at a time in a process."""
        async with self.large, self.heeding.preparing() as writer:
            desk = self._desk(in_scope, writer, writer)
            recorded = await run_transaction(in_scope, desk, self._released, self._gate)
            if SEARCH_PARAMETER in writer.types:
                raise StaleError("all processes have to be told")
        numbers = tuple(writer.number(n) for n in recorded.log_numbers)
        return replace(recorded, log_numbers=numbers)

    async def _on_record(
        self, released: Released, happenings: Sequence[Happening], epoch: int
    ) -> Recorded:
        """An answer that wrote nothing needs no unit of work, as long as nothing has changed since it was read."""
        telling = Telling(happenings, epoch)
        if await self.heeding.is_current():
            recorded = await record_at_once(released, telling, self.scribe)
            if recorded is not None:
                return recorded
        async with self.heeding.unit() as writer:
            return await record(released, writer, self.tools, telling.drafts)

    async def _receive(self, in_scope: InScope, parts: Parts) -> Recorded:
        """Receive a large document, for whoever may write it now, and write it if that is so still."""
        documents, interaction = self.tools.documents, in_scope.asked.interaction
        async with self.vault.reading() as reader:
            id_ = await upload.require_upload(in_scope, self._desk(in_scope, reader, None))
        row = self.vault.blind.row(interaction.type_, id_)
        document = await upload.receive(documents, row, in_scope.asked.received.at, parts)
        try:
            async with self.heeding.unit() as writer:
                desk = replace(self._desk(in_scope, writer, writer), document=document)
                return await self._entry(in_scope, desk, id_)
        finally:
            await documents.drop(document)  # unless the unit has made it a record's

    async def _on_its_own(self, in_scope: InScope) -> Recorded:
        """An operation with units of work of its own; who is named in its record is decided as things are afterwards."""
        opened = await performing.perform_on_its_own(in_scope, self.tools)
        async with self.vault.writing() as writer:
            return await record(redact(opened, self.tools.base), writer, self.tools)

    async def _announced(self, writer: Writer) -> None:
        """Before a unit that concerns all processes ends: the next unit of any of them looks what it has changed."""
        if SEARCH_PARAMETER in writer.types:
            await self.heeding.tell()

    async def _committed(self, writer: Writer, recorded: Recorded) -> Recorded:
        """Once such a unit is durable, and before its answer goes out: so does the next request."""
        if SEARCH_PARAMETER in writer.types:
            await self.heeding.tell()
            await self.heeding.heed()
        return recorded

    async def _complete_log(self, in_scope: InScope) -> None:
        """Entries that search AuditEvents find those of other processes, which write nothing during our unit."""
        content = in_scope.asked.interaction.content
        if content is not None and "AuditEvent" in content.text:
            async with self.vault.reading(complete=True):
                pass

    async def _entry(self, in_scope: InScope, desk: Desk, id_: str = "") -> Recorded:
        """One interaction that is a unit of work."""
        released = await self._released(in_scope, desk, id_)
        return await record(released, desk.unit(), self.tools)

    async def _released(self, in_scope: InScope, desk: Desk, id_: str) -> Released:
        """One interaction inside a unit of work, still to be recorded: a write, or an entry of a transaction."""
        code = in_scope.asked.interaction.code
        if code in _WRITES:
            opened = await _WRITES[code](in_scope, desk, id_)
        else:
            opened = await _READS[code](in_scope, desk)
        return redact(opened, self.tools.base)

    async def _batch(self, in_scope: InScope) -> Recorded:
        """Each entry on its own, some at once; what fails fails alone."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def run(entry: Entry) -> Recorded:
            async with turn:
                return await self.answer(received_for(entry, own), entry.content)

        asked = in_scope.asked
        assert asked.interaction.content is not None
        assert asked.requester.caller is not None
        own = replace(asked.received, proved=asked.requester.caller.key or "")
        entries = entries_of(asked.interaction.content, self.tools.base)
        answers = await asyncio.gather(*(run(entry) for entry in entries))
        opened = response(in_scope, "batch-response", entries, answers)
        async with self.heeding.unit() as writer:
            return await record(redact(opened, self.tools.base), writer, self.tools)

    def _desk(self, in_scope: InScope, reader: Reader, writer: Writer | None) -> Desk:
        return Desk(self.tools, reader, self._gate(in_scope.asked, reader), writer)

    def _gate(self, asked: Asked, reader: Reader) -> ConsentGate:
        tools = self.tools
        return ConsentGate(
            asked,
            reader,
            self.policies,
            self.organizations,
            tools.searchable,
            tools.administrative,
            tools.custodian,
            tools.base,
            show_redaction=tools.show_redaction,
        )
