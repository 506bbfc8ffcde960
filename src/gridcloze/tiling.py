"""Grids of any size through windows of one size: each cell is answered by the window in whose core it lies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from .predictor import Cells, Hidden, Marginals, Predictor, known_or

MARGIN = 0.125  # of a window's side: what a core sees on each side of it, at least; more is slower, not better (LOG.md)
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

    @staticmethod
    def waves(rows: list[list[Tile]]) -> Iterator[list[Tile]]:
        """The tiles of some rows, in an order that has the result of row by row; those of a wave are independent.

        A tile comes after all before it in that order whose cores its window meets, and those of a wave do not meet
        each other's cores.
        """
        for wave in range(2 * (len(rows) - 1) + len(rows[0])):
            yield [row[wave - 2 * number] for number, row in enumerate(rows) if 0 <= wave - 2 * number < len(row)]


def margin_of(window: int) -> int:
    """Cells on each side of a core in a window of so many along an axis; at least 1, as far as there is room."""
    return min(max(1, round(MARGIN * window)), (window - 1) // 2)


def _spans(length: int, window: int) -> list[tuple[Span, Span]]:
    """Windows along one axis, and their cores."""
    margin = margin_of(window)
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


def laws(
    predictor: Predictor, cells: Cells, hidden: Hidden, tiles: Sequence[Tile], size: tuple[int, int]
) -> Iterator[tuple[int, Tile, Float[np.ndarray, "row column symbol"]]]:
    """For each grid and tile with a hidden cell in its core, the laws of the core's cells given all in the window."""
    every = [(number, tile) for number in range(len(cells)) for tile in tiles if hidden[number][tile.core].any()]
    for start in range(0, len(every), WINDOWS_AT_ONCE):
        part = every[start : start + WINDOWS_AT_ONCE]
        windows = [np.stack([array[number][tile.window] for number, tile in part]) for array in (cells, hidden)]
        said = predictor.marginals(*padded(windows[0], windows[1], size))
        yield from ((number, tile, law[tile.core_in_window]) for law, (number, tile) in zip(said, part, strict=True))


def marginals(predictor: Predictor, cells: Cells, hidden: Hidden, size: tuple[int, int]) -> Marginals:
    """The laws of the cells of grids of any size, by a predictor that knows windows of one size."""
    height, width = cells.shape[1:]
    answer = known_or(np.zeros((*cells.shape, predictor.n_symbols)), cells, hidden)
    tiles = [tile for row in Tiling(height, width, size).rows for tile in row]
    for number, tile, law in laws(predictor, cells, hidden, tiles, size):
        answer[number][tile.core] = law
    return answer
