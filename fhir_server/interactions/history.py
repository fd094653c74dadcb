"""history of an instance, a type and the system (R4 http.html, 3.1.0.12): permitted versions, newest first.

A version is shown if it and the newest one that has content are permitted: a label set later holds for older versions too.
Pages continue behind a place in the order of writing, which never changes.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fhir_server.errors import InvalidParameterError, NotFoundError, ScopeError, TooManyError
from fhir_server.forms import InScope, Interaction, Opened, Pairs, Record
from fhir_server.interactions.cursors import Place, owner_of
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.stages import located, page
from fhir_server.search.dates import interval
from fhir_server.store.protocol import Changes, SealedVersion
from smart_auth.authorization.scopes import Scope

_SHAPING = frozenset({"_format", "_pretty", "_summary", "_elements"})  # of the answer
_PARAMETERS = frozenset({"_since", "_at", "_count", "_cursor"}) | _SHAPING
_CHUNK = 64


async def history(in_scope: InScope, desk: Desk) -> Opened:
    """One page of the versions of a resource, a type, or all types that the token covers.

    Raises:
        NotFoundError: The resource is missing, or not permitted.
        ScopeError: The token covers no type.
        InvalidParameterError: A parameter or page link can not be used.
        TooManyError: The page would open more versions than the setting allows.
    """
    asked = await _read(in_scope, desk)
    chronicle = _Chronicle(in_scope, desk, await _sources(in_scope, desk, asked))
    start = asked.changes.before
    records = []
    async for record in chronicle.permitted():
        records.append(record)
        if len(records) > asked.count > 0:
            break
    shown = records[: asked.count]
    after = shown[-1].version if 0 < asked.count < len(records) else None
    total = len(records) if start is None and after is None else None
    return page(in_scope, "history", shown, total=total, links=_links(in_scope, desk, asked, after))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for.

    Attributes:
        applied: The parameters that were heeded, for the links.
    """

    changes: Changes
    count: int
    applied: Pairs


async def _read(in_scope: InScope, desk: Desk) -> _Asked:
    interaction = in_scope.asked.interaction
    unknown = [name for name, _ in interaction.query if name not in _PARAMETERS]
    if unknown and interaction.prefer.get("handling") == "strict":
        raise InvalidParameterError("a history takes _since, _at and _count")
    given = dict(interaction.query)
    applied = tuple((n, v) for n, v in interaction.query if n in _PARAMETERS - {"_cursor"})
    changes = Changes(
        since=interval(given["_since"]).low if "_since" in given else None,
        until=interval(given["_at"]).high if "_at" in given else None,
        current_at=interval(given["_at"]).low if "_at" in given else None,
        before=_place(in_scope, desk, applied, given.get("_cursor", "")),
    )
    return _Asked(changes, _count(given.get("_count"), desk.tools.page), applied)


def _count(text: str | None, sizes: tuple[int, int]) -> int:
    usual, most = sizes
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidParameterError("_count must be a number")
    return min(int(text), most)


async def _sources(
    in_scope: InScope, desk: Desk, asked: _Asked
) -> list[tuple[Changes, tuple[Scope, ...]]]:
    """What is looked through, each with the scopes under which it may be seen."""
    interaction = in_scope.asked.interaction
    if interaction.code == "history-type":
        return [(replace(asked.changes, type_=interaction.type_), in_scope.covering)]
    if interaction.code == "history-instance":
        current = await desk.reader.find(interaction.type_, interaction.id_)
        if current is None:
            raise NotFoundError(MISSING)
        whole = (Changes(rid=current.rid), in_scope.covering)
        if await _Chronicle(in_scope, desk, [whole]).living(current, in_scope.covering) is None:
            raise NotFoundError(MISSING)
        return [(replace(asked.changes, rid=current.rid), in_scope.covering)]
    caller = in_scope.asked.requester.caller
    types = sorted(desk.tools.definitions.resource_types)
    covered = [(t, caller.scopes.covers(t, "s")) for t in types] if caller else []
    found = [(replace(asked.changes, type_=t), scopes) for t, scopes in covered if scopes]
    if not found:
        raise ScopeError("the access token's scopes do not cover the history of any type")
    return found


