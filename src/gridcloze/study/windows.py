"""What can be known from within a window: the bound that no predictor with such a receptive field can beat."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..predictor import Predictor
from ..priors.posterior import NUMBERS_AT_ONCE, ContradictionError, chunks, one_hot
from ..shapes import Cells, Hidden, Marginals
from ..words import InputError


@runtime_checkable
class _Windowed(Protocol):
    """An exact posterior that has a faster way than a query for each window."""

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals: ...


class WindowLimited:
    """A Predictor that knows of each hidden cell only what is within a square window around it.

    It is the bound that no predictor with a receptive field of 2 · radius + 1 cells can beat. The window's position on
    the grid is known, as it is to a network that sees the border.

    Parameters
    ----------
    predictor
        Predicts each cell with all cells outside its window hidden: for the bound, an exact posterior.
    radius
        How far a window reaches from its cell, in cells.

    Raises
    ------
    InputError
        If the radius is negative.

    Examples
    --------
    The partner of the hidden cell is three cells away, which a window of radius 2 does not reach:

    >>> import numpy as np
    >>> from gridcloze.priors import Mirror, posterior
    >>> from gridcloze.study.windows import WindowLimited
    >>> cells, hidden = np.array([[[1, 0, 0, 1]]]), np.array([[[True, False, False, False]]])
    >>> for radius in (2, 3):
    ...     print(WindowLimited(posterior(Mirror(1, 4)), radius).marginals(cells, hidden)[0, 0, 0])
    [0.5 0.5]
    [0. 1.]
    """

    window: tuple[int, int] | None = None  # of the protocol: it is asked about whole grids

    def __init__(self, predictor: Predictor, radius: int):
        if radius < 0:
            raise InputError(f"the radius of a window must be 0 or more, not {radius}")
        self.predictor, self.radius, self.n_symbols = predictor, radius, predictor.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`. ContradictionError is raised if the cells of one window contradict each other."""
        if isinstance(self.predictor, _Windowed):
            return self.predictor.in_windows(cells, hidden, self.radius)
        result = one_hot(cells, self.n_symbols)
        for grid in range(len(cells)):
            positions = np.argwhere(hidden[grid])
            for part in chunks(len(positions), NUMBERS_AT_ONCE // (8 * cells[0].size * self.n_symbols)):
                row, column = positions[part].T
                result[grid, row, column] = self._query(cells[grid], hidden[grid], row, column, grid)
        return result

    def _query(
        self, cells: np.ndarray, hidden: np.ndarray, row: np.ndarray, column: np.ndarray, grid: int
    ) -> Float[np.ndarray, "cell symbol"]:
        """The distribution of each cell at (row, column) of one grid, from one query for each."""
        far_rows = np.abs(np.arange(cells.shape[0]) - row[:, None]) > self.radius
        far_columns = np.abs(np.arange(cells.shape[1]) - column[:, None]) > self.radius
        outside = hidden | far_rows[:, :, None] | far_columns[:, None, :]
        try:
            marginals = self.predictor.marginals(np.broadcast_to(cells, outside.shape), outside)
        except ContradictionError as error:
            raise ContradictionError(grid, error.cells) from None
        return marginals[np.arange(len(row)), row, column]
