"""Which cells to hide, in training and in tests."""

import numpy as np
from jaxtyping import Bool

Hidden = Bool[np.ndarray, "batch height width"]
Shape = tuple[int, ...]  # of the cells: batch, height, width


def scattered(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Independent cells, a uniform fraction of them: the masked-diffusion law (Sahoo et al. 2024, arXiv:2406.07524)."""
    hidden_fraction = generator.random((shape[0], 1, 1))
    return generator.random(shape) < hidden_fraction


def rectangle(shape: Shape, generator: np.random.Generator) -> Hidden:
    """One rectangle with sides uniform in 2…height and 2…width, placed uniformly."""
    batch, height, width = shape
    rows = _interval(batch, height, generator)
    columns = _interval(batch, width, generator)
    return rows[:, :, None] & columns[:, None, :]


def all_but_few(shape: Shape, generator: np.random.Generator) -> Hidden:
    """All but about 0…8 cells: where several answers are possible."""
    batch, height, width = shape
    shown_fraction = generator.uniform(0, 8, (batch, 1, 1)) / (height * width)
    return generator.random(shape) >= shown_fraction


def lines(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Whole rows or whole columns, independent, a uniform fraction of them."""
    batch, height, width = shape
    hidden_fraction = generator.random((batch, 1, 1))
    rows = generator.random((batch, height, 1)) < hidden_fraction
    columns = generator.random((batch, 1, width)) < hidden_fraction
    return np.where(generator.random((batch, 1, 1)) < 0.5, rows, columns)


def training_law(shape: Shape, generator: np.random.Generator) -> Hidden:
    """The mixture that the model is trained on; every grid hides at least one cell.

    The conditional law of the hidden cells is the same whatever the mixture, so the mixture decides only
    where the model is good. Half of a rectangle is what one-at-a-time filling meets on its way.
    """
    cells, block = scattered(shape, generator), rectangle(shape, generator)
    few, whole_lines = all_but_few(shape, generator), lines(shape, generator)
    parts = np.stack([cells, cells | block, cells & block, block, few, whole_lines])
    choice = generator.choice(len(parts), size=shape[0], p=[0.35, 0.2, 0.2, 0.05, 0.1, 0.1])
    return _at_least_one(parts[choice, np.arange(shape[0])], generator)


def test_law(shape: Shape, generator: np.random.Generator) -> Hidden:
    """The fixed law of every figure of this project.

    Half of the grids hide independent cells with a fraction uniform in (0, 1); a quarter hide one rectangle
    with sides uniform in 2…side of the grid, placed uniformly; a quarter hide the union of both. At least
    one cell is hidden.
    """
    cells, block = scattered(shape, generator), rectangle(shape, generator)
    kind = np.arange(shape[0])[:, None, None] % 4
    hidden = (cells & (kind != 2)) | (block & (kind >= 2))
    return _at_least_one(hidden, generator)


def _interval(batch: int, side: int, generator: np.random.Generator) -> Bool[np.ndarray, "batch side"]:
    length = generator.integers(min(2, side), side, endpoint=True, size=batch)
    start = generator.integers(0, side - length, endpoint=True)
    position = np.arange(side)
    return (position >= start[:, None]) & (position < (start + length)[:, None])


def _at_least_one(hidden: Hidden, generator: np.random.Generator) -> Hidden:
    batch, height, width = hidden.shape
    row, column = generator.integers(0, height, batch), generator.integers(0, width, batch)
    hidden[np.arange(batch), row, column] |= ~hidden.any(axis=(1, 2))
    return hidden
