"""A real browser: Debian's Chromium without a window, driven by Playwright.

Pages are opened as ``http://localhost:PORT``: passkeys work for that name, not for an address.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATH = shutil.which("chromium")

needs_chromium = pytest.mark.skipif(_PATH is None, reason="chromium is not installed: no browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a browser that is closed at the end; each test makes a context of its own in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_PATH, headless=True, args=list(_FLAGS)
        )
        yield browser
        browser.close()
