"""Grids of any size through windows of one size, which overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from .predictor import Predictor, known_or
from .shapes import Cells, Hidden, Marginals
from .side import in_windows

MARGIN = 0.125  # of the window size: what a core sees on each side of it, at least; more is slower, not better (LOG.md)
HALF_OVERLAPPING = 0.25  # the margin with which each window overlaps half of the next
WINDOWS_AT_ONCE = 64
Span = tuple[int, int]  # the first cell, and the one after the last


@dataclass(frozen=True)
class Tile:
    """A window of a grid, and its core: the cells that it answers for. A grid's cores cover it, each cell once.

    Parameters
    ----------
    window, core
        Ranges of rows and columns of the grid.

    Examples
    --------
    >>> Tile((slice(2, 8), slice(0, 6)), (slice(3, 7), slice(0, 5))).core_in_window
    (slice(1, 5, None), slice(0, 5, None))
    """

    window: tuple[slice, slice]
    core: tuple[slice, slice]

    def below(self, top: int, left: int = 0) -> "Tile":
        """Find the same tile in what is left of a grid without its upper rows, and without columns on its left.

        Parameters
        ----------
        top, left
            The first row and column that are left.

        Returns
        -------
        Tile
            With rows and columns counted from there.
        """
        window, core = ((_shifted(down, top), _shifted(across, left)) for down, across in (self.window, self.core))
        return Tile(window, core)

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        """The core, in rows and columns of its window."""
        down, across = (
            slice(core.start - window.start, core.stop - window.start)
            for core, window in zip(self.core, self.window, strict=True)
        )
        return down, across


@dataclass(frozen=True)
class Tiling:
    """The tiles of grids of one size.

    Parameters
    ----------
    height, width
        Of the grids, in cells.
    size
        Height and width of a window; smaller along an axis along which the grid is.
    margin
        The share of the window size that a window sees beyond its core.

    Examples
    --------
    >>> tiles = Tiling(10, 6, (6, 6))
    >>> [[tile.core[0] for tile in row] for row in tiles.rows]
    [[slice(0, 5, None)], [slice(5, 10, None)]]
    """

    height: int
    width: int
    size: tuple[int, int]
    margin: float = MARGIN

    @cached_property
    def rows(self) -> list[list[Tile]]:
        """Row by row, each from left to right."""
        down, across = self.spans
        return [[self.tile(row, column) for column in range(len(across))] for row in range(len(down))]

    @cached_property
    def spans(self) -> list[list[tuple[Span, Span]]]:
        """Along each axis the windows and their cores, which say all that is in `rows`."""
        return [
            _spans(length, window, margin_of(window, self.margin))
            for length, window in zip((self.height, self.width), self.size, strict=True)
        ]

    def tile(self, row: int, column: int) -> Tile:
        """Give one tile, without those around it: a large grid has millions.

        Parameters
        ----------
        row, column
            Of the tile, among tiles.

        Returns
        -------
        Tile
            The same as `rows[row][column]`.
        """
        down, across = (spans[place] for spans, place in zip(self.spans, (row, column), strict=True))
        return Tile(*((slice(*rows), slice(*columns)) for rows, columns in zip(down, across, strict=True)))

    @staticmethod
    def waves(rows: list[list[Tile]]) -> Iterator[list[Tile]]:
        """Order tiles so that many can be filled at once, with the result of row by row.

        A tile comes after all those before it, row by row, whose cores its window meets; the windows of a wave do not
        meet each other's cores.

        Parameters
        ----------
        rows
            Of tiles.

        Yields
        ------
        list
            The tiles of a wave.
        """
        for wave in range(2 * (len(rows) - 1) + len(rows[0])):
            yield [row[wave - 2 * number] for number, row in enumerate(rows) if 0 <= wave - 2 * number < len(row)]


def _shifted(cells: slice, by: int) -> slice:
    return slice(cells.start - by, cells.stop - by)


def margin_of(window: int, share: float = MARGIN) -> int:
    """Count the cells that a window sees on each side of its core.

    Parameters
    ----------
    window
        Cells of the window along an axis.
    share
        Of these.

    Returns
    -------
    int
        At least 1, as far as there is room.

    Examples
    --------
    >>> margin_of(64), margin_of(5), margin_of(1)
    (8, 1, 0)
    """
    return min(max(1, round(share * window)), (window - 1) // 2)


def _spans(length: int, window: int, margin: int) -> list[tuple[Span, Span]]:
    """Windows along one axis, and their cores."""
    spans, start, stop = [], 0, window - margin
    while stop < length - margin:
        spans.append((start, stop))
        start, stop = stop, stop + window - 2 * margin
    spans.append((start, length))
    places = [min(max(0, core[0] - margin), max(0, length - window)) for core in spans]
    return [((place, min(place + window, length)), core) for place, core in zip(places, spans, strict=True)]


def padded(
    cells: Cells, hidden: Hidden, size: tuple[int, int]
) -> tuple[Int[np.ndarray, "batch full_height full_width"], Bool[np.ndarray, "batch full_height full_width"]]:
    """Enlarge grids that are smaller than a window by hidden cells on the right and below.

    Parameters
    ----------
    cells, hidden
        Puzzles.
    size
        Height and width of the window.

    Returns
    -------
    tuple
        Cells and hidden cells, as large as the window at least.

    Examples
    --------
    >>> cells, hidden = padded(np.array([[[1]]]), np.array([[[False]]]), (1, 2))
    >>> hidden
    array([[[False,  True]]])
    """
    missing = [(0, 0), *((0, max(0, wanted - have)) for wanted, have in zip(size, cells.shape[1:], strict=True))]
    return np.pad(cells, missing), np.pad(hidden, missing, constant_values=True)


def marginals(predictor: Predictor, cells: Cells, hidden: Hidden, size: tuple[int, int]) -> Marginals:
    """Predict the cells of grids of any size by a predictor that knows windows of one size.

    Parameters
    ----------
    predictor
        Of windows.
    cells, hidden
        Puzzles.
    size
        Height and width of a window.

    Returns
    -------
    Marginals
        The average of what the windows predict, as in `blended`.

    Examples
    --------
    >>> from gridcloze.priors import Mirror, posterior
    >>> cells = np.full((1, 4, 9), -1)
    >>> marginals(posterior(Mirror(4, 4)), cells, cells < 0, (4, 4)).shape
    (1, 4, 9, 2)
    """
    height, width = cells.shape[1:]
    tiles = [tile for row in Tiling(height, width, size, HALF_OVERLAPPING).rows for tile in row]
    return blended(predictor, cells, hidden, tiles, size)


def blended(
    predictor: Predictor, cells: Cells, hidden: Hidden, tiles: Sequence[Tile], size: tuple[int, int]
) -> Marginals:
    """Average what the windows of tiles predict of each cell, with less weight towards a window's border.

    So the marginals change from cell to cell without a seam.

    Parameters
    ----------
    predictor
        Of windows.
    cells, hidden
        Puzzles.
    tiles
        Whose windows are looked through; those without a hidden cell are passed over.
    size
        Height and width of a window.

    Returns
    -------
    Marginals
        Of the cells in any of the windows.

    Examples
    --------
    >>> from gridcloze.priors import Mirror, posterior
    >>> cells = np.full((1, 4, 9), -1)
    >>> tiles = [tile for row in Tiling(4, 9, (4, 4)).rows for tile in row]
    >>> blended(posterior(Mirror(4, 4)), cells, cells < 0, tiles, (4, 4))[0, 0, 0]
    array([0.5, 0.5])
    """
    total, weights = np.zeros((*cells.shape, predictor.n_symbols)), np.zeros((*cells.shape, 1))
    queries = [
        (number, tile.window) for number in range(len(cells)) for tile in tiles if hidden[number][tile.window].any()
    ]
    for start in range(0, len(queries), WINDOWS_AT_ONCE):
        part = queries[start : start + WINDOWS_AT_ONCE]
        windows = [np.stack([array[number][window] for number, window in part]) for array in (cells, hidden)]
        weight = _weight(part[0][1])
        cells_seen, hidden_seen = padded(windows[0], windows[1], size)
        predicted = in_windows(predictor, part, cells_seen.shape[1:]).marginals(cells_seen, hidden_seen)
        for (number, window), in_window in zip(part, predicted, strict=True):
            total[number][window] += weight * in_window[: weight.shape[0], : weight.shape[1]]
            weights[number][window] += weight
    return known_or(total / np.maximum(weights, 1), cells, hidden)


def _weight(window: tuple[slice, slice]) -> Float[np.ndarray, "height width 1"]:
    """Of a window's cells: how far each is from the border along one axis, times the same along the other."""
    sides = (np.arange(axis.stop - axis.start) for axis in window)
    down, across = (np.minimum(side, side[::-1]) + 1 for side in sides)
    return np.multiply.outer(down, across)[..., None].astype(np.float64)
