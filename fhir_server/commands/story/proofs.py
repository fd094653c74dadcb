"""Steps 7 and 8 of the story: the log is proved with the server stopped, and the files tell nothing.

Verification runs as its own program on files: what it proves does not rest on a running server.
"""

import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from fhir_server import sample
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.expecting import require, require_status
from fhir_server.commands.story.play import Play
from fhir_server.commands.story.server import environment
from fhir_server.commands.story.steps import every_request_is_on_record, glass_event
from fhir_server.store.opening import DATABASE_FILE

_ANCHORED = 60.0  # seconds until the log must be anchored
_LOOK = 0.25


def prove_log(play: Play) -> None:
    """Every step is on record; a receipt and the log are proved with the server stopped, and no change passes."""
    count = every_request_is_on_record(play)
    asked = f"each of the story's {len(play.replies)} requests"
    play.teller.tell("Irisa", asked, f"on record, {count} AuditEvents")
    receipt = play.folder / "receipt.json"
    receipt.write_bytes(_fetch_receipt(play))
    asked = f"GET {glass_event(play)[:19]}.../$receipt"
    play.teller.tell("Rosalind", asked, f"saved, {receipt.stat().st_size:,} bytes")
    play.server.stop()
    proved = _steps(_must_prove("verify", [str(receipt)]))
    play.teller.tell("Anybody", "consentry verify receipt.json, server stopped", f"proved {proved}")
    said = _must_prove("audit", ["--data", str(play.server.data)])
    play.teller.tell("Irisa", "consentry audit, the whole log", _first_line(said))
    _forge(play, receipt)


def _forge(play: Play, receipt: Path) -> None:
    """One byte is changed in copies of the receipt and of the database; verification names what is wrong."""
    said = _must_fail("verify", [str(_changed_receipt(receipt))])
    play.teller.tell("Forger", "one byte changed in the receipt", _first_line(said))
    place = json.loads(receipt.read_bytes())["leafIndex"]
    copy = _changed_log(play.server.data, play.folder / "changed", receipt)
    said = _must_fail("audit", ["--data", str(copy)])
    require(f"event {place}" in said, "verification does not name the event that was changed")
    play.teller.tell("Forger", "one byte changed in the audit table", _first_line(said))


def _fetch_receipt(play: Play) -> bytes:
    """The receipt of the broken glass, as soon as the log is anchored."""
    patient = play.person(play.user)
    deadline = time.monotonic() + _ANCHORED
    while time.monotonic() < deadline:
        reply = patient.get(f"{glass_event(play)}/$receipt")
        if reply.status != 409:
            return require_status(reply, 200).body
        time.sleep(_LOOK)
    raise StepError("the log was not anchored in time")


def _changed_receipt(receipt: Path) -> Path:
    """A copy whose AuditEvent differs in one byte."""
    content = receipt.read_bytes()
    place = content.index(json.loads(content)["event"].encode()) + 200
    other = b"A" if content[place : place + 1] != b"A" else b"B"
    copy = receipt.with_name("receipt-changed.json")
    copy.write_bytes(content[:place] + other + content[place + 1 :])
    return copy


def _changed_log(data: Path, copy: Path, receipt: Path) -> Path:
    """A copy of the server's folder: in its audit table, one byte of the receipt's commitment is another."""
    shutil.copytree(data, copy)
    text = json.loads(receipt.read_bytes())["commitment"]
    commitment = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    changed = bytes([commitment[0] ^ 1]) + commitment[1:]
    places = 0
    for file in filter(Path.is_file, copy.glob(f"{DATABASE_FILE}*")):
        content = file.read_bytes()
        places += content.count(commitment)
        file.write_bytes(content.replace(commitment, changed))
    require(places, "the commitment of the receipt is not in the database")
    return copy


def _must_prove(command: str, arguments: Sequence[str]) -> str:
    status, said = _run(command, arguments)
    require(status == 0, f"consentry {command} {arguments[0]} fails: {said[-300:]}")
    return said


def _must_fail(command: str, arguments: Sequence[str]) -> str:
    status, said = _run(command, arguments)
    require(status == 1 and "FAILED" in said, f"a changed byte passes: {said[-300:]}")
    return said


def _run(command: str, arguments: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-m", "fhir_server", command, *arguments],
        env=environment({"log_level": "error"}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, f"{done.stdout}{done.stderr}"


def _steps(said: str) -> str:
    """The names of the steps that the verifier proved."""
    lines = [line.split() for line in said.splitlines()]
    return ", ".join(line[1] for line in lines if line[:1] == ["proved"])


def _first_line(said: str) -> str:
    return " ".join(said.strip().splitlines()[0].split())


def search_files(play: Play) -> None:
    """No name, birth date, address or note of the sample stands in any file of the server, nor in its log."""
    private = sample.private_texts(play.chart)
    files = sorted(f for f in (*play.server.data.rglob("*"), play.server.log) if f.is_file())
    require(
        len(private) > 0 and not find_texts([play.server.log], ()), "there is nothing to look for"
    )
    plain = play.folder / "plain.json"
    plain.write_bytes(b"\n".join(text.encode() for text in private))
    require(
        len(find_texts([plain], private)) == len(private), "the search does not find what is there"
    )
    plain.unlink()
    found = find_texts(files, private)
    require(
        not found,
        f"in clear: {len(found)} texts, in {', '.join(sorted({f.name for _, f in found}))}",
    )
    size = sum(f.stat().st_size for f in files)
    asked = f"{len(private)} names, birth dates, addresses and notes in {len(files)} files, {size:,} bytes"
    play.teller.tell("Thief", f"strings: {asked}", "none found")


def find_texts(files: Iterable[Path], texts: Iterable[str]) -> list[tuple[str, Path]]:
    """Which of the texts stand in which files, as UTF-8 or UTF-16, whatever else is around them."""
    wanted = [(text, form) for text in texts for form in (text.encode(), text.encode("utf-16-le"))]
    found: dict[tuple[str, Path], None] = {}
    for file in files:
        content = file.read_bytes()
        found |= {(text, file): None for text, form in wanted if form in content}
    return list(found)
