"""At which size of cells pictures are read, by themselves and for a model."""

from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from gridcloze import Inpainter
from gridcloze.commands.check import check
from gridcloze.commands.explain import Drawings, explain
from gridcloze.commands.fill import Request, fill
from gridcloze.files import png
from gridcloze.files.grids import Grid, read_examples, read_grid, write_grid
from gridcloze.files.palettes import Palette
from test_grids import MODE_COLOURS, cells_of, image_in, picture, picture_choices, read_back, refused, save, written

BLOCKS, HALF = np.kron([[0, 1], [1, -1]], np.ones((2, 2), int)), np.array([[0, 1, 0]] * 3)
ALL_HIDDEN = np.full((4, 4), -1)
TWO = Palette.default(2)


def drawn(path: Path, cells, scale: int) -> Path:
    """A grey picture that notes no scale; a hidden cell is grey."""
    return save(path, np.kron(np.array([0, 255, 128])[cells], np.ones((scale, scale))))


@pytest.mark.parametrize("cells", [BLOCKS, ALL_HIDDEN])
@pytest.mark.parametrize("drawn_scale", [1, 2, 3])
def test_pictures_for_a_model_of_whole_grids(tmp_path, cells, drawn_scale):
    """However blocky it is, a picture is read with as many cells as the model's examples have."""
    path = drawn(tmp_path / "grid.png", cells, drawn_scale)
    for model_scale in (1, 3):
        grid = read_grid(path, TWO, (4, 4), model_scale=model_scale)
        assert np.array_equal(grid.cells, cells)
        line = f"read with cells of {drawn_scale} by {drawn_scale} pixels (the model's examples have {model_scale} by "
        line += f"{model_scale}): 4 by 4 cells; --scale chooses another"
        assert grid.note == ("" if drawn_scale == model_scale else line)


@pytest.mark.parametrize("cells", [BLOCKS, ALL_HIDDEN])
def test_pictures_for_a_model_of_windows(tmp_path, cells):
    """A picture is read at the model's scale if its cells fit, otherwise with a pixel for each cell."""
    for drawn_scale, model_scale, expected in ((1, 1, 1), (3, 3, 3), (3, 1, 1), (1, 3, 1)):
        path = drawn(tmp_path / "grid.png", cells, drawn_scale)
        grid = read_grid(path, TWO, (64, 64), model_scale=model_scale, windows=True)
        assert grid.scale == expected
        assert bool(grid.note) == (expected != model_scale)
    assert "(the model's examples have 3 by 3): 4 by 4 cells" in grid.note


@pytest.mark.parametrize("share_known", [0.005, 0.1, 0.5, 0.9])
def test_single_known_pixels_are_cells(tmp_path, share_known):
    """Known pixels among hidden ones are not what is left of large cells: none of them is dropped in silence."""
    numbers = np.random.default_rng(0)
    cells = np.where(numbers.random((48, 48)) < share_known, numbers.integers(0, 2, (48, 48)), -1)
    grid = read_grid(drawn(tmp_path / "grid.png", cells, 1), TWO, (64, 64), model_scale=4, windows=True)
    assert np.array_equal(grid.cells, cells)
    assert "read with cells of 1 by 1 pixels (the model's examples have 4 by 4): 48 by 48 cells" in grid.note
    one_hole = np.zeros((48, 48), int)
    one_hole[7:20, 5] = -1
    grid = read_grid(drawn(tmp_path / "grid.png", one_hole, 1), TWO, (64, 64), model_scale=4, windows=True)
    assert (grid.scale, grid.hidden.sum()) == (4, 4), "but a hole in a picture of large cells is one"


def test_pictures_of_other_sizes_than_the_model_has(tmp_path):
    """At the model's own scale a grid may be smaller or a little larger, with a note; otherwise nothing is guessed."""
    path = drawn(tmp_path / "grid.png", HALF, 8)
    grid = read_grid(path, TWO, (5, 4), model_scale=8)
    assert np.array_equal(grid.cells, HALF)
    assert "pixels: 3 by 3 cells (the model's examples have 5 by 4); --scale" in grid.note
    assert np.array_equal(read_grid(path, TWO, (2, 2), model_scale=8).cells, HALF), "which (2, 2) does not fit"
    unclear = "it has 24 by 24 pixels and the model's examples have .*, so it is not clear .*; --scale says"
    for size, model_scale in (((5, 5), 7), ((5, 5), 1), ((1, 5), 8)):
        refused(unclear, read_grid, path, TWO, size, model_scale=model_scale)
    grid = read_grid(path, TWO, (5, 5), scale=8, model_scale=1)
    assert (grid.cells.shape, grid.note) == ((3, 3), "")
    refused("differs from .* its cell of 12 by 12 pixels; --scale", read_grid, path, TWO, (2, 2), model_scale=1)


