"""What is wanted comes true on the chain: over crashes, reorganisations, stuck transactions and wrong wishes."""

from __future__ import annotations

from itertools import count

import pytest

from anchoring.chain import transaction as tx
from anchoring.errors import ChainUnavailableError
from anchoring.registry.consents import ConsentWish as Wish
from anchoring.registry.consents import Holder, Status, change_call
from anchoring.registry.relaying import Payer, Relay

from .conftest import LATER, Registry

_NUMBERS = count()


@pytest.fixture
def relay(registry: Registry) -> Relay:
    return Relay(
        registry.node, registry.domain, Payer(registry.payer), lambda: 3600 + next(_NUMBERS)
    )


def wishes(registry: Registry, *wanted: Status) -> list[Wish]:
    return [Wish(registry.holder(), status) for status in wanted]


def until_true(relay: Relay, wanted: list[Wish], confirmations: int = 1) -> int:
    """How many rounds it takes."""
    for rounds in range(1, 50):
        done = relay.round(wanted, confirmations, 0.0)
        wanted = [wish for wish in wanted if wish not in done]
        if not wanted:
            return rounds
    raise AssertionError("it never came true")


def test_versions_are_filed_replaced_and_revoked(registry: Registry, relay: Relay) -> None:
    filed = wishes(registry, *[Status.ACTIVE] * 5)
    assert relay.round(filed, 1, 0.0) == []
    until_true(relay, filed)
    assert {registry.status(wish.holder) for wish in filed} == {Status.ACTIVE}
    ended = [Wish(filed[0].holder, Status.REPLACED), Wish(filed[1].holder, Status.REVOKED)]
    until_true(relay, ended)
    found = [registry.status(wish.holder) for wish in filed]
    assert found == [Status.REPLACED, Status.REVOKED, *[Status.ACTIVE] * 3]


def test_what_is_true_is_not_sent_again(registry: Registry, relay: Relay) -> None:
    filed = wishes(registry, Status.ACTIVE)
    until_true(relay, filed)
    before = registry.node.means(tx.address(registry.payer)).nonce
    assert relay.round(filed, 1, 0.0) == filed
    assert registry.node.means(tx.address(registry.payer)).nonce == before


def test_a_version_that_was_never_filed_is_revoked_but_not_replaced(
    registry: Registry, relay: Relay
) -> None:
    replaced, revoked = wishes(registry, Status.REPLACED, Status.REVOKED)
    assert relay.round([replaced], 1, 0.0) == [replaced]
    until_true(relay, [revoked])
    assert registry.status(replaced.holder) is Status.NONE
    assert registry.status(revoked.holder) is Status.REVOKED


def test_an_expired_version_wants_nothing(registry: Registry, relay: Relay) -> None:
    gone = Wish(registry.holder(expiry=1), Status.ACTIVE)
    assert relay.round([gone], 1, 0.0) == [gone]
    assert registry.status(gone.holder) is Status.NONE


def test_a_wish_that_the_registry_refuses_costs_nothing_and_holds_up_nobody(
    registry: Registry, relay: Relay
) -> None:
    wanted = wishes(registry, Status.ACTIVE, Status.ACTIVE)
    short = Relay(registry.node, registry.domain, Payer(registry.payer), lambda: -1)
    assert short.round(wanted, 1, 0.0) == []  # its signatures have expired
    assert registry.node.means(tx.address(registry.payer)).nonce == 0
    until_true(relay, wanted)


