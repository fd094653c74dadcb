"""What links a record here to what stands for it on a chain: sealed under the patient's key, and for nobody to ask for.

A link is a record of a type of our own (``OWN_TYPES``), which no interaction reaches: JSON, bytes in hexadecimal.  Erasing
the patient destroys the key that it is sealed under, and with it the link.  Its id is a keyed hash of the id on the chain:
it is found by what an event says, and nobody else can name it.  While a registry does not say yet what a link wants, a note
``chain-due|registry|`` names its row; once it does, a note ``chain-true|registry|`` with the number of the block (8 bytes,
big-endian), until no reorganisation can reach that any more.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import Generic, Protocol, TypeVar

import orjson

from anchoring.chain.transaction import address
from anchoring.registry.consents import K_BYTES
from anchoring.registry.watching import BACK
from fhir_server.errors import IntegrityError, KeyDestroyedError, WrongKeyError
from fhir_server.interactions.desk import Tools
from fhir_server.search.plan import compartment
from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Draft, Reader, Writer

BROKEN = (
    IntegrityError,
    WrongKeyError,
)  # a record is not what was sealed: passed over, so that it holds up no other
DUE = "chain-due|"
TRUE = "chain-true|"
_MOST = 1000  # of one patient
_LOG = logging.getLogger("consentry")


class Link(Protocol):
    """What any link has."""

    @property
    def id(self) -> bytes:
        """The id on the chain, 32 bytes."""
        ...

    @property
    def registry(self) -> str:
        """Chain id and address of the registry, ``31337:0x...``."""
        ...

    @property
    def patient(self) -> str:
        """Reference of the patient."""
        ...


L = TypeVar("L", bound=Link)


@dataclass(frozen=True, slots=True)
class Kept(Generic[L]):
    """A link, and the version of the record that holds it."""

    version: SealedVersion
    link: L


@dataclass(frozen=True, slots=True)
class Due(Generic[L]):
    """Links that are due, and the rows of those that were erased meanwhile."""

    links: Sequence[Kept[L]]
    gone: Sequence[str]


def new_secrets(tools: Tools) -> tuple[bytes, bytes]:
    """A fresh key of a commitment, and a fresh key of a holder."""
    k, key = tools.new_secret(K_BYTES), tools.new_secret(32)
    address(key)  # all but one in 2**128 are keys of the curve
    return k, key


@dataclass(frozen=True, slots=True)
class Links(Generic[L]):
    """The links of one type.

    Attributes:
        type_: Of their records.
        pack: Gives the members of a link, but for resourceType and id.
        unpack: Reads them again.
    """

    type_: str
    pack: Callable[[L], Mapping[str, object]]
    unpack: Callable[[Mapping[str, object]], L]

    async def of(self, reader: Reader, patient: str) -> Sequence[Kept[L]]:
        """All links of a patient that open."""
        group = compartment(self.type_, reader.blind.patient(patient), reader.blind)
        found = await reader.select(Selection(self.type_, (group,), limit=_MOST))
        kept = [await self._kept(reader, version) for version in found]
        return [each for each in kept if each is not None]

    async def find(self, reader: Reader, id_: bytes) -> Kept[L] | None:
        """The link of an id on the chain; None if it is not ours, or its patient was erased."""
        version = await reader.find(self.type_, self.record_id(reader, id_))
        return None if version is None or version.deleted else await self._kept(reader, version)

    def record_id(self, reader: Reader, id_: bytes) -> str:
        """The id of the record that holds the link of an id on the chain."""
        return reader.blind.row(self.type_, id_.hex()).hex()

    async def due(self, reader: Reader, registry: str, limit: int) -> Due[L]:
        """Some of the links that a registry has to be told of, at random: none keeps the others from their turn."""
        rows = list(await reader.notes.load(f"{DUE}{registry}|"))
        chosen = SystemRandom().sample(rows, min(limit, len(rows)))
        if not chosen:
            return Due((), ())
        wanted = Selection(
            self.type_, rows=tuple(bytes.fromhex(row) for row in chosen), limit=limit
        )
        kept = [await self._kept(reader, version) for version in await reader.select(wanted)]
        found = [each for each in kept if each is not None]
        known = {each.version.row.hex() for each in found}
        return Due(found, [row for row in chosen if row not in known])

    async def settle(
        self,
        writer: Writer,
        registry: str,
        versions: Sequence[SealedVersion],
        gone: Sequence[str],
        block: int,
    ) -> None:
        """The registry says what these versions want: they are not due any more, unless something else is wanted by now.

        Args:
            gone: Rows of those that were erased.
            block: Until which the chain was looked at.
        """
        for version in versions:
            current = await writer.select(Selection(self.type_, rows=(version.row,), limit=1))
            if [found.version for found in current] == [version.version]:
                row = version.row.hex()
                await writer.notes.drop(f"{DUE}{registry}|{row}")
                await writer.notes.save(f"{TRUE}{registry}|{row}", block.to_bytes(8, "big"))
        for row in gone:
            await writer.notes.drop(f"{DUE}{registry}|{row}")
        for row, seen in (await writer.notes.load(f"{TRUE}{registry}|")).items():
            if int.from_bytes(seen, "big") < block - BACK:
                await writer.notes.drop(f"{TRUE}{registry}|{row}")

    async def put(
        self,
        writer: Writer,
        tools: Tools,
        link: L,
        at: int,
        previous: SealedVersion | None = None,
        *,
        due: bool = True,
    ) -> None:
        """Keep a link, or its next version.

        Args:
            at: Milliseconds since 1970 UTC.
            due: Whether the registry has to be told.
        """
        version = previous.version + 1 if previous else 1
        at = max(at, previous.at + 1) if previous else at
        id_ = self.record_id(writer, link.id)
        value = {"resourceType": self.type_, "id": id_, **self.pack(link)}
        patients = (link.patient,)
        tokens = tools.tokenizer.tokens(self.type_, value, patients)
        dropped = tokens if previous else frozenset[bytes]()
        text = orjson.dumps(value).decode()
        draft = Draft(self.type_, id_, version, at, text, patients, tokens, previous, dropped)
        kept = await writer.put(draft)
        if due:
            await writer.notes.save(f"{DUE}{link.registry}|{kept.row.hex()}", b"")

    async def _kept(self, reader: Reader, version: SealedVersion) -> Kept[L] | None:
        try:
            return Kept(version, await self._opened(reader, version))
        except KeyDestroyedError:
            return None
        except BROKEN:
            _LOG.error("integrity", extra={"kind": self.type_})
            return None

    async def _opened(self, reader: Reader, version: SealedVersion) -> L:
        text = await reader.open(version)
        with as_written("a link to a chain"):
            return self.unpack(orjson.loads(text))


async def unsettle(writer: Writer, registry: str) -> None:
    """The chain was reorganised: what a registry said of late has to be looked at again."""
    for row in await writer.notes.load(f"{TRUE}{registry}|"):
        await writer.notes.drop(f"{TRUE}{registry}|{row}")
        await writer.notes.save(f"{DUE}{registry}|{row}", b"")
