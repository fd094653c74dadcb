"""``consentry serve``: the server alone."""

import argparse
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from fhir_server.app import create_app
from fhir_server.commands.logs import configure_logging
from fhir_server.errors import StartError
from fhir_server.settings import Settings, read_settings

_SWITCH = 0.001  # seconds: a commit's thread must not wait 5 ms for its turn
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
    parser.add_argument("--policy", help="policy template: hipaa-tpo, opt-in or opt-out")


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    settings = read_settings(
        data=arguments.data, port=arguments.port, host=arguments.host, policy=arguments.policy
    )
    listener = socket.create_server((settings.host, settings.port), reuse_port=False, backlog=512)
    if settings.port == 0:
        settings = read_settings(
            data=arguments.data,
            port=listener.getsockname()[1],
            host=arguments.host,
            policy=arguments.policy,
        )
    configure_logging(settings.log_level)
    _LOG.info(
        "policy",
        extra={
            "template": settings.policy_name,
            "env": settings.env,
            "custodian": settings.custodian,
        },
    )
    remember(settings)
    sys.setswitchinterval(_SWITCH)
    failures: list[Exception] = []
    config = uvicorn.Config(
        create_app(settings, failures),
        http="httptools",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the audit names the address that really called
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    with _untold(server):
        server.run(sockets=[listener])
    if failures:
        raise StartError(f"the server did not start: {failures[0]}") from failures[0]
    return 0


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
