"""A small clinic that ships with the server, for the demo and for tests.  Everybody in it is invented.

``clinic.json`` is a transaction (``build.py`` makes it), ``consent.json`` the first patient's Consent.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files

_PRIVATE = frozenset({"family", "given", "birthDate", "line", "text", "name", "subscriberId"})
_LEAST = 6  # letters: shorter words turn up in random bytes by chance
_PDF_TEXT = re.compile(rb"\((.+?)\) Tj")
_UNTIL = "2099-12-31"


@cache
def clinic() -> bytes:
    """The transaction Bundle, as it is sent."""
    return files(__package__).joinpath("clinic.json").read_bytes()


def consent(until: date) -> dict[str, object]:
    """The first patient's Consent, which ends with the day ``until``."""
    text = files(__package__).joinpath("consent.json").read_text("utf-8")
    filled: dict[str, object] = json.loads(text.replace(_UNTIL, until.isoformat()))
    return filled


def private_texts(bundle: bytes) -> frozenset[str]:
    """What must never stand in clear in a database: names, birth dates, addresses, notes, what PDFs say."""
    return frozenset(text for text in _private(json.loads(bundle)) if len(text) >= _LEAST)


def _private(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for child in value:
            yield from _private(child)
    if not isinstance(value, dict):
        return
    if value.get("contentType") == "application/pdf":
        yield from pdf_lines(base64.b64decode(value["data"]))
    for name, child in value.items():
        if name in _PRIVATE:
            yield from (
                text
                for text in (child if isinstance(child, list) else [child])
                if isinstance(text, str)
            )
        yield from _private(child)


def pdf_lines(file: bytes) -> list[str]:
    """The lines of text of a PDF that ``pdf.py`` wrote."""
    return [line.decode("latin-1") for line in _PDF_TEXT.findall(file)]


def resources(bundle: bytes) -> list[Mapping[str, object]]:
    """The resources of the transaction, in its order."""
    return [entry["resource"] for entry in json.loads(bundle)["entry"]]
