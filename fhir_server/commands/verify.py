"""``consentry verify``: a receipt, without any server; or, with ``--data``, the whole audit log of a data folder."""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from anchoring.audit import AuditFinding, StoredEvent, audit_log, read_anchor
from anchoring.errors import AuditFailure
from anchoring.tiles import MOST_LEVELS, Tile, TileStore
from anchoring.verify import main as verify_receipt
from fhir_server.archive import Archive, open_archive
from fhir_server.errors import SettingsError
from fhir_server.evidence import CHAIN_FILE, chain_head, stored_events
from fhir_server.settings import Settings, read_settings
from fhir_server.transparency import log_seeds

_CHUNK = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("receipt", nargs="?", help="receipt file; needs no server and no keys")
    parser.add_argument(
        "--data", type=Path, help="verify the whole audit log of this data folder instead"
    )
    parser.add_argument(
        "--rpc", metavar="URL", help="ask this chain node, too, whether it holds the anchor"
    )
    parser.add_argument("--chain-db", metavar="FILE", help="ask this embedded chain file, too")
    parser.add_argument("--json", action="store_true", help="answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 with a line for each step proved, or 1 naming the step that failed."""
    if arguments.receipt:
        options = [f"--rpc={arguments.rpc}"] if arguments.rpc else []
        options += [f"--chain-db={arguments.chain_db}"] if arguments.chain_db else []
        options += ["--json"] if arguments.json else []
        return verify_receipt([arguments.receipt, *options])
    if arguments.data is None:
        raise SettingsError("name a receipt file, or a data folder with --data")
    return verify_log(read_settings(data=arguments.data), Console())


def verify_log(settings: Settings, console: Console) -> int:
    """Recompute the whole audit log of a database; 0 with what is proved, or 1 with the first thing that is wrong."""
    with asyncio.Runner() as runner:
        opening = open_archive(settings)
        archive = runner.run(opening.__aenter__())
        try:
            finding = _audit(settings, archive, runner)
        except AuditFailure as failure:
            console.print(f"FAILED  audit log: {failure}", markup=False)
            return 1
        finally:
            runner.run(opening.__aexit__(None, None, None))
    console.print(f"proved  {finding.events} events, gapless, {finding.opened} opened and compared")
    console.print(
        f"proved  {finding.anchors} anchored checkpoints, the newest over {finding.anchored_events} events"
    )
    return 0


def _audit(settings: Settings, archive: Archive, runner: asyncio.Runner) -> AuditFinding:
    seeds = runner.run(log_seeds(settings, archive.own))
    anchors = [
        read_anchor(record, seeds.public_keys())
        for record in runner.run(archive.database.anchors.all_anchors())
    ]
    embedded = not settings.chain_url and (settings.data / CHAIN_FILE).exists()
    head = runner.run(chain_head(settings, archive.own)) if embedded else None
    tiles = archive.database.tiles  # counted before the events: a server may be writing both
    counts = [runner.run(tiles.count(level)) for level in range(MOST_LEVELS)]
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("verifying", total=None)
        return audit_log(
            _events(archive, runner),
            anchors,
            head,
            lambda done: progress.update(task, completed=done),
            _tiles(tiles, counts, runner),
        )


def _events(archive: Archive, runner: asyncio.Runner) -> Iterator[StoredEvent]:
    async def chunk(start: int) -> list[StoredEvent]:
        async with archive.vault.reading() as reader:
            return await stored_events(reader, start, start + _CHUNK)

    start = 0
    while True:
        events = runner.run(chunk(start))
        yield from events
        if len(events) < _CHUNK:
            return
        start += _CHUNK


def _tiles(store: TileStore, counts: list[int], runner: asyncio.Runner) -> Iterator[Tile]:
    for level, count in enumerate(counts):
        for index in range(count):
            tile = runner.run(store.load(level, index))
            if tile is not None:  # the next one tells of a gap
                yield tile
