"""What a grid is: symbols, their colours and the hidden cell; how grids are read, and written back as they came.

Files hold codes: a picture colours packed as 0xRRGGBBAA, a text code points, an array the symbols themselves. So for
all of them, reading is to look up the symbol of each code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt32
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..shapes import AnySizeGrid
from ..words import HIDDEN, AnyPath, InputError, about
from .arrays import is_stack, read_array, save_array
from .codes import (
    GREY,
    GRID_AXES,
    MARKERS,
    STACK_AXES,
    TRANSPARENT,
    Codes,
    Content,
    cells_from_array,
    look_up,
    marked,
    palette_of,
)
from .palettes import MAX_SYMBOLS, Palette
from .paths import ARRAYS, PICTURES, SUFFIXES, TEXTS, WRITTEN_ARRAYS, atomic_write, is_folder, kind_of, readable
from .png import (
    SCALE_NOTE,
    enlarge,
    find_scale,
    indexed_image,
    pixel_colours,
    plain_image,
    read_image,
    scale_for_size,
    shrink,
    table_of,
)

Cells = Int[np.ndarray, "n height width"]


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
        look_up(Content(ARRAYS, self.cells), self.palette)

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
        content, in_file = _read_content(path), str(hidden) not in MARKERS
        pixels = content.codes
        if content.kind is not PICTURES:
            cells, palette = look_up(content, palette)
            return Grid(np.where(_hidden_in_file(hidden, cells, cells), HIDDEN, cells) if in_file else cells, palette)
        if scale is None:
            scale = find_scale([pixels], [content.noted_scale, scale_for_size(pixels, size or (0, 0))])
        drawn = content._replace(codes=shrink(pixels, scale))
        is_hidden = _hidden_in_file(hidden, pixels, drawn.codes) if in_file else marked(drawn, palette, str(hidden))
        return Grid(*look_up(drawn, palette, is_hidden), scale, content.image, is_hidden)


def _hidden_in_file(path: AnyPath, pixels: np.ndarray, cells: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """Where a second file is white or non-zero; it may have the size of the picture or of its cells."""
    with readable(path, PICTURES + ARRAYS) as path:
        hidden = read_flags(path)[...] != 0
        if hidden.shape not in (pixels.shape, cells.shape):
            raise InputError(f"it is {_size_of(hidden)} and the grid {_size_of(pixels)}; both need the same size")
        return shrink(hidden, hidden.shape[0] // cells.shape[0])


def read_flags(path: Path) -> Any:
    """What a picture or array file says of cells, not zero where they are hidden; parts of it are read when taken."""
    return pixel_colours(read_image(path)) > 0xFF if kind_of(path) is PICTURES else read_array(path, in_parts=True)


def read_evidence(path: AnyPath, palette: Palette, size: tuple[int, ...]) -> Shaped[np.ndarray, "height width symbol"]:
    """What is allowed where, for grids of `size` (height, width): bools, or probabilities of what was observed.

    An array file has them as they are. In a picture a cell may have the colours that its pixels show; where one of
    these is grey or transparent, it may have any. Raises InputError, naming the file and the place in it.
    """
    with readable(path, PICTURES + ARRAYS) as path:
        is_array = kind_of(path) is ARRAYS
        evidence = read_array(path) if is_array else _allowed_by(_read_content(path), palette, size)
        if evidence.shape != (*size, palette.n_symbols):
            raise InputError(f"shape {evidence.shape} does not fit; it must be {(*size, palette.n_symbols)} here")
        return evidence


def _allowed_by(content: Content, palette: Palette, size: tuple[int, ...]) -> Bool[np.ndarray, "row column symbol"]:
    scale = scale_for_size(content.codes, size)
    if not scale:
        raise InputError(
            f"it is {_size_of(content.codes)} pixels, which are no cells of a grid of {size[0]} by {size[1]}"
        )
    symbols = look_up(content, palette)[0][..., None]
    shown = (symbols == np.arange(palette.n_symbols)) | (symbols == HIDDEN)
    return shown.reshape(size[0], scale, size[1], scale, -1).any(axis=(1, 3))


# Reading examples


def read_examples(path: AnyPath, palette: Palette | None = None) -> tuple[Cells, Palette, int]:
    """The cells, palette and scale of a folder of grids of one kind and size, or of a stack in one array file.

    The symbols are the colours of all files together, and the scale the largest that suits all. Raises InputError.
    """
    if is_folder(path):
        grids, palette, scale = _read_folder(Path(path), palette, one_size=True)
        return np.stack(grids), palette, scale
    with readable(path, ARRAYS) as path:
        return *look_up(_read_content(path, STACK_AXES), palette), 1


def read_images(path: AnyPath, palette: Palette | None = None) -> tuple[list[AnySizeGrid], Palette, int]:
    """As `read_examples`, but of any sizes: of a folder of grids of one kind, one grid, or the grids of a stack."""
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
            raise InputError(f"no examples in this folder; put grids into it, as {', '.join(SUFFIXES)}")
        contents = _read_alike(paths, one_size, same_table=palette is None)
        noted_scales = {content.noted_scale for content in contents}
        scale = find_scale([content.codes for content in contents], noted_scales if len(noted_scales) == 1 else [])
        drawn = [content._replace(codes=shrink(content.codes, scale)) for content in contents]
        if palette is None:
            known = [np.unique(content.codes[~marked(content, None)]) for content in drawn]
            palette = palette_of(np.unique(np.concatenate(known)).tolist(), drawn[0])
        grids: list[AnySizeGrid] = []
        for path, content in zip(paths, drawn, strict=True):
            with about(path.name):
                grids.append(look_up(content, palette)[0])
        return grids, palette, scale


def _read_alike(paths: Sequence[Path], one_size: bool, same_table: bool) -> list[Content]:
    first_of_kind = {kind_of(path): path.name for path in reversed(paths)}
    if len(first_of_kind) > 1:
        raise InputError(f"{' and '.join(sorted(first_of_kind.values()))} are of different kinds; keep one kind here")
    contents: list[Content] = []
    for path in paths:
        with about(path.name):
            contents.append(_read_content(path)._replace(image=None))  # memory is for the codes of all files
        first, one, first_name = contents[0], contents[-1], paths[0].name
        if one_size and one.codes.shape != first.codes.shape:
            sizes = f"{first_name} is {_size_of(first.codes)} and {path.name} is {_size_of(one.codes)}"
            raise InputError(f"{sizes}; use grids of one size")
        if same_table and one.table != first.table:
            raise InputError(f"{first_name} and {path.name} have different palettes (PLTE); save all with the same one")
    return contents


# Content of files


def _read_content(path: Path, axes: str = GRID_AXES) -> Content:
    kind = kind_of(path)
    if kind is TEXTS:
        return Content(kind, _read_text(path))
    if kind is ARRAYS:
        return Content(kind, cells_from_array(read_array(path), axes))
    image = read_image(path)
    note = str(image.info.get(SCALE_NOTE, ""))
    noted_scale = int(note) if note.isdecimal() and len(note) < 9 else 0
    return Content(kind, pixel_colours(image), noted_scale, table_of(image), image)


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


def _size_of(grid: np.ndarray) -> str:
    return " by ".join(map(str, grid.shape))


# Writing


def write_grid(path: AnyPath, grid: Grid) -> None:
    """Writes the format that the suffix names; hidden cells are grey (transparent if grey is a colour), "?" or -1.

    A picture that was read keeps its mode, its PLTE and every pixel of cells that are the same, bit for bit; its mode
    grows only if a new colour cannot be expressed in it. Raises InputError, and then leaves no file.
    """
    path = Path(path)
    kind = kind_of(path, PICTURES + TEXTS + WRITTEN_ARRAYS)
    with atomic_write(path) as partial:
        if kind is PICTURES:
            note = PngInfo()
            note.add_text(SCALE_NOTE, str(grid.scale))
            _drawn(grid).save(partial, format="PNG", pnginfo=note)
        elif kind is TEXTS:
            rows = np.array([*grid.palette.characters, "?"])[grid.cells]  # HIDDEN is -1, the last
            partial.write_text("".join("".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
        else:
            save_array(partial, grid.cells)


def _drawn(grid: Grid) -> Image.Image:
    """A new picture has a mode that hangs on the palette alone, so that all grids of a set get the same."""
    packed = grid.palette.packed_colours
    marker = TRANSPARENT if GREY in packed else GREY
    if marker in packed and grid.hidden.any():
        raise InputError("hidden cells cannot be drawn: grey and transparent are both colours of the palette")
    table = [*packed, marker]
    colours = enlarge(np.array(table, np.uint32)[grid.cells], grid.scale)  # HIDDEN is -1, the last
    if grid.picture is not None:
        return _repainted(grid, grid.picture, colours)
    if all(red == green == blue and alpha == 255 for red, green, blue, alpha in grid.palette.colours):
        return plain_image(colours, "L")
    if len(table) > MAX_SYMBOLS and grid.hidden.any():
        return plain_image(colours, "RGB")
    return indexed_image(enlarge(grid.cells % len(table), grid.scale), table[:MAX_SYMBOLS])


def _repainted(grid: Grid, image: Image.Image, colours: Codes) -> Image.Image:
    """Paints only cells that do not show any more what they should; what stays hidden may show anything."""
    before, table = pixel_colours(image), table_of(image)
    newly_hidden = grid.hidden & ~np.asarray(grid.hidden_as_read)
    is_new = np.where(enlarge(grid.hidden, grid.scale), enlarge(newly_hidden, grid.scale), colours != before)
    if table is None:
        return plain_image(np.where(is_new, colours, before), image.mode, image.info.get("transparency"))
    indices, new = np.array(image), np.unique(colours[is_new]).tolist()
    table = [*table, *(colour for colour in new if colour not in table)]
    if len(table) > MAX_SYMBOLS:
        raise InputError("the picture's palette (PLTE) has no room for another colour; save the picture as RGB")
    for colour in new:
        indices[is_new & (colours == colour)] = table.index(colour)
    return indexed_image(indices, table)
