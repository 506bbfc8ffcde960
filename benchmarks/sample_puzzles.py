"""Writes models/puzzles: two puzzles with doubt for each model, from grids that it did not learn from."""

import numpy as np

from common import MODELS, RESULTS
from data import HERE
from gridcloze.files.grids import Grid, write_grid
from gridcloze.files.palettes import Palette
from gridcloze.priors import squares
from gridcloze.words import HIDDEN

PUZZLES = MODELS / "puzzles"


def puzzles() -> dict[str, np.ndarray]:
    """The puzzles by name."""
    generator = np.random.default_rng(7)
    with np.load(HERE / "channels.npz") as data:
        channels = data["realizations"][420:422, :64, :64].astype(np.int64)  # held out
    with np.load(RESULTS / "digits-fills.npz") as data:
        digits = data["truth"][[0, 3]].astype(np.int64)  # of the test set of MNIST
    whole = squares(16, 16).sample(2, generator)
    hidden = {
        "channels-0": generator.random((64, 64)) >= 0.05,
        "channels-1": np.indices((64, 64))[1] >= 30,
        "digits-0": np.indices((28, 28))[0] >= 12,
        "digits-1": generator.random((28, 28)) >= 0.06,
        "squares-0": generator.random((16, 16)) >= 0.06,
        "squares-1": generator.random((16, 16)) >= 0.05,
    }
    truth = [*channels, *digits, *whole]
    return {name: np.where(of_it, HIDDEN, one) for (name, of_it), one in zip(hidden.items(), truth, strict=True)}


if __name__ == "__main__":
    PUZZLES.mkdir(exist_ok=True)
    for name, cells in puzzles().items():
        write_grid(PUZZLES / f"{name}.png", Grid.from_cells(cells, Palette.default(2)))
