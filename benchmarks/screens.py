"""The pictures of the studio in README.md: `python benchmarks/screens.py` opens the built page, and takes a minute."""

import numpy as np
from playwright.sync_api import Browser, Page

from common import DOCS, MODELS, RUNS
from figures import PRIOR
from gridcloze import checkpoint, filling
from gridcloze.puzzles import Puzzles
from gridcloze.studio.single import PageModel, prior_name, single_file
from gridcloze.words import HIDDEN
from studio import chromium

SEED = 3
SIZE = {"width": 1280, "height": 868}


def opened(browser: Browser, name: str, dark: bool, *models: PageModel) -> Page:
    page = browser.new_page(viewport=SIZE, device_scale_factor=2, color_scheme="dark" if dark else "light")
    path = RUNS / f"{name}.html"
    path.write_text(single_file(*models), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector("text=bits of uncertainty per hidden cell", timeout=60_000)
    return page


def point(page: Page, row: int, column: int, side: int) -> None:
    """Put the pointer on a cell of the puzzle."""
    box = page.get_by_role("application").bounding_box()
    assert box
    cell = box["width"] / side
    page.mouse.move(box["x"] + (column + 0.5) * cell, box["y"] + (row + 0.5) * cell)


def squares(browser: Browser) -> None:
    """A puzzle, what the model and Bayes' rule say of it, and one cell in detail."""
    bert = checkpoint.exported(checkpoint.load(MODELS / "squares.safetensors"))
    page = opened(browser, "squares", False, PageModel("squares", bert, prior_name(PRIOR)))
    page.get_by_role("button", name="Puzzle 1 of the article").click()
    point(page, 9, 13, 16)
    page.wait_for_timeout(3000)  # until the influences are those of this cell
    page.screenshot(path=DOCS / "studio.png")


def digits(browser: Browser) -> None:
    """The upper half of a digit that the model made up, and sixteen ways to go on."""
    predictor = checkpoint.load(MODELS / "digits.safetensors")
    puzzle = filling.sample(predictor, Puzzles(np.full((1, 28, 28), HIDDEN)), 1, SEED).cells[0, 0]
    puzzle[14:] = HIDDEN
    path = RUNS / "digit.npy"
    np.save(path, puzzle)
    page = opened(browser, "digits", True, PageModel("digits", checkpoint.exported(predictor)))
    page.get_by_label("Open a puzzle").set_input_files(path)
    page.get_by_role("radio", name="Samples", exact=True).check()
    page.get_by_role("button", name="Sample 16", exact=True).wait_for(timeout=300_000)
    point(page, 18, 13, 28)
    page.wait_for_timeout(3000)
    page.screenshot(path=DOCS / "studio-samples.png")


if __name__ == "__main__":
    RUNS.mkdir(parents=True, exist_ok=True)
    with chromium() as opened_browser:
        squares(opened_browser)
        digits(opened_browser)
