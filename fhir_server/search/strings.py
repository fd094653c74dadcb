"""When two texts are the same to a search (R4 search, 3.1.1.4.8): case, accents and runs of white space do not matter."""

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

_WORD = re.compile("[a-z0-9]+")  # of what is ASCII
_TAG = re.compile(r"<[^<>]*>")  # stops at the next tag, so that no text makes it slow
_NOT_TEXT = frozenset({"id", "url", "system", "reference", "data", "div", "contentType"})


@cache
def _dropped(character: str) -> bool:
    return unicodedata.combining(character) != 0


def normalise(text: str) -> str:
    """The text without what does not matter."""
    if text.isascii():
        return " ".join(text.casefold().split())
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in decomposed if not _dropped(c)).casefold().split())


def words(text: str) -> list[str]:
    """The words of a normalised string."""
    if text.isascii():
        return _WORD.findall(text.lower())
    return "".join(c if c.isalnum() else " " for c in normalise(text)).split()


def begins(have: str, want: str) -> bool:
    """Whether a normalised text, or a word in it, begins with another one."""
    return have.startswith(want) or f" {want}" in have


def narrative_words(resource: Mapping[str, object]) -> frozenset[str]:
    """The words of a resource's narrative, its markup left out (``_text``)."""
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    return frozenset(words(_plain(div))) if isinstance(div, str) else frozenset()


def content_words(resource: Mapping[str, object]) -> frozenset[str]:
    """The words of a resource's narrative and of its strings, ids, uris and binary data left out (``_content``)."""
    found = set(narrative_words(resource))
    for text in _strings(resource):
        found.update(words(text))
    return frozenset(found)


def _plain(div: str) -> str:
    return html.unescape(_TAG.sub(" ", div))


def _strings(resource: Mapping[str, object]) -> Iterator[str]:
    waiting: list[object] = [resource]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(member for name, member in value.items() if name not in _NOT_TEXT)
