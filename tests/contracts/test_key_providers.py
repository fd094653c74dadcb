"""The contract of key providers, over a key file, a real SoftHSM2 token, and a transit engine.

The engine is a real server where ``VAULT_ADDR`` and ``VAULT_TOKEN`` name one (its mount ``transit`` must be enabled);
otherwise it is the one of ``key_providers.py``, whose answers were written by hand from the API's documentation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from fhir_server.app import close_house, open_house
from fhir_server.crypto.choosing import erasures_file, key_provider
from fhir_server.crypto.provider import kek_of, named
from fhir_server.errors import KeyProviderUnavailableError, SettingsError, WrongKeyError
from fhir_server.settings import Settings

from .key_providers import ROOT, TOKEN, Engine, key_in_token, make_token, module, serve

KINDS = ("file", "pkcs11", "vault")


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A token of SoftHSM2."""
    module()
    make_token(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    made = Engine()
    with serve(made) as url:
        yield made, url


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that name a KEK which is not there yet."""
    if request.param == "file":
        return Settings(data=tmp_path, key_file=str(tmp_path / "kek"))
    if request.param == "pkcs11":
        request.getfixturevalue("token")
        return Settings(data=tmp_path, key_provider=key_in_token(tmp_path))
    if "VAULT_ADDR" in os.environ:
        url, secret = os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"]
    else:
        url, secret = request.getfixturevalue("engine")[1], ROOT
    provider = f"vault+{url}/transit/kek-{uuid4().hex[:8]}"
    return Settings(data=tmp_path, key_provider=provider, key_secret=secret)


def test_what_is_wrapped_opens_with_the_same_purpose_only(settings: Settings) -> None:
    keys = key_provider(settings, may_create=True)
    wrapped = keys.wrap(b"k" * 40, b"data-key|a")
    assert b"k" * 40 not in wrapped
    assert keys.unwrap(wrapped, b"data-key|a") == b"k" * 40
    assert keys.is_current(wrapped)
    for purpose in (b"data-key|b", b"", b"data-key|a "):
        with pytest.raises(WrongKeyError):
            keys.unwrap(wrapped, purpose)


def test_no_byte_can_be_changed_and_none_cut_off(settings: Settings) -> None:
    keys = key_provider(settings, may_create=True)
    wrapped = keys.wrap(b"k" * 40, b"p")
    start = len(wrapped) - len(kek_of(wrapped)[1])
    for at in (0, 1, 2, start - 1, start + 9, len(wrapped) - 8):
        turned = bytearray(wrapped)
        turned[at] ^= 1
        with pytest.raises(WrongKeyError):
            keys.unwrap(bytes(turned), b"p")
    for cut in (b"", b"\x02", b"\x02\x05ab", wrapped[:-5], wrapped[3:], named(keys.name, b"")):
        with pytest.raises(WrongKeyError):
            keys.unwrap(cut, b"p")


def test_a_wrap_is_fresh_each_time_and_names_its_kek(settings: Settings) -> None:
    keys = key_provider(settings, may_create=True)
    one, two = keys.wrap(b"k", b"p"), keys.wrap(b"k", b"p")
    assert one != two
    assert kek_of(one)[0] == keys.name != ""


def test_the_kek_is_found_again_and_made_only_where_that_is_allowed(settings: Settings) -> None:
    with pytest.raises(WrongKeyError, match=r"missing|needed"):
        key_provider(settings, may_create=False)
    wrapped = key_provider(settings, may_create=True).wrap(b"k", b"p")
    assert key_provider(settings, may_create=False).unwrap(wrapped, b"p") == b"k"
    assert key_provider(settings, may_create=True).unwrap(wrapped, b"p") == b"k"


def test_another_kek_is_named_in_the_refusal(settings: Settings, tmp_path: Path) -> None:
    keys = key_provider(settings, may_create=True)
    wrapped = keys.wrap(b"k", b"p")
    other = key_provider(Settings(data=tmp_path, key_file=str(tmp_path / "other")), may_create=True)
    with pytest.raises(WrongKeyError, match=keys.name):
        other.unwrap(wrapped, b"p")
    with pytest.raises(WrongKeyError, match=keys.name):
        other.require(keys.name)


def test_a_former_kek_opens_and_does_not_wrap(settings: Settings, tmp_path: Path) -> None:
    former = key_provider(settings, may_create=True)
    wrapped = former.wrap(b"k", b"p")
    name = settings.key_provider or f"file:{settings.key_file}"
    both = key_provider(
        replace(settings, key_provider="", key_file=str(tmp_path / "new"), key_former=(name,)),
        may_create=True,
    )
    assert both.unwrap(wrapped, b"p") == b"k"
    assert not both.is_current(wrapped)
    assert kek_of(both.wrap(b"k", b"p"))[0] == both.name != former.name


def test_threads_may_use_it_at_once(settings: Settings) -> None:
    from concurrent.futures import ThreadPoolExecutor

    keys = key_provider(settings, may_create=True)
    with ThreadPoolExecutor(8) as pool:
        wrapped = list(pool.map(lambda n: keys.wrap(b"%d" % n, b"p"), range(40)))
        opened = list(pool.map(lambda w: keys.unwrap(w, b"p"), wrapped))
    assert opened == [b"%d" % n for n in range(40)]


@pytest.mark.usefixtures("token")
def test_a_key_in_a_token_can_not_be_read_out(tmp_path: Path) -> None:
    import pkcs11

    uri = key_in_token(tmp_path)
    key_provider(Settings(data=tmp_path, key_provider=uri), may_create=True)
    label = uri.partition("object=")[2].partition("?")[0]
    with pkcs11.lib(module()).get_token(token_label=TOKEN).open() as session:
        key = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, label=label)
        assert (key[pkcs11.Attribute.SENSITIVE], key[pkcs11.Attribute.EXTRACTABLE]) == (True, False)
        with pytest.raises(pkcs11.PKCS11Error):
            key[pkcs11.Attribute.VALUE]


@pytest.mark.usefixtures("token")
def test_a_session_that_broke_is_opened_anew(tmp_path: Path) -> None:
    keys = key_provider(
        Settings(data=tmp_path, key_provider=key_in_token(tmp_path)), may_create=True
    )
    wrapped = keys.wrap(b"k", b"p")
    for work in (
        lambda: keys.unwrap(wrapped, b"p"),
        lambda: keys.unwrap(keys.wrap(b"k", b"p"), b"p"),
    ):
        keys._providers[0]._session.close()  # type: ignore[attr-defined]
        assert work() == b"k"


@pytest.mark.usefixtures("token")
def test_a_token_that_is_not_there_is_refused_in_one_sentence(tmp_path: Path) -> None:
    uri = key_in_token(tmp_path).replace(f"token={TOKEN}", "token=nobodys")
    with pytest.raises(SettingsError, match=r"nobodys.*can not be opened"):
        key_provider(Settings(data=tmp_path, key_provider=uri), may_create=True)


@pytest.mark.usefixtures("token")
def test_a_wrong_pin_is_refused_without_being_quoted(tmp_path: Path) -> None:
    """In a process of its own: in this one the token is open already."""
    uri = key_in_token(tmp_path)
    (tmp_path / "pin").write_text("999999")
    program = (
        "import sys; from pathlib import Path; from fhir_server.settings import Settings;"
        "from fhir_server.crypto.choosing import key_provider;"
        "key_provider(Settings(data=Path('.'), key_provider=sys.argv[1]), may_create=True)"
    )
    ran = subprocess.run([sys.executable, "-c", program, uri], capture_output=True, text=True)
    assert "SettingsError" in ran.stderr
    assert "can not be opened (PinIncorrect)" in ran.stderr
    assert "999999" not in ran.stderr


@pytest.mark.parametrize(
    "name",
    [
        "pkcs11:", "pkcs11:token=a", "pkcs11:token=a;object=b", "pkcs11:token=a;object=b?pin-value=1&module-path=/x",
        "pkcs11:token=a;object=b;slot-id=1?module-path=/x", "vault+https://host", "vault+https://host/only",
        "vault+https://u:p@host/a/b",
        "vault+http://vault.example.org/transit/kek", "vault+https://host/a/b?token=x", "http://host/a/b",
        "nothing", "file", "hsm:x",
    ],
)  # fmt: skip
def test_a_provider_that_is_not_well_named_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="key_provider"):
        key_provider(Settings(data=tmp_path, key_provider=name), may_create=True)


def test_a_module_that_is_not_there_is_refused(tmp_path: Path) -> None:
    name = "pkcs11:token=a;object=b?module-path=/nowhere.so"
    with pytest.raises(KeyProviderUnavailableError, match="does not answer"):
        key_provider(Settings(data=tmp_path, key_provider=name), may_create=True)


def test_an_engine_that_is_sealed_or_gone_is_told_apart_from_a_wrong_key(
    engine: tuple[Engine, str], tmp_path: Path
) -> None:
    vault, url = engine
    settings = Settings(data=tmp_path, key_provider=f"vault+{url}/transit/kek", key_secret=ROOT)
    keys = key_provider(settings, may_create=True)
    wrapped = keys.wrap(b"k", b"p")
    vault.sealed = True
    with pytest.raises(KeyProviderUnavailableError):
        keys.unwrap(wrapped, b"p")
    with pytest.raises(KeyProviderUnavailableError):
        keys.wrap(b"k", b"p")
    vault.sealed = False
    assert keys.unwrap(wrapped, b"p") == b"k"
    gone = replace(settings, key_provider="vault+http://127.0.0.1:9/transit/kek")
    with pytest.raises(KeyProviderUnavailableError, match=r"127\.0\.0\.1:9/transit/kek"):
        key_provider(gone, may_create=False)


def test_a_token_that_may_not_use_the_key_is_refused_without_being_quoted(
    engine: tuple[Engine, str], tmp_path: Path
) -> None:
    name = f"vault+{engine[1]}/transit/kek"
    with pytest.raises(SettingsError, match="may not use") as refused:
        key_provider(
            Settings(data=tmp_path, key_provider=name, key_secret="s.secret"), may_create=True
        )
    assert "s.secret" not in str(refused.value)


def test_a_token_that_has_expired_is_told_apart_from_a_wrong_key(
    engine: tuple[Engine, str], tmp_path: Path
) -> None:
    settings = Settings(
        data=tmp_path, key_provider=f"vault+{engine[1]}/transit/kek", key_secret=ROOT
    )
    keys = key_provider(settings, may_create=True)
    wrapped = keys.wrap(b"k", b"p")
    engine[0].token = "another"
    for work in (lambda: keys.wrap(b"k", b"p"), lambda: keys.unwrap(wrapped, b"p")):
        with pytest.raises(KeyProviderUnavailableError, match="Forbidden"):
            work()


def test_an_engine_is_never_made_to_invent_a_missing_key(
    engine: tuple[Engine, str], tmp_path: Path
) -> None:
    settings = Settings(
        data=tmp_path, key_provider=f"vault+{engine[1]}/transit/kek", key_secret=ROOT
    )
    with pytest.raises(WrongKeyError):
        key_provider(settings, may_create=False)
    assert engine[0].keys == {}


def test_a_key_that_was_rotated_in_the_engine_opens_and_is_not_current(
    engine: tuple[Engine, str], tmp_path: Path
) -> None:
    settings = Settings(
        data=tmp_path, key_provider=f"vault+{engine[1]}/transit/kek", key_secret=ROOT
    )
    keys = key_provider(settings, may_create=True)
    wrapped = keys.wrap(b"k", b"p")
    engine[0].answer("POST", "/v1/transit/keys/kek/rotate", ROOT, {})
    again = key_provider(settings, may_create=False)
    assert again.unwrap(wrapped, b"p") == b"k"
    assert not again.is_current(wrapped)
    assert again.is_current(again.wrap(b"k", b"p"))


async def test_a_server_starts_with_it_and_not_without(settings: Settings) -> None:
    await close_house(await open_house(settings))
    await close_house(await open_house(settings))
    name = key_provider(settings, may_create=False).name
    other = replace(
        settings,
        key_provider="",
        key_file=str(settings.data / "other"),
        erasures=str(erasures_file(settings)),
    )
    key_provider(other, may_create=True)
    with pytest.raises(WrongKeyError, match=name):
        await open_house(other)
    former = settings.key_provider or f"file:{settings.key_file}"
    await close_house(await open_house(replace(other, key_former=(former,))))
    with pytest.raises(WrongKeyError):  # both are needed now, until it is rotated
        await open_house(other)
