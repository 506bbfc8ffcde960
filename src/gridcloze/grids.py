"""What a grid is: symbols, their colours and the hidden cell; how grids are read, and written back as they came.

Files hold codes: a picture colours packed as 0xRRGGBBAA, a text code points, an array the symbols themselves. So for
all of them, reading is to look up the symbol of each code.
"""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer, Shaped, UInt32
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from . import HIDDEN
from .palettes import MAX_SYMBOLS, AnyPath, InputError, Palette, about, unpacked

GridOrStack = Int[np.ndarray, "*grids height width"]
Cells = Int[np.ndarray, "n height width"]
AnySizeGrid = Int[np.ndarray, "_height _width"]  # of several of different sizes
Codes = Integer[np.ndarray, "*grids height width"]
Flags = Bool[np.ndarray, "*grids height width"]

MAX_PIXELS = 64_000_000
ZARR = ".zarr"  # a folder on disk, and here as one file
WRITTEN_ARRAYS = (".npy", ".npz")
PICTURES, TEXTS, ARRAYS, MAPS = (".png",), (".txt",), (*WRITTEN_ARRAYS, ZARR), (".tif", ".tiff")
GRID_AXES, STACK_AXES = "height width", "n height width"
SUFFIXES = PICTURES + TEXTS + ARRAYS  # `maps` reads the MAPS
GREY, TRANSPARENT = 0x808080FF, 0x00000000
MARKERS = ("auto", "grey", "transparent")
PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA")
SCALE_NOTE = "gridcloze:scale"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
RENUMBER = "np.unique(cells, return_inverse=True) numbers symbols 0, 1, 2, …"


# Cells


@dataclass(frozen=True, eq=False)
class Grid:
    """GridOrStack with symbols 0 … n_symbols-1, HIDDEN where hidden, drawn as squares of `scale` by `scale` pixels.

    One that was read from a picture keeps that, and where it was hidden, so that it can be written back as it came.
    """

    cells: Int[np.ndarray, "height width"]
    palette: Palette
    scale: int = 1
    picture: Image.Image | None = None
    hidden_as_read: Bool[np.ndarray, "height width"] | None = None

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise InputError(f"scale {self.scale}: a cell is at least 1 pixel wide")
        _look_up(Content(ARRAYS, self.cells), self.palette)

    @classmethod
    def from_cells(cls, cells: np.ndarray, palette: Palette | None = None, scale: int = 1) -> "Grid":
        """A grid that comes from no file; `cells` (height, width) as `cells_from_array` takes them. InputError."""
        cells = cells_from_array(cells, GRID_AXES)
        return cls(cells, palette or Palette.default(max(1, int(cells.max()) + 1)), scale)

    @property
    def hidden(self) -> Bool[np.ndarray, "height width"]:
        return self.cells == HIDDEN

    def with_cells(self, cells: np.ndarray) -> "Grid":
        """The same drawing with new cells (height, width); InputError if their shape or a symbol does not fit."""
        if cells.shape != self.cells.shape:
            raise InputError(f"new cells of shape {cells.shape} do not fit a grid of shape {self.cells.shape}")
        return replace(self, cells=cells_from_array(cells))


def cells_from_array(array: np.ndarray, axes: str = "", names: Sequence[str] = ()) -> GridOrStack:
    """Symbols from integers, or floats with whole values; -1, NaN and masked are hidden. One grid or a stack.

    Raises InputError for other values, for no cells at all, and for dimensions other than 2 or 3, or than `axes`. It
    names the place, in a stack by `names` or the number of the grid.
    """
    if axes and array.ndim != len(axes.split()):
        raise InputError(f"shape {array.shape} is not ({axes}), as needed here")
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(f"shape {array.shape} is no grid (height, width) and no stack (n, height, width) with cells")
    if array.dtype.kind not in "biuf":
        raise InputError(f"values of type {array.dtype} are no symbols; {RENUMBER}")
    values = np.ma.filled(array.astype(np.float64), HIDDEN)  # exact for every value that can be a symbol
    values = np.where(np.isnan(values), HIDDEN, values)
    is_symbol = (values >= HIDDEN) & (values < MAX_SYMBOLS) & (values == np.floor(values))
    _refuse_first(~is_symbol, lambda cell: f"{values[cell]:g} is no symbol (0 … {MAX_SYMBOLS - 1}); {RENUMBER}", names)
    return values.astype(np.int64)


