"""Grids: how they are read from pictures, texts and arrays, and written back as they came."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped, UInt32
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..shapes import AnySizeGrid, Cells, OneGrid, OneHidden
from ..words import HIDDEN, AnyPath, InputError, about
from . import codes, png
from .arrays import is_stack, read_array, save_array
from .palettes import MAX_SYMBOLS, Palette
from .paths import ARRAYS, PICTURES, SUFFIXES, TEXTS, WRITTEN_ARRAYS, atomic_write, is_folder, kind_of, readable


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

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise InputError(f"scale {self.scale}: a cell is at least 1 pixel wide")
        codes.look_up(codes.Content(ARRAYS, self.cells), self.palette)

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
) -> Grid:
    """Read one grid from a PNG, txt, npy, npz or zarr file.

    Parameters
    ----------
    path
        The file.
    palette
        What the symbols look like in the file; by default its symbols are the colours, characters or numbers that
        occur in it, in order.
    size
        Height and width in cells that are likely, for drawings whose scale is ambiguous.
    scale
        Pixels to the side of a cell in a picture; by default it is found.
    hidden
        Which cells of a picture are hidden: those that are "grey" (128, 128, 128), "transparent", or by default
        "auto": either, except for colours of the palette. In text they are "?", in arrays -1 or NaN. Or a second file
        (a picture or an array of the same size) that is white or not zero where cells are hidden.

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
    """
    with readable(path) as path:
        content, by_file = _read_content(path, palette=palette), str(hidden) not in codes.MARKERS
        pixels = content.codes
        if content.kind is not PICTURES:
            cells, palette = codes.look_up(content, palette)
            is_hidden = _hidden_in(hidden, cells, cells) if by_file else cells == HIDDEN
            return Grid(np.where(is_hidden, HIDDEN, cells), palette, in_values=content.in_values)
        if scale is None:
            scale = png.find_scale([pixels], [content.noted_scale, png.scale_for_size(pixels, size or (0, 0))])
        drawn = content._replace(codes=png.shrink(pixels, scale))
        is_hidden = _hidden_in(hidden, pixels, drawn.codes) if by_file else codes.marked(drawn, palette, str(hidden))
        return Grid(*codes.look_up(drawn, palette, is_hidden), scale, content.image, is_hidden)


def _hidden_in(path: AnyPath, pixels: np.ndarray, cells: np.ndarray) -> OneHidden:
    """Where a second file is white or non-zero; it may have the size of the picture or of its cells."""
    with readable(path, PICTURES + ARRAYS) as path:
        flags = read_flags(path)
        if flags.shape not in (pixels.shape, cells.shape):
            raise InputError(f"it is {_size_of(flags)} and the grid {_size_of(pixels)}; both need the same size")
        hidden = np.ma.filled(flags[...] != 0, True)
        return png.shrink(hidden, hidden.shape[0] // cells.shape[0])


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


def read_evidence(path: AnyPath, palette: Palette, size: tuple[int, ...]) -> Shaped[np.ndarray, "height width symbol"]:
    """Read which symbols each cell may have, or how likely an observation is for each of them.

    Parameters
    ----------
    path
        An array file with bools or probabilities (height, width, symbol). Or a picture: each cell may have the colours
        that its pixels show, and any symbol where a pixel is grey or transparent.
    palette
        The symbols.
    size
        Height and width of the grids, in cells.

    Returns
    -------
    array (height, width, symbol)
        What an array file holds, as it is; of a picture bools.

    Raises
    ------
    InputError
        When the file cannot be read or has another size; names the file and, where it can, the pixel.

    Examples
    --------
    >>> Image.fromarray(np.array([[0, 255, 128, 128]], np.uint8).repeat(2, axis=0)).save("allowed.png")
    >>> read_evidence("allowed.png", Palette.default(2), (1, 2))  # each cell is drawn with 2 by 2 pixels
    array([[[ True,  True],
            [ True,  True]]])
    """
    with readable(path, PICTURES + ARRAYS) as path:
        is_array = kind_of(path) is ARRAYS
        evidence = read_array(path, in_parts=True) if is_array else _allowed_by(_read_content(path), palette, size)
        if evidence.shape != (*size, palette.n_symbols):
            raise InputError(f"shape {evidence.shape} does not fit; it must be {(*size, palette.n_symbols)} here")
        return evidence[...]


def _allowed_by(
    content: codes.Content, palette: Palette, size: tuple[int, ...]
) -> Bool[np.ndarray, "row column symbol"]:
    scale = png.scale_for_size(content.codes, size)
    if not scale:
        sizes = f"{_size_of(content.codes)} pixels and the grid {size[0]} by {size[1]} cells"
        raise InputError(f"it has {sizes}; use as many pixels for each cell")
    symbols = codes.look_up(content, palette)[0][..., None]
    allowed = (symbols == np.arange(palette.n_symbols)) | (symbols == HIDDEN)
    return allowed.reshape(size[0], scale, size[1], scale, -1).any(axis=(1, 3))


# Reading examples


def read_examples(path: AnyPath, palette: Palette | None = None) -> tuple[Cells, Palette, int]:
    """Read examples of one size.

    Parameters
    ----------
    path
        A folder of grids of one kind, which are read in order of their names, or an array file with a stack.
    palette
        What the symbols look like; by default they are the colours, characters or numbers of all files together.

    Returns
    -------
    cells
        The grids (n, height, width), HIDDEN where hidden.
    palette
        The palette that was given or made.
    scale
        Pixels to the side of a cell: the scale that all pictures note, otherwise the largest that fits all; 1 for
        arrays and texts.

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
        grids, palette, scale = _read_folder(Path(path), palette, one_size=True)
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
    grid = read_grid(path, palette)
    return [grid.cells], grid.palette, grid.scale


