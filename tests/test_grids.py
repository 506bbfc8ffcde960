import os
import re
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from gridcloze.files.arrays import is_stack, open_stack, write_stack
from gridcloze.files.codes import cells_from_array, understood
from gridcloze.files.grids import Grid, read_examples, read_grid, read_images, write_grid
from gridcloze.files.palettes import Palette
from gridcloze.files.paths import atomic_write, check_writable, is_folder
from gridcloze.files.png import find_scale
from gridcloze.words import HIDDEN, InputError

MODE_COLOURS = {
    "1": [0, 255],
    "L": [0, 7, 200],
    "LA": [(0, 255), (9, 255), (9, 100)],
    "RGB": [(0, 0, 0), (1, 2, 3), (255, 0, 9)],
    "RGBA": [(0, 0, 0, 255), (1, 2, 3, 255), (1, 2, 3, 77)],
    "P": [0, 1, 2],
}
TABLE = [5, 5, 5, 200, 0, 0, 5, 5, 5]  # indices 0 and 2 are of the same colour, and not in sorted order with 1
SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def cells_of(n_symbols: int, lowest: int = HIDDEN):
    return arrays.arrays(np.int64, SHAPES, elements=some.integers(lowest, n_symbols - 1))


def written(grid: Grid, suffix: str) -> bytes:
    with TemporaryDirectory() as folder:
        write_grid(Path(folder, "grid" + suffix), grid)
        return Path(folder, "grid" + suffix).read_bytes()


def read_back(data: bytes, suffix: str, *arguments, **options) -> Grid:
    with TemporaryDirectory() as folder:
        Path(folder, "grid" + suffix).write_bytes(data)
        return read_grid(Path(folder, "grid" + suffix), *arguments, **options)


