"""From path, headers and body to a typed interaction (R4 http.html).  The only maker of ``Asked``."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fhir_server.errors import (
    BadRequestError,
    InvalidParameterError,
    MethodNotAllowedError,
    NotAcceptableError,
    NotFoundError,
    UnsupportedMediaTypeError,
)
from fhir_server.forms import Asked, Interaction, Pairs, Received, Requester
from fhir_server.resource_text import ResourceText, read_resource

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ETAG = re.compile(r'(?:W/)?"(\d{1,9})"')
_JSON = frozenset(
    {"application/fhir+json", "application/json", "application/json+fhir", "text/json", ""}
)
_ACCEPTED = frozenset({*_JSON, "*/*", "application/*", "json", "text/html"})
_MOST_PARAMETERS = 200
_GUESSES = {"GET": "read", "HEAD": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}


def ask(
    received: Received,
    requester: Requester,
    types: frozenset[str],
    content: ResourceText | None = None,
) -> Asked:
    """Read the request; ``content`` is its body where that was read before (an entry of a transaction).

    Raises:
        BadRequestError: It is malformed.
        NotFoundError: There is nothing at that path.
        MethodNotAllowedError: Not with that method.
        NotAcceptableError: The caller takes no JSON.
        UnsupportedMediaTypeError: The body is not JSON.
    """
    _check_accept(received)
    parts = received.target.split("/") if received.target else []
    if parts and parts[0] not in types and parts[0] != "metadata":
        raise NotFoundError(f"'{parts[0][:64]}' is not an R4 resource type")
    interaction = _interaction(received, parts, content)
    return Asked(received, requester, interaction)


def unasked(received: Received, requester: Requester) -> Asked:
    """The request as far as it can be told, for the audit of a refusal before it was understood."""
    type_, _, rest = received.target.partition("/")
    id_ = rest.partition("/")[0]
    code = (
        "search-type"
        if received.method == "GET" and not rest
        else _GUESSES.get(received.method, "read")
    )
    known = bool(re.fullmatch("[A-Za-z]{1,64}", type_))
    interaction = Interaction(
        code,
        type_ if known else "",
        id_ if known and _ID.fullmatch(id_) else "",
        query=received.query,
    )
    return Asked(received, requester, interaction)


def _interaction(received: Received, parts: list[str], content: ResourceText | None) -> Interaction:
    found = (
        _reading(received, parts)
        if received.method == "GET"
        else _writing(received, parts, content)
    )
    if found is not None:
        return found
    if len(parts) <= 2:
        raise MethodNotAllowedError(f"{received.method} is not possible here")
    raise NotFoundError("there is nothing at this path")


def _reading(received: Received, parts: list[str]) -> Interaction | None:
    match parts:
        case ["metadata"]:
            return Interaction("capabilities", query=received.query)
        case [type_]:
            return Interaction(
                "search-type", type_, query=_limited(received.query), prefer=_prefer(received)
            )
        case [type_, id_]:
            return Interaction(
                "read", type_, _id(id_), if_none_match=_etag(received, "if-none-match")
            )
        case [type_, id_, "_history"]:
            return Interaction("history-instance", type_, _id(id_), query=received.query)
        case [type_, id_, "_history", version]:
            return Interaction("vread", type_, _id(id_), _version(version))
        case ["AuditEvent", id_, "$receipt"]:
            return Interaction("operation", "AuditEvent", _id(id_))
        case _:
            return None


def _writing(
    received: Received, parts: list[str], content: ResourceText | None
) -> Interaction | None:
    match received.method, parts:
        case "POST", []:
            return _bundle(received)
        case "POST", [type_, "_search"]:
            query = _limited((*received.query, *_form(received)))
            return Interaction("search-type", type_, query=query, prefer=_prefer(received))
        case "POST", [type_]:
            return _create(received, type_, content)
        case "PUT", [type_, id_]:
            return _update(received, type_, id_, content)
        case "DELETE", [type_, id_]:
            return Interaction("delete", type_, _id(id_), if_match=_etag(received, "if-match"))
        case _:
            return None


def _bundle(received: Received) -> Interaction:
    content = _content(received)
    code = content.value.get("type")
    if content.type_ != "Bundle" or code not in ("batch", "transaction"):
        raise BadRequestError(
            "what is posted to the base must be a Bundle of type batch or transaction",
            "Bundle.type",
        )
    return Interaction(str(code), content=content, prefer=_prefer(received))


def _create(received: Received, type_: str, content: ResourceText | None) -> Interaction:
    condition = received.headers.get("if-none-exist")
    pairs = (
        tuple(parse_qsl(condition.lstrip("?"), keep_blank_values=True))
        if condition is not None
        else None
    )
    if pairs == ():
        raise BadRequestError("If-None-Exist must hold search parameters")
    return Interaction(
        "create",
        type_,
        content=content or _content(received),
        if_none_exist=pairs,
        prefer=_prefer(received),
    )


def _update(received: Received, type_: str, id_: str, content: ResourceText | None) -> Interaction:
    return Interaction(
        "update",
        type_,
        _id(id_),
        content=content or _content(received),
        if_match=_etag(received, "if-match"),
        prefer=_prefer(received),
    )


def _content(received: Received) -> ResourceText:
    if _media_type(received.headers.get("content-type", "")) not in _JSON:
        raise UnsupportedMediaTypeError("send application/fhir+json")
    return read_resource(received.body)


def _form(received: Received) -> Pairs:
    if _media_type(received.headers.get("content-type", "")) not in (
        "application/x-www-form-urlencoded",
        "",
    ):
        raise UnsupportedMediaTypeError("send application/x-www-form-urlencoded")
    try:
        return tuple(
            parse_qsl(
                received.body.decode(), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS
            )
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidParameterError("the form cannot be read") from error


def _check_accept(received: Received) -> None:
    wanted = dict(received.query).get("_format", received.headers.get("accept", ""))
    kinds = [_media_type(part) for part in wanted.split(",")]
    if not any(kind in _ACCEPTED for kind in kinds):
        raise NotAcceptableError("only JSON is spoken here: accept application/fhir+json")


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower().replace(" ", "+")


def _limited(pairs: Pairs) -> Pairs:
    if len(pairs) > _MOST_PARAMETERS:
        raise InvalidParameterError("too many search parameters")
    return pairs


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise NotFoundError("not a logical id: letters, digits, '-' and '.', at most 64")
    return text


def _version(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise NotFoundError("there is no such version")
    return int(text)


def _etag(received: Received, header: str) -> int | None:
    text = received.headers.get(header)
    if text is None:
        return None
    match = _ETAG.fullmatch(text.strip())
    if match is None:
        raise BadRequestError(f'{header} must look like W/"1"')
    return int(match[1])


def _prefer(received: Received) -> Mapping[str, str]:
    parts = re.split(r"[,;]", received.headers.get("prefer", ""))
    return {
        name.strip(): value.strip()
        for name, _, value in (part.partition("=") for part in parts)
        if value
    }
