"""Side maps in files: stacks, GeoTIFF files on the grid of a map, and folders next to folders."""

import json

import numpy as np
import pytest
from PIL import Image

from gridcloze import Inpainter, checkpoint
from gridcloze.files.sides import named_sides, open_sides
from gridcloze.priors import squares
from gridcloze.words import InputError

rasterio = pytest.importorskip("rasterio")
PRIOR = squares(6, 6, 2, 4)
PLACE = rasterio.Affine(30, 0, 500_000, 0, -30, 5_000_000)


def write_map(path, values, crs="EPSG:32633", transform=PLACE, **options):
    profile = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **profile, **options) as file:
        file.write(values[None])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Grids, maps, their side maps, and models that are hardly trained."""
    from gridcloze.commands.train import Source, train
    from gridcloze.training import Budget

    path, generator = tmp_path_factory.mktemp("sides"), np.random.default_rng(0)
    cells = PRIOR.sample(40, generator)
    side = np.stack([cells ^ (generator.random(cells.shape) < 0.1), generator.normal(size=cells.shape)], axis=-1)
    puzzles = np.where(generator.random(cells.shape) < 0.6, -1, cells)
    np.savez(path / "train.npz", cells=cells, side=side)
    np.savez(path / "puzzles.npz", cells=puzzles[:5], side=side[:5])
    np.savez(path / "bare.npz", cells=puzzles[:5])
    image = generator.integers(1, 4, (30, 41)).astype(np.uint8)
    scene = image.copy()
    scene[10:20, 10:25] = 0
    elevation = (10 * image + generator.normal(size=image.shape)).astype(np.float32)
    elevation[0, :5] = -9999
    write_map(path / "map.tif", image, nodata=0)
    write_map(path / "scene.tif", scene, nodata=0)
    write_map(path / "elevation.tif", elevation, nodata=-9999)
    write_map(path / "old.tif", image, nodata=0)
    for model, source in (
        ("stack.safetensors", Source(path / "train.npz", side=["zone:classes", "depth"])),
        (
            "map.safetensors",
            Source(path / "map.tif", windows=8, side=[str(path / "elevation.tif"), str(path / "old.tif")]),
        ),
    ):
        train(source, path / model, Budget(steps=2), seed=0, depth=1)
    return path


@pytest.fixture
def fill(gridcloze, folder):
    """Fills in a folder of its own; the exit code, the last line of stderr and the report."""

    def run(model, puzzle, *side):
        options = [part for one in side for part in ("--side", one)]
        code, out, error = gridcloze(
            "fill", folder / model, folder / puzzle, "-o", "out", "--samples", "2", "--json", *options
        )
        return code, error.strip().splitlines()[-1], json.loads(out) if code == 0 else None

    return run


def test_a_stack_and_the_python_door_give_one_answer(fill, folder, tmp_path):
    """The array `side` of a stack is what `side=` is in Python, to the bit."""
    assert fill("stack.safetensors", "puzzles.npz")[0] == 0
    model, stack = Inpainter.load(folder / "stack.safetensors"), np.load(folder / "puzzles.npz")
    results = np.load(tmp_path / "out" / "puzzles.npz")
    assert (results["fill"] == model.fill(stack["cells"], side=stack["side"])).all()
    assert (results["samples"] == model.sample(stack["cells"], n=2, side=stack["side"])).all()
    expected = model.predict_proba(stack["cells"], side=stack["side"]).astype(np.float32)
    assert (results["marginals"] == expected).all()
    assert not np.allclose(expected, model.predict_proba(stack["cells"], side=stack["side"][::-1]), atol=1e-7)


def test_a_zarr_stack_is_filled_as_an_npz(fill, folder, tmp_path):
    """The same arrays `cells` and `side` in a zarr group give the same fill."""
    zarr, stack = pytest.importorskip("zarr"), np.load(folder / "puzzles.npz")
    group = zarr.create_group(folder / "puzzles-2.zarr")
    for name in ("cells", "side"):
        group.create_array(name, data=stack[name])
    assert fill("stack.safetensors", "puzzles.npz")[0] == 0
    code, said, _ = fill("stack.safetensors", "puzzles-2.zarr")
    assert code == 0, said
    of_npz, of_zarr = (np.load(tmp_path / "out" / f"{name}.npz") for name in ("puzzles", "puzzles-2"))
    assert all((of_npz[name] == of_zarr[name]).all() for name in ("fill", "samples", "marginals"))


def test_a_map_and_the_python_door_give_one_answer(fill, folder, tmp_path):
    """A GeoTIFF with side maps is filled as the array of its classes with theirs."""
    files = [folder / "elevation.tif", folder / "old.tif"]
    assert fill("map.safetensors", "scene.tif", *files)[0] == 0
    model = Inpainter.load(folder / "map.safetensors")
    with rasterio.open(folder / "scene.tif") as scene:
        cells = np.where(scene.read(1) == 0, -1, scene.read(1).astype(int))
    with open_sides([str(file) for file in files], folder / "scene.tif", cells.shape) as opened:
        side = opened[:, :]
    assert np.isnan(side[0, :5, 0]).all()
    with rasterio.open(tmp_path / "out" / "scene.tif") as filled:
        assert (filled.read(1) == model.fill(cells, side=side)).all()
    with rasterio.open(tmp_path / "out" / "scene-samples.tif") as samples:
        assert (samples.read() == model.sample(cells, n=2, side=side)).all()


def test_names_and_classes_are_in_the_model(folder, gridcloze):
    """`info` lists the side maps of a model, whose statistics leave out what is unknown."""
    elevation, old = checkpoint.load(folder / "map.safetensors").side
    assert (elevation.name, elevation.kind, old.name, old.classes) == ("elevation", "numbers", "old", (1.0, 2.0, 3.0))
    assert 15 < elevation.mean < 25
    assert "side: elevation (numbers, mean" in gridcloze("info", folder / "map.safetensors")[1]


@pytest.mark.parametrize(
    ("side", "line"),
    [
        ([], "needs the side maps that it learned with (elevation, old)"),
        (["elevation.tif"], "elevation, old and is given elevation: give these, in this order"),
        (["old.tif", "elevation.tif"], "keep their order"),
        (["elevation.tif", "old.tif", "third=old.tif"], "give these, in this order"),
        (["elevation.tif", "elevation.tif"], "both side maps named elevation"),
        (["none", "old.tif"], "--side none stands for all side maps"),
        (["elevation.tif", "old=missing.tif"], "no such file"),
        (
            ["elevation.tif", "old=shifted.tif"],
            "align it: gdalwarp -t_srs EPSG:32633 -te 500000 4999100 501230 5000000 -ts 41 30 -r near",
        ),
        (["elevation.tif", "old=coarse.tif"], "another extent or resolution"),
        (["elevation.tif", "old=small.tif"], "another extent or resolution"),
        (["elevation.tif", "old=zone.tif"], "another coordinate system"),
        (
            ["elevation.tif", "old=unseen.tif"],
            "side map 'old' is 6 at grid 0, row 0, column 0, and in the examples 1, 2, 3 only",
        ),
        (["elevation=infinite.tif", "old.tif"], "side map 'elevation' is inf at grid 0, row 3, column 4"),
        (["elevation=complex.tif", "old.tif"], "complex"),
        (["elevation.tif", "old=bands.tif"], "2 bands; a side map has one"),
        (["elevation.tif", "old=puzzles.npz"], "not supported here"),
    ],
)
def test_bad_side_maps_have_one_line(fill, folder, side, line, tmp_path):
    """What does not fit is refused in one line, before anything is written."""
    image = np.full((30, 41), 2, np.uint8)
    write_map(folder / "shifted.tif", image, transform=rasterio.Affine(30, 0, 500_030, 0, -30, 5_000_000))
    write_map(folder / "coarse.tif", image, transform=rasterio.Affine(60, 0, 500_000, 0, -60, 5_000_000))
    write_map(folder / "small.tif", image[:-1])
    write_map(folder / "zone.tif", image, crs="EPSG:32634")
    write_map(folder / "unseen.tif", image + np.uint8(4))
    infinite = np.where(np.arange(41 * 30).reshape(30, 41) == 3 * 41 + 4, np.inf, 1).astype(np.float32)
    write_map(folder / "infinite.tif", infinite)
    write_map(folder / "complex.tif", image.astype(np.complex64))
    with rasterio.open(
        folder / "bands.tif",
        "w",
        driver="GTiff",
        height=30,
        width=41,
        count=2,
        dtype="uint8",
        crs="EPSG:32633",
        transform=PLACE,
    ) as file:
        file.write(np.stack([image, image]))
    full = [
        one if one == "none" else "=".join([*one.split("=")[:-1], str(folder / one.split("=")[-1])]) for one in side
    ]
    code, said, _ = fill("map.safetensors", "scene.tif", *full)
    assert (code, line in said) == (2, True), said
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_bad_side_maps_of_stacks_have_one_line(fill, folder):
    """A stack with other side maps, or none, is refused in one line."""
    stack = np.load(folder / "puzzles.npz")
    for name, side, line in (
        ("few", stack["side"][..., :1], "there are 1 side maps, and the model has 2 (zone, depth)"),
        ("size", stack["side"][:, :5], "its array 'side' (5, 5, 6, 2) does not fit"),
        ("flat", stack["side"][..., 0], "its array 'side' (5, 6, 6) does not fit"),
        ("unseen", stack["side"] + 5, "'zone' is"),
    ):
        np.savez(folder / f"{name}.npz", cells=stack["cells"], side=side)
        code, said, _ = fill("stack.safetensors", f"{name}.npz")
        assert (code, line in said) == (2, True), said
    assert "needs the side maps" in fill("stack.safetensors", "bare.npz")[1]
    assert (
        "--side only names them"
        in fill("stack.safetensors", "puzzles.npz", f"zone={folder / 'old.tif'}", f"depth={folder / 'old.tif'}")[1]
    )


def test_unknown_side_maps_are_filled_with_a_warning(fill, folder):
    """`--side none` fills as if all were unknown, and a map without a known cell is named."""
    for model, puzzle in (("map.safetensors", "scene.tif"), ("stack.safetensors", "bare.npz")):
        code, _, report = fill(model, puzzle, "none")
        assert code == 0
        assert any("filled as if these side maps were unknown" in line for line in report[0]["warnings"])
    write_map(folder / "empty.tif", np.full((30, 41), np.nan, np.float32))
    other = fill("map.safetensors", "scene.tif", f"elevation={folder / 'empty.tif'}", folder / "old.tif")
    assert other[0] == 2  # of other options than what is there
    assert "other options" in other[1]


def test_several_stacks_are_filled_without_side_maps(gridcloze, folder):
    """`--side none` goes for any number of stacks, with side maps in them or not."""
    stacks = folder / "bare.npz", folder / "puzzles.npz"
    code, _, said = gridcloze("fill", folder / "stack.safetensors", *stacks, "-o", "out", "--side", "none")
    assert code == 0, said


def test_a_map_of_nothing_is_named(gridcloze, folder):
    """A side map without a known cell is filled without, and the report says so."""
    write_map(folder / "empty.tif", np.full((30, 41), np.nan, np.float32))
    options = ["--side", f"elevation={folder / 'empty.tif'}", "--side", folder / "old.tif", "--json"]
    code, out, _ = gridcloze("fill", folder / "map.safetensors", folder / "scene.tif", "-o", "out", *options)
    assert code == 0
    assert json.loads(out)[0]["warnings"] == ["filled as if these side maps were unknown: elevation"]


def test_other_side_maps_are_another_fill(gridcloze, folder):
    """A finished fill is not taken for one with a side map of other content."""
    options = ["--side", folder / "elevation.tif", "--side"]
    fill = ["fill", folder / "map.safetensors", folder / "scene.tif", "-o", "out", *options]
    assert gridcloze(*fill, folder / "old.tif")[0] == 0
    assert gridcloze(*fill, folder / "old.tif")[0] == 0
    (folder / "changed").mkdir(exist_ok=True)
    write_map(folder / "changed" / "old.tif", np.full((30, 41), 2, np.uint8))
    code, _, said = gridcloze(*fill, folder / "changed" / "old.tif")
    assert code == 2
    assert "other options" in said


def test_a_folder_next_to_a_folder(gridcloze, tmp_path):
    """Pictures of grids have grey pictures or arrays of the same names in other folders."""
    generator = np.random.default_rng(0)
    for name in ("grids", "grey", "depth"):
        (tmp_path / name).mkdir()
    for number, cells in enumerate(PRIOR.sample(12, generator)):
        Image.fromarray((255 * cells).astype(np.uint8)).save(tmp_path / "grids" / f"{number:02}.png")
        Image.fromarray((100 * cells).astype(np.uint8)).save(tmp_path / "grey" / f"{number:02}.png")
        np.save(tmp_path / "depth" / f"{number:02}.npy", generator.normal(size=cells.shape))
    options = ["--side", "grey", "--side", "depth"]
    assert gridcloze("train", "grids", "-o", "m.safetensors", "--steps", "1", "--depth", "1", *options)[0] == 0
    grey, depth = checkpoint.load(tmp_path / "m.safetensors").side
    assert (grey.classes, depth.kind) == ((0.0, 100.0), "numbers")
    (tmp_path / "depth" / "03.npy").unlink()
    code, _, said = gridcloze("train", "grids", "-o", "n.safetensors", "--steps", "1", "--depth", "1", *options)
    assert (code, "depth: it has 0 side maps for 03.png" in said) == (2, True)
    one = ["--side", "grey=grey/00.png", "--side", "depth=depth/00.npy"]
    _, _, said = gridcloze("explain", "m.safetensors", "grids/00.png", *one)
    assert "no cell is hidden" in said


def test_score_says_what_each_side_map_is_worth(gridcloze, folder, tmp_path):
    """`score` has a worth and an error for each map and all together, `explain` the influence of each."""
    options = ["--side", folder / "elevation.tif", "--side", folder / "old.tif", "--json"]
    code, out, said = gridcloze("score", folder / "map.safetensors", folder / "map.tif", *options)
    assert code == 0, said
    report = json.loads(out)
    assert [one["name"] for one in report["side"]] == ["elevation", "old", "all together"]
    assert all(one["standard_error"] > 0 for one in report["side"])
    for name in ("scene", "elevation", "old"):  # `explain` looks at each cell
        with rasterio.open(folder / f"{name}.tif") as file:
            write_map(tmp_path / f"{name}.tif", file.read(1)[8:16, 8:18], nodata=file.nodata)
    options = ["--side", "elevation.tif", "--side", "old.tif", "--json"]
    code, out, said = gridcloze("explain", folder / "map.safetensors", "scene.tif", *options)
    assert code == 0, said
    assert [one["name"] for one in json.loads(out)["side"]] == ["elevation", "old"]
    assert gridcloze("check", folder / "map.safetensors", "scene.tif", *options)[0] in (0, 1)
    code, out, said = gridcloze("score", folder / "stack.safetensors", folder / "train.npz", "--json")
    assert [one["name"] for one in json.loads(out)["side"]] == ["zone", "depth", "all together"]
    assert "needs the side maps" in gridcloze("score", folder / "map.safetensors", folder / "map.tif")[2]


def test_names_of_side_maps():
    """A name stands before the path, or is that of the file; two of a name are refused."""
    assert list(named_sides(["a/b.tif", "c=d.tif", "old:classes=e.tif"])) == ["b", "c", "old:classes"]
    assert named_sides(["none"]) == {}
    with pytest.raises(InputError, match="both side maps named b"):
        named_sides(["a/b.tif", "b=c.tif"])
