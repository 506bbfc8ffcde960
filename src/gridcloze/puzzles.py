"""What is asked: evidence of cells, checked."""

import numpy as np

from .shapes import Evidence, Hidden, Marginals
from .words import InputError


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
