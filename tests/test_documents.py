"""Grids in GSLIB text, VTK ImageData and maps of Tiled: read, learned, filled, and written with all else as it was."""

import base64
import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from gridcloze.files import gslib, tiled, vti
from gridcloze.files.grids import read_grid, read_images, write_grid
from gridcloze.files.palettes import Palette
from gridcloze.words import HIDDEN, InputError

BY_VTK = sorted((Path(__file__).parent / "documents").glob("*.vti"))  # written by VTK 9.7.2
GRID = [[1, 2, 3, -99], [5, 5, -99, 2], [1, 1, 1, 3]]
FACIES = (1, 2, 3, 5)
TITLES = ("3 2 1", "3 2", "facies (3x2x1)", "Tuesday 12 : 3 x 2 x 1", "3, 2, 1 1.5 1.5 1 0 0 0")
TILES = (1, 9, 0, 4, 4, 0)


def gslib_text(title="3 2 1", cells="7 8 -99 1 2 7", end="\n"):
    return end.join([title, "1", "facies", *cells.split(), ""]).encode()


# GSLIB


@pytest.mark.parametrize("title", TITLES)
def test_a_title_of_gslib_says_the_size(title):
    """The last line is the north."""
    assert np.array_equal(gslib.read(gslib_text(title)).values, [[[1, 2, 7], [7, 8, np.nan]]], equal_nan=True)


@pytest.mark.parametrize("missing", ["-99", "-999", "NaN", "-999.00", "-9966699"])
def test_missing_numbers_of_gslib_are_hidden_and_stay(missing):
    content = gslib_text(cells=f"7 8 {missing} 1 2 {missing}")
    table = gslib.read(content)
    assert np.isnan(table.values).sum() == 2
    assert table.with_grid(table.values[0], {}) == content


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_stays_in_gslib_is_as_it_was_to_the_byte(end):
    """Spaces, zeros after the point and ends of lines; only the filled cell changes."""
    content = gslib_text(cells="7.00 8 -99 1 2 7", end=end).replace(b"8", b"  8.0 ")
    table = gslib.read(content)
    filled = table.values[0].copy()
    filled[1, 2] = 2
    assert table.with_grid(filled, {}) == content.replace(b"-99", b"2")


def test_grids_next_to_a_grid_of_gslib_are_more_variables():
    table = gslib.read(gslib_text())
    with_more = gslib.read(
        table.with_grid(table.values[0], {"sample 0": np.arange(6).reshape(2, 3), "p": np.full((2, 3), 0.25)})
    )
    assert with_more.names == ("facies", "sample 0", "p")
    assert np.array_equal(with_more.values[1], [[0, 1, 2], [3, 4, 5]])
    assert (with_more.values[2] == 0.25).all()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "no GSLIB file"),
        (b"3 2 1\nfacies\n1\n", "no GSLIB file"),
        (gslib_text("facies"), "does not say how many of its 6 cells are in a row"),
        (gslib_text("5 5 1"), "its title says 5x5x1 cells, and it has 6"),
        (gslib_text("1 3 2"), "2 layers"),
        (gslib_text(cells="7 8 x 1 2 7"), "no number"),
        (b"3 2 1\n2\na\nb\n1 2\n3\n", "line 6 has 1 numbers, and the file 2 variables"),
    ],
)
def test_bad_gslib_has_one_line(content, line):
    with pytest.raises(InputError, match=line):
        gslib.read(content)


def test_variables_of_gslib_are_examples_and_no_puzzle(tmp_path):
    path = tmp_path / "realisations.dat"
    path.write_bytes(b"2 1 1\n2\na\nb\n11 41\n41 41\n")
    grids, palette, _ = read_images(path)
    assert [grid.tolist() for grid in grids] == [[[0, 1]], [[1, 1]]]
    assert palette.values == (11, 41)
    with pytest.raises(InputError, match=r"realisations\.dat: it holds 2 variables"):
        read_grid(path)


# VTK


@pytest.mark.parametrize("path", BY_VTK, ids=lambda path: path.stem)
def test_files_of_vtk_are_read_and_written_in_all_its_ways(path):
    """As text, in base64 or raw, at the end or in place, packed or not, of points or cells, with either byte first."""
    image = vti.read(path.read_bytes())
    expected = np.where(np.array(GRID) == -99, np.nan, GRID)[None]
    assert np.array_equal(image.values, expected, equal_nan=True)
    again = vti.read(image.with_grid(image.values[0], {}))
    assert np.array_equal(again.values, expected, equal_nan=True)
    assert [array.tolist() for array in again.arrays.values()] == [array.tolist() for array in image.arrays.values()]
    assert again.root.find("ImageData").attrib == image.root.find("ImageData").attrib


