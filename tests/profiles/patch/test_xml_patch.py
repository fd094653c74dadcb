"""XML Patch by the standard's own cases (FHIR/fhir-test-cases, r4/patch), and bad ones of ours."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from profiles.errors import PatchConflictError, PatchError, XmlError
from profiles.patch.xml_patch import xml_patch

from ...fhir_server.shared_data import folder_of

F = "{http://hl7.org/fhir}"
NS = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p></p>&#160;</div>'
DOCUMENT = (
    f'<Patient {NS}><id value="1"/><text><status value="empty"/>{DIV}</text><active value="true"/>'
    '<name><family value="A&#10;B"/><given value="C"/><given value="D"/></name><name><family value="E"/></name></Patient>'
)
# the stored copy of the suite has lost its comments, and this case is about one
WITHOUT_COMMENT = "A.15.  Removing a Comment Node"


def _cases() -> list[Any]:
    root = ET.parse(folder_of("patch") / "xml-patch-tests.xml").getroot()
    return [
        pytest.param(c, id=str(c.get("name"))) for c in root if c.get("name") != WITHOUT_COMMENT
    ]


def _inner(case: ET.Element, name: str) -> str:
    found = case.find(name)
    return "".join(
        ET.tostring(child, encoding="unicode") for child in (found if found is not None else ())
    )


@pytest.mark.parametrize("case", _cases())
def test_the_standards_own_cases(case: ET.Element) -> None:
    patch = case.find(f"{F}patch")
    assert patch is not None
    sent = ET.tostring(patch, encoding="unicode")
    if case.find("error") is not None:
        with pytest.raises((PatchError, PatchConflictError, XmlError)):
            xml_patch(_inner(case, "target"), sent)
        return
    made = xml_patch(_inner(case, "target"), sent)
    assert _canonical(made) == _canonical(_inner(case, "patched"))


def _canonical(text: str) -> str:
    return ET.canonicalize(text, strip_text=True, rewrite_prefixes=True)


def patched(operation: str) -> str:
    return xml_patch(DOCUMENT, f'<diff xmlns:f="http://hl7.org/fhir">{operation}</diff>')


def test_what_is_not_touched_is_written_as_it_was() -> None:
    made = patched('<replace sel="/f:Patient/f:active/@value">false</replace>')
    assert made == DOCUMENT.replace('active value="true"', 'active value="false"')


@pytest.mark.parametrize(
    ("operation", "old", "new"),
    [
        ('<remove sel="f:Patient/f:name[2]"/>', '<name><family value="E"/></name>', ""),
        ("<remove sel=\"f:Patient/f:name[f:family/@value='E']\"/>", '<name><family value="E"/></name>', ""),
        ("<remove sel=\"f:Patient/f:name/f:given[@value='C']\"/>", '<given value="C"/>', ""),
        ('<add sel="f:Patient/f:name[2]"><f:given value="F"/></add>',
         'value="E"/></name>', 'value="E"/><given value="F"/></name>'),
        ('<add sel="f:Patient/f:name[2]" pos="prepend"><f:use value="old"/></add>',
         '<name><family value="E"', '<name><use value="old"/><family value="E"'),
        ('<add sel="f:Patient/f:active" pos="after"><f:gender value="male"/></add>',
         '"true"/>', '"true"/><gender value="male"/>'),
        ('<add sel="f:Patient/f:active" type="@id">x</add>', '<active value="true"', '<active value="true" id="x"'),
        ('<replace sel="f:Patient/f:active"><f:active value="false"/></replace>',
         'active value="true"', 'active value="false"'),
    ],
)  # fmt: skip
def test_operations(operation: str, old: str, new: str) -> None:
    assert patched(operation) == DOCUMENT.replace(old, new)


@pytest.mark.parametrize(
    "operation",
    [
        "", '<move sel="f:Patient/f:active"/>', "<remove/>", '<remove sel=""/>', '<remove sel="//f:given"/>',
        '<remove sel="f:Patient/f:name[position()=1]"/>', '<remove sel="count(//*)"/>',
        '<remove sel="' + "a/" * 2000 + '"/>',
        '<replace sel="f:Patient/f:active"/>', '<replace sel="f:Patient/f:active/@value"><f:x/></replace>',
        '<add sel="f:Patient" pos="inside"><f:x/></add>', "<remove",
    ],
)  # fmt: skip
def test_what_is_no_patch_is_refused(operation: str) -> None:
    with pytest.raises(PatchError):
        patched(operation)


@pytest.mark.parametrize(
    "operation",
    [
        '<remove sel="f:Patient/f:gender"/>', '<remove sel="f:Patient/f:name"/>', '<remove sel="f:Patient/f:active/@id"/>',
        '<remove sel="f:Person"/>', '<remove sel="f:Patient"/>', '<add sel="f:Patient/f:active" type="@value">x</add>',
        '<add sel="f:Patient/f:active/@value">x</add>', '<remove sel="f:Patient/f:name[9]"/>',
    ],
)  # fmt: skip
def test_what_can_not_be_performed_is_refused_with_its_number(operation: str) -> None:
    with pytest.raises(PatchConflictError, match=r"operation 0|root"):
        patched(operation)


def test_a_bomb_is_refused_at_once() -> None:
    started = time.monotonic()
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">]><diff><remove sel="&a;"/></diff>'
    with pytest.raises(PatchError, match="document type"):
        xml_patch(DOCUMENT, bomb)
    with pytest.raises(PatchError):
        patched('<remove sel="f:Patient' + "[@a='" * 300 + '"/>')
    with pytest.raises(PatchError):
        patched("<a>" * 100_000)
    assert time.monotonic() - started < 1
