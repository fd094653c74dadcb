"""Tokens, codes, secrets, assertions and proofs: in no log, no AuditEvent, no error, and not in the database's files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from fhir_server.app import clock, open_tokens
from fhir_server.archive import open_archive
from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.telling import Teller
from fhir_server.commands.token import settings_of
from fhir_server.settings import Settings
from smart_auth.clients.registered import Terms
from tests.app_site import CALLBACK, SECRET, AppSite
from tests.smart_auth.conformance.conftest import PATIENT_SCOPES, App
from tests.smart_auth.conftest import Clock, House
from tests.smart_auth.proving import Prover

SHORT = 12  # characters; what is shorter could be there by chance


@dataclass
class Seen:
    """What must not be found again, and where it must not be."""

    secrets: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def keep(self, answer: httpx2.Response) -> httpx2.Response:
        """Note what an answer gives, or that it is an error."""
        if answer.status_code >= 400:
            self.errors.append(answer.text + str(answer.headers))
            return answer
        if "json" in answer.headers.get("content-type", ""):
            told = answer.json()
            for name in ("access_token", "refresh_token", "id_token", "client_secret"):
                self.secret(told.get(name, ""))
            self.secret(told.get("registration_access_token", ""))
        return answer

    def secret(self, text: str) -> str:
        if len(text) >= SHORT:
            self.secrets.add(text)
            self.secrets.update(part for part in text.split(".")[1:] if len(part) >= SHORT)
        return text


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, site: AppSite) -> Iterator[Play]:
    """A server of two workers that logs all it can."""
    folder = tmp_path_factory.mktemp("secrets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fhir_server.commands.story.server._KEPT", "CONSENTRY_LOG_LEVEL")
        patch.setenv("CONSENTRY_LOG_LEVEL", "debug")
        play = set_stage(folder, Teller(None), apps=site.clients())
        try:
            steps_of_the_chart(play)
            yield play
        finally:
            strike(play)


def steps_of_the_chart(play: Play) -> None:
    from fhir_server.commands.story import steps

    steps.load_chart(play)


class NoHouse:
    """What a Prover needs of a house: the time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.now = clock()


def prover() -> Prover:
    house: Any = NoHouse()
    assert not isinstance(house, House)
    return Prover(house)


def launch(app: App, seen: Seen, **changed: str) -> dict[str, Any]:
    """A launch to the end, and the wrong turns on the way."""
    seen.secret(app.verifier)
    wrong = seen.secret(app.code(PATIENT_SCOPES, **changed))
    seen.keep(app.redeem(wrong, code_verifier="wrong" * 10))
    code = seen.secret(app.code(PATIENT_SCOPES, **changed))
    body: dict[str, Any] = seen.keep(app.redeem(code)).json()
    for value in app.browser.cookies.values():
        seen.secret(value)
    return body


def test_no_secret_is_written_anywhere(stage: Play, site: AppSite) -> None:
    seen = Seen()
    seen.secret(SECRET)
    seen.secret(stage.cast.people[stage.user].password)
    token = seen.secret(stage.ehr().token)
    for client_id in ("py-app", "py-web-app", "jwt-app"):
        app = App(stage, site, client_id)
        body = launch(app, seen)
        _use(stage, seen, body["access_token"])
        second = seen.keep(app.refresh(body["refresh_token"])).json()
        seen.keep(app.refresh(body["refresh_token"]))  # a reuse: all of it ends
        seen.keep(app.refresh(second["refresh_token"]))
        for endpoint in ("introspect", "revoke"):
            _post(stage, seen, endpoint, {"token": body["access_token"], "client_id": client_id})
    _assertions(stage, site, seen)
    _bound(stage, site, seen)
    _registration(stage, seen)
    for bearer in (token, seen.secret("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."), token + "x"):
        _use(stage, seen, bearer)
    assert len(seen.secrets) > 40
    assert len(seen.errors) > 10
    _require_unwritten(stage, seen)


def _require_unwritten(stage: Play, seen: Seen) -> None:
    log = stage.server.log.read_text("utf-8", "replace")
    events = asyncio.run(_audit_events(settings_of(stage.server.data, None)))
    assert len(events) > 20
    files = b"".join(path.read_bytes() for path in stage.server.data.rglob("*") if path.is_file())
    told = json.dumps(events)
    for secret in seen.secrets:
        assert secret not in log
        assert secret not in told
        assert not any(secret in error for error in seen.errors)
        assert secret.encode() not in files


