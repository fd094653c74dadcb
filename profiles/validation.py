"""Whether a resource is R4: its structure by schema, then the rules (``rules/``); nested resources likewise.

Problems name the element as a FHIRPath expression and what the standard asks of it, never the value that was sent.
Profiles are not checked, nor what needs a terminology server.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import islice

import jsonschema_rs

from profiles.definitions import Definitions, r4
from profiles.problem import Problem
from profiles.rules.references import Container, container_of
from profiles.rules.walk import Rules, containing, unused
from profiles.schema import schema_of

_MOST_ERRORS = 500  # of one resource's structure
_OF_THE_WHOLE = frozenset({"additionalProperties", "required", "oneOf", "minProperties"})


class Validator:
    """Checks resources of all types; the schema is compiled when it is first needed (an eighth of a second, 20 MB)."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._rules = Rules(definitions)

    @cached_property
    def compiled(self) -> jsonschema_rs.Draft4Validator:
        """The schema of all types; ask for it before processes are forked that shall share it."""
        return jsonschema_rs.Draft4Validator(schema_of(self._definitions))

    def check(self, resource: Mapping[str, object]) -> tuple[Problem, ...]:
        """The errors of ``resource`` and of the resources in it; empty if it is R4."""
        return tuple(p for p in self.review(resource) if p.severity == "error")

    def review(self, resource: Mapping[str, object]) -> tuple[Problem, ...]:
        """The errors and warnings of ``resource`` and of the resources in it."""
        return tuple(self._review(resource, "", None))

    def _review(
        self, resource: Mapping[str, object], path: str, within: Container | None
    ) -> list[Problem]:
        found, sound = self._structure(resource, path)
        type_ = resource.get("resourceType")
        if not isinstance(type_, str) or type_ not in self._definitions.resource_types:
            return found
        path = path or type_
        container = within or container_of(sound)
        found += self._rules.broken(sound, path, container)
        back = set()
        for inner, where in _nested(type_, sound, path):
            if not where.startswith(f"{path}.contained["):
                found += self._review(inner, where, None)
                continue
            container.used.discard("")
            found += self._review(inner, where, container)
            if "" in container.used:
                back.add(str(inner.get("id", "")))
        if within is None and type_ in self._definitions.domain_types:
            found += containing(sound, path)
            found += unused(sound, path, container, back) if "contained" in sound else ()
        return found

    def _structure(
        self, resource: Mapping[str, object], path: str
    ) -> tuple[list[Problem], Mapping[str, object]]:
        """The problems of its structure, and the resource without what has the wrong shape."""
        type_ = resource.get("resourceType")
        if not isinstance(type_, str) or type_ not in self._definitions.resource_types:
            return list(self.check_own(resource, path)), resource
        errors = self._errors(type_, resource)
        for error in errors:
            if not _is_of_the_whole(error):
                resource = _without(resource, _steps(error))
        return list(_problems(errors, path or type_)), resource

    def check_own(
        self, resource: Mapping[str, object], expression: str = ""
    ) -> tuple[Problem, ...]:
        """The problems of ``resource`` alone, not of the resources in it."""
        type_ = resource.get("resourceType")
        if not isinstance(type_, str) or type_ not in self._definitions.resource_types:
            return (
                Problem(
                    f"{expression or 'Resource'}.resourceType", "not-supported", "is not an R4 type"
                ),
            )
        return tuple(_problems(self._errors(type_, resource), expression or type_))

    def _errors(
        self, type_: str, resource: Mapping[str, object]
    ) -> list[jsonschema_rs.ValidationError]:
        """What the schema finds wrong; whether that is anything is told much faster."""
        named = {type_: resource}
        if self.compiled.is_valid(named):
            return []
        return list(islice(self.compiled.iter_errors(named), _MOST_ERRORS))


@cache
def r4_validator() -> Validator:
    """The one of R4, made once a process."""
    return Validator(r4())


