"""Searching (R4 search.html): what is asked, found, joined, paged and included, each in its file."""

from fhir_server.interactions.search.answering import find_matches, search
from fhir_server.interactions.search.breadth import names_log

__all__ = ["find_matches", "names_log", "search"]
