"""The clinic of ``tests/fhir_server``."""

from ..fhir_server.conftest import clinic, folder

__all__ = ["clinic", "folder"]
