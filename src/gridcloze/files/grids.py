"""Grids: how they are read from pictures, texts and arrays, and written back as they came."""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped, UInt32
from PIL import Image

from ..shapes import AnySizeGrid, AnySizeHidden, Cells, OneGrid, OneHidden
from ..words import HIDDEN, AnyPath, InputError, about
from . import codes, html, png
from .arrays import is_stack, read_array, save_array
from .documents import Document, codes_in, only_grid, read_document, values_in
from .palettes import MAX_SYMBOLS, Palette
from .paths import (
    ARRAYS,
    DOCUMENTS,
    MAPS,
    PICTURES,
    SUFFIXES,
    TEXTS,
    WRITTEN_ARRAYS,
    atomic_write,
    is_folder,
    kind_of,
    read_bytes,
    readable,
)
from .tables import NUMBER, Table

MAX_TEXT_BYTES = 2**25
BEGIN = 1000  # characters and lines of a text at which is looked to tell a table
SEPARATORS = ",;\t"
FEW_SQUARES = 16  # that say nothing about the size of cells
LARGEST_OF_MODEL = 2  # as many times the side of a model's grids may a picture have, if nothing says its scale
ANOTHER_SCALE = "--scale chooses another"


@dataclass(frozen=True, eq=False)
class Grid:
    """Hold one grid, how its symbols look and, if it was read from a picture, what is needed to write it back.

    Parameters
    ----------
    cells
        The symbols (height, width), HIDDEN where hidden.
    palette
        What the symbols look like.
    scale
        Pixels to the side of a cell in a picture.
    picture
        The picture that the grid was read from; None if it comes from elsewhere.
    hidden_as_read
        Which cells were hidden in that picture.
    in_values
        Whether the array that the grid was read from had values of the palette; it is written with values again.
    dtype
        Type of that array, which an array of class codes has again.
    document
        The file that the grid was read from, if it holds more than a grid; it is written with all that.
    note
        A line on how the picture was read, if its cells have another size than the model's; otherwise empty.

    Raises
    ------
    InputError
        When a cell has a symbol that the palette lacks, or the scale is below 1.

    Examples
    --------
    >>> grid = Grid.from_cells(np.array([[0, 1], [1, -1]]))
    >>> grid.hidden
    array([[False, False],
           [False,  True]])
    >>> grid.palette == Palette.default(2)
    True
    """

    cells: OneGrid
    palette: Palette
    scale: int = 1
    picture: Image.Image | None = None
    hidden_as_read: OneHidden | None = None
    in_values: bool = False
    dtype: np.dtype | None = None
    document: Document | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise InputError(f"scale {self.scale}: a cell is at least 1 pixel wide")
        unknown = (self.cells < HIDDEN) | (self.cells >= self.palette.n_symbols)
        codes.refuse_first(unknown, lambda cell: f"symbol {self.cells[cell]} is not in the palette")

    @classmethod
    def from_cells(cls, cells: np.ndarray, palette: Palette | None = None, scale: int = 1) -> "Grid":
        """Make a grid from an array.

        Parameters
        ----------
        cells
            The array (height, width), as `cells_from_array` takes it.
        palette
            What the symbols look like; by default a palette of as many symbols as the largest needs.
        scale
            Pixels to the side of a cell in a picture.

        Returns
        -------
        Grid
            Without a picture.

        Raises
        ------
        InputError
            When a value is no symbol of the palette, or the shape or the scale does not fit.
        """
        cells = codes.cells_from_array(cells, codes.GRID_AXES)
        return cls(cells, palette or Palette.default(max(1, int(cells.max()) + 1)), scale)

    @property
    def hidden(self) -> OneHidden:
        """Which cells are hidden."""
        return self.cells == HIDDEN

    def _repr_html_(self) -> str:
        """The grid as a picture, for notebooks."""
        height, width = self.cells.shape
        shown = html.picture(self.cells, self.palette, f"{height} by {width} cells")
        return shown + html.legend(self.palette, bool(self.hidden.any()))

    def with_cells(self, cells: np.ndarray) -> "Grid":
        """Put new cells into the same drawing.

        Parameters
        ----------
        cells
            The array (height, width), as `cells_from_array` takes it.

        Returns
        -------
        Grid
            With the palette, scale and picture of this one.

        Raises
        ------
        InputError
            When the shape differs from this grid's, or a value is no symbol of the palette.
        """
        if cells.shape != self.cells.shape:
            raise InputError(f"new cells of shape {cells.shape} do not fit a grid of shape {self.cells.shape}")
        return replace(self, cells=codes.cells_from_array(cells))


