"""What a fill costs, as a multiple of one sample: `python benchmarks/fills.py [TASK …]`, some minutes with one thread.

digits    digits of MNIST with the lower half hidden, by the model in this repository
channels  windows of 64×64 cells with a hole of 32×32, by the model in this repository

Each grid is filled alone, so that a ratio holds for one grid in one run; times are of the processor. Results are
written to benchmarks/results/fills-TASK.json.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

import data
from common import MODELS, Figures, Task, main
from gridcloze import answers, checkpoint, filling
from gridcloze.checkpoint import TrainedPredictor
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells, Hidden

SAMPLES, FORBIDDEN = 4, 1  # symbol 1 is not allowed in the rows and columns of a corner of what is hidden
GRIDS = 3


def milliseconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def allowed_in(hidden: Hidden) -> np.ndarray:
    """Everything but one symbol in a quarter of the hidden cells."""
    _, rows, columns = np.nonzero(hidden)
    corner = np.zeros(hidden.shape, dtype=bool)
    corner[
        :, rows.min() : (rows.min() + rows.max() + 1) // 2, columns.min() : (columns.min() + columns.max() + 1) // 2
    ] = True
    allowed = np.ones((*hidden.shape, 2), dtype=bool)
    allowed[..., FORBIDDEN] = ~corner
    return allowed


def costs(model: TrainedPredictor, cells: Cells, hidden: Hidden) -> Figures:
    """Means over grids, and how many samples each is worth."""
    found: dict[str, list[float]] = {}
    for number in range(len(cells)):
        of_grid = cells[number : number + 1], hidden[number : number + 1]
        plain, constrained = Puzzles(*of_grid), Puzzles(*of_grid, allowed_in(of_grid[1]))

        def answered(puzzles: Puzzles, with_fill: bool, samples: int = SAMPLES) -> None:
            answer = answers.fill(model, puzzles, samples)
            _ = answer.samples, answer.marginals, with_fill and answer.fill

        works: dict[str, Callable[[], object]] = {
            "a sample": partial(filling.sample, model, plain),
            "the most likely fill": partial(filling.most_likely, model, plain),
            "samples without fill": partial(answered, plain, False),
            "samples with fill": partial(answered, plain, True),
            "fill alone": partial(answered, plain, True, 0),
            "one symbol forbidden, samples without fill": partial(answered, constrained, False),
            "one symbol forbidden, samples with fill": partial(answered, constrained, True),
        }
        for name, work in works.items():
            found.setdefault(name, []).append(milliseconds(work))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return {
        "grids": len(cells),
        "samples": SAMPLES,
        "milliseconds": {name: round(mean, 1) for name, mean in means.items()},
        "in samples": {name: round(mean / means["a sample"], 2) for name, mean in means.items()},
    }


def digits(grids: int = GRIDS) -> Figures:
    cells = (data.digits()["x_test"][:grids] >= 128).astype(np.int64)
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[:, 14:] = True
    return costs(checkpoint.load(MODELS / "digits.safetensors"), cells, hidden)


def channels(grids: int = GRIDS) -> Figures:
    cells = data.channels()["realizations"][410 : 410 + grids, :64, :64]
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[:, 16:48, 16:48] = True
    return costs(checkpoint.load(MODELS / "channels.safetensors"), cells, hidden)


def tasks(grids: int) -> dict[str, Task]:
    return {"digits": partial(digits, grids), "channels": partial(channels, grids)}


if __name__ == "__main__":
    main(tasks(GRIDS), __doc__, tasks(1))
