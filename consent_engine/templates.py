"""The policy templates that ship with the engine: what holds when nobody has consented.

Implements consent.md, "What holds when nobody has consented to anything".  Each template is an
array of admin Consents in ``policies/``, meant to be read.  Reading them is the only I/O of the
library.
"""

import json
from collections.abc import Mapping
from importlib.resources import files

from .errors import UnknownTemplateError

TEMPLATES = ("hipaa-tpo", "opt-in", "opt-out", "part2", "research")
PATIENT_TEMPLATES = (
    "ehds-primary-opt-out",
    "ehds-secondary-opt-out",
    "hipaa-self-pay",
    "part2-consent",
    "research-consent",
)
_MANDATORY = "https://consentry.example/StructureDefinition/mandatory-policy"
_PLACES = {
    "patient": "Patient/patient",
    "custodian": "Organization/custodian",
    "recipient": "Organization/recipient",
    "encounter": "Encounter/encounter",
}
_CUSTODIAN = "Organization/custodian"  # the placeholder in the files


def load_template(name: str, custodian: str) -> tuple[Mapping[str, object], ...]:
    """The admin policies of a template for the organization that holds the records.

    ``custodian`` is a reference such as "Organization/1".

    Raises:
        UnknownTemplateError: There is no such template; nothing is permitted by guessing.
    """
    if name not in TEMPLATES:
        raise UnknownTemplateError(f"no policy template {name!r}; there are {', '.join(TEMPLATES)}")
    text = template_text(name)
    policies = json.loads(text.replace(json.dumps(_CUSTODIAN), json.dumps(custodian)))
    return tuple(policies)


def template_text(name: str) -> str:
    """The text of one of TEMPLATES as it is shipped, the same for every organization."""
    return files(__package__).joinpath("policies", f"{name}.json").read_text("utf-8")


def patient_template(name: str, **references: str) -> Mapping[str, object]:
    """A Consent that a patient may file, with ``patient``, ``custodian``, ``recipient`` and ``encounter`` put in.

    Raises:
        UnknownTemplateError: There is no such template, or it needs a reference that is not given.
    """
    if name not in PATIENT_TEMPLATES:
        raise UnknownTemplateError(
            f"no template {name!r} for patients; there are {', '.join(PATIENT_TEMPLATES)}"
        )
    folder = files(__package__).joinpath("policies", "patients")
    text = folder.joinpath(f"{name}.json").read_text("utf-8")
    for place, placeholder in _PLACES.items():
        if json.dumps(placeholder) in text and not references.get(place):
            raise UnknownTemplateError(f"the template {name!r} needs '{place}'")
        text = text.replace(json.dumps(placeholder), json.dumps(references.get(place)))
    consent: Mapping[str, object] = json.loads(text)
    return consent


def is_mandatory(policy: Mapping[str, object]) -> bool:
    """Whether an admin policy is flagged as required by law (Step 7), by an extension of ours."""
    extensions = policy.get("extension")
    listed = extensions if isinstance(extensions, list) else []
    return any(
        isinstance(e, dict) and e.get("url") == _MANDATORY and e.get("valueBoolean") is True
        for e in listed
    )
