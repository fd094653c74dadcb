"""``consentry load``: FHIR files into a running server, over HTTP, as the custodian's own system.

Reads transaction and batch Bundles (``.json``, ``.json.gz``) and resources one a line (``.ndjson``, ``.ndjson.gz``).
Batches go first, because patients' Bundles refer to the hospitals and practitioners in them.  The others do not depend on
each other: several files are posted at once, on a connection each, so that each worker of the server has some.
"""

import argparse
import asyncio
import codecs
import gzip
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx2
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.app import clock, open_tokens
from fhir_server.commands.token import settings_of
from fhir_server.errors import LoadError, SettingsError
from smart_auth.server import SmartServer

_TOKEN_AGE = 200.0  # seconds; a token lives 300
_LINES = 200  # resources of an NDJSON file that are sent as one batch
_SUFFIXES = (".json", ".json.gz", ".ndjson", ".ndjson.gz")
_HOSPITALS, _PRACTITIONERS, _OTHERS = range(3)
_AT_ONCE = 2  # a worker prepares one large transaction at a time


@dataclass(slots=True)
class Summary:
    """What came of a load; ``stored`` and ``refused`` count resources."""

    stored: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders of them")
    parser.add_argument("--data", type=Path, help="data folder of the running server")
    parser.add_argument(
        "--at-once",
        type=int,
        default=_AT_ONCE,
        metavar="N",
        help=f"files posted at the same time, behind hospitals and practitioners (default: {_AT_ONCE}); 1: by name",
    )


def run(arguments: argparse.Namespace) -> int:
    """Load, with a progress bar; exit 1 if anything was refused."""
    files = list(find_files(arguments.paths))
    if arguments.at_once < 1:
        raise SettingsError("--at-once has to be 1 or more")
    if not files:
        raise SettingsError("no .json, .json.gz or .ndjson files there")
    try:
        summary = asyncio.run(_load(files, arguments.data, arguments.at_once))
    except httpx2.HTTPError as error:
        kind = type(error).__name__
        raise LoadError(
            f"the server does not answer ({kind}): is 'consentry serve' running?"
        ) from error
    total = sum(summary.stored.values())
    rate = total / summary.seconds if summary.seconds else 0.0
    console = Console()
    for type_, count in summary.stored.most_common():
        console.print(f"  {count:>8,}  {type_}")
    console.print(
        f"{total:,} resources in {summary.seconds:.1f} s ({rate:,.0f}/s), {len(summary.refused)} refused"
    )
    for line in summary.refused[:20]:
        console.print(f"  refused: {line}", markup=False)
    return 1 if summary.refused else 0


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files to load, in order: batches before transactions, hospitals before practitioners, then by name.

    Raises:
        SettingsError: A path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise SettingsError(f"{path} does not exist")
        found += (
            [path] if path.is_file() else [p for p in path.rglob("*") if p.name.endswith(_SUFFIXES)]
        )
    yield from sorted(found, key=lambda p: (_rank(p.name), str(p)))


def _rank(name: str) -> int:
    lowered = name.lower()
    if lowered.startswith("hospital"):
        return _HOSPITALS
    return _PRACTITIONERS if lowered.startswith("practitioner") else _OTHERS


async def _load(files: Sequence[Path], data: Path | None, at_once: int) -> Summary:
    settings = settings_of(data, None)
    started = time.perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    async with open_tokens(settings) as smart, httpx2.AsyncClient(timeout=600) as client:
        loading = Loading(client, settings.fhir_base, smart)
        with progress:
            bar = progress.add_task("loading", total=len(files))
            for rank, alike in groupby(files, key=lambda file: _rank(file.name)):
                clients = at_once if rank == _OTHERS else 1
                await loading.post(list(alike), clients, lambda: progress.advance(bar))
    loading.summary.seconds = time.perf_counter() - started
    return loading.summary


