"""``consentry relabel``: labels by the rules that hold now for what is stored; beside a running server, or without one."""

import argparse
import asyncio
import secrets
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from fhir_server.archive import Archive, open_archive, open_index
from fhir_server.ids import random_id
from fhir_server.interactions.labelling import Labelling
from fhir_server.interactions.relabelling import Maker, Relabelled, Relabeller
from fhir_server.labels import read_label_rules
from fhir_server.ownership import administrative_types
from fhir_server.settings import Settings, read_settings
from profiles.definitions import r4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument(
        "--data", type=Path, help="folder of the database (default: consentry-data)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when all records have the labels of the rules, 1 if some do not open; stopped, it goes on when run again."""
    return asyncio.run(_relabel(read_settings(data=arguments.data)))


async def _relabel(settings: Settings) -> int:
    console = Console()
    async with open_archive(settings) as archive:
        relabeller = await _relabeller(settings, archive)
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("relabelling", total=None)

            def tell(job: Relabelled) -> None:
                progress.update(task, description=job.type_, completed=job.looked_at)

            done = await relabeller.run(sorted(r4().resource_types), tell)
    console.print(f"{done.looked_at} records looked at, {done.changed} with other labels now")
    if done.closed:
        console.print(
            f"{done.closed} do not open and keep their labels: 'consentry check' names them"
        )
    return 1 if done.closed else 0


async def _relabeller(settings: Settings, archive: Archive) -> Relabeller:
    rules = read_label_rules(settings)
    labelling = Labelling(rules, settings.custodian, administrative_types(r4()))
    maker = Maker(
        settings.fhir_base,
        settings.custodian,
        random_id,
        secrets.token_bytes,
        lambda: int(time.time() * 1000),
    )
    return Relabeller(archive.vault, labelling, await open_index(archive), maker)
