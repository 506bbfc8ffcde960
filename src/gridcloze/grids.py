"""What a grid is: symbols, their colours and the hidden cell; how grids are read, and written back as they came.

Files hold codes: a picture colours packed as 0xRRGGBBAA, a text code points, an array the symbols themselves. So for
all of them, reading is to look up the symbol of each code.
"""

import colorsys
import os
import string
import struct
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Integer, Shaped, UInt8, UInt32
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import HIDDEN

AnyPath = str | Path
Colour = tuple[int, int, int, int]
Cells = Int[np.ndarray, "*grids height width"]
Grids = Int[np.ndarray, "n height width"]
Codes = Integer[np.ndarray, "*grids height width"]
Flags = Bool[np.ndarray, "*grids height width"]

MAX_SYMBOLS = 256
MAX_PIXELS = 64_000_000
PICTURES, TEXTS, ARRAYS = (".png",), (".txt",), (".npy", ".npz")
GRID_AXES, STACK_AXES = "height width", "n height width"
SUFFIXES = PICTURES + TEXTS + ARRAYS
GREY, TRANSPARENT = 0x808080FF, 0x00000000
OKABE_ITO = (0x000000FF, 0xE69F00FF, 0x56B4E9FF, 0x009E73FF, 0xF0E442FF, 0x0072B2FF, 0xD55E00FF, 0xCC79A7FF)
PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA")
SCALE_NOTE = "gridcloze:scale"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
RENUMBER = "np.unique(cells, return_inverse=True) numbers symbols 0, 1, 2, …"


class InputError(ValueError):
    """A bad input; its one line says what is wrong and what to do."""


@contextmanager
def _about(name: AnyPath) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


# Palettes


