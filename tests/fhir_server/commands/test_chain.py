"""``consentry chain`` on a real node: from no contract to an anchored log, and to another key that pays."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from anchoring.chain import transaction as tx
from anchoring.errors import ChainUnavailableError, WrongChainError
from fhir_server.__main__ import main
from fhir_server.app import clock, close_house, open_house
from fhir_server.commands import chain
from fhir_server.crypto.providers.local import LocalKeyProvider, new_key_material
from fhir_server.settings import Settings, read_settings
from tests.anchoring.anvil import Anvil
from tests.fhir_server.clinic import open_clinic, patient

NEW_KEY = tx.keccak256(b"the key that comes next; ours")


class Operator:
    """Who runs commands; ``settings`` are those of the server."""

    def __init__(self, node: Anvil, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.node = node
        self._capsys = capsys
        self.environment = {
            "CONSENTRY_DATA": str(data),
            "CONSENTRY_KEY": b64encode(new_key_material()).decode(),
            "CONSENTRY_CHAIN_URL": node.url,
            "CONSENTRY_CHAIN_CONFIRMATIONS": "1",
            "CONSENTRY_ANCHOR_INTERVAL": "0",
        }

    def settings(self) -> Settings:
        return read_settings(self.environment)

    def runs(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        code = main(["chain", *arguments])
        said = self._capsys.readouterr()
        return code, said.out + said.err


@pytest.fixture
def operator(
    anvil: Anvil,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Operator:
    monkeypatch.setattr(chain, "_PAUSE", 0.02)
    return Operator(anvil, tmp_path / "data", capsys)


def test_from_no_contract_to_an_anchored_log_and_to_another_key(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, said = operator.runs(monkeypatch, "account")
    assert code == 0
    first = bytes.fromhex(re.search(r"account: 0x([0-9a-f]{40})", said)[1])  # type: ignore[index]
    code, said = operator.runs(monkeypatch, "deploy")
    assert (code, "insufficient funds" in said) == (2, True)
    operator.node.give(first, 10**18)
    code, said = operator.runs(monkeypatch, "deploy")
    assert code == 0
    told = dict(re.findall(r"(CONSENTRY_CHAIN_\w+)=(\w+)", said))
    assert set(told) == {f"CONSENTRY_CHAIN_{n}" for n in ("CONTRACT", "ID", "GENESIS", "CODE")}
    operator.environment |= told
    code, said = operator.runs(monkeypatch, "grant", "0x" + "ab" * 20)
    assert (code, "has not yet" in said) == (2, True)
    asyncio.run(use(operator.settings(), "one"))
    code, said = operator.runs(monkeypatch, "status")
    assert code == 0
    assert re.search(r"log +(\d+) events, \1 of them anchored", said)
    assert "may anchor this log" in said
    new = tx.address(NEW_KEY)
    operator.node.give(new, 10**18)
    assert operator.runs(monkeypatch, "grant", "0x" + new.hex())[0] == 0
    key = tmp_path / "key"
    key.write_text(NEW_KEY.hex() + "\n")
    code, said = operator.runs(monkeypatch, "account", "--import", str(key))
    assert (code, NEW_KEY.hex() in said, first.hex() in said, new.hex() in said) == (
        *(0, False),
        *(True, True),
    )
    asyncio.run(use(operator.settings(), "two"))
    assert operator.runs(monkeypatch, "revoke", "0x" + first.hex())[0] == 0
    asyncio.run(use(operator.settings(), "three"))
    code, said = operator.runs(monkeypatch, "status")
    assert (code, new.hex() in said) == (0, True)


async def use(settings: Settings, id_: str) -> None:
    """Write something, so that there is something to anchor, and anchor it."""
    clinic = await open_clinic(settings.data, keys=LocalKeyProvider(b64decode(settings.key)))
    await clinic.put(patient(id_))
    await clinic.close()
    house = await open_house(settings)
    for _ in range(2000):
        if await house.anchorer.run_once(clock()) is not None:
            break
        await asyncio.sleep(0.005)
    assert house.anchorer.lag == 0
    await close_house(house)


def test_a_server_starts_without_its_chain_and_anchors_when_that_comes(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, said = operator.runs(monkeypatch, "account")
    operator.node.give(bytes.fromhex(said.strip()[-40:]), 10**18)
    _, said = operator.runs(monkeypatch, "deploy")
    operator.environment |= dict(re.findall(r"(CONSENTRY_CHAIN_\w+)=(\w+)", said))
    there = operator.settings()
    away = replace(there, chain_url="http://127.0.0.1:9")
    assert asyncio.run(lag_of(away, "one")) > 0
    asyncio.run(use(there, "two"))


def test_a_server_does_not_start_on_another_chain_than_its_settings_name(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.environment["CONSENTRY_CHAIN_CONTRACT"] = "0x" + "ab" * 20
    settings = operator.settings()
    for wrong in ({}, {"chain_id": 1}, {"chain_genesis": "0x" + "ab" * 32}):
        with pytest.raises(WrongChainError):
            asyncio.run(lag_of(replace(settings, **wrong), "one"))  # type: ignore[arg-type]


async def lag_of(settings: Settings, id_: str) -> int:
    """Write something with the chain as it is; what is left to be anchored after a run."""
    settings.data.mkdir(mode=0o700, exist_ok=True)
    clinic = await open_clinic(settings.data, keys=LocalKeyProvider(b64decode(settings.key)))
    await clinic.put(patient(id_))
    await clinic.close()
    house = await open_house(settings)
    with pytest.raises(ChainUnavailableError):
        await house.anchorer.run_once(clock())
    lag = house.anchorer.lag
    told = house.anchoring.measures(house.anchorer, clock())
    assert (told.lag, told.stopped) == (lag, 0)
    await close_house(house)
    return lag


@pytest.mark.parametrize("text", ["", "0x12", "g" * 64, "0" * 64, "f" * 64, "00" * 33])
def test_what_is_no_private_key_is_not_taken(
    text: str, operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(text)
    code, said = operator.runs(monkeypatch, "account", "--import", str(key))
    assert (code, "64 hex digits" in said) == (2, True)


@pytest.mark.parametrize("address", ["", "0x12", "g" * 40, "00" * 21])
def test_what_is_no_address_is_not_granted(
    address: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.environment["CONSENTRY_CHAIN_CONTRACT"] = "0x" + "ab" * 20
    code, said = operator.runs(monkeypatch, "grant", address)
    assert (code, "40 hex digits" in said) == (2, True)


def test_without_a_chain_of_its_own_there_is_nothing_to_do(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.environment["CONSENTRY_CHAIN_URL"] = ""
    code, said = operator.runs(monkeypatch, "status")
    assert (code, "chain_url" in said) == (2, True)
