"""Which process, on whatever machine, has a task that only one may do.

``lease``: ``_id`` is the task, ``holder`` who has it, and each time the holder asks again it raises ``beat``.  Another
process that sees the same ``beat`` for ``_PATIENCE`` seconds by its own clock takes it.
"""

import secrets
import time

from fhir_server.store.mongodb.mongo import Document, Mongo

LEASE = "lease"
_PATIENCE = 8.0  # seconds; a holder asks each second or two


class MongoLeases:
    """A ``store.database.Leases``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._name = secrets.token_hex(16)
        self._seen: dict[str, tuple[object, float]] = {}

    async def holds(self, task: str) -> bool:
        """See ``Leases.holds``."""
        if await self._claimed({"_id": task, "holder": {"$in": [None, self._name]}}):
            return True
        found = await self._mongo.one(LEASE, {"_id": task})
        if found is None:
            return await self._mongo.insert(LEASE, {"_id": task, "holder": self._name, "beat": 1})
        if not self._is_dead(task, found["beat"]):
            return False
        return await self._claimed({"_id": task, "beat": found["beat"]})

    async def leave(self, task: str) -> None:
        """See ``Leases.leave``."""
        mine = {"_id": task, "holder": self._name}
        await self._mongo.change(LEASE, mine, {"$set": {"holder": None}, "$inc": {"beat": 1}})

    async def _claimed(self, where: Document) -> bool:
        change = {"$set": {"holder": self._name}, "$inc": {"beat": 1}}
        return await self._mongo.change(LEASE, where, change) is not None

    def _is_dead(self, task: str, beat: int) -> bool:
        """Whether the holder has not asked again for longer than a living one would leave it."""
        now = time.monotonic()
        seen, since = self._seen.get(task, (None, now))
        if seen != beat:
            seen, since = beat, now
        self._seen[task] = (seen, since)
        return now - since > _PATIENCE
