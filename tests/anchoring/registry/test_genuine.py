"""Code of ours is told from any other, whatever its constructor wrote into it."""

from __future__ import annotations

import pytest

from anchoring.registry.genuine import is_genuine
from tests.anchoring.contracts.evm import artifact


@pytest.mark.parametrize("name", ["ConsentRegistry", "CredentialRegistry"])
def test_code_of_ours_is_told_from_any_other(name: str) -> None:
    runtime = bytes.fromhex(artifact(name)["runtimeBytecode"][2:])
    start, length = artifact(name)["immutables"][0]
    written = runtime[:start] + b"\x07" * length + runtime[start + length :]
    assert is_genuine(name, runtime)
    assert is_genuine(name, written)  # the constructor's own words
    for other in (b"", runtime[:-1], runtime + b"\x00", b"\x00" + runtime[1:]):
        assert not is_genuine(name, other)
