"""Digits 28×28: `python benchmarks/digits.py [TASK …]`, trainings of 60 and 12 minutes and some ten minutes.

likelihood  nats of the test digits in any order, binarised by a coin for each pixel; beside published ones
in-turn     the same one cell after the other, of some digits: what the estimate of `likelihood` estimates
halves      digits of black and white pixels, of which the top or the left half is given
fills       seconds, passes and memory of fills of such halves; what docs/digits.png is drawn from

Results are written to benchmarks/results/digits-TASK.json.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from common import DOCS, RESULTS, Drawn, Figures, Kept, Task, filled_by_command, main, scored, trained
from data import digits
from gridcloze import filling
from gridcloze.checkpoint import TrainedPredictor
from gridcloze.files.palettes import Palette
from gridcloze.pictures import write_panels
from gridcloze.predictor import Predictor
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells, Hidden
from gridcloze.training import Budget
from gridcloze.words import HIDDEN

SEED = 5000
SHOWN, DRAWS = 6, 4  # digits in the picture, and draws of each
ARRAYS = "digits-fills.npz"
PUBLISHED_NATS = {  # of MNIST binarised so (Uria et al. 2016, arXiv:1605.02226)
    "NADE, one fixed order": 88.33,
    "EoNADE, mixture of 128 orders": 85.10,
    "locally masked convolutions, mixture of 8 orders": 77.56,  # Jain et al. 2020, arXiv:2006.12486
}


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    grey: Budget  # of the training on digits of grey pixels, which coins make black or white
    black_and_white: Budget
    depth: int
    learned: int  # digits, the first of those for training
    held_out: int  # the last of them
    tested: int
    strata: int  # in which each digit is seen
    in_turn: int  # digits
    orders: int  # in which each of those is gone through
    filled: int


FULL = Sizes(
    Budget(120.0),
    Budget(12.0),
    10,
    learned=55_000,
    held_out=5_000,
    tested=10_000,
    strata=8,
    in_turn=100,
    orders=8,
    filled=50,
)
QUICK = Sizes(
    Budget(0.5), Budget(0.5), 6, learned=2_000, held_out=200, tested=200, strata=4, in_turn=5, orders=2, filled=4
)


def coins(grey: Kept, generator: np.random.Generator) -> Cells:
    """White with a probability of grey / 255, each pixel by itself (Salakhutdinov and Murray 2008)."""
    return (255 * generator.random(grey.shape) < grey).astype(np.int64)


def as_it_is(grey: Kept) -> Kept:
    return grey


def thresholded(grey: Kept) -> Kept:
    """Black or white, of which coins make nothing else."""
    return np.where(grey >= 128, 255, 0).astype(np.uint8)


def model_of(prepare: Callable[[Kept], Kept], sizes: Sizes, folder: Path) -> TrainedPredictor:
    budget = sizes.black_and_white if prepare is thresholded else sizes.grey
    return trained(lambda: examples(prepare, sizes), model_path(prepare, folder), budget, sizes.depth)


def examples(prepare: Callable[[Kept], Kept], sizes: Sizes) -> Drawn:
    grey = digits()["x_train"]
    kept = prepare(np.concatenate([grey[: sizes.learned], grey[-sizes.held_out :]]))
    return Drawn(kept, sizes.held_out, Palette.default(2), coins)


def model_path(prepare: Callable[[Kept], Kept], folder: Path) -> Path:
    return folder / "runs" / f"digits-{prepare.__name__}.safetensors"


def test_digits(prepare: Callable[[Kept], Kept], n: int) -> Cells:
    return coins(prepare(digits()["x_test"][:n]), np.random.default_rng(SEED))


def any_order_nats(
    predictor: Predictor, cells: Cells, hidden: Hidden, strata: int, generator: np.random.Generator
) -> Float[np.ndarray, "batch"]:
    """An unbiased estimate for each grid of -ln P(its hidden cells | the others), on average over all orders.

    Of n hidden cells the first t of a random order are shown. The next one then costs on average what a cell costs that
    is still hidden, and all of them n times that, on average over t = 0…n-1 (Uria et al. 2014, arXiv:1310.1757;
    Hoogeboom et al. 2022, arXiv:2110.02037). t is drawn once from each of some `strata` of equal size.
    """
    n, nats = hidden.sum(axis=(1, 2)), np.zeros(len(cells))
    for stratum in range(strata):
        shown = (n * (stratum + generator.random(len(cells))) / strata).astype(np.int64)
        keys = np.where(hidden, generator.random(cells.shape), np.inf).reshape(len(cells), -1)
        place = keys.argsort(axis=1).argsort(axis=1).reshape(cells.shape)
        unseen = hidden & (place >= shown[:, None, None])
        law = predictor.marginals(cells, unseen)
        said = np.take_along_axis(law, cells[..., None], axis=-1)[..., 0]
        with np.errstate(divide="ignore"):
            nats -= n * np.log(said).sum(axis=(1, 2), where=unseen) / unseen.sum(axis=(1, 2))
    return nats / strata


def half_hidden(cells: Cells) -> dict[str, Hidden]:
    """What is hidden of grids by the half that is given."""
    row, column = np.indices(cells.shape)[1:]
    return {"top": row >= cells.shape[1] // 2, "left": column >= cells.shape[2] // 2}


def mean_and_error(values: Float[np.ndarray, "grid"]) -> Figures:
    return {"mean": float(values.mean()), "standard_error": float(values.std(ddof=1) / len(values) ** 0.5)}


def entropy_nats(grey: Kept) -> float:
    """Of the coins of a digit, on average: what no model can know."""
    white = grey / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(share > 0, -share * np.log(share), 0.0) for share in (white, 1 - white)]
    return float(np.sum(terms, axis=(0, 2, 3)).mean())


def likelihood(sizes: Sizes, folder: Path) -> Figures:
    """The standard error is over digits."""
    model, cells = model_of(as_it_is, sizes, folder), test_digits(as_it_is, sizes.tested)
    generator = np.random.default_rng(SEED)
    nats = any_order_nats(model, cells, np.ones(cells.shape, dtype=bool), sizes.strata, generator)
    return {
        "seed": SEED,
        "nats": mean_and_error(nats),
        "nats_of_coins": entropy_nats(digits()["x_test"][: sizes.tested]),
        "published_nats": PUBLISHED_NATS,
        "test_law": scored(model, cells, evaluation_hiding(cells.shape, generator)),
        "training": model.header.training,
    }


def in_turn(sizes: Sizes, folder: Path) -> Figures:
    """Random orders of each digit, all 784 passes: their mean, their mixture, and how far the estimate is above.

    A mixture of orders is what the published figures of several orders are.
    """
    model, cells = model_of(as_it_is, sizes, folder), test_digits(as_it_is, sizes.in_turn)
    everything = np.ones(cells.shape, dtype=bool)
    of_orders = filling.log_prob_bits(model, Puzzles(cells, everything), sizes.orders, SEED)
    nats, mixture = -np.log(2) * of_orders.bits, -np.log(2) * of_orders.mixture_bits
    estimate = any_order_nats(model, cells, everything, 8 * sizes.strata, np.random.default_rng(SEED))
    return {
        "seed": SEED,
        "orders": sizes.orders,
        "nats": mean_and_error(nats),
        "mixture_nats": mean_and_error(mixture),
        "mixture_below": mean_and_error(nats - mixture),
        "estimate_above": mean_and_error(estimate - nats),
    }


def halves(sizes: Sizes, folder: Path) -> Figures:
    """`bits_per_hidden_cell` is of marginals; `joint_…` of all hidden cells one after the other, in any order."""
    model, cells = model_of(thresholded, sizes, folder), test_digits(thresholded, sizes.tested)
    generator = np.random.default_rng(SEED)
    result: Figures = {"seed": SEED, "test_law": scored(model, cells, evaluation_hiding(cells.shape, generator))}
    for name, hidden in half_hidden(cells).items():
        bits = any_order_nats(model, cells, hidden, sizes.strata, generator) / np.log(2) / hidden[0].sum()
        result[name] = {**scored(model, cells, hidden), "joint_bits_per_hidden_cell": mean_and_error(bits)}
    return {**result, "training": model.header.training}


def fills(sizes: Sizes, folder: Path) -> Figures:
    """One draw of each digit alone with the default decoder, and all of them by the command."""
    model, cells = model_of(thresholded, sizes, folder), test_digits(thresholded, sizes.filled)
    hidden = np.where(np.arange(len(cells))[:, None, None] % 2, *half_hidden(cells).values())
    began = time.monotonic()
    each = [filling.sample(model, Puzzles(cells[[one]], hidden[[one]]), 1, SEED) for one in range(len(cells))]
    seconds = time.monotonic() - began
    shown, unknown = cells[:SHOWN], hidden[:SHOWN]
    np.savez_compressed(
        folder / ARRAYS,
        cells=np.where(unknown, HIDDEN, shown).astype(np.int8),
        truth=shown.astype(np.int8),
        white=model.marginals(shown, unknown)[..., 1].astype(np.float16),
        draws=filling.sample(model, Puzzles(shown, unknown), DRAWS, SEED).cells.astype(np.int8),
    )
    return {
        "seed": SEED,
        "seconds_of_one_draw": seconds / len(cells),
        "passes_of_one_draw": float(np.mean([one.passes for one in each])),
        "by_command": filled_by_command(model_path(thresholded, folder), cells, hidden)[1],
    }


def draw(arrays: Path, picture: Path) -> None:
    """Half-given digits: what is given, what is said of each cell, draws, and what was there."""
    with np.load(arrays) as kept:
        columns = kept["cells"], kept["white"].astype(np.float64), *kept["draws"].swapaxes(0, 1), kept["truth"]
        rows = [list(panels) for panels in zip(*columns, strict=True)]
    titles = ["given", "P(white)", *(f"sample {number + 1}" for number in range(DRAWS)), "truth"]
    write_panels(picture, titles, [""] * len(rows), rows, Palette.default(2))


def tasks(sizes: Sizes, folder: Path) -> dict[str, Task]:
    every = (likelihood, in_turn, halves, fills)
    return {task.__name__.replace("_", "-"): partial(task, sizes, folder) for task in every}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(tasks(FULL, RESULTS), __doc__, tasks(QUICK, Path(folder)))
    if (RESULTS / ARRAYS).exists():
        draw(RESULTS / ARRAYS, DOCS / "digits.png")
