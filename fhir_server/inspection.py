"""Everything that is stored, looked at: does it open, does it fit together, does the index say the same?

For the operator's ``consentry check``.  Findings name types, records and versions by number; nothing of what is in them.
Not here: the audit log against its anchors (``anchoring/audit.py``).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from fhir_server.errors import KeyDestroyedError, TamperedRecordError
from fhir_server.search.tokens import Tokenizer
from fhir_server.store.inspection import Inspection, Kept
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.documents import Document, Documents, split
from fhir_server.vault.vault import Reader, patient_tokens

_PADDING = 7  # tokens at most that say nothing
_EVENT = "AuditEvent"
_BINARY = "Binary"
_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong."""

    type_: str
    rid: int
    words: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.type_}, record {self.rid}: {self.words}"


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
    """Looks at one snapshot."""

    def __init__(
        self,
        reader: Reader,
        inspection: Inspection,
        documents: Documents,
        tokenizer: Tokenizer,
        *,
        exact: bool,
    ) -> None:
        """Keep the parts.

        Args:
            exact: Whether the index holds nothing but padding beside the tokens of now: not where search parameters of
                one's own were withdrawn, or are being indexed.
        """
        self._reader = reader
        self._inspection = inspection
        self._documents = documents
        self._tokenizer = tokenizer
        self._exact = exact
        self._counts: Sequence[int] = ()
        self._indexed = 0
        self.seen = Seen()
        self.named: dict[bytes, int] = {}  # documents, and the records that name them

    async def look(self, step: int, tell: Callable[[int, int], None]) -> AsyncIterator[Finding]:
        """All findings, ``step`` records at a time."""
        self._counts = await self._inspection.counts()
        last = len(self._counts) - 1
        _, self._indexed = await self._inspection.events()
        if self._counts[0]:
            yield Finding("index", 0, f"{self._counts[0]} tokens are of records that are not there")
        if orphans := await self._inspection.orphans():
            yield Finding("document", 0, f"{orphans} chunks are of documents that are not there")
        for low in range(0, last, step):
            made: dict[str, dict[int, Sequence[bytes]]] = {}
            for kept in await self._inspection.records(low, low + step):
                for words in await self._record(kept, made):
                    yield Finding(kept.type_, kept.rid, words)
            for type_, tokens in made.items():
                for finding in await self._index(type_, tokens):
                    yield finding
            tell(min(last, low + step), last)

    async def _record(self, kept: Kept, made: dict[str, dict[int, Sequence[bytes]]]) -> list[str]:
        self.seen.records += 1
        found = _shape(kept)
        value: Mapping[str, object] | None = None
        for version in kept.versions:
            self.seen.versions += 1
            try:
                value = await self._version(version)
            except KeyDestroyedError:
                self.seen.erased += 1
                value = None
            except TamperedRecordError as error:
                found.append(f"version {version.version}: {error}")
                value = None
        if kept.type_ == _EVENT:
            found += await self._leaf(kept)
        if value is not None and not kept.deleted and await self._is_indexed(kept):
            patients = [p for p in await self._reader.patients(kept.versions[-1]) if p]
            tokens = self._tokenizer.tokens(kept.type_, value, patients)
            made.setdefault(kept.type_, {})[kept.rid] = sorted(tokens)
        return found

    async def _version(self, version: SealedVersion) -> Mapping[str, object] | None:
        """What is in a version; None for a tombstone.

        Raises:
            TamperedRecordError: It does not open, by one of its wraps or as a whole, or is not what its place says.
            KeyDestroyedError: It is erased.
        """
        if not version.sealed and version.deleted:
            raise KeyDestroyedError("it was buried")
        text = await self._open(version)
        if version.type_ == _BINARY:
            text, document = split(text)
            if document is not None:
                await self._document(version, document)
        if not text:
            if not version.deleted:
                raise TamperedRecordError("it is empty, but not a deletion")
            return None
        value = orjson.loads(text)
        if self._reader.blind.row(version.type_, str(value.get("id"))) != version.row:
            raise TamperedRecordError("it is of another record")
        return value if isinstance(value, dict) else None

    async def _open(self, version: SealedVersion) -> bytes:
        """Open by each wrap whose key is there: the others' patients rely on theirs alone one day."""
        if not version.wraps:
            return await self._reader.open(version)
        owners = patient_tokens(version)
        length = len(version.wraps) // max(1, len(owners))
        wraps = [version.wraps[at : at + length] for at in range(0, len(version.wraps), length)]
        if [wrap[:_TOKEN] for wrap in wraps] != owners:
            raise TamperedRecordError("its wraps are not those of its patients")
        text: bytes | None = None
        for wrap in wraps:
            try:
                text = await self._reader.open(replace(version, wraps=wrap))
            except KeyDestroyedError:
                continue
        if text is None:
            raise KeyDestroyedError("all of its patients were erased")
        return text

    async def _document(self, version: SealedVersion, document: Document) -> None:
        self.named[document.id] = version.rid
        self.seen.documents += 1
        async for _ in self._documents.read(document, version.row, 0, document.size):
            pass

    async def _leaf(self, kept: Kept) -> list[str]:
        row = await self._reader.audit_row(kept.rid)
        return [] if row is not None else ["an AuditEvent without a leaf in the audit log"]

    async def _is_indexed(self, kept: Kept) -> bool:
        """Whether its tokens must be in the index by now: those of AuditEvents may come later."""
        if kept.type_ != _EVENT:
            return True
        row = await self._reader.audit_row(kept.rid)
        return row is not None and row.n < self._indexed

    async def _index(self, type_: str, made: Mapping[int, Sequence[bytes]]) -> list[Finding]:
        missing = await self._inspection.missing(type_, made)
        found = [
            Finding(type_, rid, f"{n} tokens are not in the index") for rid, n in missing.items()
        ]
        for rid, tokens in made.items():
            surplus = self._counts[rid] - len(tokens) + missing.get(rid, 0)
            if self._exact and surplus > _PADDING:
                found.append(Finding(type_, rid, f"{surplus} tokens in the index are not its own"))
        return found


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