def _nested(
    type_: str, resource: Mapping[str, object], path: str
) -> Iterator[tuple[Mapping[str, object], str]]:
    for at, inner in enumerate(_objects(resource.get("contained"))):
        yield inner, f"{path}.contained[{at}]"
    if type_ == "Bundle":
        for at, entry in enumerate(_objects(resource.get("entry"))):
            response = entry.get("response")
            if isinstance(entry.get("resource"), dict):
                yield entry["resource"], f"{path}.entry[{at}].resource"  # type: ignore[misc]
            if isinstance(response, dict) and isinstance(response.get("outcome"), dict):
                yield response["outcome"], f"{path}.entry[{at}].response.outcome"
    if type_ == "Parameters":
        yield from _parameters(resource, path)


def _parameters(
    part: Mapping[str, object], path: str
) -> Iterator[tuple[Mapping[str, object], str]]:
    for name in ("parameter", "part"):
        for at, inner in enumerate(_objects(part.get(name))):
            where = f"{path}.{name}[{at}]"
            if isinstance(inner.get("resource"), dict):
                yield inner["resource"], f"{where}.resource"  # type: ignore[misc]
            yield from _parameters(inner, where)


def _objects(value: object) -> list[Mapping[str, object]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _is_of_the_whole(error: jsonschema_rs.ValidationError) -> bool:
    """Whether an error is about an object's members taken together, not about the value that it names."""
    path = [str(step) for step in error.schema_path]
    if path[-1:] == ["anyOf"]:
        return path[-2:-1] != ["items"]
    return not path or path[-1] in _OF_THE_WHOLE


def _without(resource: Mapping[str, object], steps: Sequence[str | int]) -> Mapping[str, object]:
    """A copy without the value at ``steps``; the containers on the way are copied, others shared."""
    made = dict(resource)
    held: dict[str, object] | list[object] = made
    for step in steps[:-1]:
        inner = _at(held, step)
        copied = (
            dict(inner)
            if isinstance(inner, dict)
            else list(inner)
            if isinstance(inner, list)
            else None
        )
        if copied is None:
            return made
        _set(held, step, copied)
        held = copied
    if steps:
        _set(held, steps[-1], None)
    return made


def _at(held: dict[str, object] | list[object], step: str | int) -> object:
    return held.get(str(step)) if isinstance(held, dict) else held[int(step)]


def _set(held: dict[str, object] | list[object], step: str | int, value: object) -> None:
    if isinstance(held, list):
        held[int(step)] = value
    elif value is None:
        held.pop(str(step), None)
    else:
        held[str(step)] = value


def _steps(error: jsonschema_rs.ValidationError) -> Sequence[str | int]:
    """The way to the value within the resource."""
    return error.instance_path[1:]


def _problems(errors: Sequence[jsonschema_rs.ValidationError], path: str) -> Iterator[Problem]:
    seen = set()
    for error in errors:
        keyword = str(error.schema_path[-1]) if error.schema_path else ""
        where = _expression(path, _steps(error))
        if (where, keyword) not in seen:
            seen.add((where, keyword))
            yield _problem(where, keyword, error)


def _problem(where: str, keyword: str, error: jsonschema_rs.ValidationError) -> Problem:
    match keyword:
        case "additionalProperties":
            return Problem(where, "structure", "has a member that R4 does not know here")
        case "anyOf" if not _is_of_the_whole(error):
            return Problem(where, "structure", "has the wrong JSON type or format")
        case "required" | "anyOf" | "oneOf":
            return Problem(where, "required", _missing(error))
        case "enum":
            return Problem(where, "code-invalid", "is not a code of the required value set")
        case "type":
            return Problem(where, "structure", "has the wrong JSON type")
        case "minProperties" | "minItems":
            return Problem(where, "structure", "must not be empty")
        case _:
            return Problem(where, "value", "does not have the format of its type")


def _missing(error: jsonschema_rs.ValidationError) -> str:
    path = [str(p) for p in error.schema_path]
    if path[-1] == "oneOf":
        return "must have exactly one type of a choice ([x])"
    return "lacks a required member"


def _expression(path: str, steps: Sequence[str | int]) -> str:
    return path + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
