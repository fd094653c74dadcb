"""``consentry serve``: the server alone."""

import argparse
import asyncio
import json
import logging
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fhir_server.app import create_app
from fhir_server.commands.gathering import Gathered
from fhir_server.commands.logs import configure_logging
from fhir_server.commands.workers import READY, Crew
from fhir_server.errors import SettingsError, StartError
from fhir_server.evidence import preload_evidence
from fhir_server.memory import keep_together, share_memory
from fhir_server.settings import Settings, read_settings
from profiles.terminology import r4_terminology
from profiles.validation import r4_validator

_SWITCH = 0.001  # seconds: a commit's thread must not wait 5 ms for its turn
_HANDSHAKE = 10.0  # seconds
RUNNING_FILE = "server.json"
_LOG = logging.getLogger("consentry")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument(
        "--data", type=Path, help="folder of the database (default: consentry-data)"
    )
    parser.add_argument(
        "--port", type=int, help="port to listen on; 0 picks a free one (default: 8080)"
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--workers", type=int, help="processes that answer (default: one a core, at most 4)"
    )
    parser.add_argument("--policy", help="policy templates and files, with commas between")


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    given = {name: getattr(arguments, name) for name in ("data", "host", "policy", "workers")}
    settings = read_settings(port=arguments.port, **given)
    listener = socket.create_server((settings.host, settings.port), reuse_port=False, backlog=512)
    if settings.port == 0:
        settings = read_settings(port=listener.getsockname()[1], **given)
    configure_logging(settings.log_level)
    tls_context(settings)  # what is wrong with it is said before anything starts
    count = settings.worker_count
    told = {"template": settings.policy_name, "env": settings.env, "workers": count}
    _LOG.info("policy", extra={**told, "custodian": settings.custodian})
    remember(settings)
    set_up_process()
    if count > 1:
        _preload(settings)
        Crew(listener, partial(_work, settings), count).run()
        return 0
    failures: list[Exception] = []
    server = uvicorn.Server(_config(settings, failures))
    with _untold(server):
        server.run(sockets=[listener])
    if failures:
        raise StartError(_reason(failures[0])) from failures[0]
    return 0


def set_up_process() -> None:
    """Set what holds for the whole interpreter, before there are threads or other processes."""
    sys.setswitchinterval(_SWITCH)
    keep_together()


def _preload(settings: Settings) -> None:
    """What all workers need is read once, before there are any: they share its memory."""
    _ = r4_validator().compiled
    r4_terminology()
    preload_evidence(settings)
    share_memory()


def _work(settings: Settings, channel: socket.socket) -> str:
    """Be a worker; see ``workers.Serve``."""
    failures: list[Exception] = []
    server = _Worker(_config(settings, failures), channel)
    with _untold(server):
        server.run(sockets=[])
    return _reason(failures[0]) if failures else ""


def _reason(error: Exception) -> str:
    return f"the server did not start: {error}"


def _config(settings: Settings, failures: list[Exception]) -> uvicorn.Config:
    config = uvicorn.Config(
        create_app(settings, failures),
        http=GatheringProtocol,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the audit names the address that really called
        timeout_graceful_shutdown=5,
    )
    config.load()
    config.ssl = tls_context(settings)
    return config


class GatheringProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, which writes less often."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.BaseProtocol.connection_made``."""
        super().connection_made(Gathered(transport))  # type: ignore[arg-type]


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What connections are encrypted with: TLS 1.2 or newer (BCP 195); None for plain HTTP.

    Raises:
        SettingsError: Certificate or key can not be used.
    """
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"tls_certificate and tls_key cannot be used: {error}") from error
    return context


class _Worker(uvicorn.Server):
    """A server whose connections are accepted by another process, and come over a channel."""

    def __init__(self, config: uvicorn.Config, channel: socket.socket) -> None:
        super().__init__(config)
        self._channel = channel
        self._greeting: set[asyncio.Task[object]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, say so, and listen to the channel."""
        await super().startup(sockets)
        self._channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._channel, self._receive)
        self._channel.send(READY)

    def _receive(self) -> None:
        try:
            _, files, _, _ = socket.recv_fds(self._channel, 1, 1)
        except BlockingIOError:
            return
        except ConnectionResetError:  # the parent died before it read that we are ready
            files = []
        loop = asyncio.get_running_loop()
        if not files:  # the parent is gone
            loop.remove_reader(self._channel)
            self.should_exit = True
            return
        greeting = loop.create_task(self._greet(socket.socket(fileno=files[0])))
        self._greeting.add(greeting)
        greeting.add_done_callback(self._greeting.discard)

    async def _greet(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        limit = _HANDSHAKE if tls else None
        with suppress(OSError):  # whoever called may have gone
            await loop.connect_accepted_socket(
                self._protocol, connection, ssl=tls, ssl_handshake_timeout=limit
            )

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


@contextmanager
def _untold(server: uvicorn.Server) -> Iterator[None]:
    """Keep the framework from telling a failed start as a traceback: it is told in one sentence afterwards."""
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(lambda _: server.started)
    with suppress(SystemExit):
        yield


def remember(settings: Settings) -> None:
    """Note where the server of a data folder answers, for ``consentry token`` and ``load`` on this machine."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"url": settings.public_url, "pid": os.getpid()}
    (settings.data / RUNNING_FILE).write_text(json.dumps(content))


def recall(data: Path) -> str:
    """The public url of the server that last ran on a data folder, or empty."""
    try:
        return str(json.loads((data / RUNNING_FILE).read_text())["url"])
    except (OSError, ValueError, KeyError):
        return ""
