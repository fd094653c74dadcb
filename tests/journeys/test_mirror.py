"""Somebody mirrors the log of a real server over HTTP, and proves it with code of their own."""

import httpx2

from fhir_server.commands.story.play import Play

from ..anchoring.mirror import mirrored, prove

ELSEWHERE = {"Origin": "https://mirror.example.org"}


def test_a_stranger_mirrors_the_whole_log_and_proves_what_was_signed(consented: Play) -> None:
    with httpx2.Client(base_url=consented.server.url, headers=ELSEWHERE) as client:
        mirror = mirrored(client)
        keys = client.get("/log/keys").text.splitlines()
        prove(mirror, [key for key in keys if key.startswith(f"{mirror.origin}+")])
        assert len(keys) == 4  # the log's and the witness's
        assert mirror.size > 0
        answer = client.get("/log/checkpoint")
        assert answer.headers["access-control-allow-origin"] == "*"
