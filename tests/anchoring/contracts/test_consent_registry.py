"""ConsentRegistry: a patient's key alone files, replaces and revokes, once each, whoever brings the signature."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from anchoring.chain import transaction as tx
from tests.anchoring.contracts.evm import DAY, NEVER, Contract, Evm, deploy, key, typed

RELAYER, STRANGER = key(2), key(3)
FILE = [("bytes32", "id"), ("uint64", "expiry"), ("uint64", "deadline")]
END = [("bytes32", "id"), ("uint64", "deadline")]
NONE, ACTIVE, REPLACED, REVOKED = range(4)
N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_NUMBERS = count(1000)


class Patient:
    """One version of a Consent with the key that is used for it only."""

    def __init__(self, registry: Contract, number: int = 0) -> None:
        self.registry, self.evm = registry, registry.evm
        number = number or next(_NUMBERS)
        self.key, self.id = key(number), tx.keccak256(b"commitment %d" % number)
        self.holder = tx.address(self.key)

    def filing(
        self, expiry: int = NEVER, deadline: int = NEVER, signer: bytes = b"", **other: Any
    ) -> tuple[Any, ...]:
        registry, id_ = other.get("registry", self.registry), other.get("id_", self.id)
        evm = other.get("evm", self.evm)
        sign = typed(evm, registry, "File", FILE, id=id_, expiry=expiry, deadline=deadline)
        return self.id, self.holder, expiry, deadline, *sign(signer or self.key)

    def ending(
        self, kind: str, deadline: int = NEVER, signer: bytes = b"", **other: Any
    ) -> tuple[Any, ...]:
        registry, id_ = other.get("registry", self.registry), other.get("id_", self.id)
        sign = typed(self.evm, registry, kind, END, id=id_, deadline=deadline)
        return self.id, self.holder, deadline, *sign(signer or self.key)

    def file(self, **how: Any) -> None:
        self.registry.send(RELAYER, "file", *self.filing(**how))

    def status(self) -> tuple[int, int]:
        """Status and expiry."""
        expiry, status = self.registry.ask("versionOf", self.holder, self.id)
        return status, expiry

    def active(self, at: int | None = None) -> bool:
        return bool(self.registry.ask("isActive", self.holder, self.id, at=at))


@pytest.fixture(scope="module")
def registry(evm: Evm) -> Contract:
    return deploy(evm, "ConsentRegistry")


@pytest.fixture
def patient(registry: Contract) -> Patient:
    return Patient(registry)


class OtherChain:
    """The same words, said about another chain."""

    def __init__(self, evm: Evm) -> None:
        self.chain_id = evm.chain_id + 1


def test_nothing_is_active_before_it_is_filed(patient: Patient) -> None:
    assert patient.status() == (NONE, 0)
    assert not patient.active()


def test_a_version_is_filed_by_whoever_brings_the_patients_signature(patient: Patient) -> None:
    mined = patient.registry.send(STRANGER, "file", *patient.filing(expiry=NEVER))
    assert patient.registry.events(mined) == [
        ("Filed", (patient.id, "0x" + patient.holder.hex(), NEVER))
    ]
    assert patient.status() == (ACTIVE, NEVER)
    assert patient.active()


@pytest.mark.parametrize(("kind", "status"), [("Replace", REPLACED), ("Revoke", REVOKED)])
def test_a_version_ends_by_the_patients_signature(patient: Patient, kind: str, status: int) -> None:
    patient.file()
    mined = patient.registry.send(STRANGER, kind.lower(), *patient.ending(kind))
    assert patient.registry.events(mined) == [
        (f"{kind.rstrip('e')}ed", (patient.id, "0x" + patient.holder.hex()))
    ]
    assert patient.status() == (status, NEVER)
    assert not patient.active()


def test_a_version_that_was_replaced_can_still_be_revoked_but_not_the_other_way(
    patient: Patient,
) -> None:
    patient.file()
    patient.registry.send(RELAYER, "replace", *patient.ending("Replace"))
    patient.registry.send(RELAYER, "revoke", *patient.ending("Revoke"))
    assert patient.registry.refused(RELAYER, "replace", *patient.ending("Replace")) == "WrongStatus"
    assert patient.status()[0] == REVOKED


def test_a_revocation_that_comes_before_the_filing_wins(patient: Patient) -> None:
    patient.registry.send(RELAYER, "revoke", *patient.ending("Revoke"))
    assert patient.registry.refused(RELAYER, "file", *patient.filing()) == "WrongStatus"
    assert not patient.active()


def test_nothing_is_replaced_that_was_not_filed(patient: Patient) -> None:
    assert patient.registry.refused(RELAYER, "replace", *patient.ending("Replace")) == "WrongStatus"


def test_signatures_can_not_be_replayed(patient: Patient) -> None:
    filing, replacing, revoking = (
        patient.filing(),
        patient.ending("Replace"),
        patient.ending("Revoke"),
    )
    patient.registry.send(RELAYER, "file", *filing)
    assert patient.registry.refused(STRANGER, "file", *filing) == "WrongStatus"
    patient.registry.send(RELAYER, "replace", *replacing)
    assert patient.registry.refused(STRANGER, "replace", *replacing) == "WrongStatus"
    assert patient.registry.refused(STRANGER, "file", *filing) == "WrongStatus"
    patient.registry.send(RELAYER, "revoke", *revoking)
    assert patient.registry.refused(STRANGER, "revoke", *revoking) == "WrongStatus"
    assert patient.registry.refused(STRANGER, "file", *filing) == "WrongStatus"
    assert patient.status()[0] == REVOKED


def test_a_signature_is_good_for_one_chain_contract_request_and_record(patient: Patient) -> None:
    registry, evm = patient.registry, patient.evm
    other = deploy(evm, "ConsentRegistry")
    wrong = [
        patient.filing(evm=OtherChain(evm)),
        patient.filing(registry=other),
        patient.filing(id_=bytes(32)),
        patient.filing(signer=STRANGER),
        (*patient.filing()[:3], NEVER - 1, *patient.filing()[4:]),  # a later deadline than signed
        (*patient.filing()[:2], NEVER - 1, *patient.filing()[3:]),  # another expiry than signed
    ]
    for args in wrong:
        assert registry.refused(RELAYER, "file", *args) in ("NotTheHolder", "ECDSAInvalidSignature")
    patient.file()
    ends = [
        ("revoke", patient.ending("Replace")),
        ("replace", patient.ending("Revoke")),
        ("revoke", patient.ending("Revoke", registry=other)),
        ("revoke", patient.ending("Revoke", id_=bytes(32))),
        ("revoke", patient.ending("Revoke", signer=STRANGER)),
        ("replace", patient.ending("Replace", signer=STRANGER)),
        ("revoke", (*patient.ending("Revoke")[:3], bytes(32), bytes(32))),
    ]
    for function, args in ends:
        assert registry.refused(RELAYER, function, *args) in (
            "NotTheHolder",
            "ECDSAInvalidSignature",
        )
    assert patient.status() == (ACTIVE, NEVER)


def test_a_stranger_takes_no_id_away_by_filing_it_first(patient: Patient) -> None:
    thief = Patient(patient.registry)
    thief.id = patient.id
    thief.file()
    patient.file()
    assert patient.active()
    thief.registry.send(STRANGER, "revoke", *thief.ending("Revoke"))
    assert patient.active()


def test_a_patients_key_revokes_nobody_elses_version(patient: Patient) -> None:
    patient.file()
    other = Patient(patient.registry)
    other.id, other.holder = patient.id, patient.holder
    assert patient.registry.refused(RELAYER, "revoke", *other.ending("Revoke")) == "NotTheHolder"
    assert patient.active()


def test_a_deadline_is_included_and_then_over(patient: Patient) -> None:
    deadline = patient.evm.now + DAY
    filing = patient.filing(deadline=deadline)
    patient.registry.send(RELAYER, "file", *filing, at=deadline)
    late = patient.ending("Revoke", deadline=deadline)
    assert patient.registry.refused(RELAYER, "revoke", *late, at=deadline + 1) == "SignatureExpired"
    assert patient.active()


def test_a_version_holds_until_its_expiry_and_not_at_it(patient: Patient) -> None:
    expiry = patient.evm.now + DAY
    patient.file(expiry=expiry)
    assert patient.active(at=expiry - 1)
    assert not patient.active(at=expiry)
    patient.registry.send(RELAYER, "revoke", *patient.ending("Revoke"), at=expiry + 5)
    assert patient.status() == (REVOKED, expiry)


def test_nothing_is_filed_that_has_expired(patient: Patient) -> None:
    expiry = patient.evm.now + DAY
    filing = patient.filing(expiry=expiry)
    assert patient.registry.refused(RELAYER, "file", *filing, at=expiry) == "ExpiryPassed"
    assert patient.registry.refused(RELAYER, "file", *patient.filing(expiry=0)) == "ExpiryPassed"


def test_a_signature_has_no_second_spelling(patient: Patient) -> None:
    """With s' = n - s and the other parity, plain ECDSA would accept the same signature once more."""
    *args, r, vs = patient.filing()
    s = int.from_bytes(vs, "big") & (2**255 - 1)
    parity = int.from_bytes(vs, "big") >> 255
    twins = {(parity << 255 | (N - s)) % 2**256, ((1 - parity) << 255 | (N - s)) % 2**256}
    for twin in twins:
        said = patient.registry.refused(RELAYER, "file", *args, r, twin.to_bytes(32, "big"))
        assert said in ("NotTheHolder", "ECDSAInvalidSignature", "ECDSAInvalidSignatureS")
    high = (parity << 255) | (2**255 - 1)  # above n / 2, and expressible
    assert (
        patient.registry.refused(RELAYER, "file", *args, r, high.to_bytes(32, "big"))
        == "ECDSAInvalidSignatureS"
    )


def test_nobody_is_no_holder(registry: Contract) -> None:
    """A signature that recovers to nothing must not pass for the address zero."""
    args = (bytes(32), bytes(20), NEVER, NEVER, bytes(32), bytes(32))
    assert registry.refused(STRANGER, "file", *args) == "ECDSAInvalidSignature"


def test_two_versions_share_no_word_on_the_chain(registry: Contract) -> None:
    """What an observer could link one patient's records by (EDPB Guidelines 02/2025)."""
    seen = []
    for days in (400, 500):
        one = Patient(registry)
        words: set[bytes] = set()
        filing = one.filing(expiry=registry.evm.now + days * DAY, deadline=registry.evm.now + 600)
        mined = registry.send(RELAYER, "file", *filing)
        ended = registry.send(
            RELAYER, "replace", *one.ending("Replace", deadline=registry.evm.now + 700)
        )
        for part in (mined, ended):
            words |= {part.calldata[at : at + 32] for at in range(4, len(part.calldata), 32)}
            for _, topics, data in part.logs:
                words |= {*topics[1:], data}
        seen.append(words - {b""})
    assert not seen[0] & seen[1]
