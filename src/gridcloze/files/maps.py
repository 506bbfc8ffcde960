"""Categorical maps in GeoTIFF files: read whole for training, filled by rows, and written back as they came.

rasterio is an extra: it is imported when a file is opened, not before.
"""

import os
import sys
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from ..memory import refuse_beyond_memory
from ..shapes import AnySizeGrid, Cells, OneGrid
from ..words import HIDDEN, AnyPath, InputError, about
from .codes import class_palette, symbols_of
from .grids import read_flags
from .palettes import MAX_SYMBOLS, Palette
from .paths import ARRAYS, MAPS, PICTURES, SUFFIXES, atomic_write, is_folder, readable

if TYPE_CHECKING:
    import rasterio.io

CELLS_AT_ONCE = 2**20
BYTES_A_CELL = 32  # while rows are read: values, masks and symbols
MOST_BYTES_OF_BLOCK = 2**30
MOST_BYTES_OF_NOTES = 2**26
RESOLUTION_TOLERANCE = 0.01
NAMED_VALUES = 5
FEW = 0.01  # of the visible cells may have a class that a model never saw without being asked about
Values = Num[np.ndarray, "rows width"]
Flags = Bool[np.ndarray, "rows width"]


class Resolution(NamedTuple):
    """Say how large a pixel is on the ground.

    Parameters
    ----------
    height, width
        In the unit.
    unit
        Of the coordinate system, such as "metre" or "degree".

    Examples
    --------
    >>> print(Resolution(30.0, 30.0, "metre"))
    30 by 30 metre
    """

    height: float
    width: float
    unit: str

    def __str__(self) -> str:
        return f"{self.height:g} by {self.width:g} {self.unit}"


def resolution_warning(trained: Resolution | None, found: Resolution | None) -> str | None:
    """Warn when a map has pixels of another size than those that a model was trained on.

    Parameters
    ----------
    trained
        The resolution of the training map; None if it is unknown.
    found
        The resolution of the map to be filled; None if it is unknown.

    Returns
    -------
    str, or None
        One line if both are known and differ by more than 1 % or in their unit; otherwise None.

    Examples
    --------
    >>> resolution_warning(Resolution(30.0, 30.0, "metre"), Resolution(10.0, 10.0, "metre"))
    'pixels are 10 by 10 metre, but the model was trained on 30 by 30 metre: the sizes that it learned do not apply'
    """
    if trained is None or found is None:
        return None
    is_close = np.isclose(found[:2], trained[:2], rtol=RESOLUTION_TOLERANCE, atol=0).all()
    if is_close and trained.unit == found.unit:
        return None
    return f"pixels are {found}, but the model was trained on {trained}: the sizes that it learned do not apply"


def unseen_warning(unseen: Mapping[int | float, int]) -> str:
    """Say which values were taken as hidden because a model never saw them.

    Parameters
    ----------
    unseen
        How many cells have each value, as `OpenMap.unseen` says.

    Returns
    -------
    str
        One line, which names five values at most; empty if there are none.

    Examples
    --------
    >>> unseen_warning({52: 7, 90: 1})
    '8 cells have a class that the model never saw, 52 (7 cells), 90 (1 cell): hidden from it, and kept'
    """
    return f"{_of_unseen_classes(unseen)}: hidden from it, and kept" if unseen else ""


def _of_unseen_classes(unseen: Mapping[int | float, int]) -> str:
    each = [f"{value:g} ({n} cell{'s' * (n != 1)})" for value, n in unseen.items()]
    named = ", ".join(each[:NAMED_VALUES]) + f" and {len(each) - NAMED_VALUES} more" * (len(each) > NAMED_VALUES)
    n_cells = sum(unseen.values())
    have = "cell has" if n_cells == 1 else "cells have"
    return f"{n_cells} {have} a class that the model never saw, {named}"


def is_map(path: AnyPath) -> bool:
    """Tell whether the name of a file is that of a GeoTIFF.

    Parameters
    ----------
    path
        A file name; the file need not exist.

    Returns
    -------
    bool
        True if it ends in .tif or .tiff.

    Examples
    --------
    >>> is_map("cover.TIF"), is_map("cover.png")
    (True, False)
    """
    return Path(path).suffix.lower() in MAPS


# Rasters


@dataclass(frozen=True, eq=False)
class _Raster:
    """The first band of a file, like an array (height, width) whose rows are read when they are taken.

    `flags` is an array, or like one, that is not zero where cells are to be filled; None if the file itself says that.
    """

    path: Path
    dataset: "rasterio.io.DatasetReader"
    flags: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.dataset.shape

    def __getitem__(self, rows: slice) -> Shaped[np.ndarray, "rows width"]:
        with about(self.path), _reported():
            return self.dataset.read(1, window=self._window(rows))

    def read_values(self, start: int, stop: int) -> tuple[Values, Flags]:
        """Read rows as they are in the file, and where its nodata, alpha or mask say that nothing is known."""
        rows = slice(start, stop)
        with about(self.path), _reported():
            empty = self.dataset.read_masks(1, window=self._window(rows)) == 0
        values = self[rows]
        return values, empty | np.isnan(values)

    def to_fill(self, start: int, stop: int, empty: Flags) -> Flags:
        """Where cells are to be filled: where the flags say so, whatever the file has there, or where it is empty."""
        return empty if self.flags is None else np.asarray(self.flags[start:stop]) != 0

    def read_hidden(self, start: int, stop: int) -> tuple[Values, Flags]:
        """Read rows as they are in the file, and where a model may not see them."""
        values, empty = self.read_values(start, stop)
        return values, empty | self.to_fill(start, stop, empty)

    @property
    def is_masked(self) -> bool:
        """Whether an alpha band or a mask says what is hidden, and not a value."""
        return any(flag.name == "per_dataset" for flag in self.dataset.mask_flag_enums[0])

    def _window(self, rows: slice) -> tuple[tuple[int, int], tuple[int, int]]:
        return (rows.start, rows.stop), (0, self.shape[1])

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Start and stop of blocks of rows that fit well into memory."""
        height, width = self.shape
        rows = max(1, CELLS_AT_ONCE // width)
        return ((start, min(start + rows, height)) for start in range(0, height, rows))


@contextmanager
def _reported(wrong: str = "damaged, or not a GeoTIFF") -> Iterator[None]:
    """Turn whatever rasterio and GDAL raise into InputError, with no other word on stderr."""
    hooks = sys.excepthook, sys.unraisablehook
    sys.excepthook = sys.unraisablehook = lambda *_: None  # rasterio cannot log what is not UTF-8, and says so there
    try:
        yield
    except (InputError, ImportError):
        raise
    except Exception as error:
        raise InputError(f"{wrong} ({' '.join(str(error.__cause__ or error).split())})") from None
    finally:
        sys.excepthook, sys.unraisablehook = hooks


@contextmanager
def _silent() -> Iterator[None]:
    """Keep from stderr what libtiff writes there by itself when a disk is full."""
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _open(path: Path, mode: str = "r", **options: Any) -> Any:
    """Open a dataset of rasterio; files without coordinates are welcome."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # absolute: no name of a file is a name of GDAL's
        return rasterio.open(path.absolute(), mode, driver="GTiff", **options)