def test_a_noted_scale_goes_before_the_model(tmp_path):
    """What gridcloze wrote is read at the scale that it notes, unless that does not divide it or another is forced."""
    path = tmp_path / "grid.png"
    write_grid(path, Grid.from_cells(BLOCKS, TWO, 3))
    for windows in (False, True):
        grid = read_grid(path, TWO, (2, 2), model_scale=1, windows=windows)
        assert np.array_equal(grid.cells, BLOCKS)
        assert grid.note.startswith(
            "read with cells of 3 by 3 pixels (the model's examples have 1 by 1): 4 by 4 cells;"
        )
    assert read_grid(path, TWO, (2, 2), model_scale=3).note == ""
    assert read_grid(path, TWO, (2, 2), 1, model_scale=3).cells.shape == (12, 12)
    png.write_image(path, Image.fromarray(np.zeros((4, 4), np.uint8)), 3)
    assert read_grid(path, TWO, (2, 2), model_scale=2).scale == 2


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(some.data(), some.sampled_from([*MODE_COLOURS, "new"]), some.integers(1, 4))
def test_holes_painted_over_a_written_picture(data, mode, scale):
    """Holes at any pixel hide the cells that they touch; after a fill all other cells are as they were, bit for bit."""
    if mode == "new":
        before = written(Grid.from_cells(data.draw(cells_of(3, lowest=0)), Palette.default(3), scale), ".png")
    else:
        before = written(read_back(picture(mode, data.draw(picture_choices(mode)), scale), ".png", scale=scale), ".png")
    whole, image = read_back(before, ".png"), image_in(before).convert("RGBA")
    holes = data.draw(arrays.arrays(bool, (image.height, image.width)))
    for row, column in np.argwhere(holes).tolist():
        image.putpixel((column, row), (128, 128, 128, 255))
    touched = holes.reshape(len(whole.cells), scale, -1, scale).any(axis=(1, 3))
    with TemporaryDirectory() as folder:
        path = Path(folder, "painted.png")
        png.write_image(path, image, scale)
        for options in ({}, {"model_scale": 9}, {"model_scale": 1, "windows": True}):
            puzzle = read_grid(path, whole.palette, (7, 7), **options)
            assert puzzle.scale == scale
            assert np.array_equal(puzzle.hidden, touched)
            assert np.array_equal(puzzle.cells[~touched], whole.cells[~touched])
        filled = np.where(touched, 0, puzzle.cells)
        write_grid(path, puzzle.with_cells(filled))
        same = ~touched.repeat(scale, axis=0).repeat(scale, axis=1)
        assert np.array_equal(np.array(image_in(path.read_bytes()).convert("RGBA"))[same], np.array(image)[same])
        assert np.array_equal(read_grid(path, whole.palette).cells, filled)


def test_a_second_file_hides_what_it_touches(tmp_path):
    """The second file can be painted by hand, too, over pictures at any scale."""
    path, holes = drawn(tmp_path / "grid.png", BLOCKS[:2], 4), np.zeros((8, 16))
    holes[3:5, 7] = 255
    grid = read_grid(path, TWO, (2, 4), hidden=save(tmp_path / "h.png", holes), model_scale=4)
    assert grid.hidden.tolist() == [[False, True, False, False]] * 2


def test_visible_pixels_of_a_cell_are_alike(tmp_path):
    """What is painted in another colour than that of hidden cells is refused, with the size of cells and what to do."""
    pixels = np.zeros((8, 8), np.uint8)
    pixels[1, 2] = 255
    png.write_image(tmp_path / "grid.png", Image.fromarray(pixels), 4)
    line = r"grid.png: row 1, column 2 .*: this pixel differs from the others of its cell of 4 by 4 pixels; --scale"
    refused(line, read_grid, tmp_path / "grid.png", TWO, (2, 2), model_scale=4)


def test_held_out_pictures_have_the_size_of_the_model(tmp_path):
    """Pictures of a likely size are read with it, even if they are blocky, unless another is noted or fits."""
    for name in ("a.png", "b.png"):
        drawn(tmp_path / name, BLOCKS, 1)
    assert read_examples(tmp_path, TWO)[2] == 2
    assert read_examples(tmp_path, TWO, (4, 4))[2] == 1
    assert read_examples(tmp_path, TWO, (1, 1))[2] == 2


def test_commands_know_the_scale(tmp_path, monkeypatch, capsys):
    """`fill`, `check` and `explain` read a picture alike, say so if its cells have another size, and take a scale."""
    monkeypatch.chdir(tmp_path)
    Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).save("model.safetensors")
    model, puzzle = Path("model.safetensors"), drawn(Path("puzzle.png"), np.where(np.eye(4) == 1, -1, 0), 2)
    note = "read with cells of 2 by 2 pixels (the model's examples have 1 by 1): 4 by 4 cells; --scale chooses another"
    [report] = fill(model, [puzzle], Path("filled"), Request())
    assert (report["hidden_cells"], note in report["warnings"]) == (4, True)
    [report] = fill(model, [puzzle], Path("fine"), Request(scale=1))
    assert (report["hidden_cells"], any("read with" in line for line in report["warnings"])) == (16, False)
    capsys.readouterr()
    for scale in (None, 2):
        check(model, puzzle, 0.01, "auto", None, scale=scale)
        explain(model, puzzle, "0,0", "auto", None, Drawings(), scale=scale)
        assert capsys.readouterr().err.count(f"puzzle.png: {note}") == (0 if scale else 2)


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_a_picture_of_squares_is_remarked_upon(tmp_path, scale):
    """Of a model of windows with cells of one pixel, a picture drawn larger is read as it is, and a line says so."""
    cells = np.random.default_rng(0).integers(0, 2, (24, 24))
    cells[5:9, 7:12] = -1
    path = drawn(tmp_path / "a.png", cells, scale)
    grid = read_grid(path, Palette.default(2), (8, 8), model_scale=1, windows=True)
    assert grid.cells.shape == (24 * scale, 24 * scale)
    assert (f"use --scale {scale}" in grid.note) == (scale > 1)
    assert read_grid(path, Palette.default(2), (8, 8), scale, model_scale=1, windows=True).note == ""
