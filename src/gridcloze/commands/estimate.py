"""How long a fill will take, by a short try."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .. import answers
from ..answers import CHOSEN_AMONG, Kind
from ..decoding import Decoder
from ..predictor import Predictor
from ..puzzles import Likelihoods, Puzzles
from ..shapes import OneGrid
from ..tiling import Tiling
from ..words import HIDDEN
from .shared import ANNOUNCED_SECONDS, QUICK, tell, time_in_words

FIXED = 4  # samples that the rest of a fill costs, at most
Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Work:
    """What there is to fill in an input.

    Parameters
    ----------
    windows
        How many windows have hidden cells; a grid that is not larger than a window is one.
    cells
        One of them, HIDDEN where cells are hidden.
    size
        Of the whole grid.
    window
        Where in the grid it is.

    Examples
    --------
    >>> Work(3.0, np.array([[-1, 0]]), (1, 4), (slice(0, 1), slice(2, 4))).windows
    3.0
    """

    windows: float
    cells: OneGrid
    size: tuple[int, int]
    window: Window


def work_in(
    predictor: Predictor, cells: OneGrid, times: float = 1.0, size: tuple[int, int] | None = None, top: int = 0
) -> Work:
    """Count the windows in which there is something to fill.

    Parameters
    ----------
    predictor
        Whose windows they are.
    cells
        A grid, or some rows of one.
    times
        How often there is as much to fill.
    size
        Of the whole grid; by default that of `cells`.
    top
        Which row of it the first one is.

    Returns
    -------
    Work
        With the window that has most hidden cells.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> work_in(posterior(squares(4, 4, 2, 3)), np.full((4, 4), -1), times=5.0).windows
    5.0
    """
    height, width = cells.shape
    tiles = [tile for row in Tiling(height, width, predictor.window or (height, width)).rows for tile in row]
    hidden = np.array([(cells[tile.core] == HIDDEN).sum() for tile in tiles])
    rows, columns = tiles[int(hidden.argmax())].window
    in_grid = slice(top + rows.start, top + rows.stop), columns
    return Work(float(times * (hidden > 0).sum()), cells[rows, columns], size or (height, width), in_grid)


def announce_fill(
    predictor: Predictor,
    works: Sequence[Work],
    grids: int,
    samples: int,
    kind: Kind,
    allowed: Callable[[tuple[int, int]], np.ndarray] | None,
    decoder: Decoder | None = None,
) -> None:
    """Say on stderr before a fill of more than a minute how long it takes, by the time of one sample of a window.

    Parameters
    ----------
    predictor
        What fills.
    works
        One for each input.
    grids
        In all inputs.
    samples, kind
        As in `answers.fill`.
    allowed
        What is allowed in grids of a size; None for everything.
    decoder
        As in `answers.fill`.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> exact = posterior(squares(4, 4, 2, 3))
    >>> announce_fill(exact, [work_in(exact, np.full((4, 4), -1))], 1, 16, "likely", None)
    """
    draws = samples or CHOSEN_AMONG * (kind == "typical")
    if sum(work.windows * work.cells.size for work in works) * (draws + FIXED) <= QUICK:
        return
    most = max(works, key=lambda work: work.windows)
    evidence = Likelihoods.of_window(allowed(most.size), most.window) if allowed else None
    n_sides = len(getattr(predictor, "side", ()))
    side = np.full((1, *most.cells.shape, n_sides), np.nan, np.float32) if n_sides else None
    puzzle = Puzzles(most.cells[None], evidence=Likelihoods(evidence) if evidence is not None else None, side=side)
    one = answers.fill(predictor, puzzle, 1, decoder=decoder, kind="none" if kind == "typical" else kind)
    began = time.monotonic()
    _ = one.marginals, kind == "likely" and one.fill
    drawing = time.monotonic()
    _ = one.samples
    seconds = (drawing - began) + draws * (time.monotonic() - drawing)
    windows = sum(work.windows for work in works)
    if seconds * windows > ANNOUNCED_SECONDS:
        many = f"{grids} grid{'s' * (grids != 1)}" + (f" in {windows:.0f} windows" if windows > grids else "")
        goes_on = "Ctrl-C stops, and the same command goes on with what is not finished"
        tell(f"filling {many} takes about {time_in_words(seconds * windows)}; {goes_on}")
