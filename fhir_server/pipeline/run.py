"""The way of one request, stage after stage; batch and transaction entries go the same way.

Reading: one snapshot for consent and data, then the audit record is committed, then the answer goes out.  Writing: one unit
of work for condition, consent, data and audit.  A refusal at any stage gets an audit record of its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fhir_server.errors import (
    DatabaseLostError,
    FhirError,
    IntegrityError,
    KeyProviderUnavailableError,
    KeysUnavailableError,
    StorageUnavailableError,
    StoreFullError,
    StoreLostError,
    WrongKeyError,
)
from fhir_server.forms import Asked, InScope, Opened, Received, Recorded, Requester
from fhir_server.interactions import (
    capabilities,
    delete,
    history,
    patch,
    read,
    search,
    write,
)
from fhir_server.interactions.desk import Desk, Tools
from fhir_server.interactions.operations import performing
from fhir_server.pipeline.actors import Organizations
from fhir_server.pipeline.ask import ask, unasked
from fhir_server.pipeline.authenticate import authenticate
from fhir_server.pipeline.authorise import authorise
from fhir_server.pipeline.bundles import Entry, entries_of, received_for, response
from fhir_server.pipeline.gate import ConsentGate
from fhir_server.pipeline.policies import Policies
from fhir_server.pipeline.record import events_of, record, record_refusal
from fhir_server.pipeline.redact import redact
from fhir_server.pipeline.transaction import run_transaction
from fhir_server.resource_text import ResourceText
from fhir_server.search.custom import SEARCH_PARAMETER
from fhir_server.vault.vault import Reader, Vault, Writer
from smart_auth.server import SmartServer

_LOG = logging.getLogger("consentry")
_AT_ONCE = 32
_OPEN_TARGETS = frozenset({"metadata"})

Perform = Callable[[InScope, Desk], Awaitable[Opened]]
Write = Callable[
    [InScope, Desk, str], Awaitable[Opened]
]  # with the id that a transaction has found or given out
_READS: dict[str, Perform] = {
    "read": read.read,
    "vread": read.vread,
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
    """Answers requests."""

    vault: Vault
    smart: SmartServer
    policies: Policies
    tools: Tools
    organizations: Organizations = field(default_factory=Organizations)

    async def answer(self, received: Received, content: ResourceText | None = None) -> Recorded:
        """Answer one request; what comes back is on record.

        Args:
            content: Its body, where that was read before (an entry of a batch).

        Raises:
            StoreFullError: Not even the refusal could be recorded: there is no answer but 507.
            StoreLostError: The same, because the database does not answer: there is no answer but 503.
        """
        requester = Requester(None)
        asked: Asked | None = None
        try:
            if received.target not in _OPEN_TARGETS:
                requester = await authenticate(received, self.smart)
            asked = ask(received, requester, self.tools.definitions.resource_types, content)
            return await self._perform(authorise(asked, self.tools.custodian))
        except FhirError as error:
            return await self.refuse(asked or unasked(received, requester), error)
        except StoreFullError:
            full = StorageUnavailableError(
                "the server's disk is full; nothing of this request was kept"
            )
            return await self.refuse(asked or unasked(received, requester), full)
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
            broken = FhirError("a stored record is not what was sealed; the operator has been told")
            return await self.refuse(asked or unasked(received, requester), broken)
        except Exception:  # noqa: BLE001  whatever broke, there is no answer without an audit record
            _LOG.exception("failed", extra={"request": received.request_id})
            failed = FhirError("the server failed at this request; the operator has been told")
            return await self.refuse(asked or unasked(received, requester), failed)

    async def refuse(self, asked: Asked, error: FhirError) -> Recorded:
        """Record a refusal and answer it."""
        async with self.vault.writing() as writer:
            return await record_refusal(asked, error, writer, self.tools)

    async def refuse_unread(self, received: Received, error: FhirError) -> Recorded:
        """Refuse a request whose body was not read (it is too large)."""
        return await self.refuse(unasked(received, Requester(None)), error)

    async def _perform(self, in_scope: InScope) -> Recorded:
        code = in_scope.asked.interaction.code
        if code == "batch":
            return await self._batch(in_scope)
        if code == "transaction":
            async with self.vault.writing() as writer:
                desk = self._desk(in_scope, writer, writer)
                recorded = await run_transaction(in_scope, desk, self._entry, self._gate)
            return await self._committed(writer, recorded)
        if code in _WRITES or performing.writes(in_scope.asked.interaction):
            async with self.vault.writing() as writer:
                recorded = await self._entry(in_scope, self._desk(in_scope, writer, writer))
            return await self._committed(writer, recorded)
        complete = search.names_log(in_scope.asked.interaction)
        async with self.vault.reading(complete=complete) as reader:
            opened = await _READS[code](in_scope, self._desk(in_scope, reader, None))
            released = redact(opened, self.tools.base)
            events = await events_of(released, reader, self.tools)
        async with self.vault.writing() as writer:
            return await record(released, writer, self.tools, events)

    async def _committed(self, writer: Writer, recorded: Recorded) -> Recorded:
        """What is to happen once a unit is durable and before its answer goes out."""
        if SEARCH_PARAMETER in writer.types:
            await self.tools.parameters.reload()
        return recorded

    async def _entry(self, in_scope: InScope, desk: Desk, id_: str = "") -> Recorded:
        """One interaction inside a unit of work: a write, or an entry of a transaction."""
        code = in_scope.asked.interaction.code
        if code in _WRITES:
            opened = await _WRITES[code](in_scope, desk, id_)
        else:
            opened = await _READS[code](in_scope, desk)
        return await record(redact(opened, self.tools.base), desk.unit(), self.tools)

    async def _batch(self, in_scope: InScope) -> Recorded:
        """Each entry on its own, some at once; what fails fails alone."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def run(entry: Entry) -> Recorded:
            async with turn:
                return await self.answer(received_for(entry, asked.received), entry.content)

        asked = in_scope.asked
        assert asked.interaction.content is not None
        entries = entries_of(asked.interaction.content, self.tools.base)
        answers = await asyncio.gather(*(run(entry) for entry in entries))
        opened = response(in_scope, "batch-response", entries, answers)
        async with self.vault.writing() as writer:
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
        )
