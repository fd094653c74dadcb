"""A real server for tests over HTTP: a child process on a free port, with the sample clinic loaded.

``clinic`` is started once for the whole run and stopped by its own process id.  ``journey`` gives each test a patient of
its own with a whole chart, so that tests do not disturb one another.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server import sample
from fhir_server.commands.story import steps
from fhir_server.commands.story.cast import EHR, INSURER, CodeApp, Person
from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.telling import Teller
from fhir_server.commands.token import system_token
from fhir_server.sample import people
from smart_auth.people.passwords import HashCost, hash_password
from tests.anchoring.anvil import Anvil, started
from tests.app_site import AppSite, app_site

PATIENTS = 500  # registered before the server starts; each journey takes one
_TOKENS_KEPT = 120.0  # seconds
_PASSWORD = "the same for all of them"
_SHARED = (EHR, INSURER, "mirela", "irisa")  # callers whose tokens do not depend on the patient


@pytest.fixture(scope="session")
def site() -> Iterator[AppSite]:
    """Where apps of tests are served: not the server's own origin."""
    with (
        tempfile.TemporaryDirectory(prefix="consentry-apps-") as folder,
        app_site(Path(folder)) as opened,
    ):
        yield opened


@pytest.fixture(scope="session")
def _stage(site: AppSite) -> Iterator[Play]:
    """The server of ``clinic``."""
    with tempfile.TemporaryDirectory(prefix="consentry-test-") as folder:
        play = set_stage(Path(folder), Teller(None), more=_more_people(), apps=site.clients())
        try:
            steps.load_chart(play)
            yield play
        finally:
            strike(play)


@pytest.fixture
def clinic(_stage: Play) -> Play:
    """A server with the sample clinic loaded and nobody's Consent filed.

    ``clinic.server.url`` and ``clinic.server.fhir`` are its addresses, ``clinic.server.data`` its folder,
    ``clinic.ehr()``, ``clinic.insurer()`` and ``clinic.person(username)`` callers with tokens: these live for five
    minutes, the suite for more, so callers sign in again before theirs expire.
    """
    now = time.monotonic()
    signed_in = float(_stage.kept.setdefault("signed in", str(now)))
    if now - signed_in > _TOKENS_KEPT:
        _stage.callers.clear()
        _stage.kept["signed in"] = str(now)
    return _stage


@pytest.fixture(scope="session")
def shared_anvil() -> Iterator[Anvil]:
    """One Ethereum node for the whole run; a wider fixture may deploy on it what all of its tests use."""
    with started() as node:
        yield node


@pytest.fixture
def anvil(shared_anvil: Anvil) -> Iterator[Anvil]:
    """The node of the whole run, for one test: what it did to the chain is undone after it."""
    before = shared_anvil.snapshot()
    shared_anvil.base_fee(10**9)  # which a revert does not put back
    yield shared_anvil
    shared_anvil.thaw()
    shared_anvil.interval(0)
    shared_anvil.automine(True)
    shared_anvil.revert(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show the end of the server's log with each failure."""
    report: Any = yield
    used = getattr(item, "funcargs", {})
    play = next((each for each in used.values() if isinstance(each, Play)), None)
    if report.failed and play is not None:
        report.sections.append(("server log", play.server.last_words()))
    return report


@pytest.fixture(scope="session")
def token_of_system(_stage: Play) -> Callable[[str], str]:
    """A maker of tokens of the custodian's own system, as ``consentry token`` prints them."""
    return lambda scope: system_token(_stage.server.data, scope)


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return iter(range(PATIENTS))


@pytest.fixture
def journey(clinic: Play, _numbers: Iterator[int]) -> Play:
    """The story up to its first step, about a patient of this test's own, who can sign in."""
    number = next(_numbers)
    clinic.person("mirela")  # once for all: her codes are good once each, and take their time
    own = dataclasses.replace(
        clinic,
        patient=f"Patient/j-{number}",
        user=f"patient-{number}",
        chart=_chart_of(f"j-{number}"),
        filed=(),
        consent={},
        callers={name: c for name, c in clinic.callers.items() if name in _SHARED},
        replies=[],
        kept={},
    )
    steps.load_chart(own)
    return own


@pytest.fixture
def consented(journey: Play) -> Play:
    """The story after its second step: the Consent is filed."""
    steps.file_consent(journey)
    return journey


def _more_people() -> list[Person]:
    staff = [
        Person("bertram", "Bertram Oyelaran", people.SECOND, ("PATRQT",)),
        Person(
            *("imposter", "Ida Imposter", "Practitioner/imposter", ("BTG",), people.INSURER),
            code_app=CodeApp(),
        ),
        Person("hasty", "Dr. Hanna Hasty", "Practitioner/hasty", ("BTG",), people.HOSPITAL),
    ]
    hashed = hash_password(_PASSWORD, HashCost(memory=8, passes=1, lanes=1))
    return staff + [
        Person(
            f"patient-{number}",
            f"Journey {number}",
            f"Patient/j-{number}",
            ("PATRQT",),
            password=_PASSWORD,
            password_hash=hashed,
        )
        for number in range(PATIENTS)
    ]


def _chart_of(id_: str) -> bytes:
    """The first patient's part of the sample, about another patient; decimals keep their zeros."""
    bundle = json.loads(sample.clinic(), parse_float=lambda text: f"~{text}~")
    bundle["entry"] = [entry for entry in bundle["entry"] if people.PATIENT in json.dumps(entry)]
    text = re.sub(r'"~([0-9.]+)~"', r"\1", json.dumps(bundle))
    return text.replace(people.PATIENT.partition("/")[2], id_).encode()
