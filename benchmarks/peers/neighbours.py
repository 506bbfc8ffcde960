"""Baselines: the nearest visible cell, and the four neighbours."""

from itertools import product

import numpy as np
from jaxtyping import Float, Int

from gridcloze.predictor import known_or, tokens_of
from gridcloze.shapes import Cells, Hidden, Marginals
from patterns import pairs

FARTHEST = 64  # in cells; a cell farther away counts as this far


class Nearest:
    """A Predictor that knows the symbol of the nearest visible cell, and how far away it is.

    Its probabilities are the shares of symbols among the cells of the examples that are as far, down or across, from a
    cell with that symbol, each counted half a time more; in a grid without visible cells, the shares among all cells.
    Distances are rounded to whole cells. It needs SciPy.

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
            first, second = (ends.astype(np.int64) for ends in pairs(examples, axis, distance))
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
        How far it is in a straight line, in cells, and its symbol: of equally near cells that of any. Both are 0 in a
        grid without visible cells.

    Examples
    --------
    >>> distance, symbol = nearest_visible(np.array([[[3, 0, 0, 5]]]), np.array([[[False, True, True, False]]]))
    >>> distance, symbol
    (array([[[0., 1., 1., 0.]]]), array([[[3, 3, 5, 5]]]))
    """
    from scipy import ndimage

    distance, symbol = np.zeros(cells.shape), np.zeros(cells.shape, dtype=np.int64)
    for grid in np.flatnonzero(~hidden.all(axis=(1, 2))):
        indices = np.empty((2, *hidden.shape[1:]), dtype=np.int32)
        distance[grid] = ndimage.distance_transform_edt(hidden[grid], return_indices=True, indices=indices)
        symbol[grid] = cells[grid][tuple(indices)]
    return distance, symbol


class Neighbours:
    """A Predictor that knows the four neighbours of a cell: each a symbol, hidden, or outside the grid.

    Its probabilities are the shares of symbols among the cells of the examples with the same neighbours, whichever of
    them are hidden. The distribution of `Nearest` counts as one cell more: it is all there is if no neighbour is
    visible, or if the examples have no such neighbours. It needs SciPy.

    Parameters
    ----------
    examples
        Grids of shape (n, height, width); -1 stands for an unknown cell.
    n_symbols
        The number of symbols.

    Examples
    --------
    In stripes of two cells, a cell between a white and a black neighbour is either:

    >>> stripes = np.tile([0, 0, 1, 1], 25)[None, None]
    >>> cells, hidden = np.array([[[1, 0, 0]]]), np.array([[[False, True, False]]])
    >>> Neighbours(stripes, n_symbols=2).marginals(cells, hidden)[0, 0, :, 1].round(2)
    array([1. , 0.5, 0. ])
    """

    window: tuple[int, int] | None = None

    def __init__(self, examples: Cells, n_symbols: int):
        self.n_symbols, self.nearest = n_symbols, Nearest(examples, n_symbols)
        neighbours = self._neighbours(np.where(examples < 0, n_symbols, examples).astype(np.int64))
        counted = [
            self._count(examples, neighbours, np.reshape(visible, (4, 1, 1, 1)))
            for visible in product((True, False), repeat=4)
        ]
        keys, counts = (np.concatenate(parts) for parts in zip(*counted, strict=True))
        self.keys, index = np.unique(keys, return_inverse=True)
        self.counts = np.bincount(index, counts)

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        context = self._key(self._neighbours(tokens_of(cells, hidden, self.n_symbols)))
        keys = context[..., None] + np.arange(self.n_symbols)
        index = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        counts = np.where(self.keys[index] == keys, self.counts[index], 0) + self.nearest.marginals(cells, hidden)
        return known_or(counts / counts.sum(-1, keepdims=True), cells, hidden)

    def _count(self, examples: Cells, neighbours: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The keys of contexts with symbols, and how often each occurs, if only some neighbours are `visible`.

        A neighbour outside the grid cannot be hidden, or cells along a border would be counted twice.
        """
        inside = neighbours < self.n_symbols
        counted = (examples >= 0) & (inside | visible).all(axis=0) & (inside & visible).any(axis=0)
        keys = self._key(np.where(visible, neighbours, self.n_symbols)) + examples
        return np.unique(keys[counted], return_counts=True)

    def _neighbours(self, tokens: Cells) -> Int[np.ndarray, "4 batch height width"]:
        """What is above, below, left and right of each cell."""
        padded = np.pad(tokens, ((0, 0), (1, 1), (1, 1)), constant_values=self.n_symbols)
        return np.stack([padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]])

    def _key(self, neighbours: Int[np.ndarray, "4 batch height width"]) -> Cells:
        """A number for each context, to which a symbol is added."""
        digits = (self.n_symbols + 1) ** np.arange(4).reshape(4, 1, 1, 1)
        return (neighbours * digits).sum(axis=0) * self.n_symbols
