"""Categorical maps in GeoTIFF files: read whole to learn from, read by rows to be filled, and written as they came.

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
    """Height and width of a pixel, in a unit such as metre or degree."""

    height: float
    width: float
    unit: str

    def __str__(self) -> str:
        return f"{self.height:g} by {self.width:g} {self.unit}"


def resolution_warning(trained: Resolution | None, found: Resolution | None) -> str | None:
    """A line on pixels of another size than those that a model was trained on, if both are known and they differ."""
    if trained is None or found is None:
        return None
    is_close = np.isclose(found[:2], trained[:2], rtol=RESOLUTION_TOLERANCE, atol=0).all()
    if is_close and trained.unit == found.unit:
        return None
    return f"pixels of {found}, the model was trained on {trained}: what it learned of sizes does not hold"


def is_map(path: AnyPath) -> bool:
    """Whether the name of a file is that of a GeoTIFF."""
    return Path(path).suffix.lower() in MAPS


# Rasters


@dataclass(frozen=True, eq=False)
class _Raster:
    """The first band of a file, like an array (height, width) whose rows are read when they are taken.

    `flags` is an array, or like one, that is not zero where cells are hidden beside those that the file itself hides.
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
        """Rows as they are in the file, and where its nodata, alpha or mask, or the flags, hide them. InputError."""
        rows = slice(start, stop)
        with about(self.path), _reported():
            hidden = self.dataset.read_masks(1, window=self._window(rows)) == 0
        if self.flags is not None:
            hidden |= np.asarray(self.flags[rows]) != 0
        return self[rows], hidden

    def _window(self, rows: slice) -> tuple[tuple[int, int], tuple[int, int]]:
        return (rows.start, rows.stop), (0, self.shape[1])

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Rows from … to …, as many as fit well into memory, until all are through."""
        height, width = self.shape
        rows = max(1, CELLS_AT_ONCE // width)
        return ((start, min(start + rows, height)) for start in range(0, height, rows))


@contextmanager
def _reported(wrong: str = "damaged, or no GeoTIFF") -> Iterator[None]:
    """Errors of rasterio as InputError."""
    from rasterio.errors import RasterioIOError

    try:
        yield
    except RasterioIOError as error:
        raise InputError(f"{wrong} ({' '.join(str(error.__cause__ or error).split())})") from None


def _open(path: Path, mode: str = "r", **options: Any) -> Any:
    """A dataset of rasterio; files that say nothing of their place are welcome."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, driver="GTiff", **options)


# Reading

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
NOTHING_HIDDEN = (
    "nothing says which cells are hidden; give the file a nodata value (gdal_edit.py -a_nodata VALUE FILE), or a "
    "second file that is not zero where they are (--hidden clouds.tif)"
)


@dataclass(frozen=True, eq=False)
class WholeMap:
    """Cells as int16, for maps are large: the symbols of the palette, HIDDEN where the file has no data."""

    cells: Int[np.ndarray, "height width"]
    palette: Palette
    resolution: Resolution | None  # None if the file has no coordinate system


@dataclass(frozen=True, eq=False)
class OpenMap:
    """A map that is read by rows."""

    raster: _Raster
    palette: Palette

    @property
    def height(self) -> int:
        return self.raster.shape[0]

    @property
    def width(self) -> int:
        return self.raster.shape[1]

    @property
    def resolution(self) -> Resolution | None:
        dataset = self.raster.dataset
        if dataset.crs is None:
            return None
        width, height = dataset.res
        return Resolution(height, width, dataset.crs.units_factor[0])

    def read_rows(self, start: int, stop: int) -> Int[np.ndarray, "rows width"]:
        """The symbols of rows, HIDDEN where they are hidden. InputError names the first value that is no symbol's."""
        values, hidden = self.raster.read_values(start, stop)
        cells = symbols_of(values, self.palette.raster_values)
        unknown = (cells == HIDDEN) & ~hidden
        if unknown.any():
            row, column = map(int, np.unravel_index(unknown.argmax(), unknown.shape))
            where = f"row {start + row}, column {column} (counted from 0)"
            classes = ", ".join(map(str, self.palette.raster_values))
            raise InputError(f"{self.raster.path}: {where}: {values[row, column]} is none of the classes {classes}")
        return np.where(hidden, HIDDEN, cells)