def test_what_goes_wrong_is_told_once_not_every_second(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    poor = Relay(registry.node, registry.domain, Payer(tx.keccak256(b"poor")), lambda: 3600)
    wanted = wishes(registry, Status.ACTIVE)
    for now in (0.0, 1.0, 2.0):
        assert poor.round(wanted, 1, now) == []
    assert [(each.message, each.reason) for each in caplog.records] == [  # type: ignore[attr-defined]
        ("not relayed", "insufficient funds for gas * price + value")
    ]


def test_what_waits_for_a_block_is_not_sent_twice_and_pays_more_when_it_is_stuck(
    registry: Registry, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.anvil.automine(False)
    wanted = wishes(registry, Status.ACTIVE, Status.ACTIVE)
    assert relay.round(wanted, 1, 0.0) == []
    assert registry.node.means(tx.address(registry.payer)).waiting == 2
    sent: list[bytes] = []
    send = registry.node.send
    monkeypatch.setattr(registry.node, "send", lambda raw: sent.append(raw) or send(raw))
    relay.round(wanted, 1, 1.0)
    relay.round(wanted, 1, 30.0)
    assert sent == []
    relay.round(wanted, 1, 100.0)
    relay.round(wanted, 1, 200.0)
    read = [tx.read(raw).content for raw in sent]
    assert [content.nonce for content in read] == [0, 1, 0, 1]
    assert read[2].fee >= read[0].fee * 9 // 8
    assert read[2].priority_fee > read[0].priority_fee
    registry.anvil.mine()
    registry.anvil.automine(True)
    until_true(relay, wanted)


def test_a_fee_has_a_cap(registry: Registry) -> None:
    cap = 3 * 10**9
    capped = Relay(registry.node, registry.domain, Payer(registry.payer, cap), lambda: 3600)
    registry.anvil.automine(False)
    wanted = wishes(registry, Status.ACTIVE)
    for now in (0.0, 100.0, 200.0, 300.0, 400.0):
        capped.round(wanted, 1, now)
    waiting = registry.anvil.rpc("txpool_content")["pending"]
    fees = [int(one["maxFeePerGas"], 16) for each in waiting.values() for one in each.values()]
    assert max(fees) <= cap


def test_what_a_reorganisation_took_away_is_sent_again(registry: Registry, relay: Relay) -> None:
    wanted = wishes(registry, Status.ACTIVE)
    registry.anvil.mine(5)
    assert relay.round(wanted, 3, 0.0) == []
    assert registry.status(wanted[0].holder) is Status.ACTIVE
    assert relay.round(wanted, 3, 0.0) == []  # there, but not for good
    registry.anvil.reorg(1)
    assert registry.status(wanted[0].holder) is Status.NONE
    relay.round(wanted, 3, 0.0)
    registry.anvil.mine(3)
    assert relay.round(wanted, 3, 0.0) == wanted
    assert registry.status(wanted[0].holder) is Status.ACTIVE


def test_a_relay_that_died_between_two_sends_leaves_nothing_to_mend(registry: Registry) -> None:
    wanted = wishes(registry, *[Status.ACTIVE] * 3)

    class DiesError(Exception):
        pass

    class Dying:
        def __init__(self) -> None:
            self.sent = 0

        def __getattr__(self, name: str) -> object:
            return getattr(registry.node, name)

        def send(self, raw: bytes) -> str:
            if self.sent:
                raise DiesError
            self.sent += 1
            return registry.node.send(raw)

    payer = Payer(registry.payer)
    dying = Relay(Dying(), registry.domain, payer, lambda: 3600)  # type: ignore[arg-type]
    with pytest.raises(DiesError):
        dying.round(wanted, 1, 0.0)
    until_true(Relay(registry.node, registry.domain, payer, lambda: 3600), wanted)


def test_a_strangers_revocation_is_not_the_holders(registry: Registry, relay: Relay) -> None:
    (wanted,) = wishes(registry, Status.ACTIVE)
    until_true(relay, [wanted])
    forged = Holder(wanted.holder.id, registry.holder().key, LATER)
    call = change_call(registry.domain, forged, Status.REVOKED, LATER)
    assert registry.send(call)  # a version of the stranger's own, under the same id
    assert registry.status(wanted.holder) is Status.ACTIVE


def test_a_node_that_is_gone_is_no_answer(registry: Registry) -> None:
    from anchoring.chain.rpc import Endpoint
    from anchoring.registry.node import JsonRpcNode

    gone = JsonRpcNode(Endpoint("http://127.0.0.1:9", 1.0))
    relay = Relay(gone, registry.domain, Payer(registry.payer), lambda: 3600)
    with pytest.raises(ChainUnavailableError):
        relay.round(wishes(registry, Status.ACTIVE), 1, 0.0)
