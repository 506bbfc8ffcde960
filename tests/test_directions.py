"""Warnings that examples have a direction which the symmetries deny: against priors of which this is known."""

import time
from typing import Any, cast

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from gridcloze import Inpainter, priors
from gridcloze.checkpoint import load
from gridcloze.files.palettes import Palette
from gridcloze.priors import Examples, Windows, directions
from gridcloze.priors.directions import direction_warning


def warning_of(cells, symmetries):
    """The warning for whole grids."""
    return direction_warning(Examples(cells, Palette.default(int(cells.max()) + 1), symmetries), "{}")


def warning_of_image(image, window, symmetries):
    """The warning for one large image."""
    return direction_warning(
        Windows([image], Palette.default(int(image.max()) + 1), (window, window), symmetries), "{}"
    )


def texture(generator, size, smooth):
    """Two symbols in blobs; their distribution is that of all mirror images, and of the turned if they are round."""
    margin = [4 * reach for reach in smooth]
    noise = generator.standard_normal([size + 2 * cells for cells in margin])
    field = gaussian_filter(noise, smooth)[margin[0] :, margin[1] :][:size, :size]
    return (field > 0).astype(int)


def level(generator, height=14, width=200):
    """Sky above hilly ground."""
    ground = generator.integers(2, 5, width)
    return (np.arange(height)[:, None] >= height - ground).astype(int)


SYMMETRIC = {
    "squares": (priors.squares(8, 8, 2, 5), "all"),
    "stripes": (priors.stripes(8, 8), "all"),
    "mirror": (priors.Mirror(6, 6), "all"),
    "ising": (priors.Ising(8, 8, 0.35), "all"),
    "oblong": (priors.rectangles(6, 8), "mirrors"),
    "oblong turned": (priors.rectangles(6, 8), "turns"),
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_priors_without_a_direction_give_no_warning(name):
    """Grids of a prior that is as the symmetries say are accepted, few or many."""
    prior, symmetries = SYMMETRIC[name]
    generator = np.random.default_rng(1)
    assert not any(warning_of(prior.sample(n, generator), symmetries) for n in (15, 100, 400) for _ in range(4))


@pytest.mark.parametrize(("smooth", "symmetries"), [((2, 2), "all"), ((10, 10), "all"), ((3, 15), "mirrors")])
def test_images_without_a_direction_give_no_warning(smooth, symmetries):
    """One image of a texture is accepted, although its cells are not independent."""
    images = [texture(np.random.default_rng(seed), 150, smooth) for seed in range(20)]
    assert not any(warning_of_image(image, 16, symmetries) for image in images)


def test_cells_that_are_taken_as_independent_raise_false_alarms(monkeypatch):
    """The negative control: with blocks of 4 by 4 cells the same test warns of textures without a direction."""
    monkeypatch.setattr(directions, "MOST_BLOCKS", 10**6)
    images = [texture(np.random.default_rng(seed), 60, (3, 15)) for seed in range(20)]
    assert sum(bool(warning_of_image(image, 4, "mirrors")) for image in images) >= 2


def test_digits_have_a_direction():
    """Handwritten digits are never mirrored or turned, and the warning says so; fifty of them are enough."""
    digits = (cast(Any, load_digits()).images > 7).astype(int)
    line = "the examples look different when mirrored left to right, mirrored top to bottom or turned by 90 degrees"
    assert warning_of(digits, "all") == f"{line}, although all denies it; consider none"
    assert warning_of(digits[:50], "turns")
    assert not warning_of(digits, "none")


def test_ground_is_at_the_bottom():
    """Levels may be mirrored left to right but not top to bottom, in one image or in many grids."""
    image = level(np.random.default_rng(0))
    for symmetries in ("mirrors", "all"):
        assert warning_of_image(image, 14, symmetries).endswith("consider across")
    assert not warning_of_image(image, 14, "across")
    assert "top to bottom" in warning_of(np.stack([level(np.random.default_rng(n), 8, 8) for n in range(30)]), "along")


def test_what_is_elongated_can_be_mirrored_but_not_turned():
    """Long blobs give a warning of turns, and mirrors are named as what is left."""
    image = texture(np.random.default_rng(0), 200, (2, 8))
    assert warning_of_image(image, 16, "all").endswith("turned by 90 degrees, although all denies it; consider mirrors")
    assert warning_of_image(image, 16, "turns").endswith("consider none")


def test_position_counts_in_whole_grids():
    """Squares that are only in the upper half look like any others but for their place."""
    cells = priors.squares(6, 12, 2, 4).sample(200, np.random.default_rng(0))
    cells = np.concatenate([cells, np.zeros_like(cells)], axis=1)
    assert warning_of(cells, "mirrors").endswith("consider across")


def test_copies_are_no_evidence():
    """Examples that occur many times count once; with fewer than ten nothing can be said."""
    few = (np.random.default_rng(0).random((9, 6, 6)) < np.linspace(0, 1, 6)[:, None]).astype(int)
    assert not warning_of(np.tile(few, (100, 1, 1)), "along")


@pytest.mark.parametrize("symbols", [0, HIDDEN := -1])
def test_examples_in_which_nothing_can_be_compared_give_no_warning(symbols):
    """Grids of one symbol, of one cell, or in which everything is unknown."""
    for shape in ((20, 4, 4), (20, 1, 1), (20, 1, 5)):
        cells = np.full(shape, symbols)
        assert not direction_warning(Examples(cells, Palette.default(2), "all"), "{}")


def test_large_data_take_a_second():
    """Of many grids and of a large image only a part is looked at."""
    generator = np.random.default_rng(0)
    began = time.process_time()
    warning_of(generator.integers(0, 200, (20_000, 32, 32)), "all")
    warning_of_image(generator.integers(0, 200, (4000, 4000), dtype=np.int16), 64, "all")
    assert time.process_time() - began < 6  # three times as long as both take


def test_inpainter_warns():
    """`fit` warns with the words of its parameter, and learns."""
    grids = np.stack([level(np.random.default_rng(n), 6, 6) for n in range(30)])
    with pytest.warns(UserWarning, match=r"although symmetries='mirrors' denies it; consider symmetries='across'"):
        Inpainter(steps=1, depth=1, symmetries="mirrors").fit(grids)


def test_train_warns_and_names_what_to_do(gridcloze, tmp_path):
    """`train` writes the model that was asked for, with one line on stderr that names the option."""
    np.save("level.npy", level(np.random.default_rng(0)))
    options = ("--windows", 14, "--steps", 1, "--depth", 1, "--symmetries", "mirrors")
    code, _, error = gridcloze("train", "level.npy", "-o", "level.safetensors", *options)
    assert code == 0
    line = "top to bottom, although --symmetries mirrors denies it; consider --symmetries across"
    assert error.count(line) == 1
    assert load("level.safetensors").header.training["symmetries"] == "mirrors"
