"""Cosignatures: what a witness signs, and what does not verify as one."""

import base64
from datetime import UTC, datetime

import pytest

from anchoring.errors import CheckpointError
from anchoring.log import checkpoint as note
from anchoring.log import signing
from anchoring.log.checkpoint import Checkpoint, LogSeeds, WitnessSeeds

LOG = LogSeeds("hospital.example/audit", b"\x02" * 32, b"\x03" * 32)
WITNESS = WitnessSeeds("clinic.example/witness", b"\x04" * 32, b"\x05" * 32)
AT = datetime(2023, 3, 20, 12, 12, 27, tzinfo=UTC)
STATE = Checkpoint(LOG.origin, 20852163, b"r" * 32)
SIGNED = note.sign(STATE, LOG, AT)
LINES = note.cosign(STATE, WITNESS, AT)
COSIGNED = SIGNED + LINES
KEYS = WITNESS.public_keys()


def raw(line: str) -> bytes:
    return base64.b64decode(line.split(" ")[2])


def test_a_cosigned_note_verifies_by_the_keys_of_log_and_witness() -> None:
    assert note.verify(COSIGNED, [*LOG.public_keys(), *KEYS]) == STATE
    assert note.signers(COSIGNED, [*KEYS, *LOG.public_keys()]) == (*KEYS, *LOG.public_keys())
    assert note.signers(SIGNED, KEYS) == ()


def test_the_ed25519_message_is_that_of_c2sp() -> None:
    """tlog-cosignature, "Ed25519 signed message": its example's header and time, then the note text."""
    first = raw(LINES.splitlines()[0])
    message = f"cosignature/v1\ntime 1679314347\n{SIGNED.partition(chr(10) * 2)[0]}\n".encode()
    assert first[:4] == KEYS[0].key_id
    assert int.from_bytes(first[4:12], "big") == 1679314347
    signing.ed25519_verify(KEYS[0].public, first[12:], message)
    assert [key.type_ for key in KEYS] == [0x04, 0x06]
    assert note.parse_vkey(KEYS[0].vkey) == KEYS[0]


def test_the_mldsa44_message_names_the_witness_and_the_log() -> None:
    second = raw(LINES.splitlines()[1])
    name, origin = WITNESS.name.encode(), LOG.origin.encode()
    message = b"subtree/v1\n\x00" + bytes([len(name)]) + name + second[4:12]
    message += bytes([len(origin)]) + origin + bytes(8) + STATE.size.to_bytes(8, "big") + STATE.root
    signing.mldsa44_verify(KEYS[1].public, second[12:], message)


@pytest.mark.parametrize("line", [0, 1])
def test_a_cosignature_of_another_time_root_or_log_is_refused(line: int) -> None:
    made = LINES.splitlines()[line]
    later = raw(made)[:4] + (1).to_bytes(8, "big") + raw(made)[12:]
    endless = raw(made)[:4] + b"\xff" * 8 + raw(made)[12:]
    for forged in (later, endless, raw(made)[:-1], raw(made) + b"x", raw(made)[:12]):
        text = f"— {WITNESS.name} {base64.b64encode(forged).decode()}\n"
        with pytest.raises(CheckpointError):
            note.signers(SIGNED + text, KEYS)
    for other in (Checkpoint(LOG.origin, STATE.size, b"s" * 32), Checkpoint(LOG.origin, 5, b"r" * 32)):  # fmt: skip
        with pytest.raises(CheckpointError):
            note.signers(note.sign(other, LOG, AT) + made + "\n", KEYS)


def test_a_signature_of_a_note_is_no_cosignature() -> None:
    """The same key under another type byte has another id, and signs another message."""
    same = LogSeeds(WITNESS.name, WITNESS.ed25519, WITNESS.mldsa44)
    as_log = note.sign(Checkpoint(WITNESS.name, STATE.size, STATE.root), same, AT)
    assert note.signers(as_log, [KEYS[0]]) == ()


def test_only_the_signatures_asked_for_are_kept() -> None:
    stranger = WitnessSeeds("stranger.example/w", b"\x06" * 32, b"\x07" * 32)
    crowded = COSIGNED + note.cosign(STATE, stranger, AT)
    assert note.only(crowded, [*LOG.public_keys(), *KEYS]) == COSIGNED
    assert note.only(crowded, LOG.public_keys()) == SIGNED


def test_seeds_do_not_show_in_a_representation() -> None:
    assert repr(WITNESS) == "WitnessSeeds('clinic.example/witness')"
