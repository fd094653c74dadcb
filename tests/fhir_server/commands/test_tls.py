"""The server's own TLS: 1.2 or newer, with one process or several, and what is wrong is said at the start."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return certificate, private


def start(folder: Path, certificate: Path, key: Path, workers: int = 1) -> subprocess.Popen[str]:
    told = {"CONSENTRY_TLS_CERTIFICATE": str(certificate), "CONSENTRY_TLS_KEY": str(key)}
    command = [sys.executable, "-m", "fhir_server", "serve", "--port", "0"]
    return subprocess.Popen(
        [*command, "--data", str(folder / "data"), "--workers", str(workers)],
        env={**os.environ, **told},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(params=[1, 2])
def port(request: pytest.FixtureRequest, folder: Path, files: tuple[Path, Path]) -> Iterator[int]:
    process = start(folder, *files, workers=request.param)
    noted = folder / "data" / "server.json"
    deadline = time.monotonic() + 60
    while not (noted.exists() and _answers(_port(noted), files[0])):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    yield _port(noted)
    process.terminate()
    process.communicate(timeout=20)


def _port(noted: Path) -> int:
    url = noted.read_text().partition("https://localhost:")[2]
    return int(url.partition('"')[0])


def _answers(port: int, certificate: Path) -> bool:
    try:
        return get(port, trusting(certificate))[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def get(port: int, context: ssl.SSLContext, path: str = "/health") -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_item_8_tls_1_2_and_1_3_are_spoken_and_nothing_older(
    port: int, files: tuple[Path, Path]
) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(files[0])
        context.minimum_version = context.maximum_version = version
        status, body = get(port, context, "/fhir/.well-known/smart-configuration")
        assert (status, b'"token_endpoint":"https://localhost:' in body) == (200, True)
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    older.check_hostname, older.verify_mode = False, ssl.CERT_NONE
    older.set_ciphers("ALL:@SECLEVEL=0")
    older.minimum_version = ssl.TLSVersion.TLSv1
    older.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        get(port, older)
    _plain_http_gets_nothing(port)


def _plain_http_gets_nothing(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert not plain.recv(100).startswith(b"HTTP")


@pytest.mark.parametrize("wrong", ["certificate", "key", "missing"])
def test_what_cannot_be_used_is_said_in_one_sentence(
    folder: Path, files: tuple[Path, Path], wrong: str
) -> None:
    broken = folder / "broken.pem"
    if wrong != "missing":
        broken.write_text("-----BEGIN NOTHING-----")
    pair = (files[0], broken) if wrong == "key" else (broken, files[1])
    process = start(folder, *pair)
    told = process.communicate(timeout=60)[1].strip().splitlines()[-1]
    assert process.returncode == 2
    assert told.startswith("consentry serve: tls_certificate and tls_key cannot be used")


def test_one_of_the_two_alone_is_refused(folder: Path, files: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "fhir_server", "serve", "--data", str(folder / "data")]
    done = subprocess.run(
        command,
        env={**os.environ, "CONSENTRY_TLS_KEY": str(files[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "must be set together" in done.stderr) == (2, True)
