"""The AuditEvents of answers that write nothing else: made for all that are under way at the same time, stage by stage.

A stage that is done for eight answers in a row takes less than when each of them goes through all stages in its turn: from
the second on, its code and what it looks at are in the processor's caches (ADR 68).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from fhir_server.ids import timed_id
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.leaf import event_draft, leaf_of
from fhir_server.pipeline.audit_event import Entity, Happening, audit_event
from fhir_server.vault.vault import Draft, SealedEvent, Vault

_CROWD = 64  # answers: nobody waits for more
Numbers = Sequence[int] | None


@dataclass(slots=True)
class Telling:
    """The AuditEvents of one answer.

    Attributes:
        epoch: Of the reader of what they tell of.
        drafts: The events with their tokens, once the scribe has come so far.
        sealed: What ``Vault.record`` takes; None if that takes a unit of work.
        numbers: Done when they are durable, with their numbers in the log; None if that takes a unit of work.
    """

    happenings: Sequence[Happening]
    epoch: int
    events: Sequence["Told"] = ()
    drafts: Sequence[Draft] = ()
    sealed: Sequence[SealedEvent] | None = None
    numbers: asyncio.Future[Numbers] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Scribe:
    """Makes the AuditEvents of the answers of one server, and has them written."""

    def __init__(self, vault: Vault, tools: Tools) -> None:
        self._vault = vault
        self._tools = tools
        self._waiting: list[Telling] = []

    def write(self, telling: Telling) -> asyncio.Future[Numbers]:
        """Have the events of an answer written; what comes back is its ``numbers``, or what making one of them has raised.

        Raises:
            StoreFullError: By the future: the disk is full; nothing was written.
        """
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._look, 1)
        self._waiting.append(telling)
        return telling.numbers

    def _look(self, before: int) -> None:
        """Begin when a turn of the event loop has brought nothing more: what comes together is not received at once."""
        if before < len(self._waiting) < _CROWD:
            asyncio.get_running_loop().call_soon(self._look, len(self._waiting))
            return
        waiting, self._waiting = self._waiting, []
        for stage in (self._tell, self._index, self._seal, self._record):
            for telling in waiting:
                if not telling.numbers.done():  # it failed, or nobody waits for it any more
                    _do(stage, telling)

    def _tell(self, telling: Telling) -> None:
        telling.events = [tell(each, self._tools) for each in telling.happenings]

    def _index(self, telling: Telling) -> None:
        telling.drafts = [draft_of(each, self._tools) for each in telling.events]

    def _seal(self, telling: Telling) -> None:
        leaves = [leaf_of(draft, self._tools.new_secret) for draft in telling.drafts]
        events = zip(telling.drafts, leaves, strict=True)
        telling.sealed = self._vault.seal_events(events, telling.epoch)

    def _record(self, telling: Telling) -> None:
        if telling.sealed is None:
            telling.numbers.set_result(None)
            return
        numbers = self._vault.record(telling.sealed, telling.epoch)
        numbers.add_done_callback(partial(_pass_on, telling.numbers))


class Told(NamedTuple):
    """An AuditEvent, and nothing else of what it tells of.

    Attributes:
        at: When, in milliseconds since 1970 UTC.
        patients: Whom it concerns: one, or nobody.
    """

    event: Entity
    at: int
    patients: tuple[str, ...]


def tell(happening: Happening, tools: Tools) -> Told:
    """The AuditEvent of what has happened: of the patient, not of the agent, for whoever is spied on must see by whom."""
    at = happening.asked.received.at
    event = audit_event(happening, timed_id(at), at, tools.base, tools.custodian)
    return Told(event, at, (happening.patient,) if happening.patient else ())


def draft_of(told: Told, tools: Tools) -> Draft:
    """It, about to be written."""
    return event_draft(told.event, told.at, told.patients, tools.tokenizer)


def _do(stage: Callable[[Telling], None], telling: Telling) -> None:
    try:
        stage(telling)
    except Exception as error:  # noqa: BLE001  raised where it is waited for; the others' answers are none of its business
        telling.numbers.set_exception(error)


def _pass_on(to: asyncio.Future[Numbers], done: asyncio.Future[Numbers]) -> None:
    if done.cancelled():  # the server ends
        to.cancel()
        return
    error = done.exception()
    if to.done():
        return
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)
