"""From path, headers and body to a typed interaction (R4 http.html).  The only maker of ``Asked``.

Which interactions there are, and where, says the table in ``interactions/registered.py``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fhir_server.errors import (
    BadRequestError,
    InvalidParameterError,
    MalformedError,
    MethodNotAllowedError,
    NotFoundError,
    UnsupportedMediaTypeError,
)
from fhir_server.forms import Asked, Interaction, Pairs, Patch, Received, Requester
from fhir_server.interactions.patching import patch_in_entry, read_patch
from fhir_server.interactions.registered import (
    KEPT_TYPES,
    Registered,
    allowed,
    operations_at,
    registered,
)
from fhir_server.media import (
    FORM,
    JSON,
    JSON_TYPES,
    XML,
    XML_TYPES,
    form_of,
    media_type,
    require_fhir,
    require_lines,
    require_table,
)
from fhir_server.pipeline.parameters import parameters_sent, plain_parameters
from fhir_server.pipeline.preconditions import preconditions, prefer
from fhir_server.pipeline.view import parameters_of, view_of
from fhir_server.resource_text import ResourceText, binary_of, read_resource, read_resource_xml
from profiles.errors import JsonError
from profiles.strict_json import decode

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MOST_PARAMETERS = 200
_SHAPING = frozenset({"_format", "_pretty", "_summary", "_elements", "_filename"})  # no condition
_LINES = "$export-file"
_TABLES = frozenset({"[type]/[id]/$access-log", "[type]/[id]/$accounting-of-disclosures"})
CONTEXT = "x-security-context"
_GUESSES = {"GET": "read", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class _Place:
    """A path, read: its shape as in the table, and its parts; ``owner`` is that of a compartment (``Patient/1``)."""

    shape: str
    type_: str = ""
    id_: str = ""
    version: str = ""
    owner: str = ""


def ask(
    received: Received,
    requester: Requester,
    types: frozenset[str],
    content: ResourceText | None = None,
) -> Asked:
    """Read the request; ``content`` is its body where that was read before (an entry of a Bundle).

    Raises:
        BadRequestError: It is malformed.
        NotFoundError: There is nothing at that path.
        MethodNotAllowedError: Not with that method.
        NotAcceptableError: The caller takes neither JSON nor XML.
        UnsupportedMediaTypeError: The body is of no kind that is read here.
    """
    place = _place(received)
    if place.shape == _LINES:
        require_lines(form_of(received.headers, received.query))
    elif place.shape in _TABLES:
        require_table(form_of(received.headers, received.query))
    elif not (received.method == "GET" and place.type_ == "Binary" and place.id_):
        require_fhir(form_of(received.headers, received.query))
    if place.type_ and place.type_ not in types:
        raise NotFoundError(f"'{place.type_[:64]}' is not an R4 resource type")
    if place.id_ and not _ID.fullmatch(place.id_):
        raise NotFoundError("not a logical id: letters, digits, '-' and '.', at most 64")
    found = _registered(received, place)
    interaction = _READERS[found.code](received, place, content)
    view_of(parameters_of(received, interaction))  # refused before anything is done
    return Asked(received, requester, interaction)


def unasked(received: Received, requester: Requester) -> Asked:
    """The request as far as it can be told, for the audit of a refusal before it was understood."""
    place = _place(received)
    found = registered(received.method, place.shape, place.type_)
    operation = found is not None and found.code == "operation"
    interaction = Interaction(
        found.code if found else _GUESSES.get(received.method, "read"),
        place.type_ if re.fullmatch("[A-Za-z]{1,64}", place.type_) else "",
        place.id_ if _ID.fullmatch(place.id_) else "",
        query=received.query,
        operation=place.shape.rpartition("$")[2] if operation else "",
    )
    return Asked(received, requester, interaction)


def _place(received: Received) -> _Place:
    parts = received.target.split("/") if received.target else []
    if _is_compartment(parts[2:]):
        return _compartment("/".join(parts[:2]), parts[2:])
    match parts:
        case [] | ["metadata"]:
            return _Place(received.target)
        case [name] if name[:1] in ("_", "$"):
            return _Place(name)
        case [type_]:
            return _Place("[type]?" if _is_conditional(received) else "[type]", type_)
        case [type_, name] if name[:1] in ("_", "$"):
            return _Place(f"[type]/{name}", type_)
        case [type_, id_]:
            return _Place("[type]/[id]", type_, id_)
        case [type_, id_, name]:
            return _Place(f"[type]/[id]/{name}", type_, id_)
        case [type_, id_, "_history", version]:
            return _Place("[type]/[id]/_history/[vid]", type_, id_, version)
        case [type_, *_]:
            return _Place("nowhere", type_)
    return _Place("nowhere")


def _is_compartment(rest: list[str]) -> bool:
    """Whether what follows ``[type]/[id]`` is a type, or ``*``, or ``_search``."""
    name, *more = [*rest, ""]
    plain = name == "*" or (name[:1].isupper() and name.isalnum())
    return rest == ["_search"] or (plain and more in ([""], ["_search", ""]))


def _compartment(owner: str, rest: list[str]) -> _Place:
    if rest == ["_search"]:
        return _Place("[compartment]/[id]/_search", owner=owner)
    name, *more = rest
    return _Place("/".join(["[compartment]/[id]/[type]", *more]), name.rstrip("*"), owner=owner)


def _is_conditional(received: Received) -> bool:
    return received.method != "GET" and any(name not in _SHAPING for name, _ in received.query)


def _registered(received: Received, place: _Place) -> Registered:
    found = registered(received.method, place.shape, place.type_)
    if found is not None:
        return found
    methods = allowed({place.shape, place.shape.rstrip("?")}, place.type_)
    if not methods and "$" in place.shape:
        there = ", ".join(operations_at(place.shape, place.type_)) or "none"
        raise NotFoundError(f"there is no such operation; here there are: {there}")
    if not methods:
        raise NotFoundError("there is nothing at this path")
    why = f"{received.method} is not possible here"
    if received.method == "DELETE" and place.type_ in KEPT_TYPES:
        why = (
            f"a {place.type_} is never deleted: end it with $revoke-consent, and it stays on record"
        )
    raise MethodNotAllowedError(why, allow=methods)


def _capabilities(received: Received, _: _Place, __: ResourceText | None) -> Interaction:
    return Interaction("capabilities", query=received.query)


def _search(received: Received, place: _Place, __: ResourceText | None) -> Interaction:
    owner, _, id_ = place.owner.partition("/")
    if owner and not (owner.isalpha() and _ID.fullmatch(id_)):
        raise NotFoundError("a compartment has a resource type and a logical id")
    pairs = received.query if received.method == "GET" else (*received.query, *_form(received))
    return Interaction(
        "search-type" if place.type_ else "search-system",
        place.type_,
        query=_limited(pairs),
        compartment=place.owner,
        prefer=prefer(received.headers),
    )


def _read(received: Received, place: _Place, _: ResourceText | None) -> Interaction:
    return Interaction(
        "read", place.type_, place.id_, preconditions=preconditions(received.headers)
    )


def _vread(_: Received, place: _Place, __: ResourceText | None) -> Interaction:
    return Interaction("vread", place.type_, place.id_, _version(place.version))


def _history(received: Received, place: _Place, _: ResourceText | None) -> Interaction:
    level = "instance" if place.id_ else "type" if place.type_ else "system"
    return Interaction(
        f"history-{level}",
        place.type_,
        place.id_,
        query=_limited(received.query),
        prefer=prefer(received.headers),
    )


def _operation(received: Received, place: _Place, content: ResourceText | None) -> Interaction:
    """An operation: its parameters stand in the url or, posted, in Parameters (R4 operations.html, 3.2.0.2)."""
    if received.method == "POST" and content is None and received.body:
        content = _content(received)
    sent = parameters_sent(content) if content else None
    return Interaction(
        "operation",
        place.type_,
        place.id_,
        query=_limited((*received.query, *(plain_parameters(sent) if sent else ()))),
        compartment=f"{place.type_}/{place.id_}" if place.id_ else "",
        operation=place.shape.rpartition("$")[2],
        content=sent,
        preconditions=preconditions(received.headers),
        prefer=prefer(received.headers),
    )


def _bundle(received: Received, _: _Place, content: ResourceText | None) -> Interaction:
    content = content or _content(received)
    code = content.value.get("type")
    if content.type_ != "Bundle" or code not in ("batch", "transaction"):
        raise BadRequestError(
            "what is posted to the base must be a Bundle of type batch or transaction",
            "Bundle.type",
        )
    return Interaction(str(code), content=content, prefer=prefer(received.headers))


def _create(received: Received, place: _Place, content: ResourceText | None) -> Interaction:
    header = received.headers.get("if-none-exist")
    condition = _condition(received) if header is None else _pairs(header)
    if condition == ():
        raise BadRequestError("If-None-Exist must hold search parameters")
    return Interaction(
        "create",
        place.type_,
        content=content or _sent(received, place),
        condition=condition,
        prefer=prefer(received.headers),
    )


def _update(received: Received, place: _Place, content: ResourceText | None) -> Interaction:
    return Interaction(
        "update",
        place.type_,
        place.id_,
        content=content or _sent(received, place),
        condition=_condition(received),
        preconditions=preconditions(received.headers),
        prefer=prefer(received.headers),
    )


def _patch(received: Received, place: _Place, content: ResourceText | None) -> Interaction:
    return Interaction(
        "patch",
        place.type_,
        place.id_,
        patch=_patch_sent(received) if content is None else patch_in_entry(content),
        condition=_condition(received),
        preconditions=preconditions(received.headers),
        prefer=prefer(received.headers),
    )


def _delete(received: Received, place: _Place, _: ResourceText | None) -> Interaction:
    return Interaction(
        "delete",
        place.type_,
        place.id_,
        condition=_condition(received),
        preconditions=preconditions(received.headers),
        prefer=prefer(received.headers),
    )


_READERS: dict[str, Callable[[Received, _Place, ResourceText | None], Interaction]] = {
    "capabilities": _capabilities,
    "transaction": _bundle,
    "search-type": _search,
    "search-system": _search,
    "create": _create,
    "read": _read,
    "vread": _vread,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "history-instance": _history,
    "history-type": _history,
    "history-system": _history,
    "operation": _operation,
}


def _condition(received: Received) -> Pairs | None:
    """The search of a conditional interaction: what follows the type in the url."""
    if "/" in received.target or not _is_conditional(received):
        return None
    return _limited(tuple(p for p in received.query if p[0] not in _SHAPING))


def _pairs(text: str) -> Pairs:
    return _limited(tuple(parse_qsl(text.lstrip("?"), keep_blank_values=True)))


def _content(received: Received) -> ResourceText:
    kind = media_type(received.headers.get("content-type", ""))
    if kind in JSON_TYPES:
        return read_resource(received.body)
    if kind in XML_TYPES:
        return read_resource_xml(received.body)
    raise UnsupportedMediaTypeError(f"send {JSON} or {XML}")


def _sent(received: Received, place: _Place) -> ResourceText:
    """The resource sent; what is sent to Binary in a media type of its own is the content of one (R4 binary.html)."""
    kind = media_type(received.headers.get("content-type", ""))
    if place.type_ == "Binary" and kind and kind not in JSON_TYPES | XML_TYPES:
        context = received.headers.get(CONTEXT, "")
        return binary_of(place.id_, received.headers["content-type"], received.body, context)
    return _content(received)


def _patch_sent(received: Received) -> Patch:
    try:
        text = decode(received.body)
    except JsonError as error:
        raise MalformedError(str(error)) from error
    return read_patch(media_type(received.headers.get("content-type", "")), text)


def _form(received: Received) -> Pairs:
    if media_type(received.headers.get("content-type", "")) not in (FORM, ""):
        raise UnsupportedMediaTypeError(f"send {FORM}")
    try:
        return tuple(
            parse_qsl(
                received.body.decode(), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS
            )
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidParameterError("the form cannot be read") from error


def _limited(pairs: Pairs) -> Pairs:
    if len(pairs) > _MOST_PARAMETERS:
        raise InvalidParameterError("too many search parameters")
    return pairs


def _version(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or text.startswith("0"):
        raise NotFoundError("there is no such version")
    return int(text)