@pytest.mark.parametrize("cut", [100, 400, 600])
def test_cut_files_of_vtk_have_one_line(cut):
    for path in BY_VTK:
        with pytest.raises(InputError):
            vti.read(path.read_bytes()[:cut])


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("ImageData", "PolyData", "no VTK ImageData"),
        ('"0 3 0 2 0 0"', '"0 3 0 2 0 4"', "several layers"),
        ('"0 3 0 2 0 0"', '"0 9 0 2 0 0"', "its array 'facies' has 12 numbers, and 3 rows of 10"),
        ('Scalars="facies"', "", r"2 arrays with one number a cell \(facies, porosity\)"),
        ('type="Int32"', 'type="String"', "values of type String"),
    ],
)
def test_bad_files_of_vtk_have_one_line(old, new, line):
    content = (Path(__file__).parent / "documents" / "ascii.vti").read_text()
    assert old in content
    with pytest.raises(InputError, match=line):
        vti.read(content.replace(old, new).encode())


# Tiled


def tiled_text(tiles=TILES, encoding=None, compression="", layers=1, **more):
    raw = np.array(tiles, "<u4").tobytes()
    packed = {"": bytes, "zlib": zlib.compress, "gzip": gzip.compress, "zstd": bytes}[compression](raw)
    data = base64.b64encode(packed).decode() if encoding else list(tiles)
    layer = {"data": data, "height": 2, "id": 1, "name": "ground", "type": "tilelayer", "width": 3, **more}
    if encoding:
        layer |= {"encoding": encoding, "compression": compression}
    others = [{"type": "objectgroup", "name": "doors", "objects": [{"x": 1.5}]}]
    group = {"type": "group", "name": "all", "layers": [layer] * layers}
    return json.dumps({"height": 2, "layers": [*others, group], "tilesets": [{"source": "a.tsx"}]}, indent=1).encode()


WAYS = {"csv": {}, "base64": {"encoding": "base64"}}
WAYS |= {way: {"encoding": "base64", "compression": way} for way in ("zlib", "gzip")}


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_of_tiled_is_a_grid_and_all_else_is_kept(way):
    content = tiled_text(**WAYS[way])
    tiles = tiled.read(content)
    assert np.array_equal(tiles.values, [[[1, 9, np.nan], [4, 4, np.nan]]], equal_nan=True)
    assert tiles.with_grid(tiles.values[0], {}) == content
    filled = np.nan_to_num(tiles.values[0], nan=9)
    written = tiles.with_grid(filled, {})
    assert np.array_equal(tiled.read(written).values[0], filled)
    before, after = json.loads(content), json.loads(written)
    assert before["layers"][1]["layers"][0].pop("data") != after["layers"][1]["layers"][0].pop("data")
    assert before == after


def test_a_named_tile_is_hidden():
    tiles = tiled.read(tiled_text(properties=[{"name": "hidden", "type": "int", "value": 4}]))
    assert np.array_equal(np.isnan(tiles.values), [[[False, False, False], [True, True, False]]])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[", "no map of Tiled"),
        (b"[]", "no map of Tiled"),
        (b'{"layers": []}', "no layer of tiles"),
        (tiled_text(layers=2), r"several layers of tiles \(ground, ground\): give one of them the custom property"),
        (tiled_text(tiles=(1, 2**31 + 1, 0, 1, 1, 1)), r"row 0, column 1 .*: a mirrored or turned tile has no symbol"),
        (tiled_text(tiles=(1, 2)), "has 2 tiles, and 2 rows of 3"),
        (tiled_text(chunks=[]), "this map is infinite"),
        (tiled_text(encoding="base64", compression="zstd"), "packed with zstd"),
    ],
)
def test_bad_maps_of_tiled_have_one_line(content, line):
    with pytest.raises(InputError, match=line):
        tiled.read(content)


# All


