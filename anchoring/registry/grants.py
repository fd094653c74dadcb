"""AccessGrants: how a request for access is answered, asked about, and heard of."""

from dataclasses import dataclass
from enum import IntEnum

from anchoring.chain.transaction import address, keccak256, selector
from anchoring.registry.node import Log
from anchoring.registry.relaying import Standing
from anchoring.registry.typed_data import Domain, sign, status_in, word

NAME = "AccessGrants"


class Status(IntEnum):
    """How a request stands on the chain."""

    NONE = 0
    REQUESTED = 1
    APPROVED = 2
    DENIED = 3
    REVOKED = 4


@dataclass(frozen=True, slots=True)
class Request:
    """A request, as the chain may know it, with the patient's key for it.

    Attributes:
        id: Salted commitment, 32 bytes.
        key: Private key of the holder, used for this request only, 32 bytes.
        requester: Address that asks.
    """

    id: bytes
    key: bytes
    requester: bytes

    @property
    def holder(self) -> bytes:
        """Address of the patient's key."""
        return address(self.key)


@dataclass(frozen=True, slots=True)
class Said:
    """What an event says: that a request came to a status."""

    status: Status
    id: bytes
    holder: bytes
    requester: bytes


@dataclass(frozen=True, slots=True)
class GrantWish:
    """A request, and the answer that it should have on the chain; a ``relaying.Wish``.

    Attributes:
        status: APPROVED, DENIED or REVOKED; REQUESTED is for the requester to bring about.
        expiry: From when on the request, or the grant, does not hold, seconds since 1970.
    """

    request: Request
    status: Status
    expiry: int

    @property
    def question(self) -> bytes:
        """The call that asks how the request stands."""
        return status_call(self.request)

    def standing(self, answer: bytes) -> Standing:
        """See ``Wish.standing``."""
        found = read_status(answer)
        if found is Status.NONE:
            return Standing.WAITING  # the request was in a block that is gone: it comes again
        ends = self.status is Status.REVOKED and found is Status.APPROVED
        return Standing.MISSING if ends or found is Status.REQUESTED else Standing.TRUE

    def call(self, domain: Domain, answer: bytes, deadline: int) -> bytes:
        """See ``Wish.call``: what is to be revoked before it was approved is denied."""
        if self.status is Status.REVOKED and read_status(answer) is Status.REQUESTED:
            return answer_call(domain, self.request, Status.DENIED, self.expiry, deadline)
        return answer_call(domain, self.request, self.status, self.expiry, deadline)


def answer_call(domain: Domain, request: Request, to: Status, expiry: int, deadline: int) -> bytes:
    """Write the signed answer to a request.

    Args:
        domain: The registry.
        request: The request.
        to: APPROVED, DENIED or REVOKED.
        expiry: Of an approval: from when on it does not hold, seconds since 1970.
        deadline: Until when the signature is good, seconds since 1970.
    """
    kind = {Status.APPROVED: "Approve", Status.DENIED: "Deny", Status.REVOKED: "Revoke"}[to]
    more, words = ("uint64 expiry,", word(expiry)) if to is Status.APPROVED else ("", b"")
    type_ = f"{kind}(bytes32 id,address requester,{more}uint64 deadline)"
    named = request.id + word(request.requester)
    signature = sign(domain, type_, named + words + word(deadline), request.key)
    arguments = ",".join(["bytes32", "address", "address", *(["uint64"] if words else [])])
    called = selector(f"{kind.lower()}({arguments},uint64,bytes32,bytes32)")
    places = request.id + word(request.holder) + word(request.requester)
    return called + places + words + word(deadline) + signature


def status_call(request: Request) -> bytes:
    """Write the question how a request stands."""
    places = request.id + word(request.holder) + word(request.requester)
    return selector("grantOf(bytes32,address,address)") + places


def read_status(answer: bytes) -> Status:
    """Read the answer to ``status_call``.

    Raises:
        ChainError: There is no AccessGrants at that address.
    """
    return status_in(answer, Status, "a request")


def read_said(log: Log) -> Said | None:
    """Read an event of the registry; None when it is none of a request."""
    if len(log.topics) != 4 or log.topics[0] not in _EVENTS:
        return None
    id_, holder, requester = log.topics[1:]
    return Said(_EVENTS[log.topics[0]], id_, holder[12:], requester[12:])


_EVENTS = {
    keccak256(b"Requested(bytes32,address,address,uint64)"): Status.REQUESTED,
    keccak256(b"Approved(bytes32,address,address,uint64)"): Status.APPROVED,
    keccak256(b"Denied(bytes32,address,address)"): Status.DENIED,
    keccak256(b"Revoked(bytes32,address,address)"): Status.REVOKED,
}