@dataclass(frozen=True)
class Palette:
    """How symbols look: an RGBA colour (0 … 255) and a printable character for each, or InputError."""

    colours: tuple[Colour, ...]
    characters: str

    def __post_init__(self) -> None:
        _refuse_count(self.n_symbols)
        if not all(0 <= value <= 255 for colour in self.colours for value in colour):
            raise InputError("a colour's red, green, blue and alpha must be 0 … 255")
        if not len(set(self.colours)) == len(set(self.characters)) == len(self.characters) == self.n_symbols:
            raise InputError("a palette needs a different colour and a different character for each symbol")
        if "?" in self.characters or not self.characters.isprintable():
            raise InputError("a symbol's character must be printable, and not '?', which stands for a hidden cell")

    @property
    def n_symbols(self) -> int:
        return len(self.colours)

    @classmethod
    def default(cls, n_symbols: int) -> "Palette":
        """Black and white for two symbols; for more, Okabe and Ito's colours for all eyes, then generated ones."""
        _refuse_count(n_symbols)
        if n_symbols <= 2:
            return cls(((0, 0, 0, 255), (255, 255, 255, 255))[:n_symbols], ".#"[:n_symbols])
        return cls(_default_colours()[:n_symbols], _default_characters()[:n_symbols])

    @classmethod
    def from_json(cls, data: Any) -> "Palette":
        try:
            colours = [(int(red), int(green), int(blue), int(alpha)) for red, green, blue, alpha in data["colours"]]
            return cls(tuple(colours), str(data["characters"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no palette: {error}") from None

    def to_json(self) -> dict[str, Any]:
        return {"colours": [list(colour) for colour in self.colours], "characters": self.characters}

    def packed(self) -> list[int]:
        return [int.from_bytes(colour, "big") for colour in self.colours]


def _refuse_count(n_symbols: int) -> None:
    if n_symbols < 1:
        raise InputError("every cell is hidden, so nothing says which symbols there are; give a palette")
    if n_symbols > MAX_SYMBOLS:
        raise InputError(f"{n_symbols} different symbols; a grid has at most {MAX_SYMBOLS}, and is no photograph")


@cache
def _default_colours() -> tuple[Colour, ...]:
    hues = [index * 0.618034 % 1 for index in range(2 * MAX_SYMBOLS)]  # the golden ratio spreads any number of hues
    generated = [colorsys.hls_to_rgb(hue, (0.35, 0.7, 0.5)[index % 3], 0.85) for index, hue in enumerate(hues)]
    rounded = [(round(255 * red), round(255 * green), round(255 * blue), 255) for red, green, blue in generated]
    return tuple(dict.fromkeys([*map(_unpacked, OKABE_ITO), *rounded]))


@cache
def _default_characters() -> str:
    letters = string.digits + string.ascii_uppercase + string.ascii_lowercase
    printable = filter(str.isprintable, map(chr, range(ord("!"), 2 * MAX_SYMBOLS)))
    return "".join(dict.fromkeys(letters + "".join(printable))).replace("?", "")


def _unpacked(packed: int) -> Colour:
    red, green, blue, alpha = int(packed).to_bytes(4, "big")
    return red, green, blue, alpha


# Grids


@dataclass(frozen=True, eq=False)
class Picture:
    """A PNG as it came, colours packed; only an indexed one has `indices` and a `table` (PLTE and tRNS, packed)."""

    mode: str
    colours: UInt32[np.ndarray, "height width"]
    indices: UInt8[np.ndarray, "height width"] | None
    table: tuple[int, ...] | None
    transparent_key: int | tuple[int, ...] | bytes | None
    noted_scale: int | None


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells with symbols 0 … n_symbols-1, HIDDEN where hidden, drawn as squares of `scale` by `scale` pixels.

    One that was read from a picture keeps it, and where it was hidden, so that it can be written back as it came.
    """

    cells: Int[np.ndarray, "height width"]
    palette: Palette
    scale: int = 1
    picture: Picture | None = None
    hidden_as_read: Bool[np.ndarray, "height width"] | None = None

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise InputError(f"scale {self.scale}: a cell is at least 1 pixel wide")
        _look_up_symbols(self.cells, self.palette)

    @classmethod
    def from_cells(cls, cells: np.ndarray, palette: Palette | None = None, scale: int = 1) -> "Grid":
        """A grid that comes from no file; `cells` (height, width) as `cells_from_array` takes them. InputError."""
        cells = _checked(cells, GRID_AXES)
        return cls(cells, palette or Palette.default(max(1, int(cells.max()) + 1)), scale)

    @property
    def hidden(self) -> Bool[np.ndarray, "height width"]:
        return self.cells == HIDDEN

    def with_cells(self, cells: np.ndarray) -> "Grid":
        """The same drawing with new cells (height, width); InputError if their shape or a symbol does not fit."""
        if cells.shape != self.cells.shape:
            raise InputError(f"new cells of shape {cells.shape} do not fit a grid of shape {self.cells.shape}")
        return replace(self, cells=cells_from_array(cells))


def cells_from_array(array: np.ndarray) -> Cells:
    """Symbols from integers, or floats with whole values; -1, NaN and masked are hidden. One grid or a stack.

    Raises InputError for other values, for no cells at all, and where there are not 2 or 3 dimensions.
    """
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(f"shape {array.shape} is no grid (height, width) and no stack (n, height, width) with cells")
    if array.dtype.kind not in "biuf":
        raise InputError(f"values of type {array.dtype} are no symbols; {RENUMBER}")
    values = np.ma.filled(array.astype(np.float64), HIDDEN)  # exact for every value that can be a symbol
    values = np.where(np.isnan(values), HIDDEN, values)
    is_symbol = (values >= HIDDEN) & (values < MAX_SYMBOLS) & (values == np.floor(values))
    _refuse_first(~is_symbol, lambda cell: f"{values[cell]:g} is no symbol (0 … {MAX_SYMBOLS - 1}); {RENUMBER}")
    return values.astype(np.int64)


def _checked(array: np.ndarray, axes: str) -> Cells:
    if array.ndim != len(axes.split()):
        raise InputError(f"shape {array.shape} is not ({axes}), as needed here")
    return cells_from_array(array)


def _refuse_first(wrong: Flags, say: Callable[[tuple[int, ...]], str], names: Sequence[str] = ()) -> None:
    """Raises InputError at the first wrong cell: where it is (in a stack, in which of `names`) and what `say` says."""
    if wrong.any():
        position = tuple(map(int, np.unravel_index(wrong.argmax(), wrong.shape)))
        *grid, row, column = position
        which = "".join(f"{names[index] if names else f'grid {index}'}, " for index in grid)
        raise InputError(f"{which}row {row}, column {column} (counted from 0): {say(position)}")


# From codes to symbols


def _look_up(
    codes: Codes, hidden: Flags, known: Sequence[int], show: Callable[[int], str], names: Sequence[str] = ()
) -> Cells:
    """For each code its place among the known ones, the first if it is there twice; InputError if it is not there."""
    order = np.argsort(known, kind="stable")
    in_order = np.array(known)[order]
    place = np.minimum(np.searchsorted(in_order, codes), len(known) - 1)
    unknown = (in_order[place] != codes) & ~hidden
    _refuse_first(unknown, lambda cell: f"{show(int(codes[cell]))} is not in the palette", names)
    return np.where(hidden, HIDDEN, order[place])


def _look_up_colours(
    colours: Codes, hidden: Flags, palette: Palette | None, table: Sequence[int] | None, names: Sequence[str] = ()
) -> tuple[Cells, Palette]:
    if palette is None:
        used = np.unique(colours[~hidden]).tolist()
        packed = [colour for colour in dict.fromkeys(table) if colour in used] if table else used
        characters = Palette.default(len(packed)).characters
        palette = Palette(tuple(map(_unpacked, packed)), characters)
    return _look_up(colours, hidden, palette.packed(), lambda code: f"colour {_unpacked(code)}", names), palette


def _look_up_characters(codes: Codes, palette: Palette | None, names: Sequence[str] = ()) -> tuple[Cells, Palette]:
    hidden = codes == ord("?")
    if palette is None:
        characters = "".join(map(chr, np.unique(codes[~hidden])))
        palette = replace(Palette.default(len(characters)), characters=characters)
    known = [ord(character) for character in palette.characters]
    return _look_up(codes, hidden, known, lambda code: f"character {chr(code)!r}", names), palette


def _look_up_symbols(cells: Cells, palette: Palette | None, names: Sequence[str] = ()) -> tuple[Cells, Palette]:
    hidden = cells == HIDDEN
    if palette is None:
        symbols = np.unique(cells[~hidden]).tolist()
        if symbols != list(range(len(symbols))):
            raise InputError(f"its symbols are {symbols}, with gaps; {RENUMBER}")
        palette = Palette.default(len(symbols))
    return _look_up(cells, hidden, range(palette.n_symbols), lambda code: f"symbol {code}", names), palette


# Reading


def read_grid(
    path: AnyPath,
    palette: Palette | None = None,
    size: tuple[int, int] | None = None,
    scale: int | None = None,
    hidden: AnyPath = "auto",
) -> Grid:
    """The grid in a PNG, txt, npy or npz file; without a palette its symbols are the colours it has, in order.

    In a picture the cells are hidden that are "grey" (128, 128, 128), "transparent", or either ("auto", but for
    colours of the palette); in text those with "?", in arrays those with -1 or NaN. Or `hidden` is a second file of
    the same size, white or non-zero where cells are hidden. `scale` is the side of a cell in pixels; where a drawing is
    ambiguous, `size` (height, width) helps to find it. Raises InputError, naming the file and the place in it.
    """
    path = _existing_file(path)
    with _about(path):
        if _kind(path) is PICTURES:
            return _picture_grid(_read_picture(path), palette, size, scale, hidden)
        read, look_up = _read_text_or_array(_kind(path))
        cells, palette = look_up(read(path), palette)
        if hidden not in MARKERS:
            cells = np.where(_hidden_in_file(hidden, cells, cells), HIDDEN, cells)
        return Grid(cells, palette)


def read_examples(path: AnyPath, palette: Palette | None = None) -> tuple[Grids, Palette, int]:
    """The cells, palette and scale of a folder of grids of one kind and size, or of a stack in one npy or npz file.

    The symbols are the colours of all files together, and the scale the largest that suits all. Raises InputError.
    """
    if os.path.isdir(path):
        with _about(path):
            return _read_folder(Path(path), palette)
    path = _existing_file(path, ARRAYS)
    with _about(path):
        return *_look_up_symbols(_checked(_read_array(path), STACK_AXES), palette), 1


class Stack:
    """The grids (n, height, width) of an npy or npz file, read by parts; an npy file is never in memory as a whole."""

    def __init__(self, path: Path, array: np.ndarray, palette: Palette):
        self.path, self.array, self.palette = path, array, palette

    def __len__(self) -> int:
        return len(self.array)

    def read(self, part: slice) -> Cells:
        """The cells of some grids; InputError names the first one that does not fit."""
        with _about(self.path):
            cells = _checked(np.asarray(self.array[part]), STACK_AXES)
            names = [f"grid {number}" for number in range(part.start, part.stop)]
            return _look_up_symbols(cells, self.palette, names)[0]


def open_stack(path: AnyPath, palette: Palette) -> Stack:
    """A stack to be read by parts. Raises InputError."""
    path = _existing_file(path, ARRAYS)
    with _about(path):
        array = _read_array(path, in_parts=True)
        if array.ndim != 3:
            raise InputError(f"shape {array.shape} is not ({STACK_AXES}), as needed here")
        return Stack(path, array, palette)


def read_evidence(path: AnyPath, palette: Palette, size: tuple[int, ...]) -> Shaped[np.ndarray, "height width symbol"]:
    """What is allowed where, for grids of `size` (height, width): bools, or probabilities of what was observed.

    An array file has them as they are. In a picture a cell may have the colours that its pixels show; where one of
    these is grey or transparent, it may have any. Raises InputError, naming the file and the place in it.
    """
    path = _existing_file(path, PICTURES + ARRAYS)
    with _about(path):
        evidence = (
            _read_array(path) if _kind(path) is ARRAYS else _allowed_by(_read_picture(path).colours, palette, size)
        )
        if evidence.shape != (*size, palette.n_symbols):
            raise InputError(f"shape {evidence.shape} does not fit; it must be {(*size, palette.n_symbols)} here")
        return evidence


def _allowed_by(pixels: Codes, palette: Palette, size: tuple[int, ...]) -> Bool[np.ndarray, "row column symbol"]:
    scale = pixels.shape[0] // size[0]
    if scale < 1 or pixels.shape != (scale * size[0], scale * size[1]):
        raise InputError(f"it is {_size(pixels)} pixels, which are no cells of a grid of {size[0]} by {size[1]}")
    anything = _marked_for_palette(pixels, palette)
    symbols = _look_up_colours(pixels, anything, palette, None)[0]
    shown = (symbols[..., None] == np.arange(palette.n_symbols)) | anything[..., None]
    return shown.reshape(size[0], scale, size[1], scale, -1).any(axis=(1, 3))


def is_stack(path: AnyPath) -> bool:
    """Whether a file holds an array of three dimensions. Raises InputError."""
    path = _existing_file(path)
    with _about(path):
        return _kind(path) is ARRAYS and _read_array(path, in_parts=True).ndim == 3


def _existing_file(path: AnyPath, suffixes: Sequence[str] = SUFFIXES) -> Path:
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(f"{path}: this is a folder, and a file is needed")
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read this file")
    _kind(path, suffixes)
    return path


def _kind(path: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(f"{path}: suffix {suffix!r} is not supported here; use {', '.join(suffixes)}")
    return next(kind for kind in (PICTURES, TEXTS, ARRAYS) if suffix in kind)


def _read_folder(folder: Path, palette: Palette | None) -> tuple[Grids, Palette, int]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    names = [path.name for path in paths]
    kind = _only_kind(paths)
    if kind is PICTURES:
        return _picture_stack(_read_each(paths, _read_picture), palette, names)
    read, look_up = _read_text_or_array(kind)
    return *look_up(_stacked(_read_each(paths, read), names), palette, names), 1


def _read_text_or_array(kind: tuple[str, ...]) -> tuple[Callable[[Path], Codes], Callable[..., tuple[Cells, Palette]]]:
    if kind is TEXTS:
        return _read_text, _look_up_characters
    return lambda path: _checked(_read_array(path), GRID_AXES), _look_up_symbols


def _only_kind(paths: Sequence[Path]) -> tuple[str, ...]:
    if not paths:
        raise InputError(f"no examples in this folder; put grids into it, as {', '.join(SUFFIXES)}")
    first_of_kind = {_kind(path): path.name for path in reversed(paths)}
    if len(first_of_kind) > 1:
        raise InputError(f"{' and '.join(sorted(first_of_kind.values()))} are of different kinds; keep one kind here")
    return next(iter(first_of_kind))


def _read_each(paths: Sequence[Path], read: Callable[[Path], Any]) -> list[Any]:
    results = []
    for path in paths:
        with _about(path.name):
            results.append(read(path))
    return results


def _stacked(grids: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
    for grid, name in zip(grids, names, strict=True):
        if grid.shape != grids[0].shape:
            raise InputError(f"{names[0]} is {_size(grids[0])} and {name} is {_size(grid)}; use grids of one size")
    return np.stack(grids)


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
            raise InputError(
                f"line {number} has {len(line)} characters, line 1 has {width}; all need the same, above 0"
            )
    return np.array(lines, f"<U{width}").view("<u4").astype(np.uint32).reshape(len(lines), width)


def _read_array(path: Path, in_parts: bool = False) -> np.ndarray:
    try:
        if in_parts and path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else _array_of_npz(dict(loaded))
    except InputError:
        raise
    except Exception as error:  # NumPy and zipfile report damage by many types
        raise InputError(f"damaged, or no array of numbers ({' '.join(str(error).split())})") from None


def _array_of_npz(arrays: dict[str, np.ndarray]) -> np.ndarray:
    hidden = arrays.pop("hidden", None)
    if "cells" not in arrays and len(arrays) != 1:
        raise InputError(f"the arrays in it are {sorted(arrays)}; one named 'cells' is needed, or a single one")
    cells = arrays["cells"] if "cells" in arrays else arrays.popitem()[1]
    if hidden is None:
        return cells
    if hidden.dtype != bool or hidden.shape != cells.shape:
        raise InputError(f"'hidden' must be an array of bool and of the shape of the cells, {cells.shape}")
    return np.ma.array(cells, mask=hidden)


# Reading pictures


def _picture_grid(
    picture: Picture, palette: Palette | None, size: tuple[int, int] | None, scale: int | None, hidden: AnyPath
) -> Grid:
    pixels = picture.colours
    if scale is None:
        scale = _fitting_scale(pixels, [picture.noted_scale, _scale_for_size(pixels, size)])
    colours = _shrink(pixels, scale)
    marker = MARKERS.get(str(hidden))
    is_hidden = marker(colours, palette) if marker else _hidden_in_file(hidden, pixels, colours)
    cells, palette = _look_up_colours(colours, is_hidden, palette, picture.table)
    return Grid(cells, palette, scale, picture, is_hidden)


def _picture_stack(
    pictures: Sequence[Picture], palette: Palette | None, names: Sequence[str]
) -> tuple[Grids, Palette, int]:
    if palette is None:
        _refuse_different_tables(pictures, names)
    pixels = _stacked([picture.colours for picture in pictures], names)
    noted_scales = {picture.noted_scale for picture in pictures}
    scale = _fitting_scale(pixels, noted_scales if len(noted_scales) == 1 else [])
    colours = _shrink(pixels, scale)
    hidden = _marked_for_palette(colours, palette)
    return *_look_up_colours(colours, hidden, palette, pictures[0].table, names), scale


def _refuse_different_tables(pictures: Sequence[Picture], names: Sequence[str]) -> None:
    for picture, name in zip(pictures, names, strict=True):
        if picture.table != pictures[0].table:
            raise InputError(f"{names[0]} and {name} have different palettes (PLTE); save all with the same one")


def find_scale(pixels: Shaped[np.ndarray, "*pictures height width"]) -> int:
    """The greatest common divisor of the sides and of the positions of all changes of colour; 1 if nothing changes.

    One picture can be ambiguous: a square on even positions could be a drawing of half the size. A stack seldom is.
    """
    height, width = pixels.shape[-2:]
    changes = [*_positions_of_changes(pixels, pixels.ndim - 2), *_positions_of_changes(pixels, pixels.ndim - 1)]
    return int(np.gcd.reduce([height, width, *changes])) if changes else 1


def _positions_of_changes(pixels: np.ndarray, axis: int) -> Int[np.ndarray, " changes"]:
    changed = np.diff(pixels, axis=axis) != 0
    other_axes = tuple(set(range(pixels.ndim)) - {axis})
    return np.flatnonzero(changed.any(other_axes)) + 1


def _fitting_scale(pixels: Codes, candidates: Iterable[int | None]) -> int:
    """The first candidate that suits the pictures, otherwise the one they show themselves."""
    for scale in candidates:
        if scale is not None:
            with suppress(InputError):
                _shrink(pixels, scale)
                return scale
    return find_scale(pixels)


def _scale_for_size(pixels: Codes, size: tuple[int, int] | None) -> int | None:
    if size is None or min(size) < 1:
        return None
    scale = pixels.shape[0] // size[0]
    return scale if pixels.shape == (scale * size[0], scale * size[1]) else None


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


def _marked_for_palette(colours: Codes, palette: Palette | None) -> Flags:
    """Grey or transparent, but for what is a colour of the palette."""
    own = palette.packed() if palette else []
    return ((colours == GREY) | (colours & 0xFF == 0)) & ~np.isin(colours, own)


MARKERS: dict[str, Callable[[Codes, Palette | None], Flags]] = {
    "auto": _marked_for_palette,
    "grey": lambda colours, palette: colours == GREY,
    "transparent": lambda colours, palette: colours & 0xFF == 0,
}


def _hidden_in_file(path: AnyPath, pixels: np.ndarray, cells: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """Where a second file is white or non-zero; it may have the size of the picture or of its cells."""
    path = _existing_file(path, PICTURES + ARRAYS)
    with _about(path):
        hidden = _read_picture(path).colours > 0xFF if _kind(path) is PICTURES else _read_array(path) != 0
        if hidden.shape not in (pixels.shape, cells.shape):
            raise InputError(f"it is {_size(hidden)} and the grid {_size(pixels)}; both need the same size")
        return _shrink(hidden, hidden.shape[0] // cells.shape[0])


def _read_picture(path: Path) -> Picture:
    data = path.read_bytes()
    image = _decoded(data)
    colours = _colours_of(image)
    note = str(image.info.get(SCALE_NOTE, ""))
    noted_scale = int(note) if note.isdecimal() and len(note) < 9 else None
    if image.mode != "P":
        return Picture(image.mode, colours, None, None, image.info.get("transparency"), noted_scale)
    indices, table = np.array(image), _table_of(image)
    if indices.max() >= len(table):
        raise InputError(f"this PNG is damaged (index {indices.max()} in a palette of {len(table)} colours)")
    return Picture("P", colours, indices, table, None, noted_scale)


def _decoded(data: bytes) -> Image.Image:
    if not data.startswith(PNG_SIGNATURE):
        raise InputError("this is not a PNG picture, whatever its suffix says")
    try:
        _refuse_unsupported(data)
        _check_chunks(data)
        image = Image.open(BytesIO(data), formats=("PNG",))
        image.load()
    except InputError:
        raise
    except Exception as error:  # Pillow reports damage by many types
        raise InputError(f"this PNG is damaged or truncated ({error})") from None
    return image


def _refuse_unsupported(data: bytes) -> None:
    """Reads the header alone, before Pillow reserves memory for what it promises."""
    width, height, bits_per_channel = struct.unpack_from(">IIB", data, len(PNG_SIGNATURE) + 8)
    if width * height > MAX_PIXELS:
        raise InputError(f"{height} by {width} pixels are more than {MAX_PIXELS}; cut the picture into smaller ones")
    if bits_per_channel == 16:
        raise InputError("mode with 16 bits a channel is not supported; save the picture with 8")


def _check_chunks(data: bytes) -> None:
    """Pillow alone would let some flipped bits and a missing end pass."""
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if struct.unpack_from(">I", data, end)[0] != zlib.crc32(data[position + 4 : end]):
            raise InputError(f"this PNG is damaged (checksum of its chunk {kind.decode('ascii', 'replace')})")
        position = end + 4


def _colours_of(image: Image.Image) -> UInt32[np.ndarray, "height width"]:
    return np.asarray(image.convert("RGBA")).view(">u4")[..., 0].astype(np.uint32)


def _table_of(image: Image.Image) -> tuple[int, ...]:
    """Packed PLTE and tRNS: the colours of a picture that has each index once."""
    n_colours = len(image.getpalette() or ()) // 3
    ramp = image.crop((0, 0, n_colours, 1))
    ramp.putdata(range(n_colours))
    return tuple(_colours_of(ramp)[0].tolist())


# Writing


def write_grid(path: AnyPath, grid: Grid) -> None:
    """Writes the format that the suffix names; hidden cells are grey (transparent if grey is a colour), "?" or -1.

    A picture that was read keeps its mode, its PLTE and every pixel of cells that are the same, bit for bit; its mode
    grows only if a new colour cannot be expressed in it. Raises InputError, and then leaves no file.
    """
    path = Path(path)
    kind = _kind(path)
    if kind is PICTURES:
        _write_picture(path, _drawn(grid), grid.scale)
    elif kind is TEXTS:
        _write_text(path, grid)
    else:
        _write_array(path, grid.cells)


def write_stack(path: AnyPath, cells: np.ndarray) -> None:
    """Writes cells (n, height, width) to an npy or npz file. Raises InputError."""
    _kind(Path(path), ARRAYS)
    _write_array(Path(path), _checked(cells, STACK_AXES))


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


def _write_text(path: Path, grid: Grid) -> None:
    characters = np.array([*grid.palette.characters, "?"])[grid.cells]  # HIDDEN is -1, the last
    lines = ["".join(row) + "\n" for row in characters]
    with atomic_write(path) as partial:
        partial.write_text("".join(lines), encoding="utf-8", newline="\n")


def _write_array(path: Path, cells: Cells) -> None:
    save = np.save if path.suffix.lower() == ".npy" else lambda file, cells: np.savez_compressed(file, cells=cells)
    with atomic_write(path) as partial, partial.open("wb") as file:
        save(file, cells.astype(np.int16))


def _write_picture(path: Path, image: Image.Image, scale: int) -> None:
    note = PngInfo()
    note.add_text(SCALE_NOTE, str(scale))
    with atomic_write(path) as partial:
        image.save(partial, format="PNG", pnginfo=note)


def _drawn(grid: Grid) -> Image.Image:
    packed = grid.palette.packed()
    marker = TRANSPARENT if GREY in packed else GREY
    if marker in packed and grid.hidden.any():
        raise InputError("hidden cells cannot be drawn: grey and transparent are both colours of the palette")
    colours = np.array([*packed, marker], np.uint32)[grid.cells]  # HIDDEN is -1, the last
    if grid.picture is None:
        return _new_image(grid, colours, marker)
    return _repainted(grid, grid.picture, colours)


def _new_image(grid: Grid, colours: Codes, marker: int) -> Image.Image:
    """Of a mode that hangs on the palette alone, so that all grids of a set get the same; indices are the symbols."""
    table = [*grid.palette.packed(), marker][:MAX_SYMBOLS]
    if all(red == green == blue and alpha == 255 for red, green, blue, alpha in grid.palette.colours):
        return _plain_image(_enlarge(colours, grid.scale), "L")
    if marker not in table and grid.hidden.any():
        return _plain_image(_enlarge(colours, grid.scale), "RGB")
    indices = np.where(grid.hidden, grid.palette.n_symbols, grid.cells)
    return _indexed_image(_enlarge(indices, grid.scale), table)


def _repainted(grid: Grid, picture: Picture, colours: Codes) -> Image.Image:
    """Paints only cells that do not show any more what they should; what stays hidden may show anything."""
    differs = colours != picture.colours[:: grid.scale, :: grid.scale]
    is_new = _enlarge(np.where(grid.hidden, ~np.asarray(grid.hidden_as_read), differs), grid.scale)
    colours = np.where(is_new, _enlarge(colours, grid.scale), picture.colours)
    if picture.table is None or picture.indices is None:
        return _plain_image(colours, picture.mode, picture.transparent_key)
    table = [*picture.table, *sorted(set(np.unique(colours).tolist()) - set(picture.table))]
    if len(table) > MAX_SYMBOLS:
        raise InputError("the picture's palette (PLTE) has no room for another colour; save the picture as RGB")
    indices = _look_up(colours, ~is_new, table, str)
    return _indexed_image(np.where(is_new, indices, picture.indices), table)


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
    bands = np.array([_unpacked(colour) for colour in table], np.uint8)
    image.putpalette(bands[:, :3].tobytes())
    if (bands[:, 3] < 255).any():
        image.info["transparency"] = bands[:, 3].tobytes()
    return image
