"""Mirroring: what happens to a Consent here is wanted on the chain.

Whoever writes a Consent, by whatever path, leaves a note in the same unit of work (``Vault.note_changes``).  A job compares
the Consent that is named with its filings, in small units of work of its own: never on the way of a request, and killed
anywhere it begins anew.
"""

import logging
import secrets
from dataclasses import dataclass, replace

import orjson

from anchoring.registry.consents import Status
from fhir_server.errors import InvalidParameterError, KeyDestroyedError
from fhir_server.forms import Json, Record
from fhir_server.interactions.desk import Desk, Tools
from fhir_server.interactions.lifecycle.writers import subject_of
from fhir_server.interactions.registries.filing import FILINGS, Filing
from fhir_server.interactions.registries.links import BROKEN, new_secrets
from fhir_server.search.dates import interval
from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.store.shelf import changed
from fhir_server.vault.vault import Vault, Writer

CONSUMER = "filing"
CHANGED = changed(CONSUMER, "Consent")
MIRRORED = "chain-mirrored"  # a note: the registry that all Consents were brought to the notice of
_LOG = logging.getLogger("consentry")
_UNIT = 16  # Consents in one unit of work
_SWEPT = 200
_DAY = 86_400
_ENDLESS = 100 * 365 * _DAY  # seconds: of a Consent without an end


@dataclass(frozen=True, slots=True)
class Mirror:
    """Mirrors the Consents of a vault on one registry."""

    vault: Vault
    tools: Tools
    registry: str

    async def begin(self) -> None:
        """Note all Consents that there are, once for each registry."""
        async with self.vault.reading() as reader:
            if await reader.notes.find(MIRRORED) == self.registry.encode():
                return
        after = 0
        while True:
            async with self.vault.writing() as writer:
                found = await writer.select(Selection("Consent", after=(0, after), limit=_SWEPT))
                for version in found:
                    await writer.notes.save(CHANGED + version.row.hex(), b"")
                if not found:
                    await writer.notes.save(MIRRORED, self.registry.encode())
                    return
            after = found[-1].rid

    @staticmethod
    async def pause(vault: Vault) -> None:
        """This server runs without a registry: whoever gives it one again has all Consents noted anew."""
        async with vault.reading() as reader:
            if await reader.notes.find(MIRRORED) is None:
                return
        async with vault.writing() as writer:
            await writer.notes.drop(MIRRORED)

    async def step(self, at: int) -> int:
        """Look at some of the Consents that were written; how many that were.

        Args:
            at: Now, milliseconds since 1970 UTC.
        """
        async with self.vault.reading() as reader:
            if not await reader.notes.load(CHANGED):
                return 0
        async with self.vault.writing() as writer:
            rows = sorted(await writer.notes.load(CHANGED))[:_UNIT]
            for row in rows:
                wanted = Selection("Consent", rows=(bytes.fromhex(row),), limit=1)
                for version in await writer.select(wanted):
                    try:
                        await self._compare(writer, version, at)
                    except BROKEN:
                        _LOG.error("integrity", extra={"kind": "Consent"})
                await writer.notes.drop(CHANGED + row)
        return len(rows)

    async def _compare(self, writer: Writer, version: SealedVersion, at: int) -> None:
        try:
            consent = orjson.loads(await writer.open(version))
        except KeyDestroyedError:
            return
        patient = subject_of(consent, self.tools.base)
        if patient not in await writer.patients(version):  # nobody's, or of somebody who was erased
            return
        number = version.version
        expiry = _expiry(consent, at) if consent.get("status") == "active" else 0
        known = False
        for kept in await FILINGS.of(writer, patient):
            filing = kept.link
            if (filing.registry, filing.consent) != (self.registry, consent["id"]):
                continue
            known = known or filing.version == number
            if filing.wanted <= Status.ACTIVE and (filing.version != number or not expiry):
                wanted = Status.REPLACED if expiry else Status.REVOKED
                ended = replace(filing, wanted=wanted)
                due = not filing.brought or ended.word(wanted) != b""
                await FILINGS.put(writer, self.tools, ended, at, kept.version, due=due)
        if expiry and not known:
            k, key = new_secrets(self.tools)
            filing = Filing(
                *(self.registry, patient, consent["id"], number, k, key, expiry),
                wanted=Status.ACTIVE,
            )
            await FILINGS.put(writer, self.tools, filing, at)


async def bring(desk: Desk, consent: Record, patient: str, holder: bytes, at: int) -> None:
    """Let a version be filed under a key of the patient's own, once that has signed it (``$chain-filing``).

    Args:
        holder: The key's address, 20 bytes; it is for the patient to use it for this version only.
        at: Milliseconds since 1970 UTC.

    Raises:
        InvalidParameterError: This server files Consents on no chain, or the key was used before and would link two.
    """
    tools = desk.tools
    if not tools.consents:
        raise InvalidParameterError("this server files Consents on no chain: leave out 'holder'")
    if any(kept.link.brought == holder for kept in await FILINGS.of(desk.unit(), patient)):
        raise InvalidParameterError("'holder' was used before: make a key for this one alone")
    expiry = _expiry(consent.value, at)
    k, _ = new_secrets(tools)
    place = (tools.consents, patient, consent.id_, consent.version.version)
    filing = Filing(*place, k, b"", expiry, Status.NONE, brought=holder)
    await FILINGS.put(desk.unit(), tools, filing, at, due=False)


def _expiry(consent: Json, at: int) -> int:
    """Until when the chain calls it active, seconds since 1970; 0 for what has ended.

    It is the end of the Consent's period and a random part of a day more, so that it links no two Consents.
    """
    end = at // 1000 + _ENDLESS
    provision = consent.get("provision")
    period = provision.get("period") if isinstance(provision, dict) else None
    text = period.get("end") if isinstance(period, dict) else None
    if isinstance(text, str):
        try:
            end = interval(text).high // 1000
        except InvalidParameterError:
            return 0  # nobody can interpret it: it permits nothing
    return end + secrets.randbelow(_DAY) if end > at // 1000 else 0
