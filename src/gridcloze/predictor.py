"""The protocol that everything which fills a grid follows, and what all of its followers share."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from .shapes import Cells, Hidden, Marginals
from .words import InputError


@runtime_checkable
class Predictor(Protocol):
    """Anything that gives the law of each hidden cell given the visible ones."""

    @property
    def n_symbols(self) -> int: ...

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """Probabilities that sum to 1 over the last axis; a visible cell has its own symbol with 1.

        What `cells` holds where `hidden` is True is not looked at. Two threads may ask at once.
        """
        ...


def tokens_of(cells: Cells, hidden: Hidden, n_symbols: int) -> Cells:
    """The cells with `n_symbols` where hidden; raises InputError for a visible cell that is no symbol."""
    tokens = np.where(hidden, n_symbols, cells).astype(np.int64)
    wrong = np.argwhere((tokens < 0) | (tokens > n_symbols) | ((tokens == n_symbols) & ~hidden))
    if len(wrong):
        grid, row, column = wrong[0]
        raise InputError(
            f"cell (row {row}, column {column}) of grid {grid} is {cells[grid, row, column]}: "
            f"a visible cell is a symbol 0…{n_symbols - 1}"
        )
    return tokens


def known_or(probabilities: Marginals, cells: Cells, hidden: Hidden) -> Marginals:
    """The probabilities at hidden cells; at visible ones certainty of what they show."""
    n_symbols = probabilities.shape[-1]
    certain = np.eye(n_symbols)[np.where(hidden, 0, cells)]
    return np.where(hidden[..., None], probabilities, certain)


def softmax(logits: Float[np.ndarray, "*grids symbol"]) -> Float[np.ndarray, "*grids symbol"]:
    """Probabilities over the last axis."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def entropy_bits(marginals: Float[np.ndarray, "*grids symbol"]) -> Float[np.ndarray, "*grids"]:
    """The entropy of each cell's law, in bits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(marginals > 0, marginals * np.log2(marginals), 0.0).sum(-1)
