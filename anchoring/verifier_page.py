"""The verifier as one static page: a receipt is dropped on it and checked in the browser, without any server.

The parts in ``page/`` become one file that can be saved and opened from a disk.  Its policy lets it run its own script and
nothing else, so that it can send what it reads nowhere.  ``python -m anchoring.verifier_page > verify.html`` writes it.
"""

import base64
import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from string import Template

from anchoring.chain.contract import ANCHOR, artifact, genuine_code_hashes
from anchoring.receipts.receipt import FIRST_VERSION, VERSION
from anchoring.strict_json import write_hex

_FOLDER = Path(__file__).parent / "page"
_SCRIPTS = ("bytes", "strict_json", "log", "transaction", "receipt", "page")


@cache
def verifier_page() -> bytes:
    """The page; HTML in UTF-8."""
    style, script = _read("page.css"), "\n".join((_facts(), *(_read(f"{s}.js") for s in _SCRIPTS)))
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)};"
        " base-uri 'none'; form-action 'none'"
    )
    page = Template(_read("page.html"))
    return page.substitute(policy=policy, style=style, script=script).encode()


def _facts() -> str:
    """What the script has to know of the programs that made the receipts."""
    facts = {
        "VERSION": VERSION,
        "FIRST_VERSION": FIRST_VERSION,
        "ANCHOR_SELECTOR": write_hex(artifact().methods[ANCHOR]),
        "CODE_HASHES": [write_hex(code_hash) for code_hash in genuine_code_hashes()],
    }
    return '"use strict";\n' + "\n".join(
        f"const {name} = {json.dumps(fact)};" for name, fact in facts.items()
    )


def _source(text: str) -> str:
    """A source expression of CSP 3 that names exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


if __name__ == "__main__":
    sys.stdout.buffer.write(verifier_page())
