"""``strings`` over all that a busy server leaves on disks: none of 200 planted names, numbers and phrases is there.

Looked through are the database, its write-ahead log, the chain, backups, logs and temporary files, while the server runs and
after it has stopped; each plant as UTF-8, as UTF-16, in lower case and as base64 at each offset.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fhir_server.__main__ import main
from fhir_server.commands.story.server import ServerProcess
from fhir_server.commands.token import system_token
from tests.fhir_server.shared_data import folder_of

PEOPLE = 40
SYLLABLES = "bra cze dun fel gov hju iks jor kel lum mun nor ost pry quo rud sve tyl ulf".split()  # noqa: SIM905
JSON = {"content-type": "application/fhir+json"}


class Person:
    """Five things to be kept secret: a name, a number, a phone, a phrase, and what a document says."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self.id_ = f"planted-{number}"
        self.name = "".join(chance.sample(SYLLABLES, 4)).capitalize()
        self.identifier = str(chance.randrange(10**13, 10**14))
        self.phone = f"+49 {chance.randrange(10**9, 10**10)}"
        self.phrase = " ".join(chance.sample(SYLLABLES, 6))
        self.letter = "Dear " + " ".join("".join(chance.sample(SYLLABLES, 3)) for _ in range(3))

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.name, self.identifier, self.phone, self.phrase, self.letter

    def resources(self) -> Iterator[dict[str, object]]:
        subject = {"reference": f"Patient/{self.id_}"}
        yield {
            "resourceType": "Patient",
            "id": self.id_,
            "name": [{"family": self.name, "given": ["A"]}],
            "identifier": [{"system": "urn:x", "value": self.identifier}],
            "telecom": [{"system": "phone", "value": self.phone}],
        }
        yield {
            "resourceType": "Observation",
            "id": self.id_,
            "status": "final",
            "code": {"text": self.phrase},
            "subject": subject,
            "valueString": self.phrase,
        }
        yield {
            "resourceType": "DocumentReference",
            "id": self.id_,
            "status": "current",
            "subject": subject,
            "content": [
                {
                    "attachment": {
                        "contentType": "text/plain",
                        "data": base64.b64encode(self.letter.encode()).decode(),
                    }
                }
            ],
        }


@pytest.fixture(scope="module")
def people() -> list[Person]:
    chance = random.Random("planted")
    return [Person(chance, number) for number in range(PEOPLE)]


def test_nothing_that_a_busy_server_leaves_on_disk_tells_of_anyone(
    tmp_path: Path, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    synthea = sorted(folder_of("synthea-2019").glob("*.json.gz"), key=lambda f: f.stat().st_size)
    data, temporary = tmp_path / "data", tmp_path / "temporary"
    for folder in (data, temporary):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("SQLITE_TMPDIR", str(temporary))
    server = ServerProcess(data, tmp_path / "server.log", {"log_level": "debug"})
    server.start()
    try:
        assert main(["load", "--data", str(data), str(synthea[0])]) == 0
        _live(server, people)
        assert main(["backup", "--data", str(data), str(tmp_path / "busy.backup")]) == 0
        log = shutil.copy(data / "consentry.sqlite-wal", tmp_path / "write-ahead.log")
    finally:
        server.stop()
    content = b"".join(f.read_bytes() for f in sorted(tmp_path.rglob("*")) if f.is_file())
    assert Path(log).stat().st_size > 0
    secrets = [secret for person in people for secret in person.secrets]
    assert len(set(secrets)) == 200
    assert [secret for secret in secrets if any(f in content for f in forms(secret))] == []


def _live(server: ServerProcess, people: list[Person]) -> None:
    """Write, read, search, fail, upload and change, with every secret in every place that a caller can put one."""
    headers = {"authorization": f"Bearer {system_token(data=server.data, scope='system/*.cruds')}"}
    with httpx2.Client(base_url=server.fhir, headers=headers, timeout=60) as http:
        for person in people:
            for resource in person.resources():
                url = f"/{resource['resourceType']}/{person.id_}"
                answer = http.put(url, content=json.dumps(resource), headers=JSON)
                assert answer.status_code == 201, answer.text
            for secret in person.secrets if person in people[:12] else ():
                http.get("/Patient", params={"name": secret, "_sort": "family"})
                http.get("/Observation", params={"code": secret, "_summary": "count"})
                http.post("/Patient/_search", data={"identifier": f"urn:x|{secret}"})
                http.get(f"/Patient/{secret}")
                http.post("/Patient", content=f'{{"resourceType":"Patient","{secret}', headers=JSON)
            letter = (person.letter + "\n").encode() * 300
            document = {"content-type": "text/plain", "x-security-context": f"Patient/{person.id_}"}
            made = http.post("/Binary", content=iter([letter]), headers=document)
            assert made.status_code == 201, made.text
            assert (
                http.get(f"/Binary/{made.json()['id']}", headers={"accept": "*/*"}).content
                == letter
            )
            http.get(f"/Patient/{person.id_}/$everything")
            patch = [{"op": "add", "path": "/note", "value": [{"text": person.phrase * 3}]}]
            kind = {"content-type": "application/json-patch+json"}
            http.patch(f"/Observation/{person.id_}", content=json.dumps(patch), headers=kind)
        http.delete(f"/Observation/{people[0].id_}")


def forms(secret: str) -> Iterator[bytes]:
    """A text as it may stand in a file."""
    yield secret.encode("utf-16-le")
    for text in {secret, secret.lower()}:
        raw = text.encode()
        yield raw
        for offset in range(
            3
        ):  # the letters in the middle do not depend on what stands around them
            encoded = base64.b64encode(bytes(offset) + raw)
            yield encoded[4 : len(encoded) - 4]


def test_the_search_for_secrets_finds_them_where_they_are(people: list[Person]) -> None:
    """Otherwise the test above would prove nothing."""
    for person in people[:5]:
        for secret in person.secrets:
            for offset in range(3):
                hidden = base64.b64encode(b"x" * offset + secret.encode() + b"yyy")
                assert any(form in hidden for form in forms(secret))
            assert any(form in secret.encode() for form in forms(secret))