@pytest.mark.parametrize("name", ["ascii.vti", "facies.dat", "level.tmj"])
def test_a_document_is_a_grid_of_classes(name, tmp_path):
    """It is read with a palette of its classes, and written to a file of its kind alone."""
    contents = {"facies.dat": gslib_text(), "level.tmj": tiled_text()}
    path = tmp_path / name
    path.write_bytes(contents.get(name) or (Path(__file__).parent / "documents" / name).read_bytes())
    grid = read_grid(path)
    assert len(grid.palette.values) == grid.palette.n_symbols
    assert grid.hidden.any()
    write_grid(tmp_path / f"again{path.suffix}", grid.with_cells(np.where(grid.hidden, 0, grid.cells)))
    again = read_grid(tmp_path / f"again{path.suffix}", grid.palette)
    assert not again.hidden.any()
    assert np.array_equal(again.cells[~grid.hidden], grid.cells[~grid.hidden])
    with pytest.raises(InputError, match="not supported here"):
        write_grid(tmp_path / f"new{path.suffix}", read_grid_of(tmp_path))
    with pytest.raises(InputError, match="is not in the palette"):
        read_grid(path, Palette.default(2))


def read_grid_of(folder):
    np.save(folder / "grid.npy", [[0, 1]])
    return read_grid(folder / "grid.npy")


@pytest.mark.parametrize(("number", "line"), [("2.5", "2.5 is no class"), ("inf", "inf is no class")])
def test_a_number_that_is_no_class_is_named_with_its_cell(number, line, tmp_path):
    (tmp_path / "porosity.dat").write_bytes(gslib_text(cells=f"7 8 {number} 1 2 7"))
    with pytest.raises(InputError, match=f"porosity.dat: grid 0, row 1, column 2 .*: {line}"):
        read_grid(tmp_path / "porosity.dat")


VTI = """<VTKFile type="ImageData"><ImageData WholeExtent="0 3 0 2 0 0"><Piece Extent="0 3 0 2 0 0"><CellData>
<DataArray type="Int8" Name="facies" format="ascii">7 7 7 1 1 1</DataArray></CellData></Piece></ImageData></VTKFile>"""
ONE_HIDDEN = {
    ".dat": (b"1\n1\n1", b"1\n-99\n1"),
    ".vti": (b"1 1 1", b"1 -99 1"),
    ".tmj": (b"7,\n      7,\n      7", b"7,\n      0,\n      7"),
}
READERS = {".dat": gslib.read, ".vti": vti.read, ".tmj": tiled.read}


@pytest.mark.parametrize("suffix", READERS)
def test_from_examples_to_a_filled_document(suffix, gridcloze, tmp_path, monkeypatch):
    """A model learns classes from documents; a fill has their numbers, samples, probabilities and entropy."""
    monkeypatch.chdir(tmp_path)
    contents = {
        ".dat": gslib_text("3 2 1", "7 7 7 1 1 1"),
        ".tmj": tiled_text((1, 1, 1, 7, 7, 7)),
        ".vti": VTI.encode(),
    }
    Path("examples").mkdir()
    for number in range(20):
        Path(f"examples/{number}{suffix}").write_bytes(contents[suffix])
    puzzle = contents[suffix].replace(*ONE_HIDDEN[suffix])
    assert puzzle != contents[suffix]
    Path(f"puzzle{suffix}").write_bytes(puzzle)
    code, _, err = gridcloze("train", "examples", "-o", "model.safetensors", "--steps", "2", "--depth", "1")
    assert code == 0, err
    code, _, err = gridcloze("fill", "model.safetensors", f"puzzle{suffix}", "-o", "filled", "--samples", "2")
    assert code == 0, err
    with np.load("filled/puzzle.npz") as results:
        fill, samples, marginals = (results[name] for name in ("fill", "samples", "marginals"))
    written = READERS[suffix](Path(f"filled/puzzle{suffix}").read_bytes())
    assert np.array_equal(written.values[0], fill)
    if suffix == ".dat":
        assert written.names == ("facies", "sample 0", "sample 1", "probability of 1", "probability of 7", "entropy")
        assert np.array_equal(written.values[1:3], samples)
        assert np.allclose(written.values[3], marginals[..., 0], atol=1e-5)
    if suffix == ".vti":
        names = [one.get("Name") for one in written.root.iter("DataArray")]
        assert names == ["facies", "sample 0", "sample 1", "probability of 1", "probability of 7", "entropy"]
        assert np.array_equal(list(written.arrays.values())[2].reshape(2, 3)[::-1], samples[1])
    assert (fill == HIDDEN).sum() == 0
