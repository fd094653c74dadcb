"""``/docs`` for people and ``/openapi.json`` for programs.  Neither needs a token; neither tells of data.

The page is made here and loads nothing from anywhere: no script, one style, which the Content-Security-Policy names by its
hash.  Its search box is a form.
"""

import base64
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fhir_server.interactions.desk import Tools
from fhir_server.portal.interface import SHAPING, Interface, OfType, interface
from fhir_server.portal.openapi import openapi

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "docs.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LONGEST = 64  # letters of what is looked for
_KEPT = 64  # pages
_FEW = 12  # types that are shown unfolded


class DocumentationRoutes:
    """The two descriptions, each made once for each state of the search parameters."""

    def __init__(self, tools: Callable[[], Tools]) -> None:
        self._tools = tools
        self._edition = -1
        self._pages: dict[str, bytes] = {}
        self.router = APIRouter(include_in_schema=False)
        add = self.router.add_api_route
        add("/docs", self.docs, methods=["GET", "HEAD"], response_model=None)
        add("/openapi.json", self.openapi, methods=["GET", "HEAD"], response_model=None)

    async def docs(self, request: Request) -> Response:
        """The page; ``q`` leaves the types and parameters whose names contain it."""
        wanted = request.query_params.get("q", "").strip().lower()[:_LONGEST]
        made = self._kept(f"docs {wanted}", lambda found: page(found, wanted))
        return Response(made, headers=_HEADERS, media_type="text/html; charset=utf-8")

    async def openapi(self, _: Request) -> Response:
        """OpenAPI 3.1."""
        made = self._kept("openapi", lambda found: orjson.dumps(openapi(found)))
        return Response(made, headers=_HEADERS, media_type="application/json")

    def _kept(self, name: str, make: Callable[[Interface], bytes]) -> bytes:
        tools = self._tools()
        if self._edition != tools.searchable.edition or len(self._pages) > _KEPT:
            self._edition, self._pages = tools.searchable.edition, {}
        if name not in self._pages:
            found = interface(tools.definitions, tools.searchable, tools.base)
            self._pages[name] = make(found)
        return self._pages[name]


def page(found: Interface, wanted: str) -> bytes:
    """The page as HTML; ``wanted`` is what is looked for, in lower case, or empty."""
    types = [match for of_type in found.types if (match := _matching(of_type, wanted))]
    text = _ENVIRONMENT.get_template("docs.html").render(
        style=_STYLE,
        api=found,
        types=types,
        shaping=SHAPING,
        wanted=wanted,
        unfolded=bool(wanted) and len(types) <= _FEW,
    )
    return text.encode()


def _matching(of_type: OfType, wanted: str) -> OfType | None:
    """The part of a type that is looked for: all of it by its name, else its parameters and operations by theirs."""
    if wanted in of_type.name.lower():
        return of_type
    parameters = tuple(p for p in of_type.parameters if wanted in p.code.lower())
    calls = tuple(c for c in of_type.calls if c.code == "operation" and wanted in c.path.lower())
    return replace(of_type, parameters=parameters, calls=calls) if parameters or calls else None
