"""From the codes in files to symbols: colours of pictures, characters of texts, numbers of arrays.

Each kind of file has its codes: a picture colours packed as 0xRRGGBBAA, a text code points, an array the symbols
themselves, a document the numbers of classes. So for all of them, reading is to look up the symbol of each code.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from string import digits
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer, Num
from PIL import Image

from ..words import HIDDEN, InputError
from .palettes import MAX_SYMBOLS, Palette, unpacked
from .paths import ARRAYS, DOCUMENTS, PICTURES, TEXTS

VALUES = ("class codes",)  # the kind of an array whose numbers stand for symbols
GridOrStack = Int[np.ndarray, "*grids height width"]
Codes = Integer[np.ndarray, "*grids height width"]
Flags = Bool[np.ndarray, "*grids height width"]
GREY, TRANSPARENT = 0x808080FF, 0x00000000
NOTHING = -(2**63)  # in documents, where cells are hidden
CELLS_AT_ONCE = 2**22
MARKERS = ("auto", "grey", "transparent")
RENUMBER = "np.unique(cells, return_inverse=True) numbers symbols 0, 1, 2, …"


class Content(NamedTuple):
    """Hold what was read from a file, before its codes become symbols.

    Parameters
    ----------
    kind
        PICTURES, TEXTS, DOCUMENTS, and of an array ARRAYS, or VALUES if it holds class codes.
    codes
        A code for each cell or, in a picture, for each pixel.
    noted_scale
        The pixels to the side of a cell that a picture notes; 0 if it notes none.
    table
        The packed colours of an indexed picture (PLTE and tRNS); None for any other file.
    image
        The picture itself, so that it can be written back as it came.
    in_values
        Whether the numbers of an array were values of the palette, before they became symbols.
    dtype
        Type of the numbers of an array.
    document
        What else the file holds, so that it can be written back as it came.

    Examples
    --------
    >>> content = Content(PICTURES, np.array([[0xFFFFFFFF, GREY]]))
    >>> look_up(content, Palette.default(2))[0]
    array([[ 1, -1]])
    """

    kind: tuple[str, ...]
    codes: Codes
    noted_scale: int = 1
    table: tuple[int, ...] | None = None
    image: Image.Image | None = None
    in_values: bool = False
    dtype: np.dtype | None = None
    document: Any = None


LISTED = 5  # symbols whose share `understood` says
DECODED = {
    PICTURES: ("colour", unpacked),
    TEXTS: ("character", chr),
    ARRAYS: ("symbol", int),
    DOCUMENTS: ("class", int),
    VALUES: ("class", int),
}  # what a code names


def look_up(
    content: Content, palette: Palette | None, hidden: Flags | None = None, names: Sequence[str] = ()
) -> tuple[GridOrStack, Palette]:
    """Turn the codes of a file into symbols.

    Parameters
    ----------
    content
        What was read; of a picture, one pixel for each cell.
    palette
        What the codes mean; None makes a palette of all codes that are not hidden.
    hidden
        Which cells are hidden; None leaves that to `marked`.
    names
        What errors call each grid of a stack; without names they count the grids from 0.

    Returns
    -------
    cells
        The symbols, HIDDEN where hidden.
    palette
        The palette that was given or made.

    Raises
    ------
    InputError
        When a visible cell has a code that is not in the palette; names the cell.

    Examples
    --------
    >>> cells, palette = look_up(Content(TEXTS, np.array([[ord(character) for character in "ab?a"]])), None)
    >>> cells, palette.characters
    (array([[ 0,  1, -1,  0]]), 'ab')
    """
    codes = content.codes
    if hidden is None:
        hidden = marked(content, palette)
    if palette is None:
        palette = palette_of(np.unique(codes[~hidden]).tolist(), content)
    cells, (what, decode) = np.empty(codes.shape, np.int64), DECODED[content.kind]
    at_once = max(1, CELLS_AT_ONCE * len(codes) // max(1, codes.size))
    for start in range(0, len(codes), at_once):
        part = slice(start, start + at_once)
        cells[part] = symbols_of(codes[part], _codes_in(palette, content.kind))
    unknown = (cells == HIDDEN) & ~hidden
    refuse_first(unknown, lambda cell: f"{what} {decode(int(codes[cell]))!r} is not in the palette", names)
    cells[hidden] = HIDDEN
    return cells, palette


def marked(content: Content, palette: Palette | None, marker: str = "auto") -> Flags:
    """Tell which codes stand for hidden cells: "?" in text, -1 in arrays, grey or transparent pixels in pictures.

    Parameters
    ----------
    content
        What was read.
    palette
        Its colours stay visible under "auto", even if one is grey or transparent; None for no palette.
    marker
        Which pixels of a picture are hidden: "grey" (128, 128, 128), "transparent", or by default "auto", either.

    Returns
    -------
    array of bool
        True where hidden, in the shape of the codes.

    Examples
    --------
    >>> content = Content(PICTURES, np.array([[GREY, TRANSPARENT, 0xFFFFFFFF]]))
    >>> marked(content, None)
    array([[ True,  True, False]])
    >>> marked(content, None, "grey")
    array([[ True, False, False]])
    """
    codes = content.codes
    if content.kind is not PICTURES:
        return codes == {TEXTS: ord("?"), DOCUMENTS: NOTHING}.get(content.kind, HIDDEN)
    hidden = codes == GREY if marker != "transparent" else np.zeros(codes.shape, bool)
    if marker != "grey":
        hidden |= codes.astype(np.uint8) == 0  # the last byte is alpha
    for colour in palette.packed_colours if palette and marker == "auto" else ():
        if colour == GREY or colour & 0xFF == 0:
            hidden &= codes != colour
    return hidden


def palette_of(codes: list[int], content: Content) -> Palette:
    """Make a palette for codes of which nothing else is known.

    Parameters
    ----------
    codes
        All different codes of visible cells, in order.
    content
        The file they are from, or one of several alike. The colours of an indexed picture keep the order of its table.

    Returns
    -------
    Palette
        A symbol for each code; what a code does not say, such as the colour of a character, is the default's. Numbers
        other than 0, 1, 2, … are class codes, digits in text too.

    Raises
    ------
    InputError
        For no codes or more than 256.

    Examples
    --------
    >>> grey = Content(PICTURES, np.array([[0x000000FF, 0x777777FF]]))
    >>> palette_of([0x000000FF, 0x777777FF], grey).colours
    ((0, 0, 0, 255), (119, 119, 119, 255))
    """
    palette = Palette.default(len(codes))
    if content.kind is PICTURES:
        packed = sorted(codes, key=content.table.index) if content.table else codes
        return replace(palette, colours=tuple(map(unpacked, packed)))
    if content.kind is TEXTS:
        characters = "".join(map(chr, codes))
        are_digits = set(characters) <= set(digits)
        return replace(class_palette(list(map(int, characters))) if are_digits else palette, characters=characters)
    return class_palette(codes)


def class_palette(codes: list[int]) -> Palette:
    """Make a palette for numbers of which nothing else is known.

    Parameters
    ----------
    codes
        All different codes, in order.

    Returns
    -------
    Palette
        The default for 0, 1, 2, …; otherwise one with these values, and with characters that do not look like the code
        of another symbol.

    Raises
    ------
    InputError
        For no codes or more than 256.

    Examples
    --------
    >>> class_palette([2, 5]).characters, class_palette([2, 50]).characters
    ('25', 'AB')
    """
    palette = Palette.default(len(codes))
    if codes == list(range(len(codes))):
        return palette
    letters = Palette.default(MAX_SYMBOLS).characters[len(digits) :]
    characters = "".join(map(str, codes)) if set(codes) <= set(range(10)) else letters[: len(codes)]
    characters = palette.characters if len(characters) < len(codes) else characters
    return replace(palette, characters=characters, values=tuple(codes), in_values=HIDDEN not in codes)


def understood(grids: Iterable[Int[np.ndarray, "..."]], palette: Palette) -> str:
    """Say in one line what grids were read as.

    Parameters
    ----------
    grids
        The grids or stacks, HIDDEN where unknown, or one stack.
    palette
        Their symbols.

    Returns
    -------
    str
        How many grids there are, their size, the symbols with their share of the known cells, and the unknown cells.

    Examples
    --------
    >>> understood(np.array([[[0, 1], [0, 0]], [[0, 0], [-1, -1]]]), Palette.default(2)).split("; ")[:2]
    ['2 grids of 2 by 2 cells', '2 symbols: black 83 %, white 17 %']
    >>> understood([np.zeros((3, 4), int), np.ones((2, 9), int)], Palette.default(2))
    '2 grids of 2 by 4 to 3 by 9 cells; 2 symbols: black 40 %, white 60 %; no unknown cells'
    """
    shapes, counts = Counter[tuple[int, ...]](), np.zeros(palette.n_symbols + 1, np.int64)
    for grid in grids:
        shapes[grid.shape[-2:]] += len(grid) if grid.ndim == 3 else 1
        counts += np.bincount(grid.ravel() - HIDDEN, minlength=len(counts))  # HIDDEN is -1: unknown cells come first
    n_grids, (heights, widths) = shapes.total(), zip(*shapes, strict=True)
    ends = dict.fromkeys([f"{min(heights)} by {min(widths)}", f"{max(heights)} by {max(widths)}"])
    unknown, known = int(counts[0]), int(counts[1:].sum())
    shares = [f"{palette.label(symbol)} {_percent(int(n), known)}" for symbol, n in enumerate(counts[1 : LISTED + 1])]
    more = [f"… {palette.n_symbols - LISTED} more"] if palette.n_symbols > LISTED else []
    parts = [
        f"{n_grids} grid{'s' * (n_grids != 1)} of {' to '.join(ends)} cells",
        f"{palette.n_symbols} symbol{'s' * (palette.n_symbols != 1)}: {', '.join(shares + more)}",
        f"{_percent(unknown, unknown + known)} of the cells are unknown" if unknown else "no unknown cells",
    ]
    if unknown and GREY not in palette.packed_colours:
        parts.append("if grey (128, 128, 128) is a class in pictures, give it the colour #808080 in a --palette")
    return "; ".join(parts)


def _percent(part: int, whole: int) -> str:
    if part in (0, whole):
        return f"{100 * part // max(1, whole)} %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "under 0.1 %"
    return f"{percent:.0f} %" if 10 <= percent <= 99 else f"{min(percent, 99.9):.1f} %"


def _codes_in(palette: Palette, kind: tuple[str, ...]) -> list[int]:
    """What stands for each symbol in files of a kind."""
    if kind is PICTURES:
        return palette.packed_colours
    if kind in (DOCUMENTS, VALUES):
        return list(palette.raster_values)
    return list(map(ord, palette.characters)) if kind is TEXTS else list(range(palette.n_symbols))


def symbols_of(codes: Num[np.ndarray, "*grids height width"], codes_of_symbols: Sequence[int]) -> GridOrStack:
    """Turn codes into symbols.

    Parameters
    ----------
    codes
        Any numbers.
    codes_of_symbols
        The code of symbol 0, 1, 2, …; all different, in any order.

    Returns
    -------
    array of int
        The symbol of each code, HIDDEN for a code of no symbol.

    Examples
    --------
    >>> symbols_of(np.array([[41, 11, 99]]), (11, 41))
    array([[ 1,  0, -1]])
    """
    order = np.argsort(codes_of_symbols)
    symbols = order.take(np.searchsorted(codes_of_symbols, codes, sorter=order), mode="clip")
    return np.where(np.array(codes_of_symbols)[symbols] == codes, symbols, HIDDEN)


# Arrays

GRID_AXES, STACK_AXES = "height width", "n height width"


def cells_from_array(array: np.ndarray, axes: str = "", names: Sequence[str] = ()) -> GridOrStack:
    """Turn an array of numbers into cells.

    Parameters
    ----------
    array
        A grid (height, width) or a stack (n, height, width) of bools, integers or floats with whole values 0 … 255.
        Cells with -1, NaN or a mask of `numpy.ma` are hidden.
    axes
        The axes that are needed, such as "height width"; by default both grids and stacks are welcome.
    names
        What errors call each grid of a stack; without names they count the grids from 0.

    Returns
    -------
    array of int64
        The symbols, HIDDEN where hidden.

    Raises
    ------
    InputError
        For another shape, no cells or another type; and for a value that is no symbol, naming the cell.

    Examples
    --------
    >>> cells_from_array(np.array([[0.0, 2.0, np.nan]]))
    array([[ 0,  2, -1]])
    """
    return symbols_from_values(array, None, axes, names)[0]


def symbols_from_values(
    array: np.ndarray, palette: Palette | None, axes: str = "", names: Sequence[str] = ()
) -> tuple[GridOrStack, bool]:
    """Turn an array of symbols, or of the values that stand for them in a palette, into cells.

    An array holds values if one of its numbers is a value of the palette and no symbol; then all must be values. So a
    palette whose values are 11, 21 and 41 reads both the symbols 0, 1, 2 and these values. If a value is the number of
    another symbol, as in 1, 2, 3, the numbers of an array are always symbols: a puzzle with few visible cells could not
    tell. -1 is hidden in any case.

    Parameters
    ----------
    array, axes, names
        As in `cells_from_array`; values may be any integers.
    palette
        The palette; None for symbols.

    Returns
    -------
    cells
        The symbols, HIDDEN where hidden.
    in_values
        Whether the array has values, which `values_of` makes of symbols again.

    Raises
    ------
    InputError
        As `cells_from_array` does, and for symbols among values.

    Examples
    --------
    >>> cover = Palette(Palette.default(3).colours, "abc", values=(11, 21, 41))
    >>> symbols_from_values(np.array([[41, 11, -1]]), cover)
    (array([[ 2,  0, -1]]), True)
    >>> symbols_from_values(np.array([[2, 0, -1]]), cover)
    (array([[ 2,  0, -1]]), False)
    """
    numbers = _whole_numbers(array, axes, names)
    values = palette.values if palette else ()
    if values and (np.isin(numbers, values) & ((numbers < HIDDEN) | (numbers >= len(values)))).any():
        if HIDDEN in values or any(0 <= value < len(values) and values[value] != value for value in values):
            reason = f"some of them are symbols 0 … {len(values) - 1} or -1, too"
            raise InputError(f"its numbers are values of the palette, but {reason}: write symbols instead of values")
        symbols = symbols_of(numbers, values)
        wrong = (symbols == HIDDEN) & (numbers != HIDDEN)
        refuse_first(wrong, lambda cell: f"{numbers[cell]} is no value of the palette, and others are", names)
        return symbols, True
    wrong = (numbers < HIDDEN) | (numbers >= MAX_SYMBOLS)
    refuse_first(wrong, lambda cell: f"{numbers[cell]} is not a symbol 0 … {MAX_SYMBOLS - 1}; {RENUMBER}", names)
    return numbers, False


def content_of(array: np.ndarray, palette: Palette | None, axes: str = "", names: Sequence[str] = ()) -> Content:
    """Take the numbers of an array as class codes or as symbols.

    Parameters
    ----------
    array, axes, names
        As in `symbols_from_values`.
    palette
        Says what the numbers are; None for class codes, of which `look_up` makes a palette.

    Returns
    -------
    Content
        Of the kind VALUES or ARRAYS.

    Raises
    ------
    InputError
        As `symbols_from_values`; without a palette also for numbers below -1, which often mean that there is no data.

    Examples
    --------
    >>> look_up(content_of(np.array([[5, 3, -1, 5]]), None), None)[0]
    array([[ 1,  0, -1,  1]])
    """
    if palette is None or palette.in_values:
        numbers = _whole_numbers(array, axes, names)
        wrong, which = (numbers < HIDDEN) & (palette is None), "they are whole numbers from 0 on, and -1 hides"
        refuse_first(wrong, lambda cell: f"{numbers[cell]} is no symbol: {which}", names)
        return Content(VALUES, numbers, in_values=True, dtype=array.dtype)
    cells, in_values = symbols_from_values(array, palette, axes, names)
    return Content(ARRAYS, cells, in_values=in_values)


def _whole_numbers(array: np.ndarray, axes: str, names: Sequence[str]) -> GridOrStack:
    """The numbers of an array, HIDDEN where they are masked or NaN."""
    if axes and array.ndim != len(axes.split()):
        raise InputError(f"shape {array.shape} is not ({axes}), which is needed here")
    if array.ndim not in (2, 3):
        raise InputError(f"shape {array.shape} is neither a grid (height, width) nor a stack (n, height, width)")
    if array.size == 0:
        raise InputError(f"shape {array.shape} has no cells")
    if array.dtype.kind not in "biuf":
        raise InputError(f"values of type {array.dtype} are not symbols; {RENUMBER}")
    numbers, hidden = np.asarray(np.ma.getdata(array)), np.ma.getmaskarray(array)
    if numbers.dtype.kind == "f":
        hidden = hidden | np.isnan(numbers)
    with np.errstate(invalid="ignore"):  # the conversion of what is too large or no number is refused, or hidden
        cells = numbers.astype(np.int64)
    refuse_first(
        (cells != numbers) & ~hidden,
        lambda cell: f"{numbers[cell]:.10g} is not a symbol 0 … {MAX_SYMBOLS - 1}; {RENUMBER}",
        names,
    )
    cells[hidden] = HIDDEN
    return cells


def values_of(cells: GridOrStack, palette: Palette) -> GridOrStack:
    """Turn symbols into the values of a palette, as `symbols_from_values` read them.

    Parameters
    ----------
    cells
        The symbols, HIDDEN where hidden.
    palette
        The palette.

    Returns
    -------
    array of int
        The values, HIDDEN where hidden.

    Examples
    --------
    >>> values_of(np.array([[1, 0, -1]]), Palette(Palette.default(2).colours, "ab", values=(11, 21)))
    array([[21, 11, -1]])
    """
    return np.array([*palette.raster_values, HIDDEN])[cells]


def refuse_spins(cells: Integer[np.ndarray, "..."]) -> None:
    """Refuse examples with one symbol and hidden cells, of which nothing can be learned: -1 may be meant as a class.

    Parameters
    ----------
    cells
        Cells of all examples, HIDDEN where unknown. Puzzles need not have two symbols, but examples do.

    Raises
    ------
    InputError
        When there are hidden cells, and all others have the same symbol.

    Examples
    --------
    >>> refuse_spins(np.array([[1, -1], [-1, 1]]))
    Traceback (most recent call last):
    gridcloze.words.InputError: all cells are 1 or -1, which stands for hidden cells; if -1 is a class, write 0 and 1
    """
    known = cells[cells != HIDDEN]
    if 0 < known.size < cells.size and (known == known[0]).all():
        meaning = "which stands for hidden cells; if -1 is a class, write 0 and 1"
        raise InputError(f"all cells are {known[0]} or -1, {meaning}")


def refuse_first(wrong: Flags, describe: Callable[[tuple[int, ...]], str], names: Sequence[str] = ()) -> None:
    """Raise an error for the first wrong cell, if there is one.

    Parameters
    ----------
    wrong
        Which cells of a grid or stack are wrong.
    describe
        Says what is wrong with the cell at an index.
    names
        What the error calls each grid of a stack; without names it counts the grids from 0.

    Raises
    ------
    InputError
        When a cell is wrong; says where the first one is, and what is wrong with it.

    Examples
    --------
    >>> cells = np.array([[3, 4], [5, 600]])
    >>> refuse_first(cells > 255, lambda cell: f"{cells[cell]} is too large")
    Traceback (most recent call last):
    gridcloze.words.InputError: row 1, column 1 (counted from 0): 600 is too large
    """
    if wrong.any():
        index = tuple(map(int, np.unravel_index(wrong.argmax(), wrong.shape)))
        *grid, row, column = index
        prefix = "".join(f"{names[number] if names else f'grid {number}'}, " for number in grid)
        raise InputError(f"{prefix}row {row}, column {column} (counted from 0): {describe(index)}")
