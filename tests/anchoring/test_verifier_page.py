"""The static page that checks receipts in a browser says what ``anchoring.verify`` says, and sends nothing anywhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from anchoring.errors import VerificationError
from anchoring.log import checkpoint
from anchoring.receipts.receipt import parse
from anchoring.strict_json import read_base64, write_base64
from anchoring.verifier_page import verifier_page
from anchoring.verify import verify_receipt
from tests.chromium import chromium, needs_chromium

pytestmark = needs_chromium
WITNESS = checkpoint.WitnessSeeds("witness.example", bytes(32), bytes(31) + b"\x01")
OTHER_WITNESS = checkpoint.WitnessSeeds("other.example", bytes(31) + b"\x02", bytes(31) + b"\x03")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Members = dict[str, Any]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page as somebody opens it who has saved it: from a file, without a network."""
    file = tmp_path_factory.mktemp("page") / "verify.html"
    file.write_bytes(verifier_page())
    with chromium() as browser:
        opened = browser.new_page()
        opened.context.set_offline(True)
        opened.goto(file.as_uri())
        yield opened


@pytest.fixture
def encoded(anchored: SimpleNamespace) -> bytes:
    return bytes(anchored.receipts[5])


@pytest.fixture
def members(encoded: bytes) -> Members:
    return dict(json.loads(encoded))


def shown(page: Page, receipt: bytes) -> tuple[str, list[str]]:
    """The verdict, and the lines of the steps."""
    page.locator("#verdict").evaluate("element => { element.textContent = '' }")
    page.locator("#file").set_input_files(
        {"name": "receipt.json", "mimeType": "application/json", "buffer": receipt}
    )
    page.locator("h2.good, h2.open, h2.bad").wait_for()
    return page.locator("#verdict").inner_text(), page.locator("#steps li").all_inner_texts()


def members_key(receipt: bytes) -> str:
    return str(json.loads(receipt)["logKeys"][0])


def failed(page: Page, receipt: bytes) -> str:
    """The step that failed."""
    verdict, steps = shown(page, receipt)
    assert "does not hold" in verdict
    assert not page.locator("#after").is_visible()
    (last,) = [line for line in steps if line.startswith("FAILED")]
    return last.split(": ")[1].split(" ")[0]


def test_every_step_of_a_genuine_receipt_is_proved(page: Page, encoded: bytes) -> None:
    verdict, steps = shown(page, encoded)
    assert "The receipt holds" in verdict
    proved = [line.split(": ")[1].split(" ")[0] for line in steps]
    assert proved == ["receipt", "commitment", "inclusion", "checkpoint", "anchor"]
    assert "if the key below" in verdict  # anybody can make a log of his own
    assert members_key(encoded) in page.locator("#facts").inner_text()
    left = page.locator("#left li").all_inner_texts()
    assert any("ML-DSA-44" in line for line in left)
    assert any("runs this chain" in line for line in left)
    assert "AuditEvent" in (page.locator("#event").text_content() or "")


def test_all_receipts_of_a_log_hold(page: Page, anchored: SimpleNamespace) -> None:
    for receipt in anchored.receipts.values():
        assert "The receipt holds" in shown(page, receipt)[0]


def bent(text: str) -> str:
    decoded = bytearray(read_base64(text, "x"))
    decoded[-1] ^= 1
    return write_base64(bytes(decoded))


def other(text: str) -> str:
    return text[:-1] + ("1" if text[-1] == "0" else "0")


CHANGES: dict[str, Callable[[Members], object]] = {
    "event": lambda m: m.update(event=bent(m["event"])),
    "k": lambda m: m.update(k=bent(m["k"])),
    "commitment": lambda m: m.update(commitment=bent(m["commitment"])),
    "index": lambda m: m.update(leafIndex=m["leafIndex"] + 1),
    "size": lambda m: m.update(treeSize=m["treeSize"] + 1),
    "path": lambda m: m["inclusionProof"].__setitem__(0, bent(m["inclusionProof"][0])),
    "a node less": lambda m: m["inclusionProof"].pop(),
    "a node more": lambda m: m["inclusionProof"].append(m["inclusionProof"][0]),
    "65 nodes": lambda m: m.update(inclusionProof=[m["inclusionProof"][0]] * 65),
    "origin": lambda m: m.update(checkpoint="x" + m["checkpoint"]),
    "signature": lambda m: m.update(checkpoint=m["checkpoint"].replace("A", "B", 1)),
    "no signature": lambda m: m.update(checkpoint=m["checkpoint"].split("\n\n")[0] + "\n\n"),
    "keys": lambda m: m["logKeys"].reverse(),
    "chain id": lambda m: m["chain"].update(chainId=m["chain"]["chainId"] + 1),
    "contract": lambda m: m["chain"].update(contract=other(m["chain"]["contract"])),
    "code": lambda m: m["chain"].update(codeHash=other(m["chain"]["codeHash"])),
    "log id": lambda m: m["chain"].update(logId=other(m["chain"]["logId"])),
    "hash": lambda m: m["chain"].update(transactionHash=other(m["chain"]["transactionHash"])),
    "cut transaction": lambda m: m["chain"].update(transaction=m["chain"]["transaction"][:-2]),
    "legacy transaction": lambda m: m["chain"].update(transaction="0x01"),
    "assurance": lambda m: m["chain"].update(assurance="certain"),
    "version": lambda m: m.update(version="consentry-receipt/v0"),
    "missing": lambda m: m.pop("k"),
    "unknown": lambda m: m.update(more=1),
    "wrong type": lambda m: m.update(leafIndex="5"),
    "a float": lambda m: m.update(leafIndex=5.0),
    "negative": lambda m: m.update(leafIndex=-1),
    "padded base64": lambda m: m.update(k=m["k"] + "="),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_receipt_fails_at_the_step_that_the_command_names(
    page: Page, members: Members, change: str
) -> None:
    CHANGES[change](members)
    receipt = json.dumps(members, ensure_ascii=False).encode()
    with pytest.raises(VerificationError) as refused:
        verify_receipt(parse(receipt))
    assert failed(page, receipt) == refused.value.step


@pytest.mark.parametrize(
    "receipt",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"version":1,"version":1}',
        b"[" * 5000,
        b" " * 2_000_000,
    ],
    ids=["empty", "open", "array", "null", "no UTF-8", "twice", "deep", "large"],
)
def test_what_is_no_receipt_is_refused(page: Page, receipt: bytes) -> None:
    assert failed(page, receipt) == "receipt"


