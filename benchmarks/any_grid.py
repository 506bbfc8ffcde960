"""Draw docs/any-grid.png, one realisation of channels filled in three ways: `python benchmarks/any_grid.py`."""

from functools import partial

import numpy as np

import data
from common import DOCS, MODELS
from gridcloze import checkpoint, filling
from gridcloze.files.palettes import Palette
from gridcloze.pictures import write_panels
from gridcloze.priors import hiding
from gridcloze.puzzles import Puzzles
from gridcloze.words import HIDDEN

MODEL = MODELS / "channels.safetensors"
REALISATION = 410  # not among the 400 that the model learned from


def table() -> tuple[list[str], list[str], list[list[np.ndarray]]]:
    """Titles, names of rows, and panels: what is known, the probability of a channel, two samples, and the truth."""
    truth = data.channels()["realizations"][REALISATION]
    model, generator = checkpoint.load(MODEL), np.random.default_rng(0)
    rows = []
    for hide in (
        partial(hiding.visible_share, 0.01),
        partial(hiding.visible_share, 0.05),
        partial(hiding.square_hole, 64),
    ):
        hidden = hide((1, *truth.shape), generator)
        probability = model.marginals(truth[None], hidden)[0, ..., 1]
        samples = filling.sample(model, Puzzles(truth[None], hidden), 2).cells[0]
        rows.append([np.where(hidden[0], HIDDEN, truth), probability, *samples, truth])
    titles = ["known", "probability of channel", "sample 1", "sample 2", "truth"]
    return titles, ["1% known", "5% known", "a hole"], rows


if __name__ == "__main__":
    write_panels(DOCS / "any-grid.png", *table(), Palette.default(2))
