"""A page of ours asks as the person who looks at it, through the same pipeline as an app would (ADR 0030).

Consent decides on each record, a hidden record is as if it were not there, and an AuditEvent says that somebody looked.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime

from fhir_server.forms import Pairs, Received, Recorded
from fhir_server.pipeline.authenticate import PURPOSE
from fhir_server.pipeline.run import Pipeline
from smart_auth.people.users import User

_HERE = "127.0.0.1"  # it is this server that asks


class Asking:
    """Asks the server's own pipeline."""

    def __init__(self, pipeline: Callable[[], Pipeline], clock: Callable[[], datetime]) -> None:
        """``pipeline`` gives the server's pipeline once it is open."""
        self._pipeline = pipeline
        self._clock = clock

    async def get(self, user: User, scope: str, target: str, query: Pairs = ()) -> Recorded:
        """The answer to a GET of ``target`` (a path below the FHIR base) by a person, with a token of this scope."""
        pipeline, now = self._pipeline(), self._clock()
        token, purpose = pipeline.smart.page_token(user, scope, now)
        received = Received(
            method="GET",
            target=target,
            query=query,
            headers={"authorization": f"Bearer {token}", PURPOSE: purpose},
            body=b"",
            at=int(now.timestamp() * 1000),
            now=now,
            request_id=f"page-{secrets.token_hex(8)}",
            address=_HERE,
        )
        return await pipeline.answer(received)


def mapping(value: object) -> Mapping[str, object]:
    """A JSON object, or an empty one for whatever else it is."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """A JSON array, or an empty one for whatever else it is."""
    return value if isinstance(value, list) else []
