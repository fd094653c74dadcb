"""capabilities (R4 http.html, 3.1.0.10): ``GET metadata``, with ``mode``, ``_summary`` and ``_elements``.

``mode=normative`` answers as ``full`` does: what is normative is not marked apart.  A statement is made when it is first
asked for, and again when the search parameters have changed.
"""

from collections.abc import Callable

import orjson

from fhir_server.errors import InvalidParameterError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.stages import document
from fhir_server.search.values import Searchable
from profiles.definitions import r4
from profiles.subset import elements, summary

_FULL, _TERMINOLOGY = "CapabilityStatement", "TerminologyCapabilities"
_MODES = {"full": _FULL, "normative": _FULL, "terminology": _TERMINOLOGY}
_TAKEN = ("publisher", "implementation", "software", "status", "date", "kind")


async def capabilities(in_scope: InScope, desk: Desk) -> Opened:
    """The CapabilityStatement, or the TerminologyCapabilities.

    Raises:
        InvalidParameterError: ``mode`` is none that R4 knows.
    """
    asked = dict(in_scope.asked.interaction.query)
    type_ = _MODES.get(asked.get("mode", "full"))
    if type_ is None:
        raise InvalidParameterError("mode must be full, normative or terminology")
    content = desk.tools.capability(type_, asked.get("_summary", ""))
    names = frozenset(filter(None, asked.get("_elements", "").split(",")))
    if names:
        content = elements(content.decode(), type_, names, r4()).encode()
    return document(in_scope, content)


class Statements:
    """What the server can do, as it is now."""

    def __init__(self, searchable: Searchable, make: Callable[[], bytes]) -> None:
        self._searchable = searchable
        self._make = make
        self._edition = -1
        self._made: dict[tuple[str, str], bytes] = {}

    def current(self, type_: str, mode: str) -> bytes:
        """The statement of a type, JSON; ``mode`` is a ``_summary``, or empty for the whole."""
        if self._edition != self._searchable.edition:
            self._edition, self._made = self._searchable.edition, {}
        mode = mode if mode in ("true", "text", "data") else ""
        if (type_, mode) not in self._made:
            self._made[type_, mode] = self._statement(type_, mode)
        return self._made[type_, mode]

    def _statement(self, type_: str, mode: str) -> bytes:
        if mode:
            return summary(self.current(type_, "").decode(), type_, mode, r4()).encode()
        if type_ == _FULL:
            return self._make()
        full = orjson.loads(self.current(_FULL, ""))
        taken = {name: full[name] for name in _TAKEN if name in full}
        return orjson.dumps({"resourceType": _TERMINOLOGY, **taken})
