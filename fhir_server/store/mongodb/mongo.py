"""The door to MongoDB: the only importer of motor and pymongo.

motor is at its end of life; PyMongo's own ``AsyncMongoClient`` takes the same calls (ADR 0016), so the move is a change of
the imports here.  Everything is read from the primary and written with the majority.  Errors of the
driver end here, as errors of ours.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from motor.motor_asyncio import AsyncIOMotorClient as Client
from pymongo import (
    ASCENDING,
    DeleteMany,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReplaceOne,
    ReturnDocument,
    UpdateOne,
)
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    InvalidOperation,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fhir_server.errors import ConsentryError, SettingsError, StoreFullError, StoreLostError

Document = dict[str, Any]
Driver = Any  # an object of motor: its own types say other than it does
Filter = Mapping[str, Any]
Operation = InsertOne[Document] | UpdateOne | ReplaceOne[Document] | DeleteOne | DeleteMany
_T = TypeVar("_T")
_NAME = "consentry"
_PATIENCE = 5000  # milliseconds for a server to be found
_STALL = 30_000  # milliseconds for an answer
_AT_ONCE = 1000  # operations: a large transaction must not look like a server that does not answer
_PAUSES = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
)  # seconds at most, before what has met another is done again
_DUPLICATE = 11000
_FULL = frozenset({257, 388, 14031, 10334})  # transaction or document too large, disk full
_TRANSIENT = "TransientTransactionError"
_UNKNOWN = "UnknownTransactionCommitResult"
_MAJORITY = WriteConcern("majority")

__all__ = [
    "ASCENDING",
    "DeleteMany",
    "DeleteOne",
    "Document",
    "DuplicateError",
    "Filter",
    "IndexModel",
    "InsertOne",
    "Mongo",
    "Operation",
    "Query",
    "ReplaceOne",
    "Session",
    "TransientError",
    "UpdateOne",
]


class DuplicateError(ConsentryError):
    """A duplicate of what can be there only once."""


class TransientError(StoreLostError):
    """The transaction came to nothing for no fault of its own: done again from its beginning it may succeed."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to find in a collection.

    Attributes:
        where: The conditions; those of ``also`` are asked of what has met them.
        sort: Field and direction, 1 or -1.
        fields: Projection; empty for all.
        limit: At most this many; 0 for all.
    """

    collection: str
    where: Filter
    also: tuple[Filter, ...] = ()
    sort: tuple[tuple[str, int], ...] = ()
    fields: tuple[tuple[str, int], ...] = ()
    limit: int = 0


class Mongo:
    """One connection pool to one database."""

    def __init__(self, url: str) -> None:
        """Read the url; nothing is sent yet.

        Raises:
            SettingsError: It is not a url of a MongoDB.
        """
        try:
            self._client: Driver = Client(
                url,
                serverSelectionTimeoutMS=_PATIENCE,
                connectTimeoutMS=_PATIENCE,
                socketTimeoutMS=_STALL,
                appname=_NAME,
            )
        except (PyMongoError, ValueError) as error:
            raise SettingsError(f"store is not a url of a MongoDB: {_plain(error, url)}") from error
        self._url = url
        name = urlsplit(url).path.strip("/").partition("?")[0] or _NAME
        self._database = self._client.get_database(name, write_concern=_MAJORITY)

    async def require_transactions(self) -> None:
        """Refuse what can not keep a unit of work whole.

        Raises:
            SettingsError: No server answers, or it stands alone and so has no transactions.
        """
        try:
            hello = await self._client.admin.command("hello")
        except PyMongoError as error:
            raise SettingsError(
                f"the MongoDB in store does not answer: {_plain(error, self._url)}"
            ) from error
        if not hello.get("setName") and hello.get("msg") != "isdbgrid":
            raise SettingsError(
                "the MongoDB in store stands alone and has no transactions: make it a replica set, of one member if need be"
            )

    async def index(self, collection: str, indexes: Sequence[IndexModel]) -> None:
        """Make the indexes that are missing."""
        await told(self._database[collection].create_indexes(list(indexes)))

    async def session(self) -> "Session":
        """A session, for one transaction after another."""
        return Session(self._database, await told(self._client.start_session()))

    async def one(self, collection: str, where: Filter) -> Document | None:
        """The newest that is durable of one document, outside of any transaction."""
        found: Document | None = await told(self._majority(collection).find_one(where))
        return found

    async def find(self, query: Query) -> list[Document]:
        """The newest that is durable of what matches, outside of any transaction."""
        return await _found(self._majority(query.collection), query, None)

    async def count(self, collection: str, where: Filter) -> int:
        """How many match, outside of any transaction."""
        return int(await told(self._majority(collection).count_documents(where)))

    async def holds_anything(self) -> bool:
        """Whether the database has any collection."""
        return bool(await told(self._database.list_collection_names()))

    async def together(self, writes: Callable[["Session"], Awaitable[None]]) -> None:
        """Commit some writes as one, beside the units of work: none of them touches what those do."""
        session = await self.session()
        try:
            for pause in (*_PAUSES, None):
                try:
                    session.begin()
                    await writes(session)
                    await session.commit()
                    return
                except TransientError:
                    await session.abort()
                    if pause is None:
                        raise
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  so that they do not meet again
        finally:
            await session.close()

    async def change(
        self, collection: str, where: Filter, change: Filter, *, upsert: bool = False
    ) -> Document | None:
        """Change one document as one step; give it as it is then, None if none meets the conditions."""
        asked = self._database[collection]

        async def once() -> Document | None:
            changed: Document | None = await told(
                asked.find_one_and_update(
                    where, change, upsert=upsert, return_document=ReturnDocument.AFTER
                )
            )
            return changed

        return await _or_again(once)

    async def change_all(self, collection: str, where: Filter, change: Filter) -> None:
        """Change all documents that meet the conditions, each by itself: ask again if it fails."""
        await told(self._database[collection].update_many(where, change))

    async def insert(self, collection: str, document: Document) -> bool:
        """Insert one document; False if one of its ``_id`` is there."""
        try:
            await told(self._database[collection].insert_one(document))
        except DuplicateError:
            return False
        return True

    async def replace(self, collection: str, document: Document) -> None:
        """Insert one document, or replace that of its ``_id``."""
        where, asked = {"_id": document["_id"]}, self._database[collection]
        await _or_again(lambda: told(asked.replace_one(where, document, upsert=True)))

    async def drop(self, collection: str) -> None:
        """Forget a collection with all that is in it; nothing happens where there is none."""
        await told(self._database.drop_collection(collection))

    async def take(self, collection: str, where: Filter) -> Document | None:
        """Delete one document and give it, as one step; None if none meets the conditions."""
        taken: Document | None = await told(self._database[collection].find_one_and_delete(where))
        return taken

    async def end_sessions(self, ids: Sequence[Any]) -> None:
        """Take back what the transactions of these sessions have begun, whoever's they are."""
        await told(self._client.admin.command({"killSessions": [{"id": id_} for id_ in ids]}))

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _majority(self, collection: str) -> Driver:
        return self._database.get_collection(collection, read_concern=ReadConcern("majority"))


