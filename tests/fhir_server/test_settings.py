"""Settings: every one documented, every unsafe one refused in a sentence that names it."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from fhir_server.app import open_house
from fhir_server.errors import SettingsError
from fhir_server.settings import FILE, PREFIX, Settings, read_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
SAFE = {
    "env": "production", "policy": "opt-in", "base_url": "https://fhir.example.org", "key": "x", "chain_url": "https://rpc.example.org",
    "chain_contract": "0x" + "ab" * 20, "erasures": "/srv/erasures",
}  # fmt: skip


def test_each_setting_stands_in_the_page_and_the_page_names_no_other() -> None:
    named = set(re.findall(r"^\| `(CONSENTRY_\w+)`", PAGE.read_text(), re.MULTILINE))
    assert named - {FILE} == {f"{PREFIX}{f.name.upper()}" for f in fields(Settings)}


def test_the_defaults_of_the_page_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| `CONSENTRY_(\w+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    defaults = {f.name.upper(): f.default for f in fields(Settings)}
    for name, told in rows:
        default = defaults.get(name)
        if isinstance(default, timedelta):
            default = int(default.total_seconds())
        if isinstance(default, int) and default:
            assert told.strip().replace(",", "") == str(default).lower(), name


def test_variables_win_over_the_file_and_options_over_both(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('port = 1\nhost = "a"\ntenant = "file"\nbreak_glass = ["Organization/er"]\n')
    environment = {FILE: str(file), "CONSENTRY_PORT": "2", "CONSENTRY_HOST": "b", "OTHER": "x"}
    read = read_settings(environment, port=3)
    assert (read.port, read.host, read.tenant) == (3, "b", "file")
    assert read.break_glass == ("Organization/er",)
    assert read_settings({}, port=None).port == 8080


def test_types_are_read_from_text() -> None:
    read = read_settings(
        {
            "CONSENTRY_CURSOR_LIFETIME": "90",
            "CONSENTRY_BREAK_GLASS": "Organization/a, Group/b,",
            "CONSENTRY_DATA": "somewhere",
        }
    )
    assert read.cursor_lifetime == timedelta(seconds=90)
    assert read.break_glass == ("Organization/a", "Group/b")
    assert read.data == Path("somewhere")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENV", "prod"), ("ENV", ""), ("POLICY", "allow-all"),
        ("POLICY", "hipaa-tpo,"), ("POLICY", "opt-in, part2"), ("LOG_LEVEL", "loud"), ("PORT", "x"), ("PORT", "-1"),
        ("PORT", "70000"), ("PORT", "1.5"), ("PAGE_SIZE", "0"), ("PAGE_SIZE", "2000"), ("MAX_PAGE_SIZE", "-3"),
        ("MAX_BODY_BYTES", "0"), ("MAX_BUNDLE_BYTES", ""), ("MAX_CANDIDATES", "0"), ("ANCHOR_EVENTS", "0"),
        ("CUSTODIAN", "our clinic"), ("CUSTODIAN", ""), ("CUSTODIAN", "Patient/1"), ("ZONE", "Mars/Base"), ("ZONE", "../x"),
        ("ZONE", ""), ("BASE_URL", "fhir.example.org"), ("BASE_URL", "http://fhir.example.org"), ("BASE_URL", "ftp://localhost"),
        ("BASE_URL", "https://fhir.example.org/fhir"), ("BASE_URL", "https://fhir.example.org/"), ("BASE_URL", "https://"),
        ("BASE_URL", "https://x?y"), ("CURSOR_LIFETIME", "soon"), ("CURSOR_LIFETIME", "nan"), ("CURSOR_LIFETIME", "inf"),
        ("CURSOR_LIFETIME", "-5"), ("CURSOR_LIFETIME", "0"), ("ANCHOR_INTERVAL", "-1"), ("CHAIN_CONFIRMATIONS", "-1"),
        ("TENANT", ""), ("STORE", "postgres://db/consentry"), ("STORE", "consentry.sqlite"), ("STORE", "http://db"),
    ],
)  # fmt: skip
def test_an_unsafe_or_malformed_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name.lower()):
        read_settings({f"CONSENTRY_{name}": value})


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown setting: plicy"):
        read_settings({"CONSENTRY_PLICY": "opt-in"})
    (tmp_path / "s.toml").write_text("prt = 1")
    with pytest.raises(SettingsError, match="prt"):
        read_settings({FILE: str(tmp_path / "s.toml")})


@pytest.mark.parametrize("content", [b"port = ", b"\xff", b"[port]\nx=1"])
def test_a_settings_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.toml").write_bytes(content)
    for file in (tmp_path / "s.toml", tmp_path / "missing.toml", tmp_path):
        with pytest.raises(SettingsError):
            read_settings({FILE: str(file)})


def test_two_factors_are_required_in_production_unless_the_operator_says_otherwise() -> None:
    assert read_settings({}).second_factor_rule == "optional"
    assert read_settings({}, second_factor="required").second_factor_rule == "required"
    assert read_settings({}, **SAFE).second_factor_rule == "required"
    assert read_settings({}, **SAFE, second_factor="optional").second_factor_rule == "optional"
    with pytest.raises(SettingsError, match="second_factor"):
        read_settings({}, second_factor="sometimes")


def test_production_refuses_each_default_that_is_safe_at_home_only() -> None:
    assert Settings(**SAFE).policy_name == "opt-in"  # type: ignore[arg-type]
    for name in ("policy", "base_url", "key", "chain_url", "erasures"):
        with pytest.raises(SettingsError, match=name):
            Settings(**{**SAFE, name: ""})  # type: ignore[arg-type]


def test_production_asks_its_database_over_tls() -> None:
    for url in ("mongodb://db/consentry", "mongodb://db/consentry?tls=false"):
        with pytest.raises(SettingsError, match="TLS"):
            Settings(**SAFE, store=url)  # type: ignore[arg-type]
    for url in ("mongodb://db/consentry?replicaSet=a&tls=true", "mongodb+srv://db/consentry"):
        Settings(**SAFE, store=url)  # type: ignore[arg-type]


def test_a_key_and_the_password_of_a_database_are_not_shown() -> None:
    assert "s3cret" not in repr(Settings(key="s3cret"))
    assert "s3cret" not in repr(Settings(store="mongodb://us:s3cret@db/consentry"))


@pytest.mark.parametrize("contract", ["", "0x12", "AuditAnchor", "0x" + "g" * 40])
def test_a_chain_needs_the_address_of_its_contract(contract: str) -> None:
    with pytest.raises(SettingsError, match="chain_contract"):
        Settings(chain_url="http://localhost:8545", chain_contract=contract)
    Settings(chain_url="http://localhost:8545", chain_contract="0x" + "ab" * 20)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chain_url", "ftp://node"),
        ("chain_url", "https://one.example,node"),
        ("chain_genesis", "0x12"),
        ("chain_code", "g" * 64),
        ("chain_confirmations", "0"),
        ("chain_confirmations", "safe"),
        ("chain_confirmations", ""),
        ("chain_fee_cap", "0"),
        ("chain_priority_cap", "0"),
        ("chain_timeout", "0"),
        ("chain_timeout", "301"),
        ("chain_assurance", "certain"),
        ("anchor_late", "-1"),
    ],
)
def test_how_the_chain_is_used_is_refused_where_it_makes_no_sense(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({}, **{"chain_contract": "ab" * 20, name: value})


def test_a_chain_has_several_nodes_in_their_order_and_their_keys_are_not_shown() -> None:
    urls = "https://one.example/s3cret, https://two.example"
    settings = Settings(chain_url=urls, chain_contract="ab" * 20, chain_confirmations="finalized")
    assert settings.chain_urls == ("https://one.example/s3cret", "https://two.example")
    assert "s3cret" not in repr(settings)
    assert Settings().chain_urls == ()


async def test_a_chain_with_another_id_refuses_to_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chain_id"):
        await open_house(Settings(data=tmp_path / "data", chain_id=1))


@pytest.mark.parametrize(("said", "read"), [("true", True), ("FALSE", False)])
def test_a_switch_is_true_or_false(said: str, read: bool) -> None:
    assert read_settings({"CONSENTRY_SHOW_REDACTION": said}).show_redaction is read


@pytest.mark.parametrize("said", ["", "1", "no", "on"])
def test_a_switch_is_nothing_else(said: str) -> None:
    with pytest.raises(SettingsError, match="show_redaction"):
        read_settings({"CONSENTRY_SHOW_REDACTION": said})