def test_a_member_given_twice_is_refused(page: Page, encoded: bytes) -> None:
    twice = encoded.replace(b'"treeSize"', b'"leafIndex": 5, "treeSize"', 1)
    assert failed(page, twice) == "receipt"


def test_two_halves_of_genuine_receipts_are_refused(page: Page, anchored: SimpleNamespace) -> None:
    one, two = (json.loads(anchored.receipts[at]) for at in (5, 22))
    for part in ("event", "k", "commitment"):
        one[part] = two[part]
    assert failed(page, json.dumps(one).encode()) == "inclusion"


def test_pinned_keys_and_contracts_are_compared(
    page: Page, encoded: bytes, members: Members
) -> None:
    page.locator("summary").first.click()
    for key, contract, step in (
        (members["logKeys"][0], members["chain"]["contract"], ""),
        (members["logKeys"][0].replace("+", "-", 1), "", "checkpoint"),
        ("", other(members["chain"]["contract"]), "anchor"),
        ("", "0x12", "receipt"),
    ):
        page.locator("#key").fill(key)
        page.locator("#contract").fill(contract)
        if step:
            assert failed(page, encoded) == step
        else:
            assert "The receipt holds: this access" in shown(page, encoded)[0]
    page.locator("#key").fill("")
    page.locator("#contract").fill("")


def cosigned(members: Members, *named: int) -> Members:
    """The receipt as a witness cosigned it; ``named`` are the keys of the witness that it names."""
    signed, _ = checkpoint.parse(members["checkpoint"])
    keys = WITNESS.public_keys()
    members["checkpoint"] += checkpoint.cosign(signed, WITNESS, NOW)
    members["witnessKeys"], members["quorum"] = [keys[at].vkey for at in named], 1
    return members


def test_cosignatures_are_a_step(page: Page, members: Members) -> None:
    verdict, steps = shown(page, json.dumps(cosigned(members, 0, 1)).encode())
    assert "The receipt holds" in verdict
    assert any("cosigned by witness.example" in line for line in steps)


def _other_time(members: Members) -> None:
    """The same signature, said to be of another time."""
    lines = members["checkpoint"].split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("— witness.example"))
    mark, name, encoded = lines[at].split(" ")
    signature = bytearray(base64.b64decode(encoded))
    signature[11] ^= 1
    lines[at] = f"{mark} {name} {base64.b64encode(bytes(signature)).decode()}"
    members["checkpoint"] = "\n".join(lines)


WITNESS_CHANGES: dict[str, Callable[[Members], object]] = {
    "another time": _other_time,
    "who did not cosign": lambda m: m.update(witnessKeys=[OTHER_WITNESS.public_keys()[0].vkey]),
    "the log itself": lambda m: m.update(witnessKeys=[m["logKeys"][1]]),
    "no cosigner's key": lambda m: m.update(witnessKeys=[m["logKeys"][0]]),
}


@pytest.mark.parametrize("change", WITNESS_CHANGES)
def test_a_wrong_cosignature_fails_as_the_command_says(
    page: Page, members: Members, change: str
) -> None:
    WITNESS_CHANGES[change](cosigned(members, 0))
    receipt = json.dumps(members).encode()
    with pytest.raises(VerificationError) as refused:
        verify_receipt(parse(receipt))
    assert failed(page, receipt) == refused.value.step == "witnesses"


def test_what_an_event_says_is_never_markup(page: Page, members: Members) -> None:
    page.evaluate("() => { window.pwned = 0 }")
    hostile = '{"resourceType":"AuditEvent","recorded":"<img src=x onerror=pwned=1>"}'
    members["event"] = write_base64(hostile.encode())
    failed(page, json.dumps(members).encode())
    page.evaluate(
        """event => tell({ event: new TextEncoder().encode(event), index: 0n, size: 1n, logKeys: ["k"],
             chain: { chainId: 1n, contract: new Uint8Array(20), block: 1n } })""",
        hostile,
    )
    assert "<img" in page.locator("#facts").inner_text()
    assert page.evaluate("() => window.pwned") == 0


def test_the_page_can_send_nothing_anywhere(page: Page, encoded: bytes) -> None:
    asked: list[str] = []

    def note(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_()

    page.context.set_offline(False)
    page.route("**/*", note)
    page.reload()
    assert "The receipt holds" in shown(page, encoded)[0]
    send = "() => fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert page.evaluate(send) == "refused"
    assert asked == [page.url]
    page.unroute("**/*")
