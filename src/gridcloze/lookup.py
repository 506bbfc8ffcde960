"""A memory of the examples, as a predictor to compare a model with."""

from collections.abc import Iterator

import numpy as np

from .predictor import known_or
from .priors.finite import mismatches
from .shapes import Cells, Hidden, Marginals, Samples
from .words import InputError

QUERIES_AT_ONCE = 256


class Lookup:
    """A Predictor that remembers examples (n, height, width) and asks those nearest to the visible cells.

    Its marginal is the share of a symbol among the examples with the fewest mismatches, each symbol counted half
    a time more (the Jeffreys prior), since a memory of few examples excludes nothing. Raises InputError for examples
    with unknown cells.
    """

    window: tuple[int, int] | None = None

    def __init__(self, examples: Cells, n_symbols: int):
        if (examples < 0).any():
            raise InputError("a lookup needs examples without unknown cells")
        self.examples, self.counts = np.unique(examples.astype(np.uint8), axis=0, return_counts=True)
        self.n_symbols = n_symbols

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """Shares among the nearest examples; see `Predictor`."""
        shares = [self._shares(nearest) for nearest in self._nearest(cells, hidden)]
        return known_or(np.stack(shares), cells, hidden)

    def sample(self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator) -> Samples:
        """`n` fills of each grid, each the hidden part of one of the nearest examples."""
        drawn = np.empty((len(cells), n, *cells.shape[1:]), dtype=np.int64)
        for grid, nearest in enumerate(self._nearest(cells, hidden)):
            weights = self.counts * nearest
            drawn[grid] = self.examples[generator.choice(len(weights), n, p=weights / weights.sum())]
        return np.where(hidden[:, None], drawn, cells[:, None])

    def _nearest(self, cells: Cells, hidden: Hidden) -> Iterator[np.ndarray]:
        """For one grid after the other, which examples differ from it in the fewest visible cells."""
        for start in range(0, len(cells), QUERIES_AT_ONCE):
            part = slice(start, start + QUERIES_AT_ONCE)
            for distance in mismatches(cells[part], hidden[part], self.examples, self.n_symbols):
                yield distance == distance.min()

    def _shares(self, chosen: np.ndarray) -> np.ndarray:
        examples, counts = self.examples[chosen], self.counts[chosen]
        symbols = np.arange(self.n_symbols)
        seen = np.einsum("n,nhwk->hwk", counts, examples[..., None] == symbols) + 0.5
        return seen / seen.sum(-1, keepdims=True)
