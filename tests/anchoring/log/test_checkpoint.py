"""Signed notes: what is written, what verifies, and above all what does not."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest

from anchoring.errors import CheckpointError
from anchoring.log import checkpoint as note
from anchoring.log import signing
from anchoring.log.checkpoint import Checkpoint, LogKey, LogSeeds

SEEDS = LogSeeds("hospital.example/audit", b"\x02" * 32, b"\x03" * 32)
AT = datetime(2026, 11, 21, tzinfo=UTC)
STATE = Checkpoint(SEEDS.origin, 20852163, hashlib.sha256(b"root").digest())
NOTE = note.sign(STATE, SEEDS, AT)
KEYS = SEEDS.public_keys()

# C2SP signed-note, "Format": the example note's line, whose key is not published; and
# C2SP tlog-checkpoint's example, for the form alone
C2SP_EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


def lines(text: str) -> list[str]:
    return text.split("\n")


def test_the_example_of_c2sp_is_read() -> None:
    read, signatures = note.parse(C2SP_EXAMPLE)
    assert (read.origin, read.size) == ("example.com/behind-the-sofa", 20852163)
    assert [len(s.signature) for s in signatures] == [64]
    assert read.text() == C2SP_EXAMPLE.split("\n\n")[0] + "\n"


def test_both_signatures_verify_and_give_the_state() -> None:
    assert note.verify(NOTE, KEYS) == STATE
    assert note.verify(NOTE, KEYS[:1]) == STATE
    assert note.verify(NOTE, KEYS[1:]) == STATE


def test_key_ids_are_made_as_c2sp_says() -> None:
    ed25519, mldsa44 = KEYS
    name = SEEDS.origin.encode() + b"\n"
    assert ed25519.key_id == hashlib.sha256(name + b"\x01" + ed25519.public).digest()[:4]
    assert mldsa44.key_id == hashlib.sha256(name + b"\x06" + mldsa44.public).digest()[:4]
    assert (len(ed25519.public), len(mldsa44.public)) == (32, 1312)


def test_ed25519_signs_the_note_text() -> None:
    _, signatures = note.parse(NOTE)
    text = NOTE.split("\n\n")[0] + "\n"
    signing.ed25519_verify(KEYS[0].public, signatures[0].signature, text.encode())


def test_mldsa44_signs_the_subtree_message_with_the_time() -> None:
    _, signatures = note.parse(NOTE)
    stamp, lattice = signatures[1].signature[:8], signatures[1].signature[8:]
    assert int.from_bytes(stamp, "big") == int(AT.timestamp())
    name = SEEDS.origin.encode()
    message = b"subtree/v1\n\x00" + bytes([len(name)]) + name + stamp  # C2SP tlog-cosignature
    message += bytes([len(name)]) + name + bytes(8) + STATE.size.to_bytes(8, "big") + STATE.root
    signing.mldsa44_verify(KEYS[1].public, lattice, message)


def test_nobody_to_verify_with_proves_nothing() -> None:
    with pytest.raises(CheckpointError, match="no key"):
        note.verify(NOTE, ())


def test_a_note_without_one_of_the_signatures_is_refused() -> None:
    for dropped in (4, 5):
        kept = [line for i, line in enumerate(lines(NOTE)) if i != dropped]
        with pytest.raises(CheckpointError, match="no signature by key"):
            note.verify("\n".join(kept), KEYS)


def test_a_second_wrong_signature_by_a_known_key_is_refused() -> None:
    other = note.sign(Checkpoint(SEEDS.origin, 5, bytes(32)), SEEDS, AT)
    with pytest.raises(CheckpointError, match="does not verify"):
        note.verify(NOTE + lines(other)[4] + "\n", KEYS)


def test_signatures_of_unknown_keys_are_ignored_but_prove_nothing() -> None:
    witness = LogSeeds("witness.example/w1", b"\x04" * 32, b"\x05" * 32)
    stranger = lines(note.sign(Checkpoint(witness.origin, 5, bytes(32)), witness, AT))[4]
    assert note.verify(NOTE + stranger + "\n", KEYS) == STATE
    with pytest.raises(CheckpointError):
        note.verify(NOTE, witness.public_keys())


@pytest.mark.parametrize("line", [0, 1, 2, 4, 5])
def test_any_changed_character_of_the_note_is_refused(line: int) -> None:
    changed = lines(NOTE)
    for at in range(0, len(changed[line]), 1 if len(changed[line]) < 200 else 97):
        character = changed[line][at]
        swapped = changed[line][:at] + ("A" if character != "A" else "B") + changed[line][at + 1 :]
        forged = "\n".join([*changed[:line], swapped, *changed[line + 1 :]])
        with pytest.raises(CheckpointError):
            note.verify(forged, KEYS)


def test_another_time_in_the_mldsa44_signature_is_refused() -> None:
    _, signatures = note.parse(NOTE)
    forged = bytes(8) + signatures[1].signature[8:]
    line = f"— {SEEDS.origin} {base64.b64encode(KEYS[1].key_id + forged).decode()}"
    with pytest.raises(CheckpointError, match="ML-DSA-44"):
        note.verify("\n".join([*lines(NOTE)[:5], line, ""]), KEYS)


BODY, SIGNATURES = NOTE.split("\n\n")
ORIGIN, SIZE, ROOT = BODY.split("\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        BODY,
        BODY + "\n\n",
        BODY + "\n" + SIGNATURES,  # no blank line
        NOTE[:-1],  # the last line does not end
        NOTE + "\n",
        NOTE.replace("\n", "\r\n"),
        f"{ORIGIN}\n0{SIZE}\n{ROOT}\n\n{SIGNATURES}",
        f"{ORIGIN}\n+{SIZE}\n{ROOT}\n\n{SIGNATURES}",
        f"{ORIGIN}\n-1\n{ROOT}\n\n{SIGNATURES}",
        f"{ORIGIN}\n١\n{ROOT}\n\n{SIGNATURES}",  # a digit, but not an ASCII one
        f"{ORIGIN}\n{2**64}\n{ROOT}\n\n{SIGNATURES}",
        f"{ORIGIN}\n{'9' * 100_000}\n{ROOT}\n\n{SIGNATURES}",
        f"{ORIGIN}\n{SIZE}\n{ROOT[:-1]}\n\n{SIGNATURES}",
        f"{ORIGIN}\n{SIZE}\n{ROOT[:-4]}\n\n{SIGNATURES}",
        f"{ORIGIN}\n{SIZE}\n{ROOT[:-2]}h=\n\n{SIGNATURES}",  # bits behind the last byte
        f"{ORIGIN}\n{SIZE}\n{ROOT}\nextension\n\n{SIGNATURES}",
        f"\n{SIZE}\n{ROOT}\n\n{SIGNATURES}",
        f"has space\n{SIZE}\n{ROOT}\n\n{SIGNATURES}",
        f"has+plus\n{SIZE}\n{ROOT}\n\n{SIGNATURES}",
        f"{BODY}\n\n- {ORIGIN} AAAAAAAA\n",
        f"{BODY}\n\n— {ORIGIN} AAAA\n",
        f"{BODY}\n\n— {ORIGIN} ????????\n",
        f"{BODY}\n\n— {ORIGIN}  AAAAAAAA\n",
        f"{BODY}\n\n" + f"— {ORIGIN} AAAAAAAA\n" * 33,
        "x" * (1024 * 1024),
    ],
)
def test_a_note_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        note.parse(text)


def test_a_log_signs_only_under_its_own_name() -> None:
    with pytest.raises(CheckpointError):
        note.sign(Checkpoint("other.example", 1, bytes(32)), SEEDS, AT)
    for name in ("", "has space", "has+plus", "line\nbreak", "x" * 256):
        with pytest.raises(CheckpointError):
            note.sign(Checkpoint(name, 1, bytes(32)), LogSeeds(name, b"\x02" * 32, bytes(32)), AT)


def test_verifier_keys_are_read_back() -> None:
    for key in KEYS:
        assert note.parse_vkey(key.vkey) == key


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+",
        "name+00000000+AQ==",
        KEYS[0].vkey[:-1],
        KEYS[0].vkey.replace("+", " ", 1),
        KEYS[0].vkey.replace("audit", "other"),
        LogKey("name", 2, KEYS[0].public).vkey,  # a type that is not known
        LogKey("name", 6, KEYS[0].public).vkey,  # a type of another length
        KEYS[0].vkey.replace(KEYS[0].key_id.hex(), KEYS[0].key_id.hex().upper()),
    ],
)
def test_a_malformed_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(CheckpointError):
        note.parse_vkey(vkey)


def test_a_public_key_that_is_none_is_refused() -> None:
    with pytest.raises(CheckpointError):
        signing.ed25519_verify(b"short", bytes(64), b"")
    with pytest.raises(CheckpointError):
        signing.mldsa44_verify(b"short", bytes(2420), b"")


def test_seeds_do_not_show_in_a_representation() -> None:
    assert repr(SEEDS) == "LogSeeds('hospital.example/audit')"
