"""Key files and wrapped keys: what is wrong stops the start in one sentence that says what to do."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from fhir_server.crypto.choosing import key_provider
from fhir_server.crypto.keychain import Keychain
from fhir_server.crypto.provider import kek_of
from fhir_server.crypto.providers.local import (
    LocalKeyProvider,
    from_file,
    from_text,
    new_key_material,
    retire_file,
    rotate_file,
)
from fhir_server.errors import ConsentryError, SettingsError, WrongKeyError
from fhir_server.settings import Settings


@pytest.fixture(scope="module")
def provider() -> LocalKeyProvider:
    return LocalKeyProvider(new_key_material())


def test_a_wrapped_key_opens_for_its_purpose_only(provider: LocalKeyProvider) -> None:
    wrapped = provider.wrap(b"k" * 32, b"data-key|a")
    assert provider.unwrap(wrapped, b"data-key|a") == b"k" * 32
    for purpose in (b"data-key|b", b"", b"data-key|a "):
        with pytest.raises(WrongKeyError):
            provider.unwrap(wrapped, purpose)


def test_no_byte_of_a_wrapped_key_can_be_changed(provider: LocalKeyProvider) -> None:
    wrapped = provider.wrap(b"k" * 32, b"p")
    for at in (0, 1, 5, 500, 1100, len(wrapped) - 1):
        turned = bytearray(wrapped)
        turned[at] ^= 1
        with pytest.raises(WrongKeyError):
            provider.unwrap(bytes(turned), b"p")
    for cut in (b"", b"\x01", wrapped[:-1], wrapped + b"\x00", wrapped[1:]):
        with pytest.raises(WrongKeyError):
            provider.unwrap(cut, b"p")


def test_another_key_opens_nothing_and_says_what_to_do(provider: LocalKeyProvider) -> None:
    wrapped = provider.wrap(b"k" * 32, b"p")
    with pytest.raises(WrongKeyError, match="give back the key"):
        LocalKeyProvider(new_key_material()).unwrap(wrapped, b"p")


def test_a_wrap_is_post_quantum_sized_and_fresh_each_time(provider: LocalKeyProvider) -> None:
    """MLKEM768_X25519: 1,088 + 32 bytes of encapsulation before the ciphertext and tag."""
    one, two = provider.wrap(b"k" * 32, b"p"), provider.wrap(b"k" * 32, b"p")
    assert one != two
    assert len(one) == 1 + 1 + len(provider.name) + 1088 + 32 + 32 + 16


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "x", "ä", "====", "AAAA", "a" * 400,
        base64.b64encode(b"\x02" + bytes(96)).decode(),
        base64.b64encode(b"\x01" + bytes(95)).decode(),
        base64.b64encode(b"\x01" + bytes(97)).decode(),
    ],
)  # fmt: skip
def test_a_text_that_is_no_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        from_text(text)
    assert not text.strip() or text not in str(refused.value)


def test_a_key_file_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "key"
    (first,) = from_file(path, may_create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    wrapped = first.wrap(b"k", b"p")
    assert from_file(path, may_create=False)[0].unwrap(wrapped, b"p") == b"k"
    assert from_file(path, may_create=True)[0].unwrap(wrapped, b"p") == b"k"


def test_a_missing_key_file_is_not_made_anew_beside_a_database(tmp_path: Path) -> None:
    with pytest.raises(WrongKeyError, match="put it back"):
        from_file(tmp_path / "key", may_create=False)
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o777, 0o610])
def test_a_key_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    from_file(path, may_create=True)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        from_file(path, may_create=True)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", "ä".encode(), b"AAAA", b"\x00" * 97])
def test_a_key_file_with_other_content_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConsentryError):
        from_file(path, may_create=False)


def test_a_key_file_that_cannot_be_made_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConsentryError):
        from_file(tmp_path / "nowhere" / "key", may_create=True)
    with pytest.raises(ConsentryError):
        from_file(tmp_path, may_create=True)


def test_what_was_wrapped_before_keys_had_names_still_opens(provider: LocalKeyProvider) -> None:
    older = b"\x01" + kek_of(provider.wrap(b"k", b"p"))[1]
    assert provider.unwrap(older, b"p") == b"k"
    assert not provider.is_current(older)
    former = LocalKeyProvider(new_key_material())
    keys = Keychain([former, provider], list)
    assert keys.unwrap(older, b"p") == b"k"
    with pytest.raises(WrongKeyError):
        Keychain([former], list).unwrap(older, b"p")


def test_a_rotated_file_holds_both_keys_until_the_old_one_is_retired(tmp_path: Path) -> None:
    path = tmp_path / "key"
    (old,) = from_file(path, may_create=True)
    rotate_file(path)
    new, former = from_file(path, may_create=False)
    assert (former.name, new.name != old.name) == (old.name, True)
    assert path.stat().st_mode & 0o777 == 0o600
    (kept,) = retire_file(path)
    assert [key.name for key in from_file(path, may_create=False)] == [new.name]
    assert [key.name for key in from_file(kept, may_create=False)] == [old.name]
    assert {file.name for file in tmp_path.iterdir()} == {"key", kept.name}
    assert retire_file(path) == []


def test_a_server_that_runs_finds_the_new_key_of_its_file(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    running = key_provider(settings, may_create=True)
    rotate_file(tmp_path / "consentry.key")
    other = key_provider(settings, may_create=False)
    assert running.unwrap(other.wrap(b"k", b"p"), b"p") == b"k"
    assert running.name == other.name
