"""AccessGrants: a provider asks, the patient's key alone answers, and what was granted ends by itself."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from anchoring.chain import transaction as tx
from tests.anchoring.contracts.evm import DAY, NEVER, Contract, Evm, deploy, key, typed

PROVIDER, RELAYER, STRANGER = key(2), key(3), key(10)
FIELDS = {
    "Approve": [
        ("bytes32", "id"),
        ("address", "requester"),
        ("uint64", "expiry"),
        ("uint64", "deadline"),
    ],
    "Deny": [("bytes32", "id"), ("address", "requester"), ("uint64", "deadline")],
    "Revoke": [("bytes32", "id"), ("address", "requester"), ("uint64", "deadline")],
}
NONE, REQUESTED, APPROVED, DENIED, REVOKED = range(5)
_NUMBERS = count(5000)


class Asking:
    """One request for access, with the patient's key for it."""

    def __init__(self, grants: Contract, number: int = 0) -> None:
        self.grants, self.evm = grants, grants.evm
        number = number or next(_NUMBERS)
        self.key, self.id = key(number), tx.keccak256(b"request %d" % number)
        self.holder, self.requester = tx.address(self.key), tx.address(PROVIDER)

    @property
    def place(self) -> tuple[bytes, bytes, bytes]:
        return self.id, self.holder, self.requester

    def request(self, expiry: int = NEVER, sender: bytes = PROVIDER) -> None:
        self.grants.send(sender, "request", self.id, self.holder, expiry)

    def answer(self, kind: str, signer: bytes = b"", **changed: Any) -> tuple[Any, ...]:
        values: dict[str, Any] = {"id": self.id, "requester": self.requester, "deadline": NEVER}
        if kind == "Approve":
            values["expiry"] = NEVER
        values |= changed
        signed = {name: values[name] for _, name in FIELDS[kind]}
        sign = typed(self.evm, self.grants, kind, FIELDS[kind], **signed)
        expiry = (values["expiry"],) if kind == "Approve" else ()
        return *self.place, *expiry, values["deadline"], *sign(signer or self.key)

    def say(self, kind: str, **changed: Any) -> Any:
        return self.grants.send(RELAYER, kind.lower(), *self.answer(kind, **changed))

    def refused(self, kind: str, at: int | None = None, **changed: Any) -> str:
        return self.grants.refused(RELAYER, kind.lower(), *self.answer(kind, **changed), at=at)

    def status(self) -> int:
        return int(self.grants.ask("grantOf", *self.place)[1])

    def granted(self, at: int | None = None) -> bool:
        return bool(self.grants.ask("isGranted", *self.place, at=at))


@pytest.fixture(scope="module")
def grants(evm: Evm) -> Contract:
    return deploy(evm, "AccessGrants")


@pytest.fixture
def asking(grants: Contract) -> Asking:
    return Asking(grants)


def test_nothing_is_granted_that_nobody_asked_for(asking: Asking) -> None:
    assert not asking.granted()
    for kind in FIELDS:
        assert asking.refused(kind) == "WrongStatus"


def test_a_provider_asks_the_patient_approves_and_revokes(asking: Asking) -> None:
    mined = asking.grants.send(PROVIDER, "request", asking.id, asking.holder, NEVER)
    place = (asking.id, *("0x" + one.hex() for one in (asking.holder, asking.requester)))
    assert asking.grants.events(mined) == [("Requested", (*place, NEVER))]
    assert not asking.granted()
    assert asking.grants.events(asking.say("Approve")) == [("Approved", (*place, NEVER))]
    assert asking.granted()
    assert asking.grants.events(asking.say("Revoke")) == [("Revoked", place)]
    assert not asking.granted()
    assert asking.status() == REVOKED


def test_a_denied_request_stays_denied(asking: Asking) -> None:
    asking.request()
    asking.say("Deny")
    assert asking.status() == DENIED
    for kind in FIELDS:
        assert asking.refused(kind) == "WrongStatus"
    assert (
        asking.grants.refused(PROVIDER, "request", asking.id, asking.holder, NEVER) == "WrongStatus"
    )