def _refuse_first(wrong: Flags, say: Callable[[tuple[int, ...]], str], names: Sequence[str] = ()) -> None:
    """Raises InputError at the first wrong cell: where it is (in a stack, in which of `names`) and what `say` says."""
    if wrong.any():
        position = tuple(map(int, np.unravel_index(wrong.argmax(), wrong.shape)))
        *grid, row, column = position
        which = "".join(f"{names[index] if names else f'grid {index}'}, " for index in grid)
        raise InputError(f"{which}row {row}, column {column} (counted from 0): {say(position)}")


# From codes to symbols


class Content(NamedTuple):
    """Codes of a kind of files: for each cell or, in a picture, for each pixel.

    A picture may note its scale; only an indexed one has a `table` (PLTE and tRNS, packed).
    """

    kind: tuple[str, ...]
    codes: Codes
    noted_scale: int = 1  # 0 if there is none
    table: tuple[int, ...] | None = None
    image: Image.Image | None = None


DECODED = {PICTURES: ("colour", unpacked), TEXTS: ("character", chr), ARRAYS: ("symbol", int)}  # what a code names


def symbols_of(codes: Codes, known: Sequence[int]) -> GridOrStack:
    """The place of each code among those that are known; HIDDEN if it is none of them."""
    order = np.argsort(known)
    symbols = order.take(np.searchsorted(known, codes, sorter=order), mode="clip")
    return np.where(np.array(known)[symbols] == codes, symbols, HIDDEN)


def _look_up(
    content: Content, palette: Palette | None, hidden: Flags | None = None, names: Sequence[str] = ()
) -> tuple[GridOrStack, Palette]:
    """The symbol of each code; without a palette it gets one, of the codes that are not hidden. InputError."""
    codes = content.codes
    if hidden is None:
        hidden = _marked(content, palette)
    if palette is None:
        palette = _palette_of(np.unique(codes[~hidden]).tolist(), content)
    cells, (what, decode) = symbols_of(codes, _codes_in(palette, content.kind)), DECODED[content.kind]
    unknown = (cells == HIDDEN) & ~hidden
    _refuse_first(unknown, lambda cell: f"{what} {decode(int(codes[cell]))!r} is not in the palette", names)
    return np.where(hidden, HIDDEN, cells), palette


def _codes_in(palette: Palette, kind: tuple[str, ...]) -> list[int]:
    """What stands for each symbol in files of a kind."""
    if kind is PICTURES:
        return palette.packed_colours
    return list(map(ord, palette.characters)) if kind is TEXTS else list(range(palette.n_symbols))


def _palette_of(codes: list[int], content: Content) -> Palette:
    palette = Palette.default(len(codes))
    if content.kind is PICTURES:
        packed = sorted(codes, key=content.table.index) if content.table else codes
        return replace(palette, colours=tuple(map(unpacked, packed)))
    if content.kind is TEXTS:
        return replace(palette, characters="".join(map(chr, codes)))
    if codes != list(range(len(codes))):
        raise InputError(f"its symbols are {codes}, with gaps; {RENUMBER}")
    return palette


def _marked(content: Content, palette: Palette | None, marker: str = "auto") -> Flags:
    """What stands for hidden; in pictures grey, transparent or both ("auto"), but for colours of the palette."""
    codes = content.codes
    if content.kind is not PICTURES:
        return codes == (ord("?") if content.kind is TEXTS else HIDDEN)
    grey, transparent = codes == GREY, codes & 0xFF == 0
    if marker == "auto":
        return (grey | transparent) & ~np.isin(codes, palette.packed_colours if palette else [])
    return grey if marker == "grey" else transparent


# Reading


