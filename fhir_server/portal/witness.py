"""``POST /log/add-checkpoint``: this server as a witness of other institutions' logs, by C2SP tlog-witness.

Whoever sends a checkpoint shows who they are by its signature; nobody needs a token, and no record of anybody is touched.
There is no pace here: strangers could use it up, and keep the cosignatures from those that need them.  What strangers can
send costs a signature's verification and writes nothing.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Request, Response

from anchoring.errors import ConflictingCheckpointError, StaleCheckpointError, WitnessRefusal
from anchoring.witnessing.witness import MOST_BYTES, Witness
from fhir_server.errors import FhirError, StoreFullError, StoreLostError
from fhir_server.portal.log import NEVER, TEXT, unavailable
from fhir_server.rest.bodies import read_body

_SIZE = "text/x.tlog.size"
_LOG = logging.getLogger("consentry")


class WitnessRoutes:
    """``/log/add-checkpoint``."""

    def __init__(self, witness: Callable[[], Witness], clock: Callable[[], datetime]) -> None:
        self._witness = witness
        self._clock = clock
        self.router = APIRouter(prefix="/log", include_in_schema=False)
        self.router.add_api_route(
            "/add-checkpoint", self.add_checkpoint, methods=["POST"], response_model=None
        )

    async def add_checkpoint(self, request: Request) -> Response:
        """Cosignatures, or the status that says why not."""
        try:
            body = await read_body(request, MOST_BYTES)
            lines = await self._witness().add_checkpoint(body, self._clock())
        except WitnessRefusal as refusal:
            return _refused(refusal)
        except (StoreFullError, StoreLostError):
            return unavailable()
        except FhirError as error:  # of the body: too large, not what it says it is
            return Response(f"{error}\n", error.status, NEVER, media_type=TEXT)
        return Response(lines.encode(), headers=NEVER, media_type=TEXT)


def _refused(refusal: WitnessRefusal) -> Response:
    if isinstance(refusal, ConflictingCheckpointError):
        _LOG.error(
            "a log shows two histories: consentry witness has both",
            extra={"status": refusal.status, "cosigned": refusal.size},
        )
    knows_size = (StaleCheckpointError, ConflictingCheckpointError)
    if isinstance(refusal, knows_size) and refusal.status == 409:
        return Response(f"{refusal.size}\n", 409, {**NEVER, "Content-Type": _SIZE})
    return Response(f"{refusal}\n", refusal.status, NEVER, media_type=TEXT)
