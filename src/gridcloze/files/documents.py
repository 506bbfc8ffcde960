"""Files that hold a grid among other things, which are kept: GSLIB text, VTK ImageData, maps of Tiled, tables."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from ..shapes import OneGrid
from ..words import HIDDEN, InputError
from . import gslib, tables, tiled, vti
from .codes import NOTHING, refuse_first
from .palettes import Palette
from .paths import read_bytes

MOST_BYTES, MOST_BYTES_OF_TABLES = 2**30, 2**25
READERS = {
    ".dat": gslib.read,
    ".gslib": gslib.read,
    ".eas": gslib.read,
    ".vti": vti.read,
    ".tmj": tiled.read,
    ".csv": tables.read,
    ".txt": tables.read,
}


Document = gslib.Table | tiled.TileMap | vti.Image | tables.Table


def read_document(path: Path) -> Document:
    r"""Read a file.

    Parameters
    ----------
    path
        The file; its suffix says which kind it is. A text is a table of numbers.

    Returns
    -------
    GSLIB table, VTK image, map of Tiled or table
        What it holds.

    Raises
    ------
    InputError
        When it cannot be read.

    Examples
    --------
    >>> _ = Path("facies.dat").write_text("2 1 1\n1\nfacies\n3\n-99\n")
    >>> read_document(Path("facies.dat")).values.tolist()
    [[[3.0, nan]]]
    """
    read = READERS[path.suffix.lower()]
    return read(read_bytes(path, MOST_BYTES_OF_TABLES if read is tables.read else MOST_BYTES))


def codes_in(document: Document) -> Int64[np.ndarray, "grid height width"]:
    r"""Give the class of each cell.

    Parameters
    ----------
    document
        As `read_document` returns it.

    Returns
    -------
    array
        The classes, `codes.NOTHING` where hidden.

    Raises
    ------
    InputError
        When a number is no whole one; names the cell.

    Examples
    --------
    >>> _ = Path("facies.dat").write_text("2 1 1\n1\nfacies\n3\n2\n")
    >>> codes_in(read_document(Path("facies.dat")))
    array([[[3, 2]]])
    """
    values = document.values
    wrong = ~np.isnan(values) & ~(np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**53))
    refuse_first(wrong, lambda cell: f"{values[cell]:.10g} is no class: classes are whole numbers")
    return np.where(np.isnan(values), NOTHING, np.nan_to_num(values).astype(np.int64))


def values_in(cells: OneGrid, palette: Palette) -> Float[np.ndarray, "height width"]:
    """Give the numbers of classes, as `with_grid` takes them.

    Parameters
    ----------
    cells
        The symbols, HIDDEN where hidden.
    palette
        Its values stand for the symbols.

    Returns
    -------
    array
        NaN where hidden.

    Examples
    --------
    >>> values_in(np.array([[1, -1]]), Palette(Palette.default(2).colours, "ab", values=(3, 7)))
    array([[ 7., nan]])
    """
    return np.where(cells == HIDDEN, np.nan, np.array([*palette.raster_values, 0], dtype=float)[cells])


def only_grid(document: Document) -> None:
    r"""Refuse a document that holds several grids.

    Parameters
    ----------
    document
        As `read_document` returns it.

    Raises
    ------
    InputError
        When it does.

    Examples
    --------
    >>> only_grid(gslib.read(b"2 1 1\n1\nfacies\n3\n2\n"))
    """
    if len(document.values) > 1:
        raise InputError(f"it holds {len(document.values)} variables, and one grid is needed: keep one of them")
