"""What else could fill: the nearest visible cell, the four neighbours."""

from itertools import product

import numpy as np
from jaxtyping import Float, Int

from gridcloze.predictor import known_or, tokens_of
from gridcloze.shapes import Cells, Hidden, Marginals
from patterns import pairs

FARTHEST = 64  # in cells: what lies farther away tells no less than this


class Nearest:
    """A Predictor that asks the nearest visible cell: what it shows, and how far away it is.

    Fitted on examples (n, height, width), in which -1 stands for an unknown cell: the share of each symbol among cells
    that lie so far, down or across, from one with that symbol, each counted half a time more. Where nothing is visible
    it is the share among all cells. Distances are rounded to whole cells. It needs SciPy.
    """

    window: tuple[int, int] | None = None

    def __init__(self, examples: Cells, n_symbols: int):
        self.n_symbols = n_symbols
        counts = np.full((min(FARTHEST, *examples.shape[1:]), n_symbols, n_symbols), 0.5)
        counts[0] += np.bincount(examples[examples >= 0], minlength=n_symbols)
        for distance, axis in product(range(1, len(counts)), (1, 2)):
            first, second = (ends.astype(np.int64) for ends in pairs(examples, axis, distance))
            known = (first >= 0) & (second >= 0)
            seen = np.bincount((first * n_symbols + second)[known], minlength=n_symbols**2).reshape(counts[0].shape)
            counts[distance] += seen + seen.T
        self.laws = counts / counts.sum(axis=-1, keepdims=True)

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """The fitted shares; see `Predictor`."""
        distance, symbol = nearest_visible(tokens_of(cells, hidden, self.n_symbols), hidden)
        place = np.minimum(np.rint(distance).astype(np.int64), len(self.laws) - 1)
        return known_or(self.laws[place, symbol], cells, hidden)


def nearest_visible(
    cells: Cells, hidden: Hidden
) -> tuple[Float[np.ndarray, "batch height width"], Int[np.ndarray, "batch height width"]]:
    """How far from each cell, in a straight line, the nearest visible one is, and its symbol.

    Both are 0 in a grid that shows nothing. Of equally near ones it is any.
    """
    from scipy import ndimage

    distance, symbol = np.zeros(cells.shape), np.zeros(cells.shape, dtype=np.int64)
    for grid in np.flatnonzero(~hidden.all(axis=(1, 2))):
        places = np.empty((2, *hidden.shape[1:]), dtype=np.int32)
        distance[grid] = ndimage.distance_transform_edt(hidden[grid], return_indices=True, indices=places)
        symbol[grid] = cells[grid][tuple(places)]
    return distance, symbol


class Neighbours:
    """A Predictor that looks up what stood between the same four neighbours, each a symbol, or hidden or outside.

    Fitted on examples (n, height, width), in which -1 stands for an unknown cell, with every choice of neighbours to
    hide. To the counts comes the law of `Nearest`, as of one cell more: all there is where no neighbour is visible, or
    where what is visible was never seen. It needs SciPy.
    """

    window: tuple[int, int] | None = None

    def __init__(self, examples: Cells, n_symbols: int):
        self.n_symbols, self.nearest = n_symbols, Nearest(examples, n_symbols)
        sides = self._sides(np.where(examples < 0, n_symbols, examples).astype(np.int64))
        found = [
            self._seen(examples, sides, np.reshape(shown, (4, 1, 1, 1))) for shown in product((True, False), repeat=4)
        ]
        keys, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
        self.keys, place = np.unique(keys, return_inverse=True)
        self.counts = np.bincount(place, counts)

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """Shares between such neighbours; see `Predictor`."""
        wanted = self._key(self._sides(tokens_of(cells, hidden, self.n_symbols)))[..., None] + np.arange(self.n_symbols)
        place = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        counts = np.where(self.keys[place] == wanted, self.counts[place], 0) + self.nearest.marginals(cells, hidden)
        return known_or(counts / counts.sum(-1, keepdims=True), cells, hidden)

    def _seen(self, examples: Cells, sides: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The keys of contexts with symbols, and how often each was seen, if only the `shown` neighbours are visible.

        A neighbour that is outside cannot be hidden, else the cells along a border would be counted twice.
        """
        visible = sides < self.n_symbols
        counted = (examples >= 0) & (visible | shown).all(axis=0) & (visible & shown).any(axis=0)
        keys = self._key(np.where(shown, sides, self.n_symbols)) + examples
        return np.unique(keys[counted], return_counts=True)

    def _sides(self, tokens: Cells) -> Int[np.ndarray, "4 batch height width"]:
        """What is above, below, left and right of each cell."""
        wide = np.pad(tokens, ((0, 0), (1, 1), (1, 1)), constant_values=self.n_symbols)
        return np.stack([wide[:, :-2, 1:-1], wide[:, 2:, 1:-1], wide[:, 1:-1, :-2], wide[:, 1:-1, 2:]])

    def _key(self, sides: Int[np.ndarray, "4 batch height width"]) -> Cells:
        """A number for each context, to which a symbol is added."""
        digits = (self.n_symbols + 1) ** np.arange(4).reshape(4, 1, 1, 1)
        return (sides * digits).sum(axis=0) * self.n_symbols
