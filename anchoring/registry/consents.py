"""ConsentRegistry: how a version of a Consent is filed, replaced, revoked and asked about.

Encoded by hand, as ``anchoring/chain/contract.py`` does: every argument is one word.
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum

from anchoring.chain.transaction import address, keccak256, selector
from anchoring.registry.relaying import Standing
from anchoring.registry.typed_data import Domain, compacted, sign, status_in, word

NAME = "ConsentRegistry"
K_BYTES = 32

_FILE = "File(bytes32 id,uint64 expiry,uint64 deadline)"
_REPLACE = "Replace(bytes32 id,uint64 deadline)"
_REVOKE = "Revoke(bytes32 id,uint64 deadline)"
_REVOKED_EVENT = keccak256(b"Revoked(bytes32,address)")


class Status(IntEnum):
    """How a version stands on the chain; it only rises."""

    NONE = 0
    ACTIVE = 1
    REPLACED = 2
    REVOKED = 3


@dataclass(frozen=True, slots=True)
class Holder:
    """One version of a Consent, as the chain may know it, with the key that speaks for it.

    Attributes:
        id: Its salted commitment, 32 bytes.
        key: The private key that is used for this version only, 32 bytes.
        expiry: From when on the chain does not call it active, seconds since 1970.
    """

    id: bytes
    key: bytes
    expiry: int

    @property
    def address(self) -> bytes:
        """The holder's address, 20 bytes."""
        return address(self.key)


@dataclass(frozen=True, slots=True)
class BroughtWish:
    """A version of a key that the patient has brought, with the call that it has signed; a ``relaying.Wish``."""

    id: bytes
    holder: bytes
    status: Status
    expiry: int
    signed: bytes

    @property
    def question(self) -> bytes:
        """The call that asks how the version stands."""
        return status_call(self.holder, self.id)

    def standing(self, answer: bytes) -> Standing:
        """See ``Wish.standing``."""
        return _standing(self.status, answer) if self.signed else Standing.WAITING

    def call(self, _: Domain, __: bytes, ___: int) -> bytes:
        """See ``Wish.call``: what it has signed has its own deadline."""
        return self.signed


def _standing(wanted: Status, answer: bytes) -> Standing:
    """A status never goes back, so what is beyond the one wanted will do."""
    found = read_status(answer)
    if found >= wanted:
        return Standing.TRUE
    if wanted is Status.REPLACED and found is Status.NONE:
        return Standing.IDLE  # it was never filed
    return Standing.MISSING


@dataclass(frozen=True, slots=True)
class ConsentWish:
    """A version, and the status that it should have on the chain; a ``relaying.Wish``."""

    holder: Holder
    status: Status

    @property
    def expiry(self) -> int:
        """From when on nothing is wanted any more, seconds since 1970."""
        return self.holder.expiry

    @property
    def question(self) -> bytes:
        """The call that asks how the version stands."""
        return status_call(self.holder.address, self.holder.id)

    def standing(self, answer: bytes) -> Standing:
        """See ``Wish.standing``."""
        return _standing(self.status, answer)

    def call(self, domain: Domain, _: bytes, deadline: int) -> bytes:
        """See ``Wish.call``."""
        return change_call(domain, self.holder, self.status, deadline)


def commitment(k: bytes, kind: str, named: str) -> bytes:
    """Give the id of something on a chain: ``HMAC-SHA-256(k, kind "|" named)``.

    Args:
        k: 32 random bytes, made for this one only.
        kind: ``consent`` or ``request``.
        named: Which one; of a Consent its logical id, "|" and its ``meta.versionId``.
    """
    assert len(k) == K_BYTES, "the key of a commitment has 32 bytes"
    return hmac.digest(k, f"{kind}|{named}".encode(), hashlib.sha256)


KINDS = {"file": Status.ACTIVE, "replace": Status.REPLACED, "revoke": Status.REVOKED}
Place = tuple[bytes, bytes, int]  # id, holder's address, expiry
_TYPES = {Status.ACTIVE: _FILE, Status.REPLACED: _REPLACE, Status.REVOKED: _REVOKE}


def change_call(domain: Domain, holder: Holder, to: Status, deadline: int) -> bytes:
    """Write the signed call that brings a version to a status (not NONE).

    Args:
        domain: The registry.
        holder: The version.
        to: The status that is wanted.
        deadline: Until when the signature is good, seconds since 1970.
    """
    place = (holder.id, holder.address, holder.expiry)
    signature = sign(domain, _TYPES[to], _members(place, to, deadline), holder.key)
    return _call(place, to, deadline, signature)


def signed_call(domain: Domain, place: Place, to: Status, deadline: int, signature: bytes) -> bytes:
    """Write such a call with a signature that a wallet has made (65 bytes).

    Raises:
        ChainError: It is not the holder's signature of this.
    """
    members = _members(place, to, deadline)
    return _call(place, to, deadline, compacted(domain, _TYPES[to], members, signature, place[1]))


def typed(domain: Domain, id_: bytes, to: Status, expiry: int, deadline: int) -> dict[str, object]:
    """Give what a wallet is asked to sign, as ``eth_signTypedData_v4`` takes it."""
    kind, _, members = _TYPES[to].rstrip(")").partition("(")
    fields = [
        dict(zip(("type", "name"), each.split(" "), strict=True)) for each in members.split(",")
    ]
    values = {"id": f"0x{id_.hex()}", "expiry": str(expiry), "deadline": str(deadline)}
    return {
        "primaryType": kind,
        "domain": {
            "name": domain.name,
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": f"0x{domain.contract.hex()}",
        },
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            kind: fields,
        },
        "message": {each["name"]: values[each["name"]] for each in fields},
    }


def _members(place: Place, to: Status, deadline: int) -> bytes:
    expiry = word(place[2]) if to is Status.ACTIVE else b""
    return place[0] + expiry + word(deadline)


def _call(place: Place, to: Status, deadline: int, signature: bytes) -> bytes:
    function = next(name for name, status in KINDS.items() if status is to)
    more, words = (",uint64", word(place[2])) if to is Status.ACTIVE else ("", b"")
    called = selector(f"{function}(bytes32,address{more},uint64,bytes32,bytes32)")
    return called + place[0] + word(place[1]) + words + word(deadline) + signature


def status_call(holder: bytes, id_: bytes) -> bytes:
    """Write the question how a version stands."""
    return selector("versionOf(address,bytes32)") + word(holder) + id_


def read_status(answer: bytes) -> Status:
    """Read the answer to ``status_call``.

    Raises:
        ChainError: There is no ConsentRegistry at that address.
    """
    return status_in(answer, Status, "a version")


def read_revoked(topics: tuple[bytes, ...], words: bytes) -> tuple[bytes, bytes] | None:
    """Read the event ``Revoked``: id and holder's address; None when it is another event."""
    if len(topics) != 3 or topics[0] != _REVOKED_EVENT or words:
        return None
    return topics[1], topics[2][12:]