class Session:
    """One session.  What is asked of it runs one after another, inside its transaction once ``begin`` was called."""

    def __init__(self, database: Driver, session: Driver) -> None:
        self._database = database
        self._session = session

    @property
    def id(self) -> object:
        """The name by which others can end it."""
        name: object = self._session.session_id["id"]
        return name

    @property
    def begun(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._session.in_transaction)

    def begin(self) -> None:
        """Begin a transaction; it sees what was durable when its first statement runs."""
        self._session.start_transaction(
            read_concern=ReadConcern("snapshot"), write_concern=_MAJORITY
        )

    async def find(self, query: Query) -> list[Document]:
        """What matches, in the order asked for."""
        return await _found(self._database[query.collection], query, self._session)

    async def write(self, collection: str, operations: Sequence[Operation]) -> int:
        """Do the operations in their order; give how many documents an update or replacement has met.

        Raises:
            TransientError: The transaction is over; it may be begun again.
            StoreFullError: It is too large, or the disk is full.
        """
        matched, asked = 0, self._database[collection]
        for at in range(0, len(operations), _AT_ONCE):
            some = list(operations[at : at + _AT_ONCE])
            matched += (await told(asked.bulk_write(some, session=self._session))).matched_count
        return matched

    async def commit(self) -> None:
        """End the transaction; what it wrote is durable then.

        Raises:
            TransientError: It is over and nothing was kept; it may be begun again.
            StoreLostError: Whether it was kept is not known.
        """
        for last in (False, False, True):
            try:
                await told(self._session.commit_transaction())
                return
            except StoreLostError as error:
                cause = error.__cause__
                known = isinstance(cause, PyMongoError) and not cause.has_error_label(_UNKNOWN)
                if known or last:
                    raise

    async def abort(self) -> None:
        """End the transaction; nothing of it is kept, also if this can not be told to the server."""
        if self._session.in_transaction:
            await told(self._session.abort_transaction())

    async def close(self) -> None:
        """Let go of it."""
        await told(self._session.end_session())


