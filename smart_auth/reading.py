"""Typed fields of one plain mapping: what the operator's files and registration requests hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smart_auth.errors import FieldError
from smart_auth.exchange import has_control_character

Mappings = Iterable[Mapping[str, object]]
REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True, slots=True)
class Fields:
    """Reads typed fields of one mapping; every refusal names the entry and the field."""

    entry: str
    mapping: Mapping[str, object] = field(repr=False)

    def require_known(self, names: Iterable[str]) -> None:
        unknown = sorted(set(self.mapping) - set(names))
        if unknown:
            raise self.wrong(unknown[0], "is not a known field")

    def wrong(self, name: str, why: str) -> FieldError:
        return FieldError(f"{self.entry}: {name} {why}", name)

    def text(self, name: str) -> str:
        value = self.optional_text(name)
        if not value:
            raise self.wrong(name, "must be a text and not empty")
        return value

    def optional_text(self, name: str) -> str | None:
        value = self.mapping.get(name)
        if value is not None and (not isinstance(value, str) or has_control_character(value)):
            raise self.wrong(name, "must be a text without control characters")
        return value

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.mapping.get(name, default)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise self.wrong(name, "must be a list of texts")
        return tuple(value)

    def flag(self, name: str) -> bool:
        value = self.mapping.get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def reference(self, name: str) -> str | None:
        value = self.optional_text(name)
        if value is not None and REFERENCE.fullmatch(value) is None:
            raise self.wrong(name, "must be a relative reference such as Organization/1")
        return value

    def references(self, name: str) -> tuple[str, ...]:
        values = self.texts(name)
        if any(REFERENCE.fullmatch(value) is None for value in values):
            raise self.wrong(name, "must be a list of relative references")
        return values

    def chosen(
        self, name: str, choices: tuple[str, ...], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        values = self.texts(name, default)
        if any(value not in choices for value in values):
            raise self.wrong(name, f"must be of {', '.join(choices)}")
        return values
