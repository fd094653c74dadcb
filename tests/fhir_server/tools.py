"""The tools of a clinic in process: R4 is compiled once for all tests, custom search parameters are each clinic's own."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from anchoring.errors import NotYetAnchoredError
from fhir_server import app
from fhir_server.crypto.blind import BlindIndex
from fhir_server.interactions.capabilities import Statements
from fhir_server.interactions.capability_statement import capability_statement
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.erasing.erasures import Erasures, Maker
from fhir_server.interactions.exporting.export import Exports
from fhir_server.interactions.reindex.parameters import Parameters
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import OWN_TYPES, Searchable
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.store.grants import SealedRegister
from fhir_server.vault.documents import Documents
from fhir_server.vault.ledger import Ledger
from fhir_server.vault.vault import Vault
from profiles.definitions import r4


class _NeverAnchored:
    """Stands in for the anchorer."""

    async def prove(self, index: int, event: bytes, k: bytes) -> bytes:
        raise NotYetAnchoredError("nothing is anchored in these tests")


@cache
def development_tools() -> Tools:
    """The tools of a development server that has no store."""
    searchable = Searchable(r4())
    tokenizer = Tokenizer(searchable, BlindIndex(bytes(32), "default"))
    parameters = Parameters(None, None, searchable, tokenizer, r4(), None)  # type: ignore[arg-type]
    documents = Documents(None, "default")  # type: ignore[arg-type]
    return app._tools(Settings(), _NeverAnchored(), parameters, documents, None, None, b"c" * 32)  # type: ignore[arg-type]


def tools_of(vault: Vault, database: Database, base: str, ledger: Path, **changed: object) -> Tools:
    """The tools of a clinic on a store, with its list of erasures."""
    searchable = Searchable(r4())
    searchable._standard = development_tools().searchable._standard
    tokenizer = Tokenizer(searchable, vault.blind)
    statement = partial(capability_statement, r4(), searchable, base, f"{base}/auth", "2026", 1)
    maker = Maker(lambda: str(uuid.uuid4()), secrets.token_bytes, base, "Organization/custodian")
    vault.on_forget(tokenizer.forget)
    vault.on_forget(vault.blind.forget)
    own = {
        "erasures": Erasures(
            vault, Ledger(ledger), tokenizer, (*r4().resource_types, *OWN_TYPES), maker
        ),
        "anchor_wait": 0.0,
        "searchable": searchable,
        "tokenizer": tokenizer,
        "parameters": Parameters(
            vault, database.reindex, searchable, tokenizer, r4(), database.news.tell
        ),
        "documents": Documents(database.chunks, "default"),
        "exports": Exports(SealedRegister(database.register, b"e" * 32)),
        "capability": Statements(searchable, statement).current,
    }
    return replace(development_tools(), **{**own, **changed})  # type: ignore[arg-type]