def image_in(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def picture(mode: str, choices: np.ndarray, scale: int = 1, **save_options) -> bytes:
    """A PNG of a mode, of the mode's colours chosen by number."""
    height, width = choices.shape
    image = Image.new(mode, (width * scale, height * scale))
    if mode == "P":
        image.putpalette(TABLE)
    for row, column in np.ndindex(height * scale, width * scale):
        image.putpixel((column, row), MODE_COLOURS[mode][choices[row // scale, column // scale]])
    file = BytesIO()
    image.save(file, "PNG", **save_options)
    return file.getvalue()


def save(path: Path, pixels) -> Path:
    """A grey or RGB picture of the pixels given."""
    Image.fromarray(np.array(pixels, np.uint8)).save(path)
    return path


def picture_choices(mode: str):
    return arrays.arrays(np.int64, SHAPES, elements=some.integers(0, len(MODE_COLOURS[mode]) - 1))


def raw_png(width: int, height: int, bits: int, colour_type: int, pixels: bytes, table: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = [b"IHDR" + header, b"PLTE" + table, b"IDAT" + zlib.compress(pixels), b"IEND"]
    framed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks if c != b"PLTE"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


# Writing and reading


@settings(max_examples=150, deadline=None)
@given(some.data(), some.sampled_from([".png", ".txt", ".npy", ".npz"]), some.integers(1, 12), some.integers(1, 4))
def test_round_trip_of_new_grids(data, suffix, n_symbols, scale):
    """What is written is read back the same, in every format, with any symbols, hidden cells and scale."""
    grid = Grid.from_cells(data.draw(cells_of(n_symbols)), Palette.default(n_symbols), scale)
    again = read_back(written(grid, suffix), suffix, grid.palette)
    assert np.array_equal(again.cells, grid.cells)
    assert again.scale == (scale if suffix == ".png" else 1)
    assert again.palette == grid.palette


@pytest.mark.parametrize("suffix", [".png", ".txt", ".npy", ".npz"])
@pytest.mark.parametrize("n_symbols", [1, 2, 3, 93, 256])
def test_round_trip_without_palette(suffix, n_symbols):
    """A grid that has all symbols of the default palette is read back without being told the palette."""
    grid = Grid.from_cells(np.arange(n_symbols)[None].repeat(2, axis=0), scale=2)
    again = read_back(written(grid, suffix), suffix)
    in_order = np.argsort(list(grid.palette.characters)) if suffix == ".txt" else np.arange(n_symbols)
    assert np.array_equal(in_order[again.cells], grid.cells)
    assert suffix in (".npy", ".npz", ".txt") or again.palette.colours == grid.palette.colours


@pytest.mark.parametrize(
    ("palette", "mode"),
    [
        (Palette.default(2), "L"),
        (Palette.default(3), "P"),
        (Palette(((128, 128, 128, 255), (0, 0, 0, 255)), "ab"), "LA"),
        (Palette(((128, 128, 128, 255), (0, 9, 0, 255)), "ab"), "P"),
        (Palette(((0, 0, 0, 0), (0, 9, 0, 80)), "ab"), "P"),
        (Palette.default(256), "RGB"),
    ],
)
def test_new_pictures_show_hidden_cells(palette, mode):
    """Hidden cells of a new picture are grey, or transparent where grey is a colour, in a mode that can show both."""
    grid = Grid.from_cells(np.array([[0, 1, HIDDEN]]), palette)
    data = written(grid, ".png")
    assert image_in(data).mode == mode
    has_grey = (128, 128, 128, 255) in palette.colours
    assert image_in(data).convert("RGBA").getpixel((2, 0)) == ((0, 0, 0, 0) if has_grey else (128, 128, 128, 255))
    assert np.array_equal(read_back(data, ".png", palette).cells, grid.cells)


def test_indices_are_symbols():
    """In a new indexed picture the indices are the symbols, whether or not a cell is hidden."""
    for cells in ([[2, 0, 1]], [[2, 0, 0]], [[2, 0, HIDDEN]]):
        image = image_in(written(Grid.from_cells(np.array(cells), Palette.default(3)), ".png"))
        assert np.array_equal(np.array(image), [[3 if cell == HIDDEN else cell for cell in cells[0]]])
        assert len(image.getpalette()) == 3 * 4


def test_format_of_arrays_and_text(folder):
    """Text has one character a cell and "?" where hidden; arrays have -1 there, and an npz file calls them cells."""
    grid = Grid.from_cells(np.array([[0, 1], [HIDDEN, 0]]), Palette.default(2))
    assert written(grid, ".txt") == b".#\n?.\n"
    for name in ("grid.npy", "grid.npz"):
        write_grid(folder / name, grid)
    assert np.load(folder / "grid.npy").tolist() == [[0, 1], [-1, 0]]
    with np.load(folder / "grid.npz") as stored:
        assert stored["cells"].tolist() == [[0, 1], [-1, 0]]


# Pictures come back as they came


@settings(max_examples=150, deadline=None)
@given(some.data(), some.sampled_from(list(MODE_COLOURS)), some.integers(1, 3))
def test_known_pixels_are_untouched(data, mode, scale):
    """After new cells are set, mode, PLTE and all pixels of the other cells are those of the file, bit for bit."""
    before = picture(mode, data.draw(picture_choices(mode)), scale)
    grid = read_back(before, ".png", scale=scale)
    cells = np.where(data.draw(arrays.arrays(bool, grid.cells.shape)), grid.palette.n_symbols - 1, grid.cells)
    after = image_in(written(grid.with_cells(cells), ".png"))
    same = (cells == grid.cells).repeat(scale, axis=0).repeat(scale, axis=1)
    assert after.mode == mode
    assert after.getpalette() == image_in(before).getpalette()
    assert np.array_equal(np.array(after)[same], np.array(image_in(before))[same])
    again = read_back(written(grid.with_cells(cells), ".png"), ".png", grid.palette)
    assert np.array_equal(again.cells, cells)


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (1, 2, 3)), ("1", 0), ("P", b"\xff\x00\xff")])
def test_transparent_colour_of_a_mode_stays(mode, key):
    """A picture whose mode has no alpha but names one transparent colour keeps it, and reads it as hidden."""
    before = picture(mode, np.array([[0, 1], [1, 0]]), transparency=key)
    grid = read_back(before, ".png")
    assert np.array_equal(grid.hidden, [[mode == "1", mode != "1"], [mode != "1", mode == "1"]])
    after = image_in(written(grid, ".png"))
    assert (after.mode, after.info["transparency"]) == (mode, image_in(before).info["transparency"])
    assert np.array_equal(np.array(after), np.array(image_in(before)))
    filled = read_back(written(grid.with_cells(np.zeros((2, 2))), ".png"), ".png", grid.palette)
    assert np.array_equal(filled.cells, np.zeros((2, 2)))


def test_indices_of_an_indexed_picture_stay():
    """Two indices of one colour are one symbol, yet a known pixel keeps its own index, and PLTE its order."""
    before = picture("P", np.array([[0, 1, 2], [2, 1, 0]]))
    grid = read_back(before, ".png")
    assert grid.palette.colours == ((5, 5, 5, 255), (200, 0, 0, 255))
    after = image_in(written(grid.with_cells(np.array([[0, 1, 0], [0, 0, 0]])), ".png"))
    assert np.array(after).tolist() == [[0, 1, 2], [2, 0, 0]]
    assert after.getpalette() == TABLE


@pytest.mark.parametrize(
    ("mode", "colour", "grown"),
    [
        ("1", (9, 9, 9, 255), "L"),
        ("L", (9, 0, 0, 255), "RGB"),
        ("L", (9, 9, 9, 8), "LA"),
        ("RGB", (9, 0, 0, 8), "RGBA"),
    ],
)
def test_mode_grows_only_if_it_must(mode, colour, grown):
    """A colour that the picture's mode cannot express is painted in the next mode that can; all others stay."""
    first = read_back(picture(mode, np.array([[0, 1]])), ".png").palette.colours
    palette = Palette((*first, colour), "abc")
    grid = read_back(picture(mode, np.array([[0, 1, 1]])), ".png", palette)
    image = image_in(written(grid.with_cells(np.array([[0, 1, 2]])), ".png"))
    assert image.mode == grown
    assert [image.convert("RGBA").getpixel((column, 0)) for column in range(3)] == [*first, colour]


def test_missing_colour_is_added_to_the_table():
    """A colour that PLTE lacks is appended to it, and all indices that were there stay."""
    palette = Palette(((5, 5, 5, 255), (200, 0, 0, 255), (1, 2, 3, 40)), "abc")
    grid = read_back(picture("P", np.array([[2, 1, 1]])), ".png", palette)
    image = image_in(written(grid.with_cells(np.array([[0, 1, 2]])), ".png"))
    assert np.array(image).tolist() == [[2, 1, 3]]
    assert image.getpalette() == [*TABLE, 1, 2, 3]
    assert image.convert("RGBA").getpixel((2, 0)) == (1, 2, 3, 40)


def test_full_table_is_refused(folder):
    """A picture that uses all 256 colours of its PLTE has no room for another, and says so."""
    image = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    image.putpalette(np.arange(256, dtype=np.uint8).repeat(3).tobytes())
    image.save(folder / "full.png")
    grid = read_grid(folder / "full.png", hidden="transparent")
    cells = grid.cells.copy()
    cells[0, 0] = HIDDEN
    with pytest.raises(InputError, match="no room for another colour"):
        write_grid(folder / "out.png", grid.with_cells(cells))
    assert not (folder / "out.png").exists()


@settings(max_examples=60, deadline=None)
@given(some.data(), some.sampled_from([*MODE_COLOURS, "new", ".txt"]))
def test_numbers_of_symbols_leave_no_trace(data, kind):
    """Permuting the symbols in cells and palette together leaves every byte of the written file as it is."""
    suffix = kind if kind == ".txt" else ".png"
    if kind in MODE_COLOURS:
        drawn = read_back(picture(kind, np.arange(len(MODE_COLOURS[kind]))[None]), ".png")
        grid = drawn.with_cells(data.draw(arrays.arrays(np.int64, drawn.cells.shape, elements=some.integers(-1, 1))))
    else:
        grid = Grid.from_cells(data.draw(cells_of(2)), Palette.default(2))
    place = np.array(data.draw(some.permutations(range(grid.palette.n_symbols))))
    palette = Palette(
        tuple(grid.palette.colours[symbol] for symbol in place), "".join(grid.palette.characters[i] for i in place)
    )
    cells = np.where(grid.hidden, HIDDEN, np.argsort(place)[grid.cells])
    permuted = Grid(cells, palette, grid.scale, grid.picture, grid.hidden_as_read)
    assert written(permuted, suffix) == written(grid, suffix)


# Hidden cells


def test_ways_to_be_hidden(folder):
    """Grey, transparent, either of them, or what a second file says is hidden; and nothing else is."""
    pixels = [[[0, 0, 0, 255], [128, 128, 128, 255], [9, 9, 9, 0], [255, 0, 0, 255]]]
    path = save(folder / "grid.png", pixels)
    second = save(folder / "hidden.png", [[255, 0, 0, 0]])
    np.save(folder / "hidden.npy", [[0, 0, 0, 1]])
    for hidden, expected in [
        ("auto", [0, 1, 1, 0]),
        ("grey", [0, 1, 0, 0]),
        ("transparent", [0, 0, 1, 0]),
        (second, [1, 0, 0, 0]),
        (str(folder / "hidden.npy"), [0, 0, 0, 1]),
    ]:
        assert read_grid(path, hidden=hidden).hidden.tolist() == [[flag == 1 for flag in expected]]


def test_second_file_may_be_a_pixel_a_cell(folder):
    """The second file has the size of the picture or of its cells, and hides the same."""
    save(folder / "grid.png", np.kron([[0, 255], [255, 0]], np.ones((3, 3))))
    for side in (1, 3):
        save(folder / "hidden.png", np.kron([[0, 255], [0, 0]], np.ones((side, side))))
        grid = read_grid(folder / "grid.png", hidden=folder / "hidden.png")
        assert grid.cells.tolist() == [[0, -1], [1, 0]]


def test_second_file_hides_text_and_arrays(folder):
    """Cells of text and arrays can be hidden by a second file, too."""
    np.save(folder / "hidden.npy", [[True, False, False]])
    (folder / "grid.txt").write_text("ab?")
    np.save(folder / "grid.npy", [[0, 1, -1]])
    for name in ("grid.txt", "grid.npy"):
        assert read_grid(folder / name, hidden=folder / "hidden.npy").cells.tolist() == [[-1, 1, -1]]


def test_what_is_hidden_has_no_symbol(folder):
    """A colour that only hidden cells have is not a symbol, and no error where the palette lacks it."""
    path = save(folder / "grid.png", [[0, 77, 255]])
    hidden = save(folder / "hidden.png", [[0, 255, 0]])
    grid = read_grid(path, hidden=hidden)
    assert grid.palette == Palette.default(2)
    assert read_grid(path, Palette.default(2), hidden=hidden).cells.tolist() == [[0, -1, 1]]
    assert np.array(image_in(written(grid, ".png"))).tolist() == [[0, 77, 255]]


def test_colour_of_the_palette_is_not_hidden(folder):
    """Where grey is a colour of the palette it is a symbol, unless the caller says that grey is hidden."""
    path = save(folder / "grid.png", [[128, 0]])
    palette = Palette(((128, 128, 128, 255), (0, 0, 0, 255)), "ab")
    assert read_grid(path, palette).cells.tolist() == [[0, 1]]
    assert read_grid(path, palette, hidden="grey").cells.tolist() == [[-1, 1]]


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0, -1, 2]], np.int8),
        np.array([[0, np.nan, 2]]),
        np.ma.array([[0, 1, 2]], mask=[[0, 1, 0]]),
        np.ma.array([[0, 9.5, 2]], mask=[[0, 1, 0]]),
    ],
)
def test_hidden_in_arrays(array):
    """-1, NaN and masked are all HIDDEN."""
    cells = cells_from_array(array)
    assert cells.tolist() == [[0, HIDDEN, 2]]
    assert cells.dtype == np.int64
    assert type(cells) is np.ndarray


