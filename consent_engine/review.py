"""What would make a Consent indeterminate, told to its writer.

The same code path as compiling: a Consent without problems here is interpreted, and one with
problems denies for as long as it is active (consent.md, Step 3).  Told, too, is a Consent that would
deny nobody anything: one whose patient is no patient.
"""

import re
from collections.abc import Mapping
from datetime import UTC, tzinfo

from .consent import compile_consent
from .decision import Config, literal
from .elements import Problem

_PATIENT = re.compile(r"(?:(?i:https?)://\S+/)?Patient/[A-Za-z0-9\-.]{1,64}")
_NOBODY = "names no patient, so the Consent would hold for nobody"


def review(
    consent: Mapping[str, object], *, zone: tzinfo = UTC, is_admin: bool = False
) -> tuple[Problem, ...]:
    """Every reason why the Consent could not be interpreted, or would never hold; empty if there is none.

    Looks at Consents of every status, since a draft may become active.  An admin policy needs no
    patient.
    """
    problems = compile_consent(consent, None, Config(zone=zone), is_admin=is_admin).problems
    patient = consent.get("patient") if isinstance(consent, dict) else None
    named = patient.get("reference") if isinstance(patient, dict) else None
    if isinstance(named, str) and _PATIENT.fullmatch(literal(named)) is None:
        return (*problems, Problem("Consent.patient.reference", _NOBODY))
    return problems
