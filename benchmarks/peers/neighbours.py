"""A baseline that knows the four neighbours."""

from itertools import product

import numpy as np
from jaxtyping import Int

from gridcloze.baselines import Nearest
from gridcloze.predictor import known_or, tokens_of
from gridcloze.shapes import Cells, Hidden, Marginals


class Neighbours:
    """A Predictor that knows the four neighbours of a cell: each a symbol, hidden, or outside the grid.

    Its probabilities are the shares of symbols among the cells of the examples with the same neighbours, whichever of
    them are hidden. The distribution of `Nearest` counts as one cell more: it is all there is if no neighbour is
    visible, or if the examples have no such neighbours.

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