def test_each_answer_is_given_once_and_in_its_order(asking: Asking) -> None:
    asking.request()
    assert asking.refused("Revoke") == "WrongStatus"
    approval = asking.answer("Approve")
    asking.grants.send(RELAYER, "approve", *approval)
    assert asking.grants.refused(RELAYER, "approve", *approval) == "WrongStatus"
    assert asking.refused("Deny") == "WrongStatus"
    asking.say("Revoke")
    assert asking.grants.refused(RELAYER, "approve", *approval) == "WrongStatus"
    assert asking.refused("Revoke") == "WrongStatus"


@pytest.mark.parametrize("kind", FIELDS)
def test_only_the_patients_own_words_about_this_request_count(asking: Asking, kind: str) -> None:
    asking.request()
    if kind == "Revoke":
        asking.say("Approve")
    other = deploy(asking.evm, "AccessGrants")
    before = asking.status()
    assert asking.refused(kind, signer=STRANGER) == "NotTheHolder"
    assert asking.refused(kind, signer=PROVIDER) == "NotTheHolder"
    assert asking.refused(kind, id=bytes(32)) == "NotTheHolder"
    assert asking.refused(kind, requester=tx.address(STRANGER)) == "NotTheHolder"
    good = asking.answer(kind)
    asking.grants, ours = other, asking.grants
    elsewhere = asking.answer(kind)
    asking.grants = ours
    assert ours.refused(RELAYER, kind.lower(), *elsewhere) == "NotTheHolder"
    later = (*good[:-3], NEVER - 1, *good[-2:])
    assert ours.refused(RELAYER, kind.lower(), *later) == "NotTheHolder"
    assert asking.status() == before


def test_a_denial_is_no_revocation_and_the_other_way(asking: Asking) -> None:
    """Deny and Revoke have the same fields; their types keep them apart."""
    asking.request()
    assert asking.grants.refused(RELAYER, "deny", *asking.answer("Revoke")) == "NotTheHolder"
    asking.say("Approve")
    assert asking.grants.refused(RELAYER, "revoke", *asking.answer("Deny")) == "NotTheHolder"
    assert asking.granted()


def test_an_approval_of_one_requester_is_none_of_another(asking: Asking) -> None:
    asking.request()
    thief = Asking(asking.grants)
    thief.key, thief.id, thief.holder = asking.key, asking.id, asking.holder
    thief.requester = tx.address(STRANGER)
    thief.request(sender=STRANGER)
    approval = asking.answer("Approve")
    moved = (*thief.place, *approval[3:])
    assert asking.grants.refused(STRANGER, "approve", *moved) == "NotTheHolder"
    asking.grants.send(RELAYER, "approve", *approval)
    assert asking.granted()
    assert not thief.granted()


def test_a_grant_holds_until_its_expiry_and_not_at_it(asking: Asking) -> None:
    asking.request()
    expiry = asking.evm.now + DAY
    asking.say("Approve", expiry=expiry)
    assert asking.granted(at=expiry - 1)
    assert not asking.granted(at=expiry)


def test_a_request_that_nobody_answered_can_not_be_approved_any_more(asking: Asking) -> None:
    expiry = asking.evm.now + DAY
    asking.request(expiry)
    assert asking.refused("Approve", at=expiry) == "ExpiryPassed"
    asking.say("Deny")


def test_what_has_expired_is_neither_asked_for_nor_granted(asking: Asking) -> None:
    at = asking.evm.now + 5
    assert (
        asking.grants.refused(PROVIDER, "request", asking.id, asking.holder, at, at=at)
        == "ExpiryPassed"
    )
    asking.request()
    late = asking.evm.now + 5
    assert asking.refused("Approve", expiry=late, at=late) == "ExpiryPassed"


def test_a_deadline_is_included_and_then_over(asking: Asking) -> None:
    asking.request()
    deadline = asking.evm.now + DAY
    assert asking.refused("Deny", deadline=deadline, at=deadline + 1) == "SignatureExpired"
    deadline = asking.evm.now + DAY
    answer = asking.answer("Approve", deadline=deadline)
    asking.grants.send(RELAYER, "approve", *answer, at=deadline)
    assert asking.granted()


def test_a_stranger_who_asks_with_the_same_id_takes_nothing_away(asking: Asking) -> None:
    asking.grants.send(STRANGER, "request", asking.id, asking.holder, NEVER)
    asking.request()
    asking.say("Approve")
    assert asking.granted()
