"""The public log: what can be told from it is how many events there were at each checkpoint, and nothing else.

An attacker reads all of ``/log/`` without a token, and knows a patient's id, the AuditEvent's text, or both.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import httpx2
import pytest

from anchoring.log import checkpoint
from fhir_server.commands.story.play import Play

from ..anchoring.mirror import Mirror, mirrored
from ..conftest import clinic

__all__ = ["clinic"]  # the real server, not the one in process


@pytest.fixture
def read(consented: Play) -> Iterator[tuple[Play, Mirror]]:
    """A chart that was written and read, and all of the log."""
    consented.ehr().get(consented.patient)
    with httpx2.Client(base_url=consented.server.url) as client:
        yield consented, mirrored(client)


def test_the_log_can_be_mirrored_without_a_token_and_holds_only_commitments(
    read: tuple[Play, Mirror],
) -> None:
    play, mirror = read
    assert len(mirror.entries) == mirror.size
    assert all(len(entry) == 32 for entry in mirror.entries)
    assert len(set(mirror.entries)) == mirror.size  # the same read twice leaves two that differ
    everything = mirror.everything()
    for known in (play.patient, play.patient.partition("/")[2], play.user, "Patient", "AuditEvent"):
        assert known.encode() not in everything


def test_who_knows_an_event_s_text_finds_it_only_with_its_key(read: tuple[Play, Mirror]) -> None:
    """No entry is a hash of what an attacker may know or guess: a k of 32 random bytes is in each."""
    play, mirror = read
    auditor = play.person("irisa")
    found = auditor.get(f"AuditEvent?{play.about}&_count=5").references
    texts = [auditor.get(reference).body for reference in found]
    assert texts
    guessed = {
        made
        for text in texts
        for made in (
            hashlib.sha256(text).digest(),
            hashlib.sha256(b"\x00" + text).digest(),
            hmac.digest(bytes(32), b"fhir-audit/v1\x00" + text, "sha256"),
            hmac.digest(b"", b"fhir-audit/v1\x00" + text, "sha256"),
        )
    }
    assert not guessed & {*mirror.entries, *mirror.leaves}


def test_what_happens_after_a_checkpoint_shows_nowhere_before_the_next(
    read: tuple[Play, Mirror],
) -> None:
    play, _ = read
    with httpx2.Client(base_url=play.server.url) as client:
        for _attempt in range(3):
            before = _size(client)
            play.ehr().get(play.patient)
            beyond = _first_beyond(before)
            answers = [client.get(f"/log/tile/{level}/{beyond}").status_code
                       for level in ("0", "entries")]  # fmt: skip
            if _size(client) == before:  # no checkpoint came meanwhile
                assert answers == [404, 404]
                return
    pytest.fail("checkpoints come faster than they should")


def test_reading_the_log_leaves_no_trace_in_it(read: tuple[Play, Mirror]) -> None:
    """So that whoever mirrors does not make it grow, and nobody can fill it without a token."""
    play, _ = read
    with httpx2.Client(base_url=play.server.url) as client:
        before = play.person("irisa").get("AuditEvent?_summary=count").value["total"]
        for _ in range(20):
            client.get("/log/checkpoint")
            client.get("/log/tile/0/000.p/1")
        after = play.person("irisa").get("AuditEvent?_summary=count").value["total"]
    assert after - before < 20  # the first count itself, which is about several patients


def _size(client: httpx2.Client) -> int:
    state, _ = checkpoint.parse(client.get("/log/checkpoint").text)
    return state.size


def _first_beyond(size: int) -> str:
    index, width = divmod(size, 256)
    return f"{index:03}.p/{width + 1}" if width < 255 else f"{index:03}"
