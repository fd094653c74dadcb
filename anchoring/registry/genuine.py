"""Telling code of ours from any other, by the artifacts that the compiler made."""

import json
from functools import cache
from pathlib import Path

_CONTRACTS = Path(__file__).parents[1] / "contracts"


def is_genuine(name: str, code: bytes) -> bool:
    """Tell whether code at an address is a contract's, apart from what its constructor wrote into it.

    Args:
        name: Of the contract, such as ``ConsentRegistry``.
        code: What a node says lies there.
    """
    runtime, immutables = _artifact(name)
    found = bytearray(code)
    for start, length in immutables:
        found[start : start + length] = bytes(length)
    return bytes(found) == runtime


@cache
def _artifact(name: str) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """Give the code that lies at an address, and where words are written into it."""
    made = json.loads((_CONTRACTS / f"{name}.json").read_text("utf-8"))
    immutables = tuple((int(start), int(length)) for start, length in made["immutables"])
    return bytes.fromhex(made["runtimeBytecode"][2:]), immutables
