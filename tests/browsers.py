"""A Chromium that asks nobody anything, for the tests that open pages."""

import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


def needed(found, what):
    """Skips where something is missing, but fails where all must be there."""
    if not found:
        stop = pytest.fail if os.environ.get("GRIDCLOZE_REQUIRE_CHROMIUM") else pytest.skip
        stop(f"{what} is missing")


@contextmanager
def opened_browser():
    """With a profile of its own."""
    chromium = shutil.which("chromium")
    needed(chromium, "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield browser
        browser.close()