# Reading

LARGEST_CLASS = 2**53  # up to which floats are exact


@dataclass(frozen=True, eq=False)
class WholeMap:
    """Hold all cells of a map.

    Parameters
    ----------
    cells
        The symbols (height, width) as int16, since maps are large; HIDDEN where hidden.
    palette
        Names, colours and raster values of the symbols.
    resolution
        The size of a pixel; None if the file has no coordinate system.
    unseen
        How many cells have each of the values that were taken as hidden since they are no class of the palette.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> cover = read_map("cover.tif")
    >>> cover.palette.values, cover.resolution
    ((11, 41), None)
    """

    cells: OneGrid
    palette: Palette
    resolution: Resolution | None
    unseen: Mapping[int | float, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OpenMap:
    """Read a map by rows, so that it need not fit into memory; `open_map` makes it.

    Parameters
    ----------
    raster
        The open file.
    palette
        Names, colours and raster values of the symbols.
    unseen
        How many cells have each of the values that are no class of the palette, and count as hidden; they stay in the
        result as they are. If None, such values are refused.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> with open_map("cover.tif", Palette.default(2), hidden="clouds.npy") as source:
    ...     (source.height, source.width), source.resolution
    ((1, 3), None)
    """

    raster: _Raster
    palette: Palette
    unseen: Mapping[int | float, int] | None = None

    @property
    def height(self) -> int:
        """Of the map, in cells."""
        return self.raster.shape[0]

    @property
    def width(self) -> int:
        """Of the map, in cells."""
        return self.raster.shape[1]

    @property
    def resolution(self) -> Resolution | None:
        """The size of a pixel; None if the file has no coordinate system, or one without a unit."""
        with about(self.raster.path), _reported():
            crs, (width, height) = self.raster.dataset.crs, self.raster.dataset.res
            if crs is None or not np.isfinite([width, height]).all():
                return None
            return Resolution(height, width, crs.units_factor[0])

    def read_rows(self, start: int, stop: int) -> Int[np.ndarray, "rows width"]:
        """Read some rows.

        Parameters
        ----------
        start, stop
            Their numbers, from start up to but without stop.

        Returns
        -------
        array of int
            The symbols (rows, width), HIDDEN where hidden.

        Raises
        ------
        InputError
            When the file is damaged there, or a visible cell has the value of no symbol; names the cell.
        """
        values, cells, unseen = self._read(start, stop)
        if unseen.any() and self.unseen is None:
            row, column = map(int, np.unravel_index(unseen.argmax(), unseen.shape))
            where = f"row {start + row}, column {column} (counted from 0)"
            classes = ", ".join(map(str, self.palette.raster_values))
            raise InputError(f"{self.raster.path}: {where}: {values[row, column]} is not one of the classes {classes}")
        return cells

    def unseen_in(self, start: int, stop: int) -> Flags:
        """Tell where some rows have visible values that are no class of the palette.

        Parameters
        ----------
        start, stop
            As for `read_rows`.

        Returns
        -------
        array of bool
            True there.
        """
        return self._read(start, stop)[2]

    def _read(self, start: int, stop: int) -> tuple[Values, Int[np.ndarray, "rows width"], Flags]:
        """The values of some rows, their symbols, and where a visible value is no class of the palette."""
        values, hidden = self.raster.read_hidden(start, stop)
        cells = np.where(hidden, HIDDEN, symbols_of(values, self.palette.raster_values))
        return values, cells, (cells == HIDDEN) & ~hidden


def read_map(
    path: AnyPath, palette: Palette | None = None, hidden: AnyPath = "auto", most_unseen: float = 0.0
) -> WholeMap:
    """Read a whole map.

    Parameters
    ----------
    path
        A GeoTIFF with one band of whole numbers. Its nodata value, its alpha band or its mask say which cells are
        hidden, and so does NaN.
    palette
        The symbols and their raster values; by default the symbols are the values that occur, in order, with the
        colours of the file's table if each has its own.
    hidden
        A second file of the same size, a GeoTIFF, picture or array, that is not zero where further cells are hidden;
        "auto" for none.
    most_unseen
        The share of the visible cells that may have values that are no class of the palette; these cells count as
        hidden.

    Returns
    -------
    WholeMap
        Cells, palette and resolution.

    Raises
    ------
    InputError
        When a file cannot be read or does not fit, or is larger than memory; names the file and, where it can, the
        cell.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> read_map("cover.tif", hidden="clouds.npy").cells
    array([[ 0,  1, -1]], dtype=int16)
    """
    with _opened(path, hidden) as raster:
        _refuse_beyond_memory([raster])
        return _read_whole(raster, palette or _palette_in([raster]), most_unseen)


def _read_whole(raster: _Raster, palette: Palette, most_unseen: float = 0.0) -> WholeMap:
    source = OpenMap(raster, palette, _unseen(raster, palette, most_unseen))
    cells = np.empty(raster.shape, np.int16)
    for start, stop in raster.blocks():
        cells[start:stop] = source.read_rows(start, stop)
    return WholeMap(cells, palette, source.resolution, source.unseen or {})


def _unseen(raster: _Raster, palette: Palette, most_unseen: float) -> dict[int | float, int] | None:
    """Count the visible cells of each value that is no class; None if there must be none."""
    if most_unseen == 0:
        return None
    source, counts, n_visible = OpenMap(raster, palette), Counter[int | float](), 0
    for start, stop in raster.blocks():
        values, cells, unseen = source._read(start, stop)
        n_visible += int((cells != HIDDEN).sum() + unseen.sum())
        for value, n in zip(*np.unique(values[unseen], return_counts=True), strict=True):
            counts[value.item()] += int(n)
        _refuse_many(counts, raster.path)
    if counts.total() > most_unseen * n_visible:
        ways = "use another model, or --hide-unseen, which hides them from it"
        raise InputError(f"{raster.path}: {_of_unseen_classes(dict(counts.most_common()))}; {ways}")
    return dict(counts.most_common())


def map_size(path: AnyPath) -> tuple[int, int]:
    """Read how large a map is.

    Parameters
    ----------
    path
        A GeoTIFF.

    Returns
    -------
    tuple of int
        Height and width in cells.

    Raises
    ------
    InputError
        As for `read_map`.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> map_size("cover.tif")
    (1, 3)
    """
    with _opened(path, "auto") as raster:
        return raster.shape


def map_files(folder: AnyPath) -> list[Path]:
    """Find the GeoTIFFs in a folder.

    Parameters
    ----------
    folder
        The folder. Folders in it and files whose names begin with a dot are passed over.

    Returns
    -------
    list
        The files in order of their names; empty if there are none, or `folder` is a file.

    Raises
    ------
    InputError
        When there are grids of other kinds, too.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> map_files(".")
    [...Path('cover.tif')]
    """
    inside = sorted(Path(folder).iterdir()) if is_folder(folder) else []
    files = [path for path in inside if not path.name.startswith(".") and not is_folder(path)]
    maps = [path for path in files if is_map(path)]
    other = next((path.name for path in files if path.suffix.lower() in SUFFIXES), None)
    if maps and other:
        raise InputError(f"{folder}: {maps[0].name} and {other} are of different kinds; keep one kind in a folder")
    return maps


def read_maps(
    paths: Sequence[Path], palette: Palette | None = None
) -> tuple[list[AnySizeGrid], Palette, Resolution | None]:
    """Read the tiles of one map, or several maps with the same classes.

    Parameters
    ----------
    paths
        GeoTIFFs, as for `read_map`.
    palette
        As for `read_map`; by default made of the values in all of them. Colours of tables count only where those of
        all files agree.

    Returns
    -------
    cells
        Those of each map, as int16.
    palette
        The palette that was given or made.
    resolution
        Of those that have one; None if none has.

    Raises
    ------
    InputError
        As for `read_map`, and when two maps have pixels of different sizes.

    Examples
    --------
    >>> from PIL import Image
    >>> for name, values in (("west.tif", [[11, 41]]), ("east.tif", [[21, 41, 41]])):
    ...     Image.fromarray(np.array(values, np.uint8)).save(name)
    >>> cells, palette, resolution = read_maps([Path("west.tif"), Path("east.tif")])
    >>> [one.tolist() for one in cells], palette.values
    ([[[0, 2]], [[1, 2, 2]]], (11, 21, 41))
    """
    with ExitStack() as stack:
        rasters = [stack.enter_context(_opened(path, "auto")) for path in paths]
        _refuse_beyond_memory(rasters)
        palette = palette or _palette_in(rasters)
        known = [
            (path, found)
            for path, raster in zip(paths, rasters, strict=True)
            if (found := OpenMap(raster, palette).resolution)
        ]
        for path, resolution in known[1:]:
            if resolution_warning(known[0][1], resolution):
                sizes = f"{known[0][0].name} has pixels of {known[0][1]} and {path.name} of {resolution}"
                raise InputError(f"{sizes}; learn from maps of one resolution (gdalwarp -tr changes it)")
        cells = [_read_whole(raster, palette).cells for raster in rasters]
    return cells, palette, known[0][1] if known else None


@contextmanager
def open_map(path: AnyPath, palette: Palette, hidden: AnyPath = "auto", most_unseen: float = 0.0) -> Iterator[OpenMap]:
    """Open a map that is to be filled, which need not fit into memory.

    Parameters
    ----------
    path
        A GeoTIFF with one band of whole numbers.
    palette
        The symbols and their raster values.
    hidden
        "auto" to fill what the file hides. Or a second file, as for `read_map`: then only the cells that it names are
        filled, and what else is hidden in the map stays as it is.
    most_unseen
        As for `read_map`; the values stay in the result as they are.

    Yields
    ------
    OpenMap
        The map, read by rows until the `with` statement ends.

    Raises
    ------
    InputError
        When a file cannot be read or does not fit, when nothing says which cells are hidden, and when a symbol could
        not be written back.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> cover = Palette(((70, 107, 159, 255), (28, 95, 44, 255)), "WF", names=("water", "forest"), values=(11, 41))
    >>> with open_map("cover.tif", cover, hidden="clouds.npy") as source:
    ...     source.read_rows(0, 1)
    array([[ 0,  1, -1]])
    """
    with _opened(path, hidden) as raster:
        with about(path), _reported():
            _refuse_unfillable(raster, palette)
        yield OpenMap(raster, palette, _unseen(raster, palette, most_unseen))


def files_of(path: AnyPath) -> list[Path]:
    """Find all files that a map consists of.

    Parameters
    ----------
    path
        A GeoTIFF.

    Returns
    -------
    list
        The file itself and those next to it that belong to it, such as a mask (.msk) or notes (.aux.xml).

    Raises
    ------
    InputError
        As for `read_map`.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> _ = Path("cover.tif.aux.xml").write_text("<PAMDataset/>")
    >>> [path.name for path in files_of("cover.tif")]
    ['cover.tif', 'cover.tif.aux.xml']
    """
    with _opened_raster(path) as raster, about(path), _reported():
        return [Path(file) for file in raster.dataset.files]


@contextmanager
def open_side_map(path: AnyPath, like: AnyPath) -> Iterator["SideMap"]:
    """Open a side map that lies on the grid of a map.

    Parameters
    ----------
    path
        A GeoTIFF of one band, of classes or of numbers.
    like
        The map.

    Yields
    ------
    SideMap
        Its windows are read when they are taken.

    Raises
    ------
    InputError
        If it cannot be read, or has another size, coordinate system, place or resolution than the map.

    Examples
    --------
    >>> import rasterio
    >>> place = rasterio.Affine(9, 0, 0, 0, -9, 0)
    >>> options = {"height": 1, "width": 2, "count": 1, "dtype": "float32", "transform": place}
    >>> for name in ("map.tif", "depth.tif"):
    ...     with rasterio.open(name, "w", driver="GTiff", **options) as file:
    ...         file.write(np.float32([[[0.5, 1.5]]]))
    >>> with open_side_map("depth.tif", "map.tif") as side:
    ...     side[0:1, 1:2]
    array([[1.5]], dtype=float32)
    """
    with _opened_raster(path) as raster, _opened_raster(like) as of_map:
        with about(path), _reported():
            _refuse_bands(raster.dataset, "a side map")
            _refuse_other_grid(raster.dataset, of_map.dataset)
        yield SideMap(raster)


@dataclass(frozen=True, eq=False)
class SideMap:
    """The numbers in a GeoTIFF, like an array (height, width), NaN where nothing is known.

    Parameters
    ----------
    raster
        The file.

    Examples
    --------
    `open_side_map` makes one:

    >>> sorted(SideMap.__dataclass_fields__)
    ['raster']
    """

    raster: _Raster

    @property
    def dtype(self) -> np.dtype:
        """Of the values in the file."""
        return np.dtype(self.raster.dataset.dtypes[0])

    def __getitem__(self, window: tuple[slice, slice]) -> Float[np.ndarray, "rows columns"]:
        of_file = tuple(axis.indices(length)[:2] for axis, length in zip(window, self.raster.shape, strict=True))
        with about(self.raster.path), _reported():
            values = self.raster.dataset.read(1, window=of_file).astype(np.float32)
            empty = self.raster.dataset.read_masks(1, window=of_file) == 0
        return np.where(empty, np.float32(np.nan), values)


def _refuse_other_grid(side: "rasterio.io.DatasetReader", like: "rasterio.io.DatasetReader") -> None:
    (height, width), bounds = like.shape, like.bounds
    pixel = max(map(abs, like.res))
    is_there = side.shape == like.shape and np.allclose(side.transform, like.transform, rtol=1e-6, atol=1e-3 * pixel)
    if is_there and side.crs == like.crs:
        return
    what = "another coordinate system" if side.crs != like.crs else "another extent or resolution"
    extent = " ".join(f"{value:.15g}" for value in (bounds.left, bounds.bottom, bounds.right, bounds.top))
    crs = f"-t_srs {like.crs.to_string()} " if like.crs else ""
    name = Path(side.name)
    warp = f"gdalwarp {crs}-te {extent} -ts {width} {height} -r near {name} {name.stem}-aligned.tif"
    raise InputError(f"it has {what} than the map, {Path(like.name).name}; align it: {warp} (-r bilinear for numbers)")


@contextmanager
def _opened(path: AnyPath, hidden: AnyPath) -> Iterator[_Raster]:
    with ExitStack() as stack:
        raster = stack.enter_context(_opened_raster(path))
        with about(path), _reported():
            _refuse_bands(raster.dataset)
        if str(hidden) != "auto":
            if is_map(hidden):
                flags = stack.enter_context(_opened_raster(hidden))
            else:
                with readable(hidden, MAPS + PICTURES + ARRAYS) as file:
                    flags = read_flags(file)
            if flags.shape != raster.shape:
                sizes = [" by ".join(map(str, each.shape)) for each in (flags, raster)]
                raise InputError(f"{hidden}: it is {sizes[0]} and the map {sizes[1]}; both need the same size")
            raster = replace(raster, flags=flags)
        yield raster


@contextmanager
def _opened_raster(path: AnyPath) -> Iterator[_Raster]:
    with readable(path, MAPS), _reported():
        _refuse_sidecars(Path(path))
        dataset = _open(Path(path))
    with dataset:
        with about(path), _reported():
            _refuse_layout(dataset)
        yield _Raster(Path(path), dataset)


def _refuse_sidecars(path: Path) -> None:
    """Refuse masks and overviews of other formats, which could name files anywhere, and notes without end."""
    beginnings = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    name = path.name.lower()
    for file in path.parent.iterdir():
        if file.name.lower().startswith(name[: -len(path.suffix)] + ".") and not (file.is_file() or file.is_dir()):
            raise InputError(f"{file.name} next to it is a pipe or a device; remove it")
        if file.name.lower() in (f"{name}.msk", f"{name}.ovr") and file.is_file():
            with file.open("rb") as opened:
                if opened.read(4) not in beginnings:
                    raise InputError(f"{file.name} next to it is not a TIFF; remove it")
        elif file.name.lower() == f"{name}.aux.xml" and file.stat().st_size > MOST_BYTES_OF_NOTES:
            raise InputError(f"{file.name} next to it has more than {MOST_BYTES_OF_NOTES >> 20} MiB; remove it")


def _refuse_layout(dataset: "rasterio.io.DatasetReader") -> None:
    if dataset.subdatasets:
        pages = f"it has {len(dataset.subdatasets)} pages, and a map is one"
        raise InputError(f"{pages} (take one by gdal_translate GTIFF_DIR:1:FILE page1.tif)")
    if "OVERVIEWS" in dataset.tag_namespaces():
        raise InputError("its metadata name another file as its overviews; remove them (gdal_translate -nomd)")
    block, width = dataset.block_shapes[0], dataset.width
    if block[0] * block[1] * np.dtype(dataset.dtypes[0]).itemsize > MOST_BYTES_OF_BLOCK:
        size = f"its blocks of {block[0]} by {block[1]} cells are more than {MOST_BYTES_OF_BLOCK >> 30} GiB each"
        raise InputError(f"{size}; write it in tiles (gdal_translate -co TILED=YES)")
    refuse_beyond_memory(BYTES_A_CELL * width, f"reading one row of {width} cells")


def _refuse_beyond_memory(rasters: Sequence[_Raster]) -> None:
    n_cells = sum(height * width for height, width in (raster.shape for raster in rasters))
    name = rasters[0].path if len(rasters) == 1 else f"all maps in {rasters[0].path.parent}"
    refuse_beyond_memory(np.dtype(np.int16).itemsize * n_cells, f"reading {name}, {n_cells} cells,")


def _refuse_bands(dataset: "rasterio.io.DatasetReader", what: str = "a map of classes") -> None:
    is_alpha = [interpretation.name == "alpha" for interpretation in dataset.colorinterp]
    if is_alpha.count(False) != 1 or is_alpha[0]:
        raise InputError(f"it has {dataset.count} bands; {what} has one (take it by gdal_translate -b 1)")
    if dataset.dtypes[0].startswith("complex"):
        raise InputError(f"values of type {dataset.dtypes[0]} are not classes; use integers (gdal_translate -ot Int16)")


def _palette_in(rasters: Sequence[_Raster]) -> Palette:
    """Make a symbol of each value that occurs; the colours are those of the files if each symbol has its own."""
    classes, colours = set[int](), dict[int, set[tuple[int, int, int, int]]]()
    for raster in rasters:
        for start, stop in raster.blocks():
            classes |= _classes_in(raster, start, stop)
            _refuse_many(classes, raster.path)
        with about(raster.path), _reported():
            table_of_file = _colour_table(raster.dataset)
        for value, colour in table_of_file.items():
            colours.setdefault(value, set()).add(colour)
    in_order = sorted(classes)
    with about(rasters[0].path if len(rasters) == 1 else rasters[0].path.parent):
        palette = replace(class_palette(in_order), values=tuple(in_order))
    table = [colour for value in in_order for colour in colours.get(value, ())]
    return replace(palette, colours=tuple(table)) if len(table) == len(set(table)) == len(classes) else palette


def _classes_in(raster: _Raster, start: int, stop: int) -> set[int]:
    values, hidden = raster.read_hidden(start, stop)
    classes = np.unique(values[~hidden])
    is_class = (classes == np.rint(classes)) & (np.abs(classes.astype(np.float64)) <= LARGEST_CLASS)
    if values.dtype.kind == "f" and not is_class.all():
        wrong = f"{classes[~is_class][0]:g} is not a whole number, so not a class"
        raise InputError(f"{raster.path}: {wrong}; if it means no data, say so (gdal_edit.py -a_nodata VALUE FILE)")
    return set(map(int, classes.tolist()))


def _refuse_many(values: Any, path: Path) -> None:
    if len(values) > MAX_SYMBOLS:
        raise InputError(f"{path}: more than {MAX_SYMBOLS} different values; use a map of fewer classes")


def _colour_table(dataset: "rasterio.io.DatasetReader") -> Mapping[int, tuple[int, int, int, int]]:
    try:
        return dataset.colormap(1)
    except ValueError:  # it has none
        return {}


def _refuse_unfillable(raster: _Raster, palette: Palette) -> None:
    dataset, dtype = raster.dataset, np.dtype(raster.dataset.dtypes[0])
    says_nothing = [flag.name for flag in dataset.mask_flag_enums[0]] == ["all_valid"] and dtype.kind != "f"
    if raster.flags is None and says_nothing:
        ways = "set a nodata value (gdal_edit.py -a_nodata VALUE FILE) or name a second file (--hidden clouds.tif)"
        raise InputError(f"nothing says which cells are hidden; {ways}")
    if dataset.nodata in palette.raster_values:
        twice = f"{dataset.nodata:g} is its nodata value and a class of the model"
        raise InputError(f"{twice}; if it is a class in this file, too, unset it (gdal_edit.py -unsetnodata FILE)")
    outside = [value for value in palette.raster_values if not _has_room(dtype, value)]
    if outside:
        room = f"its type {dtype} has no room for class {outside[0]} of the model"
        raise InputError(f"{room}; convert it (gdal_translate -ot Int32)")


def _has_room(dtype: np.dtype, value: int) -> bool:
    if dtype.kind == "f":
        return abs(value) <= LARGEST_CLASS and int(dtype.type(value)) == value
    return np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


# Writing

KEPT = ("dtype", "nodata", "tiled", "blockxsize", "blockysize", "interleave")
OF_ONE_FILE = ("IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "RPC")  # tags that are written otherwise, or not true any more
LOSSLESS = ("lzw", "deflate", "packbits", "zstd", "lzma")  # and good for any integers
FIRST_BAND = "PAMRasterBand[@band='1']"
NAMES_OF_CLASSES = ("CategoryNames", "GDALRasterAttributeTable")
PIXEL_COUNT = "1"  # a usage of columns of attribute tables
UNCERTAINTY = ("probability of the class", "entropy in bits")
NO_PERCENT = 255
PERCENT = {"dtype": "uint8", "nodata": NO_PERCENT, "compress": "deflate", "tiled": True, "interleave": "band"}
THINNED = 512  # rows and columns of a map that a picture shows
CAN_HAVE_COLOURS = ("uint8", "uint16")  # of the types, in a TIFF


@dataclass(frozen=True, eq=False)
class _GrowingMap:
    """A file that is written by rows."""

    path: Path  # what it is called when it is complete
    dataset: "rasterio.io.DatasetWriter"
    checksums: dict[tuple[int, int], int]  # of rows, by their start and stop

    def write(self, start: int, rows: Shaped[np.ndarray, "band rows width"], unknown: Flags | None = None) -> None:
        """Write rows; a mask hides what stays unknown."""
        stop = start + rows.shape[1]
        rows, window = np.ascontiguousarray(rows, self.dataset.dtypes[0]), ((start, stop), (0, rows.shape[2]))
        with about(self.path), _reported("cannot be written"), _silent():
            self.dataset.write(rows, window=window)
            if unknown is not None:
                import rasterio

                with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                    self.dataset.write_mask(~unknown, window=window)
        self.checksums[start, stop] = crc32(rows.data)


@dataclass(eq=False)
class MapWriter:
    """Write the results of a map by rows; `write_maps` makes it.

    Parameters
    ----------
    source
        The map that is filled.
    filled, uncertainty, samples, probabilities
        The files that grow; no fill, samples or probabilities if None.

    Attributes
    ----------
    n_filled
        How many cells of the rows so far were to be filled.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[0, 1, 0]], np.uint8)).save("map.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> with open_map("map.tif", Palette.default(2), hidden="clouds.npy") as source:
    ...     with write_maps(source, Path("filled.tif"), Path("uncertainty.tif")) as writer:
    ...         cells, certain = np.array([[1, 1, 1]]), np.ones((1, 3))
    ...         writer.write_rows(0, cells, certain, 0 * certain, cells[:0, None])
    >>> read_map("filled.tif").cells  # visible cells stay as they were
    array([[0, 1, 1]], dtype=int16)
    """

    source: OpenMap
    filled: _GrowingMap | None
    uncertainty: _GrowingMap
    samples: _GrowingMap | None = None
    probabilities: _GrowingMap | None = None
    n_filled: int = field(default=0, init=False)

    def write_rows(
        self,
        start: int,
        cells: Int[np.ndarray, "rows width"] | None,
        probability: Float[np.ndarray, "rows width"],
        entropy: Float[np.ndarray, "rows width"],
        samples: Int[np.ndarray, "sample rows width"],
        marginals: Float[np.ndarray, "rows width symbol"] | None = None,
    ) -> None:
        """Write the results of some rows; what is not to be filled is written as it is in the source.

        Where a cell stays unknown, its probability and entropy are written as NaN.

        Parameters
        ----------
        start
            The number of the first row.
        cells
            The symbol of each cell; not used if no fill is written.
        probability
            The probability of that symbol.
        entropy
            The entropy of each cell's distribution, in bits.
        samples
            The symbols of each sample (sample, rows, width); not used if no samples are written.
        marginals
            The probability of each symbol; needed only if probabilities are written.
        """
        raster, stop = self.source.raster, start + len(probability)
        values, empty = raster.read_values(start, stop)
        to_fill = raster.to_fill(start, stop, empty)
        self.n_filled += int(to_fill.sum())
        symbols, mask = np.array(self.source.palette.raster_values, values.dtype), None
        uncertainty = np.stack([probability, entropy])
        percent = None if marginals is None else np.rint(100 * np.moveaxis(marginals, -1, 0))
        if self.source.unseen:  # the model did not see these cells, but they are known
            unseen = self.source.unseen_in(start, stop) & ~to_fill
            uncertainty = np.where(unseen, np.array([1.0, 0.0])[:, None, None], uncertainty)
            percent = None if percent is None else np.where(unseen, 0, percent)
        if raster.flags is not None:
            unknown = empty & ~to_fill
            uncertainty = np.where(unknown, np.nan, uncertainty)
            percent = None if percent is None else np.where(unknown, NO_PERCENT, percent)
            mask = unknown if raster.is_masked else None
        if self.filled is not None and cells is not None:
            self.filled.write(start, np.where(to_fill, symbols[cells], values)[None], mask)
        self.uncertainty.write(start, uncertainty)
        if self.samples is not None:
            self.samples.write(start, np.where(to_fill, symbols[samples], values), mask)
        if self.probabilities is not None and percent is not None:
            self.probabilities.write(start, percent)


@contextmanager
def write_maps(
    source: OpenMap,
    filled: Path | None,
    uncertainty: Path,
    samples: Path | None = None,
    n_samples: int = 0,
    probabilities: Path | None = None,
) -> Iterator[MapWriter]:
    """Write the results of a map into GeoTIFFs, all of them whole or none.

    Parameters
    ----------
    source
        The map that is filled.
    filled
        A file like the source: coordinate system, control points, type, colours, class names, scale, unit, compression,
        tiles, nodata and tags are the same. There is no alpha band, and a mask only where cells stay unknown. None for
        no such file.
    uncertainty
        A file with two bands: the probability of the class, and the entropy in bits. Both are NaN where a cell stays
        unknown.
    samples
        A file with a band for each sample, without colours, which TIFF has for one band only; None for no such file.
    n_samples
        How many samples.
    probabilities
        A file with a band for each symbol: its probability in percent, as whole numbers, 255 where a cell stays
        unknown; None for no such file.

    Yields
    ------
    MapWriter
        Takes the results by rows. The files appear when the `with` statement ends.

    Raises
    ------
    InputError
        When a file cannot be written, or the disk is full; there are then no new files.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[0, 1, 0]], np.uint8)).save("map.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> with open_map("map.tif", Palette.default(2), hidden="clouds.npy") as source:
    ...     with write_maps(source, Path("filled.tif"), Path("uncertainty.tif")) as writer:
    ...         raise InputError("stopped half way")
    Traceback (most recent call last):
    gridcloze.words.InputError: stopped half way
    >>> Path("filled.tif").exists()
    False
    """
    dataset = source.raster.dataset
    with about(source.raster.path), _reported():
        like_source, position = _profile_like(dataset)
    floats = {"dtype": "float32", "compress": "deflate", "predictor": 3, "tiled": True}
    if source.raster.flags is not None:
        floats["nodata"] = np.nan  # what is unknown, and not to be filled
    profiles = {
        filled: like_source | {"count": 1},
        uncertainty: position | floats | {"count": len(UNCERTAINTY)},
        samples: like_source | {"count": n_samples, "photometric": "minisblack"},
        probabilities: position | PERCENT | {"count": source.palette.n_symbols},
    }
    with ExitStack() as stack:
        partials = {path: stack.enter_context(_with_notes(path)) for path in profiles if path is not None}
        if filled is not None:
            stack.callback(_name_classes, source.raster.path, partials[filled])  # when the files are closed
        files: dict[Path | None, _GrowingMap] = {
            path: stack.enter_context(_growing(path, partial, **profiles[path])) for path, partial in partials.items()
        }
        with about(filled or uncertainty), _reported("cannot be written"):
            if filled is not None:
                _describe_like(dataset, files[filled].dataset)
            files[uncertainty].dataset.descriptions = UNCERTAINTY
            if probabilities is not None:
                files[probabilities].dataset.descriptions = _classes_of(source.palette)
                files[probabilities].dataset.units = ("%",) * source.palette.n_symbols
        yield MapWriter(source, files.get(filled), files[uncertainty], files.get(samples), files.get(probabilities))


def read_thinned(
    source: OpenMap, filled: Path | None, samples: Path | None, probabilities: Path, most_samples: int
) -> tuple[Cells, dict[str, np.ndarray]]:
    """Read a map and its results as small grids for a picture: every nth row and column of a large one.

    Parameters
    ----------
    source
        The map that was filled.
    filled, samples, probabilities
        What `write_maps` wrote.
    most_samples
        How many samples are read at most.

    Returns
    -------
    puzzle : Cells
        With a leading axis of one grid; HIDDEN also where a cell has no class of the palette.
    results : dict
        Of such a grid: "fill" and "samples" if there are such files, and "marginals" as far as whole percents tell
        them, NaN where a cell stays unknown.

    Raises
    ------
    InputError
        When a file is damaged.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[0, 1, 0]], np.uint8)).save("map.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> with open_map("map.tif", Palette.default(2), hidden="clouds.npy") as source:
    ...     paths = [Path("filled.tif"), Path("uncertainty.tif")]
    ...     with write_maps(source, *paths, probabilities=Path("probabilities.tif")) as writer:
    ...         cells, certain = np.array([[1, 1, 1]]), np.ones((1, 3))
    ...         writer.write_rows(0, cells, certain, 0 * certain, cells[:0, None], np.full((1, 3, 2), 0.5))
    ...     puzzle, results = read_thinned(source, paths[0], None, Path("probabilities.tif"), 0)
    >>> puzzle, results["fill"], results["marginals"][0, 0, 2]
    (array([[[ 0,  1, -1]]]), array([[[0, 1, 1]]]), array([0.5, 0.5]))
    """
    rows, columns = (np.arange(0, length, -(-length // THINNED)) for length in (source.height, source.width))
    puzzle = np.stack([source.read_rows(row, row + 1)[0, columns] for row in rows.tolist()])
    values = source.palette.raster_values
    results = {} if filled is None else {"fill": symbols_of(_thinned(filled, [1], rows, columns), values)}
    if samples is not None:
        with _opened_raster(samples) as raster:
            bands = list(range(1, min(raster.dataset.count, most_samples) + 1))
        results["samples"] = symbols_of(_thinned(samples, bands, rows, columns), values)[None]
    percent = _thinned(probabilities, list(range(1, source.palette.n_symbols + 1)), rows, columns)
    marginals = np.where(percent == NO_PERCENT, np.nan, percent / 100)
    return puzzle[None], results | {"marginals": np.moveaxis(marginals, 0, -1)[None]}


def _thinned(
    path: Path, bands: list[int], rows: Int[np.ndarray, " row"], columns: Int[np.ndarray, " column"]
) -> Num[np.ndarray, "band row column"]:
    with _opened_raster(path) as raster, about(path), _reported():
        windows = [((row, row + 1), (0, raster.shape[1])) for row in rows.tolist()]
        return np.stack([raster.dataset.read(bands, window=window)[:, 0, columns] for window in windows], axis=1)


def _classes_of(palette: Palette) -> tuple[str, ...]:
    """The value of each class in a file, with its name if it has one."""
    names = palette.names or [""] * palette.n_symbols
    return tuple(f"{value} {name}".strip() for value, name in zip(palette.raster_values, names, strict=True))


def write_each_sample(source: OpenMap, samples: Path, paths: Sequence[Path]) -> None:
    """Write each band of a file of samples as a file of its own, with the colours that a file of one band can have.

    Parameters
    ----------
    source
        The map that was filled.
    samples
        What `write_maps` wrote.
    paths
        A file for each sample. It is like the source, also in its colours; if that has none and its type can have
        some, they are those of the palette.

    Raises
    ------
    InputError
        When a file cannot be written, or the disk is full.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[0, 1, 0]], np.uint8)).save("map.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> with open_map("map.tif", Palette.default(2), hidden="clouds.npy") as source:
    ...     with write_maps(source, Path("filled.tif"), Path("uncertainty.tif"), Path("samples.tif"), 2) as writer:
    ...         cells, certain = np.array([[1, 1, 1]]), np.ones((1, 3))
    ...         writer.write_rows(0, cells, certain, 0 * certain, np.stack([cells, 0 * cells]))
    ...     write_each_sample(source, Path("samples.tif"), [Path("sample-1.tif"), Path("sample-2.tif")])
    >>> read_map("sample-1.tif").cells, read_map("sample-2.tif").cells
    (array([[0, 1, 1]], dtype=int16), array([[0, 1, 0]], dtype=int16))
    """
    dataset, palette = source.raster.dataset, source.palette
    with about(source.raster.path), _reported():
        profile = _profile_like(dataset)[0] | {"count": 1}
        has_mask = source.raster.flags is not None and source.raster.is_masked
        has_colours = bool(_colour_table(dataset)) or profile["dtype"] not in CAN_HAVE_COLOURS
    with _opened_raster(samples) as bands:
        for band, path in enumerate(paths, start=1):
            with ExitStack() as stack:
                partial = stack.enter_context(_with_notes(path))
                stack.callback(_name_classes, source.raster.path, partial)  # when the file is closed
                growing = stack.enter_context(_growing(path, partial, **profile))
                with about(path), _reported("cannot be written"):
                    _describe_like(dataset, growing.dataset)
                    if not has_colours:
                        table = dict(zip(palette.raster_values, palette.colours, strict=True))
                        growing.dataset.write_colormap(1, table)
                for start, stop in bands.blocks():
                    with about(samples), _reported():
                        window = ((start, stop), (0, source.width))
                        rows = bands.dataset.read([band], window=window)
                        unknown = bands.dataset.read_masks(band, window=window) == 0 if has_mask else None
                    growing.write(start, rows, unknown)


def optimise(path: Path) -> None:
    """Turn a GeoTIFF into a cloud-optimised one, in tiles and with overviews, in its place.

    Parameters
    ----------
    path
        The file. Overviews of whole numbers show one of the cells that they stand for, others their mean.

    Raises
    ------
    InputError
        When the disk is full.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.zeros((600, 600), np.uint8)).save("map.tif")
    >>> optimise(Path("map.tif"))
    >>> read_map("map.tif").cells.shape
    (600, 600)
    """
    import rasterio.shutil

    optimised = path.with_name(f"cog-{path.name}")
    with about(path), _reported("cannot be written"), _silent():
        with _open(path) as dataset:
            resampling = "nearest" if np.dtype(dataset.dtypes[0]).kind in "iu" else "average"
        options = {"COMPRESS": "DEFLATE", "OVERVIEW_RESAMPLING": resampling, "BIGTIFF": "IF_SAFER"}
        rasterio.shutil.copy(path.absolute(), optimised.absolute(), driver="COG", **options)
        os.replace(optimised, path)
        Path(f"{optimised}.aux.xml").unlink(missing_ok=True)


@contextmanager
def _growing(path: Path, partial: Path, **profile: Any) -> Iterator[_GrowingMap]:
    """Read all rows again once they are written, since GDAL does not report a full disk when it closes a file."""
    with about(path), _reported("cannot be written"):
        opened = _open(partial, "w", **profile)
    growing = _GrowingMap(path, opened, {})
    try:
        yield growing
    finally:
        with _silent():
            opened.close()
    with about(path), _reported("could not be written"), _open(partial) as dataset:
        for (start, stop), expected in growing.checksums.items():
            if crc32(dataset.read(window=((start, stop), (0, dataset.width)))) != expected:
                raise InputError("could not be written as a whole; is the disk full?")


@contextmanager
def _with_notes(path: Path) -> Iterator[Path]:
    """Write whole or not at all, with the notes that GDAL puts next to a file for what TIFF has no room for."""
    with atomic_write(path) as partial:
        notes, new_notes = (Path(f"{file}.aux.xml") for file in (path, partial))
        try:
            yield partial
            notes.unlink(missing_ok=True)  # on the file that was there before
            if new_notes.exists():
                new_notes.rename(notes)
        finally:
            new_notes.unlink(missing_ok=True)


def _profile_like(dataset: "rasterio.io.DatasetReader") -> tuple[dict[str, Any], dict[str, Any]]:
    """What makes a new file like an existing one, except for a compression that would change values; and its place."""
    position: dict[str, Any] = {"height": dataset.height, "width": dataset.width, "BIGTIFF": "IF_SAFER"}
    points, system_of_points = dataset.gcps
    if points:
        from rasterio.crs import CRS

        position |= {"gcps": points, "crs": system_of_points or CRS()}
    else:
        position |= {"transform": dataset.transform, "crs": dataset.crs}
    if dataset.rpcs:
        position["rpcs"] = dataset.rpcs
    profile = {name: dataset.profile[name] for name in KEPT}
    compression = dataset.profile.get("compress")
    if compression is not None:
        profile["compress"] = compression if compression in LOSSLESS else "deflate"
        profile["predictor"] = dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", 1)
    return profile | position, position


def _describe_like(source: "rasterio.io.DatasetReader", target: "rasterio.io.DatasetWriter") -> None:
    statistics = "STATISTICS_"  # of the values before the fill
    for band in (0, 1):
        for namespace in (None, *source.tag_namespaces(band)):
            tags = source.tags(band, ns=namespace)
            if namespace and namespace.startswith("xml:"):  # one text; rasterio joins a name and its tag by "="
                tags = dict([tags[namespace].split("=", 1)]) if "=" in tags[namespace] else {}
            if namespace not in OF_ONE_FILE:
                kept = {name: text for name, text in tags.items() if not (band and name.startswith(statistics))}
                target.update_tags(band, ns=namespace, **kept)
    target.descriptions = source.descriptions[:1]
    for name, default in (("scales", 1.0), ("offsets", 0.0), ("units", None)):
        if (value := getattr(source, name)[0]) != default:
            setattr(target, name, (value,))
    if table := _colour_table(source):
        target.write_colormap(1, table)
    elif source.colorinterp[0] != target.colorinterp[0]:
        target.colorinterp = source.colorinterp[:1]


def _name_classes(source: Path, target: Path) -> None:
    """Copy the names of classes and the attribute table, for which TIFF has no room, to the notes of a new file."""
    of_source, of_target = (Path(f"{path}.aux.xml") for path in (source, target))
    described = None
    if of_source.is_file():
        with suppress(ET.ParseError):  # GDAL passes over such notes
            described = ET.parse(of_source).find(FIRST_BAND)
    named = [] if described is None else [one for one in described if one.tag in NAMES_OF_CLASSES]
    if named:
        notes = ET.parse(of_target).getroot() if of_target.exists() else ET.Element("PAMDataset")
        band = notes.find(FIRST_BAND)
        band = ET.SubElement(notes, "PAMRasterBand", band="1") if band is None else band
        for one in named:
            _drop_counts(one)
            band.append(one)
        ET.ElementTree(notes).write(of_target)


def _drop_counts(table: ET.Element) -> None:
    """Leave out the column of an attribute table that counts cells, which are others now."""
    columns = table.findall("FieldDefn")
    counts = [number for number, column in enumerate(columns) if column.findtext("Usage") == PIXEL_COUNT]
    for number in reversed(counts):
        table.remove(columns.pop(number))
        for row in table.findall("Row"):
            row.remove(row.findall("F")[number])
    for number, column in enumerate(columns):
        column.set("index", str(number))
