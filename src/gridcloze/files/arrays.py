"""Arrays in npy, npz and zarr files, whole or by parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from ..words import AnyPath, InputError, about
from .codes import STACK_AXES, Content, GridOrStack, cells_from_array, look_up
from .palettes import Palette
from .paths import ARRAYS, WRITTEN_ARRAYS, ZARR, atomic_write, kind_of, readable


@dataclass(frozen=True, eq=False)
class Stack:
    """Grids of one size in an array file, read by parts; its length is how many there are.

    Parameters
    ----------
    path
        The file.
    array
        The array (n, height, width), of NumPy or zarr. Of an npy or zarr file it stays on disk until parts of it are
        read; of an npz file it is in memory.
    palette
        The symbols that the grids may have.

    Examples
    --------
    >>> write_stack("stack.npy", np.array([[[0, 1]], [[1, -1]]]))
    >>> stack = open_stack("stack.npy", Palette.default(2))
    >>> len(stack), stack.read(slice(1, 2))
    (2, array([[[ 1, -1]]]))
    """

    path: Path
    array: Any
    palette: Palette

    def __len__(self) -> int:
        return self.array.shape[0]

    def read(self, part: slice) -> GridOrStack:
        """Read some of the grids.

        Parameters
        ----------
        part
            Their numbers, from start to stop.

        Returns
        -------
        array of int
            The cells (n, height, width), HIDDEN where hidden.

        Raises
        ------
        InputError
            When the file is damaged there, or a cell is no symbol of the palette; names the grid and the cell.
        """
        with about(self.path):
            names = [f"grid {number}" for number in range(part.start, part.stop)]
            with _undamaged():
                array = self.array[part]
            cells = cells_from_array(array, STACK_AXES, names)
            return look_up(Content(ARRAYS, cells), self.palette, names=names)[0]


def open_stack(path: AnyPath, palette: Palette) -> Stack:
    """Open a stack of grids to read it by parts.

    Parameters
    ----------
    path
        An npy, npz or zarr file with an array (n, height, width).
    palette
        The symbols that the grids may have.

    Returns
    -------
    Stack
        Its grids are checked when they are read.

    Raises
    ------
    InputError
        When the file cannot be read, or its array has other axes.

    Examples
    --------
    >>> np.save("grid.npy", [[0, 1]])
    >>> open_stack("grid.npy", Palette.default(2))
    Traceback (most recent call last):
    gridcloze.words.InputError: grid.npy: shape (1, 2) is not (n height width), which is needed here
    """
    with readable(path, ARRAYS) as path:
        array = read_array(path, in_parts=True)
        if array.ndim != 3:
            raise InputError(f"shape {array.shape} is not ({STACK_AXES}), which is needed here")
        return Stack(path, array, palette)


def is_stack(path: AnyPath) -> bool:
    """Tell whether a file holds a stack of grids, without reading them.

    Parameters
    ----------
    path
        A file of any kind that `read_grid` reads.

    Returns
    -------
    bool
        True for an array of three dimensions; False for other arrays, pictures and texts.

    Raises
    ------
    InputError
        When the file cannot be read.

    Examples
    --------
    >>> np.save("grid.npy", [[0, 1]])
    >>> np.savez("stack.npz", [[[0, 1]]])
    >>> is_stack("grid.npy"), is_stack("stack.npz")
    (False, True)
    """
    with readable(path) as path:
        if path.suffix.lower() == ".npz":
            return len(_shape_in_npz(path)) == 3
        return kind_of(path) is ARRAYS and read_array(path, in_parts=True).ndim == 3


def _shape_in_npz(path: Path) -> tuple[int, ...]:
    """Of the cells, from their header: to read an array in an npz file is to decompress all of it."""
    with _undamaged(), ZipFile(path) as archive:
        name = "cells.npy" if "cells.npy" in archive.namelist() else archive.namelist()[0]
        with archive.open(name) as file:
            np.lib.format.read_magic(file)
            return np.lib.format.read_array_header_1_0(file)[0]


def read_array(path: Path, in_parts: bool = False) -> Any:
    """Read the array of cells in a file, whatever its shape and type.

    Parameters
    ----------
    path
        An npy, npz or zarr file. In one with several arrays it is the one named "cells"; a bool array "hidden" of the
        same shape says where cells are hidden.
    in_parts
        Leave the array of an npy or zarr file on disk until parts of it are taken. By default all of it is read.

    Returns
    -------
    array
        Of NumPy (masked where hidden) or, in parts, possibly of zarr.

    Raises
    ------
    InputError
        When the file is damaged, holds no numbers, or does not say which array has the cells.

    Examples
    --------
    >>> np.savez("puzzle.npz", cells=[[7, 1]], hidden=[[True, False]])
    >>> read_array(Path("puzzle.npz"))
    masked_array(data=[[--, 1]],
                 mask=[[ True, False]], ...)
    """
    arrays = _zarr_arrays(path) if path.suffix.lower() == ZARR else _numpy_arrays(path, in_parts)
    hidden = arrays.pop("hidden", None)
    if "cells" not in arrays and len(arrays) != 1:
        raise InputError(f"it holds the arrays {sorted(arrays)}; name one of them 'cells', or keep a single one")
    cells = arrays["cells"] if "cells" in arrays else arrays.popitem()[1]
    if hidden is not None and (hidden.dtype != bool or hidden.shape != cells.shape):
        raise InputError(f"'hidden' must be an array of bool in the shape of the cells, {cells.shape}")
    with _undamaged():
        if hidden is not None:
            return np.ma.array(cells, mask=hidden)
        return cells if in_parts else cells[...]


def _numpy_arrays(path: Path, in_parts: bool) -> dict[str, Any]:
    with _undamaged():
        if in_parts and path.suffix.lower() == ".npy":
            return {"cells": np.load(path, mmap_mode="r")}
        with path.open("rb") as file:  # by path, NumPy would leave a damaged npz file open
            loaded = np.load(file)
            return {"cells": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)


def _zarr_arrays(path: Path) -> dict[str, Any]:
    import zarr  # an extra

    with _undamaged():
        opened = zarr.open(path, mode="r")
        return {"cells": opened} if isinstance(opened, zarr.Array) else dict(opened.arrays())


@contextmanager
def _undamaged() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # NumPy, zipfile and zarr report damage by many types
        raise InputError(f"damaged, or not an array of numbers ({' '.join(str(error).split())})") from None


def write_stack(path: AnyPath, cells: np.ndarray) -> None:
    """Write grids of one size to one file, whole or not at all.

    Parameters
    ----------
    path
        An npy or npz file.
    cells
        The grids (n, height, width), as `cells_from_array` takes them.

    Raises
    ------
    InputError
        When the suffix, the shape or a value does not fit, or nothing can be written there.

    Examples
    --------
    >>> write_stack("stack.npz", np.array([[[0, 1]], [[1, -1]]]))
    >>> np.load("stack.npz")["cells"].shape
    (2, 1, 2)
    """
    kind_of(Path(path), WRITTEN_ARRAYS)
    cells = cells_from_array(cells, STACK_AXES)
    with atomic_write(path) as partial:
        save_array(partial, cells)


def save_array(path: Path, cells: GridOrStack) -> None:
    """Save cells as int16, with no check; see `write_stack` and `write_grid` for those that check.

    Parameters
    ----------
    path
        An npy file, or an npz file, in which the array gets the name "cells".
    cells
        A grid or a stack.

    Examples
    --------
    >>> save_array(Path("grid.npy"), np.array([[0, 1]]))
    >>> np.load("grid.npy")
    array([[0, 1]], dtype=int16)
    """
    save = np.save if path.suffix.lower() == ".npy" else lambda file, cells: np.savez_compressed(file, cells=cells)
    with path.open("wb") as file:  # to a path, NumPy would append a suffix of its own
        save(file, cells.astype(np.int16))
