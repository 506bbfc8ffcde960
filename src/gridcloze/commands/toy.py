"""`gridcloze toy`: example grids of a toy prior, and puzzles."""

import json
from pathlib import Path

import numpy as np

from ..files.arrays import write_stack
from ..files.grids import Grid, write_grid
from ..files.palettes import Palette
from ..files.paths import ARRAYS, write_json
from ..priors.hiding import evaluation_hiding
from ..priors.known import Toy, make_toy
from ..priors.posterior import KnownPrior
from ..shapes import Cells
from ..words import InputError
from .shared import Report


def toy(prior: Toy, out: Path, n: int, n_puzzles: int, seed: int, scale: int) -> Report:
    """Example grids of a toy prior: a folder of PNG files with puzzles beside them, or a stack in one array file."""
    if n < 1 or n_puzzles < 0:
        raise InputError("the number of grids must be 1 or more, of puzzles 0 or more")
    generator = np.random.default_rng(seed)
    cells = prior.sample(n, generator)
    if out.suffix in ARRAYS:
        write_stack(out, cells)
    else:
        _write_grids(out, cells, scale)
        truth = prior.sample(n_puzzles, generator)
        hidden = evaluation_hiding(truth.shape, generator)
        _write_grids(out / "truth", truth, scale)
        _write_grids(out / "puzzles", np.where(hidden, -1, truth), scale)
    write_json(law_file(out), prior.spec)
    return {"grids": n, "prior": prior.spec, "path": str(out)}


def _write_grids(folder: Path, cells: Cells, scale: int) -> None:
    for number, grid in enumerate(cells):
        write_grid(folder / f"{number:05d}.png", Grid.from_cells(grid, Palette.default(2), scale))


def law_file(examples: Path) -> Path:
    """Where the law of example grids is noted, if it is known."""
    return examples.with_suffix(".prior.json") if examples.suffix in ARRAYS else examples / "prior.json"


def read_law(path: Path, required: bool) -> KnownPrior | None:
    if not path.is_file():
        if required:
            raise InputError(f"{path}: no such file; it is the prior.json that `gridcloze toy` writes")
        return None
    try:
        return make_toy(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} names no toy prior: {error}") from error