def test_arrays_of_bool_and_stacks():
    """Bool is 0 and 1, and a stack stays a stack."""
    assert cells_from_array(np.array([[[True, False]]])).tolist() == [[[1, 0]]]


# Scale


@settings(max_examples=60, deadline=None)
@given(cells_of(3), some.integers(1, 4))
def test_scale_that_was_noted_wins(cells, scale):
    """The scale that was written is the one that is read, even if the drawing itself shows a larger one."""
    grid = Grid.from_cells(cells, Palette.default(3), scale)
    assert read_back(written(grid, ".png"), ".png", grid.palette).scale == scale


@settings(max_examples=60, deadline=None)
@given(cells_of(3), some.integers(1, 4))
def test_found_scale_explains_all_pixels(cells, scale):
    """The scale found is a multiple of the true one, and all pixels are of squares of it; 1 where nothing changes."""
    pixels = np.kron(cells, np.ones((scale, scale), int))
    found = find_scale([pixels])
    if (cells == cells[0, 0]).all():
        assert found == 1
    else:
        assert found % scale == 0
        assert np.array_equal(np.kron(pixels[::found, ::found], np.ones((found, found), int)), pixels)


def test_ambiguous_scale(folder):
    """A square on even positions looks like a drawing of scale 2, unless the size or the scale is given."""
    pixels = np.zeros((8, 8))
    pixels[2:6, 4:6] = 255
    path = save(folder / "grid.png", pixels)
    assert read_grid(path).scale == 2
    assert read_grid(path, size=(8, 8)).scale == 1
    assert read_grid(path, size=(4, 4)).scale == 2
    assert read_grid(path, size=(2, 2)).scale == 2, "a size whose cells are not of one colour is not believed"
    for size in ((5, 5), (4, 8), (0, 0)):
        assert read_grid(path, size=size).scale == 2, "nor is one that does not divide the picture"
    assert read_grid(path, scale=1).cells.shape == (8, 8)


def test_scale_divides_the_sides():
    """Where columns change at every second pixel only, an odd height still makes the scale 1."""
    assert find_scale([np.array([[0, 0, 1, 1]] * 3)]) == 1
    assert find_scale([np.array([[0, 0, 1, 1]] * 4).T]) == 2
    assert find_scale([np.array([[0, 0, 1, 1]] * 3).T]) == 1
    assert find_scale([np.array([[0, 0, 1, 1]] * 4), np.zeros((6, 2))]) == 2
    assert find_scale([np.array([[0, 0, 1, 1]] * 4), np.zeros((3, 2))]) == 1


