"""What would make a Consent indeterminate, told to its writer.

The same code path as compiling: a Consent without problems here is interpreted, and one with
problems denies for as long as it is active (consent.md, Step 3).
"""

from collections.abc import Mapping
from datetime import UTC, tzinfo

from .consent import compile_consent
from .elements import Problem


def review(
    consent: Mapping[str, object], *, zone: tzinfo = UTC, is_admin: bool = False
) -> tuple[Problem, ...]:
    """Every reason why the Consent could not be interpreted; empty if there is none.

    Looks at Consents of every status, since a draft may become active.  An admin policy needs no
    patient.
    """
    return compile_consent(consent, None, zone, is_admin=is_admin).problems