class Loading:
    """Posts files to a server, as the custodian's own system.

    Attributes:
        summary: What has come of them.
    """

    def __init__(self, client: httpx2.AsyncClient, base: str, smart: SmartServer) -> None:
        self.summary = Summary()
        self._client = client
        self._base = base
        self._smart = smart
        self._token, self._made = "", 0.0

    async def post(self, files: Sequence[Path], clients: int, done: Callable[[], object]) -> None:
        """Post files, begun in this order, several at once; call ``done`` after each.

        Raises:
            httpx2.HTTPError: The server does not answer.
        """
        waiting = iter(files)
        await asyncio.gather(*(self._post_each(waiting, done) for _ in range(clients)))

    async def _post_each(self, waiting: Iterator[Path], done: Callable[[], object]) -> None:
        for file in waiting:
            for bundle in bundles_of(file, self.summary.refused.append):
                await self._send(bundle, file.name)
            done()

    def _headers(self) -> dict[str, str]:
        if not self._token or time.perf_counter() - self._made > _TOKEN_AGE:
            self._token = self._smart.system_token("system/*.cruds", clock())
            self._made = time.perf_counter()
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/fhir+json"}

    async def _send(self, bundle: bytes, name: str) -> None:
        answer = await self._client.post(self._base, content=bundle, headers=self._headers())
        content = orjson.loads(answer.content)
        if answer.status_code != 200:
            self.summary.refused.append(f"{name}: {answer.status_code} {_words(content)}")
            return
        for entry in content.get("entry", ()):
            self._count(entry["response"], name)

    def _count(self, response: dict[str, Any], name: str) -> None:
        if response["status"][:1] == "2":
            location = response.get("location", "/")
            self.summary.stored[location.split("/_history")[0].split("/")[-2] or "deleted"] += 1
        else:
            words = _words(response.get("outcome", {}))
            self.summary.refused.append(f"{name}: {response['status']} {words}")


def bundles_of(file: Path, refuse: Callable[[str], object]) -> Iterator[bytes]:
    """The file as Bundles to post; what is no batch or transaction is wrapped in a batch.

    Args:
        refuse: Is told what can not be read, the whole file or a line of it; the rest is given all the same.
    """
    try:
        content = _content(file)
    except (OSError, EOFError, zlib.error) as error:
        refuse(f"{file.name}: can not be read ({type(error).__name__})")
        return
    if ".ndjson" in file.name:
        yield from _batches(content, lambda line, why: refuse(f"{file.name}, line {line}: {why}"))
        return
    try:
        value = _resource(content)
    except LoadError as error:
        refuse(f"{file.name}: {error}")
        return
    bundle = value["resourceType"] == "Bundle" and value.get("type") in ("batch", "transaction")
    yield content if bundle else _wrapped([_entry(content, value)])


def _content(file: Path) -> bytes:
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return content.removeprefix(codecs.BOM_UTF8)


def _batches(content: bytes, refuse: Callable[[int, str], object]) -> Iterator[bytes]:
    """The resources of an NDJSON file, ``_LINES`` of its lines at a time."""
    lines = [(at, line) for at, line in enumerate(content.splitlines(), 1) if line.strip()]
    for start in range(0, len(lines), _LINES):
        entries = []
        for at, line in lines[start : start + _LINES]:
            try:
                entries.append(_entry(line, _resource(line)))
            except LoadError as error:
                refuse(at, str(error))
        if entries:
            yield _wrapped(entries)


def _resource(content: bytes) -> dict[str, object]:
    """A resource, read.

    Raises:
        LoadError: It is none; the message says nothing of what it is.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise LoadError("is not JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise LoadError("is not a FHIR resource")
    return value


def _wrapped(entries: Sequence[bytes]) -> bytes:
    return b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join(entries) + b"]}"


def _entry(resource: bytes, value: dict[str, object]) -> bytes:
    """An update under the resource's own id, so that references between files hold and a second load changes nothing."""
    type_, id_ = value["resourceType"], value.get("id")
    request = (
        {"method": "PUT", "url": f"{type_}/{id_}"} if id_ else {"method": "POST", "url": type_}
    )
    return b'{"resource":' + resource + b',"request":' + orjson.dumps(request) + b"}"


def _words(outcome: dict[str, object]) -> str:
    issues = outcome.get("issue")
    if not isinstance(issues, list) or not issues:
        return ""
    return str(issues[0].get("diagnostics", ""))[:200]
