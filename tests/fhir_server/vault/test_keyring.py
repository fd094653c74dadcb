"""Data keys in memory: each is unwrapped once, and a key provider that is down closes what needs it, on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.crypto.keychain import Keychain
from fhir_server.errors import KeyProviderUnavailableError

from ..clinic import HOUSE, Clinic, key_provider, observation, open_clinic, patient


class Wavering:
    """A remote provider that can be switched off, and counts."""

    def __init__(self) -> None:
        self._inner = key_provider()
        self.name = self._inner.name
        self.remote = True
        self.down = False
        self.unwrapped = 0

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        self._up()
        return self._inner.wrap(key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        self._up()
        self.unwrapped += 1
        return self._inner.unwrap(wrapped, purpose)

    def is_current(self, wrapped: bytes) -> bool:
        return self._inner.is_current(wrapped)

    def refresh(self) -> None:
        """There is one key."""

    def _up(self) -> None:
        if self.down:
            raise KeyProviderUnavailableError("the key provider 'test' does not answer")


async def _started_anew(clinic: Clinic, keys: Wavering) -> Clinic:
    await clinic.close()
    return await open_clinic(clinic.path.parent, keys=keys)


@pytest.fixture
async def filled(clinic: Clinic) -> Clinic:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        for number in range(5):
            await clinic.put(observation(f"{id_}-{number}", id_))
    return clinic


async def test_a_key_is_unwrapped_once_however_it_is_asked_for(filled: Clinic) -> None:
    keys = Wavering()
    again = await _started_anew(filled, keys)
    await again.get(HOUSE, "Observation?subject=Patient/a")
    after_first = keys.unwrapped
    for url in ("Observation/a-1", "Patient/a", "Observation?subject=Patient/a", "Observation/a-2"):
        assert (await again.get(HOUSE, url)).status == 200
    assert keys.unwrapped - after_first <= 1  # that of the type Patient's own search, at most
    await again.close()


async def test_a_provider_that_is_down_closes_what_needs_a_new_key_and_nothing_else(
    filled: Clinic,
) -> None:
    keys = Wavering()
    again = await _started_anew(filled, keys)
    await again.get(HOUSE, "Observation/a-1")
    await again.ask(None, "GET", "Patient/a")  # a refusal for nobody: its key is known from now on
    keys.down = True
    log = again.log_size()
    assert (await again.get(HOUSE, "Observation/a-2")).status == 200
    closed = await again.get(HOUSE, "Observation/b-1")
    assert closed.status == 503
    assert closed.json["issue"][0]["code"] == "transient"
    assert (await again.ask(HOUSE, "PUT", "Patient/new", patient("new"))).status == 503
    assert again.log_size() == log + 3
    keys.down = False
    assert (await again.get(HOUSE, "Observation/b-1")).status == 200
    assert (await again.get(HOUSE, "Patient/new")).status == 404
    await again.close()


async def test_a_keychain_looks_again_for_a_key_that_it_does_not_have(tmp_path: Path) -> None:
    del tmp_path
    keys = Wavering()
    chain = Keychain([keys], lambda: [keys])
    assert chain.remote
    assert chain.unwrap(chain.wrap(b"k", b"p"), b"p") == b"k"
