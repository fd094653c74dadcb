"""Sealing AuditEvents by what is in memory: nothing is asked of the database, so that it needs no unit of work.

That takes a key which is good still: outside of a unit the store looks whether it is when it writes (``Store.record``).
"""

from collections.abc import Mapping

from fhir_server.crypto.seal import DataKey
from fhir_server.store.protocol import SealedEvent, SealedVersion
from fhir_server.vault.draft import Draft, Leaf
from fhir_server.vault.padding import padding
from fhir_server.vault.reader import Keys

_NONE: Mapping[bytes, DataKey] = {}


def seal_event(
    draft: Draft, leaf: Leaf, keys: Keys, epoch: int, made: Mapping[bytes, DataKey] = _NONE
) -> SealedEvent | None:
    """A new AuditEvent, sealed for its one patient, or for nobody; None if that takes more than is in memory.

    Args:
        made: The keys that this unit of work has made, by their owners' tokens.
    """
    assert draft.previous is None, "only what is new needs no unit"
    if len(draft.patients) > 1 or keys.noted.get(draft.type_):
        return None
    owner = keys.blind.patient(draft.patients[0] if draft.patients else f"type:{draft.type_}")
    key = made.get(owner) or keys.ring.at_hand(owner, epoch)
    if key is None:
        return None
    row, patients = keys.blind.row(draft.type_, draft.id_), owner if draft.patients else b""
    head = (0, row, draft.type_, draft.version, draft.at, False)
    version = SealedVersion(*head, key.id, patients, b"", b"")
    where = keys.place_of(version)
    sealed = version._replace(sealed=key.seal(draft.text.encode(), where))
    tokens = [*draft.tokens, *padding(keys.blind, sealed, len(draft.tokens))]
    return SealedEvent(sealed, tokens, leaf.commitment, key.seal(leaf.k, b"opening|" + where))
