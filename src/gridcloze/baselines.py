"""Baselines that learn from examples of any size: the nearest visible cell, and a table of neighbours."""

from itertools import product

import numpy as np
from jaxtyping import Float, Int

from .predictor import known_or, tokens_of
from .shapes import Cells, Hidden, Marginals

FARTHEST = 64  # in cells; a cell farther away counts as this far
REACH = 2  # rows and columns from a cell to the farthest of its neighbours
OFFSETS = sorted(  # of the 20 nearest neighbours, by distance: rows and columns from the top left of the surroundings
    (place for place in np.ndindex(5, 5) if 0 < np.hypot(*np.subtract(place, REACH)) < 2.5),
    key=lambda place: np.hypot(*np.subtract(place, REACH)),
)
SIZES = (4, 8, 20)  # of contexts, in nearest neighbours; the distribution of each is the prior of the next
ALL_VISIBLE = 20  # a context of this size counts only if all of its cells are visible: there are 2^20 choices of them
CONCENTRATIONS = 2.0 ** np.arange(10, -1, -1)  # the weight of the smaller context, in cells; the first of equals


class Nearest:
    """A Predictor that knows the symbol of the nearest visible cell, and how far away it is.

    Its probabilities are the shares of symbols among the cells of the examples that are as far, down or across, from a
    cell with that symbol, each counted half a time more; in a grid without visible cells, the shares among all cells.
    Distances are rounded to whole cells.

    Parameters
    ----------
    examples
        Grids of shape (n, height, width); -1 stands for an unknown cell.
    n_symbols
        The number of symbols.

    Examples
    --------
    On a chessboard neighbours are never equal, and cells two apart always are:

    >>> board = np.indices((20, 20)).sum(axis=0)[None] % 2
    >>> cells, hidden = np.array([[[1, 0, 0]]]), np.array([[[False, True, True]]])
    >>> Nearest(board, n_symbols=2).marginals(cells, hidden)[0, 0, :, 1].round(2)
    array([1., 0., 1.])
    """

    window: tuple[int, int] | None = None

    def __init__(self, examples: Cells, n_symbols: int):
        self.n_symbols = n_symbols
        counts = np.full((min(FARTHEST, *examples.shape[1:]), n_symbols, n_symbols), 0.5)
        counts[0] += np.bincount(examples[examples >= 0], minlength=n_symbols)
        for distance, axis in product(range(1, len(counts)), (1, 2)):
            lines = np.moveaxis(examples, axis, 0)
            first, second = (ends.astype(np.int64) for ends in (lines[:-distance], lines[distance:]))
            known = (first >= 0) & (second >= 0)
            of_pairs = np.bincount((first * n_symbols + second)[known], minlength=n_symbols**2)
            of_pairs = of_pairs.reshape(counts[0].shape)
            counts[distance] += of_pairs + of_pairs.T
        self.shares = counts / counts.sum(axis=-1, keepdims=True)  # by distance, symbol there and symbol here

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        distance, symbol = nearest_visible(tokens_of(cells, hidden, self.n_symbols), hidden)
        rounded = np.minimum(np.rint(distance).astype(np.int64), len(self.shares) - 1)
        return known_or(self.shares[rounded, symbol], cells, hidden)


