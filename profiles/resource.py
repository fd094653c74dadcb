"""The door to fhir.resources: a second, independent opinion on resources that steer the server itself.

The schema (``validation.py``) checks every resource.  A Consent decides who sees what, so it must also pass the typed
models of another implementation; a value that two readers understand differently is refused rather than guessed.
fhir.resources carries R4B, whose Consent is that of R4.  Models validate; they never re-serialise (1.00 would become 1.0).
"""

from collections.abc import Mapping
from typing import Any

from profiles.problem import Problem

MODELLED = frozenset({"Consent"})


def check_model(resource: Mapping[str, object]) -> tuple[Problem, ...]:
    """The problems that fhir.resources finds in a resource of a ``MODELLED`` type; empty for none.

    Values are not quoted: a problem names the element and the model's rule.
    """
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    type_ = str(resource.get("resourceType"))
    try:
        get_fhir_model_class(type_).model_validate(dict(resource))
    except ValidationError as error:
        return tuple(
            _problem(type_, found) for found in error.errors(include_input=False, include_url=False)
        )
    return ()


def _problem(type_: str, found: Mapping[str, Any]) -> Problem:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in found["loc"])
    return Problem(f"{type_}{path}", "structure", f"is refused by its model ({found['type']})")
