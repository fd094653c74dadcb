"""XML in and out: what JSON says, XML says, and nothing is lost on the way there and back."""

import json
import time
from decimal import Decimal

import pytest

from profiles.definitions import r4
from profiles.errors import XmlError
from profiles.strict_json import read
from profiles.xml_reading import read_xml
from profiles.xml_writing import write_xml

from ..fhir_server.shared_data import r4_examples

R4 = r4()
NS = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def exact(value: object) -> str:
    """A value as text in which 1.0 and 1.00 differ."""
    return json.dumps(
        value, default=lambda d: f"decimal {d}" if isinstance(d, Decimal) else d, sort_keys=True
    )


def there_and_back(value: dict[str, object]) -> object:
    return read(read_xml(write_xml(value, R4).encode(), R4))


def test_every_r4_example_comes_back_equal() -> None:
    seen = 0
    for line in r4_examples():
        value = read(line.decode())
        assert isinstance(value, dict)
        assert exact(there_and_back(value)) == exact(value), value.get("id")
        seen += 1
    assert seen >= 300


@pytest.mark.parametrize("number", ["1.00", "-0.0", "1e2", "1.50E-7", "100", "0.1"])
def test_a_decimal_keeps_its_digits(number: str) -> None:
    xml = (
        f'<Observation {NS}><valueQuantity><value value="{number}"/></valueQuantity></Observation>'
    )
    assert (
        read_xml(xml.encode(), R4)
        == f'{{"resourceType":"Observation","valueQuantity":{{"value":{number}}}}}'
    )
    value = read(read_xml(xml.encode(), R4))
    assert exact(there_and_back(value)) == exact(value)  # type: ignore[arg-type]


def test_extensions_of_primitives_keep_their_places_in_a_list() -> None:
    value = {
        "resourceType": "Patient",
        "name": [
            {
                "given": ["Ann", None, "Zoë"],
                "_given": [
                    None,
                    {"id": "g", "extension": [{"url": "u", "valueString": "a\nb\t\r<&\"'"}]},
                    None,
                ],
            }
        ],
        "_birthDate": {"extension": [{"url": "u", "valueBoolean": True}]},
    }
    assert there_and_back(value) == value


def test_a_narrative_is_copied_byte_for_byte() -> None:
    div = f'{DIV}<p  class="a">5 &lt; 6 &#160;<br/>\n<b>ü</b></p></div>'
    value = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    assert there_and_back(value) == value


@pytest.mark.parametrize(
    "div",
    [
        "<div>no namespace</div>",
        f"{DIV}<p></div>",
        "text",
        f"{DIV}&nbsp;</div>",
        "<!DOCTYPE d><div/>",
    ],
)
def test_a_narrative_that_is_not_xhtml_still_makes_well_formed_xml(div: str) -> None:
    value = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    back = there_and_back(value)
    assert isinstance(back, dict)
    assert back["text"]["div"].startswith(DIV)


def test_a_resource_in_a_resource_comes_back() -> None:
    inner = {"resourceType": "Patient", "id": "p", "active": False}
    value = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {"resourceType": "Group", "contained": [inner], "type": "person"}}],
    }
    assert there_and_back(value) == value


def test_elements_are_written_in_the_order_of_the_standard() -> None:
    xml = write_xml(
        {"birthDate": "2000", "name": [{"family": "A"}], "id": "1", "resourceType": "Patient"}, R4
    )
    assert xml.index("<id") < xml.index("<name") < xml.index("<birthDate")


BAD = {
    "a bomb of entities": f'<!DOCTYPE a [<!ENTITY x "y">]><Patient {NS}><id value="&x;"/></Patient>',
    "an external entity": f'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Patient {NS}/>',
    "an undefined entity": f'<Patient {NS}><id value="&nbsp;"/></Patient>',
    "a processing instruction": f"<?xml-stylesheet href='a'?><Patient {NS}/>",
    "another encoding": f'<?xml version="1.0" encoding="ISO-8859-1"?><Patient {NS}/>',
    "bytes that are not UTF-8": f'<Patient {NS}><id value="'.encode() + b'\xff"/></Patient>',
    "no namespace": "<Patient/>",
    "a type that is none": f"<Patience {NS}/>",
    "a data type": f"<HumanName {NS}/>",
    "an element that is none": f'<Patient {NS}><nickname value="x"/></Patient>',
    "an attribute that is none": f'<Patient {NS} active="true"/>',
    "a value on a complex element": f'<Patient {NS}><name value="x"/></Patient>',
    "text between elements": f"<Patient {NS}>Ann</Patient>",
    "an empty primitive": f"<Patient {NS}><active/></Patient>",
    "a single element twice": f'<Patient {NS}><active value="true"/><active value="true"/></Patient>',
    "a truth that is none": f'<Patient {NS}><active value="yes"/></Patient>',
    "a number that is none": f'<Patient {NS}><multipleBirthInteger value="01"/></Patient>',
    "a number that is more than one": f'<Patient {NS}><multipleBirthInteger value="1,&quot;x&quot;:2"/></Patient>',
    "two resources in one place": f"<Patient {NS}><contained><Patient/><Patient/></contained></Patient>",
    "no resource in its place": f"<Patient {NS}><contained/></Patient>",
    "a div without a namespace of its own": f"<Patient {NS}><text><div>x</div></text></Patient>",
    "an end without a beginning": f"<Patient {NS}></Patient></Patient>",
    "nothing": "",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_fhir_is_refused_with_its_line_and_without_its_content(name: str) -> None:
    text = BAD[name]
    with pytest.raises(XmlError, match="line") as refused:
        read_xml(text if isinstance(text, bytes) else text.encode(), R4)
    assert "passwd" not in str(refused.value)


@pytest.mark.parametrize("depth", [70, 100_000])
def test_deep_nesting_is_refused_at_once(depth: int) -> None:
    opened = time.monotonic()
    with pytest.raises(XmlError, match="deeper"):
        read_xml(f"<Patient {NS}>".encode() + b'<extension url="u">' * depth, R4)
    with pytest.raises(XmlError, match="deeper"):
        read_xml(f"<Patient {NS}><text>{DIV}".encode() + b"<b>" * depth, R4)
    assert time.monotonic() - opened < 1


def test_a_schema_hint_is_no_attribute() -> None:
    xml = f'<Patient {NS} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b"/>'
    assert read_xml(xml.encode(), R4) == '{"resourceType":"Patient"}'


def test_what_xml_can_not_say_does_not_make_it_ill_formed() -> None:
    value = {
        "resourceType": "Patient",
        "name": [{"text": "a\x01b\uffff"}],
        "text": {"status": "empty"},
    }
    value["text"] = {"status": "empty", "div": "<div \x02"}
    read_back = read(read_xml(write_xml(value, R4).encode(), R4))
    assert isinstance(read_back, dict)
    assert read_back["name"] == [{"text": "a\ufffdb\ufffd"}]
