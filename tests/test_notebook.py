"""Grids, fills and Inpainters show themselves as pictures in notebooks, without anything from elsewhere."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
import sklearn
from PIL import Image

from gridcloze import HIDDEN, Inpainter, filling
from gridcloze.files.grids import Grid, read_grid, write_grid
from gridcloze.files.html import LISTED, MOST_PIXELS, legend, picture
from gridcloze.files.palettes import Palette
from gridcloze.priors import posterior, squares
from gridcloze.puzzles import Puzzles

COVER = Palette(((70, 107, 159, 255), (28, 95, 44, 255)), "WF", ('<b>"water"', "forest & <script>"))


class Page(HTMLParser):
    """The tags of a text with their attributes, and its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "br", "link", "meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data

    @property
    def images(self):
        found = [attributes for tag, attributes in self.tags if tag == "img"]
        for one in found:
            assert one["alt"]
            assert one["src"].startswith("data:image/png;base64,")
        return [
            np.array(Image.open(BytesIO(base64.b64decode(one["src"].split(",")[1]))).convert("RGBA")) for one in found
        ]


def test_a_grid_is_a_picture_of_its_cells():
    """Each cell is a square in the colour of its symbol, hidden ones grey; the alternative text counts the cells."""
    cells = np.array([[0, 1, HIDDEN], [1, 1, 0]])
    page = Page(Grid(cells, COVER)._repr_html_())
    [image] = page.images
    scale = image.shape[1] // 3
    assert image.shape == (2 * scale, 3 * scale, 4)
    expected = np.array([*COVER.colours, (128, 128, 128, 255)])[cells]
    assert np.array_equal(image[scale // 2 :: scale, scale // 2 :: scale], expected)
    [alt] = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert alt == '2 by 3 cells: 3 forest & <script>, 2 <b>"water", 1 hidden'
    assert page.open == []


def test_names_are_escaped():
    """A name with tags in it is shown as it is, and makes no tag; nothing is loaded from elsewhere."""
    text = Grid(np.array([[0, 1]]), COVER)._repr_html_()
    assert {tag for tag, _ in Page(text).tags} <= {"figure", "img", "figcaption", "div", "span"}
    assert "forest & <script>" in Page(text).words
    assert not re.search(r"https?://|<script|<b>|src=\"(?!data:)", text)


def test_what_a_reader_returns_shows_itself(tmp_path):
    """A grid that was read from a file has the colours of the file."""
    write_grid(tmp_path / "a.png", Grid.from_cells(np.array([[0, 1, HIDDEN]]), COVER, scale=4))
    [image] = Page(read_grid(tmp_path / "a.png", COVER)._repr_html_()).images
    assert {tuple(colour) for colour in image.reshape(-1, 4).tolist()} == {*COVER.colours, (128, 128, 128, 255)}


def test_large_grids_and_long_legends_are_short():
    """A picture has a bounded size, and a legend a bounded length."""
    [image] = Page(picture(np.zeros((5000, 30), dtype=int), Palette.default(2))).images
    assert max(image.shape) <= MOST_PIXELS
    assert f"and {256 - LISTED} more" in legend(Palette.default(256))
    assert "others" in picture(np.arange(40)[None], Palette.default(40))


def test_fills_show_their_first_samples():
    """Some samples of some puzzles with their log-probability; no fills are a line."""
    exact = posterior(squares(4, 4, 2, 3))
    fills = filling.sample(exact, Puzzles(np.full((6, 4, 4), HIDDEN)), n=8)
    page = Page(fills._repr_html_())
    assert len(page.images) == 4 * 6
    assert "6 of 8 fills of 4 of 6 puzzles" in page.words
    assert f"log2 probability {fills.log_prob_bits[0, 0]:.1f}" in page.words
    assert Page(fills.first(0)._repr_html_()).words == "0 fills of 6 puzzles"


@pytest.fixture(scope="module")
def fitted():
    grids = np.random.default_rng(0).integers(0, 2, (20, 5, 5)) * 7
    return Inpainter(steps=1, depth=1).fit(grids)


def test_an_inpainter_shows_its_parameters_and_what_it_learned(fitted):
    """scikit-learn's diagram stays, and below it stand symbols, sizes and the curve; before `fit` the diagram alone."""
    unfitted = Inpainter(steps=1, depth=1)
    assert "sk-" in unfitted._repr_html_()
    assert "Learned from" not in unfitted._repr_html_()
    for text in (fitted._repr_html_(), fitted._repr_mimebundle_()["text/html"]):
        assert "sk-" in text
        assert "Learned from grids of 5 by 5 cells, in 1 steps" in text
        assert "bits per hidden cell of held-out grids" in text
        assert re.search(r"</span> 7</div>", text)
    assert fitted._repr_mimebundle_()["text/plain"] == repr(fitted)


def test_who_wants_no_diagrams_gets_none(fitted):
    """scikit-learn's option `display` goes for an Inpainter, too."""
    with sklearn.config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert "text/html" not in fitted._repr_mimebundle_()
