"""Side maps in files: GeoTIFF files on the grid of a map, pictures and arrays next to grids, arrays in stacks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..shapes import AnySizeGrid, Cells, OneGrid
from ..side import Channel, Side, check_names
from ..words import InputError, about
from . import maps, png
from .arrays import is_stack, read_array, read_side
from .grids import grid_files
from .paths import ARRAYS, MAPS, PICTURES, is_folder, kind_of, readable

NONE = ["none"]  # fills as if side maps were unknown


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
        If two have the same name, or "none" is one of several.

    Examples
    --------
    >>> named_sides(["dem/elevation.tif", "year:classes=maps/2013.tif"])
    {'elevation': PosixPath('dem/elevation.tif'), 'year:classes': PosixPath('maps/2013.tif')}
    """
    if list(given) == NONE:
        return {}
    sides: dict[str, Path] = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or Path(one).exists():
            name, path = Path(one).stem, one
        if one in NONE:
            raise InputError("--side none stands for all side maps: leave out the others")
        if name in sides:
            raise InputError(f"{sides[name]} and {path} are both side maps named {name}: name one, as in NAME={path}")
        sides[name] = Path(path)
    return sides


@dataclass(frozen=True, eq=False)
class OpenSides:
    """Side maps of a grid or of a stack, of which parts are read when they are taken.

    Parameters
    ----------
    read
        Gives an array of 32-bit floats with a last axis for the maps, NaN where unknown: for rows and columns of a
        grid, or for grids of a stack.
    integers
        Whether each file has integers.

    Examples
    --------
    >>> OpenSides(lambda part: np.zeros((4, 5, 2), np.float32)[part], [False, False])[:2, :3].shape
    (2, 3, 2)
    """

    read: Callable[[Any], np.ndarray]
    integers: Sequence[bool]

    def __getitem__(self, part: Any) -> np.ndarray:
        return self.read(part)


@contextmanager
def open_sides(
    given: Sequence[str], grid: Path, shape: tuple[int, ...], channels: Sequence[Channel] | None = None
) -> Iterator[OpenSides | None]:
    """Open the side maps of a grid or of a stack, for a training or for a model.

    Parameters
    ----------
    given
        As `named_sides` takes them, a file or a folder with a file of the name of the grid for each map; ["none"] for
        unknown ones. Those of a stack are the array "side" in its file, and only their names are given.
    grid
        The file; if it is a map, side maps must lie on its grid.
    shape
        Of the grid, in cells; of a stack (n, height, width).
    channels
        The side maps of the model; None in training.

    Yields
    ------
    OpenSides or None
        None if there are none.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, holds no numbers, or has another size or place; if they are not those
        of the model.

    Examples
    --------
    >>> np.save("depth.npy", [[0.5, 1.5]])
    >>> with open_sides(["depth.npy"], Path("grid.npy"), (1, 2)) as opened:
    ...     opened[:, 1:].ravel()
    array([1.5], dtype=float32)
    """
    named, is_unknown = named_sides(given), list(given) == NONE
    if channels is not None and (named or (is_unknown and not channels)):
        check_names(list(named) or ["none"], channels)
    with ExitStack() as stack:
        if is_unknown and channels:
            unknown = np.broadcast_to(np.float32(np.nan), (*shape, len(channels)))
            yield OpenSides(unknown.__getitem__, [])
        elif len(shape) == 3:
            with about(grid):
                if any(path.suffix or path.exists() for path in named.values()):
                    raise InputError("the side maps of a stack are its array 'side', and --side only names them")
                side = None if channels == () else read_side(grid, shape)
            integers = [] if side is None else [side[:1].dtype.kind in "biu"] * side.shape[-1]
            yield side and OpenSides(lambda part: side[part].astype(np.float32), integers)
        elif named:
            layers = [_layer(_file_for(path, grid), grid, shape, stack) for path in named.values()]
            yield OpenSides(
                lambda part: np.stack([np.ma.filled(one[part].astype(np.float32), np.nan) for one in layers], axis=-1),
                [one.dtype.kind in "biu" for one in layers],
            )
        else:
            yield None


