"""A version of a Consent as it is, or will be, filed on a chain."""

from collections.abc import Mapping
from dataclasses import dataclass

from anchoring.registry.consents import ConsentWish, Holder, Status, commitment
from fhir_server.interactions.registries.links import Links

TYPE = "ChainFiling"


@dataclass(frozen=True, slots=True)
class Filing:
    """One version of a Consent on one registry; a ``Link``.

    Attributes:
        registry: Chain id and address of the registry, ``31337:0x...``.
        patient: Reference of the patient.
        consent: Logical id of the Consent.
        version: Its ``meta.versionId``.
        k: Key of the commitment, 32 bytes.
        key: Private key of the holder, 32 bytes.
        expiry: From when on the chain does not call it active, seconds since 1970.
        wanted: How it should stand on the chain.
    """

    registry: str
    patient: str
    consent: str
    version: int
    k: bytes
    key: bytes
    expiry: int
    wanted: Status

    @property
    def id(self) -> bytes:
        """Its id on the chain, 32 bytes."""
        return commitment(self.k, "consent", f"{self.consent}|{self.version}")

    @property
    def holder(self) -> Holder:
        """What speaks for it on the chain."""
        return Holder(self.id, self.key, self.expiry)

    @property
    def wish(self) -> ConsentWish:
        """What is wanted of the registry."""
        return ConsentWish(self.holder, self.wanted)


def _pack(filing: Filing) -> Mapping[str, object]:
    return {
        "registry": filing.registry,
        "patient": filing.patient,
        "consent": filing.consent,
        "version": filing.version,
        "k": filing.k.hex(),
        "key": filing.key.hex(),
        "expiry": filing.expiry,
        "wanted": filing.wanted.name,
    }


def _unpack(held: Mapping[str, object]) -> Filing:
    version, expiry = held["version"], held["expiry"]
    if not isinstance(version, int) or not isinstance(expiry, int):
        raise TypeError
    return Filing(
        *(str(held["registry"]), str(held["patient"]), str(held["consent"]), version),
        *(bytes.fromhex(str(held["k"])), bytes.fromhex(str(held["key"]))),
        *(expiry, Status[str(held["wanted"])]),
    )


FILINGS = Links(TYPE, _pack, _unpack)