async def _or_again(once: Callable[[], Awaitable[_T]]) -> _T:
    """Of two that insert at once what is not there yet, one may be refused: then it is there."""
    try:
        return await once()
    except DuplicateError:
        return await once()


async def _found(collection: Driver, query: Query, session: Driver) -> list[Document]:
    if query.also:
        stages: list[Document] = [{"$match": where} for where in (query.where, *query.also)]
        stages += [{"$sort": dict(query.sort)}] if query.sort else []
        stages += [{"$limit": query.limit}] if query.limit else []
        stages += [{"$project": dict(query.fields)}] if query.fields else []
        cursor = collection.aggregate(stages, session=session)
    else:
        fields = dict(query.fields) or None
        cursor = collection.find(query.where, fields, limit=query.limit, session=session)
        cursor = cursor.sort(list(query.sort)) if query.sort else cursor
    found: list[Document] = await told(cursor.to_list(None))
    return found


async def told(asked: Awaitable[_T]) -> _T:
    """What the driver answers.  Whoever is cancelled waits for it: a session can not do two things at once.

    Raises:
        TransientError: The transaction is over; it may be begun again.
        StoreFullError: It is too large, or the disk is full.
        StoreLostError: The database does not answer, or not as it should.
    """
    answer = asyncio.ensure_future(asked)
    try:
        return await asyncio.shield(answer)
    except asyncio.CancelledError:
        await asyncio.wait([answer])
        if not answer.cancelled():
            answer.exception()  # it is of no interest any more
        raise
    except PyMongoError as error:
        raise _ours(error) from error


def _ours(error: PyMongoError) -> ConsentryError:
    if isinstance(error, OperationFailure) and (error.code in _FULL or _says_full(error)):
        return StoreFullError("the database has no room for it")
    if isinstance(error, DuplicateKeyError) or _is_duplicate(error):
        return DuplicateError("a duplicate of what can be there only once")
    if error.has_error_label(_TRANSIENT):
        return TransientError(f"a transaction was interrupted ({type(error).__name__})")
    return StoreLostError(f"the database cannot be used ({type(error).__name__})")


def _is_duplicate(error: PyMongoError) -> bool:
    if not isinstance(error, BulkWriteError):
        return False
    return any(
        each.get("code") == _DUPLICATE for each in (error.details or {}).get("writeErrors", ())
    )


def _says_full(error: PyMongoError) -> bool:
    return "No space left" in str(error) or "disk full" in str(error).lower()


def _plain(error: Exception, url: str) -> str:
    """What is wrong, in one line and without the password that the url may carry."""
    if isinstance(error, (InvalidURI, ConfigurationError, InvalidOperation, ValueError)):
        password = urlsplit(url).password if "@" in url else None
        text = str(error)
        return text.replace(password, "...") if password else text
    return type(error).__name__
