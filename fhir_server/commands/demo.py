"""``consentry demo``: the whole story, played over HTTP on a server of its own, then left up to be tried.

Without a terminal, or with ``CI`` set, it ends with exit code 0; a step that does not hold ends it with 1 and the step's
name; Ctrl-C in the middle of the story ends it with 130.  No process is left in any case.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from rich.console import Console

from fhir_server.commands.story.errors import ServerError, StoryError
from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.proofs import prove_log, search_files
from fhir_server.commands.story.steps import STEPS, Step
from fhir_server.commands.story.telling import Teller
from fhir_server.errors import SettingsError

_ALL = (
    *STEPS,
    Step("The log is anchored, and proved with the server stopped", prove_log),
    Step("The database files tell nothing", search_files),
)
_MISSHAPEN = (LookupError, ValueError, TypeError, AssertionError)
_INTRODUCTION = (
    "Consentry demo: one patient's record on its whole way through a FHIR server.",
    "It starts a server of its own on this machine, loads a small invented clinic,",
    "and plays eight steps over HTTP with real tokens: write, consent, read, search,",
    "break the glass, revoke, prove, look for plaintext.  It takes some seconds.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on (default: a free one)"
    )
    parser.add_argument(
        "--data", type=Path, help="new or empty folder (default: temporary, removed at the end)"
    )
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument(
        "--stay", action="store_true", help="stay up at the end, even without a terminal"
    )
    ending.add_argument(
        "--exit", action="store_true", help="end after the last step, even with a terminal"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the story; 0 if every step held, 1 if one did not."""
    console = Console()
    teller = Teller(console)
    for line in _INTRODUCTION:
        teller.say(line)
    stays = arguments.stay or (
        console.is_terminal and not os.environ.get("CI") and not arguments.exit
    )
    try:
        with _ended_like_ctrl_c(), _folder(arguments.data) as folder:
            return _play(folder, arguments.port, teller, stays=stays)
    except KeyboardInterrupt:
        teller.say("stopped")
        return 130


def _play(folder: Path, port: int, teller: Teller, *, stays: bool) -> int:
    started = time.monotonic()
    try:
        play = set_stage(folder, teller, port)
    except (ServerError, httpx2.HTTPError) as error:
        teller.failed(0, "The server starts", str(error))
        return 1
    try:
        for number, step in enumerate(_ALL, start=1):
            teller.begin(number, step.title)
            try:
                step.happen(play)
            except (StoryError, httpx2.HTTPError, OSError) as error:
                teller.failed(number, step.title, str(error))
                return 1
            except _MISSHAPEN as error:
                teller.failed(number, step.title, f"an answer is misshapen: {error!r}")
                return 1
        teller.done(f"all {len(_ALL)} steps held, in {time.monotonic() - started:.1f} s")
        if stays:
            _stay(play, teller)
        return 0
    finally:
        strike(play)


def _stay(play: Play, teller: Teller) -> None:
    """Start the server again, tell how to try it, and wait for Ctrl-C, which is how it is meant to end."""
    try:
        play.server.start()
        _tell_how_to_try(play, teller)
        while True:
            signal.pause() if hasattr(signal, "pause") else time.sleep(1)
    except KeyboardInterrupt:
        teller.say("stopped")


def _tell_how_to_try(play: Play, teller: Teller) -> None:
    program = shutil.which("consentry") or f"{sys.executable} -m fhir_server"
    teller.say("\nThe server is up again, with the same data:")
    teller.say(f"  FHIR       {play.server.fhir}")
    teller.say(f"  discovery  {play.server.fhir}/.well-known/smart-configuration")
    teller.say(f"  files      {play.folder}")
    teller.say("\nPeople who can sign in, with their passwords:")
    for person in play.cast.people.values():
        teller.say(f"  {person.username:<10} {person.password:<14} {person.name}")
    teller.say("\nTry it as the clinic's own system:")
    teller.say(f'  TOKEN=$({program} token --data "{play.server.data}")')
    teller.say(f'  curl -H "Authorization: Bearer $TOKEN" "{play.server.fhir}/Patient?_count=3"')
    teller.say("\nCtrl-C ends it.")


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The folder to play in: the one given, or a temporary one that is removed."""
    if given is not None:
        if given.exists() and any(given.iterdir()):
            raise SettingsError(f"{given} is not empty: name a new folder")
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="consentry-demo-") as name:
        yield Path(name)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Being told to end (SIGTERM, a closed terminal) ends the demo as Ctrl-C does: the server is stopped first."""
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [(each, signal.signal(each, signal.default_int_handler)) for each in names]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
