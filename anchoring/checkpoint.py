"""Checkpoints: the log's size and root as a C2SP signed note, signed twice.

Implements C2SP signed-note, tlog-checkpoint and, for the log's second signature, tlog-cosignature:

- Ed25519, type byte 0x01 (signed-note, "Ed25519 signatures"), over the note text;
- ML-DSA-44, type byte 0x06 (tlog-cosignature, "ML-DSA-44 signed message"), over ``subtree/v1`` with
  the log as its own cosigner, start 0 and the time of signing.

Key id: the first 4 bytes of ``SHA-256(name | "\\n" | type byte | public key)``.  Narrower than
C2SP: extension lines are refused, because the ML-DSA-44 signature does not cover them.  Not here:
witnesses' cosignatures, which are ignored as signatures of unknown keys, as C2SP asks.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from anchoring import signing
from anchoring.errors import CheckpointError

ED25519_NOTE = 0x01
MLDSA44_COSIGNATURE = 0x06
MAX_NOTE_CHARACTERS = 256 * 1024
MAX_SIGNATURES = 32  # C2SP asks for at least 16
MAX_SIZE = 2**64 - 1  # what the ML-DSA-44 message and the contract can hold

_PUBLIC_BYTES = {
    ED25519_NOTE: signing.ED25519_PUBLIC_BYTES,
    MLDSA44_COSIGNATURE: signing.MLDSA44_PUBLIC_BYTES,
}
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")
_SIGNATURE_LINE = re.compile(r"— ([^\s+]{1,255}) ([A-Za-z0-9+/=]{1,8192})")
_TIMESTAMP_BYTES = 8
_KEY_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class LogKey:
    """A public key that a log signs with.

    Attributes:
        name: Key name; a log's is its origin.
        type_: Signature type byte of C2SP: 0x01 or 0x06.
        public: Raw public key, 32 or 1,312 bytes.
    """

    name: str
    type_: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that stand before each signature by this key."""
        named = self.name.encode() + b"\n" + bytes([self.type_]) + self.public
        return hashlib.sha256(named).digest()[:_KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key as C2SP verifier key: ``name+hex key id+base64(type byte | key)``."""
        material = base64.b64encode(bytes([self.type_]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"


@dataclass(frozen=True, slots=True)
class LogSeeds:
    """The private keys of a log.

    Attributes:
        origin: The log's name, a URL without scheme, such as ``hospital.example/audit``.
        ed25519: Seed, 32 bytes.
        mldsa44: Seed, 32 bytes.
    """

    origin: str
    ed25519: bytes
    mldsa44: bytes

    def public_keys(self) -> tuple[LogKey, LogKey]:
        """Give the Ed25519 and the ML-DSA-44 key that verify this log's checkpoints."""
        return (
            LogKey(self.origin, ED25519_NOTE, signing.ed25519_public(self.ed25519)),
            LogKey(self.origin, MLDSA44_COSIGNATURE, signing.mldsa44_public(self.mldsa44)),
        )

    def __repr__(self) -> str:
        """Name the log only: the seeds must not reach a log line."""
        return f"LogSeeds({self.origin!r})"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log.

    Attributes:
        origin: The log's name.
        size: Leaves in the tree.
        root: Root over them, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text, which is what Ed25519 signs."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, not yet verified.

    Attributes:
        name: Key name.
        key_id: 4 bytes.
        signature: What follows the key id; for ML-DSA-44, timestamp (8) and signature (2,420).
    """

    name: str
    key_id: bytes
    signature: bytes


def log_id(origin: str) -> bytes:
    """Give the 32 bytes that name a log on chain: SHA-256 of its origin (as C2SP tlog-witness)."""
    return hashlib.sha256(origin.encode()).digest()


def sign(checkpoint: Checkpoint, seeds: LogSeeds, at: datetime) -> str:
    """Sign a checkpoint with both keys; the text of the signed note.

    Args:
        checkpoint: What to sign.  The caller must have proved it consistent with every checkpoint
            that the log signed before (tlog-checkpoint).
        seeds: The log's keys; ``origin`` must be the checkpoint's.
        at: Time of signing, UTC, which the ML-DSA-44 signature covers.

    Raises:
        CheckpointError: The origin is not that of the keys, or is no name.
    """
    if checkpoint.origin != seeds.origin or not _NAME.fullmatch(checkpoint.origin):
        raise CheckpointError("the origin is not the name of the signing keys")
    text = checkpoint.text()
    ed25519, mldsa44 = seeds.public_keys()
    plain = signing.ed25519_sign(seeds.ed25519, text.encode())
    stamp = int(at.timestamp()).to_bytes(_TIMESTAMP_BYTES, "big")
    message = _subtree_message(checkpoint, mldsa44.name, stamp)
    lattice = stamp + signing.mldsa44_sign(seeds.mldsa44, message)
    return f"{text}\n{_line(ed25519, plain)}{_line(mldsa44, lattice)}"


def parse(note: str) -> tuple[Checkpoint, tuple[NoteSignature, ...]]:
    """Read a signed note, verifying nothing yet.

    Raises:
        CheckpointError: It is not a checkpoint in exactly the form that C2SP describes, or larger
            than 256 Ki characters, or has more than 32 signatures.
    """
    if len(note) > MAX_NOTE_CHARACTERS:
        raise CheckpointError("the note is too large")
    text, blank, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) != 3:
        raise CheckpointError("a checkpoint is three lines, a blank line, and signatures")
    if not signatures.endswith("\n"):
        raise CheckpointError("the last signature line does not end")
    signature_lines = signatures[:-1].split("\n")
    if len(signature_lines) > MAX_SIGNATURES:
        raise CheckpointError(f"a note has at most {MAX_SIGNATURES} signatures")
    return _read_text(*lines), tuple(_read_signature(line) for line in signature_lines)


def verify(note: str, keys: Sequence[LogKey]) -> Checkpoint:
    """Prove that every one of these keys signed the note; returns what they signed.

    Raises:
        CheckpointError: No keys were given, a key did not sign, or one of its signatures is wrong.
    """
    if not keys:
        raise CheckpointError("no key to verify the checkpoint with")
    checkpoint, signatures = parse(note)
    for key in keys:
        made = [s for s in signatures if (s.name, s.key_id) == (key.name, key.key_id)]
        if not made:
            raise CheckpointError(f"no signature by key {key.key_id.hex()}")
        for signature in made:
            _verify_one(checkpoint, key, signature.signature)
    return checkpoint


def parse_vkey(vkey: str) -> LogKey:
    """Read a C2SP verifier key.

    Raises:
        CheckpointError: Wrong form, unknown type byte, wrong length, or a key id of another key.
    """
    name, _, rest = vkey.partition("+")
    key_id, _, material = rest.partition("+")
    decoded = _decode_base64(material)
    type_, public = decoded[:1], decoded[1:]
    if not _NAME.fullmatch(name) or not type_ or len(public) != _PUBLIC_BYTES.get(type_[0]):
        raise CheckpointError("not a verifier key of a known type")
    key = LogKey(name, type_[0], public)
    if key_id != key.key_id.hex():
        raise CheckpointError("the verifier key's id is that of another key")
    return key


def _line(key: LogKey, signature: bytes) -> str:
    return f"— {key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


def _subtree_message(checkpoint: Checkpoint, cosigner: str, stamp: bytes) -> bytes:
    """Encode ``cosigned_message`` of tlog-cosignature; a checkpoint is the subtree [0, size)."""
    name, origin = cosigner.encode(), checkpoint.origin.encode()
    if len(name) > 255 or len(origin) > 255:
        raise CheckpointError("a name is longer than 255 bytes")
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(name)]) + name,
            stamp,
            bytes([len(origin)]) + origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _verify_one(checkpoint: Checkpoint, key: LogKey, signature: bytes) -> None:
    if key.type_ == ED25519_NOTE:
        signing.ed25519_verify(key.public, signature, checkpoint.text().encode())
        return
    stamp, lattice = signature[:_TIMESTAMP_BYTES], signature[_TIMESTAMP_BYTES:]
    if len(lattice) != signing.MLDSA44_SIGNATURE_BYTES:
        raise CheckpointError("an ML-DSA-44 signature has a wrong length")
    signing.mldsa44_verify(key.public, lattice, _subtree_message(checkpoint, key.name, stamp))


def _read_text(origin: str, size: str, root: str) -> Checkpoint:
    if not _NAME.fullmatch(origin):
        raise CheckpointError("the origin is no name")
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise CheckpointError("the size is not a decimal number below 2**64 without leading zeros")
    decoded = _decode_base64(root)
    if len(decoded) != 32:
        raise CheckpointError("the root does not have 32 bytes")
    return Checkpoint(origin, int(size), decoded)


def _read_signature(line: str) -> NoteSignature:
    found = _SIGNATURE_LINE.fullmatch(line)
    if not found:
        raise CheckpointError("a signature line has a wrong form")
    decoded = _decode_base64(found[2])
    if len(decoded) <= _KEY_ID_BYTES:
        raise CheckpointError("a signature line holds no signature")
    return NoteSignature(found[1], decoded[:_KEY_ID_BYTES], decoded[_KEY_ID_BYTES:])


def _decode_base64(text: str) -> bytes:
    """Decode RFC 4648, section 4, and refuse what does not encode back to the same text."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError("not base64") from error
    if base64.b64encode(decoded).decode() != text:
        raise CheckpointError("not canonical base64")
    return decoded
