"""Learning from few examples, with default settings and no length: `python benchmarks/few.py [TASK …]`.

A task is a kind of grids and how many of them there are, such as land-cover-100. A model learns from them until it is
done; then it and those who only count or remember are asked about other grids, under the conditions of `score`.

Results are written to benchmarks/results/few-TASK.json; `--table` prints the table of docs/results.md.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

import common
import data
from common import RESULTS, Figures, Task, main, trained
from gridcloze import scoring
from gridcloze.baselines import Nearest, NeighbourTable
from gridcloze.files.palettes import Palette
from gridcloze.lookup import Lookup
from gridcloze.predictor import Predictor
from gridcloze.priors.examples import Examples
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import conditions, evaluation_hiding
from gridcloze.priors.windows import Windows
from gridcloze.shapes import Cells, Hidden, Marginals
from gridcloze.training import Budget
from peers import N_WINDOWS, nearest_examples
from textures import windows_of

SEED = 9000
TESTED = 200  # grids
CELLS_OF_A_GRID = 10  # of single hidden cells, each with all others visible: one of each grid would say little
SIDE = 64  # of windows of the channels
LAND_COVER = (22, 32)  # the size of grids
TRAIN, TEST = slice(0, 470), slice(480, 560)  # columns of the land cover
COUNTS = {
    "squares": (10, 30, 100, 300, 1000, 3000),
    "small-digits": (10, 30, 100, 300, 1000),
    "digits": (10, 30, 100, 300, 1000, 3000),
    "channels": (1, 3, 10, 30, 100),  # realisations
    "land-cover": (10, 30, 100, 300, 1000),
}
WITHIN = 0.01  # bits, of the best of those who count or remember
TITLES = (
    "examples",
    "seconds",
    "bits",
    "calibration error",
    "bits of the best of the others",
    f"condition under which one of them is better by more than {WITHIN}",
)


@dataclass(frozen=True)
class Grids:
    """What is learned from, and what is asked about; `images` are what the others learn from."""

    examples: Examples | Windows
    images: Cells
    tested: Cells


def unseen_squares(n: int) -> Grids:
    """Squares of a random half of all, to learn from; of the other half, to be asked about."""
    prior, generator = squares(16, 16, 3, 12), np.random.default_rng(SEED)
    order = generator.permutation(len(prior.members))
    seen, unseen = np.array_split(prior.members[order].astype(np.int64), 2)
    return of_grids(seen[generator.integers(0, len(seen), n)], unseen[generator.integers(0, len(unseen), TESTED)], 2)


def small_digits(n: int) -> Grids:
    """Digits of 8×8 cells from scikit-learn, black and white."""
    from sklearn.datasets import load_digits

    cells = (cast(Any, load_digits()).images >= 8).astype(np.int64)
    cells = cells[np.random.default_rng(SEED).permutation(len(cells))]
    return of_grids(cells[:n], cells[-TESTED:], 2)


def digits(n: int) -> Grids:
    """Digits of MNIST, black and white."""
    arrays = data.digits()
    learned, tested = ((arrays[name] >= 128).astype(np.int64) for name in ("x_train", "x_test"))
    return of_grids(learned[:n], tested[:TESTED], 2)


def channels(n: int) -> Grids:
    """Windows of so many realisations."""
    realisations = data.channels()["realizations"].astype(np.int64)
    tested = windows_of(realisations[400:450], TESTED, SIDE, np.random.default_rng(SEED))
    return Grids(Windows(list(realisations[:n]), Palette.default(2), (SIDE, SIDE)), realisations[:n], tested)


def land_cover(n: int) -> Grids:
    """Separate grids of 15 classes, some of which are rare."""
    cells, generator = data.landcover()["cells"].astype(np.int64), np.random.default_rng(SEED)

    def cut(columns: slice, count: int) -> Cells:
        part, (height, width) = cells[:, columns], LAND_COVER
        rows = generator.integers(0, part.shape[0] - height, count)
        lefts = generator.integers(0, part.shape[1] - width, count)
        return np.stack([part[row : row + height, left : left + width] for row, left in zip(rows, lefts, strict=True)])

    tested = cut(TEST, TESTED)
    return of_grids(cut(TRAIN, n), tested, 15)


def of_grids(learned: Cells, tested: Cells, n_symbols: int) -> Grids:
    return Grids(Examples(learned, Palette.default(n_symbols)), learned, tested)


KINDS: dict[str, Callable[[int], Grids]] = {
    "squares": unseen_squares,
    "small-digits": small_digits,
    "digits": digits,
    "channels": channels,
    "land-cover": land_cover,
}


@dataclass(frozen=True)
class NearestGrids:
    """KNNImputer as a Predictor."""

    examples: Cells
    n_symbols: int
    window: tuple[int, int] | None = None

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        return nearest_examples(self.examples, cells, hidden, self.n_symbols)


def others(grids: Grids, n_symbols: int) -> dict[str, Predictor]:
    """Those who count or remember."""
    size = (grids.examples.height, grids.examples.width)
    windows = Windows(list(grids.images), Palette.default(n_symbols), size).sample(
        N_WINDOWS, np.random.default_rng(SEED)
    )
    examples = grids.images if grids.images.shape[1:] == size else windows
    return {
        "nearest cell": Nearest(grids.images, n_symbols),
        "neighbour table": NeighbourTable(grids.images, n_symbols),
        "lookup": Lookup(windows, n_symbols),
        "KNNImputer": NearestGrids(examples, n_symbols),
    }


def asked(predictor: Predictor, cells: Cells, hidden: Hidden) -> Figures:
    """Bits, error, and calibration by the most likely symbol."""
    law = predictor.marginals(cells, hidden)
    score = scoring.score(law, cells, hidden)
    top_label = scoring.top_label_reliability(law, cells, hidden).expected_calibration_error
    return {name: score[name] for name in ("bits_per_hidden_cell", "error")} | {"calibration_error": top_label}


def run(kind: str, n: int, folder: Path, budget: Budget, tested: int) -> Figures:
    grids = KINDS[kind](n)
    model = trained(lambda: grids.examples, folder / "runs" / f"few-{kind}-{n}.safetensors", budget)
    rivals = {"gridcloze": model, **others(grids, model.n_symbols)}
    figures, cells = Figures(model.header.training | {"seed": SEED, "n": n}), grids.tested[:tested]
    kinds_of_hiding = {"mixture": evaluation_hiding, **conditions(*cells.shape[1:])}
    figures["conditions"] = {}
    for number, (name, hide) in enumerate(kinds_of_hiding.items()):
        asked_about = cells.repeat(CELLS_OF_A_GRID if name == "single cells" else 1, axis=0)
        hidden = hide(asked_about.shape, np.random.default_rng([SEED, number]))
        figures["conditions"][name] = {rival: asked(each, asked_about, hidden) for rival, each in rivals.items()}
    return figures


def tasks(counts: Mapping[str, tuple[int, ...]], folder: Path, budget: Budget, tested: int = TESTED) -> dict[str, Task]:
    return {f"{kind}-{n}": partial(run, kind, n, folder, budget, tested) for kind in counts for n in counts[kind]}


def table() -> str:
    """The results there are as a table in Markdown, a line for each task."""
    rows = [
        _row(f"{kind}, {n:,}", json.loads(path.read_text()))
        for kind, counts in COUNTS.items()
        for n in counts
        if (path := RESULTS / f"few-{kind}-{n}.json").exists()
    ]
    return common.table(TITLES, rows)


def _row(name: str, figures: Figures) -> list[str]:
    compared = {condition: _ours_and_best(figures["conditions"][condition]) for condition in figures["conditions"]}
    ours, theirs, rival = compared["mixture"]
    calibration_error = figures["conditions"]["mixture"]["gridcloze"]["calibration_error"]
    bits = [f"{ours:.3f}", f"{calibration_error:.3f}", f"{theirs:.3f}, {rival}"]
    worst = max(compared, key=lambda condition: compared[condition][0] - compared[condition][1])
    ours, theirs, rival = compared[worst]
    behind = f"{worst}: {ours:.3f}, {rival} {theirs:.3f}" if ours > theirs + WITHIN else "none"
    return [name, f"{figures['seconds']:.0f}", *bits, behind]


def _ours_and_best(of_condition: Figures) -> tuple[float, float, str]:
    """Bits of the model, bits and name of the best of the others."""
    bits = {rival: figures["bits_per_hidden_cell"] for rival, figures in of_condition.items()}
    ours = bits.pop("gridcloze")
    return ours, *min((value, rival) for rival, value in bits.items())


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(table())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            quick = {kind: numbers[:1] for kind, numbers in COUNTS.items()}
            main(tasks(COUNTS, RESULTS, Budget()), __doc__, tasks(quick, Path(temporary), Budget(steps=60), 10))
