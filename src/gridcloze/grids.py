"""What a grid is: symbols, their colours and the hidden cell; how grids are read, and written back as they came.

Files hold codes: a picture colours packed as 0xRRGGBBAA, a text code points, an array the symbols themselves. So for
all of them, reading is to look up the symbol of each code.
"""

import colorsys
import os
import string
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer, Shaped, UInt32
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

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
MARKERS = ("auto", "grey", "transparent")
PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA")
SCALE_NOTE = "gridcloze:scale"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
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
    @cache
    def default(cls, n_symbols: int) -> "Palette":
        """Black and white for two symbols; for more, Okabe and Ito's colours for all eyes, then generated ones."""
        _refuse_count(n_symbols)
        if n_symbols <= 2:
            return cls(((0, 0, 0, 255), (255, 255, 255, 255))[:n_symbols], ".#"[:n_symbols])
        hues = [index * 0.618034 % 1 for index in range(2 * MAX_SYMBOLS)]  # the golden ratio spreads any number of hues
        generated = [colorsys.hls_to_rgb(hue, (0.35, 0.7, 0.5)[index % 3], 0.85) for index, hue in enumerate(hues)]
        rounded = [(round(255 * red), round(255 * green), round(255 * blue), 255) for red, green, blue in generated]
        colours = dict.fromkeys([*map(_unpacked, OKABE_ITO), *rounded])
        others = filter(str.isprintable, map(chr, range(ord("!"), 2 * MAX_SYMBOLS)))
        characters = "".join(dict.fromkeys([*string.digits, *string.ascii_uppercase, *string.ascii_lowercase, *others]))
        return cls(tuple(colours)[:n_symbols], characters.replace("?", "")[:n_symbols])

    @classmethod
    def from_json(cls, data: Any) -> "Palette":
        try:
            colours = [(int(red), int(green), int(blue), int(alpha)) for red, green, blue, alpha in data["colours"]]
            return cls(tuple(colours), str(data["characters"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no palette: {error}") from None

    def to_json(self) -> dict[str, Any]:
        return {"colours": [list(colour) for colour in self.colours], "characters": self.characters}

    def codes(self, kind: tuple[str, ...]) -> list[int]:
        """What stands for each symbol in files of a kind."""
        if kind is PICTURES:
            return [int.from_bytes(colour) for colour in self.colours]
        return [ord(character) for character in self.characters] if kind is TEXTS else list(range(self.n_symbols))


def _refuse_count(n_symbols: int) -> None:
    if n_symbols < 1:
        raise InputError("every cell is hidden, so nothing says which symbols there are; give a palette")
    if n_symbols > MAX_SYMBOLS:
        raise InputError(f"{n_symbols} different symbols; a grid has at most {MAX_SYMBOLS}, and is no photograph")


def _unpacked(packed: int) -> Colour:
    red, green, blue, alpha = packed.to_bytes(4)
    return red, green, blue, alpha


# Grids


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells with symbols 0 … n_symbols-1, HIDDEN where hidden, drawn as squares of `scale` by `scale` pixels.

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


def cells_from_array(array: np.ndarray, axes: str = "", names: Sequence[str] = ()) -> Cells:
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


DECODED = {PICTURES: ("colour", _unpacked), TEXTS: ("character", chr), ARRAYS: ("symbol", int)}  # what a code names


def _look_up(
    content: Content, palette: Palette | None, hidden: Flags | None = None, names: Sequence[str] = ()
) -> tuple[Cells, Palette]:
    """The symbol of each code; without a palette it gets one, of the codes that are not hidden. InputError."""
    codes = content.codes
    if hidden is None:
        hidden = _marked(content, palette)
    if palette is None:
        palette = _palette_of(np.unique(codes[~hidden]).tolist(), content)
    known, (what, decode) = np.array(palette.codes(content.kind)), DECODED[content.kind]
    order = np.argsort(known)
    symbols = order.take(np.searchsorted(known, codes, sorter=order), mode="clip")
    unknown = (known[symbols] != codes) & ~hidden
    _refuse_first(unknown, lambda cell: f"{what} {decode(int(codes[cell]))!r} is not in the palette", names)
    return np.where(hidden, HIDDEN, symbols), palette


def _palette_of(codes: list[int], content: Content) -> Palette:
    palette = Palette.default(len(codes))
    if content.kind is PICTURES:
        packed = sorted(codes, key=content.table.index) if content.table else codes
        return replace(palette, colours=tuple(map(_unpacked, packed)))
    if content.kind is TEXTS:
        return replace(palette, characters="".join(map(chr, codes)))
    if codes != palette.codes(ARRAYS):
        raise InputError(f"its symbols are {codes}, with gaps; {RENUMBER}")
    return palette


def _marked(content: Content, palette: Palette | None, marker: str = "auto") -> Flags:
    """What stands for hidden; in pictures grey, transparent or both ("auto"), but for colours of the palette."""
    codes = content.codes
    if content.kind is not PICTURES:
        return codes == (ord("?") if content.kind is TEXTS else HIDDEN)
    grey, transparent = codes == GREY, codes & 0xFF == 0
    if marker == "auto":
        return (grey | transparent) & ~np.isin(codes, palette.codes(PICTURES) if palette else [])
    return grey if marker == "grey" else transparent


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
    with _readable(path) as path:
        content, in_file = _read(path), str(hidden) not in MARKERS
        pixels = content.codes
        if content.kind is not PICTURES:
            cells, palette = _look_up(content, palette)
            return Grid(np.where(_hidden_in_file(hidden, cells, cells), HIDDEN, cells) if in_file else cells, palette)
        if scale is None:
            scale = find_scale(pixels, [content.noted_scale, _scale_for_size(pixels, size or (0, 0))])
        drawn = content._replace(codes=_shrink(pixels, scale))
        is_hidden = _hidden_in_file(hidden, pixels, drawn.codes) if in_file else _marked(drawn, palette, str(hidden))
        return Grid(*_look_up(drawn, palette, is_hidden), scale, content.image, is_hidden)


def read_examples(path: AnyPath, palette: Palette | None = None) -> tuple[Grids, Palette, int]:
    """The cells, palette and scale of a folder of grids of one kind and size, or of a stack in one npy or npz file.

    The symbols are the colours of all files together, and the scale the largest that suits all. Raises InputError.
    """
    if os.path.isdir(path):
        with _about(path):
            return _read_folder(Path(path), palette)
    with _readable(path, ARRAYS) as path:
        return *_look_up(_read(path, STACK_AXES), palette), 1


def _read_folder(folder: Path, palette: Palette | None) -> tuple[Grids, Palette, int]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"no examples in this folder; put grids into it, as {', '.join(SUFFIXES)}")
    contents = _read_alike(paths, same_table=palette is None)
    pixels = np.stack([content.codes for content in contents])
    noted_scales = {content.noted_scale for content in contents}
    scale = find_scale(pixels, noted_scales if len(noted_scales) == 1 else [])
    together = contents[0]._replace(codes=_shrink(pixels, scale))
    return *_look_up(together, palette, names=[path.name for path in paths]), scale


def _read_alike(paths: Sequence[Path], same_table: bool) -> list[Content]:
    first_of_kind = {_kind(path): path.name for path in reversed(paths)}
    if len(first_of_kind) > 1:
        raise InputError(f"{' and '.join(sorted(first_of_kind.values()))} are of different kinds; keep one kind here")
    contents: list[Content] = []
    for path in paths:
        with _about(path.name):
            contents.append(_read(path)._replace(image=None))  # memory is for the codes of all files
        first, one, first_name = contents[0], contents[-1], paths[0].name
        if one.codes.shape != first.codes.shape:
            sizes = f"{first_name} is {_size(first.codes)} and {path.name} is {_size(one.codes)}"
            raise InputError(f"{sizes}; use grids of one size")
        if same_table and one.table != first.table:
            raise InputError(f"{first_name} and {path.name} have different palettes (PLTE); save all with the same one")
    return contents


@dataclass(frozen=True, eq=False)
class Stack:
    """The grids (n, height, width) of an npy or npz file, read by parts; an npy file is never in memory as a whole."""

    path: Path
    array: Shaped[np.ndarray, "n height width"]
    palette: Palette

    def __len__(self) -> int:
        return len(self.array)

    def read(self, part: slice) -> Cells:
        """The cells of some grids; InputError names the first one that does not fit."""
        with _about(self.path):
            names = [f"grid {number}" for number in range(part.start, part.stop)]
            cells = cells_from_array(self.array[part], STACK_AXES, names)
            return _look_up(Content(ARRAYS, cells), self.palette, names=names)[0]


def open_stack(path: AnyPath, palette: Palette) -> Stack:
    """A stack to be read by parts. Raises InputError."""
    with _readable(path, ARRAYS) as path:
        array = _read_array(path, in_parts=True)
        if array.ndim != 3:
            raise InputError(f"shape {array.shape} is not ({STACK_AXES}), as needed here")
        return Stack(path, array, palette)


def is_stack(path: AnyPath) -> bool:
    """Whether a file holds an array of three dimensions. Raises InputError."""
    with _readable(path) as path:
        return _kind(path) is ARRAYS and _read_array(path, in_parts=True).ndim == 3


def read_evidence(path: AnyPath, palette: Palette, size: tuple[int, ...]) -> Shaped[np.ndarray, "height width symbol"]:
    """What is allowed where, for grids of `size` (height, width): bools, or probabilities of what was observed.

    An array file has them as they are. In a picture a cell may have the colours that its pixels show; where one of
    these is grey or transparent, it may have any. Raises InputError, naming the file and the place in it.
    """
    with _readable(path, PICTURES + ARRAYS) as path:
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
def _readable(path: AnyPath, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """Gives the path of a file that can be read, and puts it before what is wrong with the content."""
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(f"{path}: this is a folder, and a file is needed")
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read this file")
    _kind(path, suffixes)
    with _about(path):
        yield path


def _kind(path: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(f"{path}: suffix {suffix!r} is not supported here; use {', '.join(suffixes)}")
    return next(kind for kind in (PICTURES, TEXTS, ARRAYS) if suffix in kind)


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


def _read_array(path: Path, in_parts: bool = False) -> np.ndarray:
    try:
        if in_parts and path.suffix.lower() == ".npy":
            return np.lib.format.open_memmap(path, mode="r")
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"cells": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except Exception as error:  # NumPy and zipfile report damage by many types
        raise InputError(f"damaged, or no array of numbers ({' '.join(str(error).split())})") from None
    hidden = arrays.pop("hidden", None)
    if "cells" not in arrays and len(arrays) != 1:
        raise InputError(f"the arrays in it are {sorted(arrays)}; one named 'cells' is needed, or a single one")
    cells = arrays["cells"] if "cells" in arrays else arrays.popitem()[1]
    if hidden is not None and (hidden.dtype != bool or hidden.shape != cells.shape):
        raise InputError(f"'hidden' must be an array of bool and of the shape of the cells, {cells.shape}")
    return cells if hidden is None else np.ma.array(cells, mask=hidden)


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


def find_scale(pixels: Shaped[np.ndarray, "*pictures height width"], candidates: Iterable[int] = ()) -> int:
    """The first candidate that suits all pixels, otherwise the largest scale that does; 1 if nothing changes.

    That is the greatest common divisor of the sides and of the positions of all changes of colour. One picture can be
    ambiguous: a square on even positions could be a drawing of half the size. A stack seldom is.
    """
    for scale in candidates:
        with suppress(InputError):
            _shrink(pixels, scale)
            return scale
    height, width = pixels.shape[-2:]
    stack = pixels.reshape(-1, height, width)
    changed_rows, changed_columns = np.diff(stack, axis=1).any((0, 2)), np.diff(stack, axis=2).any((0, 1))
    changes = [*np.flatnonzero(changed_rows) + 1, *np.flatnonzero(changed_columns) + 1]
    return int(np.gcd.reduce([height, width, *changes])) if changes else 1


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
    with _readable(path, PICTURES + ARRAYS) as path:
        hidden = _colours_of(_read_image(path)) > 0xFF if _kind(path) is PICTURES else _read_array(path) != 0
        if hidden.shape not in (pixels.shape, cells.shape):
            raise InputError(f"it is {_size(hidden)} and the grid {_size(pixels)}; both need the same size")
        return _shrink(hidden, hidden.shape[0] // cells.shape[0])


# Writing


def write_grid(path: AnyPath, grid: Grid) -> None:
    """Writes the format that the suffix names; hidden cells are grey (transparent if grey is a colour), "?" or -1.

    A picture that was read keeps its mode, its PLTE and every pixel of cells that are the same, bit for bit; its mode
    grows only if a new colour cannot be expressed in it. Raises InputError, and then leaves no file.
    """
    path = Path(path)
    kind = _kind(path)
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
    _kind(Path(path), ARRAYS)
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


def _save_array(path: Path, cells: Cells) -> None:
    save = np.save if path.suffix.lower() == ".npy" else lambda file, cells: np.savez_compressed(file, cells=cells)
    with path.open("wb") as file:  # to a path, NumPy would append a suffix of its own
        save(file, cells.astype(np.int16))


def _drawn(grid: Grid) -> Image.Image:
    """A new picture has a mode that hangs on the palette alone, so that all grids of a set get the same."""
    packed = grid.palette.codes(PICTURES)
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
    bands = np.array([_unpacked(colour) for colour in table], np.uint8)
    image.putpalette(bands[:, :3].tobytes())
    if (bands[:, 3] < 255).any():
        image.info["transparency"] = bands[:, 3].tobytes()
    return image