def read_map(path: AnyPath, palette: Palette | None = None, hidden: AnyPath = "auto") -> WholeMap:
    """A whole map; without a palette its symbols are the values that occur, in order, with the colours of its table.

    Hidden are the cells that nodata, an alpha band or a mask of the file says, and those of the file `hidden`, which
    is not zero there. Raises InputError, naming the file and the place in it.
    """
    with _opened(path, palette, hidden) as source:
        cells = np.empty((source.height, source.width), np.int16)
        for start, stop in source.raster.blocks():
            cells[start:stop] = source.read_rows(start, stop)
        return WholeMap(cells, source.palette, source.resolution)


@contextmanager
def open_map(path: AnyPath, palette: Palette, hidden: AnyPath = "auto") -> Iterator[OpenMap]:
    """A map to be filled, which need not fit into memory; hidden as in `read_map`.

    Raises InputError, also if nothing says which cells are hidden, and if a symbol could not be written back.
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
            raster = replace(raster, flags=stack.enter_context(_opened_flags(hidden, raster.shape)))
        yield OpenMap(raster, palette or _palette_in(raster))


@contextmanager
def _opened_raster(path: AnyPath) -> Iterator[_Raster]:
    with readable(path, MAPS), _reported():
        dataset = _open(Path(path))
    with dataset:
        yield _Raster(Path(path), dataset)


@contextmanager
def _opened_flags(path: AnyPath, shape: tuple[int, int]) -> Iterator[Any]:
    with ExitStack() as stack:
        with readable(path, MAPS + PICTURES + ARRAYS) as file:
            flags = stack.enter_context(_opened_raster(file)) if is_map(file) else read_flags(file)
            if flags.shape != shape:
                sizes = [" by ".join(map(str, each)) for each in (flags.shape, shape)]
                raise InputError(f"it is {sizes[0]} and the map {sizes[1]}; both need the same size")
        yield flags


def _refuse_bands(dataset: "rasterio.io.DatasetReader") -> None:
    is_alpha = [interpretation.name == "alpha" for interpretation in dataset.colorinterp]
    if is_alpha.count(False) != 1 or is_alpha[0]:
        raise InputError(
            f"it has {dataset.count} bands; a map of classes has one (gdal_translate -b 1 takes the first)"
        )
    if dataset.dtypes[0] not in INTEGERS:
        raise InputError(
            f"values of type {dataset.dtypes[0]} are no classes; write classes as integers (gdal_translate -ot Int16)"
        )


def _palette_in(raster: _Raster) -> Palette:
    """A symbol for each value that occurs; the colours are those of the file if each has its own."""
    found: set[int] = set()
    for start, stop in raster.blocks():
        values, hidden = raster.read_values(start, stop)
        found |= set(np.unique(values[~hidden]).tolist())
        if len(found) > MAX_SYMBOLS:
            raise InputError(f"{raster.path}: more than {MAX_SYMBOLS} different values; these are no classes of a map")
    in_order, table = sorted(found), _colour_table(raster.dataset)
    colours = tuple(table[value] for value in in_order if value in table)
    with about(raster.path):
        palette = replace(Palette.default(len(found)), values=tuple(in_order))
    return replace(palette, colours=colours) if len(set(colours)) == len(found) else palette


def _colour_table(dataset: "rasterio.io.DatasetReader") -> Mapping[int, tuple[int, int, int, int]]:
    try:
        return dataset.colormap(1)
    except ValueError:  # it has none
        return {}


def _refuse_unfillable(source: OpenMap) -> None:
    dataset, values = source.raster.dataset, source.palette.raster_values
    if source.raster.flags is None and [flag.name for flag in dataset.mask_flag_enums[0]] == ["all_valid"]:
        raise InputError(NOTHING_HIDDEN)
    if dataset.nodata in values:
        raise InputError(
            f"{dataset.nodata:g} is its nodata value and a class of the model, so that cells filled with it would be "
            "hidden again; if it is a class in this file, too, say so (gdal_edit.py -unsetnodata FILE)"
        )
    limits = np.iinfo(dataset.dtypes[0])
    outside = [value for value in values if not limits.min <= value <= limits.max]
    if outside:
        raise InputError(
            f"its type {dataset.dtypes[0]} has no room for class {outside[0]} of the model; "
            "gdal_translate -ot Int32 gives it another"
        )


# Writing

KEPT = ("crs", "transform", "dtype", "nodata", "tiled", "blockxsize", "blockysize", "interleave")
LOSSLESS = ("lzw", "deflate", "packbits", "zstd", "lzma")  # and good for any integers
UNCERTAINTY = ("probability of the class", "entropy in bits")


@dataclass(frozen=True, eq=False)
class _GrowingMap:
    """A file that is written by rows."""

    path: Path  # that it is for
    dataset: "rasterio.io.DatasetWriter"
    sums: dict[tuple[int, int], int]  # of rows from … to …

    def write(self, start: int, rows: Shaped[np.ndarray, "band rows width"]) -> None:
        stop = start + rows.shape[1]
        rows = np.ascontiguousarray(rows, self.dataset.dtypes[0])
        with about(self.path), _reported("cannot be written"):
            self.dataset.write(rows, window=((start, stop), (0, rows.shape[2])))
        self.sums[start, stop] = crc32(rows.data)


@dataclass(frozen=True, eq=False)
class MapWriter:
    """Files that grow by rows of results."""

    source: OpenMap
    filled: _GrowingMap
    uncertainty: _GrowingMap
    samples: _GrowingMap | None

    def write_rows(
        self,
        start: int,
        cells: Int[np.ndarray, "rows width"],
        probability: Float[np.ndarray, "rows width"],
        entropy: Float[np.ndarray, "rows width"],
        samples: Int[np.ndarray, "sample rows width"],
    ) -> None:
        """The results for rows from `start` on: symbols, probabilities, entropies in bits; known cells as they came."""
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
    """Gives what writes the results of a map by rows into GeoTIFFs, which are there only when all of them are complete.

    `filled` is a file like the source: coordinate system, type, colours, compression, tiles, nodata and tags, but
    without alpha or mask. `uncertainty` has two bands, the probability of the class and the entropy in bits. If
    `samples` is given it has a band for each, without colours, which TIFF has for one band only. Raises InputError, and
    then leaves no file.
    """
    dataset = source.raster.dataset
    like_source = _profile_like(dataset)
    place = {name: like_source[name] for name in ("height", "width", "crs", "transform", "BIGTIFF")}
    floats = {"dtype": "float32", "compress": "deflate", "predictor": 3, "tiled": True}
    with ExitStack() as stack:
        paths = [path for path in (filled, uncertainty, samples) if path is not None]
        partials = [stack.enter_context(_with_notes(path)) for path in paths]
        profiles = [like_source | {"count": 1}, place | floats | {"count": len(UNCERTAINTY)}]
        if samples is not None:
            profiles.append(like_source | {"count": n_samples, "photometric": "minisblack"})
        files = [
            stack.enter_context(_growing(path, partial, **profile))
            for path, partial, profile in zip(paths, partials, profiles, strict=True)
        ]
        _describe_like(dataset, files[0].dataset)
        files[1].dataset.descriptions = UNCERTAINTY
        yield MapWriter(source, files[0], files[1], files[2] if samples is not None else None)


@contextmanager
def _growing(path: Path, partial: Path, **profile: Any) -> Iterator[_GrowingMap]:
    """Reads all rows again when they are written, for GDAL does not say if the disk is full when it closes a file."""
    with _open(partial, "w", **profile) as dataset:
        growing = _GrowingMap(path, dataset, {})
        yield growing
    with about(path), _reported("could not be written"), _open(partial) as dataset:
        for (start, stop), expected in growing.sums.items():
            if crc32(dataset.read(window=((start, stop), (0, dataset.width)))) != expected:
                raise InputError("could not be written as a whole; is the disk full?")


@contextmanager
def _with_notes(path: Path) -> Iterator[Path]:
    """As `atomic_write`, with the notes that GDAL puts beside a file where TIFF has no room, as for a rotated pole."""
    with atomic_write(path) as partial:
        notes, new_notes = (Path(f"{file}.aux.xml") for file in (path, partial))
        try:
            yield partial
            notes.unlink(missing_ok=True)  # of a file that was there before
            if new_notes.exists():
                new_notes.rename(notes)
        finally:
            new_notes.unlink(missing_ok=True)


def _profile_like(dataset: "rasterio.io.DatasetReader") -> dict[str, Any]:
    """What makes a new file like one that is there, but for a compression that would change values."""
    found = dataset.profile
    profile = {name: found[name] for name in KEPT} | {"height": dataset.height, "width": dataset.width}
    compression = found.get("compress")
    if compression is not None:
        profile["compress"] = compression if compression in LOSSLESS else "deflate"
        profile["predictor"] = dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", 1)
    return profile | {"BIGTIFF": "IF_SAFER"}


def _describe_like(source: "rasterio.io.DatasetReader", target: "rasterio.io.DatasetWriter") -> None:
    target.update_tags(**source.tags())
    statistics = "STATISTICS_"  # of values that are now others
    target.update_tags(1, **{name: text for name, text in source.tags(1).items() if not name.startswith(statistics)})
    target.descriptions = source.descriptions[:1]
    if table := _colour_table(source):
        target.write_colormap(1, table)
