"""The report of a verification is a page to print: all that was proved, what was not, and nothing of it markup."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from anchoring import verify
from anchoring.receipts.receipt import Receipt, parse
from anchoring.receipts.report import report_page
from tests.chromium import chromium, needs_chromium

AT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@pytest.fixture
def receipt(anchored: SimpleNamespace) -> Receipt:
    return parse(anchored.receipts[5])


def written(receipt: Receipt) -> str:
    proved = [(step.step, step.statement) for step in verify.verify_receipt(receipt)]
    left = verify.reservations(receipt, verify.Pinned(), asked_chain=False)
    return report_page(receipt, proved, left, AT).decode()


def test_it_tells_what_is_proved_what_is_not_and_when_it_was_verified(receipt: Receipt) -> None:
    text = written(receipt)
    for step in ("commitment", "inclusion", "checkpoint", "anchor"):
        assert f"<b>{step}</b>" in text
    assert "21 November 2026, 12:30 UTC" in text
    assert "no chain was asked" in text
    assert receipt.anchor.hash_.hex() in text


@pytest.mark.parametrize(
    "event",
    [
        b'{"recorded":"<script>x</script>","agent":[{"who":{"display":"<b>me</b>"}}]}',
        b"<script>x</script>",
        b"\xff\xfe<script>",
        b'{"agent":7,"entity":[1,null],"purposeOfEvent":[{"coding":"<i>"}],"subtype":{}}',
        b"[" * 100_000,
    ],
    ids=["words", "no JSON", "no UTF-8", "wrong types", "deep"],
)
def test_whatever_an_event_says_stays_text(receipt: Receipt, event: bytes) -> None:
    text = report_page(replace(receipt, event=event), [("a", "<i>")], ["<u>"], AT).decode()
    for markup in ("<script>", "<b>me", "<i>", "<u>"):
        assert markup not in text


def test_the_command_writes_it_only_for_what_holds(
    anchored: SimpleNamespace, tmp_path: Path
) -> None:
    kept, changed, report = tmp_path / "r.json", tmp_path / "c.json", tmp_path / "report.html"
    kept.write_bytes(anchored.receipts[5])
    changed.write_bytes(anchored.receipts[5].replace(b'"leafIndex": 5', b'"leafIndex": 6'))
    assert verify.main([str(changed), "--report", str(report)]) == 1
    assert not report.exists()
    assert verify.main([str(kept), "--report", str(report)]) == 0
    assert "Proof of an access" in report.read_text("utf-8")


@needs_chromium
def test_it_fits_on_a_page_and_on_a_phone(receipt: Receipt, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    agents = [{"who": {"reference": f"Practitioner/{n}", "display": "Somebody"}} for n in range(25)]
    event = {"resourceType": "AuditEvent", "recorded": "2026-11-21T12:00:00Z", "agent": agents}
    proved = [(step.step, step.statement) for step in verify.verify_receipt(receipt)]
    left = verify.reservations(receipt, verify.Pinned(), asked_chain=False)
    long = replace(receipt, event=json.dumps(event).encode())  # as long as ours are
    file.write_bytes(report_page(long, proved, left, AT))
    with chromium() as browser:
        page = browser.new_page()
        page.goto(file.as_uri())
        printed = page.pdf(format="A4")
        assert printed.count(b"/Type /Page\n") == 1
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
