"""The folder of ``tests/fhir_server``."""

from ..fhir_server.conftest import folder

__all__ = ["folder"]