def read_grid(
    path: AnyPath,
    palette: Palette | None = None,
    size: tuple[int, int] | None = None,
    scale: int | None = None,
    hidden: AnyPath = "auto",
) -> Grid:
    """The grid in a PNG, txt, npy, npz or zarr file; without a palette its symbols are the colours it has, in order.

    In a picture the cells are hidden that are "grey" (128, 128, 128), "transparent", or either ("auto", but for
    colours of the palette); in text those with "?", in arrays those with -1 or NaN. Or `hidden` is a second file of
    the same size, white or non-zero where cells are hidden. `scale` is the side of a cell in pixels; where a drawing is
    ambiguous, `size` (height, width) helps to find it. Raises InputError, naming the file and the place in it.
    """
    with readable(path) as path:
        content, in_file = _read(path), str(hidden) not in MARKERS
        pixels = content.codes
        if content.kind is not PICTURES:
            cells, palette = _look_up(content, palette)
            return Grid(np.where(_hidden_in_file(hidden, cells, cells), HIDDEN, cells) if in_file else cells, palette)
        if scale is None:
            scale = find_scale([pixels], [content.noted_scale, _scale_for_size(pixels, size or (0, 0))])
        drawn = content._replace(codes=_shrink(pixels, scale))
        is_hidden = _hidden_in_file(hidden, pixels, drawn.codes) if in_file else _marked(drawn, palette, str(hidden))
        return Grid(*_look_up(drawn, palette, is_hidden), scale, content.image, is_hidden)


def read_examples(path: AnyPath, palette: Palette | None = None) -> tuple[Cells, Palette, int]:
    """The cells, palette and scale of a folder of grids of one kind and size, or of a stack in one array file.

    The symbols are the colours of all files together, and the scale the largest that suits all. Raises InputError.
    """
    if is_folder(path):
        grids, palette, scale = _read_folder(Path(path), palette, one_size=True)
        return np.stack(grids), palette, scale
    with readable(path, ARRAYS) as path:
        return *_look_up(_read(path, STACK_AXES), palette), 1


def read_images(path: AnyPath, palette: Palette | None = None) -> tuple[list[AnySizeGrid], Palette, int]:
    """As `read_examples`, but of any sizes: of a folder of grids of one kind, one grid, or the grids of a stack."""
    if is_folder(path):
        return _read_folder(Path(path), palette, one_size=False)
    if is_stack(path):
        cells, palette, scale = read_examples(path, palette)
        return list(cells), palette, scale
    grid = read_grid(path, palette)
    return [grid.cells], grid.palette, grid.scale


def is_folder(path: AnyPath) -> bool:
    """Whether files are in it; the folder of a zarr array counts as one file."""
    return os.path.isdir(path) and Path(path).suffix.lower() != ZARR


def _read_folder(folder: Path, palette: Palette | None, one_size: bool) -> tuple[list[AnySizeGrid], Palette, int]:
    with about(folder):
        files = (path for path in folder.iterdir() if not is_folder(path) and not path.name.startswith("."))
        paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(f"no examples in this folder; put grids into it, as {', '.join(SUFFIXES)}")
        contents = _read_alike(paths, one_size, same_table=palette is None)
        noted_scales = {content.noted_scale for content in contents}
        scale = find_scale([content.codes for content in contents], noted_scales if len(noted_scales) == 1 else [])
        drawn = [content._replace(codes=_shrink(content.codes, scale)) for content in contents]
        if palette is None:
            known = [np.unique(content.codes[~_marked(content, None)]) for content in drawn]
            palette = _palette_of(np.unique(np.concatenate(known)).tolist(), drawn[0])
        grids: list[AnySizeGrid] = []
        for path, content in zip(paths, drawn, strict=True):
            with about(path.name):
                grids.append(_look_up(content, palette)[0])
        return grids, palette, scale


def _read_alike(paths: Sequence[Path], one_size: bool, same_table: bool) -> list[Content]:
    first_of_kind = {_kind(path): path.name for path in reversed(paths)}
    if len(first_of_kind) > 1:
        raise InputError(f"{' and '.join(sorted(first_of_kind.values()))} are of different kinds; keep one kind here")
    contents: list[Content] = []
    for path in paths:
        with about(path.name):
            contents.append(_read(path)._replace(image=None))  # memory is for the codes of all files
        first, one, first_name = contents[0], contents[-1], paths[0].name
        if one_size and one.codes.shape != first.codes.shape:
            sizes = f"{first_name} is {_size(first.codes)} and {path.name} is {_size(one.codes)}"
            raise InputError(f"{sizes}; use grids of one size")
        if same_table and one.table != first.table:
            raise InputError(f"{first_name} and {path.name} have different palettes (PLTE); save all with the same one")
    return contents


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
            return _look_up(Content(ARRAYS, cells), self.palette, names=names)[0]


def open_stack(path: AnyPath, palette: Palette) -> Stack:
    """A stack to be read by parts. Raises InputError."""
    with readable(path, ARRAYS) as path:
        array = _read_array(path, in_parts=True)
        if array.ndim != 3:
            raise InputError(f"shape {array.shape} is not ({STACK_AXES}), as needed here")
        return Stack(path, array, palette)


