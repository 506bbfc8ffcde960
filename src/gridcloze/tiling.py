"""Grids of any size through windows of one size, which overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from .predictor import Predictor, known_or
from .shapes import Cells, Hidden, Marginals

MARGIN = 0.125  # of a window's side: what a core sees on each side of it, at least; more is slower, not better (LOG.md)
HALF_OVERLAPPING = 0.25  # the margin with which each window overlaps half of the next
WINDOWS_AT_ONCE = 64
Span = tuple[int, int]  # the first cell, and the one after the last


@dataclass(frozen=True)
class Tile:
    """A window of a grid, and its core: the cells that it answers for. A grid's cores cover it, each cell once."""

    window: tuple[slice, slice]
    core: tuple[slice, slice]

    def below(self, top: int) -> "Tile":
        """The tile in what is left of a grid without its rows above `top`."""
        return Tile(*((slice(down.start - top, down.stop - top), across) for down, across in (self.window, self.core)))

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        down, across = (
            slice(core.start - window.start, core.stop - window.start)
            for core, window in zip(self.core, self.window, strict=True)
        )
        return down, across


@dataclass(frozen=True)
class Tiling:
    """The tiles of grids of `height` by `width` cells in windows of `size`, which are smaller where the grid is.

    `margin` is the share of a window's side that it sees beyond its core.
    """

    height: int
    width: int
    size: tuple[int, int]
    margin: float = MARGIN

    @cached_property
    def rows(self) -> list[list[Tile]]:
        """Row by row, each from left to right."""
        down, across = (
            _spans(length, window, margin_of(window, self.margin))
            for length, window in zip((self.height, self.width), self.size, strict=True)
        )
        return [
            [Tile((slice(*row[0]), slice(*column[0])), (slice(*row[1]), slice(*column[1]))) for column in across]
            for row in down
        ]

    @staticmethod
    def waves(rows: list[list[Tile]]) -> Iterator[list[Tile]]:
        """The tiles of some rows, in an order that has the result of row by row; those of a wave are independent.

        A tile comes after all before it in that order whose cores its window meets, and those of a wave do not meet
        each other's cores.
        """
        for wave in range(2 * (len(rows) - 1) + len(rows[0])):
            yield [row[wave - 2 * number] for number, row in enumerate(rows) if 0 <= wave - 2 * number < len(row)]


def margin_of(window: int, share: float = MARGIN) -> int:
    """Cells on each side of a core in a window of so many along an axis; at least 1, as far as there is room."""
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
    """Grids that are smaller than a window, with hidden cells on the right and below: nothing is known there."""
    missing = [(0, 0), *((0, max(0, wanted - have)) for wanted, have in zip(size, cells.shape[1:], strict=True))]
    return np.pad(cells, missing), np.pad(hidden, missing, constant_values=True)


def marginals(predictor: Predictor, cells: Cells, hidden: Hidden, size: tuple[int, int]) -> Marginals:
    """The laws of the cells of grids of any size, by a predictor that knows windows of one size."""
    height, width = cells.shape[1:]
    tiles = [tile for row in Tiling(height, width, size, HALF_OVERLAPPING).rows for tile in row]
    return blended(predictor, cells, hidden, tiles, size)


def blended(
    predictor: Predictor, cells: Cells, hidden: Hidden, tiles: Sequence[Tile], size: tuple[int, int]
) -> Marginals:
    """What the windows of tiles say of each cell, on average, the more weight the farther from a window's border.

    So laws change from cell to cell without a seam. Tiles without a hidden cell in their window are not asked.
    """
    total, weights = np.zeros((*cells.shape, predictor.n_symbols)), np.zeros((*cells.shape, 1))
    asked = [
        (number, tile.window) for number in range(len(cells)) for tile in tiles if hidden[number][tile.window].any()
    ]
    for start in range(0, len(asked), WINDOWS_AT_ONCE):
        part = asked[start : start + WINDOWS_AT_ONCE]
        windows = [np.stack([array[number][window] for number, window in part]) for array in (cells, hidden)]
        weight = _weight(part[0][1])
        said = predictor.marginals(*padded(windows[0], windows[1], size))
        for (number, window), law in zip(part, said, strict=True):
            total[number][window] += weight * law[: weight.shape[0], : weight.shape[1]]
            weights[number][window] += weight
    return known_or(total / np.maximum(weights, 1), cells, hidden)


def _weight(window: tuple[slice, slice]) -> Float[np.ndarray, "height width 1"]:
    """Of a window's cells: how far each is from the border along one axis, times the same along the other."""
    sides = (np.arange(axis.stop - axis.start) for axis in window)
    down, across = (np.minimum(side, side[::-1]) + 1 for side in sides)
    return np.multiply.outer(down, across)[..., None].astype(np.float64)
