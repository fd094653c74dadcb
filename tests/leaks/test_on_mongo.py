"""A telling part of these tests on MongoDB; all of them run there with ``STORE_OF_TESTS=mongo``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .. import mongo_server

pytestmark = mongo_server.needs_mongo
HERE = Path(__file__).resolve().parent
CHOSEN = ("test_search.py", "test_transaction.py")


def test_nothing_leaks_on_mongodb_either(tmp_path: Path) -> None:
    mongo_server.url(tmp_path)  # one server for this process and the next
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(str(HERE / name) for name in CHOSEN)],
        env={**os.environ, "STORE_OF_TESTS": "mongo"},
        cwd=HERE.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert " failed" not in done.stdout
