"""Class codes that are not 0, 1, 2, …: learned, filled and reported as they are, whatever file they come in."""

import json
from pathlib import Path

import numpy as np
import pytest

from gridcloze import Inpainter, checkpoint, priors
from gridcloze.commands.train import Source
from gridcloze.files.grids import Grid, read_grid, write_grid
from gridcloze.files.palettes import Palette
from gridcloze.words import HIDDEN, InputError

SYMBOLS = priors.squares(5, 5, 2, 4).sample(20, np.random.default_rng(0))
CODES = np.array([2, 5])
GRIDS = CODES[SYMBOLS]
PUZZLE = np.where(np.eye(5) == 1, HIDDEN, GRIDS[0])
PALETTE = {"symbols": [{"name": "sand", "value": 2}, {"name": "clay", "value": 5}]}


def as_text(grid, separator="", hidden="?"):
    return "".join(separator.join(hidden if code == HIDDEN else str(code) for code in row) + "\n" for row in grid)


def as_gslib(grid):
    return as_text(grid[::-1].reshape(-1, 1), hidden="-99").join(["5 5 1\n1\nfacies\n", ""])


def write(path, grid):
    """A grid in the form that its name says."""
    kind = path.name.partition(".")[2]
    if kind == "npy":
        np.save(path, np.where(grid == HIDDEN, np.nan, grid).astype(np.float32))
    else:
        separators = {"txt": "", "table.txt": "  ", "csv": ","}
        path.write_text(as_gslib(grid) if kind == "dat" else as_text(grid, separators[kind]))
    return path


@pytest.fixture(scope="module")
def model():
    return Inpainter(steps=2, depth=1).fit(GRIDS)


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("kind", ["npy", "txt", "table.txt", "csv", "dat"])
def test_examples_are_the_same_from_any_file(kind, tmp_path):
    """Their symbols, and what the model will know of their codes."""
    (tmp_path / "examples").mkdir()
    for number, grid in enumerate(GRIDS):
        write(tmp_path / f"examples/{number:02}.{kind}", grid)
    examples, _, _ = Source(tmp_path / "examples").read()
    assert np.array_equal(examples.cells, SYMBOLS)
    assert (examples.palette.values, examples.palette.characters, examples.palette.in_values) == ((2, 5), "25", True)


@pytest.mark.parametrize("file", ["grids.npy", "grids.npz"])
def test_a_stack_teaches_what_an_array_does(file, model, gridcloze):
    """`train` and `Inpainter` learn the same weights from codes."""
    np.save(file, GRIDS) if file.endswith("npy") else np.savez(file, GRIDS)
    code, _, err = gridcloze("train", file, "-o", "model.safetensors", "--steps", "2", "--depth", "1")
    assert code == 0, err
    assert "2 symbols: class 2 " in err
    trained = checkpoint.load("model.safetensors")
    hidden = np.ones((1, 5, 5), bool)
    assert np.array_equal(trained.marginals(SYMBOLS[:1], hidden), model.predictor_.marginals(SYMBOLS[:1], hidden))
    assert Inpainter.load("model.safetensors").symbols_.tolist() == [2, 5]


@pytest.mark.parametrize("kind", ["npy", "txt", "table.txt", "csv", "dat"])
def test_a_fill_has_codes_as_the_puzzle_had_them(kind, model, saved, gridcloze):
    """The fill of a file is that of `Inpainter`, in the form and type of the file, and what was known is untouched."""
    path = write(Path(f"puzzle.{kind}"), PUZZLE)
    assert gridcloze("fill", saved, path, "-o", "filled", "--samples", "2")[0] == 0
    fill = model.fill(PUZZLE)
    results = np.load(f"filled/{path.stem}.npz")
    assert np.array_equal(results["fill"], fill)
    assert np.array_equal(results["samples"], model.sample(PUZZLE, n=2))
    if kind == "npy":
        written = np.load(f"filled/{path.name}")
        assert written.dtype == results["fill"].dtype == np.float32
        assert np.array_equal(written, fill)
    elif kind != "dat":
        assert Path(f"filled/{path.name}").read_text() == write(Path(f"whole.{kind}"), fill).read_text()


def test_a_stack_is_filled_with_codes(model, saved, gridcloze):
    """Its arrays have codes in the type of the stack, and the pictures are drawn from symbols."""
    np.savez("stack.npz", cells=np.stack([PUZZLE, PUZZLE]).astype(np.int8))
    assert gridcloze("fill", saved, "stack.npz", "-o", "filled", "--samples", "2", "--pictures")[0] == 0
    with np.load("filled/stack.npz") as results:
        assert results["fill"].dtype == np.int8
        assert np.array_equal(results["fill"], model.fill(np.stack([PUZZLE, PUZZLE])))
        assert set(np.unique(results["samples"])) <= {2, 5}


