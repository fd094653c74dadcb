"""``consentry check``: walks all that is stored, opens it, makes its tokens again, and compares; beside a server that runs.

What is wrong is told by type and number of the record, so that its findings can be shown to anyone.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from rich.console import Console

from fhir_server.archive import Archive, open_archive
from fhir_server.commands.audit import audit
from fhir_server.commands.backup import bar
from fhir_server.inspection.finding import Finding
from fhir_server.inspection.inspector import Inspector
from fhir_server.interactions.erasing.erasures import are_proved
from fhir_server.interactions.reindex.parameters import Parameters
from fhir_server.search.custom import SEARCH_PARAMETER
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from fhir_server.settings import Settings, read_settings
from fhir_server.store.database import ALL_TOKENS
from fhir_server.store.inspection import Inspection
from fhir_server.store.opening import looking
from fhir_server.store.protocol import Changes
from fhir_server.vault.documents import Documents
from fhir_server.vault.reader import Reader
from profiles.definitions import r4

_STEP = 500  # records
_MOST = 1000  # findings told
_TO_BE_MADE = (
    "it is to be made again: start 'consentry serve' on this database, which does it first"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument(
        "--data", type=Path, help="folder of the database (default: consentry-data)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 if all is well, 1 with what is wrong."""
    settings, console = read_settings(data=arguments.data), Console()
    with bar(Console(stderr=True)) as progress:
        findings, inspector = asyncio.run(_look(settings, progress("records")))
    for finding in findings[:_MOST]:
        console.print(f"FAILED  {finding}", markup=False, highlight=False)
    seen = inspector.seen
    console.print(
        f"looked at {seen.records} records, {seen.versions} versions ({seen.erased} of them erased), "
        f"{seen.documents} large documents: {len(findings)} findings",
        markup=False,
    )
    log = audit(settings, console)
    return 1 if findings or log else 0


async def _look(
    settings: Settings, tell: Callable[[int, int], None]
) -> tuple[list[Finding], Inspector]:
    async with open_archive(settings) as archive, looking(archive.database) as look:
        database, vault = archive.database, archive.vault

        @asynccontextmanager
        async def opened() -> AsyncIterator[tuple[Reader, Inspection]]:
            async with look() as (snapshot, inspection):
                yield await vault.reader(snapshot, monotonic()), inspection

        async with look() as (snapshot, _):
            last = await snapshot.shelf.last()
            proved = await are_proved(snapshot.notes)
            ever = await snapshot.history(Changes(type_=SEARCH_PARAMETER, limit=1))
        searchable = Searchable(r4())
        tokenizer = Tokenizer(searchable, vault.blind)
        parameters = Parameters(
            vault, database.reindex, searchable, tokenizer, r4(), database.news.tell
        )
        await parameters.look()
        documents = Documents(database.chunks, settings.tenant)
        indexed = ALL_TOKENS not in await database.reindex.load()
        inspector = Inspector(
            opened, documents, tokenizer, exact=not ever, indexed=indexed, proved=proved
        )
        findings = [] if indexed else [Finding("index", 0, _TO_BE_MADE)]
        findings += [finding async for finding in inspector.look(last, _STEP, tell)]
        return findings + await _documents(archive, inspector), inspector


async def _documents(archive: Archive, inspector: Inspector) -> list[Finding]:
    """Documents that are a record's, but that no version of it names."""
    found, after = [], b""
    while extents := await archive.database.chunks.extents(after, _STEP):
        after = extents[-1].document
        found += [
            Finding("document", each.rid, "no version of this record names it")
            for each in extents
            if each.rid is not None and inspector.named.get(each.document) != each.rid
        ]
    return found