def test_scale_given_must_fit(folder):
    """A scale that is given and does not fit is refused with the first pixel, or the sizes, that contradict it."""
    path = save(folder / "grid.png", [[0, 0, 0, 0], [0, 255, 0, 0]])
    with pytest.raises(InputError, match=r"grid.png: row 1, column 1 \(counted from 0\): this pixel differs"):
        read_grid(path, scale=2)
    for scale in (3, 0, -1):
        with pytest.raises(InputError, match=f"2 by 4 pixels cannot be cut into cells of {scale} by {scale}"):
            read_grid(path, scale=scale)


def test_wrong_note_is_ignored(folder):
    """A noted scale that the pixels contradict, or that is no number, is not believed."""
    from PIL.PngImagePlugin import PngInfo

    for text in ("2", "0", "-3", "many", "9" * 6000):
        note = PngInfo()
        note.add_text("gridcloze:scale", text)
        Image.fromarray(np.array([[0, 255, 0, 9]], np.uint8)).save(folder / "grid.png", pnginfo=note)
        assert read_grid(folder / "grid.png").scale == 1


# Examples


def test_folder_of_pictures(folder):
    """Examples are read in order of name, with the colours and the scale of all together, and hidden cells stay so."""
    save(folder / "b.png", np.kron([[0, 0], [128, 200]], np.ones((4, 4))))
    save(folder / "a.png", np.kron([[0, 50, 50, 50]] + [[0, 0, 0, 0]] * 3, np.ones((2, 2))))
    (folder / "notes.md").write_text("other suffixes are left alone")
    (folder / ".unfinished.png").write_text("and so are files that are not to be seen")
    (folder / "._a.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (folder / "deeper.png").mkdir()
    cells, palette, scale = read_examples(folder)
    assert scale == 2
    assert [colour[0] for colour in palette.colours] == [0, 50, 200]
    assert cells[0].tolist() == [[0, 1, 1, 1]] + [[0] * 4] * 3
    assert cells[1].tolist() == [[0] * 4] * 2 + [[-1, -1, 2, 2]] * 2


def test_folder_with_noted_scale(folder):
    """Examples that note their scale are read at it, even if all of them together show a larger one."""
    for name in ("a.png", "b.png"):
        write_grid(folder / name, Grid.from_cells(np.array([[0, 0, 1, 1], [0, 0, 1, 1]])))
    assert read_examples(folder)[2] == 1


def test_folder_with_given_palette(folder):
    """With a palette the symbols are its own, whatever order or colours the files have."""
    save(folder / "a.png", [[255, 255]])
    cells, palette, _ = read_examples(folder, Palette(((255, 255, 255, 255), (0, 0, 0, 255)), "ab"))
    assert (cells.tolist(), palette.characters) == ([[[0, 0]]], "ab")


def test_folder_of_indexed_pictures(folder):
    """Symbols of indexed pictures are in order of their common PLTE; with different PLTEs the two files are named."""
    (folder / "a.png").write_bytes(picture("P", np.array([[1, 1]])))
    (folder / "b.png").write_bytes(picture("P", np.array([[2, 1]])))
    cells, palette, _ = read_examples(folder)
    assert (cells.tolist(), palette.colours[1]) == ([[[1, 1]], [[0, 1]]], (200, 0, 0, 255))
    save(folder / "c.png", [[0, 255]])
    with pytest.raises(InputError, match=r"a.png and c.png have different palettes"):
        read_examples(folder)


@pytest.mark.parametrize("suffix", [".txt", ".npy", ".npz"])
def test_folder_of_text_or_arrays(folder, suffix):
    """A folder of texts or of arrays is read as one of pictures is."""
    for name, cells in (("a", [[0, 1]]), ("b", [[2, HIDDEN]])):
        write_grid(folder / (name + suffix), Grid.from_cells(np.array(cells), Palette.default(3)))
    cells, palette, scale = read_examples(folder)
    assert cells.tolist() == [[[0, 1]], [[2, HIDDEN]]]
    assert (palette, scale) == (Palette.default(3), 1)


def test_images_of_any_sizes(folder):
    """A folder of pictures of different sizes has the colours and the scale of all together."""
    save(folder / "b.png", np.kron([[0, 0], [128, 200]], np.ones((4, 4))))
    save(folder / "a.png", np.kron([[0, 50, 50]], np.ones((2, 2))))
    save(folder / "c.png", np.zeros((6, 2)))
    images, palette, scale = read_images(folder)
    assert scale == 2
    assert [colour[0] for colour in palette.colours] == [0, 50, 200]
    assert images[0].tolist() == [[0, 1, 1]]
    assert images[1].tolist() == [[0] * 4] * 2 + [[-1, -1, 2, 2]] * 2
    assert images[2].tolist() == [[0]] * 3
    refused(
        "a.png: row 0, column 1 .*: colour .50, 50, 50, 255. is not in the palette",
        read_images,
        folder,
        Palette.default(2),
    )


@settings(max_examples=25, deadline=None)
@given(some.lists(cells_of(3, lowest=0), min_size=1, max_size=4), some.sampled_from([".png", ".txt", ".npy", ".npz"]))
def test_images_are_as_each_alone(images, suffix):
    """Each image of a folder is what it is when it is read alone with the palette of all."""
    with TemporaryDirectory() as folder:
        for number, cells in enumerate([np.arange(3)[None], *images]):
            write_grid(Path(folder, f"{number}{suffix}"), Grid.from_cells(cells, Palette.default(3)))
        read, palette, scale = read_images(folder)
        assert scale == 1
        for number, cells in enumerate(read):
            assert np.array_equal(cells, read_grid(Path(folder, f"{number}{suffix}"), palette).cells)
        assert [cells.shape for cells in read[1:]] == [cells.shape for cells in images]


def test_images_of_one_file(folder):
    """One grid is one image, drawn at any scale, and the grids of a stack are several."""
    path = save(folder / "a.png", np.kron([[0, 50], [50, 50]], np.ones((3, 3))))
    images, palette, scale = read_images(path)
    assert ([cells.tolist() for cells in images], scale) == ([[[0, 1], [1, 1]]], 3)
    assert palette.colours[1] == (50, 50, 50, 255)
    write_stack(folder / "stack.npy", np.array([[[0, 1]], [[1, 0]]]))
    images, palette, scale = read_images(folder / "stack.npy")
    assert ([cells.tolist() for cells in images], palette, scale) == ([[[0, 1]], [[1, 0]]], Palette.default(2), 1)


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(np.int64, arrays.array_shapes(min_dims=3, max_dims=3), elements=some.integers(-1, 3)))
def test_round_trip_of_stacks(cells):
    """A stack is read back as it was written."""
    with TemporaryDirectory() as folder:
        for name in ("stack.npy", "stack.npz"):
            write_stack(Path(folder, name), cells)
            again, _, scale = read_examples(Path(folder, name), Palette.default(4))
            assert np.array_equal(again, cells)
            assert scale == 1


