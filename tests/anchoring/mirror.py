"""A little client of C2SP tlog-tiles that shares no code with the log: it fetches all, and proves the checkpoint."""

import base64
import hashlib
import time
from dataclasses import dataclass

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

_PATIENCE = 30.0  # seconds for the first checkpoint


@dataclass
class Mirror:
    """All of a log, fetched over HTTP."""

    note: str
    origin: str
    size: int
    root: bytes
    entries: list[bytes]
    leaves: list[bytes]

    def everything(self) -> bytes:
        return self.note.encode() + b"".join(self.entries) + b"".join(self.leaves)


def mirrored(client: httpx2.Client) -> Mirror:
    """Fetch the newest checkpoint and all that it covers; nothing is proved by that."""
    note = _checkpoint(client)
    origin, size, root = note.split("\n\n")[0].split("\n")
    count = int(size)
    entries = [entry for path in _paths(count) for entry in _bundle(client, path)]
    hashes = b"".join(_got(client, f"tile/0/{path}") for path in _paths(count))
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    return Mirror(note, origin, count, base64.b64decode(root), entries, leaves)


def prove(mirror: Mirror, vkeys: list[str]) -> None:
    """Compare entries with leaves, the root with the leaves, and both signatures with the note."""
    assert [hashlib.sha256(b"\x00" + entry).digest() for entry in mirror.entries] == mirror.leaves
    assert len(mirror.leaves) == mirror.size
    assert _root(mirror.leaves) == mirror.root
    body, _, lines = mirror.note.partition("\n\n")
    signed = {base64.b64decode(line.split(" ")[2])[:4]: base64.b64decode(line.split(" ")[2])[4:]
              for line in lines.splitlines()}  # fmt: skip
    for vkey in vkeys:
        name, id_, material = vkey.split("+", 2)
        key, signature = base64.b64decode(material), signed[bytes.fromhex(id_)]
        assert name == mirror.origin
        if key[0] == 1:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, f"{body}\n".encode())
        else:
            origin = bytes([len(name)]) + name.encode()
            message = b"subtree/v1\n\x00" + origin + signature[:8] + origin + bytes(8)
            message += mirror.size.to_bytes(8, "big") + mirror.root
            MLDSA44PublicKey.from_public_bytes(key[1:]).verify(signature[8:], message)


def _checkpoint(client: httpx2.Client) -> str:
    until = time.monotonic() + _PATIENCE
    while (answer := client.get("/log/checkpoint")).status_code == 404:
        assert time.monotonic() < until, "no checkpoint was signed"
        time.sleep(0.2)
    assert answer.status_code == 200
    return answer.text


def _paths(size: int) -> list[str]:
    full, rest = divmod(size, 256)
    assert full < 1000, "tests have small logs"
    return [f"{n:03}" for n in range(full)] + ([f"{full:03}.p/{rest}"] if rest else [])


def _bundle(client: httpx2.Client, path: str) -> list[bytes]:
    content, entries = _got(client, f"tile/entries/{path}"), []
    while content:
        length = int.from_bytes(content[:2], "big")
        entries.append(content[2 : 2 + length])
        content = content[2 + length :]
    return entries


def _got(client: httpx2.Client, path: str) -> bytes:
    answer = client.get(f"/log/{path}")
    assert answer.status_code == 200, path
    return answer.content


def _root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + _root(leaves[:k]) + _root(leaves[k:])).digest()
