"""Pictures: which files they are, on which ground; what they show is for eyes."""

import numpy as np
import pytest
from PIL import Image

from gridcloze import pictures, scoring
from gridcloze.explaining import Explanation
from gridcloze.files.palettes import Palette
from gridcloze.words import HIDDEN, InputError

PALETTE = Palette.default(2)
LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
GENERATOR = np.random.default_rng(0)
CELLS = np.where(GENERATOR.random((4, 6)) < 0.5, HIDDEN, GENERATOR.integers(0, 2, (4, 6)))
TARGET = tuple(np.argwhere(CELLS == HIDDEN)[0].tolist())
SHARES = GENERATOR.random((4, 6))
INFLUENCE = np.where(CELLS == HIDDEN, np.nan, SHARES)
SAID = Explanation(np.stack((SHARES, 1 - SHARES), axis=-1), INFLUENCE, np.full((4, 6), np.nan))
ATTENTION, CORRELATIONS = GENERATOR.random((2, 3, 4, 6)), np.array([[0.1, 0.5, np.nan], [0.0, -1.0, 0.2]])
CURVE = scoring.reliability(SAID.marginals[None], np.ones((1, 4, 6), int), np.ones((1, 4, 6), bool))
WRITERS = {
    "reliability": lambda path, dark: pictures.write_reliability(path, {"model": CURVE}, dark),
    "check": lambda path, dark: pictures.write_check(path, CELLS, [(0, 1)], INFLUENCE, PALETTE, dark),
    "panels": lambda path, dark: pictures.write_panels(path, ["a", "b"], ["c"], [[CELLS, SHARES]], PALETTE, dark),
    "explanation": lambda path, dark: pictures.write_explanation(
        path, CELLS, TARGET, {"model": SAID, "exact": SAID}, ATTENTION, CORRELATIONS, PALETTE, dark
    ),
    "heads": lambda path, dark: pictures.write_heads(path, ATTENTION, CELLS, TARGET, CORRELATIONS, PALETTE, dark),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_picture_is_on_light_or_dark_ground(name, tmp_path):
    """Its corner is white, or nearly black; most of a dark one is dark."""
    for dark, corner in ((False, 255), (True, 27)):
        WRITERS[name](tmp_path / "picture.png", dark)
        with Image.open(tmp_path / "picture.png") as image:
            pixels = np.array(image.convert("RGB"))
        assert (pixels[0, 0] == corner).all()
        assert min(pixels.shape[:2]) > 150


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


def test_frames_have_one_even_size():
    """Whatever a frame shows it has the size of the others, for an encoder of films."""
    frames = [
        pictures.frame(["known", title], [""], [[CELLS, shares]], PALETTE, dark=True)
        for shares, title in ((SHARES, "probability"), (INFLUENCE, "p"))
    ]
    assert frames[0].shape == frames[1].shape
    assert frames[0].dtype == np.uint8
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0
    assert not np.array_equal(*frames)


def test_what_is_no_question_has_a_brightness_that_no_probability_has():
    """On both grounds a cell without a number is told from every number, in grey too."""
    every = pictures.colours_of(np.linspace(0, 1, 256)[None], PALETTE)[0, :, :3] @ LUMA
    for theme in (pictures.LIGHT, pictures.DARK):
        nothing = pictures.colours_of(np.array([[np.nan]]), PALETTE, theme)[0, 0, :3] @ LUMA
        assert nothing > every.max() + 25 or nothing < every.min() - 25
