"""The kinds of patch that are taken (R4 http.html, 3.1.0.7), by media type, and how each is performed."""

import base64
import binascii
from collections.abc import Callable, Mapping

from fhir_server.errors import (
    BadRequestError,
    InvalidResourceError,
    MalformedError,
    UnsupportedMediaTypeError,
)
from fhir_server.forms import Patch
from fhir_server.media import XML_TYPES
from fhir_server.resource_text import ResourceText, read_resource_xml
from profiles.definitions import Definitions
from profiles.errors import JsonError, PatchConflictError, PatchError, XmlError
from profiles.patch.fhirpath_patch import fhirpath_patch
from profiles.patch.json_patch import json_patch
from profiles.patch.merge_patch import merge_patch
from profiles.patch.xml_patch import xml_patch
from profiles.strict_json import read
from profiles.xml_reading import read_xml
from profiles.xml_writing import write_xml

_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_XML_PATCH = "application/xml-patch+xml"
_FHIRPATH_PATCH = "application/fhir+json"
_PATCHES: Mapping[str, Callable[[str, str, Definitions], str]] = {
    _JSON_PATCH: lambda document, patch, _: json_patch(document, patch),
    _MERGE_PATCH: lambda document, patch, _: merge_patch(document, patch),
    _FHIRPATH_PATCH: fhirpath_patch,
    _XML_PATCH: lambda document, patch, definitions: read_xml(
        xml_patch(write_xml(_object(document), definitions), patch).encode(), definitions
    ),
}
FORMATS = tuple(_PATCHES)


def read_patch(media_type: str, text: str) -> Patch:
    """The patch in a body.  ``application/json`` may be any: an array, Parameters, or else a merge (as fhirpy sends it).

    Raises:
        UnsupportedMediaTypeError: No kind of patch is sent so.
        MalformedError: It is not JSON.
        InvalidResourceError: It is FHIR, but no Parameters.
    """
    if media_type not in (*_PATCHES, *XML_TYPES, "application/json", "application/json+fhir", ""):
        raise UnsupportedMediaTypeError(f"send a patch as one of {', '.join(FORMATS)}")
    if media_type in XML_TYPES:  # Parameters, in XML
        return Patch(_FHIRPATH_PATCH, read_resource_xml(text.encode()).text)
    if media_type == _XML_PATCH:
        return Patch(media_type, text)
    try:
        value = read(text)
    except JsonError as error:
        raise MalformedError(str(error)) from error
    parameters = isinstance(value, dict) and value.get("resourceType") == "Parameters"
    if media_type in ("application/json", ""):
        media_type = _JSON_PATCH if isinstance(value, list) else _MERGE_PATCH
        return Patch(_FHIRPATH_PATCH if parameters else media_type, text)
    if media_type in (_FHIRPATH_PATCH, "application/json+fhir"):
        if not parameters:
            raise InvalidResourceError("a FHIRPath Patch is a Parameters resource", "resourceType")
        return Patch(_FHIRPATH_PATCH, text)
    return Patch(media_type, text)


def patch_in_entry(content: ResourceText) -> Patch:
    """The patch that an entry of a Bundle carries: Parameters, or a Binary with a patch of another kind.

    Raises:
        BadRequestError: It is neither, or the Binary's data can not be read.
        UnsupportedMediaTypeError: The Binary's content is no patch.
    """
    if content.type_ == "Parameters":
        return Patch(_FHIRPATH_PATCH, content.text)
    data = content.value.get("data")
    if content.type_ != "Binary" or not isinstance(data, str):
        raise BadRequestError(
            "a patch in a Bundle is a Parameters or a Binary with data", "resource"
        )
    try:
        text = base64.b64decode(data).decode()
    except (binascii.Error, ValueError) as error:
        raise BadRequestError("the data of the Binary can not be read", "Binary.data") from error
    return read_patch(str(content.value.get("contentType", "")), text)


def apply(patch: Patch, document: str, definitions: Definitions) -> str:
    """The document with ``patch`` performed; what it does not touch keeps its bytes.

    Raises:
        BadRequestError: It is no patch of its kind.
        InvalidResourceError: It can not be performed on this document.
    """
    try:
        return _PATCHES[patch.kind](document, patch.text, definitions)
    except (PatchError, JsonError) as error:
        raise BadRequestError(f"the patch can not be understood: {error}") from error
    except (PatchConflictError, XmlError) as error:
        raise InvalidResourceError(f"the patch can not be performed: {error}") from error


def _object(document: str) -> Mapping[str, object]:
    value = read(document)
    assert isinstance(value, dict), "a stored resource is an object"
    return value
