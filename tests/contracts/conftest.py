"""The folder of ``tests/fhir_server``, and a database of its own on MongoDB."""

from pathlib import Path

import pytest

from .. import mongo_server
from ..fhir_server.conftest import folder

__all__ = ["folder"]


@pytest.fixture
def url(folder: Path) -> str:
    """The database's url; it is empty."""
    return mongo_server.url(folder)
