"""Checkpoints: the log's size and root as a C2SP signed note, signed twice.

Implements C2SP signed-note, tlog-checkpoint and, for the log's second signature, tlog-cosignature:

- Ed25519, type byte 0x01 (signed-note, "Ed25519 signatures"), over the note text;
- ML-DSA-44, type byte 0x06 (tlog-cosignature, "ML-DSA-44 signed message"), over ``subtree/v1`` with
  the log as its own cosigner, start 0 and the time of signing.

Key id: the first 4 bytes of ``SHA-256(name | "\\n" | type byte | public key)``.  Narrower than
C2SP: extension lines are refused, because the ML-DSA-44 signature does not cover them.

A witness cosigns with ML-DSA-44 in the same way, under its own name, and with Ed25519 (type byte
0x04) over ``cosignature/v1``, the time and the note text.  Signatures of unknown keys are ignored,
as C2SP asks.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from anchoring.errors import CheckpointError
from anchoring.log import signing

ED25519_NOTE = 0x01
ED25519_COSIGNATURE = 0x04
MLDSA44_COSIGNATURE = 0x06
MAX_NOTE_CHARACTERS = 256 * 1024
MAX_SIGNATURES = 32  # C2SP asks for at least 16
MAX_SIZE = 2**64 - 1  # what the ML-DSA-44 message and the contract can hold

_PUBLIC_BYTES = {
    ED25519_NOTE: signing.ED25519_PUBLIC_BYTES,
    ED25519_COSIGNATURE: signing.ED25519_PUBLIC_BYTES,
    MLDSA44_COSIGNATURE: signing.MLDSA44_PUBLIC_BYTES,
}
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")
_SIGNATURE_LINE = re.compile(r"— ([^\s+]{1,255}) ([A-Za-z0-9+/=]{1,8192})")
_TIMESTAMP_BYTES = 8
_MAX_TIME = 2**63 - 1
_KEY_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class LogKey:
    """A public key that a log or a witness signs with.

    Attributes:
        name: Key name; a log's is its origin.
        type_: Signature type byte of C2SP: 0x01, 0x04 or 0x06.
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
class WitnessSeeds:
    """The private keys of a witness.

    Attributes:
        name: The witness's name, a URL without scheme, such as ``hospital.example/witness``.
        ed25519: Seed, 32 bytes; of no other signer's, because the message does not say whose it is.
        mldsa44: Seed, 32 bytes.
    """

    name: str
    ed25519: bytes
    mldsa44: bytes

    def public_keys(self) -> tuple[LogKey, LogKey]:
        """Give the Ed25519 and the ML-DSA-44 key that verify this witness's cosignatures."""
        return (
            LogKey(self.name, ED25519_COSIGNATURE, signing.ed25519_public(self.ed25519)),
            LogKey(self.name, MLDSA44_COSIGNATURE, signing.mldsa44_public(self.mldsa44)),
        )

    def __repr__(self) -> str:
        """Name the witness only: the seeds must not reach a log line."""
        return f"WitnessSeeds({self.name!r})"


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


def cosign(checkpoint: Checkpoint, seeds: WitnessSeeds, at: datetime) -> str:
    """Cosign a checkpoint with both keys of a witness; two signature lines.

    Args:
        checkpoint: The largest of its log that the witness has proved, and has made durable.
        seeds: The witness's keys.
        at: When that was so, UTC.
    """
    ed25519, mldsa44 = seeds.public_keys()
    stamp = int(at.timestamp()).to_bytes(_TIMESTAMP_BYTES, "big")
    plain = signing.ed25519_sign(seeds.ed25519, _cosigned_message(checkpoint, stamp))
    message = _subtree_message(checkpoint, mldsa44.name, stamp)
    lattice = signing.mldsa44_sign(seeds.mldsa44, message)
    return _line(ed25519, stamp + plain) + _line(mldsa44, stamp + lattice)


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
    signed = signers(note, keys)
    for key in keys:
        if key not in signed:
            raise CheckpointError(f"no signature by key {key.key_id.hex()}")
    return parse(note)[0]


