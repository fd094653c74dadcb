"""What a verification proved, as one printable page for a person: a court, an insurer, a patient.

It repeats what the receipt says in words, so it is a health record as well.  Everything in it is text: nothing is markup.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from html import escape

from anchoring.receipts.receipt import Receipt
from anchoring.strict_json import write_hex

_STYLE = """
body{font:11pt/1.45 serif;color:#000;background:#fff;margin:2rem auto;padding:0 1rem;max-width:46rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;border-bottom:1px solid #888;margin-top:1.5rem}
dl{display:grid;grid-template-columns:fit-content(10rem) 1fr;gap:.2rem 1rem}dt{color:#444}dd{margin:0}
li,dd,pre{overflow-wrap:anywhere}pre{white-space:pre-wrap;font-size:.8rem}
@page{size:A4;margin:1.5cm}
@media print{body{font-size:9pt;margin:0;padding:0;max-width:none}h2{margin:.7rem 0 .3rem}
p,ol,ul,dl{margin:.3rem 0}pre{font-size:7pt}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_ABSENT = "(the receipt does not say)"


def report_page(
    receipt: Receipt, proved: Sequence[tuple[str, str]], left: Sequence[str], at: datetime
) -> bytes:
    """The page; HTML in UTF-8.

    Args:
        receipt: One that was verified.
        proved: Each step with its statement.
        left: What that does not prove.
        at: When it was verified, UTC.
    """
    anchor = receipt.anchor
    facts = (
        (
            "Event number",
            f"{receipt.index}, counted from 0, of {receipt.size} in the log at that time",
        ),
        ("Commitment", write_hex(receipt.commitment)),
        (
            "Chain",
            f"id {anchor.identity.chain_id}, genesis {write_hex(anchor.identity.genesis_hash)}",
        ),
        ("Contract", write_hex(anchor.identity.contract)),
        ("Transaction", write_hex(anchor.hash_)),
        ("Block", f"{anchor.block}, {write_hex(anchor.block_hash)}"),
        ("Cosigned by", ", ".join(dict.fromkeys(k.name for k in receipt.signatories.witnesses))),
        ("Keys of the log", " ".join(key.vkey[:80] for key in receipt.signatories.log)),
    )
    body = (
        "<h1>Proof of an access to a health record</h1>",
        f"<p>Verified on {at:%d %B %Y, %H:%M} UTC, by the receipt alone, without the server that made it.</p>",
        "<h2>What was recorded</h2>",
        _list(_told(receipt.event)),
        "<h2>What is proved</h2>",
        "<ol>" + "".join(f"<li><b>{escape(s)}</b>: {escape(t)}</li>" for s, t in proved) + "</ol>",
        "<h2>What is not proved by this</h2>",
        "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in left) + "</ul>",
        "<h2>To be compared by whoever doubts</h2>",
        _list(facts),
        "<h2>The AuditEvent, as it is stored</h2>",
        f"<pre>{escape(receipt.event.decode('utf-8', 'replace'))}</pre>",
    )
    return _page("\n".join(body)).encode()


def _told(event: bytes) -> list[tuple[str, str]]:
    """The words of an AuditEvent; of one that is none, nothing."""
    try:
        value = _object(json.loads(event))
    except (ValueError, RecursionError):
        value = {}
    agents = [_object(_object(each).get("who")) for each in _items(value.get("agent"))]
    names = [who.get("display") or who.get("reference") for who in agents]
    records = [
        _object(_object(e).get("what")).get("reference") for e in _items(value.get("entity"))
    ]
    codes = [
        _object(coding).get("code")
        for each in _items(value.get("purposeOfEvent"))
        for coding in _items(_object(each).get("coding"))
    ]
    did = [_object(each).get("code") for each in _items(value.get("subtype"))]
    refused = [] if value.get("outcome") == "0" else [value.get("outcomeDesc")]
    found = (
        *(("When", [value.get("recorded")]), ("Who", names), ("Did", did)),
        *(("Records", records), ("Why", codes), ("Nothing was shown", refused)),
    )
    return [(name, _words(values)) for name, values in found if name == "When" or _words(values)]


def _words(values: Sequence[object]) -> str:
    texts = dict.fromkeys(each for each in values if isinstance(each, str) and each)
    return ", ".join(texts)


def _list(facts: Sequence[tuple[str, str]]) -> str:
    pairs = (f"<dt>{escape(n)}</dt><dd>{escape(v or _ABSENT)}</dd>" for n, v in facts)
    return f"<dl>{''.join(pairs)}</dl>"


def _page(body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Proof of an access</title><style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []
