"""`gridcloze toy`: example grids of a toy prior, and puzzles."""

from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np

from ..files.arrays import write_stack
from ..files.grids import Grid, write_grid
from ..files.notes import Form, check_note, number, one_of, parse_note, text, whole
from ..files.palettes import Palette
from ..files.paths import ARRAYS, write_json
from ..memory import refuse_beyond_memory
from ..priors.hiding import evaluation_hiding
from ..priors.known import Toy, make_toy
from ..priors.posterior import KnownPrior
from ..shapes import Cells
from ..words import HIDDEN, InputError, about

CELLS = whole(0, 2**31)
SPEC: Form = {  # what prior.json holds
    "name": text(),
    "height?": CELLS,
    "width?": CELLS,
    "smallest?": CELLS,
    "largest?": one_of(None, CELLS),
    "outline?": one_of(False, True),
    "inverted?": one_of(False, True),
    "largest_period?": CELLS,
    "coupling?": number(-10, 10),
    "field?": number(-10, 10),
}


class ToyReport(TypedDict):
    """What `gridcloze toy` wrote.

    Attributes
    ----------
    path
        Folder or file of the grids.
    grids
        Number of example grids.
    prior
        Name, height and width (cells) of the prior, and its own options: what prior.json holds.

    Examples
    --------
    >>> ToyReport(path="grids.npy", grids=5, prior={"name": "mirror", "height": 3, "width": 3})["grids"]
    5
    """

    path: str
    grids: int
    prior: dict[str, Any]


def toy(prior: Toy, out: Path, n: int, n_puzzles: int, seed: int, scale: int) -> ToyReport:
    """Write example grids of a toy prior, a note of which prior it is, and puzzles.

    Parameters
    ----------
    prior
        Where the grids come from.
    out
        A folder for PNG files, or one .npy or .npz file for a stack.
    n
        Number of example grids.
    n_puzzles
        Number of puzzles in the folder `puzzles` of `out`, with their true grids in `truth`; none next to a stack.
    seed
        Seed of the random numbers.
    scale
        Side of a cell in pixels, in PNG files.

    Returns
    -------
    ToyReport
        What was written.

    Raises
    ------
    InputError
        If a number is negative, there are no grids, or `out` cannot be written.

    Examples
    --------
    >>> from gridcloze import priors
    >>> report = toy(priors.squares(4, 4, 2, 3), Path("examples"), n=3, n_puzzles=1, seed=0, scale=8)
    >>> sorted(path.name for path in Path("examples").iterdir())
    ['00000.png', '00001.png', '00002.png', 'prior.json', 'puzzles', 'truth']
    """
    if n < 1 or n_puzzles < 0:
        raise InputError("the number of grids must be 1 or more, the number of puzzles 0 or more")
    of_grids = 2 * max(n, n_puzzles) * prior.height * prior.width * np.dtype(np.int64).itemsize
    of_picture = 0 if out.suffix in ARRAYS else 4 * prior.height * prior.width * scale**2
    refuse_beyond_memory(max(of_grids, of_picture), f"to make {n} grids of {prior.height} by {prior.width} cells")
    generator = np.random.default_rng(seed)
    cells = prior.sample(n, generator)
    if out.suffix in ARRAYS:
        write_stack(out, cells)
    else:
        _write_grids(out, cells, scale)
        truth = prior.sample(n_puzzles, generator)
        hidden = evaluation_hiding(truth.shape, generator)
        _write_grids(out / "truth", truth, scale)
        _write_grids(out / "puzzles", np.where(hidden, HIDDEN, truth), scale)
    write_json(prior_file(out), prior.spec)
    return {"path": str(out), "grids": n, "prior": cast(dict[str, Any], prior.spec)}


def _write_grids(folder: Path, cells: Cells, scale: int) -> None:
    for index, grid in enumerate(cells):
        write_grid(folder / f"{index:05d}.png", Grid.from_cells(grid, Palette.default(2), scale))


def prior_file(examples: Path) -> Path:
    """Name the file that says which prior example grids come from.

    Parameters
    ----------
    examples
        A folder of grids, or a stack in an array file.

    Returns
    -------
    Path
        The file; it exists if `toy` wrote the grids.

    Examples
    --------
    >>> prior_file(Path("grids.npy")).name, prior_file(Path("examples")).name
    ('grids.prior.json', 'prior.json')
    """
    return examples.with_suffix(".prior.json") if examples.suffix in ARRAYS else examples / "prior.json"


def read_prior(path: Path, required: bool) -> KnownPrior | None:
    """Read which prior grids come from.

    Parameters
    ----------
    path
        A prior.json that `toy` wrote.
    required
        Whether the file must exist.

    Returns
    -------
    KnownPrior or None
        The prior; None if there is no such file.

    Raises
    ------
    InputError
        If the file names no toy prior, or is missing although it is required.

    Examples
    --------
    >>> _ = Path("prior.json").write_text('{"name": "mirror", "height": 3, "width": 4}')
    >>> read_prior(Path("prior.json"), required=True).width
    4
    """
    if not path.is_file():
        if required:
            raise InputError(f"{path}: no such file; it must be a prior.json that `gridcloze toy` wrote")
        return None
    with about(path):
        spec = parse_note(path.read_bytes())
        check_note(spec, SPEC)
        return make_toy(**spec)
