"""An auditor's journey: every access is on record, and a receipt proves it without the server."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from anchoring.chain.embedded import EmbeddedChain
from anchoring.errors import ChainError, VerificationError
from anchoring.receipts import receipt as form
from anchoring.verify import verify_receipt
from fhir_server.commands.story import steps
from fhir_server.commands.story.asking import Caller, Reply
from fhir_server.commands.story.expecting import require_status
from fhir_server.commands.story.play import Play
from fhir_server.commands.story.why import event_of, traces
from fhir_server.evidence import CHAIN_FILE


def _receipt(caller: Caller, event: str) -> Reply:
    """The receipt of an AuditEvent, as soon as the log is anchored."""
    deadline = time.monotonic() + 60
    while (reply := caller.get(f"AuditEvent/{event}/$receipt")).status == 409:
        assert time.monotonic() < deadline, "the log was not anchored in time"
        time.sleep(0.25)
    return reply


def test_every_request_of_the_story_is_on_record(consented: Play) -> None:
    for step in (steps.read_chart, steps.search_claims, steps.break_glass, steps.revoke):
        step(consented)
    log = consented.person("irisa").get(f"AuditEvent?{consented.about}&_count=1000")
    on_record = {traces(event) for event in log.resources}
    about = [
        r
        for r in consented.replies
        if "no-such-record" not in r.asked and r.asked != "GET Claim?_total=accurate"
    ]
    assert [reply.asked for reply in about if reply.request_id not in on_record] == []


def test_a_receipt_proves_one_access_and_no_changed_byte_passes(consented: Play) -> None:
    asked = consented.insurer().get(consented.of("Claim")[0].reference)
    event = event_of(consented, asked)
    content = require_status(_receipt(consented.person(consented.user), str(event["id"])), 200).body
    assert len(verify_receipt(form.parse(content))) == 4
    proved = json.loads(content)
    shown = base64.urlsafe_b64decode(proved["event"] + "=" * (-len(proved["event"]) % 4))
    assert json.loads(shown) == event
    _require_that_no_change_passes(content, consented.server.data / CHAIN_FILE)


def _require_that_no_change_passes(content: bytes, chain_file: Path) -> None:
    """The block is proved by the chain alone, so it is asked for every change."""
    chain = EmbeddedChain(chain_file, None)
    try:
        assert len(verify_receipt(form.parse(content), chain=chain)) == 5
        for place in range(0, len(content), len(content) // 97):
            changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            with pytest.raises((VerificationError, ChainError)):
                verify_receipt(form.parse(changed), chain=chain)
    finally:
        chain.close()


def test_a_receipt_is_given_only_to_who_may_see_the_event(consented: Play) -> None:
    event = event_of(consented, consented.insurer().get(consented.of("Claim")[0].reference))
    for caller in (consented.insurer(), consented.person("mirela"), consented.person("bertram")):
        assert caller.get(f"AuditEvent/{event['id']}/$receipt").status in (403, 404)
    helena = consented.person("helena")
    assert helena.get("AuditEvent/no-such-event/$receipt").status in (403, 404)


def test_nobody_changes_or_deletes_an_audit_event(consented: Play) -> None:
    event = event_of(consented, consented.insurer().get(consented.of("Claim")[0].reference))
    other = json.dumps({**event, "outcome": "0"}).encode()
    for caller in (consented.ehr(), consented.person(consented.user), consented.person("irisa")):
        assert caller.put(f"AuditEvent/{event['id']}", other).status in (403, 405)
        assert caller.send("DELETE", f"AuditEvent/{event['id']}").status in (403, 405)


def test_a_request_that_can_not_be_understood_is_on_record_too(consented: Play) -> None:
    ehr = consented.ehr()
    refused = [ehr.post("Patient", b"{"), ehr.get("NoSuchType"), ehr.get("Patient?_count=x")]
    refused.append(Caller("nobody", ehr.fhir, "x", (), "", consented.http).get(consented.patient))
    assert [reply.status for reply in refused] == [400, 404, 400, 401]
    log = consented.person("irisa").get("AuditEvent?_sort=-_lastUpdated&_count=100")
    on_record = {traces(event): event for event in log.resources}
    for reply in refused:
        assert on_record[reply.request_id]["outcome"] == "4"


def test_the_log_says_nothing_of_patients(consented: Play) -> None:
    log = Path(consented.server.log).read_text()
    for text in ("Rosalind", "Achterberg", "1984-03-17", consented.patient, "Bearer"):
        assert text not in log
