"""Everything that is stored, looked at: does it open, does it fit together, does the index say the same?

For the operator's ``consentry check``.  Findings name types, records and versions by number; nothing of what is in them.
Not here: the audit log against its anchors (``anchoring/receipts/audit.py``).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import orjson

from fhir_server.errors import KeyDestroyedError, TamperedRecordError
from fhir_server.inspection.consents import Consents
from fhir_server.inspection.erasures import Erasures
from fhir_server.inspection.finding import Finding
from fhir_server.search.tokens import Tokenizer
from fhir_server.store.inspection import Inspection, Kept
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.documents import Document, Documents, split
from fhir_server.vault.vault import Reader, patient_tokens

Look = Callable[[], AbstractAsyncContextManager[tuple[Reader, Inspection]]]
_PADDING = 7  # tokens at most that say nothing
_EVENT = "AuditEvent"
_BINARY = "Binary"
_TOKEN = 16
_NOT_BURIED = "the key that it names was destroyed, but it was not erased with it"


@dataclass(slots=True)
class Seen:
    """What was looked at.

    Attributes:
        erased: Versions whose keys were destroyed, or that were buried.
    """

    records: int = 0
    versions: int = 0
    erased: int = 0
    documents: int = 0


class Inspector:
    """Looks at all of a database, some records at a time."""

    def __init__(
        self,
        looking: Look,
        documents: Documents,
        tokenizer: Tokenizer,
        *,
        exact: bool,
        indexed: bool = True,
        proved: bool = True,
    ) -> None:
        """Keep the parts.

        Args:
            looking: Opens a snapshot; the same one each time, if it may stay open so long.
            exact: Whether the index holds nothing but padding beside the tokens of now: not where search parameters of
                one's own were withdrawn, or are being indexed.
            indexed: Whether records have their tokens: not before these were made again.
            proved: Whether destroyed keys have their proof: not before a server has started on an older database.
        """
        self._looking = looking
        self._documents = documents
        self._tokenizer = tokenizer
        self._exact = exact
        self._indexed = indexed
        self._proved = proved
        self._consents, self._erasures = Consents(tokenizer.blind), Erasures()
        self.seen = Seen()
        self.named: dict[bytes, int] = {}  # documents, and the records that name them

    async def look(
        self, last: int, step: int, tell: Callable[[int, int], None]
    ) -> AsyncIterator[Finding]:
        """All findings up to the record ``last``, ``step`` records at a time."""
        async with self._looking() as (_, inspection):
            tokens, chunks = await inspection.strays()
        if tokens:
            yield Finding("index", 0, f"{tokens} tokens are of records that are not there")
        if chunks:
            yield Finding("document", 0, f"{chunks} chunks are of documents that are not there")
        for low in range(0, last, step):
            async with self._looking() as (reader, inspection):
                for finding in await self._step(_Step(reader, inspection), low, low + step):
                    yield finding
            tell(min(last, low + step), last)
        async with self._looking() as (reader, _):
            for finding in await self._consents.findings(reader, self._erasures.consents):
                yield finding
            for finding in await self._erasures.findings(reader):
                yield finding

    async def _step(self, at: "_Step", low: int, high: int) -> list[Finding]:
        at.indexed, at.counts = await at.inspection.indexed(), await at.inspection.counts(low, high)
        found = [
            Finding(kept.type_, kept.rid, words)
            for kept in await at.inspection.records(low, high)
            for words in await self._record(kept, at)
        ]
        for type_, made in at.made.items():
            found += await self._index(type_, made, at)
        return found

    async def _record(self, kept: Kept, at: "_Step") -> list[str]:
        self.seen.records += 1
        found = _shape(kept)
        value: Mapping[str, object] | None = None
        for version in kept.versions:
            self.seen.versions += 1
            try:
                value = await self._version(version, at.reader)
            except KeyDestroyedError:
                self.seen.erased += 1
                value = None
                if version is kept.versions[-1] and not version.buried:
                    found.append(_NOT_BURIED)
            except TamperedRecordError as error:
                found.append(f"version {version.version}: {error}")
                value = None
        self._consents.meet(kept, value)
        if kept.type_ == _EVENT:
            self._erasures.meet(value or {})
            found += await _leaf(kept, at.reader)
        indexed = self._indexed or kept.type_ == _EVENT
        if value is not None and not kept.deleted and indexed and await _is_indexed(kept, at):
            patients = [p for p in await at.reader.patients(kept.versions[-1]) if p]
            tokens = self._tokenizer.tokens(kept.type_, value, patients)
            at.made.setdefault(kept.type_, {})[kept.rid] = sorted(tokens)
        return found

    async def _version(self, version: SealedVersion, reader: Reader) -> Mapping[str, object] | None:
        """What is in a version; None for a tombstone.

        Raises:
            TamperedRecordError: It does not open, by one of its wraps or as a whole, or is not what its place says.
            KeyDestroyedError: It is erased.
        """
        if version.buried and (not self._proved or reader.is_buried(version)):
            raise KeyDestroyedError("it was buried")
        text = await _open(version, reader)
        if version.type_ == _BINARY:
            text, document = split(text)
            if document is not None:
                await self._document(version, document)
        if not text:
            if not version.deleted:
                raise TamperedRecordError("it is empty, but not a deletion")
            return None
        value = orjson.loads(text)
        if reader.blind.row(version.type_, str(value.get("id"))) != version.row:
            raise TamperedRecordError("it is of another record")
        return value if isinstance(value, dict) else None

    async def _document(self, version: SealedVersion, document: Document) -> None:
        self.named[document.id] = version.rid
        self.seen.documents += 1
        async for _ in self._documents.read(document, version.row, 0, document.size):
            pass

    async def _index(
        self, type_: str, made: Mapping[int, Sequence[bytes]], at: "_Step"
    ) -> list[Finding]:
        missing = await at.inspection.missing(type_, made)
        found = [
            Finding(type_, rid, f"{n} tokens are not in the index") for rid, n in missing.items()
        ]
        for rid, tokens in made.items():
            surplus = at.counts[rid] - len(tokens) + missing.get(rid, 0)
            if self._exact and surplus > _PADDING:
                found.append(Finding(type_, rid, f"{surplus} tokens in the index are not its own"))
        return found


@dataclass(slots=True)
class _Step:
    """Some records, in one snapshot.

    Attributes:
        made: Tokens that must be in the index, by type and record.
    """

    reader: Reader
    inspection: Inspection
    indexed: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)
    made: dict[str, dict[int, Sequence[bytes]]] = field(default_factory=dict)


async def _open(version: SealedVersion, reader: Reader) -> bytes:
    """Open by each wrap whose key is there: the others' patients rely on theirs alone one day."""
    if not version.wraps:
        return await reader.open(version)
    owners = patient_tokens(version)
    length = len(version.wraps) // max(1, len(owners))
    wraps = [version.wraps[at : at + length] for at in range(0, len(version.wraps), length)]
    if [wrap[:_TOKEN] for wrap in wraps] != owners:
        raise TamperedRecordError("its wraps are not those of its patients")
    text: bytes | None = None
    for wrap in wraps:
        try:
            text = await reader.open(version._replace(wraps=wrap))
        except KeyDestroyedError:
            continue
    if text is None:
        raise KeyDestroyedError("all of its patients were erased")
    return text


