"""What to look at: which visible cells contradict the rest, and which hidden cell would tell most about it."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from .predictor import Predictor, entropy_bits
from .puzzles import Puzzles
from .shapes import Cells, Hidden, OneGrid, OneHidden, PerCell

THRESHOLD = 0.01  # of its probability given the rest, below which a visible cell is surprising
CONTRADICTION = 0.001  # the same, where the cell is not to be believed
# Sides of the blocks that are hidden together, and how far apart those of one pass are: so that of two cells of a line,
# less than 12 apart, one is asked while the other is seen.
BLOCKS = {1: 4, 3: 6}


@dataclass(frozen=True)
class Surprise:
    """A visible cell (row and column from 0) that the rest speaks against, and what the rest says it should be."""

    row: int
    column: int
    symbol: int
    probability: float
    likely_symbol: int


def plausibility(predictor: Predictor, cells: OneGrid, hidden: OneHidden) -> PerCell:
    """The probability of each visible cell given the others, NaN at hidden ones.

    It is the least of several: with the cell alone hidden, and with the block around it, so that a wrong cell and its
    neighbours do not vouch for each other. Cells far from each other are asked about in the same pass.
    """
    found = np.full(cells.shape, np.inf)
    for block, stride in BLOCKS.items():
        centres = _lattices(cells.shape, stride)
        unseen = hidden | _blocks_around(centres, block)
        laws = predictor.marginals(np.broadcast_to(cells, unseen.shape), unseen)
        symbols = np.where(hidden, 0, cells)[None, :, :, None]
        said = np.take_along_axis(laws, np.broadcast_to(symbols, (*unseen.shape, 1)), axis=-1)[..., 0]
        found = np.minimum(found, np.where(centres, said, np.inf).min(axis=0))
    return np.where(hidden, np.nan, found)


def surprises(predictor: Predictor, cells: OneGrid, hidden: OneHidden, threshold: float = THRESHOLD) -> list[Surprise]:
    """The visible cells whose probability given the rest is below `threshold`, most surprising first.

    The least plausible cells are hidden until none is left; then each of them is judged by the cells that were never
    accused, since next to a wrong cell right ones look wrong.
    """
    accused = np.zeros(cells.shape, dtype=bool)
    while True:
        said = np.where(accused | hidden, np.inf, plausibility(predictor, cells, hidden | accused))
        suspects = np.argwhere(said < threshold)
        if len(suspects) == 0:
            break
        order = said[tuple(suspects.T)].argsort(kind="stable")
        for row, column in suspects[order[: max(1, len(suspects) // 4)]]:
            accused[row, column] = True
    law = predictor.marginals(cells[None], (hidden | accused)[None])[0]
    judged = []
    for row, column in np.argwhere(accused).tolist():
        here, symbol = law[row, column], int(cells[row, column])
        judged.append(Surprise(row, column, symbol, float(here[symbol]), int(here.argmax())))
    return sorted((one for one in judged if one.probability < threshold), key=lambda one: one.probability)


def contradicting(predictor: Predictor, puzzles: Puzzles) -> Hidden:
    """The visible cells of each grid that the others all but rule out.

    Half of the visible cells are asked about the rest, in turn for each binary digit of their numbers, so that of any
    two one is asked while the other is seen. Only a grid with a cell that surprises by far is looked at closely.
    """
    cells, hidden = puzzles.cells, puzzles.hidden
    found = np.zeros(cells.shape, dtype=bool)
    number = np.cumsum(~hidden.reshape(len(cells), -1), axis=1).reshape(hidden.shape)
    most, least = number.max(axis=(1, 2), keepdims=True), np.ones(len(cells))
    for digit, half in product(range(int(most.max()).bit_length()), (0, 1)):
        asked = (number >> digit & 1 == half) & (most >> digit > 0) & ~hidden
        laws = predictor.marginals(cells, hidden | asked)
        said = np.take_along_axis(laws, np.where(hidden, 0, cells)[..., None], axis=-1)[..., 0]
        least = np.minimum(least, np.where(asked, said, 1.0).min(axis=(1, 2)))
    for grid in np.flatnonzero(least < CONTRADICTION):
        for one in surprises(predictor, cells[grid], hidden[grid], CONTRADICTION):
            found[grid, one.row, one.column] = True
    return found


def information_bits(predictor: Predictor, cells: Cells, hidden: Hidden) -> Float[np.ndarray, "batch height width"]:
    """How many bits the entropies of the other hidden cells lose together, on average, when a hidden cell is shown.

    NaN at visible cells. The largest is where to look next.
    """
    law = predictor.marginals(cells, hidden)
    result = np.full(cells.shape, np.nan)
    for grid, (now, grid_hidden) in enumerate(zip(law, hidden, strict=True)):
        row, column, symbol = np.nonzero(grid_hidden[..., None] & (now > 0))
        shown, rest = np.repeat(cells[[grid]], len(row), axis=0), np.repeat(hidden[[grid]], len(row), axis=0)
        asked = np.arange(len(row))
        shown[asked, row, column], rest[asked, row, column] = symbol, False
        left = np.zeros(cells.shape[1:])
        entropies = entropy_bits(predictor.marginals(shown, rest)).sum(axis=(1, 2))
        np.add.at(left, (row, column), now[row, column, symbol] * entropies)
        others = entropy_bits(now).sum() - entropy_bits(now)
        result[grid] = np.where(grid_hidden, others - left, np.nan)
    return result


def _lattices(shape: tuple[int, ...], stride: int) -> Bool[np.ndarray, "lattice height width"]:
    """All cells, dealt out to lattices whose cells are `stride` apart along both axes."""
    row, column = np.indices(shape)
    number = row % stride * stride + column % stride
    return np.equal(number, np.unique(number)[:, None, None])


def _blocks_around(
    centres: Bool[np.ndarray, "lattice height width"], side: int
) -> Bool[np.ndarray, "lattice height width"]:
    reach = side // 2
    padded = np.pad(centres, ((0, 0), (reach, reach), (reach, reach)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return np.asarray(windows.any(axis=(-2, -1)))
