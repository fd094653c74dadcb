"""The application of ``tests/fhir_server/rest``."""

from tests.fhir_server.rest.served import _open, served

__all__ = ["_open", "served"]
