"""Which cells to hide, in training and in tests."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from ..shapes import Hidden

Shape = tuple[int, ...]  # of the cells: batch, height, width
Lengths = Callable[[int, int, np.random.Generator], Int[np.ndarray, " batch"]]  # of intervals, given batch and side


def scattered(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Independent cells, a uniform fraction of them: the masked-diffusion law (Sahoo et al. 2024, arXiv:2406.07524)."""
    hidden_fraction = generator.random((shape[0], 1, 1))
    return generator.random(shape) < hidden_fraction


def rectangle(shape: Shape, generator: np.random.Generator) -> Hidden:
    """One rectangle with sides uniform in 2…height and 2…width, placed uniformly."""
    return _rectangle(shape, generator, _uniform_length)


def hole(shape: Shape, generator: np.random.Generator) -> Hidden:
    """One rectangle whose sides have any magnitude: their logarithms are uniform."""
    return _rectangle(shape, generator, _any_magnitude)


def all_but_few(shape: Shape, generator: np.random.Generator) -> Hidden:
    """All but about 0…8 cells, or up to one of 32 in large grids: where several answers are possible."""
    batch, height, width = shape
    shown_fraction = generator.uniform(0, max(8 / (height * width), 1 / 32), (batch, 1, 1))
    return generator.random(shape) >= shown_fraction


def lines(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Whole rows or whole columns, independent, a uniform fraction of them."""
    batch, height, width = shape
    hidden_fraction = generator.random((batch, 1, 1))
    rows = generator.random((batch, height, 1)) < hidden_fraction
    columns = generator.random((batch, 1, width)) < hidden_fraction
    return np.where(generator.random((batch, 1, 1)) < 0.5, rows, columns)


def training_hiding(shape: Shape, generator: np.random.Generator) -> Hidden:
    """The mixture that the model is trained on; every grid hides at least one cell.

    The conditional law of the hidden cells is the same whatever the mixture, so the mixture decides only
    where the model is good. Half of a rectangle is what one-at-a-time filling meets on its way.
    """
    cells, block = scattered(shape, generator), rectangle(shape, generator)
    few, whole_lines = all_but_few(shape, generator), lines(shape, generator)
    parts = np.stack([cells, cells | block, cells & block, block, few, whole_lines])
    choice = generator.choice(len(parts), size=shape[0], p=[0.35, 0.2, 0.2, 0.05, 0.1, 0.1])
    return _at_least_one(parts[choice, np.arange(shape[0])], generator)


def unswept(shape: Shape, generator: np.random.Generator) -> Hidden:
    """All but what is above some row, or left of some column down to some lower row: what a sweep left to do."""
    batch, height, width = shape
    rows = np.sort(generator.integers(0, height, endpoint=True, size=(2, batch, 1, 1)), axis=0)
    column = generator.integers(0, width, endpoint=True, size=(batch, 1, 1))
    row_of, column_of = np.arange(height)[:, None], np.arange(width)
    return (row_of >= rows[0]) & ~((row_of < rows[1]) & (column_of < column))


def window_hiding(shape: Shape, generator: np.random.Generator) -> Hidden:
    """The mixture for windows of larger grids: holes of all sizes, and what is met when windows are filled in turn."""
    cells, block, few = scattered(shape, generator), hole(shape, generator), all_but_few(shape, generator)
    left, whole_lines = unswept(shape, generator), lines(shape, generator)
    parts = np.stack([cells, block, cells | block, cells & block, few, left, cells & left, whole_lines])
    choice = generator.choice(len(parts), size=shape[0], p=[0.25, 0.15, 0.15, 0.15, 0.1, 0.08, 0.07, 0.05])
    return _at_least_one(parts[choice, np.arange(shape[0])], generator)


def evaluation_hiding(shape: Shape, generator: np.random.Generator) -> Hidden:
    """The fixed law of every figure of this project.

    Half of the grids hide independent cells with a fraction uniform in (0, 1); a quarter hide one rectangle
    with sides uniform in 2…side of the grid, placed uniformly; a quarter hide the union of both. At least
    one cell is hidden.
    """
    cells, block = scattered(shape, generator), rectangle(shape, generator)
    kind = np.arange(shape[0])[:, None, None] % 4
    hidden = (cells & (kind != 2)) | (block & (kind >= 2))
    return _at_least_one(hidden, generator)


def _rectangle(shape: Shape, generator: np.random.Generator, lengths: Lengths) -> Hidden:
    batch, height, width = shape
    rows = _interval(batch, height, generator, lengths)
    columns = _interval(batch, width, generator, lengths)
    return rows[:, :, None] & columns[:, None, :]


def _uniform_length(batch: int, side: int, generator: np.random.Generator) -> Int[np.ndarray, " batch"]:
    return generator.integers(min(2, side), side, endpoint=True, size=batch)


def _any_magnitude(batch: int, side: int, generator: np.random.Generator) -> Int[np.ndarray, " batch"]:
    return np.minimum((2 * ((side + 1) / 2) ** generator.random(batch)).astype(np.int64), side)


def _interval(
    batch: int, side: int, generator: np.random.Generator, lengths: Lengths
) -> Bool[np.ndarray, "batch side"]:
    length = lengths(batch, side, generator)
    start = generator.integers(0, side - length, endpoint=True)
    position = np.arange(side)
    return (position >= start[:, None]) & (position < (start + length)[:, None])


def _at_least_one(hidden: Hidden, generator: np.random.Generator) -> Hidden:
    batch, height, width = hidden.shape
    row, column = generator.integers(0, height, batch), generator.integers(0, width, batch)
    hidden[np.arange(batch), row, column] |= ~hidden.any(axis=(1, 2))
    return hidden
