"""Narrative made of records (R4 narrative.html): a table with a row for each, everything in it escaped.

Values stand as they are stored, decimals with their trailing zeros.  What a text may not hold in XML is left out.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping

from fhir_server.forms import Json

_XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">'
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAMES = ("code", "vaccineCode", "medicationCodeableConcept")
_REFERENCES = ("medicationReference", "device")
_STATES = ("clinicalStatus", "status")
_DATES = re.compile(r"(onset|effective|occurrence|performed|timing|authored|recorded)[A-Z]\w*")
_LONGEST = 500
_HEAD = "<tr><th>What</th><th>Value</th><th>When</th><th>Status</th></tr>"

Name = str
Named = Mapping[str, Name]  # by reference


def table(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """The narrative of rows: what, value, when, status."""
    made = "".join(
        f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'{_XHTML}<table border="1">{_HEAD}{made}</table></div>'


def sentence(text: str) -> str:
    """The narrative of one sentence."""
    return f"{_XHTML}<p>{_escaped(text)}</p></div>"


def row_of(resource: Json, named: Named) -> tuple[str, str, str, str]:
    """What a record says in a row; ``named`` has the names of what it refers to."""
    what = next(_names(resource, named), "not named")
    when = next(_times(resource), "")
    states = (_concept(resource.get(member)) for member in _STATES)
    return what, ", ".join(_values(resource)), when, next((s for s in states if s), "")


def name_of(resource: Json) -> Name:
    """The name of a Medication or Device, or empty."""
    names = resource.get("deviceName")
    found = [_concept(resource.get("code")), _concept(resource.get("type"))]
    found += [_text(n.get("name")) for n in _objects(names)]
    return next((name for name in found if name), "")


def _names(resource: Json, named: Named) -> Iterator[str]:
    yield from (text for member in _NAMES if (text := _concept(resource.get(member))))
    for member in _REFERENCES:
        element = resource.get(member)
        if isinstance(element, dict):
            yield from filter(None, (named.get(str(element.get("reference"))),))
            yield from filter(None, (_text(element.get("display")),))


def _values(resource: Json) -> Iterator[str]:
    for member, value in resource.items():
        if member.startswith("value") and (text := _value(value)):
            yield text
    for component in _objects(resource.get("component")):
        name = _concept(component.get("code"))
        yield from (f"{name}: {text}" for text in _values(component))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and "value" in value:
        unit = value.get("unit") or value.get("code") or ""
        comparator = value.get("comparator") or ""
        return f"{comparator}{value['value']} {unit}".strip()
    return _concept(value) or ("" if isinstance(value, (dict, list)) else str(value))


def _times(resource: Json) -> Iterator[str]:
    for member, value in resource.items():
        if _DATES.fullmatch(member):
            if isinstance(value, dict):
                yield " to ".join(str(value[end]) for end in ("start", "end") if end in value)
            elif isinstance(value, str):
                yield value


def _concept(value: object) -> str:
    """The words of a code, CodeableConcept or string."""
    if not isinstance(value, dict):
        return _text(value)
    codings = _objects(value.get("coding"))
    found = [_text(value.get("text")), *(_text(c.get("display")) for c in codings)]
    found += [_text(c.get("code")) for c in _objects(value.get("coding"))]
    return next((text for text in found if text), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: object) -> Iterator[Json]:
    yield from (one for one in (value if isinstance(value, list) else ()) if isinstance(one, dict))


def _escaped(text: str) -> str:
    return html.escape(_NOT_IN_XML.sub("", text[:_LONGEST]), quote=True)
