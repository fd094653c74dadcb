"""A note that does not read as it was written is named as altered; it never stops a server with a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fhir_server.errors import TamperedRecordError
from fhir_server.interactions.erasing.statement import unpack
from fhir_server.interactions.reindex.jobs import unpack_job
from fhir_server.vault.noted import owner_of
from fhir_server.vault.register import NOTE
from fhir_server.vault.resealing import resealing_of
from fhir_server.vault.rotation import keks_of

from ..clinic import consent, open_clinic, patient


class _Notes:
    def __init__(self, content: bytes) -> None:
        self.content = content

    async def load(self, prefix: str) -> Mapping[str, bytes]:
        return {"": self.content}


@pytest.mark.parametrize("content", [b"`", b'"x"', b"[1]", b'{"at":', b"\xff\xfe"])
@pytest.mark.parametrize("read", [resealing_of, keks_of])
async def test_what_a_job_kept_and_does_not_read_is_altered(
    read: Callable[[_Notes], object], content: bytes
) -> None:
    with pytest.raises(TamperedRecordError):
        await read(_Notes(content))  # type: ignore[misc]


@pytest.mark.parametrize("content", [b"`", b'"x"', b'{"version": 1}', b"{}x", b"[]"])
def test_the_note_of_an_erasure_or_of_a_reindexing_that_does_not_read_is_altered(
    content: bytes,
) -> None:
    with pytest.raises(TamperedRecordError):
        unpack(b"", content)
    with pytest.raises(TamperedRecordError):
        unpack_job(content)


@pytest.mark.parametrize("name", ["0`", "0", "zz", "é"])
def test_a_note_named_by_no_token_is_altered(name: str) -> None:
    with pytest.raises(TamperedRecordError):
        owner_of(name)


async def test_a_server_whose_register_of_consents_names_no_patient_does_not_start(
    tmp_path: Path,
) -> None:
    clinic = await open_clinic(tmp_path)
    await clinic.put(patient("a"))
    await clinic.put(consent("c", "a", "deny", "Organization/other"))
    await clinic.close()
    clinic.sql(
        "UPDATE meta SET name = substr(name, 1, length(name) - 1) || '`' WHERE name LIKE ?",
        (f"{NOTE}%",),
    )
    with pytest.raises(TamperedRecordError):
        await open_clinic(tmp_path)
