"""What a window can know: the bound that no predictor with such a receptive field can beat."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..predictor import Predictor
from ..priors.posterior import NUMBERS_AT_ONCE, ContradictionError, chunks, one_hot
from ..shapes import Cells, Hidden, Marginals
from ..words import InputError


@runtime_checkable
class _Windowed(Protocol):
    """An exact posterior that knows a faster way than a query for each window."""

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals: ...


class WindowLimited:
    """What can be known about a cell from within `radius` of it: the bound that no predictor with a receptive field of
    2 · radius + 1 cells on a side can beat.

    The law of a hidden cell is that of an exact predictor to which every cell outside the square window around it is
    hidden. The window's own place on the grid is known, as it is to a network that sees the border.
    """

    window: tuple[int, int] | None = None  # of Predictor: it is asked about whole grids

    def __init__(self, predictor: Predictor, radius: int):
        if radius < 0:
            raise InputError(f"the radius of a window is 0 or more, not {radius}")
        self.predictor, self.radius, self.n_symbols = predictor, radius, predictor.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """As the predictor's; ContradictionError where one window is enough to see it, of the mirror wherever it is."""
        if isinstance(self.predictor, _Windowed):
            return self.predictor.in_windows(cells, hidden, self.radius)
        result = one_hot(cells, self.n_symbols)
        for grid in range(len(cells)):
            places = np.argwhere(hidden[grid])
            for part in chunks(len(places), NUMBERS_AT_ONCE // (8 * cells[0].size * self.n_symbols)):
                row, column = places[part].T
                result[grid, row, column] = self._laws(cells[grid], hidden[grid], row, column, grid)
        return result

    def _laws(
        self, cells: np.ndarray, hidden: np.ndarray, row: np.ndarray, column: np.ndarray, grid: int
    ) -> Float[np.ndarray, "place symbol"]:
        """The law of each cell at (row, column) of one grid, from one query for each."""
        far_rows = np.abs(np.arange(cells.shape[0]) - row[:, None]) > self.radius
        far_columns = np.abs(np.arange(cells.shape[1]) - column[:, None]) > self.radius
        unseen = hidden | far_rows[:, :, None] | far_columns[:, None, :]
        try:
            laws = self.predictor.marginals(np.broadcast_to(cells, unseen.shape), unseen)
        except ContradictionError as error:
            raise ContradictionError(grid, error.cells) from None
        return laws[np.arange(len(row)), row, column]
