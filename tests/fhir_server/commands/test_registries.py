"""``consentry registries`` on a real node: an exchange is founded from the command line."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

import pytest

from anchoring.registry import founding
from fhir_server.__main__ import main
from fhir_server.crypto.providers.local import new_key_material
from tests.anchoring.anvil import CHAIN_ID, Anvil

SEAT = "0x" + "11" * 20


@pytest.fixture(autouse=True)
def _environment(anvil: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "_PAUSE", 0.01)
    for name, value in {
        "DATA": str(tmp_path / "data"),
        "KEY": b64encode(new_key_material()).decode(),
        "CHAIN_URL": anvil.url,
        "CHAIN_ID": str(CHAIN_ID),
    }.items():
        monkeypatch.setenv(f"CONSENTRY_{name}", value)


def test_an_exchange_is_founded_by_the_account_that_pays(
    anvil: Anvil, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registries", "account"]) == 0
    account = re.search(r"account: 0x([0-9a-f]{40})", capsys.readouterr().out)
    assert account is not None
    anvil.give(bytes.fromhex(account[1]), 10**19)
    assert main(["registries", "deploy", "--institution", SEAT, "--timelock", "0"]) == 0
    said = capsys.readouterr().out
    settings = dict(re.findall(r"CONSENTRY_CHAIN_(\w+)=(0x[0-9a-f]{40})", said))
    assert set(settings) >= {"CONSENTS", "CREDENTIALS"}
    for at in settings.values():
        assert len(anvil.rpc("eth_getCode", at, "latest")) > 1000


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--institution", "0x11"],
        ["--institution", "no address"],
        ["--institution", SEAT, "--issuer", "0x" + "11" * 32],
        ["--institution", SEAT, "--policy", SEAT],
        ["--institution", SEAT, "--quorum", "0"],
        ["--institution", SEAT, "--quorum", "101"],
        ["--institution", SEAT, "--vote", "-1"],
        ["--institution", SEAT, "--delay", "nan"],
        ["--institution", SEAT, "--timelock", "400"],
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(
    anvil: Anvil, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = anvil.block
    assert main(["registries", "deploy", *wrong]) == 2
    assert capsys.readouterr().err
    assert anvil.block == before
