"""``consentry user`` beside a real server of two workers: what it says holds for the next request of each."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx2
import pytest

from fhir_server.commands.story.apps import app_token
from fhir_server.commands.story.cast import AUDIT
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.server import environment
from fhir_server.commands.story.telling import Teller

CONNECTIONS = 12  # so that each of the two workers gets some


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    folder = tmp_path_factory.mktemp("users")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fhir_server.commands.story.server._KEPT", "CONSENTRY_WORKERS")
        patch.setenv("CONSENTRY_WORKERS", "2")
        play = set_stage(folder, Teller(None))
        try:
            yield play
        finally:
            strike(play)


def user(stage: Play, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fhir_server", "user", *arguments, "--data", str(stage.server.data)],
        env=environment({"users_file": str(stage.folder / "users.json")}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def statuses(stage: Play, pool: list[httpx2.Client], token: str) -> set[int]:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{stage.server.fhir}/AuditEvent?_summary=count"
    return {each.get(url, headers=headers).status_code for each in pool}


def test_a_disabled_person_is_refused_by_every_worker_within_a_second(stage: Play) -> None:
    pool = [httpx2.Client(timeout=30) for _ in range(CONNECTIONS)]
    irisa = stage.cast.people["irisa"]
    token = app_token(stage.endpoints, AUDIT, irisa).token
    assert statuses(stage, pool, token) == {200}
    assert user(stage, "disable", "irisa").returncode == 0
    done = time.monotonic()
    assert statuses(stage, pool, token) == {401}
    assert time.monotonic() - done < 5  # and this was the first round of requests after it
    with pytest.raises(StepError, match="403"):
        app_token(stage.endpoints, AUDIT, irisa)
    assert "disabled" in user(stage, "list").stdout
    assert user(stage, "enable", "irisa").returncode == 0
    assert statuses(stage, pool, token) == {401}  # what she had stays ended
    time.sleep(1.1)  # tokens tell whole seconds
    assert statuses(stage, pool, app_token(stage.endpoints, AUDIT, irisa).token) == {200}


def test_a_reset_lets_a_person_set_up_another_factor(stage: Play) -> None:
    mirela = stage.cast.people["mirela"]
    assert mirela.code_app is not None
    stage.person("mirela")
    lost, mirela.code_app.secret = mirela.code_app.secret, "A" * 32
    with pytest.raises(StepError):
        app_token(stage.endpoints, AUDIT, mirela)
    assert user(stage, "reset", "mirela").returncode == 0
    time.sleep(1.1)
    assert app_token(stage.endpoints, AUDIT, mirela).token
    assert mirela.code_app.secret not in ("A" * 32, lost)


def test_a_name_that_nobody_has_is_one_plain_sentence(stage: Play) -> None:
    for action in ("disable", "enable", "reset"):
        answer = user(stage, action, "nobody")
        assert answer.returncode == 2
        assert "there is no user of that name" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_wrong_passwords_are_counted_by_all_workers_together(stage: Play) -> None:
    answers = []
    for name in ("tobias", "somebody who is not there"):
        statuses = []
        for _ in range(CONNECTIONS):
            with httpx2.Client(timeout=30) as browser:
                page = browser.get(f"{stage.server.url}/auth/account")
                fields = dict(
                    re.findall('type="hidden" name="([a-z]+)" value="([^"]*)"', page.text)
                )
                fields |= {"step": "sign-in", "username": name, "password": "wrong"}
                statuses.append(browser.post(_action(page.text), data=fields).status_code)
        answers.append(statuses)
    assert answers[0].count(403) in (3, 4)  # one more when a second has passed meanwhile
    assert answers[0].count(429) == CONNECTIONS - answers[0].count(403)
    assert answers[1].count(403) in (3, 4)


def _action(page: str) -> str:
    return re.findall('action="([^"]*)"', page)[0]
