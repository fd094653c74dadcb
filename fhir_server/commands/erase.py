"""``consentry erase``: erase a patient from the machine that holds the keys; beside a server that runs, or without one."""

import argparse
import asyncio
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from anchoring.errors import NotYetAnchoredError
from consent_engine import literal
from fhir_server.app import open_erasures
from fhir_server.archive import Archive, open_archive, open_index
from fhir_server.errors import SettingsError
from fhir_server.evidence import open_evidence
from fhir_server.interactions.erasing.erasures import Erasures, UnknownPatientError
from fhir_server.interactions.erasing.statement import Erased
from fhir_server.settings import Settings, read_settings
from fhir_server.transparency import open_transparency

_BY = "consentry erase"
_PATIENT = re.compile(
    r"(https?://.+/)?Patient/[^/]+"
)  # records may refer to patients of other servers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("patient", help="whom to erase, such as Patient/123")
    parser.add_argument(
        "--data", type=Path, help="folder of the database (default: consentry-data)"
    )
    parser.add_argument("--receipt", type=Path, metavar="FILE", help="write the receipt here")
    parser.add_argument("--yes", action="store_true", help="do not ask: an erasure is for good")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when the patient is erased; run again it gives the receipt, once the log is anchored."""
    settings = read_settings(data=arguments.data)
    patient = literal(str(arguments.patient), settings.fhir_base)
    if not _PATIENT.fullmatch(patient):
        raise SettingsError("name the patient by a reference such as Patient/123")
    return asyncio.run(_erase(settings, patient, arguments.receipt, sure=arguments.yes))


async def _erase(settings: Settings, patient: str, receipt: Path | None, *, sure: bool) -> int:
    console = Console()
    async with open_archive(settings) as archive:
        if not sure:
            _confirm(patient)
        erasures = await _erasures(settings, archive)
        try:
            erased = await erasures.erase(patient, _BY, int(time.time() * 1000))
        except UnknownPatientError as error:
            raise SettingsError("nothing was ever kept of this patient") from error
        at = datetime.fromtimestamp(erased.at / 1000, UTC).isoformat(timespec="seconds")
        console.print(f"erased {at}: {erased.buried} records, AuditEvent/{erased.event}")
        if receipt is not None:
            await _write_receipt(settings, archive, erasures, erased, receipt)
    return 0


def _confirm(patient: str) -> None:
    """Ask the person at the terminal.

    Raises:
        SettingsError: Nobody is there, or says anything but yes.
    """
    try:
        said = input(f"Erase {patient} for good? Type yes: ")
    except EOFError:
        raise SettingsError("nothing was erased: say --yes where nobody can be asked") from None
    if said.strip() != "yes":
        raise SettingsError("nothing was erased")


async def _erasures(settings: Settings, archive: Archive) -> Erasures:
    erasures = open_erasures(settings, archive.vault, await open_index(archive))
    await erasures.prove()
    return erasures


async def _write_receipt(
    settings: Settings, archive: Archive, erasures: Erasures, erased: Erased, file: Path
) -> None:
    """The receipt, if the log was anchored since: the server does that, within CONSENTRY_ANCHOR_INTERVAL."""
    transparency = await open_transparency(settings, archive.database, archive.own)
    anchorer = await open_evidence(settings, archive.database, archive.own, transparency)
    try:
        content = await anchorer.prove(*await erasures.evidence(erased))
    except NotYetAnchoredError as error:
        raise SettingsError(
            "erased, but the log is not anchored since: run this again when the server has run a while"
        ) from error
    await asyncio.to_thread(file.write_bytes, content)
