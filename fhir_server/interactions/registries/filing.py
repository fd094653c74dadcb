"""A version of a Consent as it is, or will be, filed on a chain: what links the two, sealed under the patient's key.

A record of a type of our own (``OWN_TYPES``), which no interaction reaches: JSON with the members of ``Filing``, bytes in
hexadecimal.  Erasing the patient destroys the key that it is sealed under, and with it the link.  Its id is a keyed hash of
the id on the chain: it is found by what an event says, and nobody else can name it.  While the chain does not say yet what
is wanted, a note ``chain-due|`` names its row; once it does, a note ``chain-true|`` with the number of the block (8 bytes,
big-endian), until no reorganisation can reach that any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import SystemRandom

import orjson

from anchoring.chain.transaction import address
from anchoring.registry.consents import K_BYTES, Holder, Status, commitment
from anchoring.registry.watching import BACK
from fhir_server.errors import KeyDestroyedError
from fhir_server.interactions.desk import Tools
from fhir_server.search.plan import compartment
from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Draft, Reader, Writer

TYPE = "ChainFiling"
DUE = "chain-due|"
TRUE = "chain-true|"
_MOST = 1000  # of one patient


@dataclass(frozen=True, slots=True)
class Filing:
    """One version of a Consent on one registry.

    Attributes:
        registry: Chain id and address of the registry, ``31337:0x...``.
        patient: Reference of the patient.
        consent: Logical id of the Consent.
        version: Its ``meta.versionId``.
        k: Key of the commitment, 32 bytes.
        key: Private key of the holder, 32 bytes.
        expiry: From when on the chain does not call it active, seconds since 1970.
        wanted: How it should stand on the chain.
    """

    registry: str
    patient: str
    consent: str
    version: int
    k: bytes
    key: bytes
    expiry: int
    wanted: Status

    @property
    def id(self) -> bytes:
        """Its id on the chain, 32 bytes."""
        return commitment(self.k, self.consent, self.version)

    @property
    def holder(self) -> Holder:
        """What speaks for it on the chain."""
        return Holder(self.id, self.key, self.expiry)


@dataclass(frozen=True, slots=True)
class Kept:
    """A filing, and the version of the record that holds it."""

    version: SealedVersion
    filing: Filing


@dataclass(frozen=True, slots=True)
class Due:
    """Filings that are due, and the rows of those that were erased meanwhile."""

    filings: Sequence[Kept]
    gone: Sequence[str]


def new_secrets(tools: Tools) -> tuple[bytes, bytes]:
    """A fresh ``k``, and a fresh key of a holder."""
    k, key = tools.new_secret(K_BYTES), tools.new_secret(32)
    address(key)  # all but one in 2**128 are keys of the curve
    return k, key


async def filings_of(reader: Reader, patient: str) -> Sequence[Kept]:
    """All filings of a patient."""
    group = compartment(TYPE, reader.blind.patient(patient), reader.blind)
    found = await reader.select(Selection(TYPE, (group,), limit=_MOST))
    return [Kept(version, await _opened(reader, version)) for version in found]


async def find_filing(reader: Reader, id_: bytes) -> Kept | None:
    """The filing of an id on the chain; None if it is not ours, or its patient was erased."""
    version = await reader.find(TYPE, record_id(reader, id_))
    return None if version is None or version.deleted else await _kept(reader, version)


def record_id(reader: Reader, id_: bytes) -> str:
    """The id of the record that holds the filing of an id on the chain."""
    return reader.blind.row(TYPE, id_.hex()).hex()


async def due_filings(reader: Reader, limit: int) -> Due:
    """Some of the filings that have to be brought to the chain, at random: none keeps the others from their turn."""
    rows = list(await reader.notes.load(DUE))
    chosen = SystemRandom().sample(rows, min(limit, len(rows)))
    if not chosen:
        return Due((), ())
    wanted = Selection(TYPE, rows=tuple(bytes.fromhex(row) for row in chosen), limit=limit)
    kept = [await _kept(reader, version) for version in await reader.select(wanted)]
    found = [each for each in kept if each is not None]
    known = {each.version.row.hex() for each in found}
    return Due(found, [row for row in chosen if row not in known])


async def settle(
    writer: Writer, versions: Sequence[SealedVersion], gone: Sequence[str], block: int
) -> None:
    """The chain says what these versions want: they are not due any more, unless something else is wanted by now.

    Args:
        gone: Rows of those that were erased.
        block: Until which the chain was looked at.
    """
    for version in versions:
        current = await writer.select(Selection(TYPE, rows=(version.row,), limit=1))
        if [found.version for found in current] == [version.version]:
            await writer.notes.drop(DUE + version.row.hex())
            await writer.notes.save(TRUE + version.row.hex(), block.to_bytes(8, "big"))
    for row in gone:
        await writer.notes.drop(DUE + row)
    for row, seen in (await writer.notes.load(TRUE)).items():
        if int.from_bytes(seen, "big") < block - BACK:
            await writer.notes.drop(TRUE + row)


async def unsettle(writer: Writer) -> None:
    """The chain was reorganised: what it said of late has to be looked at again."""
    for row in await writer.notes.load(TRUE):
        await writer.notes.drop(TRUE + row)
        await writer.notes.save(DUE + row, b"")


async def put_filing(
    writer: Writer, tools: Tools, filing: Filing, at: int, previous: SealedVersion | None = None
) -> None:
    """Keep a filing, or its next version, and have it brought to the chain.

    Args:
        at: Milliseconds since 1970 UTC.
    """
    version = previous.version + 1 if previous else 1
    at = max(at, previous.at + 1) if previous else at
    value = _value(filing, record_id(writer, filing.id))
    tokens = tools.tokenizer.tokens(TYPE, value, (filing.patient,))
    text = orjson.dumps(value).decode()
    patients, dropped = (filing.patient,), tokens if previous else frozenset[bytes]()
    draft = Draft(TYPE, str(value["id"]), version, at, text, patients, tokens, previous, dropped)
    kept = await writer.put(draft)
    await writer.notes.save(DUE + kept.row.hex(), b"")


async def _kept(reader: Reader, version: SealedVersion) -> Kept | None:
    try:
        return Kept(version, await _opened(reader, version))
    except KeyDestroyedError:
        return None


async def _opened(reader: Reader, version: SealedVersion) -> Filing:
    text = await reader.open(version)
    with as_written("a filing"):
        held = orjson.loads(text)
        return Filing(
            held["registry"],
            held["patient"],
            held["consent"],
            held["version"],
            bytes.fromhex(held["k"]),
            bytes.fromhex(held["key"]),
            held["expiry"],
            Status[held["wanted"]],
        )


def _value(filing: Filing, id_: str) -> dict[str, object]:
    return {
        "resourceType": TYPE,
        "id": id_,
        "registry": filing.registry,
        "patient": filing.patient,
        "consent": filing.consent,
        "version": filing.version,
        "k": filing.k.hex(),
        "key": filing.key.hex(),
        "expiry": filing.expiry,
        "wanted": filing.wanted.name,
    }