def _read_folder(folder: Path, palette: Palette | None, one_size: bool) -> tuple[list[AnySizeGrid], Palette, int]:
    with about(folder):
        files = (path for path in folder.iterdir() if not is_folder(path) and not path.name.startswith("."))
        paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(f"no grids in this folder; put some into it, as {', '.join(SUFFIXES)}")
        contents = _read_alike(paths, one_size, palette)
        noted_scales = {content.noted_scale for content in contents}
        scale = png.find_scale([content.codes for content in contents], noted_scales if len(noted_scales) == 1 else [])
        drawn = [content._replace(codes=png.shrink(content.codes, scale)) for content in contents]
        if palette is None:
            if contents[0].kind is ARRAYS:
                codes.refuse_spins(np.concatenate([np.unique(content.codes) for content in contents]))
            visible = [np.unique(content.codes[~codes.marked(content, None)]) for content in drawn]
            palette = codes.palette_of(np.unique(np.concatenate(visible)).tolist(), drawn[0])
        grids: list[AnySizeGrid] = []
        for path, content in zip(paths, drawn, strict=True):
            with about(path.name):
                grids.append(codes.look_up(content, palette)[0])
        return grids, palette, scale


def _read_alike(paths: Sequence[Path], one_size: bool, palette: Palette | None) -> list[codes.Content]:
    first_of_kind = {kind_of(path): path.name for path in reversed(paths)}
    if len(first_of_kind) > 1:
        raise InputError(
            f"{' and '.join(sorted(first_of_kind.values()))} are of different kinds; keep one kind in a folder"
        )
    contents: list[codes.Content] = []
    for path in paths:
        with about(path.name):
            contents.append(
                _read_content(path, palette=palette)._replace(image=None)
            )  # memory is for the codes of all files
        first, last, first_name = contents[0], contents[-1], paths[0].name
        if one_size and last.codes.shape != first.codes.shape:
            sizes = f"{first_name} is {_size_of(first.codes)} and {path.name} is {_size_of(last.codes)}"
            raise InputError(f"{sizes}; use grids of one size")
        if palette is None and last.table != first.table:
            raise InputError(f"{first_name} and {path.name} have different palettes (PLTE); save all with the same one")
    return contents


# Content of files


def _read_content(path: Path, axes: str = codes.GRID_AXES, palette: Palette | None = None) -> codes.Content:
    kind = kind_of(path)
    if kind is TEXTS:
        return codes.Content(kind, _read_text(path))
    if kind is ARRAYS:
        cells, in_values = codes.symbols_from_values(read_array(path), palette, axes)
        return codes.Content(kind, cells, in_values=in_values)
    image = png.read_image(path)
    note = str(image.info.get(png.SCALE_NOTE, ""))
    noted_scale = int(note) if note.isdecimal() and len(note) < 9 else 0
    return codes.Content(kind, png.pixel_colours(image), noted_scale, png.table_of(image), image)


def _read_text(path: Path) -> UInt32[np.ndarray, "height width"]:
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except UnicodeDecodeError:
        raise InputError("this is not text in UTF-8") from None
    width = len(lines[0])
    for number, line in enumerate(lines, start=1):
        if not line or len(line) != width:
            lengths = f"line {number} has {len(line)} characters, line 1 has {width}"
            raise InputError(f"{lengths}; all lines need the same length, at least 1")
    return np.array(lines, f"<U{width}").view("<u4").astype(np.uint32).reshape(len(lines), width)


def _size_of(grid: np.ndarray) -> str:
    return " by ".join(map(str, grid.shape))


# Writing


def write_grid(path: AnyPath, grid: Grid) -> None:
    """Write a grid to a file, whole or not at all.

    Parameters
    ----------
    path
        A PNG, txt, npy or npz file. Hidden cells are grey in a picture (transparent if grey is a colour of the
        palette), "?" in text and -1 in an array.
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
    path = Path(path)
    kind = kind_of(path, PICTURES + TEXTS + WRITTEN_ARRAYS)
    with atomic_write(path) as partial:
        if kind is PICTURES:
            note = PngInfo()
            note.add_text(png.SCALE_NOTE, str(grid.scale))
            _drawn(grid).save(partial, format="PNG", pnginfo=note)
        elif kind is TEXTS:
            rows = np.array([*grid.palette.characters, "?"])[grid.cells]  # HIDDEN is -1, the last
            partial.write_text("".join("".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
        else:
            save_array(partial, codes.values_of(grid.cells, grid.palette) if grid.in_values else grid.cells)


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
