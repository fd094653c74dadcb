"""CredentialRegistry: admitted issuers attest, renew and revoke what is theirs; the institutions admit and dismiss."""

from __future__ import annotations

from itertools import count

import pytest

from anchoring.chain import transaction as tx
from tests.anchoring.contracts.evm import DAY, NEVER, Contract, deploy, key
from tests.anchoring.contracts.exchange import DEPLOYER, ISSUER, TIMELOCK, Exchange, Proposal

STRANGER, OTHER_ISSUER = key(3), key(9)
_NUMBERS = count()


def hexed(address: bytes) -> str:
    return "0x" + tx.address(address).hex()


@pytest.fixture
def registry(exchange: Exchange) -> Contract:
    return exchange.credentials


@pytest.fixture
def credential(registry: Contract) -> bytes:
    return tx.keccak256(b"credential %d" % next(_NUMBERS))


@pytest.fixture(scope="module")
def other_issuer(exchange: Exchange) -> bytes:
    exchange.decide(exchange.credentials, "admitIssuer", tx.address(OTHER_ISSUER))
    return OTHER_ISSUER


def test_what_nobody_attested_does_not_hold(registry: Contract, credential: bytes) -> None:
    assert registry.ask("credentialOf", credential) == ("0x" + bytes(20).hex(), 0, 0)
    for level in (0, 1):
        assert registry.ask("holds", credential, level) is False


def test_an_issuer_attests_renews_and_revokes(registry: Contract, credential: bytes) -> None:
    expiry = registry.evm.now + 30 * DAY
    mined = registry.send(ISSUER, "attest", credential, 2, expiry)
    assert registry.events(mined) == [("Attested", (credential, hexed(ISSUER), 2, expiry))]
    assert registry.ask("credentialOf", credential) == (hexed(ISSUER), expiry, 2)
    mined = registry.send(ISSUER, "renew", credential, 3, expiry + DAY)
    assert registry.events(mined) == [("Renewed", (credential, hexed(ISSUER), 3, expiry + DAY))]
    assert registry.ask("holds", credential, 3) is True
    mined = registry.send(ISSUER, "revoke", credential)
    assert registry.events(mined) == [("Revoked", (credential, hexed(ISSUER)))]
    for level in (0, 1, 2, 3):
        assert registry.ask("holds", credential, level) is False


def test_a_credential_holds_up_to_its_level_and_until_its_expiry(
    registry: Contract, credential: bytes
) -> None:
    expiry = registry.evm.now + DAY
    registry.send(ISSUER, "attest", credential, 2, expiry)
    assert [registry.ask("holds", credential, level) for level in (0, 1, 2, 3, 255)] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert registry.ask("holds", credential, 2, at=expiry - 1) is True
    assert registry.ask("holds", credential, 2, at=expiry) is False
    registry.send(ISSUER, "renew", credential, 1, expiry + DAY, at=expiry + 1)
    assert registry.ask("holds", credential, 1) is True
    assert registry.ask("holds", credential, 2) is False


def test_revoking_is_for_good(registry: Contract, credential: bytes) -> None:
    registry.send(ISSUER, "attest", credential, 1, NEVER)
    registry.send(ISSUER, "revoke", credential)
    assert registry.refused(ISSUER, "revoke", credential) == "RevokedAlready"
    assert registry.refused(ISSUER, "renew", credential, 1, NEVER) == "RevokedAlready"
    assert registry.refused(ISSUER, "attest", credential, 1, NEVER) == "AttestedAlready"


def test_whoever_is_not_admitted_attests_nothing(registry: Contract, credential: bytes) -> None:
    assert registry.refused(STRANGER, "attest", credential, 1, NEVER) == "NotAdmitted"
    registry.send(ISSUER, "attest", credential, 1, NEVER)
    assert registry.refused(STRANGER, "renew", credential, 2, NEVER) == "NotAdmitted"
    assert registry.refused(STRANGER, "revoke", credential) == "NotTheIssuer"


def test_an_issuer_does_not_touch_what_another_attested(
    registry: Contract, credential: bytes, other_issuer: bytes
) -> None:
    registry.send(ISSUER, "attest", credential, 1, NEVER)
    assert registry.refused(other_issuer, "attest", credential, 1, NEVER) == "AttestedAlready"
    assert registry.refused(other_issuer, "renew", credential, 2, NEVER) == "NotTheIssuer"
    assert registry.refused(other_issuer, "revoke", credential) == "NotTheIssuer"
    assert registry.refused(other_issuer, "revoke", bytes(32)) == "NotTheIssuer"
    assert registry.ask("holds", credential, 1) is True


def test_wrong_levels_and_expiries_are_refused(registry: Contract, credential: bytes) -> None:
    at = registry.evm.now + 10
    assert registry.refused(ISSUER, "attest", credential, 0, NEVER) == "NoLevel"
    assert registry.refused(ISSUER, "attest", credential, 1, at, at=at) == "ExpiryPassed"
    registry.send(ISSUER, "attest", credential, 1, NEVER)
    assert registry.refused(ISSUER, "renew", credential, 0, NEVER) == "NoLevel"
    assert registry.refused(ISSUER, "renew", credential, 1, 0) == "ExpiryPassed"


def test_credentials_of_a_dismissed_issuer_hold_no_longer(
    exchange: Exchange, credential: bytes, other_issuer: bytes
) -> None:
    registry, who = exchange.credentials, tx.address(other_issuer)
    revoked = tx.keccak256(credential)
    for one in (credential, revoked):
        registry.send(other_issuer, "attest", one, 1, NEVER)
    mined = exchange.decide(registry, "dismissIssuer", who)
    assert registry.events(mined) == [("IssuerDismissed", (hexed(other_issuer),))]
    assert registry.ask("holds", credential, 1) is False
    assert registry.refused(other_issuer, "renew", credential, 1, NEVER) == "NotAdmitted"
    registry.send(other_issuer, "revoke", revoked)  # to revoke is never too late
    exchange.decide(registry, "admitIssuer", who)
    assert registry.ask("holds", credential, 1) is True
    assert registry.ask("holds", revoked, 1) is False


def test_issuers_are_admitted_once_and_dismissed_once(exchange: Exchange) -> None:
    for function, who, error in (
        ("admitIssuer", tx.address(ISSUER), "AdmittedAlready"),
        ("admitIssuer", bytes(20), "AdmittedAlready"),
        ("dismissIssuer", tx.address(STRANGER), "NotAdmitted"),
    ):
        fresh = deploy(
            exchange.evm,
            "CredentialRegistry",
            exchange.timelock.address,
            [tx.address(ISSUER)],
        )
        assert refused_of_governance(exchange, fresh, function, who) == error


def refused_of_governance(exchange: Exchange, contract: Contract, function: str, who: bytes) -> str:
    """Decide on a call that the contract refuses; its error, which the timelock passes on."""
    proposal = Proposal(exchange, contract, function, who)
    proposal.pass_()
    at = proposal.queued.at + TIMELOCK
    return exchange.governor.refused(DEPLOYER, "execute", *proposal.hashed, at=at)
