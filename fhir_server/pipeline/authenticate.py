"""Who asks, and why: the bearer token, and the purpose picked for this request.

A token may be good for several purposes; a request has one (consent.md, Step 0): the first that the client is registered
for, or the one named in ``X-Purpose-Of-Use`` (a v3-ActReason code).  Breaking the glass (``BTG``) needs a reason in
``X-Break-Glass-Reason``.
"""

from urllib.parse import unquote

from fhir_server.errors import BadRequestError, ScopeError, UnauthorizedError
from fhir_server.forms import Received, Requester
from smart_auth.errors import BearerError
from smart_auth.server import SmartServer

PURPOSE = "x-purpose-of-use"
REASON = "x-break-glass-reason"
BREAK_GLASS = "BTG"
_LONGEST_REASON = 500


async def authenticate(received: Received, smart: SmartServer) -> Requester:
    """The requester of a request.

    Raises:
        UnauthorizedError: No token, or one that is not valid.
        ScopeError: The purpose is not one that this caller may use.
        BadRequestError: The glass is broken without a reason.
    """
    scheme, _, token = received.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthorizedError("an access token is needed: send 'Authorization: Bearer ...'")
    try:
        caller = await smart.authenticate(token.strip(), received.now)
    except BearerError as error:
        raise UnauthorizedError(f"the access token is not valid: {error}") from error
    default = caller.purposes[0] if caller.purposes else ""
    purpose = received.headers.get(PURPOSE, default)
    if purpose and purpose not in caller.purposes:
        raise ScopeError("this caller is not registered for the purpose it names")
    reason = unquote(received.headers.get(REASON, "")).strip()
    if purpose == BREAK_GLASS and not reason:
        raise BadRequestError("breaking the glass needs a reason in X-Break-Glass-Reason")
    return Requester(caller, purpose, reason[:_LONGEST_REASON] if purpose == BREAK_GLASS else "")
