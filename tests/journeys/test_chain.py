"""A patient ends her Consent on a chain, and then one here: a real server, a real node, an insurer who goes on asking."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from anchoring import transaction as tx
from anchoring.registry.consents import Status, read_status, status_call
from anchoring.registry.node import JsonRpcNode
from anchoring.rpc import Endpoint
from fhir_server.commands.story import steps
from fhir_server.commands.story.asking import Reply
from fhir_server.commands.story.cast import new_cast, register
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import DATABASE, Play, discover, strike
from fhir_server.commands.story.server import ServerProcess
from fhir_server.commands.story.telling import Teller
from tests.anchoring.anvil import CHAIN_ID, Anvil, started
from tests.anchoring.registry.conftest import deployed

_PATIENCE = 30.0  # seconds


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


@pytest.fixture
def node() -> Iterator[Anvil]:
    with started() as running:
        yield running


@pytest.fixture
def play(node: Anvil, tmp_path: Path) -> Iterator[Play]:
    """The story's clinic, whose Consents are on a registry."""
    cast, data = new_cast(()), tmp_path / DATABASE
    data.mkdir(mode=0o700)
    chain = {
        "chain_url": node.url,
        "chain_id": str(CHAIN_ID),
        "chain_contract": "0x" + deployed(node, "AuditAnchor").hex(),
        "chain_consents": "0x" + deployed(node, "ConsentRegistry").hex(),
        "chain_confirmations": "1",
    }
    settings = {**register(cast, tmp_path, ()).settings(), **chain}
    server = ServerProcess(data, tmp_path / "server.log", settings)
    server.start()
    log = (json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{")
    payer = next(line["payer"] for line in log if "payer" in line)
    node.give(bytes.fromhex(payer[2:]), 10**20)
    made = Play(
        *(tmp_path, server, cast, Teller(None), httpx2.Client(timeout=60)),
        discover(server.fhir),
    )
    yield made
    strike(made)


def word(play: Play) -> dict[str, str]:
    """The patient's signed revocation, once her Consent is on the chain."""
    target = f"Consent/{play.consent['id']}/$chain-revocation"
    found: list[Reply] = []

    def there() -> bool:
        found.append(play.person(play.user).get(target))
        return found[-1].status == 200

    until(there)
    parameters = found[-1].value["parameter"]
    assert isinstance(parameters, list)
    return {each["name"]: each["valueString"] for each in parameters}


def test_either_place_alone_is_enough_to_deny(play: Play, node: Anvil) -> None:
    claims = f"Claim?{play.about}&_total=accurate"
    asked = JsonRpcNode(Endpoint(node.url, 5.0))
    for step in (steps.load_chart, steps.file_consent):
        step(play)
    require_exactly(play.insurer().get(claims), play.of("Claim"))
    said = word(play)
    holder, id_, registry = (bytes.fromhex(said[name][2:]) for name in ("holder", "id", "to"))

    def status() -> Status:
        return read_status(asked.call(registry, status_call(holder, id_)))

    until(lambda: status() is Status.ACTIVE)
    os.kill(play.server.pid, signal.SIGKILL)  # she does it while the server is gone
    content = tx.Transaction(
        CHAIN_ID, 0, 0, 10**11, 200_000, registry, bytes.fromhex(said["data"][2:])
    )
    assert node.send(tx.sign(content, node.account()).raw)["status"] == "0x1"
    play.server.stop()
    play.server.start()
    until(lambda: play.insurer().get(claims).total == 0)
    kept = require_status(play.person(play.user).get(f"Consent/{play.consent['id']}"), 200)
    assert kept.value["status"] == "inactive"

    steps.file_consent(play)  # she files another one, and revokes it here
    require_exactly(play.insurer().get(claims), play.of("Claim"))
    said = word(play)
    holder, id_, registry = (bytes.fromhex(said[name][2:]) for name in ("holder", "id", "to"))
    until(lambda: status() is Status.ACTIVE)
    ended = json.dumps({**play.consent, "status": "inactive"}).encode()
    node.freeze()  # the chain hangs
    require_status(play.person(play.user).put(f"Consent/{play.consent['id']}", ended), 200)
    require_exactly(play.insurer().get(claims), ())
    node.thaw()
    until(lambda: status() is Status.REVOKED)
