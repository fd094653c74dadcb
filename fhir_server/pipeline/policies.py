"""Compiled consent policies, by patient, kept for as long as the patient's Consents are the same.

The Consents are those that the register names in the snapshot of the request (``vault/register.py``), so that a revocation
holds for the very next request; only the compiling is saved.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping

import orjson

from consent_engine import Compiler, Config, Policy
from fhir_server.errors import TooManyError
from fhir_server.vault.vault import Reader

_KEPT = 10_000
_MOST_CONSENTS = 1000


class Policies:
    """The policies of a deployment and of its patients."""

    def __init__(self, config: Config) -> None:
        self._compiler = Compiler(config)
        self._kept: OrderedDict[bytes, tuple[bytes, Policy]] = OrderedDict()
        self._nobody = self._compiler.policy(())

    def forget(self) -> None:
        """Keep nothing in memory that came out of a Consent."""
        self._kept.clear()

    def of_nobody(self) -> Policy:
        """What holds for records that belong to no patient."""
        return self._nobody

    async def of(self, patient: bytes, reader: Reader) -> Policy:
        """The policy of a patient, by its token, as of the reader's snapshot."""
        return await self._of(patient, await reader.consent_note(patient), reader)

    async def of_each(self, patients: Collection[bytes], reader: Reader) -> dict[bytes, Policy]:
        """The policies of several patients: the register is asked once."""
        if len(patients) < 2:
            return {patient: await self.of(patient, reader) for patient in patients}
        notes = await reader.consent_notes(patients)
        return {patient: await self._of(patient, notes[patient], reader) for patient in patients}

    async def _of(self, patient: bytes, note: bytes, reader: Reader) -> Policy:
        known = self._kept.get(patient)
        if known is not None and known[0] == note:
            return known[1]
        found = await reader.consents(patient, note)
        if len(found) > _MOST_CONSENTS:
            raise TooManyError("a patient has more Consents than can be decided")
        consents: list[Mapping[str, object]] = [
            orjson.loads(await reader.open(version)) for version in found
        ]
        subject = await reader.name(patient)
        policy = self._compiler.policy(consents, subject)
        if not subject:  # before the patient's first record is written: "self" would never hold
            return policy
        self._kept[patient] = (note, policy)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return policy
