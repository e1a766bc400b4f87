"""A real Chromium for tests, driven by Playwright; it is never downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE_MS = 120_000  # machines that run tests are busy
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@contextmanager
def opened(page: Path, width: int = 1280, height: int = 900) -> Iterator[tuple[Any, list[str]]]:
    """The page in a window without a network, and all that its console and its scripts complained of.

    Skips the test where there is no Chromium or no Playwright.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        # Containers seldom allow the sandbox; the page is our own.
        browser = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE_MS
        )
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
            context.set_default_timeout(PATIENCE_MS)
            window = context.new_page()
            window.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
            window.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            window.on("requestfailed", lambda request: complaints.append(f"not fetched: {request.url[:80]}"))
            window.goto(page.resolve().as_uri())
            window.wait_for_load_state("load")
            yield window, complaints
        finally:
            browser.close()
