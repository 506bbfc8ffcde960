"""A Chromium that asks nobody anything, for the tests that open pages."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

PAGE = Path(__file__).parent.parent / "src" / "gridcloze" / "studio" / "page"
AXE = PAGE / "node_modules" / "axe-core" / "axe.min.js"
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


def violations(page):
    """What axe-core finds that keeps people from a page: each rule, with the elements that break it."""
    needed(AXE.exists(), "axe-core, which `make page` installs,")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]
