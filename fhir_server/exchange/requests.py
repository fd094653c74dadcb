"""Requests for access and their registry, kept alike."""

import logging
from dataclasses import dataclass

import orjson

from anchoring.registry.grants import Said, read_said
from anchoring.registry.relaying import Relay
from fhir_server.errors import KeyDestroyedError
from fhir_server.exchange.consents import Unit
from fhir_server.exchange.telling import Telling
from fhir_server.exchange.watch import Watch
from fhir_server.forms import Json
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.registries.answering import Heard, compare_consent, compare_task, hear
from fhir_server.interactions.registries.hearing import current, transaction_of
from fhir_server.interactions.registries.links import BROKEN, unsettle
from fhir_server.interactions.registries.requesting import CONSUMER, REQUESTS, TYPE
from fhir_server.store.protocol import Selection
from fhir_server.store.shelf import changed
from fhir_server.vault.vault import Vault, Writer

_UNIT = 16  # records in one unit of work
_TYPES = ("Task", "Consent")
_LOG = logging.getLogger("consentry")


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests for access of a vault on one registry."""

    vault: Vault
    tools: Tools
    unit: Unit
    watch: Watch
    relay: Relay

    async def begin(self) -> None:
        """Look at all requests: they may have been answered while no registry was named."""
        after = 0
        while True:
            async with self.vault.writing() as writer:
                found = await writer.select(Selection(TYPE, after=(0, after), limit=_UNIT))
                for version in found:
                    await self._again(writer, version.row)
            if not found:
                return
            after = found[-1].rid

    async def step(self, at: int) -> None:
        """Hear what is new, note what was answered here, and tell it.

        Args:
            at: Now, milliseconds since 1970 UTC.

        Raises:
            ChainUnavailableError: The chain does not answer; the next step does what is left.
            WrongChainError: It is another chain, or another contract.
        """
        await self.watch.require_genuine()
        await self._hear(at)
        for type_ in _TYPES:
            while await self._compare(type_, at):
                pass
        await Telling(self.vault, self.watch, self.relay, REQUESTS).step()

    async def _hear(self, at: int) -> None:
        contract = self.watch.contract
        async for heard in self.watch.heard():
            for log in heard.logs:
                said = read_said(log)
                if said is None or not await self._is_ours(said):
                    continue
                told = Heard(said, transaction_of(log, contract.chain_id), at)
                async with self.unit() as writer:
                    meant = await hear(writer, self.tools, told)
                if meant:
                    _LOG.info("heard on chain", extra={"status": said.status.name})
            if heard.reorganised:
                async with self.vault.writing() as writer:
                    await unsettle(writer, contract.registry)

    async def _is_ours(self, said: Said) -> bool:
        """Whether a request of ours is meant: whoever floods the registry must not keep writers waiting."""
        async with self.vault.reading() as reader:
            return await REQUESTS.find(reader, said.id) is not None

    async def _compare(self, type_: str, at: int) -> int:
        """Look at some records of a type that were written; how many that were."""
        prefix = changed(CONSUMER, type_)
        async with self.vault.reading() as reader:
            if not await reader.notes.load(prefix):
                return 0
        async with self.vault.writing() as writer:
            rows = sorted(await writer.notes.load(prefix))[:_UNIT]
            for row in rows:
                try:
                    await self._row(writer, type_, bytes.fromhex(row), at)
                except BROKEN:
                    _LOG.error("integrity", extra={"kind": type_})
                await writer.notes.drop(prefix + row)
        return len(rows)

    async def _row(self, writer: Writer, type_: str, row: bytes, at: int) -> None:
        for version in await writer.select(Selection(type_, rows=(row,), limit=1)):
            try:
                value: Json = orjson.loads(await writer.open(version))
            except KeyDestroyedError:
                return
            for patient in filter(None, await writer.patients(version)):
                await self._of(writer, type_, str(value["id"]), value, patient, at)

    async def _of(
        self, writer: Writer, type_: str, id_: str, value: Json, patient: str, at: int
    ) -> None:
        for kept in await REQUESTS.of(writer, patient):
            if kept.link.registry != self.watch.contract.registry:
                continue
            if type_ == "Task" and kept.link.task == id_:
                await compare_task(writer, self.tools, kept, value, at)
            if type_ == "Consent" and kept.link.consent == id_:
                await compare_consent(writer, self.tools, kept, value, at)

    async def _again(self, writer: Writer, row: bytes) -> None:
        """Note the Task and the Consent of a request, so that they are compared."""
        for version in await writer.select(Selection(TYPE, rows=(row,), limit=1)):
            try:
                link = REQUESTS.unpack(orjson.loads(await writer.open(version)))
            except (KeyDestroyedError, *BROKEN):
                continue
            for type_, id_ in (("Task", link.task), ("Consent", link.consent)):
                found = await current(writer, type_, id_) if id_ else None
                if found is not None:
                    name = changed(CONSUMER, type_) + found[0].row.hex()
                    await writer.notes.save(name, b"")
