"""Grids of any size through windows of one size: each cell is answered by the window in whose core it lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .predictor import Cells, Hidden, Marginals, Predictor

MARGIN = 0.25  # of a window's side: what a core sees on each side of it
WINDOWS_AT_ONCE = 64

Span = tuple[int, int]  # the first cell, and the one after the last


@dataclass(frozen=True)
class Tile:
    """A window of a grid, and its core: the cells that it answers for. A grid's cores cover it, each cell once."""

    window: tuple[slice, slice]
    core: tuple[slice, slice]

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        down, across = (
            slice(core.start - window.start, core.stop - window.start)
            for core, window in zip(self.core, self.window, strict=True)
        )
        return down, across


@dataclass(frozen=True)
class Tiling:
    """The tiles of grids of `height` by `width` cells in windows of `size`, which are smaller where the grid is."""

    height: int
    width: int
    size: tuple[int, int]

    @cached_property
    def rows(self) -> list[list[Tile]]:
        """Row by row, each from left to right."""
        down, across = _spans(self.height, self.size[0]), _spans(self.width, self.size[1])
        return [
            [Tile((slice(*row[0]), slice(*column[0])), (slice(*row[1]), slice(*column[1]))) for column in across]
            for row in down
        ]

    def waves(self, first: int = 0, last: int | None = None) -> Iterator[list[Tile]]:
        """The tiles of some rows in an order in which each comes after all that would come before it row by row and
        have cells of their cores in its window; those of one wave do not see each other's cores.
        """
        rows = self.rows[first:last]
        for wave in range(2 * (len(rows) - 1) + len(rows[0])):
            yield [row[wave - 2 * number] for number, row in enumerate(rows) if 0 <= wave - 2 * number < len(row)]


def _spans(length: int, window: int) -> list[tuple[Span, Span]]:
    """Windows along one axis, and their cores."""
    margin = int(MARGIN * window)
    spans, start, stop = [], 0, window - margin
    while stop < length - margin:
        spans.append((start, stop))
        start, stop = stop, stop + window - 2 * margin
    spans.append((start, length))
    places = [min(max(0, core[0] - margin), max(0, length - window)) for core in spans]
    return [((place, min(place + window, length)), core) for place, core in zip(places, spans, strict=True)]


def padded(cells: Cells, hidden: Hidden, size: tuple[int, int]) -> tuple[Cells, Hidden]:
    """Grids that are smaller than a window, with hidden cells on the right and below: nothing is known there."""
    missing = [(0, 0), *((0, max(0, wanted - have)) for wanted, have in zip(size, cells.shape[1:], strict=True))]
    return np.pad(cells, missing), np.pad(hidden, missing, constant_values=True)


def marginals(predictor: Predictor, cells: Cells, hidden: Hidden, size: tuple[int, int]) -> Marginals:
    """The laws of the cells of grids of any size, by a predictor that knows windows of one size."""
    batch, height, width = cells.shape
    answer = np.empty((batch, height, width, predictor.n_symbols))
    every = [(number, tile) for number in range(batch) for row in Tiling(height, width, size).rows for tile in row]
    for start in range(0, len(every), WINDOWS_AT_ONCE):
        part = every[start : start + WINDOWS_AT_ONCE]
        windows = [np.stack([array[number][tile.window] for number, tile in part]) for array in (cells, hidden)]
        laws = predictor.marginals(*padded(windows[0], windows[1], size))
        for law, (number, tile) in zip(laws, part, strict=True):
            answer[number][tile.core] = law[tile.core_in_window]
    return answer
