"""What a prior is, and what an exact posterior answers."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from ..predictor import Predictor, tokens_of
from ..puzzles import checked_evidence
from ..shapes import Bits, Cells, Evidence, Hidden, Marginals, Samples
from ..words import InputError


def is_legal(cells: Int[np.ndarray, "n height width"], n_symbols: int) -> Bool[np.ndarray, " n"]:
    return np.all((cells >= 0) & (cells < n_symbols), axis=(1, 2))


def spec_of(name: str, height: int, width: int, **options: Any) -> dict[str, Any]:
    return {"name": name, "height": height, "width": width, **options}


def check_size(height: int, width: int) -> None:
    if min(height, width) < 1:
        raise InputError(f"a grid of {height} by {width} has no cells")


@runtime_checkable
class Prior(Protocol):
    """A source of example grids, all of one size; in what it gives, -1 is a cell that is unknown."""

    height: int
    width: int
    n_symbols: int

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]: ...


@runtime_checkable
class KnownPrior(Prior, Protocol):
    """A prior that knows the log-probability of each grid, in bits."""

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]: ...


NUMBERS_AT_ONCE = 2**25  # the numbers in the largest temporary arrays, so that memory stays flat


@runtime_checkable
class ExactPosterior(Predictor, Protocol):
    """A Predictor that is right, and knows how hidden cells depend on each other.

    `evidence` is what was observed of hidden cells, as `puzzles.checked_evidence` takes it. All methods raise
    ContradictionError for a grid with whose visible cells and evidence no grid of the prior agrees, and InputError
    for a grid of another size, with visible symbols that the prior does not have, or with evidence that is none.
    """

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        """As of every Predictor, but given the evidence too."""
        ...

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        """`n` independent grids from the joint law of the hidden cells given the visible ones, for each grid."""
        ...

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        """log2 P(hidden cells are as in `cells` | visible cells, evidence); -inf for what cannot be."""
        ...


class ContradictionError(InputError):
    """No grid of the prior agrees with the visible cells of `grid`, its index in the batch (from 0).

    `cells` is the number of visible cells in which the nearest grid of the prior differs: 0 if only evidence forbids.
    """

    def __init__(self, grid: int, cells: int):
        how = f"the visible cells; the nearest differs in {cells} of them" if cells else "what the evidence allows"
        super().__init__(f"grid {grid}: no grid of the prior agrees with {how}")
        self.grid, self.cells = grid, cells


def likelihood_of(
    evidence: Float[np.ndarray, "#batch height width symbol"], cells: Integer[np.ndarray, "batch height width"]
) -> Float[np.ndarray, "batch height width"]:
    """Of each cell's symbol the probability of what was observed there; 0 for what is no symbol."""
    n_symbols = evidence.shape[-1]
    legal = (cells >= 0) & (cells < n_symbols)
    symbols = np.where(legal, cells, 0)[..., None].astype(np.int64)
    shape = (*cells.shape, n_symbols)
    return np.where(legal, np.take_along_axis(np.broadcast_to(evidence, shape), symbols, axis=-1)[..., 0], 0.0)


def observed_bits(cells: Cells, hidden: Hidden, evidence: Evidence | None) -> Bits:
    """The log-probability of the evidence under grids; -inf for what it forbids, 0 without any."""
    if evidence is None:
        return np.zeros(len(cells))
    with np.errstate(divide="ignore"):
        return np.log2(likelihood_of(checked_evidence(evidence, hidden, evidence.shape[-1]), cells)).sum(axis=(1, 2))


def chunks(length: int, size: int) -> Iterator[slice]:
    size = max(size, 1)
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def one_hot(cells: np.ndarray, n_symbols: int) -> Float[np.ndarray, "*grids height width symbol"]:
    return (cells[..., None] == np.arange(n_symbols)).astype(np.float64)


def check_query(cells: np.ndarray, hidden: np.ndarray, prior: Prior) -> None:
    if not cells.shape == hidden.shape == (len(cells), prior.height, prior.width):
        raise InputError(
            f"cells {cells.shape} and hidden {hidden.shape} must both be (batch, {prior.height}, {prior.width}) here"
        )
    tokens_of(cells, hidden, prior.n_symbols)  # refuses visible cells that are no symbols