async def _leaf(kept: Kept, reader: Reader) -> list[str]:
    row = await reader.audit_row(kept.rid)
    return [] if row is not None else ["an AuditEvent without a leaf in the audit log"]


async def _is_indexed(kept: Kept, at: _Step) -> bool:
    """Whether its tokens must be in the index by now: those of AuditEvents may come later."""
    if kept.type_ != _EVENT:
        return True
    row = await at.reader.audit_row(kept.rid)
    return row is not None and row.n < at.indexed


def _shape(kept: Kept) -> list[str]:
    """Whether a record and its versions say the same."""
    numbers = [version.version for version in kept.versions]
    if not numbers:
        return ["it has no version"]
    newest, found = kept.versions[-1], []
    if numbers != list(range(1, len(numbers) + 1)):
        found.append("its versions have a gap")
    if kept.version != newest.version:
        found.append(
            f"it calls version {kept.version} the current one, the newest is {newest.version}"
        )
    elif (kept.at, kept.deleted) != (newest.at, newest.deleted):
        found.append("its time or deletion is not that of its current version")
    if any(version.type_ != kept.type_ for version in kept.versions):
        found.append("a version is of another type")
    times = [version.at for version in kept.versions]
    if times != sorted(times):
        found.append("its versions are not in the order of their times")
    return found
