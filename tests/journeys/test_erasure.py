"""A patient is erased over HTTP: whichever process answers, the receipt comes with the answer, and nothing comes after."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import httpx2

from anchoring.verify import main as verify
from fhir_server.commands.story.play import Play


def test_the_answer_proves_the_erasure_and_every_process_has_forgotten(
    journey: Play, token_of_system: Callable[[str], str], tmp_path: Path
) -> None:
    base = journey.server.fhir
    headers = {"authorization": f"Bearer {token_of_system('system/*.cruds')}"}
    patient = journey.patient
    with httpx2.Client(base_url=f"{base}/", headers=headers, timeout=30) as client:
        assert client.get(patient).status_code == 200
        answer = client.post(f"{patient}/$erase")
        assert answer.status_code == 200, answer.text
        told = {p["name"]: p for p in answer.json()["parameter"]}
        assert told["records"]["valueUnsignedInt"] > 3
        (tmp_path / "receipt.json").write_bytes(
            base64.b64decode(told["receipt"]["valueBase64Binary"])
        )
        assert verify([str(tmp_path / "receipt.json")]) == 0
    for _ in range(8):  # connections of their own: the processes take turns
        assert httpx2.get(f"{base}/{patient}", headers=headers).status_code == 404
        found = httpx2.get(f"{base}/Observation?subject={patient}", headers=headers).json()
        assert found.get("total", 0) == 0
