"""A memory of the examples, as a predictor to compare a model with."""

from collections.abc import Iterator

import numpy as np

from .predictor import known_or
from .priors.finite import mismatches
from .shapes import Cells, Hidden, Marginals, Samples
from .words import InputError

QUERIES_AT_ONCE = 256


class Lookup:
    """A Predictor that remembers examples, and answers with those that differ least from the visible cells.

    The probability of a symbol is its share among the examples with the fewest mismatches. Each symbol is counted half
    a time more (the Jeffreys prior), since a memory of few examples excludes nothing.

    Parameters
    ----------
    examples
        Grids without unknown cells, of shape (n, height, width).
    n_symbols
        The number of symbols.

    Raises
    ------
    InputError
        If an example has an unknown cell.

    Examples
    --------
    Two of the three examples agree with the visible cell, and one of the two is white in the middle:

    >>> import numpy as np
    >>> from gridcloze.lookup import Lookup
    >>> lookup = Lookup(np.array([[[0, 0, 0]], [[1, 0, 0]], [[1, 1, 0]]]), n_symbols=2)
    >>> cells, hidden = np.array([[[1, 0, 0]]]), np.array([[[False, True, True]]])
    >>> lookup.marginals(cells, hidden)[0, 0, :, 1]
    array([1.        , 0.5       , 0.16666667])
    """

    window: tuple[int, int] | None = None

    def __init__(self, examples: Cells, n_symbols: int):
        if (examples < 0).any():
            raise InputError("a lookup needs examples without unknown cells")
        self.examples, self.counts = np.unique(examples.astype(np.uint8), axis=0, return_counts=True)
        self.n_symbols = n_symbols

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        shares = [self._shares(nearest) for nearest in self._nearest(cells, hidden)]
        return known_or(np.stack(shares), cells, hidden)

    def sample(self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator) -> Samples:
        """Fill the hidden cells of each grid from one of the examples that differ least, drawn at random.

        Parameters
        ----------
        cells, hidden
            The grids, and which of their cells are hidden.
        n
            The number of samples of each grid.
        generator
            The source of all random numbers.

        Returns
        -------
        ndarray
            Filled grids, of shape (batch, n, height, width).
        """
        drawn = np.empty((len(cells), n, *cells.shape[1:]), dtype=np.int64)
        for grid, nearest in enumerate(self._nearest(cells, hidden)):
            weights = self.counts * nearest
            drawn[grid] = self.examples[generator.choice(len(weights), n, p=weights / weights.sum())]
        return np.where(hidden[:, None], drawn, cells[:, None])

    def _nearest(self, cells: Cells, hidden: Hidden) -> Iterator[np.ndarray]:
        """For one grid after the other: which examples differ from it in the fewest visible cells."""
        for start in range(0, len(cells), QUERIES_AT_ONCE):
            part = slice(start, start + QUERIES_AT_ONCE)
            for distance in mismatches(cells[part], hidden[part], self.examples, self.n_symbols):
                yield distance == distance.min()

    def _shares(self, chosen: np.ndarray) -> np.ndarray:
        examples, counts = self.examples[chosen], self.counts[chosen]
        symbols = np.arange(self.n_symbols)
        smoothed = np.einsum("n,nhwk->hwk", counts, examples[..., None] == symbols) + 0.5
        return smoothed / smoothed.sum(-1, keepdims=True)
