"""What this room needs of a store beside the log itself: small durable records, by name."""

from collections.abc import Callable
from typing import Protocol


class Records(Protocol):
    """Small durable records, which all processes that share a store see."""

    async def find(self, name: str) -> bytes | None:
        """Give a record; None if there is none."""
        ...

    async def change(self, name: str, changed: Callable[[bytes | None], bytes]) -> bytes:
        """Put what ``changed`` makes of a record in its place, and give it; durable when this returns.

        One step among all processes: nobody changes the record between the two.  ``changed`` may be
        called again.  If it raises, nothing is changed and the error comes out.
        """
        ...