def signers(note: str, keys: Sequence[LogKey]) -> tuple[LogKey, ...]:
    """Say which of these keys signed the note, in their order.

    Raises:
        CheckpointError: A signature that one of them is said to have made is wrong.
    """
    checkpoint, signatures = parse(note)
    found = []
    for key in keys:
        made = [s for s in signatures if (s.name, s.key_id) == (key.name, key.key_id)]
        for signature in made:
            _verify_one(checkpoint, key, signature.signature)
        found += [key] if made else []
    return tuple(found)


def only(note: str, keys: Sequence[LogKey]) -> str:
    """Give the note with no other signatures than by these keys, one of each; nothing is verified."""
    checkpoint, signatures = parse(note)
    made = {(s.name, s.key_id): s.signature for s in reversed(signatures)}
    lines = [
        _line(key, made[key.name, key.key_id]) for key in keys if (key.name, key.key_id) in made
    ]
    return f"{checkpoint.text()}\n{''.join(lines)}"


def parse_vkey(vkey: str) -> LogKey:
    """Read a C2SP verifier key.

    Raises:
        CheckpointError: Wrong form, unknown type byte, wrong length, or a key id of another key.
    """
    name, _, rest = vkey.partition("+")
    key_id, _, material = rest.partition("+")
    decoded = decode_base64(material)
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


def _cosigned_message(checkpoint: Checkpoint, stamp: bytes) -> bytes:
    """Write what a witness signs with Ed25519 (tlog-cosignature, "Ed25519 signed message")."""
    seconds = int.from_bytes(stamp, "big")
    return f"cosignature/v1\ntime {seconds}\n{checkpoint.text()}".encode()


def _verify_one(checkpoint: Checkpoint, key: LogKey, signature: bytes) -> None:
    if key.type_ == ED25519_NOTE:
        signing.ed25519_verify(key.public, signature, checkpoint.text().encode())
        return
    stamp, rest = signature[:_TIMESTAMP_BYTES], signature[_TIMESTAMP_BYTES:]
    if int.from_bytes(stamp, "big") > _MAX_TIME:
        raise CheckpointError("a cosignature is of a time that there is not")
    if key.type_ == ED25519_COSIGNATURE:
        signing.ed25519_verify(key.public, rest, _cosigned_message(checkpoint, stamp))
        return
    if len(rest) != signing.MLDSA44_SIGNATURE_BYTES:
        raise CheckpointError("an ML-DSA-44 signature has a wrong length")
    signing.mldsa44_verify(key.public, rest, _subtree_message(checkpoint, key.name, stamp))


def _read_text(origin: str, size: str, root: str) -> Checkpoint:
    if not _NAME.fullmatch(origin):
        raise CheckpointError("the origin is no name")
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise CheckpointError("the size is not a decimal number below 2**64 without leading zeros")
    decoded = decode_base64(root)
    if len(decoded) != 32:
        raise CheckpointError("the root does not have 32 bytes")
    return Checkpoint(origin, int(size), decoded)


def _read_signature(line: str) -> NoteSignature:
    found = _SIGNATURE_LINE.fullmatch(line)
    if not found:
        raise CheckpointError("a signature line has a wrong form")
    decoded = decode_base64(found[2])
    if len(decoded) <= _KEY_ID_BYTES:
        raise CheckpointError("a signature line holds no signature")
    return NoteSignature(found[1], decoded[:_KEY_ID_BYTES], decoded[_KEY_ID_BYTES:])


def decode_base64(text: str) -> bytes:
    """Decode RFC 4648, section 4.

    Raises:
        CheckpointError: It is not that, or not the one spelling of its bytes.
    """
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError("not base64") from error
    if base64.b64encode(decoded).decode() != text:
        raise CheckpointError("not canonical base64")
    return decoded
