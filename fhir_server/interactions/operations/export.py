"""``$export`` (HL7 FHIR Bulk Data Access 2.0): kick-off, status, files and deletion.

Each request for the status goes on with the export for a while, so that all that is opened is opened for a caller whose
token is good at that moment, and is on record.  A file holds row keys only: what stands in it is decided anew when it is
fetched, so that what was withdrawn meanwhile is not in it (ADR 0033).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from urllib.parse import urlencode

import orjson

from fhir_server.errors import BadRequestError, NotFoundError, ScopeError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.exporting.export import LIFETIME, Export, Kept
from fhir_server.interactions.exporting.request import Wish, read_wish, require_filters
from fhir_server.interactions.exporting.walking import Walk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.search.finding import Budget, Reach
from fhir_server.interactions.stages import answered, lines, located
from fhir_server.resource_text import http_date, instant
from fhir_server.search.conditions import local_reference
from fhir_server.search.joins import LOG
from fhir_server.store.protocol import Selection
from smart_auth.errors import ChangedError

_BUSY = 60_000  # milliseconds after which a step that did not end is taken for lost
_CHUNK = 200
_STATUS, _FILE = "$export-status", "$export-file"


async def export(in_scope: InScope, desk: Desk) -> Opened:
    """Kick-off: 202 with the url of the status.

    Raises:
        InvalidParameterError: A parameter can not be used.
        ScopeError: ``_type`` names a type that the token's scopes do not let search.
        NotFoundError: The Group is missing or not permitted.
        TooManyExportsError: The caller has too many exports.
    """
    asked, tools = in_scope.asked, desk.tools
    interaction = asked.interaction
    lenient = interaction.prefer.get("handling") == "lenient"
    wish = read_wish(interaction.query, tools.base, lenient=lenient)
    require_filters(wish, tools.searchable, tools.definitions.resource_types)
    if wish.patients is not None and not interaction.type_:
        raise BadRequestError("'patient' is for Patient/$export and Group/[id]/$export")
    own, referred = _types(in_scope, desk, wish)
    made = Export(
        id_=tools.new_secret(16).hex(),
        owner=_owner(in_scope),
        at=asked.received.at,
        request=_url(in_scope, tools.base),
        level=interaction.type_,
        patients=await _patients(in_scope, desk, wish),
        types=(*own, *referred),
        own=len(own),
        since=wish.since,
        filters=wish.filters,
        elements=wish.elements,
        referred=dict.fromkeys(referred, ()),
    )
    await tools.exports.begin(made)
    where = f"{tools.base}/{_STATUS}?job={made.id_}"
    return answered(in_scope, 202, (("Content-Location", where),))


async def export_status(in_scope: InScope, desk: Desk) -> Opened:
    """Go on with it, and tell how far it is: 202, or 200 with the manifest.  DELETE ends it: 202.

    Raises:
        NotFoundError: There is no such export of this caller.
    """
    asked, exports = in_scope.asked, desk.tools.exports
    job = Parameters(asked.interaction.query, ("job",)).required("job")
    kept = await exports.find(job, _owner(in_scope), asked.received.at)
    if asked.received.method == "DELETE":
        await exports.drop(kept.export)
        return answered(in_scope, 202, ())
    if not kept.export.is_complete and kept.export.busy <= asked.received.at:
        with suppress(ChangedError):  # another request of the same caller goes on with it
            kept = await _gone_on(kept, in_scope, desk)
    if kept.export.is_complete:
        return _manifest(kept.export, in_scope, desk.tools.base)
    number, all_ = kept.export.place[0] + 1, len(kept.export.types)
    told = f"{kept.export.types[number - 1]} ({number} of {all_} types)"
    return answered(in_scope, 202, (("X-Progress", told), ("Retry-After", "1")))


async def export_file(in_scope: InScope, desk: Desk) -> Opened:
    """One file, in NDJSON: those of its resources that the caller may have now.

    Raises:
        NotFoundError: There is no such file of an export of this caller.
        ScopeError: The token does not cover its type any more.
    """
    asked = Parameters(in_scope.asked.interaction.query, ("job", "file"))
    kept = await desk.tools.exports.find(
        asked.required("job"), _owner(in_scope), in_scope.asked.received.at
    )
    number = asked.required("file")
    if not number.isascii() or not number.isdigit() or len(number) > 6:
        raise NotFoundError("the export has no such file")
    rows = await desk.tools.exports.rows(kept.export, int(number))
    type_ = kept.export.files[int(number)].type_
    return lines(in_scope, await _readable(in_scope, desk, type_, rows))


async def _readable(
    in_scope: InScope, desk: Desk, type_: str, rows: Sequence[bytes]
) -> list[Record]:
    reach = Reach(in_scope, desk, Budget(len(rows)))
    covering = reach.require(type_, "_type")
    found: list[Record] = []
    for at in range(0, len(rows), _CHUNK):
        some = tuple(sorted(rows[at : at + _CHUNK]))
        versions = await desk.reader.select(Selection(type_, rows=some, limit=_CHUNK))
        found += await desk.gate.admit(located(in_scope, versions, covering=covering))
    return found


async def _gone_on(kept: Kept, in_scope: InScope, desk: Desk) -> Kept:
    """Claim the export, go on with it, and keep how far that came."""
    exports = desk.tools.exports
    at = in_scope.asked.received.at
    kept = await exports.save(kept, replace(kept.export, busy=at + _BUSY))
    walk = Walk(kept.export, in_scope, desk)
    try:
        export = await walk.step()
    except BaseException:
        await exports.save(kept, replace(kept.export, busy=0))
        raise
    for grown in walk.grown.values():
        await exports.extend(export, grown.number, grown.count, grown.rows)
    return await exports.save(kept, replace(export, busy=0))


def _types(in_scope: InScope, desk: Desk, wish: Wish) -> tuple[list[str], list[str]]:
    """What to look through, and of what patients' records refer to, which types may come along.

    Raises:
        ScopeError: A type that is named is not covered, or none is at all.
    """
    tools = desk.tools
    reach = Reach(in_scope, desk, Budget(0))
    for type_ in wish.types:
        if type_ not in tools.definitions.resource_types:
            raise BadRequestError("_type must name resource types")
        reach.require(type_, "_type")
    wanted = wish.types or tuple(sorted(tools.definitions.resource_types - {LOG}))
    covered = [type_ for type_ in wanted if reach.covering(type_)]
    if not covered:
        raise ScopeError("the access token's scopes do not cover the search of any type")
    if not in_scope.asked.interaction.type_:
        return covered, []
    own = [type_ for type_ in covered if type_ not in tools.administrative]
    return own, [type_ for type_ in covered if type_ in tools.administrative]


async def _patients(in_scope: InScope, desk: Desk, wish: Wish) -> tuple[str, ...] | None:
    """The only patients wanted: those named, those of the Group, or both."""
    interaction = in_scope.asked.interaction
    if interaction.type_ != "Group":
        return wish.patients
    version = await desk.reader.find("Group", interaction.id_)
    living = () if version is None or version.deleted else (version,)
    groups = await desk.gate.admit(located(in_scope, living)) if living else ()
    if not groups:
        raise NotFoundError(MISSING)
    members = _members(groups[0], desk.tools.base)
    if wish.patients is None:
        return members
    return tuple(p for p in members if p in wish.patients)


def _members(group: Record, base: str) -> tuple[str, ...]:
    found = []
    listed = group.value.get("member")
    for member in listed if isinstance(listed, list) else ():
        entity = member.get("entity") if isinstance(member, dict) else None
        reference = entity.get("reference") if isinstance(entity, dict) else None
        if isinstance(reference, str) and member.get("inactive") is not True:
            found.append(local_reference(reference, "", base))
    return tuple(dict.fromkeys(p for p in found if p.startswith("Patient/")))


def _manifest(export: Export, in_scope: InScope, base: str) -> Opened:
    """The complete status (Bulk Data Access 2.0, "Response - Output Manifest")."""
    shape = f"&{urlencode({'_elements': export.elements})}" if export.elements else ""
    files = [
        {
            "type": file.type_,
            "url": f"{base}/{_FILE}?job={export.id_}&file={number}{shape}",
            "count": file.count,
        }
        for number, file in enumerate(export.files)
    ]
    content = {
        "transactionTime": instant(export.at),
        "request": export.request,
        "requiresAccessToken": True,
        "output": files,
        "error": [],
    }
    headers = (
        ("Content-Type", "application/json"),
        ("Expires", http_date(export.at + LIFETIME)),
    )
    return answered(in_scope, 200, headers, orjson.dumps(content))


def _owner(in_scope: InScope) -> str:
    caller = in_scope.asked.requester.caller
    assert caller is not None, "an export is not open to everybody"
    return sha256(f"{caller.client_id}\n{caller.subject}".encode()).hexdigest()


def _url(in_scope: InScope, base: str) -> str:
    received = in_scope.asked.received
    query = f"?{urlencode(received.query)}" if received.query else ""
    return f"{base}/{received.target}{query}"
