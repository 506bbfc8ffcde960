"""Arrays in npy, npz and zarr files, whole or by parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..words import AnyPath, InputError, about
from .codes import STACK_AXES, Content, GridOrStack, cells_from_array, look_up
from .palettes import Palette
from .paths import ARRAYS, WRITTEN_ARRAYS, ZARR, atomic_write, kind_of, readable


@dataclass(frozen=True, eq=False)
class Stack:
    """The grids (n, height, width) of an array file, read by parts; npy and zarr are never in memory as a whole."""

    path: Path
    array: Any  # of NumPy or zarr
    palette: Palette

    def __len__(self) -> int:
        return self.array.shape[0]

    def read(self, part: slice) -> GridOrStack:
        """The cells of some grids; InputError names the first one that does not fit."""
        with about(self.path):
            names = [f"grid {number}" for number in range(part.start, part.stop)]
            with _undamaged():
                array = self.array[part]
            cells = cells_from_array(array, STACK_AXES, names)
            return look_up(Content(ARRAYS, cells), self.palette, names=names)[0]


def open_stack(path: AnyPath, palette: Palette) -> Stack:
    """A stack to be read by parts. Raises InputError."""
    with readable(path, ARRAYS) as path:
        array = read_array(path, in_parts=True)
        if array.ndim != 3:
            raise InputError(f"shape {array.shape} is not ({STACK_AXES}), as needed here")
        return Stack(path, array, palette)


def is_stack(path: AnyPath) -> bool:
    """Whether a file holds an array of three dimensions. Raises InputError."""
    with readable(path) as path:
        return kind_of(path) is ARRAYS and read_array(path, in_parts=True).ndim == 3


def read_array(path: Path, in_parts: bool = False) -> Any:
    """The array in a file; with `in_parts` it may be one that is on disk until parts of it are taken."""
    arrays = _zarr_arrays(path) if path.suffix.lower() == ZARR else _numpy_arrays(path, in_parts)
    hidden = arrays.pop("hidden", None)
    if "cells" not in arrays and len(arrays) != 1:
        raise InputError(f"the arrays in it are {sorted(arrays)}; one named 'cells' is needed, or a single one")
    cells = arrays["cells"] if "cells" in arrays else arrays.popitem()[1]
    if hidden is not None and (hidden.dtype != bool or hidden.shape != cells.shape):
        raise InputError(f"'hidden' must be an array of bool and of the shape of the cells, {cells.shape}")
    with _undamaged():
        if hidden is not None:
            return np.ma.array(cells, mask=hidden)
        return cells if in_parts else cells[...]


def _numpy_arrays(path: Path, in_parts: bool) -> dict[str, Any]:
    with _undamaged():
        if in_parts and path.suffix.lower() == ".npy":
            return {"cells": np.lib.format.open_memmap(path, mode="r")}
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"cells": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)


def _zarr_arrays(path: Path) -> dict[str, Any]:
    import zarr  # an extra

    with _undamaged():
        found = zarr.open(path, mode="r")
        return {"cells": found} if isinstance(found, zarr.Array) else dict(found.arrays())


@contextmanager
def _undamaged() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # NumPy, zipfile and zarr report damage by many types
        raise InputError(f"damaged, or no array of numbers ({' '.join(str(error).split())})") from None


def write_stack(path: AnyPath, cells: np.ndarray) -> None:
    """Writes cells (n, height, width) to an npy or npz file. Raises InputError."""
    kind_of(Path(path), WRITTEN_ARRAYS)
    cells = cells_from_array(cells, STACK_AXES)
    with atomic_write(path) as partial:
        save_array(partial, cells)


def save_array(path: Path, cells: GridOrStack) -> None:
    save = np.save if path.suffix.lower() == ".npy" else lambda file, cells: np.savez_compressed(file, cells=cells)
    with path.open("wb") as file:  # to a path, NumPy would append a suffix of its own
        save(file, cells.astype(np.int16))
