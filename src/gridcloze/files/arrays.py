"""Arrays in npy, npz and zarr files, whole or by parts, and in lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..memory import in_words, refuse_beyond_memory
from ..words import AnyPath, InputError, about
from .codes import STACK_AXES, Content, GridOrStack, cells_from_array, content_of, look_up
from .headers import Header, arrays_in, undamaged
from .palettes import Palette
from .paths import ARRAYS, WRITTEN_ARRAYS, atomic_write, kind_of, readable

PART = 64  # grids of a stack, or rows, that are in memory at once
BYTES_A_CELL = 32  # while numbers become cells: arrays of 64 bits
CHUNKS_AT_ONCE = 10  # that zarr decodes
NONSENSE_BYTES, NONSENSE_RATIO = 2**31, 1000  # cells of a compressed file that are both are a claim, not a file
SIDE = "side"  # the array of side maps
RESULTS = {"fill", "samples", "marginals", "log_prob_bits"}  # what `fill` writes into an npz file


@dataclass(frozen=True, eq=False)
class Stack:
    """Grids of one size in an array file, read by parts; its length is how many there are.

    Parameters
    ----------
    path
        The file.
    array
        The array (n, height, width), as `read_array` opens it in parts. Of an npy or zarr file it stays on disk until
        parts of it are read; of an npz file it is in memory.
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
            return look_up(self._content(part, names), self.palette, names=names)[0]

    @cached_property
    def dtype(self) -> np.dtype:
        """Type of its numbers."""
        return self.array[:1].dtype

    @cached_property
    def in_values(self) -> bool:
        """Whether its numbers are values of the palette, as `symbols_from_values` tells; it may read all grids."""
        with about(self.path):
            starts = range(0, len(self), PART) if self.palette.values else ()
            return any(self._content(slice(start, start + PART)).in_values for start in starts)

    def _content(self, part: slice, names: Sequence[str] = ()) -> Content:
        return content_of(self.array[part], self.palette, STACK_AXES, names)


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
        if kind_of(path) is not ARRAYS:
            return False
        with undamaged():
            return len(_headers(path)[0].shape) == 3


def read_array(path: Path, in_parts: bool = False) -> Any:
    """Read the array of cells in a file, whatever its shape.

    Parameters
    ----------
    path
        An npy, npz or zarr file. In one with several arrays it is the one named "cells", or the "fill" among results of
        `gridcloze fill`; an array "hidden" of the same shape, of bools or integers, is True or not zero where cells
        are hidden.
    in_parts
        Leave the array of an npy or zarr file on disk until parts of it are taken. By default all of it is read.

    Returns
    -------
    array
        Of NumPy, masked where hidden; in parts an object with `shape` and `ndim` that gives such arrays for slices.

    Raises
    ------
    InputError
        When the file is damaged, holds no numbers or no cells, does not say which array has the cells, or its array is
        larger than memory or than its file can be.

    Examples
    --------
    >>> np.savez("puzzle.npz", cells=[[7, 1]], hidden=[[True, False]])
    >>> read_array(Path("puzzle.npz"))
    masked_array(data=[[--, 1]],
                 mask=[[ True, False]], ...)
    """
    with undamaged():
        headers = _headers(path)
        for header in headers:
            _refuse_too_large(header, in_parts)
        array = _Parts(headers[0].shape, *(header.load() for header in headers))
    return array if in_parts else array[...]


def read_side(path: Path, shape: tuple[int, ...]) -> Any:
    """Open the side maps of a stack.

    Parameters
    ----------
    path
        The npy, npz or zarr file of the stack.
    shape
        Of its grids (n, height, width).

    Returns
    -------
    object or None
        Gives arrays (n, height, width, channel) for slices; None if the file has no array "side".

    Raises
    ------
    InputError
        When the file is damaged, or the array has other axes.

    Examples
    --------
    >>> np.savez("stack.npz", cells=[[[0, 1]]], side=[[[[2], [7]]]])
    >>> read_side(Path("stack.npz"), (1, 1, 2))[:].ravel()
    array([2, 7])
    """
    with undamaged():
        arrays = arrays_in(path)
        if SIDE not in arrays:
            return None
        header = arrays[SIDE]()
        if header.shape[:-1] != shape or len(header.shape) != 4:
            raise InputError(f"its array 'side' {header.shape} does not fit: it is (n height width channel) of {shape}")
        _refuse_too_large(header, in_parts=True)
        return _Parts(header.shape, header.load())


def _headers(path: Path) -> list[Header]:
    """Those of the cells and, if the file has such an array, of what hides some of them."""
    arrays = arrays_in(path)
    names = [name for name in arrays if name not in ("hidden", SIDE)] or list(arrays)
    if not names:
        raise InputError("it holds no array of numbers")
    name = next((name for name in names if name == "cells"), "fill" if set(names) >= RESULTS else names[0])
    if len(names) > 1 and name not in ("cells", "fill"):
        some = f"{sorted(names)[:5]}{' and others' * (len(names) > 5)}"
        raise InputError(f"it holds the arrays {some}; name one of them 'cells', or keep a single one")
    cells = arrays[name]()
    if "hidden" not in arrays or "hidden" in names:
        return [cells]
    hidden = arrays["hidden"]()
    if hidden.dtype.kind not in "biu" or hidden.shape != cells.shape:
        raise InputError(f"'hidden' must be an array of bool in the shape of the cells, {cells.shape}")
    return [cells, hidden]


