"""The audit log in MongoDB: rows that are committed together lie together.

``page``: ``n`` is the number of its first row, ``_id`` the ``rid`` of that; ``rows`` has each with its ``rid``,
``commitment`` and ``opening``, in the order of their numbers, at most ``_ROWS`` of them.  So a commit inserts one document
for the rows of many AuditEvents, and whoever computes the tree reads little else than commitments.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fhir_server.store.mongodb.mongo import ASCENDING, Document, IndexModel, Query, UpdateOne
from fhir_server.store.protocol import AuditRow

PAGE = "page"
PAGE_INDEXES = {PAGE: (IndexModel([("n", ASCENDING)]), IndexModel([("rows.rid", ASCENDING)]))}
_ROWS = 64  # small, because who wants one row is given all that may begin before it
_COMMITMENTS = (("n", 1), ("rows.commitment", 1))


def pages(rows: Iterable[AuditRow]) -> Iterator[Document]:
    """The documents of rows in the order of their numbers."""
    page: Document = {"n": 0, "rows": []}
    for row in rows:
        if len(page["rows"]) == _ROWS or row.n != page["n"] + len(page["rows"]):
            yield from _filled(page)
            page = {"n": row.n, "rows": []}
        page["rows"].append(_row(row))
    yield from _filled(page)


def _filled(page: Document) -> Iterator[Document]:
    if page["rows"]:
        yield {"_id": page["rows"][0]["rid"], **page}


def rows_between(start: int, stop: int) -> Query:
    """Asks for all pages with a row ``start <= n < stop``; they have others, too."""
    where = {"n": {"$gt": start - _ROWS, "$lt": stop}}
    return Query(PAGE, where, sort=(("n", 1),))


def row_of(rid: int) -> Query:
    """Asks for the page with the row of an AuditEvent."""
    return Query(PAGE, {"rows.rid": rid})


def rows(found: Iterable[Document]) -> Iterator[AuditRow]:
    """What is in pages."""
    for n, each in _numbered(found):
        yield AuditRow(n, each["rid"], each["commitment"], each["opening"])


def commitments_between(start: int, stop: int) -> Query:
    """The same as ``rows_between``, of which ``commitments`` tells."""
    return replace(rows_between(start, stop), fields=_COMMITMENTS)


def commitments(found: Iterable[Document]) -> Iterator[tuple[int, bytes]]:
    """Number and commitment of each row."""
    for n, each in _numbered(found):
        yield n, each["commitment"]


def reopened(rid: int, opening: bytes) -> UpdateOne:
    """Another opening for the row of an AuditEvent."""
    return UpdateOne({"rows.rid": rid}, {"$set": {"rows.$.opening": opening}})


def _numbered(found: Iterable[Document]) -> Iterator[tuple[int, Document]]:
    for page in found:
        yield from enumerate(page["rows"], page["n"])


def _row(row: AuditRow) -> Document:
    return {"rid": row.rid, "commitment": row.commitment, "opening": row.opening}
