"""A patient ends her Consent on a chain, and then one here: a real server, a real node, an insurer who goes on asking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.rpc import Endpoint
from anchoring.registry.consents import Status, read_status, status_call
from anchoring.registry.node import JsonRpcNode
from fhir_server.commands.story import steps
from fhir_server.commands.story.asking import Reply
from fhir_server.commands.story.cast import INSURER, new_cast, register
from fhir_server.commands.story.errors import StoryError
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import DATABASE, Play, discover, strike
from fhir_server.commands.story.server import ServerProcess, environment
from fhir_server.commands.story.telling import Teller
from fhir_server.sample import people
from tests.anchoring.anvil import CHAIN_ID, Anvil, started
from tests.anchoring.contracts.evm import calldata
from tests.anchoring.registry.conftest import deployed, registry_on

_PATIENCE = 30.0  # seconds
ISSUER = tx.keccak256(b"an accreditor")
CREDENTIAL = tx.keccak256(b"the insurer's licence")


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def play(node: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """The story's clinic, whose Consents and credentials are on registries."""
    tmp_path = tmp_path_factory.mktemp("chain")
    cast, data = new_cast(()), tmp_path / DATABASE
    data.mkdir(mode=0o700)
    anchors = deployed(node, "AuditAnchor")
    licences = registry_on(node, governance=anchors, issuer=ISSUER)  # any contract will do
    chain = {
        "chain_url": node.url,
        "chain_id": str(CHAIN_ID),
        "chain_contract": "0x" + anchors.hex(),
        "chain_consents": "0x" + deployed(node, "ConsentRegistry").hex(),
        "chain_credentials": "0x" + licences.hex(),
        "chain_confirmations": "1",
    }
    settings = {**register(cast, tmp_path, ()).settings(), **chain}
    server = ServerProcess(data, tmp_path / "server.log", settings)
    server.start()
    log = (json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{")
    payer = next(line["payer"] for line in log if "payer" in line)
    node.give(bytes.fromhex(payer[2:]), 10**20)
    node.give(tx.address(ISSUER), 10**20)
    made = Play(
        *(tmp_path, server, cast, Teller(None), httpx2.Client(timeout=60)),
        discover(server.fhir),
    )
    made.kept["credentials"] = licences.hex()
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


def test_an_insurer_whose_licence_is_revoked_on_the_chain_gets_no_token(
    play: Play, node: Anvil
) -> None:
    registry = bytes.fromhex(play.kept["credentials"])

    def says(nonce: int, function: str, *args: object) -> None:
        call = calldata("CredentialRegistry", function, *args)
        content = tx.Transaction(CHAIN_ID, nonce, 0, 10**11, 200_000, registry, call)
        assert node.send(tx.sign(content, ISSUER).raw)["status"] == "0x1"

    def token() -> bool:
        play.callers.pop(INSURER, None)
        try:
            play.insurer()
        except StoryError:
            return False
        return True

    says(0, "attest", CREDENTIAL, 2, 2**62)
    command = ["credential", "bind", people.INSURER, f"0x{CREDENTIAL.hex()}", "--level", "2"]
    ran = subprocess.run(
        [sys.executable, "-m", "fhir_server", *command, "--data", str(play.server.data)],
        env=environment({"clients_file": str(play.folder / "clients.json")}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    until(token)  # heard of
    holding = play.insurer()
    require_status(holding.get(f"Claim?{play.about}"), 200)
    says(1, "revoke", CREDENTIAL)
    until(lambda: holding.get(f"Claim?{play.about}").status == 401)
    assert not token()
