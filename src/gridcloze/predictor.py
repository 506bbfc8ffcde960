"""The protocol that everything which fills a grid follows, and what all of its followers share."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from .grids import InputError

Cells = Int[np.ndarray, "batch height width"]
Hidden = Bool[np.ndarray, "batch height width"]
Marginals = Float[np.ndarray, "batch height width symbol"]
Evidence = Shaped[np.ndarray, "batch height width symbol"]


@runtime_checkable
class Predictor(Protocol):
    """Anything that gives the law of each hidden cell given the visible ones."""

    n_symbols: int

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """Probabilities that sum to 1 over the last axis; a visible cell has its own symbol with 1.

        What `cells` holds where `hidden` is True is not looked at.
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


@dataclass(frozen=True)
class Calibration:
    """Temperatures of logits by the hidden fraction of a grid, interpolated (Guo et al. 2017, arXiv:1706.04599)."""

    hidden_fractions: tuple[float, ...] = (0.0,)
    temperatures: tuple[float, ...] = (1.0,)

    def temperature(self, hidden: Hidden) -> Float[np.ndarray, "batch"]:
        """What the logits of each grid are to be divided by."""
        return np.interp(hidden.mean(axis=(1, 2)), self.hidden_fractions, self.temperatures)


def entropy_bits(marginals: Float[np.ndarray, "*grids symbol"]) -> Float[np.ndarray, "*grids"]:
    """The entropy of each cell's law, in bits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(marginals > 0, marginals * np.log2(marginals), 0.0).sum(-1)


def checked_evidence(evidence: Evidence, hidden: Hidden, n_symbols: int) -> Marginals:
    """What was observed of each cell, as the probability of the observation under each symbol; 1 at visible cells.

    Of bools it is the set of allowed symbols. Each cell's evidence is scaled to a largest value of 1, which changes
    no posterior. Raises InputError for another shape, for what is no probability, and for a cell that is left nothing.
    """
    if evidence.shape != (*hidden.shape, n_symbols) or evidence.dtype.kind not in "biuf":
        expected = (*hidden.shape, n_symbols)
        raise InputError(
            f"evidence {evidence.dtype}{evidence.shape} does not fit: it must be numbers or bools {expected}"
        )
    values = np.where(hidden[..., None], evidence.astype(np.float64), 1.0)
    improper = np.asarray(~((values >= 0) & (values <= 1)).all(-1))
    _refuse_at(improper, "its evidence is no probability: each number must be 0 … 1")
    largest = values.max(-1, keepdims=True)
    _refuse_at(np.equal(largest[..., 0], 0), "its evidence allows no symbol: leave it at least one")
    return values / largest


def _refuse_at(wrong: Hidden, why: str) -> None:
    if wrong.any():
        grid, row, column = np.argwhere(wrong)[0]
        raise InputError(f"cell (row {row}, column {column}) of grid {grid}: {why}")
