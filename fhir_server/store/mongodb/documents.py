"""The documents of the sealed store in MongoDB, and the questions asked of them.

``record``: the current version of each record, ``_id`` its row key, with its ``tokens``.  ``version``: those that were
followed by another, ``_id`` the row key and the version (4 bytes), with the time of the one that followed as ``next``.
What is longer than ``PART`` bytes lies in ``part``, in pieces, because a document may not be larger than 16 MiB; ``parts``
says how many, and ``_id`` of each is that of a version and its number (4 bytes).  ``shared`` is there, and true, where a
record has several patients.  ``data_key``: ``k`` tells which of an owner's keys is the newest.
"""

from collections.abc import Iterator, Sequence

from fhir_server.store.mongodb.mongo import ASCENDING, Document, IndexModel, Query
from fhir_server.store.protocol import Changes, SealedVersion, Selection

RECORD, VERSION, PART, KEY, META = "record", "version", "part", "data_key", "meta"
PART_BYTES = 8 * 1024 * 1024
_WITHOUT_TOKENS = (("tokens", 0),)

INDEXES = {
    RECORD: (
        IndexModel([("tokens", ASCENDING)]),
        IndexModel([("rid", ASCENDING)]),
        IndexModel([("type", ASCENDING), ("rid", ASCENDING)]),
        IndexModel([("type", ASCENDING), ("at", ASCENDING), ("rid", ASCENDING)]),
        IndexModel([("shared", ASCENDING)], sparse=True),
    ),
    VERSION: (
        IndexModel([("shared", ASCENDING)], sparse=True),
        IndexModel([("rid", ASCENDING)]),
        IndexModel([("type", ASCENDING), ("at", ASCENDING), ("rid", ASCENDING)]),
    ),
    KEY: (IndexModel([("owner", ASCENDING)]),),
}


def numbered(row: bytes, number: int) -> bytes:
    """``_id`` of a version, or of a part of one: what it belongs to and its number."""
    return row + number.to_bytes(4, "big")


def document(version: SealedVersion, tokens: Sequence[bytes]) -> Document:
    """The document of a current version; what is too long for it lies in ``parts``."""
    return {
        "_id": version.row,
        "rid": version.rid,
        "type": version.type_,
        "version": version.version,
        "at": version.at,
        "live": not version.deleted,
        **seal_of(version),
        "tokens": list(tokens),
    }


def seal_of(version: SealedVersion) -> Document:
    """What of a version's document another seal changes."""
    long = len(version.sealed) > PART_BYTES
    shared: Document = {"shared": True} if version.wraps else {}
    return {
        "key_id": version.key_id,
        "patients": version.patients,
        "wraps": version.wraps,
        "sealed": b"" if long else version.sealed,
        "parts": -(-len(version.sealed) // PART_BYTES) if long else 0,
        **shared,
    }


def parts(version: SealedVersion) -> Iterator[Document]:
    """What of a version does not find room in its document."""
    if len(version.sealed) <= PART_BYTES:
        return
    of = numbered(version.row, version.version)
    for number, at in enumerate(range(0, len(version.sealed), PART_BYTES)):
        yield {"_id": numbered(of, number), "part": version.sealed[at : at + PART_BYTES]}


def superseded(current: Document, at: int) -> Document:
    """The document of a version that is followed by another one, written ``at``."""
    kept = {name: value for name, value in current.items() if name != "tokens"}
    return {**kept, "_id": numbered(current["_id"], current["version"]), "next": at}


def part_ids(found: Document) -> list[bytes]:
    """Where the parts of a version lie."""
    of = numbered(found["_id"][:16], found["version"])
    return [numbered(of, number) for number in range(found["parts"])]


def version_of(found: Document, sealed: bytes | None = None) -> SealedVersion:
    """A version as it was put; ``sealed`` if that lay in parts."""
    return SealedVersion(
        rid=found["rid"],
        row=found["_id"][:16],
        type_=found["type"],
        version=found["version"],
        at=found["at"],
        deleted=not found["live"],
        key_id=found["key_id"],
        patients=found["patients"],
        wraps=found["wraps"],
        sealed=found["sealed"] if sealed is None else sealed,
    )


def selected(selection: Selection) -> Query:
    """The question for a selection."""
    plain: Document = {"type": selection.type_, "live": True}
    if selection.rows is not None:
        plain["_id"] = {"$in": list(selection.rows)}
    _between(plain, selection.since, selection.until)
    direction = -1 if selection.descending else 1
    where, *also = (*(_any_of(group) for group in selection.all_of), plain)
    if selection.after is not None:
        at, rid = selection.after
        sign = "$lt" if selection.descending else "$gt"
        also += [_behind(at, rid, sign)] if selection.by_time else [{"rid": {sign: rid}}]
    order = (("at", direction),) if selection.by_time else ()
    return Query(
        RECORD,
        where,
        also=tuple(also),
        sort=(*order, ("rid", direction)),
        fields=_WITHOUT_TOKENS,
        limit=selection.limit,
    )


def changed(changes: Changes) -> Iterator[Query]:
    """The questions for a history: of the current versions, and of those before them."""
    where: Document = {"type": changes.type_} if changes.rid is None else {"rid": changes.rid}
    if changes.rid is None and changes.type_ == "AuditEvent":
        where["live"] = (
            True  # they are never changed: as if those that are not there had never been
        )
    _between(where, changes.since, changes.until)
    also = (_behind(*changes.before, "$lt"),) if changes.before is not None else ()
    order = (("at", -1), ("rid", -1), ("version", -1))
    yield Query(RECORD, where, also, order, _WITHOUT_TOKENS, changes.limit)
    if changes.current_at is not None:
        where = {**where, "next": {"$gt": changes.current_at}}
    yield Query(VERSION, where, also, order, (), changes.limit)


def newest_first(found: Document) -> tuple[int, int, int]:
    """The order of a history, to be reversed."""
    return found["at"], found["rid"], found["version"]


def _any_of(tokens: Sequence[bytes]) -> Document:
    return {"tokens": tokens[0] if len(tokens) == 1 else {"$in": list(tokens)}}


def _between(where: Document, since: int | None, until: int | None) -> None:
    """Bounds of ``at``.  The upper one is asked as "less than one more": secantusdb's indexes leave out the bound itself."""
    bounds = {"$gte": since, "$lt": None if until is None else until + 1}
    if since is not None or until is not None:
        where["at"] = {sign: bound for sign, bound in bounds.items() if bound is not None}


def _behind(at: int, rid: int, sign: str) -> Document:
    return {"$or": [{"at": {sign: at}}, {"at": at, "rid": {sign: rid}}]}
