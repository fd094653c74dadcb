"""Which part of each resource is wanted: ``_summary`` and ``_elements`` (R4 search.html, 3.1.1.5.8 and 3.1.1.5.9).

Also which resource is wanted as what it holds: a Binary, if its own media type is accepted and no form of FHIR is
(R4 binary.html, 3.4.3).
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

from fhir_server.errors import InvalidParameterError
from fhir_server.forms import Interaction, Pairs, Received, Record
from fhir_server.media import form_of
from fhir_server.vault.documents import Document
from profiles.definitions import r4
from profiles.subset import elements, summary

_MODES = frozenset({"true", "text", "data", "count", "false"})
_NAME = re.compile(r"(?:[A-Za-z]+\.)?([A-Za-z]+)")
_MEDIA_TYPE = re.compile(r"[\w.+\-]+/[\w.+\-]+(?:; ?[\w\-]+=[\w.\-]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class View:
    """What is left of each resource.

    Attributes:
        summary: ``true``, ``text`` or ``data``; empty for the whole.
        names: Elements wanted; none for all.
    """

    summary: str = ""
    names: frozenset[str] = frozenset()

    def of(self, record: Record) -> bytes:
        """The text of a record as it is wanted; what is included beside matches is not cut to ``_elements``."""
        type_, text = record.version.type_, record.text
        if not text or not (self.summary or self.names):
            return text
        if self.names and record.mode == "match":
            return elements(text.decode(), type_, self.names, r4()).encode()
        return summary(text.decode(), type_, self.summary, r4()).encode() if self.summary else text


_WHOLE = View()


def view_of(pairs: Pairs) -> View:
    """The view that the parameters of a request ask for.

    Raises:
        InvalidParameterError: ``_summary`` or ``_elements`` is not one that R4 knows.
    """
    if not pairs:
        return _WHOLE
    asked = dict(pairs)
    mode, names = asked.get("_summary", ""), asked.get("_elements", "")
    if mode and mode not in _MODES:
        raise InvalidParameterError(f"_summary must be one of {', '.join(sorted(_MODES))}")
    found = [_NAME.fullmatch(name.strip()) for name in names.split(",")] if names else []
    if not all(found):
        raise InvalidParameterError(
            "_elements must name elements of the resource, with commas between"
        )
    return View(
        mode if mode in ("true", "text", "data") else "", frozenset(m[1] for m in found if m)
    )


def parameters_of(received: Received, interaction: Interaction) -> Pairs:
    """The parameters that shape the answer: those of a search may have come in its body."""
    return interaction.query or received.query


@dataclass(frozen=True, slots=True)
class Content:
    """What a Binary holds.

    Attributes:
        inline: The bytes, if they stand in the resource; else they are in ``document``.
    """

    media_type: str
    inline: bytes = field(repr=False)
    document: Document | None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.inline) if self.document is None else self.document.size


def content_of(received: Received, interaction: Interaction, record: Record) -> Content | None:
    """What a Binary holds; None where the resource itself is wanted, or nothing is held."""
    if interaction.type_ != "Binary" or interaction.code not in ("read", "vread"):
        return None
    if not form_of(received.headers, received.query).is_content:
        return None
    data, kind = record.value.get("data"), record.value.get("contentType")
    named = isinstance(kind, str) and _MEDIA_TYPE.fullmatch(kind)
    media_type = str(kind) if named else "application/octet-stream"
    if record.document is not None:
        return Content(media_type, b"", record.document)
    if not isinstance(data, str):
        return None
    try:
        return Content(media_type, base64.b64decode(data), None)
    except binascii.Error:
        return None
