"""``/log/``: the audit log for whoever wants to mirror it, by C2SP tlog-tiles.  Nobody needs a token.

An entry is the commitment of an AuditEvent: 32 bytes that tell nothing without a key which only the event's own seal holds.
So these reads disclose no record and make no AuditEvent; a log that grew by being read would never be mirrored.  What they
tell is how many events there were at each checkpoint.  Nothing beyond the newest checkpoint is served.
"""

import logging
import math
from collections.abc import Callable

from fastapi import APIRouter, Response

from anchoring.errors import HistoryError, MerkleError, NoSuchTileError
from anchoring.log.tiles import TileName, parse_tile_path
from anchoring.witnessing.announcing import Announced
from fhir_server.errors import StoreLostError
from fhir_server.portal.pace import Pace
from fhir_server.transparency import Transparency

_PER_SECOND, _AT_ONCE = 500, 2000  # tiles: 128,000 events a second, of each process
_FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}
_BRIEFLY = {"Cache-Control": "public, max-age=2"}
NEVER = {"Cache-Control": "no-store"}
TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_READ = ["GET", "HEAD"]
_LOG = logging.getLogger("consentry")


class LogRoutes:
    """``/log/checkpoint``, ``/log/tile/...`` and ``/log/keys``."""

    def __init__(self, transparency: Callable[[], Transparency], pace: Pace | None = None) -> None:
        self._transparency = transparency
        self._pace = pace or Pace(_PER_SECOND, _AT_ONCE)
        self._size = 0  # of the newest checkpoint that was seen: it only grows
        self.router = APIRouter(prefix="/log", include_in_schema=False)
        for path, answer in (
            ("/checkpoint", self.checkpoint),
            ("/keys", self.keys),
            ("/tile/{path:path}", self.tile),
        ):
            self.router.add_api_route(path, answer, methods=_READ, response_model=None)

    async def checkpoint(self) -> Response:
        """The newest signed state; 404 before there is one."""
        if wait := self._pace.wait():
            return _slower(wait)
        try:
            newest = await self._newest()
        except StoreLostError:
            return unavailable()
        if newest is None:
            return _missing("nothing was signed yet")
        return Response(newest.note.encode(), headers=_BRIEFLY, media_type=TEXT)

    async def keys(self) -> Response:
        """The verifier keys of log and witness, one a line: to be compared with what the operator says elsewhere."""
        if wait := self._pace.wait():
            return _slower(wait)
        transparency = self._transparency()
        keys = (*transparency.announcer.keys, *transparency.witness.keys)
        lines = "".join(f"{key.vkey}\n" for key in keys)
        return Response(lines.encode(), headers=_BRIEFLY, media_type=TEXT)

    async def tile(self, path: str) -> Response:
        """A tile or a bundle of entries; 404 for what the newest checkpoint does not reach."""
        if wait := self._pace.wait():
            return _slower(wait)
        try:
            name = parse_tile_path(path)
            content = await self._content(name)
        except NoSuchTileError as error:
            return _missing(str(error))
        except (
            HistoryError,
            MerkleError,
            StoreLostError,
        ) as error:  # nothing is better than something wrong
            _LOG.error("a tile cannot be served", extra={"kind": type(error).__name__})
            return unavailable()
        return Response(content, headers=_FOR_GOOD, media_type=_BYTES)

    async def _content(self, name: TileName) -> bytes:
        if not name.fits(self._size):
            await self._newest()
        if not name.fits(self._size):
            raise NoSuchTileError("the newest checkpoint does not reach so far")
        log = self._transparency().log
        if name.level is not None:
            return await log.hashes(name.level, name.index, name.width)
        entries = await log.entries(name.index, name.width)
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)

    async def _newest(self) -> Announced | None:
        newest = await self._transparency().announcer.newest()
        self._size = newest.checkpoint.size if newest else 0
        return newest


def unavailable() -> Response:
    """503: the store does not answer, or not as it should."""
    return Response("try again in a moment\n", 503, NEVER, media_type=TEXT)


def _missing(reason: str) -> Response:
    return Response(f"{reason}\n", 404, NEVER, media_type=TEXT)


def _slower(seconds: float) -> Response:
    headers = {**NEVER, "Retry-After": str(math.ceil(seconds))}
    return Response("too many ask at once: try again in a moment\n", 429, headers, media_type=TEXT)