def test_a_code_that_no_example_has_is_refused(model, saved, gridcloze):
    """With one line that names the cell, from every file, and from Python."""
    wrong = np.where(PUZZLE == 5, 3, PUZZLE)
    row, column = np.argwhere(wrong == 3)[0]
    for kind, what in (("npy", "class 3"), ("txt", "character '3'"), ("csv", "class 3"), ("dat", "class 3")):
        path = write(Path(f"wrong.{kind}"), wrong)
        code, _, err = gridcloze("fill", saved, path, "-o", "filled")
        assert code == 2
        assert f"row {row}, column {column} (counted from 0): {what} is not in the palette" in " ".join(err.split())
    with pytest.raises(InputError, match="3 is in none of the examples"):
        model.fill(wrong)
    with pytest.raises(InputError, match="-7 is no symbol"):
        Inpainter().fit(np.where(GRIDS == 5, -7, 2))
    assert not Path("filled").exists()


def test_options_and_reports_speak_of_codes(saved, gridcloze):
    """`--allow` takes them; `check`, `explain`, `info` and `score` print and report them."""
    write(Path("puzzle.npy"), PUZZLE)
    np.save("grids.npy", GRIDS)
    for rule in ("5", "class 5", "not 2"):
        assert gridcloze("fill", saved, "puzzle.npy", "-o", "filled", "--overwrite", "--allow", rule)[0] == 0
        assert (np.load("filled/puzzle.npy")[np.eye(5) == 1] == 5).all()
    report = json.loads(gridcloze("check", saved, "puzzle.npy", "--threshold", "1", "--json")[1])
    assert {one["symbol"] for one in report["surprises"]} == {2, 5}
    assert "2 has probability" in gridcloze("check", saved, "puzzle.npy", "--threshold", "1")[1]
    report = json.loads(gridcloze("explain", saved, "puzzle.npy", "--json")[1])
    assert {one["symbol"] for one in report["influences"]} <= {2, 5}
    assert "5 with probability" in gridcloze("explain", saved, "puzzle.npy")[1]
    assert "values: 2, 5" in gridcloze("info", saved)[1]
    report = json.loads(gridcloze("score", saved, "grids.npy", "--json")[1])
    assert [one["name"] for one in report["symbols"]] == ["class 2", "class 5"]


def test_a_palette_names_codes(gridcloze):
    """Also such as are the numbers of other symbols: the examples tell, and the model keeps it."""
    Path("palette.json").write_text(json.dumps(PALETTE).replace("2", "1").replace("5", "2"))
    np.save("grids.npy", np.array([1, 2])[SYMBOLS])
    for examples in ("grids.npy", "grids"):
        palette = Source(Path(examples), palette=Path("palette.json")).read()[0].palette
        assert (palette.names, palette.values, palette.in_values) == (("sand", "clay"), (1, 2), True)
        Path("grids").mkdir(exist_ok=True)
        write(Path("grids/a.npy"), np.array([1, 2])[SYMBOLS[0]])
    np.save("grids.npy", SYMBOLS)
    assert not Source(Path("grids.npy"), palette=Path("palette.json")).read()[0].palette.in_values


def test_symbols_stay_what_they_were(tmp_path):
    """Numbers 0, 1, 2, … are symbols, and so are gaps between them where a model has a symbol for each."""
    np.save(tmp_path / "a.npy", np.array([[0, 2, -1]], np.int8))
    grid = read_grid(tmp_path / "a.npy", Palette.default(3))
    assert grid.cells.tolist() == [[0, 2, -1]]
    write_grid(tmp_path / "b.npy", grid)
    assert np.load(tmp_path / "b.npy").dtype == np.int16
    assert read_grid(write(tmp_path / "c.npy", SYMBOLS[0])).palette == Palette.default(2)
    assert Inpainter(steps=1, depth=1).fit(SYMBOLS).predictor_.header.palette == Palette.default(2)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("1,?\n,7\r\n", "1,7\n7,7\r\n"),
        (" 1.0  nan\n-1 7.0\n", " 1.0  7.0\n7.0 7.0\n"),
        ("1;  -1 \n7;\n", "1;  7 \n7;7\n"),
        ("1\t\n7\t1", "1\t7\n7\t1"),
    ],
)
def test_a_table_keeps_its_form(text, filled, tmp_path):
    """What stays is as it was to the byte, and a new number is written as it is elsewhere."""
    (tmp_path / "a.csv").write_bytes(text.encode())
    grid = read_grid(tmp_path / "a.csv")
    assert grid.palette.values == (1, 7)
    write_grid(tmp_path / "b.csv", grid.with_cells(np.where(grid.hidden, 1, grid.cells)))
    assert (tmp_path / "b.csv").read_bytes() == filled.encode()
    write_grid(tmp_path / "c.txt", Grid.from_cells(grid.cells, grid.palette))
    assert read_grid(tmp_path / "c.txt", grid.palette).cells.tolist() == grid.cells.tolist()
