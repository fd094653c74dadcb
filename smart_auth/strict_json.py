"""JSON that strangers send (RFC 8259), read strictly: no member twice, no ``NaN``, UTF-8 only."""

from __future__ import annotations

import json


def read_json(body: bytes) -> object:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is not JSON, a member occurs twice in one object, or it is nested too deep.
    """
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except RecursionError as error:
        raise ValueError("the JSON is nested too deep") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member name occurs twice in one object")
    return made


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
