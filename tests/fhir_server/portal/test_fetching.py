"""Fetching keys from addresses that strangers name: real servers, and never our own network."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fhir_server.portal import fetching
from fhir_server.portal.fetching import Fetcher, is_public
from smart_auth.errors import KeysUnreachableError

HOST = "keys.example.org"
OK = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=77\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Server:
    """A server that says the same to everybody, and keeps what it was asked."""

    answer: bytes = OK
    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    looked_up: int = 0
    addresses: Sequence[str] = ("127.0.0.1",)
    endless: bool = False

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        try:
            while self.endless:
                writer.write(b"x" * 16_384)
                await writer.drain()
            await writer.drain()
            writer.close()
        except ConnectionError:
            return

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        assert (host, port) == (HOST, self.port)
        self.looked_up += 1
        return self.addresses


@asynccontextmanager
async def serving(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    listening = await asyncio.start_server(server.speak, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server for ``name`` shows, and what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    no_password = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(pem, pkcs8, no_password) + made.public_bytes(pem))
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(file)
    return shown, ssl.create_default_context(cafile=str(file))


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return certificate(tmp_path, HOST)


def fetcher(server: Server, trust: ssl.SSLContext) -> Fetcher:
    """One that may reach this machine: only tests can make it, it is no setting."""
    return Fetcher(look_up=server.look_up, permits=lambda _: True, trust=trust)


async def test_keys_come_from_the_address_that_was_looked_at(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with serving(Server(), tls[0]) as server:
        got = await fetcher(server, tls[1]).fetch(f"https://{HOST}:{server.port}/jwks?a=b")
    assert (got.body, got.cache_control) == (b"{}", "max-age=77")
    assert server.looked_up == 1
    assert server.asked[0].startswith(b"GET /jwks?a=b HTTP/1.1\r\n")
    assert f"\r\nHost: {HOST}:{server.port}\r\n".encode() in server.asked[0]


async def test_a_certificate_for_another_name_is_refused(
    tmp_path: Path, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    shown, trust = certificate(tmp_path, "other.example.org")
    async with serving(Server(), shown) as server:
        with pytest.raises(KeysUnreachableError):
            await fetcher(server, trust).fetch(f"https://{HOST}:{server.port}/")
        with pytest.raises(KeysUnreachableError):
            await fetcher(server, tls[1]).fetch(f"https://{HOST}:{server.port}/")
    assert server.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: https://keys.example.org/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65_537,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_any_answer_but_a_small_plain_200_is_refused(
    answer: bytes, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async with serving(Server(answer), tls[0]) as server:
        with pytest.raises(KeysUnreachableError):
            await fetcher(server, tls[1]).fetch(f"https://{HOST}:{server.port}/")
    assert len(server.asked) == 1


async def test_an_answer_without_end_is_cut_off(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with serving(Server(b"HTTP/1.1 200 OK\r\n\r\n", endless=True), tls[0]) as server:
        with pytest.raises(KeysUnreachableError):
            await fetcher(server, tls[1]).fetch(f"https://{HOST}:{server.port}/")


async def test_a_server_that_does_not_go_on_is_left(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.2)
    silent = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    async def forever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(silent.answer)
        await reader.read()
        writer.close()

    silent.speak = forever  # type: ignore[method-assign]
    async with serving(silent, tls[0]) as server:
        with pytest.raises(KeysUnreachableError):
            await fetcher(server, tls[1]).fetch(f"https://{HOST}:{server.port}/")


PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.0.8"),
    *("198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    *("2001:0:7f00:1::", "2001:db8::1", "fec0::1"),
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_address_of_an_inner_network_is_not_connected_to(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    for found in ([address], ["93.184.215.14", address], [address, "93.184.215.14"]):
        server = Server(addresses=found, port=443)
        with pytest.raises(KeysUnreachableError, match="not one that"):
            await Fetcher(look_up=server.look_up).fetch(f"https://{HOST}/")


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07::1"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25lo]/",
        "http://127.0.0.1/",
        "http://8.8.8.8/",
        "file:///etc/passwd",
        "https://",
        "https://a..b/",
        "https://" + "a" * 300 + "/",
    ],
)
async def test_no_spelling_of_an_address_leads_inside(url: str) -> None:
    with pytest.raises(KeysUnreachableError):
        await Fetcher().fetch(url)


async def test_a_name_without_addresses_is_refused() -> None:
    with pytest.raises(KeysUnreachableError):
        await Fetcher(look_up=Server(addresses=(), port=443).look_up).fetch(f"https://{HOST}/")


async def test_a_server_on_loopback_reaches_clients_beside_it_without_tls() -> None:
    async with serving(Server()) as server:
        got = await Fetcher(local=True).fetch(f"http://127.0.0.1:{server.port}/jwks")
        assert got.body == b"{}"
        for refused in (Fetcher(), Fetcher(local=False)):
            with pytest.raises(KeysUnreachableError):
                await refused.fetch(f"http://127.0.0.1:{server.port}/jwks")
    with pytest.raises(KeysUnreachableError):
        await Fetcher(local=True).fetch("http://keys.example.org/")


async def test_a_proxy_of_the_environment_is_not_asked(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    async with serving(Server(), tls[0]) as server:
        got = await fetcher(server, tls[1]).fetch(f"https://{HOST}:{server.port}/")
    assert got.body == b"{}"