def nearest_visible(
    cells: Cells, hidden: Hidden
) -> tuple[Float[np.ndarray, "batch height width"], Int[np.ndarray, "batch height width"]]:
    """Find the nearest visible cell of each cell.

    Parameters
    ----------
    cells, hidden
        The grids, and which of their cells are hidden.

    Returns
    -------
    tuple of ndarray
        How far it is in a straight line, in cells, and its symbol. Of equally near cells it is the first from the
        left, and of those in one column the upper one, as in SciPy's distance_transform_edt. Both are 0 in a grid
        without visible cells.

    Notes
    -----
    Distances along columns first, then the least over all columns: Saito & Toriwaki 1994,
    doi:10.1016/0031-3203(94)90133-3.

    Examples
    --------
    >>> distance, symbol = nearest_visible(np.array([[[3, 0, 0, 5]]]), np.array([[[False, True, True, False]]]))
    >>> distance, symbol
    (array([[[0., 1., 1., 0.]]]), array([[[3, 3, 5, 5]]]))
    """
    height, width = cells.shape[1:]
    far = 2 * (height + width)  # farther than any visible cell
    rows = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(hidden, -far, rows), axis=1)
    below = np.minimum.accumulate(np.where(hidden, far, rows)[:, ::-1], axis=1)[:, ::-1]
    in_column = np.where(rows - above <= below - rows, above, below)
    symbols = np.take_along_axis(cells, in_column.clip(0, height - 1), axis=1)
    squares = (in_column - rows) ** 2
    distance, symbol = np.full(cells.shape, far**2), np.zeros(cells.shape, dtype=np.int64)
    for column in range(width):
        squared = squares[..., column, None] + (np.arange(width) - column) ** 2
        symbol = np.where(squared < distance, symbols[..., column, None], symbol)
        distance = np.minimum(squared, distance)
    nothing = np.all(hidden, axis=(1, 2), keepdims=True)
    return np.sqrt(np.where(nothing, 0, distance)), np.where(nothing, 0, symbol)


