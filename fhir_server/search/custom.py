"""SearchParameters of one's own (R4 searchparameter.html): read and checked before they are used.

What counts is ``code``, ``base``, ``type``, ``expression``, ``target`` and ``component``; ``xpath`` is ignored, ``modifier``
and ``comparator`` limit nothing.  R4's own parameters can not be changed.  ``special`` has no meaning here that an
expression could give.  AuditEvents keep to R4's own parameters: their index is only ever added to.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from fhir_server.errors import InvalidResourceError, Issue
from profiles.definitions import Component, Definitions, SearchParameter
from profiles.errors import FhirPathError
from profiles.fhirpath import Branch, compile_expression

Json = Mapping[str, object]
SEARCH_PARAMETER = "SearchParameter"
_LOG = "AuditEvent"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")
_LONGEST = 4_000  # letters of an expression
_DEEPEST = 50  # parentheses of one
_TEXTS = frozenset({"string", "markdown", "code", "id", "xhtml"})
_URIS = frozenset({"uri", "url", "canonical", "oid", "uuid"})
_NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_AMOUNTS = frozenset({"Age", "Count", "Distance", "Duration", "Money", "MoneyQuantity", "Quantity"})
_MEASURED = _NUMBERS | _AMOUNTS | {"SimpleQuantity", "Range", "SampledData"}
_FITTING: Mapping[str, frozenset[str]] = {
    "token": frozenset({"CodeableConcept", "Coding", "Identifier", "ContactPoint", "boolean"})
    | _TEXTS
    | _URIS
    | _NUMBERS
    | {"date", "dateTime", "instant", "time"},
    "string": _TEXTS | _URIS | {"HumanName", "Address"},
    "reference": frozenset({"Reference", "Resource"}) | _URIS,
    "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
    "uri": _URIS,
    "number": _MEASURED,
    "quantity": _MEASURED,
}


def is_active(resource: Json) -> bool:
    """Whether a SearchParameter is to be in use."""
    return resource.get("status") == "active"


def types_of(parameter: SearchParameter, definitions: Definitions) -> tuple[str, ...]:
    """The resource types for which it can be searched."""
    found = set(parameter.base) & definitions.resource_types
    if "DomainResource" in parameter.base:
        found |= definitions.domain_types
    if "Resource" in parameter.base:
        found |= definitions.resource_types
    return tuple(sorted(found - {_LOG}))


def read_parameter(
    resource: Json, others: Iterable[SearchParameter], definitions: Definitions
) -> SearchParameter | None:
    """Read an active SearchParameter, which is valid R4.

    Args:
        others: The other custom parameters in use.

    Returns:
        None for one that R4 has itself, which is in use without it.

    Raises:
        InvalidResourceError: It can not be used; each issue names an element and what is wrong with it.
    """
    parameter = parse_parameter(resource)
    own = definitions.by_url.get(parameter.url)
    if own is not None:
        _require_same(parameter, own)
        return None
    issues = tuple(_issues(parameter, tuple(others), definitions))
    if issues:
        raise InvalidResourceError("the search parameter can not be used", issues=issues)
    return parameter


def parse_parameter(resource: Json) -> SearchParameter:
    """What a SearchParameter says, unchecked."""
    return SearchParameter(
        url=str(resource.get("url", "")),
        code=str(resource.get("code", "")),
        type=str(resource.get("type", "")),
        base=_texts(resource.get("base")),
        expression=str(resource.get("expression", "")),
        target=_texts(resource.get("target")),
        component=tuple(
            Component(str(c.get("definition", "")), str(c.get("expression", "")))
            for c in _list(resource.get("component"))
            if isinstance(c, dict)
        ),
        description=str(resource.get("description", "")),
    )


def _require_same(parameter: SearchParameter, own: SearchParameter) -> None:
    same = (parameter.code, parameter.type, parameter.expression) == (
        own.code,
        own.type,
        own.expression,
    )
    if not same or not set(parameter.base) <= set(own.base):
        issue = _issue("url", "is that of a parameter of R4, which can not be changed", "conflict")
        raise InvalidResourceError("R4's own parameters can not be changed", issues=(issue,))


def _issues(
    parameter: SearchParameter, others: tuple[SearchParameter, ...], definitions: Definitions
) -> Iterator[Issue]:
    if not _CODE.fullmatch(parameter.code):
        yield _issue("code", "must be a letter, then letters, digits, '-' and '_', 64 at most")
    if parameter.type not in {*_FITTING, "composite"}:
        yield _issue("type", "is not supported for parameters of one's own", "not-supported")
        return
    types = types_of(parameter, definitions)
    if not types or _LOG in parameter.base:
        yield _issue("base", "must name resource types; AuditEvent keeps R4's own", "not-supported")
    yield from _taken(parameter, types, others, definitions)
    if bool(parameter.component) != (parameter.type == "composite"):
        yield _issue("component", "is what a composite has, and nothing else", "required")
        return
    yield from _component_issues(parameter, others, definitions)
    for type_ in types:
        problem = _problem(parameter, type_, others, definitions)
        if problem is not None:
            yield problem
            return


def _taken(
    parameter: SearchParameter,
    types: tuple[str, ...],
    others: tuple[SearchParameter, ...],
    definitions: Definitions,
) -> Iterator[Issue]:
    taken = [type_ for type_ in types if parameter.code in definitions.parameters[type_]]
    if taken:
        yield _issue("code", f"is a parameter of R4's own for {taken[0]}", "conflict")
    for other in others:
        shared = set(types).intersection(types_of(other, definitions))
        if other.url == parameter.url:
            yield _issue("url", "is that of another active SearchParameter", "conflict")
        elif other.code == parameter.code and shared:
            yield _issue("code", f"is in use for {min(shared)} by another parameter", "conflict")


def _component_issues(
    parameter: SearchParameter, others: tuple[SearchParameter, ...], definitions: Definitions
) -> Iterator[Issue]:
    known = _by_url(others, definitions)
    for number, component in enumerate(parameter.component):
        found = known.get(component.definition)
        if found is None or found.type not in _FITTING:
            at = f"component[{number}].definition"
            yield _issue(at, "must be the url of a parameter in use that is no composite")


def _problem(
    parameter: SearchParameter,
    type_: str,
    others: tuple[SearchParameter, ...],
    definitions: Definitions,
) -> Issue | None:
    """What is wrong with its expressions for one type."""
    at = "expression"
    try:
        wholes = _compiled(parameter.expression, type_, definitions)
        if not parameter.component:
            return _unreadable(parameter, type_, wholes)
        if not wholes:
            return _issue(at, f"says nothing of {type_}")
        known = _by_url(others, definitions)
        for number, component in enumerate(parameter.component):
            at = f"component[{number}].expression"
            if component.definition in known:
                _compile_component(component.expression, type_, wholes, definitions)
    except FhirPathError as error:
        part = f" at '{error.part[:40]}'" if error.part else ""
        return _issue(at, f"is FHIRPath that is not understood here{part}", "not-supported")
    return None


def _unreadable(
    parameter: SearchParameter, type_: str, branches: tuple[Branch, ...]
) -> Issue | None:
    if not branches:
        return _issue("expression", f"says nothing of {type_}")
    if not all(branch.steps and isinstance(branch.steps[0], str) for branch in branches):
        return _issue("expression", f"must lead to an element of {type_}")
    fitting = _FITTING[parameter.type] | {"Extension"}
    if not any(branch.type in fitting or branch.test for branch in branches):
        return _issue("expression", f"leads to nothing that a {parameter.type} can be")
    return None


def _compile_component(
    expression: str, type_: str, wholes: tuple[Branch, ...], definitions: Definitions
) -> None:
    root = expression.startswith("%resource.")
    for start in {type_} if root else {whole.type for whole in wholes}:
        _compiled(expression.removeprefix("%resource."), start, definitions)


def _compiled(expression: str, type_: str, definitions: Definitions) -> tuple[Branch, ...]:
    if len(expression) > _LONGEST or expression.count("(") > _DEEPEST:
        raise FhirPathError("too long")
    return compile_expression(expression, type_, definitions) if expression.strip() else ()


def _by_url(
    others: tuple[SearchParameter, ...], definitions: Definitions
) -> Mapping[str, SearchParameter]:
    return {**definitions.by_url, **{other.url: other for other in others}}


def _issue(element: str, problem: str, code: str = "value") -> Issue:
    where = f"{SEARCH_PARAMETER}.{element}"
    return Issue(code, f"{where} {problem}", where)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in _list(value) if isinstance(item, str))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
