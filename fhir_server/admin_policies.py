"""What holds above patients: the templates and files that ``policy`` names, together (consent.md, Step 7).

A file holds one Consent or a list of them, without a patient: rules of the organization or of a jurisdiction.  One that
nobody could interpret would deny everything, so it refuses to start.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from consent_engine import TEMPLATES, is_mandatory, load_template, review, template_text
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings

Policies = tuple[Mapping[str, object], ...]


def read_admin_policies(settings: Settings) -> tuple[Policies, Policies]:
    """The admin policies, and those of them that are flagged as mandatory, which are asked first.

    Raises:
        SettingsError: A file can not be read, or a rule in it not interpreted; it names both.
    """
    found: list[Mapping[str, object]] = []
    for name in settings.policy_name.split(","):
        known = name in TEMPLATES
        found += load_template(name, settings.custodian) if known else _read(name)
    ordinary = tuple(each for each in found if not is_mandatory(each))
    return ordinary, tuple(each for each in found if is_mandatory(each))


def policy_bundle(settings: Settings) -> bytes:
    """The SHA-256 by which institutions agree on policies: of the SHA-256 of each template and file, in their order.

    Templates count as they are shipped, so the same policies have the same hash at every institution.

    Raises:
        SettingsError: A file can not be read.
    """
    hashed = sha256()
    for name in settings.policy_name.split(","):
        try:
            text = template_text(name).encode() if name in TEMPLATES else Path(name).read_bytes()
        except OSError as error:
            raise SettingsError(f"policy: {name} cannot be read: {error}") from error
        hashed.update(sha256(text).digest())
    return hashed.digest()


def _read(name: str) -> list[Mapping[str, object]]:
    try:
        content = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"policy: {name} cannot be read: {error}") from error
    listed = content if isinstance(content, list) else [content]
    if not listed or not all(isinstance(each, dict) for each in listed):
        raise SettingsError(f"policy: {name} must hold a Consent or a JSON list of Consents")
    for each in listed:
        problems = review(each, is_admin=True)
        if problems:
            first = problems[0]
            raise SettingsError(
                f"policy: {name}: Consent {each.get('id', 'without id')}: {first.path}: {first.reason}"
            )
    return listed
