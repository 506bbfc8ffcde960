"""Big grids and maps, from files to files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gridcloze import Inpainter, checkpoint
from gridcloze.logits import Calibration
from gridcloze.networks import NetworkPredictor
from gridcloze.words import HIDDEN

CLASSES = np.array([11, 21, 42])
PLACE = rasterio.Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 3_700_000.0)
LAYOUT = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": "EPSG:32617", "transform": PLACE, "nodata": 255}
SHORT = ("--windows", 8, "--steps", 3, "--depth", 1)


def save_map(path, values, **layout):
    height, width = values.shape
    with rasterio.open(path, "w", **{**LAYOUT, "height": height, "width": width, **layout}) as file:
        file.write(values.astype(layout.get("dtype", "uint8")), 1)
        if layout.get("dtype", "uint8") == "uint8":
            file.write_colormap(1, {11: (70, 107, 159, 255), 21: (222, 197, 197, 255), 42: (28, 95, 44, 255)})


def some_map(seed, height=20, width=27):
    return CLASSES[np.random.default_rng(seed).integers(0, 3, (height, width))]


@pytest.fixture(scope="module")
def trained():
    """The bytes of the model, once it was trained."""
    return []


@pytest.fixture
def model(gridcloze, trained):
    save_map("cover.tif", some_map(0))
    if not trained:
        assert gridcloze("train", "cover.tif", "-o", "cover.safetensors", *SHORT)[0] == 0
        trained.append(Path("cover.safetensors").read_bytes())
    Path("cover.safetensors").write_bytes(trained[0])
    return "cover.safetensors"


def with_clouds(seed=1):
    values = some_map(seed, 19, 30)
    values[4:11, 12:25] = 255
    return values


@pytest.mark.slow
def test_a_map_is_drawn_when_asked_for(gridcloze, model):
    """Its samples and probabilities are GeoTIFFs of their own and pictures; all belong to its results."""
    save_map("clouded.tif", with_clouds())
    arguments = ("fill", model, "clouded.tif", "--samples", 2)
    assert gridcloze(*arguments, "-o", "plain")[0] == 0
    assert gridcloze(*arguments, "-o", "out", "--pictures")[0] == 0
    plain, drawn = ({path.name: path.read_bytes() for path in Path(name).iterdir()} for name in ("plain", "out"))
    more = ["sample-1.tif", "sample-2.tif", "probabilities.tif", "probabilities.png", "samples.png"]
    assert set(drawn) - set(plain) == {f"clouded-{name}" for name in more}
    assert {name: drawn[name] for name in plain if name != "clouded.json"}.items() <= plain.items()
    assert set(json.loads(drawn["clouded.json"])["files"]) == set(drawn) - {"clouded.json"}
    with rasterio.open("out/clouded-sample-2.tif") as sample, rasterio.open("out/clouded-samples.tif") as samples:
        assert (sample.read(1) == samples.read(2)).all()
        assert sample.colormap(1)[42] == (28, 95, 44, 255)
    with rasterio.open("out/clouded-probabilities.tif") as probabilities:
        assert probabilities.descriptions == ("11", "21", "42")
    Path("out/clouded-sample-1.tif").unlink()
    assert gridcloze(*arguments, "-o", "out", "--pictures")[0] == 0
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == drawn
    assert gridcloze(*arguments, "-o", "out", "--overwrite")[0] == 0
    assert {path.name for path in Path("out").iterdir()} == set(plain)


def test_a_map_is_learned_and_filled(gridcloze, model):
    """A GeoTIFF comes back with its place, colours and known cells, and with what is uncertain and some draws."""
    save_map("clouded.tif", with_clouds(), compress="lzw")
    code, _, error = gridcloze("fill", model, "clouded.tif", "-o", "out", "--samples", 2)
    assert (code, error.count("\n")) == (0, error.count("of 1 grid\n"))  # the lines of progress
    with rasterio.open("out/clouded.tif") as filled, rasterio.open("clouded.tif") as given:
        assert (filled.crs, filled.transform, filled.compression) == (given.crs, given.transform, given.compression)
        assert filled.colormap(1) == given.colormap(1)
        values, before = filled.read(1), given.read(1)
    assert (values == before)[before != 255].all()
    assert np.isin(values, CLASSES).all()
    with rasterio.open("out/clouded-uncertainty.tif") as uncertainty:
        probability, entropy = uncertainty.read()
    assert (probability[before != 255] == 1).all()
    assert (entropy[before != 255] == 0).all()
    assert ((entropy[before == 255] > 0) & (entropy[before == 255] <= np.log2(3) + 1e-6)).all()
    with rasterio.open("out/clouded-samples.tif") as samples:
        assert samples.count == 2
        assert all((samples.read(band) == before)[before != 255].all() for band in (1, 2))
    report = json.loads(Path("out/clouded.json").read_text())
    assert report["hidden_cells"] == (before == 255).sum()
    assert report["warnings"] == []


def test_the_same_map_is_filled_alike_whatever_its_rows_in_memory(gridcloze, model, monkeypatch):
    """What is in memory at once changes no result, and neither does a second run with --overwrite."""
    save_map("clouded.tif", with_clouds())
    gridcloze("fill", model, "clouded.tif", "-o", "out")
    monkeypatch.setattr("gridcloze.sweeping.ROWS_AT_ONCE", 1)
    gridcloze("fill", model, "clouded.tif", "-o", "again", "--overwrite")
    for name in ("clouded.tif", "clouded-uncertainty.tif"):
        with rasterio.open(f"out/{name}") as one, rasterio.open(f"again/{name}") as other:
            assert np.array_equal(one.read(), other.read())


def test_a_second_file_hides_clouds(gridcloze, model):
    """What a cloud mask marks is filled, and nothing else."""
    save_map("map.tif", with_clouds())
    clouds = np.zeros((19, 30))
    clouds[15:, :4] = 1
    save_map("clouds.tif", clouds, nodata=None)
    assert gridcloze("fill", model, "map.tif", "-o", "out", "--hidden", "clouds.tif")[0] == 0
    assert json.loads(Path("out/map.json").read_text())["hidden_cells"] == 4 * 4
    with rasterio.open("out/map.tif") as filled:
        assert (filled.read(1) == 255).sum() == 7 * 13


def test_pixels_of_another_size_are_warned_of(gridcloze, model):
    """A map of another resolution is filled with a warning in one line, on stderr and in the report."""
    save_map("fine.tif", with_clouds(), transform=rasterio.Affine(10.0, 0.0, 0.0, 0.0, -10.0, 0.0))
    code, _, error = gridcloze("fill", model, "fine.tif", "-o", "out")
    assert code == 0
    assert "pixels are 10 by 10 metre, but the model was trained on 30 by 30 metre" in error
    assert len(json.loads(Path("out/fine.json").read_text())["warnings"]) == 1


BAD_MAPS = {
    "without nodata": ({"nodata": None}, with_clouds(2) % 255, "91 cells have a class that the model never saw, 0"),
    "nothing is hidden": ({"nodata": None}, some_map(2), "nothing says which cells are hidden"),
    "halves": ({"dtype": "float32"}, some_map(2) + 0.5, "540 cells have a class that the model never saw, 11.5"),
    "another class": ({}, np.full((9, 9), 12), "81 cells have a class that the model never saw, 12 (81 cells)"),
}


@pytest.mark.parametrize("case", BAD_MAPS)
def test_bad_maps_get_one_line_and_leave_nothing(case, gridcloze, model, tmp_path):
    """A map that cannot be filled is refused in one line with exit code 2, and no result is left."""
    layout, values, words = BAD_MAPS[case]
    save_map("bad.tif", values, **layout)
    code, out, error = gridcloze(
        "fill", model, "bad.tif", "-o", "out", *(("--hidden", "bad.tif") if "without" in case else ())
    )
    assert (code, out) == (2, "")
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.glob("out/*")) == []


def test_what_is_allowed_is_checked_on_maps_before_anything_is_filled(gridcloze, model, tmp_path):
    """An array that leaves a hidden cell of a map nothing, or has another size, is refused in one line."""
    save_map("map.tif", with_clouds())
    size = with_clouds().shape
    nothing = np.ones((*size, 3), dtype=bool)
    nothing[with_clouds() == 255] = False
    for allowed, words in ((nothing, "its evidence allows no symbol"), (nothing[1:], "does not fit")):
        np.save("allowed.npy", allowed)
        code, _, error = gridcloze("fill", model, "map.tif", "-o", "out", "--allow", "allowed.npy")
        assert (code, error.count("\n")) == (2, 1)
        assert words in error
        assert list(tmp_path.glob("out/*")) == []


def test_without_its_temperatures_a_model_of_windows_still_answers_through_them(gridcloze, model):
    """Of a grid larger than a window every temperature asks the same windows."""
    predictor = checkpoint.load(model)
    cells, hidden = np.zeros((1, 12, 13), dtype=np.int64), np.ones((1, 12, 13), dtype=bool)
    warm = Calibration((1.0,), (2.0,))
    hot = dataclasses.replace(predictor, base=NetworkPredictor(predictor.base.model, warm))
    plain = dataclasses.replace(predictor, base=NetworkPredictor(predictor.base.model))
    assert np.array_equal(hot.uncalibrated().marginals(cells, hidden), plain.marginals(cells, hidden))
    assert not np.array_equal(hot.marginals(cells, hidden), plain.marginals(cells, hidden))


def test_big_grids_need_windows_that_fit(gridcloze):
    """A map without --windows, and windows larger than the image, are refused with what to do."""
    save_map("cover.tif", some_map(0))
    assert "give their size, as in --windows 64" in gridcloze("train", "cover.tif", "-o", "m.safetensors")[2]
    error = gridcloze("train", "cover.tif", "-o", "m.safetensors", "--windows", 21)[2]
    assert "image 0 of 20 by 27 cells is smaller than a window of 21 by 21" in error


def test_a_big_picture_is_learned_with_a_palette_and_grids_of_any_size_are_filled(gridcloze):
    """Texts in the characters of a palette, smaller and larger than the window, come back with their known cells."""
    symbols = [{"name": f"class {number}", "character": "wfu"[number]} for number in range(3)]
    Path("palette.json").write_text(json.dumps({"symbols": symbols}))
    rows = np.array(list("wfu"))[np.random.default_rng(0).integers(0, 3, (20, 20))]
    Path("big.txt").write_text("\n".join("".join(row) for row in rows))
    code, _, error = gridcloze(
        "train", "big.txt", "-o", "m.safetensors", *SHORT, "--symmetries", "all", "--palette", "palette.json"
    )
    assert code == 0, error
    assert checkpoint.load("m.safetensors").header.palette.names == ("class 0", "class 1", "class 2")
    for number, shape in enumerate([(3, 5), (8, 8), (17, 23)]):
        puzzle = np.array(list("wfu?"))[np.random.default_rng(number).integers(0, 4, shape)]
        Path(f"p{number}.txt").write_text("\n".join("".join(row) for row in puzzle))
        assert gridcloze("fill", "m.safetensors", f"p{number}.txt", "-o", "out", "--samples", 2)[0] == 0
        filled = np.array([list(line) for line in Path(f"out/p{number}.txt").read_text().splitlines()])
        assert ((filled == puzzle) | (puzzle == "?")).all()
        assert np.isin(filled, list("wfu")).all()


def test_an_inpainter_learns_windows_and_fills_larger_grids():
    """With `windows` an Inpainter fills grids larger than those, and what it saves is filled alike after loading."""
    grids = np.random.default_rng(0).integers(4, 6, (2, 12, 15))
    model = Inpainter(steps=2, depth=1, windows=6, symmetries="all").fit(grids)
    puzzle = np.where(np.random.default_rng(1).random((10, 13)) < 0.5, HIDDEN, 5)
    filled, drawn = model.fill(puzzle), model.sample(puzzle, n=3, seed=1)
    assert filled.shape == puzzle.shape
    assert ((filled == puzzle) | (puzzle == HIDDEN)).all()
    assert drawn.shape == (3, 10, 13)
    assert np.isin(drawn, [4, 5]).all()
    assert model.predict_proba(puzzle).shape == (10, 13, 2)


def test_a_zarr_stack_is_filled(gridcloze, model, tmp_path):
    """A stack in a zarr folder is filled like one in an npy file."""
    import zarr

    cells = np.array([*CLASSES, -1])[np.random.default_rng(3).integers(0, 4, (3, 6, 7))]
    np.save("grids.npy", cells)
    zarr.save("same.zarr", cells)
    for name in ("grids.npy", "same.zarr"):
        assert gridcloze("fill", model, name, "-o", "out")[0] == 0
    with np.load("out/grids.npz") as one, np.load("out/same.npz") as other:
        assert np.array_equal(one["fill"], other["fill"])


def test_as_many_symbols_as_a_byte_has_values():
    """Grids of 256 symbols are learned and filled like others."""
    grids = np.arange(256).reshape(16, 16)[None].repeat(8, axis=0)
    model = Inpainter(steps=2, depth=1).fit(grids)
    puzzle = np.where(np.random.default_rng(0).random((16, 16)) < 0.1, HIDDEN, grids[0])
    filled = model.fill(puzzle)
    assert ((filled == puzzle) | (puzzle == HIDDEN)).all()
    assert model.predict_proba(puzzle).shape == (16, 16, 256)