def test_what_is_a_stack(folder):
    """Only an array of three dimensions is a stack; a picture never is, and a file that is not there is an error."""
    write_stack(folder / "stack.npz", np.array([[[0, 1]]]))
    np.save(folder / "grid.npy", [[0, 1]])
    assert is_stack(folder / "stack.npz")
    assert not is_stack(folder / "grid.npy")
    assert not is_stack(save(folder / "grid.png", [[0, 255]]))
    refused("^[^:]*none.npy: no such file", is_stack, folder / "none.npy")


def test_a_stack_is_told_by_its_header(folder):
    """Whether an npz file is a stack is seen without its cells: damage in these shows only when it is opened."""
    path = folder / "stack.npz"
    np.savez(path, hidden=np.zeros((1, 99, 99), bool), anything=np.zeros((1, 99, 99)))
    damaged = bytearray(path.read_bytes())
    damaged[damaged.rindex(b"PK\1\2", 0, damaged.rindex(b"PK\1\2")) - 1] ^= 1  # the last byte of the last array
    path.write_bytes(damaged)
    assert is_stack(path)
    refused("stack.npz: damaged, or not an array of numbers", open_stack, path, Palette.default(2))


def test_hidden_in_npz(folder):
    """In an npz file the array `cells`, or the only one, is the content, and `hidden` says what is not known."""
    hidden = np.array([[[True, False, False]]])
    np.savez(folder / "stack.npz", cells=[[[7, 1, 0]]], hidden=hidden, other=[3])
    assert read_examples(folder / "stack.npz")[0].tolist() == [[[-1, 1, 0]]]
    np.savez(folder / "stack.npz", anything=[[[0, 1, 0]]])
    assert read_examples(folder / "stack.npz")[0].tolist() == [[[0, 1, 0]]]


# What was understood


def test_what_was_understood():
    """Grids, sizes, symbols with their shares and unknown cells are said in one line."""
    one = np.zeros((40, 50), int)
    assert understood([one], Palette.default(1)) == "1 grid of 40 by 50 cells; 1 symbol: black 100 %; no unknown cells"
    line = understood([one[:2], one[:, :3]], Palette.default(2))
    assert line.startswith("2 grids of 2 by 3 to 40 by 50 cells; 2 symbols: black 100 %, white 0 %;")
    many = understood(np.arange(20).reshape(1, 4, 5), Palette.default(20))
    assert many.split("; ")[1] == (
        "20 symbols: black 5.0 %, orange 5.0 %, sky blue 5.0 %, bluish green 5.0 %, yellow 5.0 %, … 15 more"
    )
    rare = np.zeros((100, 100), int)
    rare[0, 0] = 1
    assert "black 99.9 %, white under 0.1 %" in understood([rare], Palette.default(2))
    names = Palette.default(2).to_json() | {"names": ["sand", "shale"]}
    assert "sand 50 %, shale 50 %" in understood([np.array([[0, 1]])], Palette.from_json(names))


def test_grey_that_was_taken_as_unknown_is_mentioned(folder):
    """Unknown cells are said, with what makes a symbol of grey, until a palette has done so."""
    path = save(folder / "grid.png", [[0, 128, 255, 255]])
    images, palette, _ = read_images(path)
    line = understood(images, palette)
    assert "; 25 % of the cells are unknown; if grey (128, 128, 128) is a class in pictures, give it" in line
    assert "\n" not in line
    palette = Palette(((0, 0, 0, 255), (128, 128, 128, 255), (255, 255, 255, 255)), "abc")
    line = understood(read_images(path, palette)[0], palette)
    assert line.endswith("black 25 %, symbol b 25 %, white 50 %; no unknown cells")
    line = understood([np.array([[-1]])], palette)
    assert line.endswith("symbol b 0 %, white 0 %; 100 % of the cells are unknown")


# zarr


def save_zarr(path: Path, array: np.ndarray, chunks: tuple[int, ...] | None = None, zarr_format: int = 3) -> Path:
    zarr.create_array(path, data=array, chunks=chunks or array.shape, zarr_format=zarr_format)
    return path


@settings(max_examples=15, deadline=None)
@given(
    arrays.arrays(np.int8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=some.integers(-1, 3)),
    some.sampled_from([2, 3]),
)
def test_zarr_stacks_are_as_npy(cells, zarr_format):
    """A zarr array is read as an npy file of the same is, as a whole, by parts, and a grid of it."""
    with TemporaryDirectory() as folder:
        path = save_zarr(Path(folder, "stack.zarr"), cells, (2, 2, 2), zarr_format)
        assert is_stack(path)
        assert np.array_equal(read_examples(path, Palette.default(4))[0], cells)
        assert np.array_equal(read_images(path, Palette.default(4))[0], cells)
        stack = open_stack(path, Palette.default(4))
        parts = [stack.read(slice(start, min(start + 2, len(stack)))) for start in range(0, len(stack), 2)]
        assert np.array_equal(np.concatenate(parts), cells)
        grid = save_zarr(Path(folder, "grid.zarr"), cells[0])
        assert not is_stack(grid)
        assert np.array_equal(read_grid(grid, Palette.default(4)).cells, cells[0])


