"""Categorical maps in GeoTIFF files: read whole for training, filled by rows, and written back as they came.

rasterio is an extra: it is imported when a file is opened, not before.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped

from ..shapes import OneGrid
from ..words import HIDDEN, AnyPath, InputError, about
from .codes import symbols_of
from .grids import read_flags
from .palettes import MAX_SYMBOLS, Palette
from .paths import ARRAYS, MAPS, PICTURES, atomic_write, readable

if TYPE_CHECKING:
    import rasterio.io

CELLS_AT_ONCE = 2**20
RESOLUTION_TOLERANCE = 0.01
Values = Integer[np.ndarray, "rows width"]


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

    `flags` is an array, or like one, that is not zero where cells are hidden in addition to those that the file hides.
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

    def read_values(self, start: int, stop: int) -> tuple[Values, Bool[np.ndarray, "rows width"]]:
        """Read rows as they are in the file, and where its nodata, alpha or mask, or the flags, hide them."""
        rows = slice(start, stop)
        with about(self.path), _reported():
            hidden = self.dataset.read_masks(1, window=self._window(rows)) == 0
        if self.flags is not None:
            hidden |= np.asarray(self.flags[rows]) != 0
        return self[rows], hidden

    def _window(self, rows: slice) -> tuple[tuple[int, int], tuple[int, int]]:
        return (rows.start, rows.stop), (0, self.shape[1])

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Start and stop of blocks of rows that fit well into memory."""
        height, width = self.shape
        rows = max(1, CELLS_AT_ONCE // width)
        return ((start, min(start + rows, height)) for start in range(0, height, rows))


@contextmanager
def _reported(wrong: str = "damaged, or not a GeoTIFF") -> Iterator[None]:
    """Turn errors of rasterio into InputError."""
    from rasterio.errors import RasterioIOError

    try:
        yield
    except RasterioIOError as error:
        raise InputError(f"{wrong} ({' '.join(str(error.__cause__ or error).split())})") from None


def _open(path: Path, mode: str = "r", **options: Any) -> Any:
    """Open a dataset of rasterio; files without coordinates are welcome."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, driver="GTiff", **options)


# Reading

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


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


@dataclass(frozen=True, eq=False)
class OpenMap:
    """Read a map by rows, so that it need not fit into memory; `open_map` makes it.

    Parameters
    ----------
    raster
        The open file.
    palette
        Names, colours and raster values of the symbols.

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
        """The size of a pixel; None if the file has no coordinate system."""
        dataset = self.raster.dataset
        if dataset.crs is None:
            return None
        width, height = dataset.res
        return Resolution(height, width, dataset.crs.units_factor[0])

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
        values, hidden = self.raster.read_values(start, stop)
        cells = symbols_of(values, self.palette.raster_values)
        unknown = (cells == HIDDEN) & ~hidden
        if unknown.any():
            row, column = map(int, np.unravel_index(unknown.argmax(), unknown.shape))
            where = f"row {start + row}, column {column} (counted from 0)"
            classes = ", ".join(map(str, self.palette.raster_values))
            raise InputError(f"{self.raster.path}: {where}: {values[row, column]} is not one of the classes {classes}")
        return np.where(hidden, HIDDEN, cells)


def read_map(path: AnyPath, palette: Palette | None = None, hidden: AnyPath = "auto") -> WholeMap:
    """Read a whole map.

    Parameters
    ----------
    path
        A GeoTIFF with one band of integers. Its nodata value, its alpha band or its mask say which cells are hidden.
    palette
        The symbols and their raster values; by default the symbols are the values that occur, in order, with the
        colours of the file's table if each has its own.
    hidden
        A second file of the same size, a GeoTIFF, picture or array, that is not zero where further cells are hidden;
        "auto" for none.

    Returns
    -------
    WholeMap
        Cells, palette and resolution.

    Raises
    ------
    InputError
        When a file cannot be read or does not fit; names the file and, where it can, the cell.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.array([[11, 41, 11]], np.uint8)).save("cover.tif")
    >>> np.save("clouds.npy", [[0, 0, 1]])
    >>> read_map("cover.tif", hidden="clouds.npy").cells
    array([[ 0,  1, -1]], dtype=int16)
    """
    with _opened(path, palette, hidden) as source:
        cells = np.empty((source.height, source.width), np.int16)
        for start, stop in source.raster.blocks():
            cells[start:stop] = source.read_rows(start, stop)
        return WholeMap(cells, source.palette, source.resolution)


@contextmanager
def open_map(path: AnyPath, palette: Palette, hidden: AnyPath = "auto") -> Iterator[OpenMap]:
    """Open a map that is to be filled, which need not fit into memory.

    Parameters
    ----------
    path
        A GeoTIFF with one band of integers.
    palette
        The symbols and their raster values.
    hidden
        As for `read_map`.

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
    with _opened(path, palette, hidden) as source:
        with about(path):
            _refuse_unfillable(source)
        yield source


@contextmanager
def _opened(path: AnyPath, palette: Palette | None, hidden: AnyPath) -> Iterator[OpenMap]:
    with ExitStack() as stack:
        raster = stack.enter_context(_opened_raster(path))
        with about(path):
            _refuse_bands(raster.dataset)
        if str(hidden) != "auto":
            with readable(hidden, MAPS + PICTURES + ARRAYS) as file:
                flags = stack.enter_context(_opened_raster(file)) if is_map(file) else read_flags(file)
                if flags.shape != raster.shape:
                    sizes = [" by ".join(map(str, each.shape)) for each in (flags, raster)]
                    raise InputError(f"it is {sizes[0]} and the map {sizes[1]}; both need the same size")
            raster = replace(raster, flags=flags)
        yield OpenMap(raster, palette or _palette_in(raster))


@contextmanager
def _opened_raster(path: AnyPath) -> Iterator[_Raster]:
    with readable(path, MAPS), _reported():
        dataset = _open(Path(path))
    with dataset:
        yield _Raster(Path(path), dataset)


def _refuse_bands(dataset: "rasterio.io.DatasetReader") -> None:
    is_alpha = [interpretation.name == "alpha" for interpretation in dataset.colorinterp]
    if is_alpha.count(False) != 1 or is_alpha[0]:
        raise InputError(f"it has {dataset.count} bands; a map of classes has one (take it by gdal_translate -b 1)")
    if dataset.dtypes[0] not in INTEGERS:
        raise InputError(f"values of type {dataset.dtypes[0]} are not classes; use integers (gdal_translate -ot Int16)")


def _palette_in(raster: _Raster) -> Palette:
    """Make a symbol of each value that occurs; the colours are those of the file if each has its own."""
    classes: set[int] = set()
    for start, stop in raster.blocks():
        values, hidden = raster.read_values(start, stop)
        classes |= set(np.unique(values[~hidden]).tolist())
        if len(classes) > MAX_SYMBOLS:
            raise InputError(f"{raster.path}: more than {MAX_SYMBOLS} different values; use a map of fewer classes")
    in_order, table = sorted(classes), _colour_table(raster.dataset)
    colours = tuple(table[value] for value in in_order if value in table)
    with about(raster.path):
        palette = replace(Palette.default(len(classes)), values=tuple(in_order))
    return replace(palette, colours=colours) if len(set(colours)) == len(classes) else palette


def _colour_table(dataset: "rasterio.io.DatasetReader") -> Mapping[int, tuple[int, int, int, int]]:
    try:
        return dataset.colormap(1)
    except ValueError:  # it has none
        return {}


def _refuse_unfillable(source: OpenMap) -> None:
    dataset, values = source.raster.dataset, source.palette.raster_values
    if source.raster.flags is None and [flag.name for flag in dataset.mask_flag_enums[0]] == ["all_valid"]:
        ways = "set a nodata value (gdal_edit.py -a_nodata VALUE FILE) or name a second file (--hidden clouds.tif)"
        raise InputError(f"nothing says which cells are hidden; {ways}")
    if dataset.nodata in values:
        twice = f"{dataset.nodata:g} is its nodata value and a class of the model"
        raise InputError(f"{twice}; if it is a class in this file, too, unset it (gdal_edit.py -unsetnodata FILE)")
    limits = np.iinfo(dataset.dtypes[0])
    outside = [value for value in values if not limits.min <= value <= limits.max]
    if outside:
        room = f"its type {dataset.dtypes[0]} has no room for class {outside[0]} of the model"
        raise InputError(f"{room}; convert it (gdal_translate -ot Int32)")


# Writing

KEPT = ("crs", "transform", "dtype", "nodata", "tiled", "blockxsize", "blockysize", "interleave")
LOSSLESS = ("lzw", "deflate", "packbits", "zstd", "lzma")  # and good for any integers
UNCERTAINTY = ("probability of the class", "entropy in bits")


@dataclass(frozen=True, eq=False)
class _GrowingMap:
    """A file that is written by rows."""

    path: Path  # what it is called when it is complete
    dataset: "rasterio.io.DatasetWriter"
    checksums: dict[tuple[int, int], int]  # of rows, by their start and stop

    def write(self, start: int, rows: Shaped[np.ndarray, "band rows width"]) -> None:
        stop = start + rows.shape[1]
        rows = np.ascontiguousarray(rows, self.dataset.dtypes[0])
        with about(self.path), _reported("cannot be written"):
            self.dataset.write(rows, window=((start, stop), (0, rows.shape[2])))
        self.checksums[start, stop] = crc32(rows.data)


@dataclass(frozen=True, eq=False)
class MapWriter:
    """Write the results of a map by rows; `write_maps` makes it.

    Parameters
    ----------
    source
        The map that is filled.
    filled, uncertainty, samples
        The files that grow; no samples if None.

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
    filled: _GrowingMap
    uncertainty: _GrowingMap
    samples: _GrowingMap | None = None

    def write_rows(
        self,
        start: int,
        cells: Int[np.ndarray, "rows width"],
        probability: Float[np.ndarray, "rows width"],
        entropy: Float[np.ndarray, "rows width"],
        samples: Int[np.ndarray, "sample rows width"],
    ) -> None:
        """Write the results of some rows; visible cells are written as they are in the source.

        Parameters
        ----------
        start
            The number of the first row.
        cells
            The symbol of each cell.
        probability
            The probability of that symbol.
        entropy
            The entropy of each cell's distribution, in bits.
        samples
            The symbols of each sample (sample, rows, width); not used if no samples are written.
        """
        values, hidden = self.source.raster.read_values(start, start + len(cells))
        symbol_values = np.array(self.source.palette.raster_values, values.dtype)
        self.filled.write(start, np.where(hidden, symbol_values[cells], values)[None])
        self.uncertainty.write(start, np.stack([probability, entropy]))
        if self.samples is not None:
            self.samples.write(start, np.where(hidden, symbol_values[samples], values))


@contextmanager
def write_maps(
    source: OpenMap, filled: Path, uncertainty: Path, samples: Path | None = None, n_samples: int = 0
) -> Iterator[MapWriter]:
    """Write the results of a map into GeoTIFFs, all of them whole or none.

    Parameters
    ----------
    source
        The map that is filled.
    filled
        A file like the source: coordinate system, type, colours, compression, tiles, nodata and tags are the same, but
        there is no alpha band or mask.
    uncertainty
        A file with two bands: the probability of the class, and the entropy in bits.
    samples
        A file with a band for each sample, without colours, which TIFF has for one band only; None for no such file.
    n_samples
        How many samples.

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
    like_source = _profile_like(dataset)
    position = {name: like_source[name] for name in ("height", "width", "crs", "transform", "BIGTIFF")}
    floats = {"dtype": "float32", "compress": "deflate", "predictor": 3, "tiled": True}
    with ExitStack() as stack:
        paths = [path for path in (filled, uncertainty, samples) if path is not None]
        partials = [stack.enter_context(_with_notes(path)) for path in paths]
        profiles = [like_source | {"count": 1}, position | floats | {"count": len(UNCERTAINTY)}]
        if samples is not None:
            profiles.append(like_source | {"count": n_samples, "photometric": "minisblack"})
        files = [
            stack.enter_context(_growing(path, partial, **profile))
            for path, partial, profile in zip(paths, partials, profiles, strict=True)
        ]
        _describe_like(dataset, files[0].dataset)
        files[1].dataset.descriptions = UNCERTAINTY
        yield MapWriter(source, *files)


@contextmanager
def _growing(path: Path, partial: Path, **profile: Any) -> Iterator[_GrowingMap]:
    """Read all rows again once they are written, since GDAL does not report a full disk when it closes a file."""
    with _open(partial, "w", **profile) as dataset:
        growing = _GrowingMap(path, dataset, {})
        yield growing
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


def _profile_like(dataset: "rasterio.io.DatasetReader") -> dict[str, Any]:
    """What makes a new file like an existing one, except for a compression that would change values."""
    profile = {name: dataset.profile[name] for name in KEPT} | {"height": dataset.height, "width": dataset.width}
    compression = dataset.profile.get("compress")
    if compression is not None:
        profile["compress"] = compression if compression in LOSSLESS else "deflate"
        profile["predictor"] = dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", 1)
    return profile | {"BIGTIFF": "IF_SAFER"}


def _describe_like(source: "rasterio.io.DatasetReader", target: "rasterio.io.DatasetWriter") -> None:
    target.update_tags(**source.tags())
    statistics = "STATISTICS_"  # of the values before the fill
    target.update_tags(1, **{name: text for name, text in source.tags(1).items() if not name.startswith(statistics)})
    target.descriptions = source.descriptions[:1]
    if table := _colour_table(source):
        target.write_colormap(1, table)