async def _audit_events(settings: Settings) -> list[object]:
    async with open_archive(settings) as archive, archive.vault.reading() as reader:
        found = []
        for row in await reader._snapshot.audit(start=0, stop=2**40):
            (version,) = await reader.history(row.rid)
            found.append(json.loads(await reader.open(version)))
        return found


def _use(stage: Play, seen: Seen, bearer: str) -> None:
    for scheme in ("Bearer", "DPoP"):
        headers = {"Authorization": f"{scheme} {bearer}"}
        seen.keep(httpx2.get(f"{stage.server.fhir}/{stage.patient}", headers=headers, timeout=60))


def _post(stage: Play, seen: Seen, endpoint: str, form: dict[str, str], **more: Any) -> Any:
    url = f"{stage.server.url}/auth/{endpoint}"
    return seen.keep(httpx2.post(url, data=form, timeout=60, **more))


def _assertions(stage: Play, site: AppSite, seen: Seen) -> None:
    proof = App(stage, site, "jwt-app")._authentication()
    seen.secret(proof["client_assertion"])
    form = {"grant_type": "client_credentials", "scope": "system/*.rs", **proof}
    for _ in range(2):  # the second time it is a replay
        _post(stage, seen, "token", form)
    _post(stage, seen, "token", form | {"client_id": "py-app"})
    _post(stage, seen, "token", form, auth=("py-web-app", "not " + SECRET))
    seen.secret("not " + SECRET)


def _bound(stage: Play, site: AppSite, seen: Seen) -> None:
    key, app = prover(), App(stage, site)
    url = f"{stage.server.url}/auth"
    pushed = _post(stage, seen, "par", app.asked()).json()
    seen.secret(pushed["request_uri"].rpartition(":")[2])
    asked = {"client_id": "py-app", "request_uri": pushed["request_uri"]}
    app.open(asked)
    code = seen.secret(app.allow()["code"])
    proof = seen.secret(key.proof(url=f"{url}/token"))
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    form |= {"code_verifier": seen.secret(app.verifier), "client_id": "py-app"}
    token = _post(stage, seen, "token", form, headers={"DPoP": proof}).json()["access_token"]
    _post(stage, seen, "token", form, headers={"DPoP": proof})
    where = f"{stage.server.fhir}/Patient"
    headers = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", where, token)}
    for _ in range(2):
        seen.keep(httpx2.get(where, headers=headers, timeout=60))
    seen.secret(headers["DPoP"])


def _registration(stage: Play, seen: Seen) -> None:
    initial = seen.secret(asyncio.run(_initial(settings_of(stage.server.data, None))))
    headers = {"Authorization": f"Bearer {initial}"}
    url = f"{stage.server.url}/auth/register"
    metadata: dict[str, Any] = {"redirect_uris": ["https://a.example/"], "jwks": {"keys": []}}
    seen.keep(httpx2.post(url, json=metadata, headers=headers, timeout=60))
    del metadata["jwks"]
    client = seen.keep(httpx2.post(url, json=metadata, headers=headers, timeout=60)).json()
    seen.keep(httpx2.post(url, json=metadata, headers=headers, timeout=60))
    own = {"Authorization": f"Bearer {client['registration_access_token']}"}
    seen.keep(httpx2.get(url + "/another", headers=own, timeout=60))
    seen.keep(httpx2.delete(client["registration_client_uri"], headers=own, timeout=60))
    seen.keep(httpx2.get(client["registration_client_uri"], headers=own, timeout=60))


async def _initial(settings: Settings) -> str:
    async with open_tokens(settings) as smart:
        now = clock()
        return await smart.initial_tokens.make(
            Terms("patient/*.rs"), 1, now + timedelta(hours=1), now
        )


def test_32_redemptions_at_once_over_two_workers_give_one_token_at_most(
    stage: Play, site: AppSite
) -> None:
    app = App(stage, site)
    code = app.code()
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: app.redeem(code), range(32)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses in ([200] + [400] * 31, [400] * 32)
    for answer in answers:
        if answer.status_code == 200:
            body = answer.json()
            assert app.get(stage.patient, body["access_token"]).status_code == 401
            assert app.refresh(body["refresh_token"]).status_code == 400


def test_32_uses_of_one_refresh_token_at_once_end_its_family(stage: Play, site: AppSite) -> None:
    app = App(stage, site)
    first = app.granted()
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: app.refresh(first["refresh_token"]), range(32)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    given = [answer.json() for answer in answers if answer.status_code == 200]
    for body in (first, *given):
        assert app.get(stage.patient, body["access_token"]).status_code == 401
