"""Who asks, and why: the access token, and the purpose picked for this request.

A token that is bound to a key comes as ``DPoP`` with a proof that its sender has that (RFC 9449, 7), others as ``Bearer``.

A token may be good for several purposes; a request has one (consent.md, Step 0): the first that the client is registered
for, or the one named in ``X-Purpose-Of-Use`` (a v3-ActReason code).  Breaking the glass (``BTG``) needs a reason in
``X-Break-Glass-Reason``.
"""

from urllib.parse import quote, unquote

from fhir_server.errors import BadRequestError, ScopeError, UnauthorizedError
from fhir_server.forms import Received, Requester
from smart_auth.errors import BearerError, InvalidProofError, UnprovedTokenError, UseNonceError
from smart_auth.server import SmartServer
from smart_auth.tokens.bearer import Caller
from smart_auth.tokens.proof_of_possession import ProvedBefore, Sent
from smart_auth.tokens.signed_proofs import PROOF_ALGORITHMS

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
    if not token or scheme.lower() not in ("bearer", "dpop"):
        raise UnauthorizedError("an access token is needed: send 'Authorization: Bearer ...'")
    if scheme.lower() == "dpop":
        caller = await _proved(token.strip(), received, smart)
    else:
        caller = await _caller(token.strip(), received, smart)
    default = caller.purposes[0] if caller.purposes else ""
    purpose = received.headers.get(PURPOSE, default)
    if purpose and purpose not in caller.purposes:
        raise ScopeError("this caller is not registered for the purpose it names")
    reason = unquote(received.headers.get(REASON, "")).strip()
    if purpose == BREAK_GLASS and not reason:
        raise BadRequestError("breaking the glass needs a reason in X-Break-Glass-Reason")
    return Requester(caller, purpose, reason[:_LONGEST_REASON] if purpose == BREAK_GLASS else "")


async def _caller(token: str, received: Received, smart: SmartServer) -> Caller:
    try:
        return await smart.authenticate(token, received.now)
    except UnprovedTokenError as error:
        raise _refused("invalid_token", str(error)) from error
    except BearerError as error:
        raise UnauthorizedError(f"the access token is not valid: {error}") from error


async def _proved(token: str, received: Received, smart: SmartServer) -> Caller:
    """The caller of a token that is bound to a key; for an entry of a batch the batch has proved it."""
    methods = ("GET", "HEAD") if received.method == "GET" else (received.method,)
    url = f"{smart.fhir_base}/{quote(received.target)}"
    sent = Sent(received.headers.get("dpop", ""), methods, url)
    proof = ProvedBefore(received.proved) if received.proved else sent
    try:
        return await smart.authenticate(token, received.now, proof)
    except UseNonceError as error:
        raise _refused(error.error, str(error), error.nonce) from error
    except (InvalidProofError, BearerError) as error:
        raise _refused(error.error, str(error)) from error


def _refused(code: str, why: str, nonce: str = "") -> UnauthorizedError:
    challenge = f'DPoP realm="fhir", error="{code}", algs="{" ".join(PROOF_ALGORITHMS)}"'
    return UnauthorizedError(f"the access token is not valid: {why}", challenge, nonce)