def test_groups_of_zarr(folder):
    """A group has its array under 'cells', or a single one, as an npz file has; `hidden` says what is not known."""
    stack = np.array([[[1, 1, 0]]])
    for name in ("cells", "anything"):
        zarr.create_group(folder / f"{name}.zarr").create_array(name, data=stack)
        assert read_examples(folder / f"{name}.zarr")[0].tolist() == stack.tolist()
    group = zarr.open_group(folder / "cells.zarr")
    group.create_array("hidden", data=np.array([[[True, False, False]]]))
    assert open_stack(folder / "cells.zarr", Palette.default(2)).read(slice(0, 1)).tolist() == [[[-1, 1, 0]]]
    zarr.open_group(folder / "anything.zarr").create_array("other", data=stack)
    refused(r"\['anything', 'other'\]; name one of them 'cells'", read_examples, folder / "anything.zarr")


def test_a_folder_of_zarr_is_a_file(folder):
    """A .zarr folder is no folder of pictures, is found among the files of a folder, and hides cells of another."""
    for name, cells in (("a.zarr", [[0, 1]]), ("b.zarr", [[1, -1]])):
        save_zarr(folder / name, np.array(cells))
    assert is_folder(folder)
    assert not is_folder(folder / "a.zarr")
    assert read_examples(folder)[0].tolist() == [[[0, 1]], [[1, HIDDEN]]]
    assert read_grid(folder / "a.zarr", hidden=save_zarr(folder / "c.zarr", np.array([[0, 3]]))).hidden.tolist() == [
        [False, True]
    ]


def test_zarr_is_read_by_parts(folder):
    """Of a zarr stack only the chunks of the grids that are asked for are read: damage elsewhere is not noticed."""
    path = save_zarr(folder / "stack.zarr", np.array([[[0, 1]], [[1, 0]]]), (1, 1, 2))
    (path / "c" / "1" / "0" / "0").write_bytes(b"damage")
    stack = open_stack(path, Palette.default(2))
    assert stack.read(slice(0, 1)).tolist() == [[[0, 1]]]
    refused("^[^:]*stack.zarr: damaged, or not an array of numbers", stack.read, slice(1, 2))
    refused("^[^:]*stack.zarr: damaged, or not an array of numbers", read_examples, path)


def test_bad_zarr(folder):
    """A folder that has no array, and a file, are refused, and so are arrays that are no cells."""
    (folder / "empty.zarr").mkdir()
    refused("^[^:]*empty.zarr: damaged, or not an array", read_examples, folder / "empty.zarr")
    (folder / "file.zarr").write_text("text")
    refused("^[^:]*file.zarr: damaged, or not an array", read_grid, folder / "file.zarr")
    refused("none.zarr: no such file", read_grid, folder / "none.zarr")
    refused(
        r"shape \(1, 2\) is not", open_stack, save_zarr(folder / "grid.zarr", np.array([[0, 1]])), Palette.default(2)
    )
    refused(
        r"row 0, column 1 .*: 0.5 is not a symbol", read_grid, save_zarr(folder / "half.zarr", np.array([[0, 0.5]]))
    )


def test_a_plain_install_says_what_is_missing(folder):
    """Without the package the error names it, and other files can be read."""
    write_stack(folder / "stack.npy", np.array([[[0, 1]]]))
    save_zarr(folder / "stack.zarr", np.array([[[0, 1]]]))
    script = (
        "import sys; sys.modules['zarr'] = None; from gridcloze.files.grids import read_examples\n"
        f"read_examples({str(folder / 'stack.npy')!r})\n"
        f"try: read_examples({str(folder / 'stack.zarr')!r})\n"
        "except ModuleNotFoundError as error: sys.exit(error.name)"
    )
    told = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (1, "zarr\n")


# Refusals


def refused(message: str, function, *arguments, **options) -> None:
    """The call raises InputError with one line that has the message in it."""
    with pytest.raises(InputError, match=message) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_strange_colours_and_values_are_named(folder):
    """What is not in the palette is refused with the file, the row and column, and what it is."""
    palette = Palette.default(2)
    path = save(folder / "grid.png", [[[0, 0, 0], [255, 255, 255]], [[0, 0, 0], [255, 0, 9]]])
    where = r"row 1, column 1 \(counted from 0\)"
    refused(rf"grid.png: {where}: colour \(255, 0, 9, 255\) is not in the palette", read_grid, path, palette)
    (folder / "grid.txt").write_text(".#\n.x")
    refused(rf"grid.txt: {where}: character 'x' is not in", read_grid, folder / "grid.txt", palette)
    np.save(folder / "grid.npy", [[0, 0], [1, 2]])
    refused(rf"grid.npy: {where}: symbol 2 is not in", read_grid, folder / "grid.npy", palette)
    np.save(folder / "stack.npy", [[[0, 0], [1, 1]], [[0, 0], [1, 2]]])
    refused(rf"stack.npy: grid 1, {where}: symbol 2 is", read_examples, folder / "stack.npy", palette)
    (folder / "some").mkdir()
    path.rename(folder / "some" / "b.png")
    save(folder / "some" / "a.png", [[0, 0], [0, 0]])
    refused(rf"some: b.png: {where}: colour \(255, 0, 9, 255\)", read_examples, folder / "some", palette)


def test_files_that_are_not_there(folder):
    """No such file, a folder for a file and the reverse, and unknown suffixes are refused by name."""
    refused("none.png: no such file", read_grid, folder / "none.png")
    refused("none: no such file", read_examples, folder / "none")
    refused("a file is needed", read_grid, folder)
    (folder / "grid.jpg").write_bytes(b"")
    refused(r"suffix '.jpg' is not supported here; use .png, .txt, .npy, .npz, .zarr", read_grid, folder / "grid.jpg")
    refused(r"suffix '.jpg' is not supported here; use .npy, .npz, .zarr", read_examples, folder / "grid.jpg")
    refused("suffix '.jpg' is not supported", write_grid, folder / "out.jpg", Grid.from_cells(np.array([[0]])))
    refused("suffix '.png' is not supported", write_stack, folder / "out.png", np.array([[[0]]]))
    refused("suffix '.zarr' is not supported here; use .npy, .npz", write_stack, folder / "out.zarr", np.array([[[0]]]))
    refused("suffix '.zarr' is not supported", write_grid, folder / "out.zarr", Grid.from_cells(np.array([[0]])))
    refused("none.png: no such file", read_grid, save(folder / "grid.png", [[0]]), hidden=folder / "none.png")


def test_files_that_are_no_files(folder):
    """A pipe with the name of a grid is refused, not waited for."""
    for name in ("grid.png", "grid.txt"):
        os.mkfifo(folder / name)
        refused("this is a pipe or a device", read_grid, folder / name)