class NeighbourTable:
    """A Predictor that counts what the examples have between neighbours like those of a cell.

    A context is the 4, 8 or 20 nearest neighbours of a cell, and the table counts the symbols of the examples in each
    context. A context backs off to the smaller one, and the smallest to `Nearest`: the distribution there is a prior
    that weighs as much as 1, 2, 4, … or 1024 cells, whichever makes the examples most likely when each cell is left out
    in turn. Neighbours that are hidden or outside the grid are left out of contexts of 4 and 8, while the context of 20
    is used only if all of its cells are visible.

    Parameters
    ----------
    examples
        Grids of shape (n, height, width); -1 stands for an unknown cell.
    n_symbols
        The number of symbols.

    Notes
    -----
    The smoothing is that of MacKay & Peto 1995, doi:10.1017/S1351324900000218. Contexts are found by the random
    numbers of their cells, added up (Zobrist 1970).

    Examples
    --------
    In stripes of two cells, a cell between a white and a black neighbour is either:

    >>> stripes = np.tile([0, 0, 1, 1], (20, 25))[None]
    >>> cells, hidden = np.array([[[1, 0, 0]]]), np.array([[[False, True, False]]])
    >>> NeighbourTable(stripes, n_symbols=2).marginals(cells, hidden)[0, 0, :, 1].round(2)
    array([1. , 0.5, 0. ])
    """

    window: tuple[int, int] | None = None

    def __init__(self, examples: Cells, n_symbols: int):
        self.n_symbols, self.nearest = n_symbols, Nearest(examples, n_symbols)
        self.numbers = np.random.default_rng(0).integers(2**63, size=(len(OFFSETS) + 1, n_symbols + 1))
        self.numbers[:, n_symbols] = 0  # a cell that is not visible adds nothing
        tokens = np.where(examples < 0, n_symbols, examples).astype(np.int16)
        around = _surroundings(tokens, n_symbols)
        numbers = self.numbers[-1][tokens]
        for of_neighbour, place in zip(self.numbers, OFFSETS, strict=False):
            numbers += of_neighbour[around[..., *place]]
        known = np.flatnonzero(examples >= 0)
        _, first, self.times = np.unique(numbers.ravel()[known], return_index=True, return_counts=True)
        distinct = np.unravel_index(known[first], examples.shape)  # a cell for each symbol and surroundings
        self.symbols, self.contexts = tokens[distinct], _neighbours(around[distinct])
        self.concentrations = self._concentrations()

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        probabilities = self.nearest.marginals(cells, hidden)
        tokens = tokens_of(cells, hidden, self.n_symbols).astype(np.int16)
        contexts, predicted = _neighbours(_surroundings(tokens, self.n_symbols)[hidden]), probabilities[hidden]
        visible, before = contexts < self.n_symbols, np.zeros(len(predicted), dtype=np.int64)
        for size, concentration in zip(SIZES, self.concentrations, strict=True):
            choice = 2 ** np.arange(size) @ visible[:size]  # the visible neighbours as bits
            larger = (choice != before) if size < ALL_VISIBLE else visible.all(axis=0)
            for one in np.unique(choice[larger]).tolist():
                queries = np.flatnonzero(larger & (choice == one))
                counts = self._counts(contexts[:, queries], np.flatnonzero(one >> np.arange(size) & 1))
                smoothed = counts + concentration * predicted[queries]
                predicted[queries] = smoothed / smoothed.sum(-1, keepdims=True)
            before = choice
        probabilities[hidden] = predicted
        return probabilities

    def _concentrations(self) -> list[float]:
        """For each size of context: under which concentration the examples are most likely, each cell left out."""
        complete = (self.contexts < self.n_symbols).all(axis=0)
        contexts, symbols, times = self.contexts[:, complete], self.symbols[complete], self.times[complete]
        likelihood, chosen = self.nearest.shares[min(1, len(self.nearest.shares) - 1), contexts[0], symbols], []
        for size in SIZES:
            key = self._key(contexts, np.arange(size))
            others, alike = (_sums(one, times) - 1 for one in (key, key + self.numbers[-1][symbols]))
            every = [(alike + one * likelihood) / (others + one) for one in CONCENTRATIONS]
            best = int(np.argmax([times @ np.log(one) for one in every]))
            likelihood = every[best]
            chosen.append(float(CONCENTRATIONS[best]))
        return chosen

    def _counts(
        self, contexts: Int[np.ndarray, "neighbour cell"], chosen: Int[np.ndarray, " chosen"]
    ) -> Float[np.ndarray, "cell symbol"]:
        """How often each symbol occurs in the examples where the chosen neighbours are those of each context."""
        queries, index = np.unique(self._key(contexts, chosen), return_inverse=True)
        own, is_query = self._key(self.contexts, chosen), np.zeros(2**16, dtype=bool)
        is_query[queries & 0xFFFF] = True
        candidates = np.flatnonzero(is_query[own & 0xFFFF])  # few are left to search for
        candidates = candidates[(self.contexts[chosen[:, None], candidates] < self.n_symbols).all(axis=0)]
        place = np.searchsorted(queries, own[candidates]).clip(max=len(queries) - 1)
        place, found = (ends[queries[place] == own[candidates]] for ends in (place, candidates))
        of_symbols = place * self.n_symbols + self.symbols[found]
        counts = np.bincount(of_symbols, self.times[found], len(queries) * self.n_symbols)
        return counts.reshape(-1, self.n_symbols)[index].astype(float)

    def _key(
        self, contexts: Int[np.ndarray, "neighbour cell"], chosen: Int[np.ndarray, " chosen"]
    ) -> Int[np.ndarray, " cell"]:
        """A number for each context of the chosen neighbours."""
        return sum((self.numbers[one][contexts[one]] for one in chosen), np.zeros(contexts.shape[1], dtype=np.int64))


def _sums(keys: Int[np.ndarray, " cell"], times: Int[np.ndarray, " cell"]) -> Float[np.ndarray, " cell"]:
    """For each cell the sum over the cells with its key."""
    _, index = np.unique(keys, return_inverse=True)
    return np.bincount(index, times)[index].astype(float)


def _surroundings(tokens: Cells, outside: int) -> Int[np.ndarray, "batch height width 5 5"]:
    """The square around each cell, as a view."""
    padded = np.pad(tokens, ((0, 0), (REACH, REACH), (REACH, REACH)), constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1, 2 * REACH + 1), axis=(1, 2))


def _neighbours(surroundings: Int[np.ndarray, "cell 5 5"]) -> Int[np.ndarray, "neighbour cell"]:
    """The nearest neighbours in each square, nearest first."""
    return np.stack([surroundings[:, *place] for place in OFFSETS])