class _Chronicle:
    """Versions from several sources in one order, as far as the caller may see them."""

    def __init__(
        self,
        in_scope: InScope,
        desk: Desk,
        sources: Sequence[tuple[Changes, tuple[Scope, ...]]],
    ) -> None:
        self._in_scope = in_scope
        self._desk = desk
        self._sources = [_Source(desk, changes, covering) for changes, covering in sources]
        self._living: dict[int, Record | None] = {}

    async def permitted(self) -> AsyncIterator[Record]:
        """All that may be seen, newest first."""
        waiting = [source for source in self._sources if await source.head() is not None]
        for _ in range(self._desk.tools.max_candidates):
            if not waiting:
                return
            newest = max(waiting, key=lambda source: source.order)
            record = await self._permitted(newest.take(), newest.covering)
            if record is not None:
                yield record
            if await newest.head() is None:
                waiting.remove(newest)
        raise TooManyError("the history is too long: ask for less with _since")

    async def _permitted(
        self, version: SealedVersion, covering: tuple[Scope, ...]
    ) -> Record | None:
        living = await self.living(version, covering)
        if living is None or version.version == living.version.version:
            return living
        # what is withheld from the newest version is withheld from those before it
        former = (living.version,) if living.withheld else ()
        found = await self._desk.gate.admit(
            located(self._in_scope, (version,), covering=covering, former=former)
        )
        if not found:
            return None
        if not version.deleted:
            return found[0]
        named = {
            "resourceType": version.type_,
            "id": living.id_,
        }  # a tombstone has nothing of its own
        return replace(found[0], value=named)

    async def living(self, version: SealedVersion, covering: tuple[Scope, ...]) -> Record | None:
        """The newest version of a record that has content, if it is permitted."""
        if version.rid not in self._living:
            newest = await self._desk.reader.changes(Changes(rid=version.rid, limit=2))
            content = [v for v in newest if not v.deleted][:1]
            admitted = await self._desk.gate.admit(
                located(self._in_scope, content, covering=covering)
            )
            self._living[version.rid] = admitted[0] if admitted else None
        return self._living[version.rid]


class _Source:
    """The versions of one record or type, fetched as they are needed."""

    def __init__(self, desk: Desk, changes: Changes, covering: tuple[Scope, ...]) -> None:
        self.covering = covering
        self._desk = desk
        self._changes: Changes | None = changes
        self._fetched: list[SealedVersion] = []

    @property
    def order(self) -> tuple[int, int]:
        """Of the next version."""
        return self._fetched[-1].at, self._fetched[-1].rid

    async def head(self) -> SealedVersion | None:
        """The next version, which stays; None if there is none."""
        if not self._fetched and self._changes is not None:
            limit = (
                _CHUNK if self._changes.limit else 4
            )  # most types of a system have nothing to tell
            found = await self._desk.reader.changes(replace(self._changes, limit=limit))
            self._fetched = list(reversed(found))
            more = len(found) == limit
            last = (found[-1].at, found[-1].rid) if more else None
            self._changes = replace(self._changes, before=last, limit=limit) if more else None
        return self._fetched[-1] if self._fetched else None

    def take(self) -> SealedVersion:
        """The next version, which goes."""
        return self._fetched.pop()


def _target(interaction: Interaction) -> str:
    return "/".join(part for part in (interaction.type_, interaction.id_, "_history") if part)


def _place(in_scope: InScope, desk: Desk, applied: Pairs, cursor: str) -> tuple[int, int] | None:
    if not cursor:
        return None
    asked = in_scope.asked
    search = f"{_target(asked.interaction)}?{urlencode(applied)}"
    at, rid = desk.tools.cursors.read(
        cursor, owner_of(asked.requester.caller), search, asked.received.at
    )
    return int(str(at)), int(str(rid))


def _links(in_scope: InScope, desk: Desk, asked: _Asked, after: SealedVersion | None) -> Pairs:
    target, applied = _target(in_scope.asked.interaction), urlencode(asked.applied)
    own = f"{desk.tools.base}/{target}"
    links: Pairs = (("self", f"{own}?{applied}" if applied else own),)
    if after is None:
        return links
    owner = owner_of(in_scope.asked.requester.caller)
    place: Place = [after.at, after.rid]
    now = in_scope.asked.received.at
    cursor = desk.tools.cursors.make(place, owner, f"{target}?{applied}", now)
    return (*links, ("next", f"{own}?{urlencode((*asked.applied, ('_cursor', cursor)))}"))