def _file_for(path: Path, grid: Path) -> Path:
    """The file itself or, in a parallel folder, the file of that name."""
    if not is_folder(path):
        return path
    there = [file for suffix in MAPS + PICTURES + ARRAYS if (file := path / f"{grid.stem}{suffix}").exists()]
    if len(there) != 1:
        raise InputError(f"{path}: it has {len(there)} side maps for {grid.name}, and one of that name is needed")
    return there[0]


def _layer(path: Path, grid: Path, size: tuple[int, ...], stack: ExitStack) -> Any:
    """An array (height, width) that may be masked, or something that gives parts of one."""
    if maps.is_map(grid):
        return stack.enter_context(maps.open_side_map(path, grid))
    with readable(path, PICTURES + ARRAYS):
        if kind_of(path) is PICTURES:
            colours = png.pixel_colours(png.read_image(path))
            red, green, blue = (colours >> shift & 255 for shift in (24, 16, 8))
            if ((red != green) | (green != blue)).any():
                raise InputError("a side map is a picture of grey values; save numbers of colours as an array (.npy)")
            values = np.ma.masked_where(colours & 255 == 0, red)
        else:
            values = read_array(path)
        scale = values.shape[0] // size[0] if values.ndim == 2 else 0
        if not scale or values.shape != (scale * size[0], scale * size[1]):
            found = " by ".join(map(str, values.shape))
            raise InputError(f"it is {found} and the grid {size[0]} by {size[1]} cells; both need the same size")
        return values[::scale, ::scale]


def read_sides(
    given: Sequence[str], path: Path, grids: Sequence[AnySizeGrid] | Cells, channels: Sequence[Channel] | None = None
) -> tuple[list[np.ndarray], list[bool]] | None:
    """Read the side maps of all grids in a file or folder.

    Parameters
    ----------
    given, channels
        As `open_sides` takes them.
    path
        A grid, a map, a stack, or a folder of grids or maps.
    grids
        What was read there, in that order.

    Returns
    -------
    values : list of arrays
        For each grid, (height, width, channel).
    integers : list of bool
        Whether all files of a map have integers.

    Raises
    ------
    InputError
        As `open_sides`.

    Examples
    --------
    >>> np.save("grid.npy", [[0, 1]])
    >>> np.save("depth.npy", [[0.5, 1.5]])
    >>> values, integers = read_sides(["depth.npy"], Path("grid.npy"), [np.array([[0, 1]])])
    >>> values[0].shape, integers
    ((1, 2, 1), [False])
    """
    if not is_folder(path) and not maps.is_map(path) and is_stack(path):
        files, shapes = [path], [(len(grids), *grids[0].shape)]
    else:
        files = (maps.map_files(path) or grid_files(path)) if is_folder(path) else [path]
        shapes = [grid.shape for grid in grids]
    values, integers = list[np.ndarray](), list[Sequence[bool]]()
    for file, shape in zip(files, shapes, strict=True):
        with open_sides(given, file, shape, channels) as opened:
            if opened is None:
                return None
            whole = opened[:, :]
            values += [whole] if whole.ndim == 3 else list(whole)
            integers.append(opened.integers)
    return values, [all(of_map) for of_map in zip(*integers, strict=True)]


def read_side_of(path: Path, cells: OneGrid, given: Sequence[str], channels: Sequence[Channel]) -> Side | None:
    """Read the side maps of one grid for a model.

    Parameters
    ----------
    path
        The file of the grid.
    cells
        The grid.
    given, channels
        As `open_sides` takes them.

    Returns
    -------
    Side or None
        (1, height, width, channel), as `with_side` takes them; None if there are none.

    Raises
    ------
    InputError
        As `open_sides`.

    Examples
    --------
    >>> read_side_of(Path("grid.png"), np.zeros((4, 4), int), ["none"], [Channel("depth")]).shape
    (1, 4, 4, 1)
    """
    with open_sides(given, path, cells.shape, channels) as opened:
        return None if opened is None else opened[:, :][None]
