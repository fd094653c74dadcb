"""What an erasure has done so far, in its note: kept in the unit of work that does it, so that it is right after a crash."""

from dataclasses import dataclass, field, fields

import orjson

from fhir_server.store.shelf import Notes
from fhir_server.vault.noted import as_written

BEGUN = "erasing|"


@dataclass(slots=True)
class Done:
    """What was done in one unit of work, for the patient of a token.

    Attributes:
        buried: Records that have become tombstones.
        shared: Versions that were sealed anew without her.
        consents: Row keys, hexadecimal, of her Consents that named others, too.
    """

    buried: int = 0
    shared: int = 0
    consents: list[str] = field(default_factory=list)

    def __add__(self, other: "Done") -> "Done":
        return Done(
            self.buried + other.buried, self.shared + other.shared, self.consents + other.consents
        )

    def pack(self) -> bytes:
        """As it is kept: JSON."""
        return orjson.dumps({each.name: getattr(self, each.name) for each in fields(self)})


class Tally:
    """What is done to the patient of a token; the note says that she is being erased."""

    def __init__(self, owner: bytes) -> None:
        self._name = BEGUN + owner.hex()
        self.unit = Done()  # of this unit of work

    async def keep(self, notes: Notes) -> None:
        """Add it to the note; where there is none, somebody else has ended the erasure.

        Raises:
            TamperedRecordError: The note is not what was written.
        """
        noted = await notes.find(self._name)
        if noted is not None and self.unit != Done():
            await notes.save(self._name, (_read(noted) + self.unit).pack())
            self.unit = Done()

    async def whole(self, notes: Notes) -> Done:
        """All that was kept.

        Raises:
            TamperedRecordError: The note is not what was written.
        """
        return _read(await notes.find(self._name) or b"")

    async def begin(self, notes: Notes) -> None:
        """Note that she is being erased; what a former attempt has done stands."""
        if await notes.find(self._name) is None:
            await notes.save(self._name, b"")

    async def end(self, notes: Notes) -> None:
        """Forget the note: she is erased."""
        await notes.drop(self._name)


def _read(noted: bytes) -> Done:
    with as_written("the note of an erasure under way"):
        return Done(**orjson.loads(noted)) if noted else Done()
