"""All tokens made again, after a step of the schema that changed what they are made of (``store/sqlite/schema.py``).

The step deletes them and leaves a mark in the journal; here they are made from the opened records before the server
answers anybody.  The mark says how far this has come (``type|rid``, empty at the beginning), so that a killed server goes
on there.  Not here: AuditEvents, whose index has a mark of its own (``interactions/leaf.py``).
"""

import logging
from collections.abc import Iterable

from fhir_server.interactions.reindex.jobs import Journal
from fhir_server.search.tokens import Tokenizer
from fhir_server.store.database import ALL_TOKENS
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Vault

_LOG = logging.getLogger("consentry")
_UNIT = 200  # records
_TOLD = 5000  # records between two lines of the log


async def index_anew(
    vault: Vault, journal: Journal, tokenizer: Tokenizer, types: Iterable[str]
) -> int:
    """Make all tokens of the records of ``types`` again, if there is a mark; return how many records there were."""
    mark = (await journal.load()).get(ALL_TOKENS)
    if mark is None:
        return 0
    with as_written("the note of the index to be made anew"):
        begun, _, rid = mark.decode().partition("|")
        last = int(rid or 0)
    left = sorted(type_ for type_ in types if type_ != "AuditEvent" and type_ >= begun)
    total = sum([(await journal.extent(type_))[0] for type_ in left])
    telling = _Telling(total)
    for type_ in left:
        after = last if type_ == begun else 0
        await _index_type(vault, journal, tokenizer, type_, after, telling)
    await journal.drop(ALL_TOKENS)
    telling.end()
    return telling.done


async def _index_type(
    vault: Vault,
    journal: Journal,
    tokenizer: Tokenizer,
    type_: str,
    after: int,
    telling: "_Telling",
) -> None:
    while True:
        async with vault.writing() as writer:
            rids, broken = await writer.index_anew(type_, after, _UNIT, tokenizer.tokens)
        if not rids:
            return
        after = rids[-1]
        await journal.save(ALL_TOKENS, f"{type_}|{after}".encode())
        telling.add(len(rids), broken)


class _Telling:
    """Progress in the log."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._told = self._broken = self.done = 0
        _LOG.info("the index is made again", extra={"done": 0, "total": total})

    def add(self, done: int, broken: int) -> None:
        """Count what was done, and tell of it now and then."""
        self.done += done
        self._broken += broken
        if self.done - self._told >= _TOLD:
            self._told = self.done
            _LOG.info("the index is made again", extra={"done": self.done, "total": self._total})

    def end(self) -> None:
        """Tell that it is done, and how many records are not in it because they do not open."""
        _LOG.info("the index is complete", extra={"done": self.done, "total": self._total})
        if self._broken:
            _LOG.error("records do not open: run 'consentry check'", extra={"count": self._broken})