def test_files_without_permission(folder, monkeypatch):
    """A file that may not be read, and a folder that may not be written to, are refused before anything is tried."""
    path = save(folder / "grid.png", [[0]])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    refused("no permission to read this file", read_grid, path)
    refused("no permission for its folder", check_writable, path)


def test_every_damage_is_refused(folder):
    """A PNG with any one byte changed, or cut off anywhere, is refused."""
    data = picture("L", np.array([[0, 1, 2], [2, 1, 0]]))
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x10
        for damaged in (bytes(changed), data[:place]):
            refused("damaged|not a PNG|more than|16 bits", read_back, damaged, ".png")


def test_pixels_that_cannot_be_decoded(folder):
    """A PNG whose checksums are right and whose pixels are not is refused."""
    refused("damaged or truncated", read_back, raw_png(4, 4, 8, 0, b"short"), ".png")
    refused("not a PNG picture", read_back, b"GIF89a" + raw_png(4, 4, 8, 0, b""), ".png")
    refused("index 7 in a palette of 1 colours", read_back, raw_png(1, 1, 8, 3, b"\0\7", table=b"abc"), ".png")


def test_pictures_too_large_or_too_deep():
    """64 million pixels are refused before they are decoded, and so are 16 bits a channel."""
    refused("8001 by 8000 pixels are more than 64000000", read_back, raw_png(8000, 8001, 8, 0, b""), ".png")
    refused("more than 64000000", read_back, raw_png(2**31 - 1, 2**31 - 1, 8, 0, b""), ".png")
    refused("damaged", read_back, raw_png(8000, 8000, 8, 0, b""), ".png")
    refused("16 bits per channel are not supported", read_back, raw_png(1, 1, 16, 0, b"\0\1\2"), ".png")
    refused("16 bits per channel are not supported", read_back, raw_png(1, 1, 16, 2, b"\0" * 7), ".png")


def test_too_many_symbols(folder):
    """A picture or text of more than 256 symbols is refused, for it is no grid of categories."""
    values = np.arange(257)
    path = save(folder / "many.png", np.stack([values // 256, values % 256, values * 0], axis=-1)[None])
    refused("many.png: 257 different symbols; a grid has at most 256", read_grid, path)
    (folder / "many.txt").write_text("".join(chr(0x4E00 + value) for value in values), encoding="utf-8")
    refused("257 different symbols", read_grid, folder / "many.txt")
    refused("257 different symbols", Palette.default, 257)


def test_bad_text(folder):
    """Ragged lines are refused by number, and so are empty texts, other encodings and unprintable characters."""
    path = folder / "grid.txt"
    for content, message in [
        (b"ab\nab\nabc\n", "grid.txt: line 3 has 3 characters, line 1 has 2"),
        (b"ab\n\nab", "line 2 has 0 characters"),
        (b"", "line 1 has 0 characters"),
        (b"\n", "line 1 has 0 characters"),
        (b"\xff\xfe\xff", "not text in UTF-8"),
        (b"a\tbc", "row 0, column 1 .*: '.t' is no symbol: a character must be printable"),
        (b"ab\na\0", "row 1, column 1 .* is no symbol"),
        (b"a\x1bb", "is no symbol: a character must be printable"),
        ("a\u2028b".encode(), "is no symbol: a character must be printable"),
        (b"ab\n" * 2**24, "more than the 33554432 bytes"),
        (b"??", "give a palette"),
    ]:
        path.write_bytes(content)
        refused(message, read_grid, path)


def test_text_of_other_systems(folder):
    """A byte order mark, lines that end as on Windows or old Macs, and how the last line ends make no difference."""
    for content in (b"\xef\xbb\xbfab\r\nba", b"ab\rba\r", b"ab\nba\n\n\n", b"ab\r\nba\r\n\r\n"):
        (folder / "grid.txt").write_bytes(content)
        assert read_grid(folder / "grid.txt").cells.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("1.5e+00, 2, nan,\n.5, ?, 3.,\n", r"row 0, column 0 .*: 1.5 is no class"),
        ("1 -2\n3 4\n", "line 1: -2 is no class code: these are 0 or more, and -1, \\? and nan hide"),
        ("1 2\n3 4 5\n", "line 2 has 3 entries, line 1 has 2"),
        ("ncols 3\nnrows 3\n1 2 3\n4 5 6\n7 8 9\n", "line 1: 'ncols' is no number"),
        ("a,b,c\nb,c,a", "',' is between all characters; remove it"),
        ("a;?;c", "';' is between all characters"),
        (" ".join(["1.5"] * 1000) + "\n", "1.5 is no class"),
    ],
)
def test_tables_that_are_none(folder, text, advice):
    """Characters with separators between them are refused: separators are no symbols. So are numbers of no class."""
    (folder / "grid.txt").write_text(text)
    for read in (read_grid, read_images):
        refused(f"grid.txt: .*{advice}", read, folder / "grid.txt")


@pytest.mark.parametrize(
    "text", ["11,21,41\n95,11,21\n", "0 1 1\n1 0 0\n", "10  2\n3   4\n", "1;2;3\n4;55;6", "1\t22\n333\t4"]
)
def test_tables_of_numbers(folder, text):
    """Numbers with separators between them are class codes."""
    (folder / "grid.txt").write_text(text)
    numbers = [list(map(int, line.split())) for line in re.sub("[,;]", " ", text).splitlines()]
    grid = read_grid(folder / "grid.txt")
    assert np.array(grid.palette.raster_values)[grid.cells].tolist() == numbers
    assert read_images(folder / "grid.txt")[0][0].tolist() == grid.cells.tolist()
    (folder / "other.txt").write_text("..#\n")
    refused("grid.txt and other.txt are of different kinds", read_images, folder)


@pytest.mark.parametrize("text", ["# #\n# #", "0110\n1001", "#,..\n.,#,", "-. 1\n. ..", ". . .\n . . ", "1", "1\n2"])
def test_separators_can_be_symbols(folder, text):
    """Spaces and commas that stand for floor or grass are symbols as any others, and so are digits."""
    (folder / "grid.txt").write_text(text)
    assert read_grid(folder / "grid.txt").palette.n_symbols == len(set(text) - {"\n"})


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "is neither a grid"),
        (np.zeros((1, 1, 1, 1)), "is neither a grid"),
        (np.zeros((0, 3)), "has no cells"),
        (np.array([["a"]]), "values of type <U1 are not symbols"),
        (np.array([[1j]]), "values of type complex128 are not symbols"),
        (np.array([[0, 0.5]]), r"row 0, column 1 \(counted from 0\): 0.5 is not a symbol"),
        (np.array([[0, np.inf]]), "inf is not a symbol"),
        (np.array([[-2]]), r"-2 is not a symbol .* np.unique\(cells, return_inverse=True\)"),
        (np.array([[[0]], [[256]]]), "grid 1, row 0, column 0 .* 256 is not a symbol"),
        (np.array([[2**64 - 1]], np.uint64), "is not a symbol"),
    ],
)
def test_arrays_that_are_no_cells(array, message):
    """Arrays of other dimensions, types or values are refused, with the first bad cell where there is one."""
    refused(message, cells_from_array, array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, -9999]]), "grid.npy: row 0, column 1 .*: -9999 is no symbol"),
        (np.array([[-1, -1]]), "give a palette"),
        (np.array([[[0, 1]]]), r"shape \(1, 1, 2\) is not \(height width\)"),
        (np.array([[None]]), "values of type object are no numbers"),
    ],
)
def test_arrays_that_are_no_grid(folder, array, message):
    """No-data numbers, nothing known, a stack for a grid, and objects (which would be pickle) are refused."""
    np.save(folder / "grid.npy", array)
    refused(message, read_grid, folder / "grid.npy")


