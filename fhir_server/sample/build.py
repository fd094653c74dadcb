"""Builds ``clinic.json``, the transaction that fills the sample clinic: ``python -m fhir_server.sample.build``.

Everybody and everything in it is invented.  Ids are fixed where users must be registered before the server starts
(patients, staff, organizations); the rest refer to each other by ``urn:uuid`` and get ids from the server.  Decimals are
written with the zeros that a laboratory gives them.
"""

import json
import re
import uuid
from pathlib import Path

from fhir_server.sample import chart, people
from fhir_server.sample.shapes import Json

FILE = Path(__file__).with_name("clinic.json")
_DECIMAL = re.compile(r'"decimal:(-?[0-9]+\.[0-9]+)"')
_NAMESPACE = uuid.UUID("7a0f5a5e-1f6b-5a0e-9a43-3a2c6f0e7d11")


def build() -> str:
    """The transaction Bundle as JSON."""
    entries = [_put(resource) for resource in people.everybody()]
    entries += [_post(name, resource) for name, resource in chart.records().items()]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    text = json.dumps(bundle, indent=1, ensure_ascii=False)
    return _DECIMAL.sub(r"\1", text) + "\n"


def _put(resource: Json) -> Json:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {
        "fullUrl": f"urn:uuid:{_uuid(url)}",
        "resource": resource,
        "request": {"method": "PUT", "url": url},
    }


def _post(name: str, resource: Json) -> Json:
    linked = json.loads(
        re.sub(r'"@([a-z0-9-]+)"', lambda m: f'"urn:uuid:{_uuid(m[1])}"', json.dumps(resource))
    )
    return {
        "fullUrl": f"urn:uuid:{_uuid(name)}",
        "resource": linked,
        "request": {"method": "POST", "url": resource["resourceType"]},
    }


def _uuid(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


if __name__ == "__main__":
    FILE.write_text(build(), encoding="utf-8")