def is_stack(path: AnyPath) -> bool:
    """Whether a file holds an array of three dimensions. Raises InputError."""
    with readable(path) as path:
        return _kind(path) is ARRAYS and _read_array(path, in_parts=True).ndim == 3


def read_evidence(path: AnyPath, palette: Palette, size: tuple[int, ...]) -> Shaped[np.ndarray, "height width symbol"]:
    """What is allowed where, for grids of `size` (height, width): bools, or probabilities of what was observed.

    An array file has them as they are. In a picture a cell may have the colours that its pixels show; where one of
    these is grey or transparent, it may have any. Raises InputError, naming the file and the place in it.
    """
    with readable(path, PICTURES + ARRAYS) as path:
        is_array = _kind(path) is ARRAYS
        evidence = _read_array(path) if is_array else _allowed_by(_read(path), palette, size)
        if evidence.shape != (*size, palette.n_symbols):
            raise InputError(f"shape {evidence.shape} does not fit; it must be {(*size, palette.n_symbols)} here")
        return evidence


def _allowed_by(content: Content, palette: Palette, size: tuple[int, ...]) -> Bool[np.ndarray, "row column symbol"]:
    scale = _scale_for_size(content.codes, size)
    if not scale:
        raise InputError(f"it is {_size(content.codes)} pixels, which are no cells of a grid of {size[0]} by {size[1]}")
    symbols = _look_up(content, palette)[0][..., None]
    shown = (symbols == np.arange(palette.n_symbols)) | (symbols == HIDDEN)
    return shown.reshape(size[0], scale, size[1], scale, -1).any(axis=(1, 3))


