"""Pictures: which files they are, on which ground, and what they say in words; what they show is for eyes."""

import re
from collections import Counter

import matplotlib
import numpy as np
import pytest
from PIL import Image

from gridcloze import pictures, scoring
from gridcloze.explaining import Explanation
from gridcloze.files.palettes import Palette
from gridcloze.words import HIDDEN, InputError

PALETTE = Palette(((0, 0, 0, 255), (255, 255, 255, 255)), "~%", ("water", "forest"))
LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
GENERATOR = np.random.default_rng(0)
CELLS = np.where(GENERATOR.random((4, 6)) < 0.5, HIDDEN, GENERATOR.integers(0, 2, (4, 6)))
TARGET = tuple(np.argwhere(CELLS == HIDDEN)[0].tolist())
SHARES = GENERATOR.random((4, 6))
INFLUENCE = np.where(CELLS == HIDDEN, np.nan, SHARES)
EXPLANATION = Explanation(np.stack((SHARES, 1 - SHARES), axis=-1), INFLUENCE, np.full((4, 6), np.nan))
ATTENTION, CORRELATIONS = GENERATOR.random((2, 3, 4, 6)), np.array([[0.1, 0.5, np.nan], [0.0, -1.0, 0.2]])
CURVE = scoring.reliability(EXPLANATION.marginals[None], np.ones((1, 4, 6), int), np.ones((1, 4, 6), bool))
WRITERS = {
    "reliability": lambda path, dark: pictures.write_reliability(path, {"model": CURVE}, dark),
    "check": lambda path, dark: pictures.write_check(path, CELLS, [(0, 1)], INFLUENCE, PALETTE, dark),
    "panels": lambda path, dark: pictures.write_panels(path, ["a", "b"], ["c"], [[CELLS, SHARES]], PALETTE, dark),
    "explanation": lambda path, dark: pictures.write_explanation(
        path, CELLS, TARGET, {"model": EXPLANATION, "exact": EXPLANATION}, ATTENTION, CORRELATIONS, PALETTE, dark
    ),
    "heads": lambda path, dark: pictures.write_heads(path, ATTENTION, CELLS, TARGET, CORRELATIONS, PALETTE, dark),
    "samples": lambda path, dark: pictures.write_samples(
        path, CELLS[None], abs(CELLS[None]), abs(CELLS[None, None]).repeat(7, axis=1), PALETTE, dark
    ),
    "probabilities": lambda path, dark: pictures.write_probabilities(
        path, CELLS[None], EXPLANATION.marginals[None], PALETTE, dark
    ),
    "samples of a stack": lambda path, dark: pictures.write_samples(
        path, np.stack([CELLS] * 3), np.stack([abs(CELLS)] * 3), np.zeros((3, 2, 4, 6), int), PALETTE, dark
    ),
    "probabilities of a stack": lambda path, dark: pictures.write_probabilities(
        path, np.stack([CELLS] * 3), np.stack([EXPLANATION.marginals] * 3), PALETTE, dark
    ),
}


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def texts_in(writer, path, dark=False):
    """Every text of a picture, and its colour."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # texts instead of outlines
        writer(path, dark)
    found = re.findall(r"<text ([^>]*)>([^<]*)</text>", path.read_text())
    colours = [re.search(r"fill: (#[0-9a-f]{6})", attributes) for attributes, _ in found]
    return [(text, colour[1] if colour else "#000000") for (_, text), colour in zip(found, colours, strict=True)]


def contrast(one, other):
    """The contrast ratio of two colours in sRGB, 1 … 21 (WCAG 2.2)."""
    linear = [np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4) for colour in (one, other)]
    darker, lighter = sorted(float(colour @ LUMA) for colour in linear)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_picture_is_on_light_or_dark_ground(name, tmp_path):
    """All along its border is its ground, white or nearly black, and every text on it has a contrast above 7."""
    for dark, expected in ((False, (255, 255, 255)), (True, (27, 27, 27))):
        WRITERS[name](tmp_path / "picture.png", dark)
        pixels = pixels_of(tmp_path / "picture.png")
        border = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), *pixels[:, [0, 1, -2, -1]]])
        assert Counter(map(tuple, border.tolist())) == {expected: len(border)}, "nothing is cut off, either"
        texts = texts_in(WRITERS[name], tmp_path / "picture.svg", dark)
        assert len(texts) > 3
        for text, colour in texts:
            ink = np.array(list(bytes.fromhex(colour[1:])))
            assert contrast(ink / 255, np.array(expected) / 255) > 7, text


def test_long_labels_are_not_cut_off(tmp_path):
    """What the colours of `check` mean is longer than its panel is wide, and is set in lines."""
    cells = np.full((16, 16), HIDDEN)
    pictures.write_check(tmp_path / "picture.png", cells, [], np.full((16, 16), 0.5), PALETTE)
    pixels = pixels_of(tmp_path / "picture.png")
    assert (pixels[:, [0, 1, -2, -1]] == 255).all()


WORDS = {
    "reliability": {"predicted probability", "observed share", "model (calibration error 0.28"},
    "check": {
        "grid",
        "hidden cells: where to look next",
        "bits that a cell would tell",
        "hidden",
        "visible, or not asked",
    },
    "panels": {"a", "b", "c", "probability", "hidden"},
    "explanation": {"Why the framed cell is water", "probability of water", "total variation", "share of attention"},
    "samples": {"puzzle", "fill", "sample 1", "sample 7", "hidden"},
    "probabilities": {"puzzle", "probability", "hidden"},
    "samples of a stack": {"puzzle", "grid 0", "grid 2", "fill", "sample 2"},
    "probabilities of a stack": {"puzzle", "grid 2", "probability"},
    "heads": {"layer 1", "head 1: 0.50", "attention, as a share of the head's largest", "hidden"},
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_picture_says_what_it_shows(name, tmp_path):
    """Axes and bars of colours have labels, and symbols are called by their names, not by characters."""
    texts = [text for text, _ in texts_in(WRITERS[name], tmp_path / "picture.svg")]
    named = set() if name == "reliability" else {"water", "forest"}
    for words in WORDS[name] | named:
        assert any(text.startswith(words) for text in texts), words
    assert not {"~", "%"} & set(texts)


@pytest.mark.parametrize(("n_samples", "shape"), [(0, (1, 2)), (4, (2, 3)), (8, (3, 4)), (16, (5, 4))])
def test_samples_lie_in_even_rows(n_samples, shape, tmp_path, monkeypatch):
    """The puzzle, its fill and its samples fill a table of at most four columns, with few gaps."""
    tables = []
    table_of = pictures._table
    monkeypatch.setattr(pictures, "_table", lambda *some, **more: tables.append(table_of(*some, **more)) or tables[-1])
    cells = np.zeros((1, 4, 6), int)
    pictures.write_samples(tmp_path / "a.svg", cells, cells, np.zeros((1, n_samples, 4, 6), int), PALETTE)
    assert tables[0].shape == shape


def test_likely_symbols_are_drawn(tmp_path):
    """Of many symbols those that are likeliest at hidden cells have panels, in the order of the palette."""
    palette = Palette(
        Palette.default(40).colours, Palette.default(40).characters, tuple(f"class {n}" for n in range(40))
    )
    marginals = np.full((1, 4, 6, 40), 1e-3)
    marginals[0, CELLS == HIDDEN, 20:30] = 0.09
    marginals[0, CELLS != HIDDEN, 0] = 1
    marginals[0, CELLS == HIDDEN, 0] = 0
    writer = lambda path, dark: pictures.write_probabilities(path, CELLS[None], marginals, palette, dark)  # noqa: E731
    texts = [text for text, _ in texts_in(writer, tmp_path / "picture.svg")]
    titles = texts[: texts.index("0")]  # the legend below the bar of colours has all names
    assert [text for text in titles if text in {f"class {n}" for n in range(20, 30)}] == [
        f"class {n}" for n in range(20, 30)
    ]
    assert "class 0" not in titles


def test_a_film_has_one_legend_from_first_to_last(tmp_path):
    """Where nothing is hidden any more, the panels are where they were."""
    frames = [pictures.frame(["known"], [""], [[cells]], PALETTE) for cells in (CELLS, np.zeros_like(CELLS))]
    assert frames[0].shape == frames[1].shape
    assert np.array_equal(frames[0][-40:], frames[1][-40:])


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_the_same_picture_has_the_same_bytes(name, tmp_path):
    """As SVG and as PNG: neither date nor chance goes into a file."""
    for ending in (".svg", ".PNG"):
        one, other = tmp_path / f"one{ending}", tmp_path / f"other{ending}"
        WRITERS[name](one, False)
        WRITERS[name](other, False)
        assert one.read_bytes() == other.read_bytes()
    assert b"<svg" in (tmp_path / "one.svg").read_bytes()


@pytest.mark.parametrize("name", WRITERS)
def test_another_ending_is_refused(name, tmp_path):
    """A picture is a PNG or an SVG file; nothing is left behind."""
    with pytest.raises(InputError, match=r"picture\.jpg: the name of a picture ends in \.png or \.svg"):
        WRITERS[name](tmp_path / "picture.jpg", False)
    assert list(tmp_path.iterdir()) == []


def test_frames_have_one_size():
    """Whatever a frame shows it has the size of the others, for an encoder of films."""
    frames = [
        pictures.frame(["known", title], [""], [[CELLS, shares]], PALETTE, dark=True)
        for shares, title in ((SHARES, "probability"), (INFLUENCE, "p"))
    ]
    assert frames[0].shape == frames[1].shape
    assert frames[0].dtype == np.uint8
    assert not np.array_equal(*frames)


def test_what_is_no_question_is_hatched(tmp_path):
    """A cell without a number shows the hatching behind it, and no other cell does: symbols and numbers are plain."""
    panels = {"nothing": np.full((4, 6), np.nan), "numbers": SHARES, "white": np.ones((4, 6), int)}
    hues = {}
    for name, panel in panels.items():
        pictures.write_panels(tmp_path / f"{name}.png", [""], [""], [[panel]], PALETTE)
        hues[name] = pixels_of(tmp_path / f"{name}.png")[60:80, 600:700].reshape(-1, 3)
        transparent = pictures.colours_of(panel, PALETTE)[..., 3] == 0
        assert transparent.all() if name == "nothing" else not transparent.any()
    assert len(np.unique(hues["nothing"], axis=0)) > 2
    assert {tuple(one) for one in hues["white"].tolist()} >= {(255, 255, 255)}
    assert (255, 255, 255) not in {tuple(one) for one in hues["nothing"].tolist()}


def test_small_influence_is_no_full_yellow(tmp_path):
    """The scale of influence does not end below a tenth: what is next to nothing looks like nothing."""
    small = Explanation(EXPLANATION.marginals, INFLUENCE / 1000, INFLUENCE / 1000)
    writer = lambda path, dark: pictures.write_explanation(  # noqa: E731
        path, CELLS, TARGET, {"model": small}, None, None, PALETTE, dark
    )
    texts = [text for text, _ in texts_in(writer, tmp_path / "picture.svg")]
    assert texts.count("0.1") == 2


@pytest.mark.slow
def test_letters_are_large_enough_where_pictures_are_seen(tmp_path):
    """In a column of 350 pixels, as of a phone, no letter of any picture has less than 7 pixels."""
    for name, writer in WRITERS.items():
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            writer(tmp_path / "picture.svg", False)
        text = (tmp_path / "picture.svg").read_text()
        width = float(re.search(r'width="([\d.]+)pt"', text)[1])
        sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", text)]
        assert min(sizes) * 350 / width > 7, name
