"""What to look at: which visible cells contradict the rest, and which hidden cell would tell most."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, count
from math import comb

import numpy as np
from jaxtyping import Bool, Float

from .predictor import Predictor, entropy_bits
from .puzzles import Puzzles
from .shapes import Cells, Hidden, OneGrid, OneHidden, PerCell
from .side import of_rows, with_side

THRESHOLD = 0.01  # probability given the rest below which a visible cell is implausible
CONTRADICTION = 0.001  # and below which it is not believed
NUMBERS_AT_ONCE = 2**22  # probabilities that a predictor returns together, so that memory stays flat
# Sides of the blocks that are hidden together, and how far apart those of one forward pass are: so that of two cells of
# a line, less than 12 apart, one is predicted while the other is visible.
BLOCKS = {1: 4, 3: 6}


@dataclass(frozen=True)
class Surprise:
    """A visible cell that is implausible given the others.

    Parameters
    ----------
    row, column
        Counted from 0.
    symbol
        What the cell shows.
    probability
        Of that symbol given the others.
    likely_symbol
        The most likely symbol given the others.

    Examples
    --------
    >>> Surprise(4, 7, symbol=1, probability=0.001, likely_symbol=0).row
    4
    """

    row: int
    column: int
    symbol: int
    probability: float
    likely_symbol: int


def plausibility(predictor: Predictor, cells: OneGrid, hidden: OneHidden) -> PerCell:
    """Compute how plausible each visible cell is given the others.

    Parameters
    ----------
    predictor
        What predicts cells.
    cells, hidden
        One puzzle.

    Returns
    -------
    array
        The probability of what each visible cell shows, NaN at hidden ones. It is the least of several: with the cell
        alone hidden, and with the block around it, so that a wrong cell and its neighbours do not vouch for each other.

    Examples
    --------
    >>> from gridcloze.priors import Mirror, posterior
    >>> cells = np.array([[0, 1, 1, 1, 1, 0]])
    >>> plausibility(posterior(Mirror(1, 6)), cells, cells < 0)
    array([[1. , 1. , 0.5, 0.5, 1. , 1. ]])
    """
    least = np.full(cells.shape, np.inf)
    for block, stride in BLOCKS.items():
        lattices = _lattices(cells.shape, stride)
        for some in _in_parts(len(lattices), cells.size * predictor.n_symbols):
            centres = lattices[some]
            unseen = hidden | _blocks_around(centres, block)
            predicted = predictor.marginals(np.broadcast_to(cells, unseen.shape), unseen)
            symbols = np.where(hidden, 0, cells)[None, :, :, None]
            probability = np.take_along_axis(predicted, np.broadcast_to(symbols, (*unseen.shape, 1)), axis=-1)[..., 0]
            least = np.minimum(least, np.where(centres, probability, np.inf).min(axis=0))
    return np.where(hidden, np.nan, least)


def surprises(predictor: Predictor, cells: OneGrid, hidden: OneHidden, threshold: float = THRESHOLD) -> list[Surprise]:
    """Find the visible cells that are implausible given the others.

    The least plausible cells are hidden until none is left; then each of them is judged by the cells that were never
    accused, since next to a wrong cell right ones look wrong.

    Parameters
    ----------
    predictor
        What predicts cells. An exact posterior refuses most contradictions: a model, or `Lookup`, answers them.
    cells, hidden
        One puzzle.
    threshold
        Probability below which a cell is implausible.

    Returns
    -------
    list
        The least probable first.

    Examples
    --------
    >>> from gridcloze.lookup import Lookup
    >>> from gridcloze.priors import squares
    >>> members = squares(6, 6, 2, 3).members.astype(np.int64)
    >>> wrong = members[0].copy()
    >>> wrong[5, 5] = 1
    >>> [(cell.row, cell.column) for cell in surprises(Lookup(members, 2), wrong, wrong < 0, threshold=0.3)]
    [(5, 5)]
    """
    accused = np.zeros(cells.shape, dtype=bool)
    while True:
        plausible = np.where(accused | hidden, np.inf, plausibility(predictor, cells, hidden | accused))
        suspects = np.argwhere(plausible < threshold)
        if len(suspects) == 0:
            break
        order = plausible[tuple(suspects.T)].argsort(kind="stable")
        for row, column in suspects[order[: max(1, len(suspects) // 4)]]:
            accused[row, column] = True
    predicted = predictor.marginals(cells[None], (hidden | accused)[None])[0]
    judged = []
    for row, column in np.argwhere(accused).tolist():
        here, symbol = predicted[row, column], int(cells[row, column])
        judged.append(Surprise(row, column, symbol, float(here[symbol]), int(here.argmax())))
    return sorted((one for one in judged if one.probability < threshold), key=lambda one: one.probability)


def contradicting(predictor: Predictor, puzzles: Puzzles) -> Hidden:
    """Find the visible cells that the others all but rule out.

    About half of the visible cells are predicted from the rest, several times, so that each cell is predicted while any
    other is visible; all of these questions are put together, which is one forward pass for a small grid. Only a grid
    with a cell of a probability below `CONTRADICTION` is looked at closely.

    Parameters
    ----------
    predictor
        As in `surprises`.
    puzzles
        Grids, with or without hidden cells.

    Returns
    -------
    Hidden
        True at these cells.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzles = Puzzles(np.array([[[-1, 1, -1], [-1, 1, -1], [-1, -1, -1]]]))
    >>> contradicting(posterior(squares(3, 3, 2, 3)), puzzles).sum()
    np.int64(0)
    """
    cells, hidden, predictor = puzzles.cells, puzzles.hidden, with_side(predictor, puzzles.side)
    found = np.zeros(cells.shape, dtype=bool)
    halves = [_halves(int(shown)) for shown in (~hidden).sum(axis=(1, 2))]
    least, shown = np.ones(len(cells)), np.where(hidden, 0, cells)
    of_grid = np.repeat(np.arange(len(cells)), [len(of_one) for of_one in halves])
    half = np.concatenate([np.arange(len(of_one)) for of_one in halves])
    for some in _in_parts(len(of_grid), hidden[:1].size * predictor.n_symbols):
        grid = of_grid[some]
        queried = np.zeros(cells[grid].shape, dtype=bool)
        for question, (one, which) in enumerate(zip(grid, half[some], strict=True)):
            queried[question][~hidden[one]] = halves[one][which]
        predicted = of_rows(predictor, grid.tolist()).marginals(cells[grid], hidden[grid] | queried)
        probability = np.take_along_axis(predicted, shown[grid][..., None], axis=-1)[..., 0]
        np.minimum.at(least, grid, np.where(queried, probability, 1.0).min(axis=(1, 2)))
    for grid in np.flatnonzero(least < CONTRADICTION):
        for one in surprises(of_rows(predictor, [int(grid)]), cells[grid], hidden[grid], CONTRADICTION):
            found[grid, one.row, one.column] = True
    return found


def _halves(n: int) -> Bool[np.ndarray, "half n"]:
    """As few halves of n things as can be, so that each thing is in one that a given other is not in.

    The halves in which a thing is must not all have another thing in them, too; by Sperner's theorem most things can be
    told apart in this way if each is in half of the halves.
    """
    return _things_of(next(k for k in count() if comb(k, k // 2) >= n) if n > 1 else n)[:, :n]


@cache
def _things_of(halves: int) -> Bool[np.ndarray, "half thing"]:
    """The most things that this number of halves can tell apart, and which halves each is in."""
    of_things = list(combinations(range(halves), (halves + 1) // 2))
    is_in = np.zeros((halves, len(of_things)), dtype=bool)
    for thing, of_thing in enumerate(of_things):
        is_in[list(of_thing), thing] = True
    return is_in


def information_bits(predictor: Predictor, cells: Cells, hidden: Hidden) -> Float[np.ndarray, "batch height width"]:
    """Compute how much each hidden cell would tell about the others; the largest is where to look next.

    Parameters
    ----------
    predictor
        What predicts cells.
    cells, hidden
        Puzzles.

    Returns
    -------
    array
        How many bits the entropies of the other hidden cells lose together, on average, when the cell becomes visible;
        NaN at visible cells.

    Examples
    --------
    >>> from gridcloze.priors import Mirror, posterior
    >>> cells = np.array([[[-1, 0, -1]]])
    >>> information_bits(posterior(Mirror(1, 3)), cells, cells < 0)
    array([[[ 1., nan,  1.]]])
    """
    result = np.full(cells.shape, np.nan)
    for grid, (now, grid_hidden) in enumerate(zip(predictor.marginals(cells, hidden), hidden, strict=True)):
        one = of_rows(predictor, [grid])
        queries, left = np.argwhere(grid_hidden[..., None] & (now > 0)), np.zeros(cells.shape[1:])
        for some in _in_parts(len(queries), now.size):
            row, column, symbol = queries[some].T
            revealed, rest = (np.repeat(array[[grid]], len(row), axis=0) for array in (cells, hidden))
            query = np.arange(len(row))
            revealed[query, row, column], rest[query, row, column] = symbol, False
            entropies = entropy_bits(one.marginals(revealed, rest)).sum(axis=(1, 2))
            np.add.at(left, (row, column), now[row, column, symbol] * entropies)
        others = entropy_bits(now).sum() - entropy_bits(now)
        result[grid] = np.where(grid_hidden, others - left, np.nan)
    return result


def _in_parts(n_queries: int, numbers: int) -> Iterator[slice]:
    """Split queries into parts whose answers, of so many numbers each, fit into memory together."""
    at_once = max(1, NUMBERS_AT_ONCE // numbers)
    return (slice(start, min(start + at_once, n_queries)) for start in range(0, n_queries, at_once))


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
