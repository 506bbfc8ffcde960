"""DataArrays of xarray: filled like GeoTIFFs, with all that belongs to them; lazy if they are in chunks."""

import numpy as np
import pytest
import rasterio

xarray = pytest.importorskip("xarray")
rioxarray = pytest.importorskip("rioxarray")
dask = pytest.importorskip("dask")

import gridcloze.xarray  # noqa: E402, F401
from gridcloze import Inpainter, checkpoint  # noqa: E402
from gridcloze.commands.fill import Request, fill  # noqa: E402
from gridcloze.commands.train import Source, train  # noqa: E402
from gridcloze.training import Budget  # noqa: E402
from gridcloze.words import InputError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # of rioxarray
CHUNKS = {"y": 10, "x": 13}
LAYOUT = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": "EPSG:5070"}


def write(path, values, **more):
    place = rasterio.Affine(30, 0, 7, 0, -30, 9)
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, transform=place, **LAYOUT, **more) as file:
        file.write(values, 1)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model of windows of classes 11, 41 and 90, and a map with nodata."""
    folder = tmp_path_factory.mktemp("xarray")
    generator = np.random.default_rng(0)
    values = np.array([11, 41, 90], np.uint8)[generator.integers(0, 3, (24, 30)) * (np.arange(30) % 5 > 1)]
    model = folder / "model.safetensors"
    train(Source(write(folder / "train.tif", values), windows=6), model, Budget(steps=3), seed=0, depth=1)
    path = write(folder / "map.tif", np.where(generator.random(values.shape) < 0.3, 255, values), nodata=255)
    fill(model, [path], folder / "filled", Request(samples=2))
    return model, path, folder / "filled"


def opened(path, **options):
    return rioxarray.open_rasterio(path, **options).isel(band=0)


@pytest.mark.parametrize("chunks", [None, CHUNKS])
def test_a_data_array_is_filled_like_the_file(files, chunks):
    """Values, coordinates, attributes, nodata and type are those that rioxarray reads from the filled file."""
    model, path, filled = files
    ours, theirs = opened(path, chunks=chunks).gridcloze.fill(model), opened(filled / "map.tif")
    assert (ours.chunks is None) == (chunks is None)
    xarray.testing.assert_identical(ours.compute(), theirs)
    assert (ours.rio.crs, ours.rio.nodata, ours.dtype) == (theirs.rio.crs, theirs.rio.nodata, theirs.dtype)
    drawn = opened(path, chunks=chunks).gridcloze.sample(model, 2)
    np.testing.assert_array_equal(drawn, rioxarray.open_rasterio(filled / "map-samples.tif"))
    entropy = opened(path, chunks=chunks).gridcloze.entropy(model)
    np.testing.assert_array_equal(
        entropy.astype(np.float32), rioxarray.open_rasterio(filled / "map-uncertainty.tif")[1]
    )


def test_chunks_change_no_probability(files):
    """And each class has its coordinate."""
    model, path, _ = files
    predictor = checkpoint.load(model)
    lazy = opened(path, chunks=CHUNKS).gridcloze.predict_proba(predictor)
    assert lazy.chunks is not None
    whole = opened(path).gridcloze.predict_proba(predictor)
    np.testing.assert_array_equal(lazy, whole)
    assert whole.symbol.values.tolist() == [11, 41, 90]
    assert whole.rio.crs == "EPSG:5070"


def test_nothing_runs_before_it_is_computed(files):
    """Neither a task nor a read of the data."""
    model, path, _ = files
    ran = []
    data = dask.array.map_blocks(
        lambda part: ran.append(1) or part,
        opened(path, chunks=CHUNKS).data,
        meta=np.empty((0, 0), np.uint8),
    )
    array = opened(path).copy(data=data)
    with dask.config.set(scheduler=lambda *_, **__: ran.append("computed")):
        lazy = array.gridcloze.fill(model), array.gridcloze.sample(model, 2), array.gridcloze.entropy(model)
    assert not ran
    assert all(one.chunks is not None for one in lazy)
    lazy[0].compute(scheduler="synchronous")
    assert ran


@pytest.mark.parametrize("chunks", [None, CHUNKS])
def test_nan_and_a_mask_hide(files, chunks):
    """NaN is hidden as nodata is; with a mask the cells that it names are filled, and others stay empty."""
    model, path, results = files
    masked = opened(path, masked=True, chunks=chunks)
    filled = masked.gridcloze.fill(model)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled, opened(results / "map.tif"))
    mask = xarray.zeros_like(opened(path), dtype=bool)
    mask[3:9, 4:20] = True
    partly = opened(path, chunks=chunks).gridcloze.fill(model, hidden=mask).values
    before = opened(path).values
    assert (partly[~mask.values] == before[~mask.values]).all()
    assert (partly[mask.values] != 255).all()


@pytest.mark.parametrize("chunks", [None, CHUNKS])
def test_what_is_no_grid_is_refused_in_one_line(files, chunks):
    model, path, _ = files
    whole = rioxarray.open_rasterio(path, chunks=chunks)
    with pytest.raises(InputError, match=r"3 dimensions .*isel\(band=0\)"):
        whole.gridcloze.fill(model)
    wrong = r"11\.5, 41\.5, 90\.5" if chunks is None else r"[0-9.5, ]+"  # of one chunk
    with pytest.raises(InputError, match=f"{wrong}: no classes of the model, which are 11, 41, 90"):
        (opened(path, masked=True, chunks=chunks) + 0.5).gridcloze.fill(model).compute(scheduler="synchronous")
    with pytest.raises(InputError, match="same shape"):
        opened(path, chunks=chunks).gridcloze.fill(model, hidden=np.zeros((2, 2)))


def test_an_inpainter_learns_from_data_arrays_and_fills_them():
    """Their nodata is hidden, and small arrays are filled as a whole, in chunks or not."""
    grids = np.random.default_rng(0).integers(1, 3, (20, 6, 6)).astype(np.uint8)
    grids[:, 0, 0] = 255
    array = xarray.DataArray(grids, dims=("time", "y", "x"), attrs={"_FillValue": 255})
    model = Inpainter(steps=2, depth=1).fit(array)
    assert model.symbols_.tolist() == [1, 2]
    assert Inpainter(steps=2, depth=1).fit(list(array)).symbols_.tolist() == [1, 2]
    filled = array[0].gridcloze.fill(model)
    assert filled.values[0, 0] in (1, 2)
    xarray.testing.assert_identical(
        array[0].chunk({"y": 4}).gridcloze.fill(model).compute(scheduler="synchronous"), filled
    )


def test_a_dataset_has_the_side_maps_of_a_model():
    """Its variables are side maps by their names and types; a DataArray alone is refused in one line."""
    generator = np.random.default_rng(0)
    grids = generator.integers(0, 2, (30, 5, 5))
    noise = generator.normal(size=grids.shape)
    dataset = xarray.Dataset({"zone": (("n", "y", "x"), grids), "depth": (("n", "y", "x"), noise)})
    model = Inpainter(steps=2, depth=1).fit(grids, side=dataset)
    assert [(one.name, one.kind) for one in model.predictor_.side] == [("zone", "classes"), ("depth", "numbers")]
    puzzle = np.where(np.eye(5) == 1, -1, grids[0])
    found = model.predict_proba(puzzle, side=dataset.isel(n=0))
    assert np.array_equal(found, model.predict_proba(puzzle, side=np.stack([grids[0], noise[0]], axis=-1)))
    with pytest.raises(InputError, match="keep their order"):
        model.fill(puzzle, side=dataset[["depth", "zone"]].isel(n=0))
    array = xarray.DataArray(np.where(puzzle < 0, np.nan, puzzle), dims=("y", "x"))
    maps = dataset.isel(n=0)
    assert np.array_equal(array.gridcloze.predict_proba(model, side=maps), found)
    assert np.array_equal(array.gridcloze.fill(model, side=maps.transpose("x", "y")), model.fill(puzzle, side=maps))
    drawn = model.sample(puzzle, 2, side=maps)
    assert np.array_equal(array.gridcloze.sample(model, 2, side=maps), drawn)
    assert not np.array_equal(array.gridcloze.predict_proba(model, side=maps.where(maps.zone > 0)), found)
    with pytest.raises(InputError, match="the model needs the side maps that it learned with"):
        array.gridcloze.fill(model)
    with pytest.raises(InputError, match="come as a Dataset"):
        array.gridcloze.fill(model, side=maps.zone)
    with pytest.raises(InputError, match="load it"):
        array.chunk().gridcloze.fill(model, side=maps)
    with pytest.raises(InputError, match="other coordinates"):
        array.assign_coords(x=np.arange(5)).gridcloze.fill(model, side=maps.assign_coords(x=np.arange(1, 6)))
    with pytest.raises(InputError, match="keep their order"):
        array.gridcloze.fill(model, side=maps[["depth", "zone"]])
