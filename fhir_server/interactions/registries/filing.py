"""A version of a Consent as it is, or will be, filed on a chain."""

from collections.abc import Mapping
from dataclasses import dataclass

from anchoring.registry.consents import BroughtWish, ConsentWish, Holder, Status, commitment
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
        wanted: How it should stand on the chain; NONE until the patient's own key has signed its filing.
        brought: Address of the patient's own key, 20 bytes; empty where the key is kept here (else ``key`` is empty).
        words: What her key has signed: calls of the registry, by the name of the status that they lead to.
    """

    registry: str
    patient: str
    consent: str
    version: int
    k: bytes
    key: bytes
    expiry: int
    wanted: Status
    brought: bytes = b""
    words: tuple[tuple[str, bytes], ...] = ()

    @property
    def id(self) -> bytes:
        """Its id on the chain, 32 bytes."""
        return commitment(self.k, "consent", f"{self.consent}|{self.version}")

    @property
    def holder(self) -> Holder:
        """What speaks for it on the chain, where the key is kept here."""
        return Holder(self.id, self.key, self.expiry)

    @property
    def address(self) -> bytes:
        """Address of the holder."""
        return self.brought or self.holder.address

    def word(self, status: Status) -> bytes:
        """The call that the patient's own key has signed for a status; empty for none."""
        return dict(self.words).get(status.name, b"")

    @property
    def wish(self) -> ConsentWish | BroughtWish:
        """What is wanted of the registry."""
        if not self.brought:
            return ConsentWish(self.holder, self.wanted)
        call = self.word(self.wanted)
        return BroughtWish(self.id, self.brought, self.wanted, self.expiry, call)


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
        "brought": filing.brought.hex(),
        "words": {name: call.hex() for name, call in filing.words},
    }


def _unpack(held: Mapping[str, object]) -> Filing:
    version, expiry = held["version"], held["expiry"]
    if not isinstance(version, int) or not isinstance(expiry, int):
        raise TypeError
    words = held.get("words", {})
    assert isinstance(words, dict), "it was written as one"
    return Filing(
        *(str(held["registry"]), str(held["patient"]), str(held["consent"]), version),
        *(bytes.fromhex(str(held["k"])), bytes.fromhex(str(held["key"]))),
        *(expiry, Status[str(held["wanted"])]),
        brought=bytes.fromhex(str(held.get("brought", ""))),
        words=tuple(sorted((name, bytes.fromhex(call)) for name, call in words.items())),
    )


FILINGS = Links(TYPE, _pack, _unpack)
