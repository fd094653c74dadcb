"""The clinic of ``tests/fhir_server``, and the pairs of ``pairs.py``."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..fhir_server.conftest import clinic, folder
from .elements import two_clinics
from .pairs import Pair, records

__all__ = ["clinic", "folder", "pair"]


@pytest.fixture(params=["records", "elements"])
async def pair(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two servers, of which one holds records, or elements, that ``OTHER`` may not see."""
    made = await records(folder) if request.param == "records" else Pair(*await two_clinics(folder))
    yield made
    await made.close()
