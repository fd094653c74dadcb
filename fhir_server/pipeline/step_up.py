"""Who breaks the glass has just signed in with two factors (RFC 9470, step-up authentication).

The answer tells the app what to ask of the person: a new authorization request with ``acr_values`` and ``max_age``.
Backend systems are not persons: their keys are their proof.  What the custodian answers for (``administration.py``) is not
for persons at all.
"""

from datetime import datetime, timedelta

from fhir_server.errors import UnauthorizedError
from fhir_server.forms import Requester
from fhir_server.pipeline.authenticate import BREAK_GLASS
from smart_auth.people.assurance import TWO_FACTORS, reaches
from smart_auth.tokens.bearer import Caller

_OLDEST = timedelta(minutes=5)


def require_step_up(requester: Requester, now: datetime) -> None:
    """Return unless a person breaks the glass who has not shown two factors in the last five minutes.

    Args:
        now: When the request came in, UTC.

    Raises:
        UnauthorizedError: ``insufficient_user_authentication``.
    """
    caller = requester.caller
    if caller is None or caller.user is None or requester.purpose != BREAK_GLASS:
        return
    recent = caller.auth_time is not None and now - caller.auth_time <= _OLDEST
    if caller.acr is None or not reaches(caller.acr, TWO_FACTORS) or not recent:
        why = "breaking the glass needs a sign-in with two factors in the last 5 minutes"
        raise UnauthorizedError(why, _challenge(caller))


def _challenge(caller: Caller) -> str:
    scheme = "Bearer" if caller.key is None else "DPoP"
    return (
        f'{scheme} realm="fhir", error="insufficient_user_authentication", '
        f'acr_values="{TWO_FACTORS}", max_age="{int(_OLDEST.total_seconds())}"'
    )
