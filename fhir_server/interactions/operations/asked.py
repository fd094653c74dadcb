"""The plain parameters of an operation, read: each knows its name, may come once, and must be of its kind."""

from collections.abc import Iterable

from fhir_server.errors import InvalidParameterError
from fhir_server.forms import Pairs
from fhir_server.search.dates import Interval, interval

_SHAPING = frozenset({"_format", "_pretty", "_summary", "_elements"})  # of the answer: ``view.py``


class Parameters:
    """What was asked of one operation.

    Raises:
        InvalidParameterError: A parameter that the operation does not have, or one that comes twice.
    """

    def __init__(self, pairs: Pairs, known: Iterable[str]) -> None:
        names = [name for name, _ in pairs if name not in _SHAPING]
        for name in names:
            if name not in known:
                raise InvalidParameterError(f"this operation has no parameter '{name[:64]}'")
        if len(set(names)) < len(names):
            raise InvalidParameterError("a parameter of an operation may be given once")
        self._pairs = dict(pairs)
        self.applied: Pairs = tuple((name, v) for name, v in pairs if name != "_cursor")

    def text(self, name: str) -> str:
        """A value as it was sent; empty where it is not given."""
        return self._pairs.get(name, "")

    def required(self, name: str) -> str:
        """A value that must be given.

        Raises:
            InvalidParameterError: It is not.
        """
        value = self.text(name)
        if not value:
            raise InvalidParameterError(f"this operation needs the parameter '{name}'")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number above 0, at most ``most``.

        Raises:
            InvalidParameterError: It is no such number.
        """
        return whole_number(name, self.text(name), default, most)

    def flag(self, name: str) -> bool:
        """A boolean; false where it is not given.

        Raises:
            InvalidParameterError: It is neither ``true`` nor ``false``.
        """
        value = self.text(name)
        if value not in ("", "true", "false"):
            raise InvalidParameterError(f"'{name}' must be true or false")
        return value == "true"

    def date(self, name: str) -> Interval | None:
        """A date or instant, or None.

        Raises:
            InvalidParameterError: It is not one.
        """
        value = self.text(name)
        return interval(value) if value else None

    def names(self, name: str) -> tuple[str, ...]:
        """Values with commas between; none where it is not given."""
        value = self.text(name)
        return tuple(part.strip() for part in value.split(",")) if value else ()


def whole_number(name: str, value: str, default: int, most: int) -> int:
    """A whole number above 0, at most ``most``; ``default`` where none is given.

    Raises:
        InvalidParameterError: It is no such number.
    """
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and int(value)):
        raise InvalidParameterError(f"'{name}' must be a whole number above 0")
    return min(int(value), most)
