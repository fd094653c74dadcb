"""User-access brands (SMART App Launch 2.2, "User-access Brands and Endpoints"): who stands behind this server, told to
everybody, so that apps can show a name that people know.

The Bundle is the operator's own file (``CONSENTRY_BRANDS_FILE``), or made from the settings.  Nobody needs a token; it holds
no data of patients.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response

from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from profiles.validation import Validator

PATH = "/brands.json"
_TYPES = ("Organization", "Endpoint")
_PROFILES = "http://hl7.org/fhir/smart-app-launch/StructureDefinition"
_EXTENSIONS = "http://hl7.org/fhir/StructureDefinition"
_CODES = "http://terminology.hl7.org/CodeSystem"
_MEDIA = "application/fhir+json"

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Brands:
    """The Bundle as it is sent.

    Attributes:
        identifier: (system, value) of the brand that this server is: of exactly one Organization in the Bundle.
    """

    body: bytes = field(repr=False)
    identifier: tuple[str, str]

    @property
    def etag(self) -> str:
        """Changes with the Bundle."""
        return f'W/"{sha256(self.body).hexdigest()[:32]}"'


def read_brands(settings: Settings, validator: Validator, since: str) -> Brands:
    """The operator's Bundle, or one made from the settings.

    Args:
        since: When what is made was last changed, a FHIR instant.

    Raises:
        SettingsError: The file is not such a Bundle; the message says what is wrong with it.
    """
    bundle = _read(settings.brands_file) if settings.brands_file else _made(settings, since)
    problems = [p for p in validator.review(bundle) if p.severity == "error"]
    if problems:
        raise _wrong(f"is not valid R4: {problems[0].expression} {problems[0].message}")
    if bundle.get("type") != "collection" or "timestamp" not in bundle:
        raise _wrong("must be of type collection, with a timestamp")
    if any(resource.get("resourceType") not in _TYPES for resource in _resources(bundle)):
        raise _wrong("must hold Organizations and Endpoints only")
    return Brands(orjson.dumps(bundle), _primary(bundle, settings.fhir_base))


class BrandRoutes:
    """``/brands.json``."""

    def __init__(self, brands: Brands) -> None:
        self._brands = brands
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route(PATH, self.bundle, methods=["GET", "HEAD"], response_model=None)

    async def bundle(self, request: Request) -> Response:
        """The brand Bundle; 304 for who has it already."""
        headers = {"ETag": self._brands.etag, "Cache-Control": "public, max-age=3600"}
        known = request.headers.get("if-none-match", "").replace("W/", "")
        if self._brands.etag.removeprefix("W/") in [each.strip() for each in known.split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(self._brands.body, headers=headers, media_type=_MEDIA)


def _wrong(why: str) -> SettingsError:
    return SettingsError(f"brands_file {why}")


def _read(name: str) -> Json:
    try:
        bundle = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(f"cannot be read: {error}") from error
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise _wrong("must hold a FHIR Bundle")
    return bundle


def _resources(bundle: Json) -> list[Json]:
    entries = bundle.get("entry")
    found = [entry.get("resource") for entry in entries] if isinstance(entries, list) else []
    return [resource for resource in found if isinstance(resource, dict)]


def _primary(bundle: Json, base: str) -> tuple[str, str]:
    """The first identifier of the Organization that names the Endpoint of this server."""
    resources = _resources(bundle)
    own = [
        f"Endpoint/{each.get('id')}"
        for each in resources
        if each.get("resourceType") == "Endpoint" and each.get("address") == base
    ]
    if not own:
        raise _wrong(f"must hold an Endpoint whose address is {base}")
    organizations = [each for each in resources if each.get("resourceType") == "Organization"]
    for organization in organizations:
        identifiers = _identifiers(organization)
        named = {each.get("reference") for each in _objects(organization.get("endpoint"))}
        if identifiers and not named.isdisjoint(own):
            sharing = [o for o in organizations if identifiers[0] in _identifiers(o)]
            if len(sharing) == 1:
                return identifiers[0]
    raise _wrong(
        "must hold one Organization with an identifier of its own that names that Endpoint"
    )


def _identifiers(organization: Json) -> list[tuple[str, str]]:
    found = _objects(organization.get("identifier"))
    return [(str(each.get("system", "")), str(each["value"])) for each in found if "value" in each]


def _objects(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _made(settings: Settings, since: str) -> Json:
    url, endpoint = settings.public_url, {"reference": "Endpoint/fhir-r4"}
    portal = [
        {"url": "portalName", "valueString": settings.brand_name},
        {"url": "portalUrl", "valueUrl": f"{url}/auth/account"},
        {"url": "portalEndpoint", "valueReference": endpoint},
    ]
    organization = {
        "resourceType": "Organization",
        "id": "brand",
        "meta": {"profile": [f"{_PROFILES}/user-access-brand"]},
        "extension": [{"url": f"{_EXTENSIONS}/organization-portal", "extension": portal}],
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": url}],
        "active": True,
        "name": settings.brand_name,
        "telecom": [{"system": "url", "value": url}],
        "endpoint": [endpoint],
    }
    entries = [organization, _endpoint(settings)]
    return {
        "resourceType": "Bundle",
        "id": "brands",
        "meta": {"profile": [f"{_PROFILES}/user-access-brands-bundle"]},
        "type": "collection",
        "timestamp": since,
        "entry": [
            {"fullUrl": f"{url}/brands/{each['resourceType']}/{each['id']}", "resource": each}
            for each in entries
        ],
    }


def _endpoint(settings: Settings) -> Json:
    return {
        "resourceType": "Endpoint",
        "id": "fhir-r4",
        "meta": {"profile": [f"{_PROFILES}/user-access-endpoint"]},
        "extension": [{"url": f"{_EXTENSIONS}/endpoint-fhir-version", "valueCode": "4.0.1"}],
        "status": "active",
        "connectionType": {
            "system": f"{_CODES}/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "name": f"FHIR R4 of {settings.brand_name}",
        "contact": [{"system": "url", "value": f"{settings.public_url}/docs"}],
        "payloadType": [
            {"coding": [{"system": f"{_CODES}/endpoint-payload-type", "code": "none"}]}
        ],
        "address": settings.fhir_base,
    }
