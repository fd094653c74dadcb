"""The policy templates that ship with the engine: what holds when nobody has consented.

Implements consent.md, "What holds when nobody has consented to anything".  Each template is an
array of admin Consents in ``policies/``, meant to be read.  Reading them is the only I/O of the
library.
"""

import json
from collections.abc import Mapping
from importlib.resources import files

from .errors import UnknownTemplateError

TEMPLATES = ("hipaa-tpo", "opt-in", "opt-out")
_CUSTODIAN = "Organization/custodian"  # the placeholder in the files


def load_template(name: str, custodian: str) -> tuple[Mapping[str, object], ...]:
    """The admin policies of a template for the organization that holds the records.

    ``custodian`` is a reference such as "Organization/1".

    Raises:
        UnknownTemplateError: There is no such template; nothing is permitted by guessing.
    """
    if name not in TEMPLATES:
        raise UnknownTemplateError(f"no policy template {name!r}; there are {', '.join(TEMPLATES)}")
    text = files(__package__).joinpath("policies", f"{name}.json").read_text("utf-8")
    policies = json.loads(text.replace(json.dumps(_CUSTODIAN), json.dumps(custodian)))
    return tuple(policies)
