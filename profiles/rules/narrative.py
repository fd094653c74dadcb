"""Narrative (R4 narrative.html): the XHTML of ``text.div``, txt-1 and txt-2.

Read by expat, hardened: no document type, so no entities but those of XML, and nothing fetched.
"""

from typing import NoReturn
from xml.parsers import expat

_XHTML = "http://www.w3.org/1999/xhtml"
_MOST_DEPTH = 64


def _names(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


# HTML 4.0, chapters 7 to 11 (less 9.4) and 15, <a> and images
_ELEMENTS = _names(
    "p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym cite",
    "blockquote hr address bdo kbd ul ol li dl dt dd pre table caption colgroup col thead tr",
    "tfoot tbody th td code samp img map area sub sup center font u s strike ins del",
)
_ATTRIBUTES = _names("title style class id lang dir accesskey tabindex xml:lang xml:space xmlns")
_ALIGNED = _names("align char charoff valign")
_CELL = _ALIGNED | _names(
    "abbr axis headers scope rowspan colspan width height nowrap bgcolor span"
)
_OF = {
    "a": _names("charset type name href hreflang rel rev shape coords"),
    "img": _names("src alt longdesc name height width usemap ismap align border hspace vspace"),
    "table": _names("summary width border frame rules cellspacing cellpadding align bgcolor"),
    "area": _names("shape coords href nohref alt"),
    "map": _names("name"),
    "font": _names("size color face"),
    **dict.fromkeys(("q", "blockquote"), _names("cite")),
    **dict.fromkeys(("ins", "del"), _names("cite datetime")),
    "br": _names("clear"),
    "hr": _names("align noshade size width"),
    "pre": _names("width"),
    **dict.fromkeys(("ol", "ul"), _names("type start compact")),
    "li": _names("type value"),
    "caption": _names("align"),
    **dict.fromkeys(("thead", "tbody", "tfoot", "tr"), _ALIGNED | {"bgcolor"}),
    **dict.fromkeys(("td", "th", "col", "colgroup"), _CELL),
    **dict.fromkeys(("p", "div", "h1", "h2", "h3", "h4", "h5", "h6"), _names("align")),
}
_SCRIPTED = ("javascript:", "vbscript:", "data:text/html")


class _RefusedError(Exception):
    """What is wrong with the narrative."""


def problems(div: str) -> tuple[tuple[str, str], ...]:
    """What is wrong with a ``div``: (severity, what is asked)."""
    reader = _Reader()
    wrong = reader.problem(div)
    if wrong:
        return (("error", wrong),)
    return () if reader.named else (("warning", "should be in the XHTML namespace"),)


class _Reader:
    def __init__(self) -> None:
        self._depth = 0
        self._shown = False
        self.named = False  # the div has its namespace, which JSON from some clients leaves out

    def problem(self, div: str) -> str:
        parser = expat.ParserCreate("utf-8")
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(div.encode(errors="replace"), True)
        except _RefusedError as refused:
            return str(refused)
        except expat.ExpatError:
            return "is not well-formed XML"
        return "" if self._shown else "must have text or an image (txt-2)"

    def _doctype(self, *_: object) -> NoReturn:
        raise _RefusedError("must not declare a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self._root(name, attributes)
        if self._depth > _MOST_DEPTH:
            raise _RefusedError(f"nests deeper than {_MOST_DEPTH}")
        if name not in _ELEMENTS:
            raise _RefusedError("has an element that narrative must not have (txt-1)")
        known = _OF.get(name, frozenset())
        for attribute, value in attributes.items():
            if attribute not in _ATTRIBUTES and attribute not in known:
                raise _RefusedError("has an attribute that narrative must not have (txt-1)")
            if attribute in ("href", "src") and value.strip().lower().startswith(_SCRIPTED):
                raise _RefusedError("has a link that runs a script (txt-1)")
        self._shown = self._shown or name == "img"

    def _root(self, name: str, attributes: dict[str, str]) -> None:
        self.named = attributes.get("xmlns") == _XHTML
        if name != "div":
            raise _RefusedError("must be one div (txt-1)")

    def _end(self, _: str) -> None:
        self._depth -= 1

    def _text(self, text: str) -> None:
        self._shown = self._shown or bool(text.strip())