@contextmanager
def readable(path: AnyPath, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """Gives the path of a file that can be read, and puts it before what is wrong with the content."""
    path = Path(path)
    if is_folder(path):
        raise InputError(f"{path}: this is a folder, and a file is needed")
    if not os.path.isfile(path) and not os.path.isdir(path):
        raise InputError(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read this file")
    _kind(path, suffixes)
    with about(path):
        yield path


def _kind(path: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(f"{path}: suffix {suffix!r} is not supported here; use {', '.join(suffixes)}")
    return next(kind for kind in (PICTURES, TEXTS, ARRAYS, MAPS) if suffix in kind)


def _read(path: Path, axes: str = GRID_AXES) -> Content:
    kind = _kind(path)
    if kind is TEXTS:
        return Content(kind, _read_text(path))
    if kind is ARRAYS:
        return Content(kind, cells_from_array(_read_array(path), axes))
    image = _read_image(path)
    note = str(image.info.get(SCALE_NOTE, ""))
    noted_scale = int(note) if note.isdecimal() and len(note) < 9 else 0
    return Content(kind, _colours_of(image), noted_scale, _table_of(image), image)


def _size(grid: np.ndarray) -> str:
    return " by ".join(map(str, grid.shape))


def _read_text(path: Path) -> UInt32[np.ndarray, "height width"]:
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except UnicodeDecodeError:
        raise InputError("this is not text in UTF-8") from None
    width = len(lines[0])
    for number, line in enumerate(lines, start=1):
        if not line or len(line) != width:
            lengths = f"line {number} has {len(line)} characters, line 1 has {width}"
            raise InputError(f"{lengths}; all need the same, above 0")
    return np.array(lines, f"<U{width}").view("<u4").astype(np.uint32).reshape(len(lines), width)


def _read_array(path: Path, in_parts: bool = False) -> Any:
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


def _read_image(path: Path) -> Image.Image:
    data = path.read_bytes()
    if not data.startswith(PNG_START):
        raise InputError("this is not a PNG picture, whatever its suffix says")
    width, height, bits_per_channel = (int.from_bytes(data[i:j]) for i, j in ((16, 20), (20, 24), (24, 25)))
    if width * height > MAX_PIXELS:  # before Pillow reserves memory for them
        raise InputError(f"{height} by {width} pixels are more than {MAX_PIXELS}; cut the picture into smaller ones")
    if bits_per_channel == 16:
        raise InputError("mode with 16 bits a channel is not supported; save the picture with 8")
    try:
        PngImageFile(BytesIO(data)).verify()  # the checksums, at which `load` does not look
        image = PngImageFile(BytesIO(data))
        image.load()
    except Exception as error:  # Pillow reports damage by many types
        raise InputError(f"this PNG is damaged or truncated ({error})") from None
    if PNG_END not in data:
        raise InputError("this PNG is damaged or truncated (its end is missing)")
    return image


def _colours_of(image: Image.Image) -> UInt32[np.ndarray, "height width"]:
    return np.asarray(image.convert("RGBA")).view(">u4")[..., 0].astype(np.uint32)


def _table_of(image: Image.Image) -> tuple[int, ...] | None:
    """Packed PLTE and tRNS of an indexed picture: the colours of one that has each index once."""
    if image.mode != "P":
        return None
    n_colours, largest = len(image.getpalette() or ()) // 3, np.asarray(image).max()
    if largest >= n_colours:
        raise InputError(f"this PNG is damaged (index {largest} in a palette of {n_colours} colours)")
    ramp = image.crop((0, 0, n_colours, 1))
    ramp.putdata(range(n_colours))
    return tuple(_colours_of(ramp)[0].tolist())


# Scale


def find_scale(pictures: Sequence[Shaped[np.ndarray, "_height _width"]], candidates: Iterable[int] = ()) -> int:
    """The first candidate that suits all pictures, otherwise the largest scale that does; 1 if nothing changes.

    That is the greatest common divisor of the sides and of the positions of all changes of colour. One picture can be
    ambiguous: a square on even positions could be a drawing of half the size. Several together seldom are.
    """
    for scale in candidates:
        with suppress(InputError):
            for pixels in pictures:
                _shrink(pixels, scale)
            return scale
    sides = {side for pixels in pictures for side in pixels.shape}
    changes = {int(place) for pixels in pictures for lines in (pixels, pixels.T) for place in _changes(lines)}
    return int(np.gcd.reduce([*sides, *changes])) if changes else 1


def _changes(lines: Shaped[np.ndarray, "line place"]) -> Int[np.ndarray, " change"]:
    """The lines that differ from the one before."""
    return np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1)) + 1


def _scale_for_size(pixels: Codes, size: tuple[int, ...]) -> int:
    """The scale at which a picture has that size; 0 if there is none."""
    scale = pixels.shape[0] // max(1, size[0])
    return scale if pixels.shape == (scale * size[0], scale * size[1]) else 0


def _enlarge(cells: np.ndarray, scale: int) -> np.ndarray:
    return cells.repeat(scale, axis=-2).repeat(scale, axis=-1)


def _shrink(pixels: np.ndarray, scale: int) -> np.ndarray:
    """The inverse of `_enlarge`; InputError names the first pixel that differs from the others of its cell."""
    height, width = pixels.shape[-2:]
    if scale < 1 or height % scale or width % scale:
        raise InputError(f"{height} by {width} pixels cannot be cut into cells of {scale} by {scale}")
    cells = pixels[..., ::scale, ::scale]
    odd = pixels != _enlarge(cells, scale)
    _refuse_first(odd, lambda pixel: f"this pixel differs from the others of its cell of {scale} by {scale} pixels")
    return cells


def _hidden_in_file(path: AnyPath, pixels: np.ndarray, cells: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """Where a second file is white or non-zero; it may have the size of the picture or of its cells."""
    with readable(path, PICTURES + ARRAYS) as path:
        hidden = read_flags(path)[...] != 0
        if hidden.shape not in (pixels.shape, cells.shape):
            raise InputError(f"it is {_size(hidden)} and the grid {_size(pixels)}; both need the same size")
        return _shrink(hidden, hidden.shape[0] // cells.shape[0])


def read_flags(path: Path) -> Any:
    """What a picture or array file says of cells, not zero where they are hidden; parts of it are read when taken."""
    return _colours_of(_read_image(path)) > 0xFF if _kind(path) is PICTURES else _read_array(path, in_parts=True)


# Writing


def write_grid(path: AnyPath, grid: Grid) -> None:
    """Writes the format that the suffix names; hidden cells are grey (transparent if grey is a colour), "?" or -1.

    A picture that was read keeps its mode, its PLTE and every pixel of cells that are the same, bit for bit; its mode
    grows only if a new colour cannot be expressed in it. Raises InputError, and then leaves no file.
    """
    path = Path(path)
    kind = _kind(path, PICTURES + TEXTS + WRITTEN_ARRAYS)
    with atomic_write(path) as partial:
        if kind is PICTURES:
            note = PngInfo()
            note.add_text(SCALE_NOTE, str(grid.scale))
            _drawn(grid).save(partial, format="PNG", pnginfo=note)
        elif kind is TEXTS:
            rows = np.array([*grid.palette.characters, "?"])[grid.cells]  # HIDDEN is -1, the last
            partial.write_text("".join("".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
        else:
            _save_array(partial, grid.cells)


def write_stack(path: AnyPath, cells: np.ndarray) -> None:
    """Writes cells (n, height, width) to an npy or npz file. Raises InputError."""
    _kind(Path(path), WRITTEN_ARRAYS)
    cells = cells_from_array(cells, STACK_AXES)
    with atomic_write(path) as partial:
        _save_array(partial, cells)


@contextmanager
def atomic_write(path: AnyPath) -> Iterator[Path]:
    """Gives a path beside `path` to write to, which takes its place on success and is removed on any failure."""
    path = Path(path)
    check_writable(path)
    partial = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path: AnyPath) -> None:
    """Makes the folder that `path` is to be in; InputError at once where it could not be written."""
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(f"{path}: cannot be written, it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written, its folder cannot be made ({error.strerror})") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written, no permission for its folder")


def _save_array(path: Path, cells: GridOrStack) -> None:
    save = np.save if path.suffix.lower() == ".npy" else lambda file, cells: np.savez_compressed(file, cells=cells)
    with path.open("wb") as file:  # to a path, NumPy would append a suffix of its own
        save(file, cells.astype(np.int16))


def _drawn(grid: Grid) -> Image.Image:
    """A new picture has a mode that hangs on the palette alone, so that all grids of a set get the same."""
    packed = grid.palette.packed_colours
    marker = TRANSPARENT if GREY in packed else GREY
    if marker in packed and grid.hidden.any():
        raise InputError("hidden cells cannot be drawn: grey and transparent are both colours of the palette")
    table = [*packed, marker]
    colours = _enlarge(np.array(table, np.uint32)[grid.cells], grid.scale)  # HIDDEN is -1, the last
    if grid.picture is not None:
        return _repainted(grid, grid.picture, colours)
    if all(red == green == blue and alpha == 255 for red, green, blue, alpha in grid.palette.colours):
        return _plain_image(colours, "L")
    if len(table) > MAX_SYMBOLS and grid.hidden.any():
        return _plain_image(colours, "RGB")
    return _indexed_image(_enlarge(grid.cells % len(table), grid.scale), table[:MAX_SYMBOLS])


def _repainted(grid: Grid, image: Image.Image, colours: Codes) -> Image.Image:
    """Paints only cells that do not show any more what they should; what stays hidden may show anything."""
    before, table = _colours_of(image), _table_of(image)
    newly_hidden = grid.hidden & ~np.asarray(grid.hidden_as_read)
    is_new = np.where(_enlarge(grid.hidden, grid.scale), _enlarge(newly_hidden, grid.scale), colours != before)
    if table is None:
        return _plain_image(np.where(is_new, colours, before), image.mode, image.info.get("transparency"))
    indices, new = np.array(image), np.unique(colours[is_new]).tolist()
    table = [*table, *(colour for colour in new if colour not in table)]
    if len(table) > MAX_SYMBOLS:
        raise InputError("the picture's palette (PLTE) has no room for another colour; save the picture as RGB")
    for colour in new:
        indices[is_new & (colours == colour)] = table.index(colour)
    return _indexed_image(indices, table)


def _plain_image(colours: Codes, mode: str, transparent_key: Any = None) -> Image.Image:
    """In the given mode if that can express all the colours, otherwise in the next one that can."""
    rgba = Image.fromarray(np.ascontiguousarray(colours, ">u4").view(np.uint8).reshape(*colours.shape, 4))
    for candidate in PLAIN_MODES[PLAIN_MODES.index(mode) :]:
        image = rgba.convert(candidate, dither=Image.Dither.NONE)
        if transparent_key is not None and candidate == mode:
            image.info["transparency"] = transparent_key
        if np.array_equal(_colours_of(image), colours):
            return image
    raise AssertionError("RGBA expresses every colour")


def _indexed_image(indices: Codes, table: Sequence[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    bands = np.array([unpacked(colour) for colour in table], np.uint8)
    image.putpalette(bands[:, :3].tobytes())
    if (bands[:, 3] < 255).any():
        image.info["transparency"] = bands[:, 3].tobytes()
    return image
