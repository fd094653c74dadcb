"""Whether a resource is R4: its structure by schema, and what a schema can not say of nested resources.

Problems name the element as a FHIRPath expression and what the standard asks of it, never the value that was sent.
Bindings beyond ``code``, invariants and reference targets are later work; profiles too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jsonschema_rs

from profiles.definitions import Definitions
from profiles.schema import schema_of


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the standard does not allow.

    Attributes:
        expression: FHIRPath of the element.
        code: R4 IssueType: structure, required, value, code-invalid, not-supported.
        message: What is asked there.
    """

    expression: str
    code: str
    message: str


class Validator:
    """Checks resources of all types; each type's schema is compiled when it is first needed (some milliseconds)."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiled: dict[str, jsonschema_rs.Draft7Validator] = {}

    def check(self, resource: Mapping[str, object], expression: str = "") -> tuple[Problem, ...]:
        """The problems of ``resource`` and of the resources in it; empty if it is structurally R4."""
        own = self.check_own(resource, expression)
        if own:
            return own
        type_ = str(resource["resourceType"])
        found: list[Problem] = []
        for inner, where in _nested(type_, resource, expression or type_):
            found.extend(self.check(inner, where))
        return tuple(found)

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
        validator = self._validator(type_)
        if validator.is_valid(resource):
            return ()
        return tuple(_problems(validator.iter_errors(resource), expression or type_))

    def _validator(self, type_: str) -> jsonschema_rs.Draft7Validator:
        if type_ not in self._compiled:
            schema = schema_of(type_, self._definitions)
            self._compiled[type_] = jsonschema_rs.Draft7Validator(schema)
        return self._compiled[type_]


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


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    return value if isinstance(value, list) else ()


def _problems(errors: Iterator[jsonschema_rs.ValidationError], path: str) -> Iterator[Problem]:
    seen = set()
    for error in errors:
        keyword = str(error.schema_path[-1]) if error.schema_path else ""
        where = _expression(path, error.instance_path)
        if (where, keyword) not in seen:
            seen.add((where, keyword))
            yield _problem(where, keyword, error)


def _problem(where: str, keyword: str, error: jsonschema_rs.ValidationError) -> Problem:
    match keyword:
        case "additionalProperties":
            return Problem(where, "structure", "has a member that R4 does not know here")
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
