"""Which cells to hide, in training and in evaluation."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Int

from ..shapes import Hidden

Shape = tuple[int, ...]  # of the cells: batch, height, width
Hide = Callable[[Shape, np.random.Generator], Hidden]
Lengths = Callable[[int, int, np.random.Generator], Int[np.ndarray, " batch"]]  # of intervals, given batch and side


def evaluation_hiding(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide cells as every published figure of this project does.

    Half of the grids hide independent cells, a uniform fraction of them; a quarter hide one rectangle with sides
    uniform in 2…side of the grid, placed uniformly; a quarter hide the union of both. At least one cell is hidden.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import evaluation_hiding
    >>> evaluation_hiding((4, 3, 5), np.random.default_rng(3)).sum(axis=(1, 2))
    array([ 1,  3, 10, 14])
    """
    cells, block = scattered(shape, generator), rectangle(shape, generator)
    kind = np.arange(shape[0])[:, None, None] % 4
    hidden = (cells & (kind != 2)) | (block & (kind >= 2))
    return _at_least_one(hidden, generator)


def training_hiding(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide cells as in training on whole grids; every grid hides at least one cell.

    The conditional distribution of the hidden cells is the same whatever the mixture, so the mixture decides only
    where the model is good. Half of a rectangle is what filling one cell at a time meets on its way.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import training_hiding
    >>> training_hiding((4, 6, 6), np.random.default_rng(0)).sum(axis=(1, 2))
    array([18, 25,  1, 12])
    """
    cells, block = scattered(shape, generator), rectangle(shape, generator)
    few, whole_lines = all_but_few(shape, generator), lines(shape, generator)
    kinds = np.stack([cells, cells | block, cells & block, block, few, whole_lines])
    choice = generator.choice(len(kinds), size=shape[0], p=[0.35, 0.2, 0.2, 0.05, 0.1, 0.1])
    return _at_least_one(kinds[choice, np.arange(shape[0])], generator)


def window_hiding(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide cells as in training on windows of larger grids: holes of all sizes, and what sweeping meets on its way.

    Parameters
    ----------
    shape
        Batch, height and width of the windows.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden; at least one cell of each window.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import window_hiding
    >>> window_hiding((4, 6, 6), np.random.default_rng(0)).sum(axis=(1, 2))
    array([22, 20,  3, 31])
    """
    cells, block, few = scattered(shape, generator), hole(shape, generator), all_but_few(shape, generator)
    left, whole_lines = unswept(shape, generator), lines(shape, generator)
    kinds = np.stack([cells, block, cells | block, cells & block, few, left, cells & left, whole_lines])
    choice = generator.choice(len(kinds), size=shape[0], p=[0.25, 0.15, 0.15, 0.15, 0.1, 0.08, 0.07, 0.05])
    return _at_least_one(kinds[choice, np.arange(shape[0])], generator)


def scattered(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide independent cells, a fraction of them that is uniform in 0…1.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Notes
    -----
    The distribution of masked diffusion (Sahoo et al. 2024, arXiv:2406.07524).

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import scattered
    >>> scattered((1, 3, 6), np.random.default_rng(1)).astype(int)
    array([[[0, 1, 0, 1, 1, 0],
            [1, 0, 1, 0, 0, 1],
            [0, 1, 1, 1, 1, 1]]])
    """
    hidden_fraction = generator.random((shape[0], 1, 1))
    return generator.random(shape) < hidden_fraction


def rectangle(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide one rectangle with sides uniform in 2…height and 2…width, placed uniformly.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import rectangle
    >>> rectangle((1, 4, 7), np.random.default_rng(38)).astype(int)
    array([[[0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0, 0, 0],
            [0, 1, 1, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0]]])
    """
    return _rectangle(shape, generator, _uniform_length)


def hole(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide one rectangle whose sides have any magnitude: their logarithms are uniform.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    Small and large sides are equally frequent:

    >>> import numpy as np
    >>> from gridcloze.priors.hiding import hole
    >>> hidden = hole((1000, 64, 64), np.random.default_rng(0))
    >>> float(np.median(hidden.any(axis=2).sum(axis=1)))
    12.0
    """
    return _rectangle(shape, generator, _any_magnitude)


def lines(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide whole rows or whole columns, independent, a fraction of them that is uniform in 0…1.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import lines
    >>> lines((1, 3, 6), np.random.default_rng(0)).astype(int)
    array([[[0, 0, 1, 0, 1, 0],
            [0, 0, 1, 0, 1, 0],
            [0, 0, 1, 0, 1, 0]]])
    """
    batch, height, width = shape
    hidden_fraction = generator.random((batch, 1, 1))
    rows = generator.random((batch, height, 1)) < hidden_fraction
    columns = generator.random((batch, 1, width)) < hidden_fraction
    return np.where(generator.random((batch, 1, 1)) < 0.5, rows, columns)


def all_but_few(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide all but about 0…8 cells, or up to one in 32 of a large grid: where several answers are possible.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import all_but_few
    >>> (~all_but_few((6, 16, 16), np.random.default_rng(0))).sum(axis=(1, 2))
    array([ 5,  2,  0,  2,  9, 11])
    """
    batch, height, width = shape
    visible_fraction = generator.uniform(0, max(8 / (height * width), 1 / 32), (batch, 1, 1))
    return generator.random(shape) >= visible_fraction


def unswept(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide what a sweep has not filled yet: all but some top rows and the left part of some rows below them.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import unswept
    >>> unswept((1, 5, 6), np.random.default_rng(22)).astype(int)
    array([[[0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 1],
            [0, 0, 0, 0, 1, 1],
            [1, 1, 1, 1, 1, 1]]])
    """
    batch, height, width = shape
    rows = np.sort(generator.integers(0, height, endpoint=True, size=(2, batch, 1, 1)), axis=0)
    column = generator.integers(0, width, endpoint=True, size=(batch, 1, 1))
    row_of, column_of = np.arange(height)[:, None], np.arange(width)
    return (row_of >= rows[0]) & ~((row_of < rows[1]) & (column_of < column))


def conditions(height: int, width: int) -> dict[str, Hide]:
    """Name the conditions under which models are compared, and what each of them hides.

    The benchmarks on textures use some of them.

    Parameters
    ----------
    height, width
        Of the grids. A hole has at most a quarter and half of the shorter one as its side.

    Returns
    -------
    dict
        By name a function that hides cells, given the shape of the grids and a source of random numbers.

    Examples
    --------
    >>> from gridcloze.priors.hiding import conditions
    >>> list(conditions(64, 64))[:6]
    ['single cells', 'hole 8×8', 'hole 16×16', '20% visible', '5% visible', '1% visible']
    >>> list(conditions(64, 64))[6:]
    ['left hidden', 'right hidden', 'top hidden', 'bottom hidden']
    """
    short = min(height, width)
    sides = sorted({max(1, min(side, short * side // 32)) for side in (8, 16)})
    return {
        "single cells": single_cells,
        **{f"hole {side}×{side}": partial(square_hole, side) for side in sides},
        **{f"{share:.0%} visible": partial(visible_share, share) for share in (0.2, 0.05, 0.01)},
        **{f"{side} hidden": partial(half, side) for side in ("left", "right", "top", "bottom")},
    }


def single_cells(shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide cells that are 16 apart, so that all cells around each are visible; none at the border.

    Parameters
    ----------
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden; at least one cell of each grid, at the border if there is nothing else.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import single_cells
    >>> single_cells((1, 4, 6), np.random.default_rng(0))[0].astype(int)
    array([[0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0],
           [0, 0, 0, 1, 0, 0],
           [0, 0, 0, 0, 0, 0]])
    """
    hidden = np.zeros(shape, dtype=bool)
    for grid in hidden:
        inner = tuple(slice(1, -1) if side > 2 else slice(None) for side in shape[1:])
        row, column = (generator.integers(min(14, side)) for side in grid[inner].shape)
        grid[inner][row::16, column::16] = True
    return hidden


def square_hole(side: int, shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide one square in each grid, placed uniformly.

    Parameters
    ----------
    side
        Its side, in cells.
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import square_hole
    >>> square_hole(2, (1, 3, 6), np.random.default_rng(0)).astype(int)
    array([[[0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 0],
            [0, 0, 0, 1, 1, 0]]])
    """
    hidden = np.zeros(shape, dtype=bool)
    for grid in hidden:
        row, column = (generator.integers(0, length - side, endpoint=True) for length in shape[1:])
        grid[row : row + side, column : column + side] = True
    return hidden


def visible_share(share: float, shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide all but independent cells.

    Parameters
    ----------
    share
        The probability that a cell is visible.
    shape
        Batch, height and width of the grids.
    generator
        The source of all random numbers.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import visible_share
    >>> float(visible_share(0.2, (1, 100, 100), np.random.default_rng(0)).mean())
    0.7951
    """
    return generator.random(shape) >= share


def half(side: str, shape: Shape, generator: np.random.Generator) -> Hidden:
    """Hide one half of each grid.

    Parameters
    ----------
    side
        Which half: left, right, top or bottom. It is the smaller one if the grid has an odd number of cells.
    shape
        Batch, height and width of the grids.
    generator
        Not used: every grid hides the same cells.

    Returns
    -------
    ndarray of bool
        True where a cell is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.hiding import half
    >>> half("right", (1, 2, 5), np.random.default_rng(0)).astype(int)
    array([[[0, 0, 0, 1, 1],
            [0, 0, 0, 1, 1]]])
    """
    hidden = np.zeros(shape, dtype=bool)
    lines = np.moveaxis(hidden, 2 if side in ("left", "right") else 1, 0)
    n = len(lines) // 2
    lines[slice(n) if side in ("left", "top") else slice(len(lines) - n, None)] = True
    return hidden


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