def _refuse_too_large(header: Header, in_parts: bool) -> None:
    """The one limit of arrays, for which only their headers are read."""
    shape, n_cells = header.shape, prod(header.shape)
    if not n_cells:
        raise InputError(f"shape {shape} has no cells")
    n_bytes = n_cells * BYTES_A_CELL // (-(-shape[0] // PART) if in_parts and shape else 1)
    if header.chunk:
        claimed = 8 * max(n_cells, prod(header.chunk))
        if claimed > max(NONSENSE_BYTES, NONSENSE_RATIO * header.stored):
            of_chunks = f" in chunks of {header.chunk}" if header.chunk != shape else ""
            raise InputError(f"it claims shape {shape}{of_chunks} and has {in_words(header.stored)}; save it anew")
        n_chunks = prod(-(-length // side) for length, side in zip(shape, header.chunk, strict=True))
        n_bytes += min(n_chunks, CHUNKS_AT_ONCE) * prod(header.chunk) * header.dtype.itemsize
    refuse_beyond_memory(n_bytes, f"reading an array of shape {shape}")


@dataclass(frozen=True, eq=False)
class _Parts:
    """An array of which parts are read when they are taken, masked where another array hides them."""

    shape: tuple[int, ...]
    cells: Any
    hidden: Any = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, part: Any) -> np.ndarray:
        with undamaged():
            cells = np.array(self.cells[part])  # of a file that is mapped into memory a copy: it may be written anew
            return cells if self.hidden is None else np.ma.array(cells, mask=np.asarray(self.hidden[part]) != 0)


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


def save_array(path: Path, cells: GridOrStack, dtype: np.dtype | None = None) -> None:
    """Save cells, with no check; `write_stack` and `write_grid` check.

    Parameters
    ----------
    path
        An npy file, or an npz file, in which the array gets the name "cells".
    cells
        A grid or a stack.
    dtype
        Of the file, if it has room for them; by default int16, or wider.

    Examples
    --------
    >>> save_array(Path("grid.npy"), np.array([[0, 1]]))
    >>> np.load("grid.npy")
    array([[0, 1]], dtype=int16)
    """
    save = np.save if path.suffix.lower() == ".npy" else lambda file, cells: np.savez_compressed(file, cells=cells)
    with path.open("wb") as file:  # to a path, NumPy would append a suffix of its own
        save(file, cells.astype(type_for(cells, dtype)))


def type_for(numbers: np.ndarray, dtype: np.dtype | None = None) -> np.dtype:
    """Choose a type for whole numbers.

    Parameters
    ----------
    numbers
        The numbers.
    dtype
        The type that is wanted.

    Returns
    -------
    dtype
        This type, if it has room for them; otherwise int16, or a wider one if they need it.

    Examples
    --------
    >>> [type_for(np.array([11, most]), np.dtype(np.uint8)) for most in (95, 300)]
    [dtype('uint8'), dtype('int32')]
    """
    ends = [int(numbers.min()), int(numbers.max())]
    with np.errstate(all="ignore"):
        if dtype is not None and np.array(ends).astype(dtype).tolist() == ends:
            return dtype
    return np.result_type(np.int16, *map(np.min_scalar_type, ends))


def stacked(grids: Any) -> np.ndarray:
    """Make one array of grids in lists, in which cells stay masked.

    Parameters
    ----------
    grids
        An array, or what can be made one: lists of arrays, of lists or of numbers. Some may be masked arrays.

    Returns
    -------
    array
        Masked if any of them is.

    Raises
    ------
    InputError
        When the grids have different sizes, or are no array.

    Examples
    --------
    >>> masked = np.ma.array([[0, 1]], mask=[[False, True]])
    >>> stacked([[[1, 0]], masked])
    masked_array(
      data=[[[1, 0]],
            [[0, --]]], ...)
    """
    if np.ma.isMaskedArray(grids):
        return grids
    if (nodata := nodata_of(grids)) is not None:
        return np.ma.masked_equal(np.asarray(grids), nodata)
    with undamaged("these are no numbers in grids of one size"):
        return np.ma.stack([stacked(grid) for grid in grids]) if _has_mask(grids) else np.asarray(grids)


def nodata_of(array: Any) -> Any:
    """Find which value means that nothing is known.

    Parameters
    ----------
    array
        A DataArray of xarray, or any other array.

    Returns
    -------
    number or None
        Its `_FillValue`, in the attributes or in the encoding; None if there is none, or it is NaN.

    Examples
    --------
    >>> nodata_of(np.zeros((2, 2)))
    """
    notes = {**getattr(array, "encoding", {}), **getattr(array, "attrs", {})}
    value = notes.get("_FillValue")
    return None if value is None or value != value else value


def _has_mask(grids: Any) -> bool:
    return (
        np.ma.isMaskedArray(grids)
        or nodata_of(grids) is not None
        or (isinstance(grids, list | tuple) and any(map(_has_mask, grids)))
    )
