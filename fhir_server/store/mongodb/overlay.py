"""Records that a batch has written and the transaction does not have yet, selected as the database would select them.

So a unit of work sees what those before it have written, and all of them can still be sent together.
"""

from collections.abc import Iterator, Sequence

from fhir_server.store.mongodb.mongo import Document
from fhir_server.store.protocol import Selection

_Place = tuple[int, int]


class Overlay:
    """Current versions, each as its document."""

    def __init__(self) -> None:
        self._records: dict[str, dict[bytes, Document]] = {}
        self._rows: dict[bytes, list[bytes]] = {}  # by token, of what is not in ``_unread``
        self._unread: dict[str, list[Document]] = {}

    def add(self, record: Document) -> None:
        """A version that is the current one from now on."""
        type_ = record["type"]
        self._records.setdefault(type_, {})[record["_id"]] = record
        self._unread.setdefault(type_, []).append(record)

    def clear(self) -> None:
        """The transaction has all of them."""
        self._records, self._rows, self._unread = {}, {}, {}

    def count(self, type_: str) -> int:
        """How many records of a type there are: so many more must be asked for, as they may lie over what is found."""
        return len(self._records.get(type_, ()))

    def over(self, found: Sequence[Document], selection: Selection) -> list[Document]:
        """What is selected, of what the database has found and of these records."""
        own = self._records.get(selection.type_, {})
        if not own:
            return list(found)
        kept = [each for each in found if each["_id"] not in own]
        kept += [each for each in self._candidates(own, selection) if _matches(each, selection)]
        kept.sort(key=lambda each: place(each, selection), reverse=selection.descending)
        return kept[: selection.limit]

    def _candidates(self, own: dict[bytes, Document], selection: Selection) -> Iterator[Document]:
        if not selection.all_of:
            yield from own.values()
            return
        for record in self._unread.pop(selection.type_, ()):
            for token in record["tokens"]:
                self._rows.setdefault(token, []).append(record["_id"])
        for row in {row for token in selection.all_of[0] for row in self._rows.get(token, ())}:
            if row in own:
                yield own[row]


def place(record: Document, selection: Selection) -> _Place:
    """Where a record stands in the order of a selection."""
    return (record["at"], record["rid"]) if selection.by_time else (record["rid"], record["rid"])


def _matches(record: Document, selection: Selection) -> bool:
    if not record["live"] or (selection.rows is not None and record["_id"] not in selection.rows):
        return False
    if selection.since is not None and record["at"] < selection.since:
        return False
    if selection.until is not None and record["at"] > selection.until:
        return False
    tokens = set(record["tokens"]) if selection.all_of else set()
    return all(not tokens.isdisjoint(group) for group in selection.all_of) and _behind(
        record, selection
    )


def _behind(record: Document, selection: Selection) -> bool:
    if selection.after is None:
        return True
    at, rid = selection.after
    stands, after = place(record, selection), (at if selection.by_time else rid, rid)
    return stands < after if selection.descending else stands > after
