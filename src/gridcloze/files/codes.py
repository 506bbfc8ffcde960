"""From the codes in files to symbols: colours of pictures, characters of texts, numbers of arrays."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer
from PIL import Image

from ..words import HIDDEN, InputError
from .palettes import MAX_SYMBOLS, Palette, unpacked
from .paths import ARRAYS, PICTURES, TEXTS

GridOrStack = Int[np.ndarray, "*grids height width"]
Codes = Integer[np.ndarray, "*grids height width"]
Flags = Bool[np.ndarray, "*grids height width"]
GREY, TRANSPARENT = 0x808080FF, 0x00000000
MARKERS = ("auto", "grey", "transparent")
RENUMBER = "np.unique(cells, return_inverse=True) numbers symbols 0, 1, 2, …"


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


def look_up(
    content: Content, palette: Palette | None, hidden: Flags | None = None, names: Sequence[str] = ()
) -> tuple[GridOrStack, Palette]:
    """The symbol of each code; without a palette it gets one, of the codes that are not hidden. InputError."""
    codes = content.codes
    if hidden is None:
        hidden = marked(content, palette)
    if palette is None:
        palette = palette_of(np.unique(codes[~hidden]).tolist(), content)
    cells, (what, decode) = symbols_of(codes, _codes_in(palette, content.kind)), DECODED[content.kind]
    unknown = (cells == HIDDEN) & ~hidden
    refuse_first(unknown, lambda cell: f"{what} {decode(int(codes[cell]))!r} is not in the palette", names)
    return np.where(hidden, HIDDEN, cells), palette


def marked(content: Content, palette: Palette | None, marker: str = "auto") -> Flags:
    """What stands for hidden; in pictures grey, transparent or both ("auto"), but for colours of the palette."""
    codes = content.codes
    if content.kind is not PICTURES:
        return codes == (ord("?") if content.kind is TEXTS else HIDDEN)
    grey, transparent = codes == GREY, codes & 0xFF == 0
    if marker == "auto":
        return (grey | transparent) & ~np.isin(codes, palette.packed_colours if palette else [])
    return grey if marker == "grey" else transparent


def palette_of(codes: list[int], content: Content) -> Palette:
    palette = Palette.default(len(codes))
    if content.kind is PICTURES:
        packed = sorted(codes, key=content.table.index) if content.table else codes
        return replace(palette, colours=tuple(map(unpacked, packed)))
    if content.kind is TEXTS:
        return replace(palette, characters="".join(map(chr, codes)))
    if codes != list(range(len(codes))):
        raise InputError(f"its symbols are {codes}, with gaps; {RENUMBER}")
    return palette


def _codes_in(palette: Palette, kind: tuple[str, ...]) -> list[int]:
    """What stands for each symbol in files of a kind."""
    if kind is PICTURES:
        return palette.packed_colours
    return list(map(ord, palette.characters)) if kind is TEXTS else list(range(palette.n_symbols))


def symbols_of(codes: Codes, known: Sequence[int]) -> GridOrStack:
    """The place of each code among those that are known; HIDDEN if it is none of them."""
    order = np.argsort(known)
    symbols = order.take(np.searchsorted(known, codes, sorter=order), mode="clip")
    return np.where(np.array(known)[symbols] == codes, symbols, HIDDEN)


# Arrays

GRID_AXES, STACK_AXES = "height width", "n height width"


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
    refuse_first(~is_symbol, lambda cell: f"{values[cell]:g} is no symbol (0 … {MAX_SYMBOLS - 1}); {RENUMBER}", names)
    return values.astype(np.int64)


def refuse_first(wrong: Flags, say: Callable[[tuple[int, ...]], str], names: Sequence[str] = ()) -> None:
    """Raises InputError at the first wrong cell: where it is (in a stack, in which of `names`) and what `say` says."""
    if wrong.any():
        position = tuple(map(int, np.unravel_index(wrong.argmax(), wrong.shape)))
        *grid, row, column = position
        which = "".join(f"{names[index] if names else f'grid {index}'}, " for index in grid)
        raise InputError(f"{which}row {row}, column {column} (counted from 0): {say(position)}")