# Reading


def read_grid(
    path: AnyPath,
    palette: Palette | None = None,
    size: tuple[int, int] | None = None,
    scale: int | None = None,
    hidden: AnyPath = "auto",
    *,
    model_scale: int | None = None,
    windows: bool = False,
) -> Grid:
    """Read one grid from a PNG, txt, npy, npz, zarr, GSLIB, VTK or Tiled file.

    Parameters
    ----------
    path
        The file.
    palette
        What the symbols look like in the file; by default its symbols are the colours, characters or numbers that
        occur in it, in order.
    size
        Height and width in cells that are likely, for drawings whose scale is ambiguous; for a model, of what it
        learned from.
    scale
        Pixels to the side of a cell in a picture; by default it is what the picture notes, what fits the model or,
        without a model, the largest that fits.
    hidden
        Which cells of a picture are hidden: those with a pixel that is "grey" (128, 128, 128), "transparent", or by
        default "auto": either, except for colours of the palette. In text they are "?", in arrays -1 or NaN. Or a
        second file (a picture or an array of the same size) that is white or not zero where cells are hidden.
    model_scale
        Pixels to the side of a cell in the examples of the model that the grid is for; None if it is for no model.
        With a model nothing is guessed from the drawing: of whole grids, it is read so that it has as many cells as
        `size`; of windows, at the model's scale if that fits, otherwise with one pixel for each cell.
    windows
        Whether that model learned from windows of larger grids.

    Returns
    -------
    Grid
        The cells and what is needed to write them back.

    Raises
    ------
    InputError
        When a file cannot be read or does not fit; names the file and, where it can, the cell.

    Examples
    --------
    >>> _ = Path("puzzle.txt").write_text("ab?a")
    >>> grid = read_grid("puzzle.txt")
    >>> grid.cells, grid.palette.characters
    (array([[ 0,  1, -1,  0]]), 'ab')

    A picture of four squares, by itself and for a model of windows:

    >>> Image.fromarray(np.array([[0, 0, 255, 255]] * 2, np.uint8)).save("squares.png")
    >>> read_grid("squares.png").cells.shape
    (1, 2)
    >>> read_grid("squares.png", size=(64, 64), model_scale=1, windows=True).cells.shape
    (2, 4)
    """
    with readable(path) as path:
        content, is_by_file = _read_content(path, palette=palette), str(hidden) not in codes.MARKERS
        if is_by_file:
            flags = _read_hidden(hidden, content.codes.shape)
            is_hidden = png.enlarge(flags, content.codes.shape[0] // flags.shape[0])
        else:
            flags = is_hidden = codes.marked(content, palette, str(hidden))
        if content.kind is not PICTURES:
            cells, palette = codes.look_up(content, palette)
            _refuse_size(hidden, flags.shape, cells.shape)
            cells = np.where(is_hidden, HIDDEN, cells)
            in_values, document = content.in_values, content.document
            return Grid(cells, palette, in_values=in_values, dtype=content.dtype, document=document)
        size = None if windows else size
        if scale is not None:
            found, note = scale, ""
        elif model_scale is None:
            found, note = _likely_scale([content], [is_hidden], size), ""
        else:
            found = _scale_for_model(content, is_hidden, size, model_scale)
            note = _note(content, found, model_scale, size) or _remark(content, is_hidden, found)
        try:
            drawn, is_hidden = png.shrink(content.codes, is_hidden, found)
        except InputError as error:
            raise InputError(f"{error}; {ANOTHER_SCALE}") from None
        _refuse_size(hidden, flags.shape, content.codes.shape, drawn.shape)
        cells, palette = codes.look_up(content._replace(codes=drawn), palette, is_hidden)
        return Grid(cells, palette, found, content.image, is_hidden, note=note)


def _scale_for_model(content: codes.Content, hidden: OneHidden, size: tuple[int, int] | None, model_scale: int) -> int:
    """The scale of a picture for a model of whole grids of a size, or of windows; nothing is guessed from its cells."""
    pixels, noted = content.codes, content.noted_scale
    if noted and not any(side % noted for side in pixels.shape):
        return noted
    fits_model = png.fits(pixels, hidden, model_scale)
    if size is None:
        return model_scale if fits_model else 1
    for_size = png.scale_for_size(pixels, size)
    if for_size and (model_scale == 1 or not fits_model or png.fits(pixels, hidden, for_size)):
        return for_size
    too_large = any(side > LARGEST_OF_MODEL * model_scale * of for side, of in zip(pixels.shape, size, strict=True))
    if not fits_model or too_large:
        examples = f"the model's examples have {_size_of(size)} cells of {model_scale} by {model_scale} pixels"
        line = f"it has {_size_of(pixels.shape)} pixels and {examples}, so it is not clear how large its cells are"
        raise InputError(f"{line}; --scale says the side of a cell in pixels")
    return model_scale


def _note(content: codes.Content, scale: int, model_scale: int, size: tuple[int, int] | None) -> str:
    """How a picture is read, if that is not as the model's examples were."""
    shape = tuple(side // scale for side in content.codes.shape)
    is_other_size = size not in (None, shape) and scale != content.noted_scale
    if scale == model_scale and not is_other_size:
        return ""
    pixels = f" (the model's examples have {model_scale} by {model_scale})" if scale != model_scale else ""
    cells = f" (the model's examples have {_size_of(size)})" if size and is_other_size else ""
    return f"read with cells of {scale} by {scale} pixels{pixels}: {_size_of(shape)} cells{cells}; {ANOTHER_SCALE}"


def _remark(content: codes.Content, hidden: OneHidden, scale: int) -> str:
    """What a picture looks like that is read at the model's scale, if it could be drawn with larger cells."""
    if content.noted_scale:
        return ""
    most = math.gcd(*content.codes.shape)
    larger = next(
        (side for side in range(most, scale, -1) if most % side == 0 and png.fits(content.codes, hidden, side)), 1
    )
    corners = content.codes[::larger, ::larger][~hidden[::larger, ::larger]]
    if larger <= scale or len(corners) < FEW_SQUARES or len(np.unique(corners)) < 2:
        return ""
    squares = f"but all pixels that are known lie in squares of {larger} by {larger}"
    return f"read with cells of {scale} by {scale} pixels, {squares}; if these are the cells, use --scale {larger}"


def _read_hidden(path: AnyPath, shape: tuple[int, ...]) -> OneHidden:
    """Where a second file is white or non-zero; it may have the size of a picture or of its cells."""
    with readable(path, PICTURES + ARRAYS) as path:
        flags = read_flags(path)
        is_divisor = flags.ndim == 2 and all(n and side % n == 0 for side, n in zip(shape, flags.shape, strict=True))
    if not is_divisor or shape[0] // flags.shape[0] != shape[1] // flags.shape[1]:
        _refuse_size(path, flags.shape, shape)
    with about(path):
        return np.ma.filled(flags[...] != 0, True)


def _refuse_size(path: AnyPath, shape: tuple[int, ...], *fitting: tuple[int, ...]) -> None:
    if shape not in fitting:
        sizes = " or ".join(map(_size_of, dict.fromkeys(fitting)))
        raise InputError(f"{path}: it is {_size_of(shape)} and the grid {sizes}; both need the same size")


def read_flags(path: Path) -> Any:
    """Read a second file that says which cells of a first one are hidden.

    Parameters
    ----------
    path
        A picture or an array file.

    Returns
    -------
    array
        Of a picture False where it is black or transparent; of an array its numbers, which may stay on disk until
        parts of it are taken. What is not zero is hidden.

    Examples
    --------
    >>> Image.fromarray(np.array([[0, 255]], np.uint8)).save("clouds.png")
    >>> read_flags(Path("clouds.png"))
    array([[False,  True]])
    """
    if kind_of(path) is PICTURES:
        return png.pixel_colours(png.read_image(path)) > 0xFF
    return read_array(path, in_parts=True)


def names_file(rule: str) -> bool:
    """Tell whether a rule of what is allowed is the name of a file.

    Parameters
    ----------
    rule
        As `read_evidence` takes it.

    Returns
    -------
    bool
        Whether it ends like one; otherwise it names symbols.

    Examples
    --------
    >>> names_file("allowed.png"), names_file("water, forest")
    (True, False)
    """
    return Path(rule).suffix.lower() in SUFFIXES + MAPS


def read_evidence(rule: AnyPath, palette: Palette, size: tuple[int, ...]) -> Shaped[np.ndarray, "height width symbol"]:
    """Read which symbols each cell may have, or how likely an observation is for each of them.

    Parameters
    ----------
    rule
        Symbols for all cells, as `Palette.symbols_in` reads them. Or the name of a file: an array with bools or
        probabilities (height, width, symbol); a picture, in which each cell may have the colours that its pixels show,
        and any symbol where a pixel is grey or transparent; or a text with the characters that each cell may have, "?"
        for any: one for each cell, or several with spaces between the cells.
    palette
        The symbols.
    size
        Height and width of the grids, in cells.

    Returns
    -------
    array (height, width, symbol)
        What an array file holds, as it is; otherwise bools.

    Raises
    ------
    InputError
        When the rule cannot be read or has another size; names the file and, where it can, the pixel.

    Examples
    --------
    >>> Image.fromarray(np.array([[0, 255, 128, 128]], np.uint8).repeat(2, axis=0)).save("allowed.png")
    >>> read_evidence("allowed.png", Palette.default(2), (1, 2))  # each cell is drawn with 2 by 2 pixels
    array([[[ True,  True],
            [ True,  True]]])
    >>> read_evidence("not black", Palette.default(2), (1, 1))
    array([[[False,  True]]])
    """
    if not names_file(str(rule)):
        return evidence_by_rule(str(rule), palette, size)
    with readable(rule) as path:
        kind = kind_of(path)
        if kind is ARRAYS:
            evidence = read_array(path, in_parts=True)
        else:
            evidence = (_allowed_in_text if kind is TEXTS else _allowed_in_picture)(path, palette, size)
        check_evidence_shape(evidence.shape, palette, size)
        return evidence[...]


def evidence_by_rule(rule: str, palette: Palette, size: tuple[int, ...]) -> Bool[np.ndarray, "height width symbol"]:
    """Allow the same symbols in all cells.

    Parameters
    ----------
    rule
        The symbols, as `Palette.symbols_in` reads them; never the name of a file.
    palette, size
        As in `read_evidence`.

    Returns
    -------
    array (height, width, symbol)
        True for allowed symbols.

    Raises
    ------
    InputError
        When the rule cannot be read.

    Examples
    --------
    >>> evidence_by_rule("white", Palette.default(2), (1, 1))
    array([[[False,  True]]])
    """
    with about("--allow"):
        allowed = np.isin(np.arange(palette.n_symbols), palette.symbols_in(rule))
    return np.broadcast_to(allowed, (*size, palette.n_symbols))


def check_evidence_shape(shape: tuple[int, ...], palette: Palette, size: tuple[int, ...]) -> None:
    """Refuse evidence for other grids.

    Parameters
    ----------
    shape
        Of the evidence.
    palette, size
        As in `read_evidence`.

    Raises
    ------
    InputError
        When it has another size or number of symbols.

    Examples
    --------
    >>> check_evidence_shape((4, 4, 2), Palette.default(2), (4, 4))
    """
    if shape != (*size, palette.n_symbols):
        raise InputError(f"shape {shape} does not fit; it must be {(*size, palette.n_symbols)} here")


def _allowed_in_text(path: Path, palette: Palette, size: tuple[int, ...]) -> Bool[np.ndarray, "row column symbol"]:
    rows = [list(line.split() if " " in line.strip() else line.strip()) for line in _lines_of(path)]
    if len({len(row) for row in rows}) > 1 or (len(rows), len(rows[0])) != size:
        widths = " and ".join(map(str, sorted({len(row) for row in rows})[:2]))
        raise InputError(f"it has {len(rows)} rows of {widths} cells and the grid {size[0]} by {size[1]}")
    every = dict.fromkeys("?", np.ones(palette.n_symbols, dtype=bool))
    every |= dict(zip(palette.characters, np.eye(palette.n_symbols, dtype=bool), strict=True))
    unknown = sorted({one for row in rows for cell in row for one in cell} - every.keys())
    if unknown:
        raise InputError(f"{unknown[0]!r} is the character of no symbol; they are {' '.join(palette.characters)}")
    return np.array([[np.any([every[one] for one in cell], axis=0) for cell in row] for row in rows])


def _allowed_in_picture(path: Path, palette: Palette, size: tuple[int, ...]) -> Bool[np.ndarray, "row column symbol"]:
    content = _read_content(path)
    scale = png.scale_for_size(content.codes, size)
    if not scale:
        sizes = f"{_size_of(content.codes.shape)} pixels and the grid {size[0]} by {size[1]} cells"
        raise InputError(f"it has {sizes}; use as many pixels for each cell")
    symbols = codes.look_up(content, palette)[0][..., None]
    allowed = (symbols == np.arange(palette.n_symbols)) | (symbols == HIDDEN)
    return allowed.reshape(size[0], scale, size[1], scale, -1).any(axis=(1, 3))


# Reading examples


def read_examples(
    path: AnyPath, palette: Palette | None = None, size: tuple[int, int] | None = None
) -> tuple[Cells, Palette, int]:
    """Read examples of one size.

    Parameters
    ----------
    path
        A folder of grids of one kind, which are read in order of their names, or an array file with a stack.
    palette
        What the symbols look like; by default they are the colours, characters or numbers of all files together.
    size
        Height and width in cells that are likely, such as those of a model.

    Returns
    -------
    cells
        The grids (n, height, width), HIDDEN where hidden.
    palette
        The palette that was given or made.
    scale
        Pixels to the side of a cell: the scale that all pictures note or that gives them the likely size, otherwise
        the largest that fits all; 1 for arrays and texts.

    Raises
    ------
    InputError
        When a file cannot be read, or kinds, sizes or colour tables differ; names the files.

    Examples
    --------
    >>> for name, cells in (("a", [[0, 1]]), ("b", [[1, 1]])):
    ...     write_grid(f"examples/{name}.png", Grid.from_cells(np.array(cells), scale=8))
    >>> cells, palette, scale = read_examples("examples")
    >>> cells.shape, palette.n_symbols, scale
    ((2, 1, 2), 2, 8)
    """
    if is_folder(path):
        grids, palette, scale = _read_folder(Path(path), palette, one_size=True, size=size)
        return np.stack(grids), palette, scale
    with readable(path, ARRAYS) as path:
        content = _read_content(path, codes.STACK_AXES, palette)
        if palette is None:
            codes.refuse_spins(content.codes)
        return *codes.look_up(content, palette), 1


def read_images(path: AnyPath, palette: Palette | None = None) -> tuple[list[AnySizeGrid], Palette, int]:
    """Read examples of any sizes.

    Parameters
    ----------
    path
        A folder of grids of one kind, a file with one grid, or an array file with a stack.
    palette
        What the symbols look like; by default they are the colours, characters or numbers of all files together.

    Returns
    -------
    grids
        The cells (height, width) of each, HIDDEN where hidden.
    palette
        The palette that was given or made.
    scale
        Pixels to the side of a cell, as `read_examples` finds it.

    Raises
    ------
    InputError
        When a file cannot be read, or kinds or colour tables differ; names the files.

    Examples
    --------
    >>> write_grid("images/small.txt", Grid.from_cells(np.array([[0, 1]])))
    >>> write_grid("images/wide.txt", Grid.from_cells(np.array([[0, 1, 1, 0]])))
    >>> [grid.shape for grid in read_images("images")[0]]
    [(1, 2), (1, 4)]
    """
    if is_folder(path):
        return _read_folder(Path(path), palette, one_size=False)
    if is_stack(path):
        cells, palette, scale = read_examples(path, palette)
        return list(cells), palette, scale
    if kind_of(Path(path)) is DOCUMENTS:
        with readable(path) as path:
            codes_of_all = codes_in(read_document(path))
            cells, palette = codes.look_up(codes.Content(DOCUMENTS, codes_of_all), palette)
            return list(cells), palette, 1
    grid = read_grid(path, palette)
    if palette is None and grid.picture is not None:
        with about(path):
            _refuse_twins(grid.picture, set())
    return [grid.cells], grid.palette, grid.scale


def grid_files(folder: Path) -> list[Path]:
    """List the grids in a folder in the order in which they are read.

    Parameters
    ----------
    folder
        Of pictures, texts or arrays.

    Returns
    -------
    list of Path
        By name.

    Examples
    --------
    >>> Path("grids").mkdir()
    >>> _ = Path("grids/b.txt").write_text("."), Path("grids/a.txt").write_text("#")
    >>> [path.name for path in grid_files(Path("grids"))]
    ['a.txt', 'b.txt']
    """
    files = (path for path in folder.iterdir() if not is_folder(path) and not path.name.startswith("."))
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES)


def _read_folder(
    folder: Path, palette: Palette | None, one_size: bool, size: tuple[int, int] | None = None
) -> tuple[list[AnySizeGrid], Palette, int]:
    with about(folder):
        paths = grid_files(folder)
        if not paths:
            raise InputError(f"no grids in this folder; put some into it, as {', '.join(SUFFIXES)}")
        contents = _read_alike(paths, one_size, palette)
        hidden = [codes.marked(content, palette) for content in contents]
        scale = _likely_scale(contents, hidden, size)
        drawn = [png.shrink(content.codes, flags, scale) for content, flags in zip(contents, hidden, strict=True)]
        if palette is None:
            if contents[0].kind is codes.VALUES:
                codes.refuse_spins(np.concatenate([np.unique(content.codes) for content in contents]))
            visible = [np.unique(cells[~flags]) for cells, flags in drawn]
            palette = codes.palette_of(np.unique(np.concatenate(visible)).tolist(), contents[0])
        grids: list[AnySizeGrid] = []
        for path, content, (cells, flags) in zip(paths, contents, drawn, strict=True):
            with about(path.name):
                grids.append(codes.look_up(content._replace(codes=cells), palette, flags)[0])
        return grids, palette, scale


def _likely_scale(
    contents: Sequence[codes.Content], hidden: Sequence[AnySizeHidden], size: tuple[int, int] | None
) -> int:
    """The scale that all pictures note and can be read at, or at which they have a size; otherwise the largest."""
    pairs = list(zip(contents, hidden, strict=True))
    noted = {content.noted_scale for content in contents}
    if len(noted) == 1:
        with suppress(InputError):
            for content, flags in pairs:
                png.shrink(content.codes, flags, *noted)
            return noted.pop()
    for_size = png.scale_for_size(contents[0].codes, size or (0, 0))
    if all(png.fits(content.codes, flags, for_size) for content, flags in pairs):
        return for_size
    return png.find_scale([content.codes for content in contents])


def _read_alike(paths: Sequence[Path], one_size: bool, palette: Palette | None) -> list[codes.Content]:
    first_of_kind = {kind_of(path): path.name for path in reversed(paths)}
    if len(first_of_kind) > 1:
        raise InputError(
            f"{' and '.join(sorted(first_of_kind.values()))} are of different kinds; keep one kind in a folder"
        )
    contents: list[codes.Content] = []
    used = set[int]()  # indices, if the pictures are indexed
    for path in paths:
        with about(path.name):
            content = _read_content(path, palette=palette)
            if palette is None and content.image:
                _refuse_twins(content.image, used)
            contents.append(content._replace(image=None))  # memory is for the codes of all files
        first, last, first_name = contents[0], contents[-1], paths[0].name
        if one_size and last.codes.shape != first.codes.shape:
            sizes = f"{first_name} is {_size_of(first.codes.shape)} and {path.name} is {_size_of(last.codes.shape)}"
            raise InputError(f"{sizes}; use grids of one size")
        if last.kind != first.kind:  # of texts, some are tables of numbers
            raise InputError(f"{first_name} and {path.name} are of different kinds; keep one kind in a folder")
        if palette is None and last.table != first.table:
            raise InputError(f"{first_name} and {path.name} have different palettes (PLTE); save all with the same one")
    return contents


def _refuse_twins(image: Image.Image, used: set[int]) -> None:
    """Refuse classes that only the indices of pictures tell apart; adds those of this one to those in use."""
    table = png.table_of(image)
    if table is None:
        return
    used |= set(np.unique(np.asarray(image)).tolist())
    index_of: dict[int, int] = {}
    for index in sorted(index for index in used if index < len(table)):
        first = index_of.setdefault(table[index], index)
        if first != index:
            both = f"indices {first} and {index} of its palette (PLTE) show the same colour"
            raise InputError(f"{both}; give two classes two colours, or save the picture as RGB if they are one class")


# Content of files


def _read_content(path: Path, axes: str = codes.GRID_AXES, palette: Palette | None = None) -> codes.Content:
    kind = kind_of(path)
    if kind is TEXTS and not _is_table(lines := _lines_of(path)):
        return codes.Content(kind, _characters(lines))
    if kind is ARRAYS:
        return codes.content_of(read_array(path), palette, axes)
    if kind in (DOCUMENTS, TEXTS):
        document = read_document(path)
        only_grid(document)
        return codes.Content(DOCUMENTS, codes_in(document)[0], document=document)
    image = png.read_image(path)
    return codes.Content(kind, png.pixel_colours(image), image.info[png.SCALE_NOTE], png.table_of(image), image)


def _characters(lines: Sequence[str]) -> UInt32[np.ndarray, "height width"]:
    width = len(lines[0])
    for number, line in enumerate(lines, start=1):
        if not line or len(line) != width:
            lengths = f"line {number} has {len(line)} characters, line 1 has {width}"
            raise InputError(f"{lengths}; all lines need the same length, at least 1")
    cells = np.array(lines, f"<U{width}").view("<u4").astype(np.uint32).reshape(len(lines), width)
    unprintable = [code for code in np.unique(cells).tolist() if not chr(code).isprintable()]
    if unprintable:
        is_odd = np.isin(cells, unprintable)
        codes.refuse_first(is_odd, lambda cell: f"{chr(cells[cell])!r} is no symbol: a character must be printable")
    return cells


def _lines_of(path: Path) -> list[str]:
    try:
        text = read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("this is not text in UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def _is_table(lines: Sequence[str]) -> bool:
    """Tell a table of numbers; characters with separators between them, which would be symbols, are refused."""
    begins = [line[:BEGIN] for line in lines[:BEGIN]]
    if 2 * sum(map(_is_row_of_numbers, begins)) > len(begins):
        return True
    separator = begins[0][1:2]
    if separator in SEPARATORS and all(len(line) > 2 and set(line[1::2]) == {separator} for line in begins):
        raise InputError(f"{separator!r} is between all characters; remove it, for each character is a cell")
    return False


def _is_row_of_numbers(line: str) -> bool:
    entries = re.split(r"[,;\s]\s*", line.strip(" \t,;"))
    if len(line) == BEGIN:  # the last is cut
        entries.pop()
    return len(entries) > 1 and any(map(str.isdigit, line)) and all(map(NUMBER.fullmatch, entries))


def _size_of(shape: Sequence[int]) -> str:
    return " by ".join(map(str, shape))


# Writing


def write_grid(path: AnyPath, grid: Grid) -> None:
    """Write a grid to a file, whole or not at all.

    Parameters
    ----------
    path
        A PNG, txt, npy or npz file, or a document (GSLIB, VTK, Tiled) like the one that the grid was read from. Hidden
        cells are grey in a picture (transparent if grey is a colour of the palette), "?" in text, -1 in an array, and
        in a document what they were.
    grid
        The grid. If it was read from a picture, its PNG keeps the mode, the colour table and all pixels of cells that
        are the same, bit for bit; the mode grows only if it cannot express a new colour.

    Raises
    ------
    InputError
        When nothing can be written there, or a colour cannot be drawn.

    Examples
    --------
    >>> write_grid("puzzle.txt", Grid.from_cells(np.array([[0, 1, -1]])))
    >>> print(Path("puzzle.txt").read_text(), end="")
    .#?
    """
    kind_of(Path(path), PICTURES + TEXTS + WRITTEN_ARRAYS + DOCUMENTS * (grid.document is not None))
    with atomic_write(path) as partial:
        save_grid(partial, grid)


def save_grid(path: Path, grid: Grid, more: Mapping[str, Shaped[np.ndarray, "height width"]] | None = None) -> None:
    """Save a grid in a folder of files that are not finished; `write_grid` writes whole or not at all.

    Parameters
    ----------
    path, grid
        As in `write_grid`.
    more
        Grids of numbers by their names, which a document has next to the grid.

    Raises
    ------
    InputError
        When the suffix is none of a grid, or a colour cannot be drawn.

    Examples
    --------
    >>> save_grid(Path("puzzle.txt"), Grid.from_cells(np.array([[0, 1, -1]])))
    >>> print(Path("puzzle.txt").read_text(), end="")
    .#?
    """
    kind = kind_of(path, PICTURES + TEXTS + WRITTEN_ARRAYS + DOCUMENTS * (grid.document is not None))
    if kind is PICTURES:
        png.write_image(path, _drawn(grid), grid.scale, grid.picture)
    elif grid.document is not None and (kind is DOCUMENTS or (kind is TEXTS and isinstance(grid.document, Table))):
        path.write_bytes(grid.document.with_grid(values_in(grid.cells, grid.palette), more or {}))
    elif kind is TEXTS:
        rows = np.array([*grid.palette.characters, "?"])[grid.cells]  # HIDDEN is -1, the last
        path.write_text("".join("".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
    else:
        numbers = codes.values_of(grid.cells, grid.palette) if grid.in_values else grid.cells
        save_array(path, numbers, grid.dtype if grid.palette.in_values else None)


def _drawn(grid: Grid) -> Image.Image:
    """Draw a grid; the mode of a new picture depends on the palette alone, so that all grids of a set get the same."""
    packed = grid.palette.packed_colours
    marker = codes.TRANSPARENT if codes.GREY in packed else codes.GREY
    if marker in packed and grid.hidden.any():
        raise InputError(
            "hidden cells cannot be drawn: grey and transparent are both in the palette; change one colour"
        )
    table = [*packed, marker]
    colours = png.enlarge(np.array(table, np.uint32)[grid.cells], grid.scale)  # HIDDEN is -1, the last
    if grid.picture is not None:
        return _repainted(grid, grid.picture, colours)
    if all(red == green == blue and alpha == 255 for red, green, blue, alpha in grid.palette.colours):
        return png.plain_image(colours, "L")
    if len(table) > MAX_SYMBOLS and grid.hidden.any():
        return png.plain_image(colours, "RGB")
    return png.indexed_image(png.enlarge(grid.cells % len(table), grid.scale), table[:MAX_SYMBOLS])


def _repainted(grid: Grid, image: Image.Image, colours: codes.Codes) -> Image.Image:
    """Paint only the cells that no longer show what they should; what stays hidden may show anything."""
    before, table = png.pixel_colours(image), png.table_of(image)
    newly_hidden = grid.hidden & ~np.asarray(grid.hidden_as_read)
    is_new = np.where(png.enlarge(grid.hidden, grid.scale), png.enlarge(newly_hidden, grid.scale), colours != before)
    if table is None:
        return png.plain_image(np.where(is_new, colours, before), image.mode, image.info.get("transparency"))
    indices, new = np.array(image), np.unique(colours[is_new]).tolist()
    table = [*table, *(colour for colour in new if colour not in table)]
    if len(table) > MAX_SYMBOLS:
        raise InputError("the picture's palette (PLTE) has no room for another colour; save the picture as RGB")
    for colour in new:
        indices[is_new & (colours == colour)] = table.index(colour)
    return png.indexed_image(indices, table)