def test_damaged_arrays(folder):
    """Truncated npy and npz files, files that are neither, and npz files that do not say what the cells are."""
    for suffix in (".npy", ".npz"):
        whole = written(Grid.from_cells(np.arange(9).reshape(3, 3)), suffix)
        for data in (whole[: len(whole) // 2], whole[:-3], b"", b"text", b"\x80\x04."):
            refused("grid.np.: damaged", read_back, data, suffix)
    np.savez(folder / "two.npz", a=[[0]], b=[[1]])
    refused(r"\['a', 'b'\]; name one of them 'cells'", read_grid, folder / "two.npz")
    np.savez(folder / "hidden.npz", cells=[[0, 1]], hidden=[[True]])
    refused(r"'hidden' must be an array of bool in the shape", read_grid, folder / "hidden.npz")
    np.save(folder / "grid.npy", [[0, 1]])
    refused(r"shape \(1, 2\) is not \(n height width\)", read_examples, folder / "grid.npy")
    refused(r"shape \(1, 2\) is not \(n height width\)", write_stack, folder / "out.npy", np.array([[0, 1]]))


def test_bad_folders(folder):
    """An empty folder, sizes that differ, kinds that differ and a damaged file are refused with the files' names."""
    refused("no grids in this folder; put some into it, as .png", read_examples, folder)
    save(folder / "a.png", [[0, 255]])
    save(folder / "b.png", [[0, 255, 0]])
    refused("a.png is 1 by 2 and b.png is 1 by 3", read_examples, folder)
    (folder / "b.png").write_bytes(b"text")
    refused("b.png: this is not a PNG", read_examples, folder)
    (folder / "b.png").rename(folder / "b.txt")
    refused("a.png and b.txt are of different kinds", read_examples, folder)


def test_hidden_of_another_size(folder):
    """A second file of another size is refused, also one that divides the picture and has not the size of its cells."""
    path = save(folder / "grid.png", [[0, 0, 255, 255]] * 2)
    refused("it is 1 by 3 and the grid 2 by 4", read_grid, path, hidden=save(folder / "h.png", [[0, 0, 0]]))
    small = save(folder / "h.png", [[255]])
    path = save(folder / "grid.png", np.kron([[0, 255], [255, 0]], np.ones((2, 2))))
    refused("h.png: it is 1 by 1 and the grid 4 by 4 or 2 by 2; both need the same size", read_grid, path, hidden=small)
    (folder / "grid.txt").write_text("ab\nba")
    refused("h.png: it is 1 by 1 and the grid 2 by 2", read_grid, folder / "grid.txt", hidden=small)


def test_nothing_known_in_a_picture(folder):
    """A picture of hidden cells alone needs a palette, and is read with one."""
    path = save(folder / "grid.png", [[128, 128]])
    refused("every cell is hidden", read_grid, path)
    assert read_grid(path, Palette.default(2)).hidden.all()


def test_grids_that_make_no_sense(folder):
    """Cells of another shape or with symbols beyond the palette, and a scale below 1, make no grid."""
    grid = Grid.from_cells(np.array([[0, 1]]))
    refused(r"shape \(1, 1\) do not fit a grid of shape \(1, 2\)", grid.with_cells, np.array([[0]]))
    refused("row 0, column 1 .*: symbol 2 is not in the palette", grid.with_cells, np.array([[0, 2]]))
    refused("scale 0", Grid.from_cells, np.array([[0, 1]]), None, 0)
    refused(r"shape \(1, 1, 1\) is not", Grid.from_cells, np.array([[[0]]]))
    both = Palette(((128, 128, 128, 255), (0, 0, 0, 0)), "ab")
    refused("hidden cells cannot be drawn", write_grid, folder / "out.png", Grid.from_cells(np.array([[-1]]), both))


# Writing safely


def write_half(path: Path, error: type[BaseException]) -> None:
    with atomic_write(path) as partial:
        partial.write_text("half")
        raise error


def test_nothing_half_written(folder):
    """If writing fails, what was there stays and nothing else does; if not, the new file takes its place."""
    path = folder / "deeper" / "file.txt"
    for content in ("old", "new"):
        with atomic_write(path) as partial:
            partial.write_text(content)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == content
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error):
            write_half(path, error)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_unwritable_places(folder):
    """A folder in the file's place and a file in the folder's place are found before the work is done."""
    refused("cannot be written, it is a folder", check_writable, folder)
    (folder / "file").write_text("")
    refused("file is no folder", check_writable, folder / "file" / "grid.png")
    check_writable(folder / "new" / "deeper" / "grid.png")
    assert not (folder / "new").exists()
