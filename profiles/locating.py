"""Where in a JSON text the elements stand that FHIRPath expressions name: line and column, both from 1."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from profiles.strict_json import items, members

_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")


@dataclass(slots=True)
class _Wanted:
    """What is looked for at and below one element."""

    expressions: list[str] = field(default_factory=list)
    below: "dict[str | int, _Wanted]" = field(default_factory=dict)


def places(text: str, expressions: Iterable[str]) -> Mapping[str, tuple[int, int]]:
    """The (line, column) of each expression such as ``Patient.name[0].family``, in a text that was read without an error.

    An element that is not there is placed at the nearest one around it.
    """
    root = _Wanted()
    for expression in expressions:
        wanted = root
        for name, number in _STEP.findall(expression):
            wanted = wanted.below.setdefault(int(number) if number else name, _Wanted())
        wanted.expressions.append(expression)
    offsets: dict[str, int] = {}
    _find(text, _start(text), root, offsets)
    return _lines(text, offsets)


def _start(text: str) -> int:
    return len(text) - len(text.lstrip(" \t\r\n"))


def _find(text: str, at: int, wanted: _Wanted, offsets: dict[str, int]) -> None:
    for expression in _all(wanted):
        offsets[expression] = at
    if not wanted.below:
        return
    if text[at] == "{":
        for member in members(text, at):
            inner = wanted.below.get(member.name)
            if inner is not None:
                _find(text, member.value_start, inner, offsets)
    elif text[at] == "[":
        for number, start in enumerate(items(text, at)):
            inner = wanted.below.get(number)
            if inner is not None:
                _find(text, start, inner, offsets)


def _all(wanted: _Wanted) -> Iterable[str]:
    yield from wanted.expressions
    for inner in wanted.below.values():
        yield from _all(inner)


def _lines(text: str, offsets: Mapping[str, int]) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    line, before = 1, 0
    for expression, at in sorted(offsets.items(), key=lambda item: item[1]):
        line += text.count("\n", before, at)
        start = text.rfind("\n", 0, at) + 1
        before = at
        found[expression] = (line, at - start + 1)
    return found
