"""Where apps of tests are served, on an origin of its own, and how these apps are registered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from fhir_server.sample import people
from smart_auth.people.passwords import HashCost, hash_password
from smart_auth.tokens.jwt import Jwk, generate_client_key, public_jwks

LAUNCH = "openid fhirUser launch launch/patient launch/encounter offline_access online_access"
SCOPE = f"{LAUNCH} patient/*.cruds user/*.cruds"
CALLBACK = "http://127.0.0.1/callback"
SECRET = "the secret of an app that keeps one"
APP_PURPOSES = ("TREAT", "PATRQT")


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class AppSite:
    """A web server for apps.

    Attributes:
        url: Without a trailing slash.
        folder: What is put in here is served.
        keys: Private keys of backend services, by client_id.
        app_key: Private key of ``jwt-app``, ES384.
    """

    url: str
    folder: Path
    keys: Mapping[str, Jwk] = field(repr=False)
    app_key: Jwk = field(repr=False)

    def clients(self) -> list[dict[str, object]]:
        """The registered apps, as a clients file has them."""
        return [
            _app("js-app", [f"{self.url}/index.html"], f"{self.url}/launch.html"),
            _app("py-app", [CALLBACK]),
            {
                **_app("py-web-app", [CALLBACK]),
                "kind": "confidential-symmetric",
                "secret_hash": hash_password(SECRET, HashCost(memory=8, passes=1, lanes=1)),
            },
            {
                **_app("jwt-app", [CALLBACK], f"{self.url}/launch.html"),
                "kind": "confidential-asymmetric",
                "jwks": public_jwks(self.app_key),
            },
            *(self._backend(client_id) for client_id in self.keys),
        ]

    def key_file(self, client_id: str, folder: Path) -> Path:
        """A JWKS file with the client's private key."""
        path = folder / f"{client_id}.jwks"
        key = {**self.keys[client_id], "key_ops": ["sign"]}
        path.write_text(json.dumps({"keys": [key]}))
        return path

    def _backend(self, client_id: str) -> dict[str, object]:
        return {
            "client_id": client_id,
            "name": client_id,
            "kind": "confidential-asymmetric",
            "grant_types": ["client_credentials"],
            "organization": people.CLINIC,
            "scope": "system/*.rs",
            "purposes": ["TREAT"],
            "jwks": public_jwks(self.keys[client_id]),
        }


@contextmanager
def app_site(folder: Path) -> Iterator[AppSite]:
    """Serve a folder on a free port until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    keys = {f"fetch-{alg.lower()}": generate_client_key(alg) for alg in ("ES384", "RS384")}
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield AppSite(url, folder, keys, generate_client_key("ES384"))
    finally:
        server.shutdown()
        server.server_close()


def _app(client_id: str, redirect_uris: list[str], launch_uri: str = "") -> dict[str, object]:
    return {
        "client_id": client_id,
        "name": f"{client_id} of the tests",
        "kind": "public",
        "redirect_uris": redirect_uris,
        "scope": SCOPE,
        "purposes": list(APP_PURPOSES),
        **({"launch_uri": launch_uri} if launch_uri else {}),
    }
