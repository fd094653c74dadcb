"""read and vread (R4 http.html, 3.1.0.2 and 3.1.0.3)."""

from collections.abc import Sequence

from fhir_server.errors import GoneError, NotFoundError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.conditional import is_unchanged
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.stages import located, nothing, one
from fhir_server.store.protocol import SealedVersion

MISSING = "there is no such resource, or you may not see it"


async def read(in_scope: InScope, desk: Desk) -> Opened:
    """The current version.

    Raises:
        NotFoundError: Missing, or not permitted: the caller can not tell which.
        GoneError: Deleted, for a caller who was permitted to see it.
    """
    interaction = in_scope.asked.interaction
    version = await desk.reader.find(interaction.type_, interaction.id_)
    if version is None:
        raise NotFoundError(MISSING)
    former = await last_living(version, desk) if version.deleted else ()
    records = await desk.gate.admit(located(in_scope, (version,), former=former))
    if not records:
        raise NotFoundError(MISSING)
    if version.deleted:
        raise GoneError("the resource was deleted")
    if is_unchanged(interaction, version):
        return nothing(in_scope, 304, records=records)
    return one(in_scope, records[0])


async def vread(in_scope: InScope, desk: Desk) -> Opened:
    """A named version, if both it and the current one are permitted (a label set later holds for older versions too).

    Raises:
        NotFoundError: Missing, or not permitted.
        GoneError: That version is the deletion.
    """
    interaction = in_scope.asked.interaction
    version = await desk.reader.find(interaction.type_, interaction.id_, interaction.version)
    current = await desk.reader.find(interaction.type_, interaction.id_)
    if version is None or current is None:
        raise NotFoundError(MISSING)
    former = await last_living(current, desk)
    records = await desk.gate.admit(located(in_scope, (version,), former=former))
    if not records:
        raise NotFoundError(MISSING)
    if version.deleted:
        raise GoneError("this version is the deletion of the resource")
    return one(in_scope, records[0])


async def last_living(version: SealedVersion, desk: Desk) -> Sequence[SealedVersion]:
    """The newest version that has content: its labels hold for the tombstone and for older versions."""
    if not version.deleted:
        return (version,)
    return [v for v in await desk.reader.history(version.rid) if not v.deleted][:1]
