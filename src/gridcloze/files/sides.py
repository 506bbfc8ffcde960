"""Side maps in files: GeoTIFF files on the grid of a map, pictures and arrays next to grids, arrays in stacks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..words import AnyPath, InputError, about
from . import maps, png
from .arrays import read_array, read_side
from .paths import ARRAYS, MAPS, PICTURES, is_folder, kind_of, readable

NONE = "none"  # fills as if side maps were unknown
Window = tuple[slice, slice]


def named_sides(given: Sequence[str]) -> dict[str, Path]:
    """Name the side maps of a command.

    Parameters
    ----------
    given
        Files or folders, each as PATH or as NAME=PATH; by default the name is that of the file without its suffix.

    Returns
    -------
    dict
        Paths by name, in order; empty for the word "none".

    Raises
    ------
    InputError
        If two have the same name.

    Examples
    --------
    >>> named_sides(["dem/elevation.tif", "year=maps/2013.tif"])
    {'elevation': PosixPath('dem/elevation.tif'), 'year': PosixPath('maps/2013.tif')}
    """
    sides: dict[str, Path] = {}
    for one in [one for one in given if one != NONE]:
        name, equals, path = one.partition("=")
        if not equals or Path(one).exists():
            name, path = Path(one).stem, one
        if name in sides:
            raise InputError(f"{sides[name]} and {path} are both side maps named {name}: name one, as in NAME={path}")
        sides[name] = Path(path)
    return sides


@dataclass(frozen=True, eq=False)
class OpenSides:
    """Side maps of one grid, of which windows are read when they are taken.

    Parameters
    ----------
    layers
        One for each side map: an array (height, width), or something that gives parts of one.

    Examples
    --------
    >>> OpenSides([np.zeros((4, 5)), np.ones((4, 5))])[:2, :3].shape
    (2, 3, 2)
    """

    layers: Sequence[Any]

    def __getitem__(self, window: Window) -> Float[np.ndarray, "rows columns channel"]:
        return np.stack([layer[window] for layer in self.layers], axis=-1).astype(np.float32)


@contextmanager
def open_sides(sides: Mapping[str, Path], grid: Path, size: tuple[int, int]) -> Iterator[OpenSides]:
    """Open the side maps of a grid.

    Parameters
    ----------
    sides
        A file, or a folder with a file of the name of the grid, for each name.
    grid
        The file of the grid; if it is a map, side maps must lie on its grid.
    size
        Of the grid, in cells.

    Yields
    ------
    OpenSides
        NaN where a side map is unknown.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, holds no numbers, or has another size or place.

    Examples
    --------
    >>> np.save("depth.npy", [[0.5, 1.5]])
    >>> with open_sides({"depth": Path("depth.npy")}, Path("grid.npy"), (1, 2)) as opened:
    ...     opened[:, 1:].ravel()
    array([1.5], dtype=float32)
    """
    with ExitStack() as stack:
        layers: list[Any] = []
        for path in sides.values():
            file = _file_for(path, grid)
            if maps.is_map(grid):
                layers.append(stack.enter_context(maps.open_side_map(file, grid)))
            else:
                layers.append(_read(file, size))
        yield OpenSides(layers)


def _file_for(path: Path, grid: Path) -> Path:
    """The file itself or, in a parallel folder, the file of that name."""
    if not is_folder(path):
        return path
    found = [path / f"{grid.stem}{suffix}" for suffix in MAPS + PICTURES + ARRAYS]
    there = [file for file in found if file.exists()]
    if len(there) != 1:
        raise InputError(f"{path}: it has {len(there)} side maps for {grid.name}, and one of that name is needed")
    return there[0]


def _read(path: Path, size: tuple[int, int]) -> Float[np.ndarray, "height width"]:
    with readable(path, PICTURES + ARRAYS):
        if kind_of(path) is PICTURES:
            colours = png.pixel_colours(png.read_image(path))
            red, green, blue = (colours >> shift & 255 for shift in (24, 16, 8))
            if ((red != green) | (green != blue)).any():
                raise InputError("a side map is a picture of grey values; save numbers of colours as an array (.npy)")
            values = np.where(colours & 255, red, np.nan)
        else:
            array = read_array(path)
            values = np.ma.filled(array.astype(np.float64), np.nan)
        scale = values.shape[0] // size[0] if values.ndim == 2 else 0
        if not scale or values.shape != (scale * size[0], scale * size[1]):
            found = " by ".join(map(str, values.shape))
            raise InputError(f"it is {found} and the grid {size[0]} by {size[1]} cells; both need the same size")
        return values[::scale, ::scale].astype(np.float32)


def read_sides(
    sides: Mapping[str, Path], grids: Sequence[Path], sizes: Sequence[tuple[int, int]]
) -> list[Float[np.ndarray, "_height _width channel"]]:
    """Read the side maps of several grids.

    Parameters
    ----------
    sides
        As `open_sides` takes them; of several grids folders.
    grids, sizes
        The files of the grids and their sizes. A stack of grids in a file is one file, with an array "side" in it.

    Returns
    -------
    list of arrays
        For each grid, (height, width, channel).

    Raises
    ------
    InputError
        As `open_sides`.

    Examples
    --------
    >>> np.save("depth.npy", [[0.5, 1.5]])
    >>> read_sides({"depth": Path("depth.npy")}, [Path("grid.npy")], [(1, 2)])[0].shape
    (1, 2, 1)
    """
    whole = []
    for grid, size in zip(grids, sizes, strict=True):
        with open_sides(sides, grid, size) as opened:
            whole.append(opened[:, :])
    return whole


def side_in_stack(path: AnyPath, shape: tuple[int, ...], sides: Mapping[str, Path]) -> Any:
    """Open the array "side" of a stack.

    Parameters
    ----------
    path
        The file of the stack.
    shape
        Of its grids (n, height, width).
    sides
        What was given besides, which must be nothing.

    Returns
    -------
    object or None
        Gives arrays (n, height, width, channel) for slices; None if the file has no side maps.

    Raises
    ------
    InputError
        If it has another shape, or there are side maps besides.

    Examples
    --------
    >>> np.savez("stack.npz", cells=[[[0, 1]]], side=[[[[0.5], [1.5]]]])
    >>> side_in_stack("stack.npz", (1, 1, 2), {})[:].shape
    (1, 1, 2, 1)
    """
    with about(path):
        if sides:
            raise InputError("the side maps of a stack are an array 'side' in its file: leave out --side")
        return read_side(Path(path), shape)
