"""From marginals to whole grids: one cell a pass, so that the conditionals multiply to the joint law."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from .predictor import Cells, Hidden, Predictor

BATCH_SIZE = 64  # fills in flight at once


@dataclass(frozen=True)
class Fills:
    """Filled grids, the log-probability of what was filled in, and the passes through the predictor each took."""

    cells: Int[np.ndarray, "batch sample height width"]
    log_prob_bits: Float[np.ndarray, "batch sample"]
    passes: Int[np.ndarray, "batch sample"]


def sample(
    predictor: Predictor, cells: Cells, hidden: Hidden, n: int = 1, seed: int = 0, batch_size: int = BATCH_SIZE
) -> Fills:
    """`n` draws of every grid, one cell a pass in random order.

    The draws follow the joint law as exactly as the predictor's conditionals do (Uria et al. 2014,
    arXiv:1310.1757). There is one stream of random numbers per (seed, grid, sample), so that a draw is the same
    whatever is drawn beside it.
    """
    fills = [
        _RandomOrder(grid, grid_hidden, np.random.default_rng([seed, number, draw]))
        for number, (grid, grid_hidden) in enumerate(zip(cells, hidden, strict=True))
        for draw in range(n)
    ]
    return _run(predictor, fills, (len(cells), n, *cells.shape[1:]), batch_size)


def most_likely(predictor: Predictor, cells: Cells, hidden: Hidden, batch_size: int = BATCH_SIZE) -> Fills:
    """One greedy fill of every grid: each pass reveals the most certain cell as its most likely symbol."""
    fills = [_MostCertainFirst(grid, grid_hidden) for grid, grid_hidden in zip(cells, hidden, strict=True)]
    return _run(predictor, fills, (len(cells), 1, *cells.shape[1:]), batch_size)


class _Fill(ABC):
    """A grid on its way from puzzle to fill."""

    def __init__(self, cells: Int[np.ndarray, "height width"], hidden: np.ndarray):
        self.cells, self.hidden = cells.astype(np.int64).reshape(-1), hidden.reshape(-1).copy()
        self.log_prob_bits, self.passes = 0.0, 0

    @abstractmethod
    def choose(self, marginals: Float[np.ndarray, "cell symbol"]) -> tuple[int, int]:
        """The hidden cell to reveal in this pass, and the symbol to put there."""

    def reveal(self, marginals: Float[np.ndarray, "cell symbol"]) -> None:
        cell, symbol = self.choose(marginals)
        self.cells[cell], self.hidden[cell] = symbol, False
        self.log_prob_bits += float(np.log2(marginals[cell, symbol]))
        self.passes += 1


class _RandomOrder(_Fill):
    def __init__(self, cells: np.ndarray, hidden: np.ndarray, generator: np.random.Generator):
        super().__init__(cells, hidden)
        order = generator.permutation(np.flatnonzero(self.hidden))
        self.steps = iter(list(zip(order.tolist(), generator.random(len(order)).tolist(), strict=True)))

    def choose(self, marginals: np.ndarray) -> tuple[int, int]:
        cell, uniform = next(self.steps)
        cumulative = marginals[cell].cumsum()
        return cell, int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))


class _MostCertainFirst(_Fill):
    def choose(self, marginals: np.ndarray) -> tuple[int, int]:
        certainty = np.where(self.hidden, marginals.max(-1), -1.0)
        cell = int(certainty.argmax())
        return cell, int(marginals[cell].argmax())


def _run(predictor: Predictor, fills: Sequence[_Fill], shape: tuple[int, ...], batch_size: int) -> Fills:
    """Carry all fills to their end; one that is finished leaves the batch, and the next takes its place."""
    waiting = deque(fill for fill in fills if fill.hidden.any())
    batch: list[_Fill] = []
    while waiting or batch:
        while waiting and len(batch) < batch_size:
            batch.append(waiting.popleft())
        cells = np.stack([fill.cells for fill in batch]).reshape(-1, *shape[2:])
        hidden = np.stack([fill.hidden for fill in batch]).reshape(-1, *shape[2:])
        marginals = predictor.marginals(cells, hidden).reshape(len(batch), -1, predictor.n_symbols)
        for fill, law in zip(batch, marginals, strict=True):
            fill.reveal(law)
        batch = [fill for fill in batch if fill.hidden.any()]
    return Fills(
        np.array([fill.cells for fill in fills], dtype=np.int64).reshape(shape),
        np.array([fill.log_prob_bits for fill in fills], dtype=np.float64).reshape(shape[:2]),
        np.array([fill.passes for fill in fills], dtype=np.int64).reshape(shape[:2]),
    )
