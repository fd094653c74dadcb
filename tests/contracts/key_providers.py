"""Key providers for the contract tests: a key file, a SoftHSM2 token, a transit engine."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
TOKEN, PIN = "a-token", "246810"
ROOT = "root-of-tests"


def module() -> str:
    """The PKCS#11 module of SoftHSM2; skips, saying why, where Debian's package ``softhsm2`` is not installed."""
    found = next((path for path in MODULES if Path(path).exists()), "")
    if not found or not shutil.which("softhsm2-util"):
        pytest.skip("no SoftHSM2 here: apt-get install softhsm2")
    return found


def make_token(folder: Path) -> None:
    """A fresh token in a folder that is the module's from now on: it reads its settings once in a process."""
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN]
    subprocess.run([*command, "--so-pin", "13579"], check=True, capture_output=True)


def key_in_token(folder: Path) -> str:
    """The RFC 7512 URI of a key that is still to be made, with a file for its PIN."""
    (folder / "pin").write_text(f"{PIN}\n")
    path = f"token={TOKEN};object=kek-{secrets.token_hex(4)}"
    return f"pkcs11:{path}?module-path={module()}&pin-source={folder / 'pin'}"


class Engine:
    """A transit engine as the HTTP API's documentation describes it: what it answers was written by hand from there.

    https://developer.hashicorp.com/vault/api-docs/secret/transit (and the same page of OpenBao), sections "Create key",
    "Read key", "Encrypt data", "Decrypt data", "Rotate key".
    """

    def __init__(self) -> None:
        self.keys: dict[str, list[bytes]] = {}
        self.sealed = False
        self.token = ROOT
        self.asked: list[tuple[str, str]] = []

    def answer(
        self, method: str, path: str, token: str, body: dict[str, str]
    ) -> tuple[int, object]:
        self.asked.append((method, path))
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != self.token:
            return 403, {"errors": ["permission denied"]}
        _, _, mount, verb, name, *rest = path.split("/")
        if mount != "transit":
            return 404, {"errors": [f'no handler for route "{mount}/{verb}/{name}"']}
        if verb == "keys":
            return self._key(method, name, rest)
        return getattr(self, f"_{verb}")(name, body)  # type: ignore[no-any-return]

    def _key(self, method: str, name: str, rest: list[str]) -> tuple[int, object]:
        if method == "GET" and name not in self.keys:
            return 404, {"errors": []}
        if method != "GET":
            self.keys.setdefault(name, [])
            if rest == ["rotate"] or not self.keys[name]:
                self.keys[name].append(secrets.token_bytes(32))
        data = {"name": name, "type": "aes256-gcm96", "latest_version": len(self.keys[name])}
        return 200, {"data": data}

    def _encrypt(self, name: str, body: dict[str, str]) -> tuple[int, object]:
        versions = self.keys.setdefault(
            name, [secrets.token_bytes(32)]
        )  # as the engine does: an upsert
        nonce = secrets.token_bytes(12)
        plain, aad = base64.b64decode(body["plaintext"]), base64.b64decode(body["associated_data"])
        sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, plain, aad)
        text = f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"
        return 200, {"data": {"ciphertext": text, "key_version": len(versions)}}

    def _decrypt(self, name: str, body: dict[str, str]) -> tuple[int, object]:
        if name not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        try:
            _, version, text = body["ciphertext"].split(":")
            sealed = base64.b64decode(text, validate=True)
            key = AESGCM(self.keys[name][int(version[1:]) - 1])
            plain = key.decrypt(sealed[:12], sealed[12:], base64.b64decode(body["associated_data"]))
        except (ValueError, IndexError, InvalidTag):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


@contextmanager
def serve(engine: Engine) -> Iterator[str]:
    """Serve an engine on a free port of this machine; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length) or b"{}")
            token = self.headers.get("x-vault-token", "")
            status, content = engine.answer(self.command, self.path, token, body)
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
