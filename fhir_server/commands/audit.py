"""``consentry audit``: the whole audit log of a database, recomputed, opened and compared with what was anchored."""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from anchoring.chain.chain import Head
from anchoring.errors import AuditFailure, ChainError
from anchoring.log.tiles import MOST_LEVELS, Tile, TileStore
from anchoring.receipts.audit import AuditFinding, StoredEvent, audit_log, read_anchor
from fhir_server.archive import Archive, open_archive
from fhir_server.commands.backup import bar
from fhir_server.evidence import CHAIN_FILE, chain_head, stored_events
from fhir_server.interactions.erasing.erasures import are_proved
from fhir_server.settings import Settings, read_settings
from fhir_server.transparency import log_seeds

_CHUNK = 500
_UNPROVED = "what a former program erased looks emptied until 'consentry serve' was started on this database"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument(
        "--data", type=Path, help="folder of the database (default: consentry-data)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 with what is proved, or 1 with the first thing that is wrong."""
    return audit(read_settings(data=arguments.data), Console())


def audit(settings: Settings, console: Console) -> int:
    """Recompute the whole audit log of a database; 0 with what is proved, or 1 with the first thing that is wrong."""
    with asyncio.Runner() as runner:
        opening = open_archive(settings)
        archive = runner.run(opening.__aenter__())
        try:
            runner.run(_require_proved(archive))
            head, chain = _head(settings, archive, runner)
            finding = _audit(settings, archive, head, runner)
        except AuditFailure as failure:
            console.print(f"FAILED  audit log: {failure}", markup=False)
            return 1
        finally:
            runner.run(opening.__aexit__(None, None, None))
    for line in (
        f"proved  {finding.events} events, gapless, {finding.opened} opened and compared",
        f"proved  {finding.anchors} anchored checkpoints, the newest over {finding.anchored_events} events",
        chain,
    ):
        console.print(line, markup=False, highlight=False)
    return 0


async def _require_proved(archive: Archive) -> None:
    async with archive.vault.reading() as reader:
        if not await are_proved(reader.notes):
            raise AuditFailure(0, _UNPROVED)


def _head(settings: Settings, archive: Archive, runner: asyncio.Runner) -> tuple[Head | None, str]:
    """What the chain holds of the log, and a line that says so; whoever audits need not reach the chain."""
    if not settings.chain_url and not (settings.data / CHAIN_FILE).exists():
        return None, "not proved  no chain was asked: there is none in this folder"
    try:
        head = runner.run(chain_head(settings, archive.own))
    except ChainError as error:
        return None, f"not proved  the chain was not asked: {error}"
    return head, f"proved  the chain holds a checkpoint over {head.size} of them"


def _audit(
    settings: Settings, archive: Archive, head: Head | None, runner: asyncio.Runner
) -> AuditFinding:
    seeds = runner.run(log_seeds(settings, archive.own))
    anchors = [
        read_anchor(record, seeds.public_keys())
        for record in runner.run(archive.database.anchors.all_anchors())
    ]
    tiles = archive.database.tiles  # counted before the events: a server may be writing both
    counts = [runner.run(tiles.count(level)) for level in range(MOST_LEVELS)]
    events = runner.run(archive.database.leaves.size())
    with bar(Console(stderr=True)) as progress:
        tell = progress("AuditEvents")

        def told(done: int) -> None:
            tell(done, max(done, events))

        return audit_log(
            _events(archive, runner), anchors, head, told, _tiles(tiles, counts, runner)
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
