import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tracemalloc
import warnings
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, TiffImagePlugin
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC

from gridcloze import answers, priors
from gridcloze.answers import AnswersByRows
from gridcloze.commands.check import check
from gridcloze.commands.explain import Drawings, explain
from gridcloze.commands.fill import Request
from gridcloze.commands.fill import fill as command_fill
from gridcloze.commands.score import score
from gridcloze.commands.train import Source, train
from gridcloze.files.maps import (
    OpenMap,
    Resolution,
    files_of,
    map_files,
    open_map,
    optimise,
    read_map,
    read_maps,
    read_thinned,
    resolution_warning,
    write_each_sample,
    write_maps,
)
from gridcloze.files.palettes import Palette
from gridcloze.priors import posterior
from gridcloze.puzzles import Puzzles
from gridcloze.training import Budget
from gridcloze.words import HIDDEN, InputError

COVER = Palette(Palette.default(3).colours, "WFT", ("water", "forest", "town"), (11, 41, 200))
TABLE = {0: (0, 0, 0, 0), 11: (70, 107, 159, 255), 41: (28, 95, 44, 255), 200: (171, 0, 0, 255)}
PLACE = rasterio.Affine(30.0, 0.0, 500_000.0, 0.0, -20.0, 4_000_000.0)
ROTATED_POLE = "+proj=ob_tran +o_proj=longlat +o_lon_p=-162 +o_lat_p=39.25 +lon_0=180 +to_meter=0.0174532925199433"
SMALL = np.array([[11, 41, 200, 0], [41, 41, 0, 11]], np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def save(path: Path, values: np.ndarray, table=None, mask=None, **options) -> Path:
    """A GeoTIFF of values (height, width) or (band, height, width)."""
    bands = values if values.ndim == 3 else values[None]
    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    place = {"crs": "EPSG:32631", "transform": PLACE}
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **size, **place | options) as dataset,
    ):
        if table:
            dataset.write_colormap(1, table)
        dataset.write(bands)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def open_raster(path: Path, mode: str = "r"):
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        return rasterio.open(path, mode)


def random_map(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([0, 11, 41, 200], np.uint8), (height, width))


def fill(folder: Path, path: Path, rows: int = 7, n_samples: int = 2, palette=COVER, hidden="auto") -> list[Path]:
    """Fills a map by rows: hidden cells get symbol 1, and in sample n symbol n."""
    paths = results_in(folder / "out")
    last = paths[2] if n_samples else None
    with open_map(path, palette, hidden) as source, write_maps(source, *paths[:2], last, n_samples) as writer:
        for start in range(0, source.height, rows):
            cells = source.read_rows(start, min(start + rows, source.height))
            is_hidden = cells == HIDDEN
            samples = np.where(is_hidden, np.arange(n_samples)[:, None, None], cells)
            probability = np.where(is_hidden, 0.5, 1.0)
            writer.write_rows(start, np.where(is_hidden, 1, cells), probability, 2 * probability, samples)
    return paths


def results_in(folder: Path) -> list[Path]:
    return [folder / name for name in ("filled.tif", "uncertainty.tif", "samples.tif")]


def refused(message: str, function, *arguments, **options) -> None:
    """The call raises InputError with one line that has the message in it."""
    with pytest.raises(InputError, match=message) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)


def opened(path: Path, palette: Palette = COVER, hidden="auto") -> None:
    with open_map(path, palette, hidden):
        pass


# Reading


def test_a_map_is_read_with_all_it_says(folder):
    """Symbols are the values that occur, in order, with the colours of the table; nodata is hidden and no symbol."""
    one = read_map(save(folder / "map.tif", SMALL, TABLE, nodata=0))
    assert one.cells.tolist() == [[0, 1, 2, HIDDEN], [1, 1, HIDDEN, 0]]
    assert one.palette.values == (11, 41, 200)
    assert one.palette.colours == (TABLE[11], TABLE[41], TABLE[200])
    assert one.palette.names == ()
    assert one.resolution == Resolution(20.0, 30.0, "metre")


def test_a_palette_decides_what_is_what(folder):
    """With a palette the symbols are its own, whatever occurs in the file."""
    path = save(folder / "map.tif", SMALL, nodata=0)
    backwards = Palette(COVER.colours, COVER.characters, values=(200, 41, 11))
    one = read_map(path, backwards)
    assert one.cells.tolist() == [[2, 1, 0, HIDDEN], [1, 1, HIDDEN, 2]]
    assert one.palette == backwards


def test_a_map_without_nodata_is_known_everywhere(folder):
    """To learn from, a map need not have hidden cells; 0 is then a class like others."""
    one = read_map(save(folder / "map.tif", SMALL))
    assert one.palette.values == (0, 11, 41, 200)
    assert (one.cells >= 0).all()


def test_colours_that_do_not_tell_classes_apart_are_not_taken(folder):
    """Without a table, and with one in which two classes look alike, the colours are the default ones."""
    alike = TABLE | {41: TABLE[11]}
    for table in (None, alike):
        assert read_map(save(folder / "map.tif", SMALL, table, nodata=0)).palette.colours == Palette.default(3).colours


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64"])
def test_all_integers_are_classes(folder, dtype):
    """Signed or not, and of any length, integers are read and written back."""
    values = SMALL.astype(np.int64)
    values[values == 200] = np.iinfo(dtype).max if dtype != "uint64" else 200
    values[values == 41] = -7 if dtype.startswith("int") else 41
    path = save(folder / "map.tif", values.astype(dtype), nodata=0)
    one = read_map(path)
    assert np.array_equal(np.array([*one.palette.values, 0])[one.cells], values)
    filled = open_raster(fill(folder, path, palette=one.palette)[0]).read(1)
    assert filled.dtype == dtype
    assert np.array_equal(filled[values != 0], values[values != 0])
    assert (filled[values == 0] == one.palette.values[1]).all()


@pytest.mark.parametrize("way", ["nodata", "alpha", "mask"])
def test_ways_to_be_hidden(folder, way):
    """Nodata, an alpha band and a mask in the file all hide, and the file is filled and written with one band."""
    hidden = SMALL == 0
    if way == "nodata":
        path = save(folder / "map.tif", SMALL, nodata=0)
    elif way == "alpha":
        bands = np.stack([SMALL, np.where(hidden, 0, 255).astype(np.uint8)])
        path = save(folder / "map.tif", bands, photometric="minisblack", alpha="yes")
    else:
        path = save(folder / "map.tif", SMALL, mask=~hidden)
    assert np.array_equal(read_map(path).cells == HIDDEN, hidden)
    filled = open_raster(fill(folder, path)[0])
    assert filled.read().tolist() == [np.where(hidden, 41, SMALL).tolist()]
    assert filled.nodata == (0 if way == "nodata" else None)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".npz", ".zarr"])
def test_nodata_and_a_second_file_both_hide(folder, suffix):
    """A second file of any kind says what is filled; what else has no data is hidden from the model, and stays so."""
    clouds = np.array([[1, 0, 0, 0], [0, 0, 0, 7]], np.uint8)
    path = folder / f"clouds{suffix}"
    if suffix == ".tif":
        save(path, clouds)
    elif suffix == ".png":
        Image.fromarray(clouds).save(path)
    elif suffix == ".zarr":
        import zarr

        zarr.save_array(path, clouds)
    else:
        (np.save if suffix == ".npy" else np.savez)(path, clouds)
    for nodata, also in ((0, SMALL == 0), (None, SMALL == 1)):
        values = SMALL if nodata == 0 else np.where(SMALL == 0, 11, SMALL).astype(np.uint8)
        one = save(folder / "map.tif", values, nodata=nodata)
        hidden = (clouds > 0) | also
        assert np.array_equal(read_map(one, COVER, path).cells == HIDDEN, hidden)
        filled = open_raster(fill(folder, one, rows=1, hidden=path)[0]).read(1)
        assert np.array_equal(filled, np.where(clouds > 0, 41, values))


def test_what_is_hidden_need_not_be_a_class(folder):
    """A value that is nowhere but under clouds is no symbol, and no error for a model that does not know it."""
    clouds = save(folder / "clouds.tif", np.array([[0, 0, 1, 0], [0, 0, 0, 0]], np.uint8))
    path = save(folder / "map.tif", SMALL, nodata=0)
    assert read_map(path, hidden=clouds).palette.values == (11, 41)
    few = Palette(COVER.colours[:2], "WF", values=(11, 41))
    assert read_map(path, few, clouds).cells.tolist() == [[0, 1, HIDDEN, HIDDEN], [1, 1, HIDDEN, 0]]


LAYOUTS = [{}, {"blockysize": 3}, {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "lzw"}]


@settings(max_examples=15, deadline=None)
@given(some.integers(1, 50), some.integers(1, 50), some.integers(1, 50), some.sampled_from(LAYOUTS))
def test_rows_are_those_of_the_whole(height, width, rows, layout):
    """A map that is read by rows is that which is read at once, in strips and in tiles."""
    values = random_map(height, width)
    values[0, 0] = 11
    with TemporaryDirectory() as folder:
        path = save(Path(folder, "map.tif"), values, nodata=0, **layout)
        whole = read_map(path, COVER)
        with open_map(path, COVER) as source:
            assert (source.height, source.width, source.resolution) == (height, width, whole.resolution)
            parts = [source.read_rows(start, min(start + rows, height)) for start in range(0, height, rows)]
        assert np.array_equal(np.concatenate(parts), whole.cells)
    assert np.array_equal(np.array([*COVER.values, 0])[whole.cells], values)


def test_a_large_map_is_read_in_blocks(folder, monkeypatch):
    """A whole map is read block by block, and the last block may be smaller."""
    values = random_map(23, 10)
    path = save(folder / "map.tif", values, nodata=0)
    at_once = read_map(path)
    monkeypatch.setattr("gridcloze.files.maps.CELLS_AT_ONCE", 50)
    in_blocks = read_map(path)
    assert np.array_equal(at_once.cells, in_blocks.cells)
    assert at_once.palette == in_blocks.palette


def test_memory_is_flat(folder):
    """Reading and writing a few rows takes memory for these rows, not for the map; reading all of it does not."""
    height, width, rows = 4000, 2000, 16
    with rasterio.open(
        folder / "map.tif", "w", driver="GTiff", height=height, width=width, count=1, dtype="uint8", nodata=0,
        tiled=True, compress="deflate", crs="EPSG:32631", transform=PLACE, SPARSE_OK=True,
    ):  # fmt: skip
        pass
    with ExitStack() as stack:
        source = stack.enter_context(open_map(folder / "map.tif", COVER))
        writer = stack.enter_context(write_maps(source, folder / "a.tif", folder / "b.tif", folder / "c.tif", 2))
        cells, floats = np.ones((rows, width), np.int64), np.ones((rows, width))
        tracemalloc.start()
        assert (source.read_rows(2000, 2000 + rows) == HIDDEN).all()
        writer.write_rows(2000, cells, floats, floats, np.stack([cells, cells]))
        few = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        source.read_rows(0, height)
        whole = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert few < 100 * rows * width < height * width < whole


# Writing


@pytest.mark.parametrize("rows", [1, 7, 100])
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("uint8", {"compress": "lzw", "predictor": 2, "tiled": True, "blockxsize": 32, "blockysize": 16}),
        ("uint8", {"compress": "deflate", "tiled": True, "blockxsize": 128, "blockysize": 128}),
        ("uint8", {"compress": "packbits", "blockysize": 5}),
        ("uint16", {"compress": "zstd", "crs": "EPSG:4326"}),
        ("uint8", {"compress": "lzma"}),
        ("uint8", {}),
        ("uint16", {"crs": None, "transform": None}),
    ],
)
def test_results_are_like_the_source(folder, dtype, options, rows):
    """Known cells are bit for bit what they were; place, type, colours, compression, tiles, tags and names are kept."""
    values = random_map(40, 50).astype(dtype)
    path = save(folder / "map.tif", values, TABLE, nodata=0, **options)
    with open_raster(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point", TIFFTAG_SOFTWARE="made by hand", author="somebody")
        dataset.update_tags(1, legend="cover", STATISTICS_MEAN="84")
        dataset.set_band_description(1, "land cover")
    paths = fill(folder, path, rows)
    assert sorted(file.name for file in (folder / "out").iterdir()) == ["filled.tif", "samples.tif", "uncertainty.tif"]
    before, filled, uncertainty, samples = (open_raster(each) for each in (path, *paths))
    hidden = values == 0
    assert np.array_equal(filled.read(1), np.where(hidden, 41, values))
    assert filled.profile == before.profile
    assert filled.tags() == before.tags()
    assert filled.tags(1) == {"legend": "cover"}
    assert filled.tags(ns="IMAGE_STRUCTURE") == before.tags(ns="IMAGE_STRUCTURE")
    assert filled.colormap(1) == before.colormap(1)
    assert filled.descriptions == ("land cover",)
    assert uncertainty.descriptions == ("probability of the class", "entropy in bits")
    assert uncertainty.dtypes == ("float32", "float32")
    assert uncertainty.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
    assert np.array_equal(uncertainty.read(), [np.where(hidden, 0.5, 1.0), np.where(hidden, 1.0, 2.0)])
    assert np.array_equal(samples.read(), [np.where(hidden, 11, values), np.where(hidden, 41, values)])
    assert samples.dtypes == (dtype, dtype)
    for other in (uncertainty, samples):
        assert (other.crs, other.transform) == (before.crs, before.transform)


@settings(max_examples=25, deadline=None)
@given(some.data(), some.integers(1, 4), some.integers(1, 3))
def test_known_cells_come_back(data, rows, n_samples):
    """Whatever a model says of known cells, they are those of the file, and hidden ones are what it says."""
    shape = data.draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=6))
    values = data.draw(arrays.arrays(np.uint8, shape, elements=some.sampled_from([0, 11, 41, 200])))
    cells = data.draw(arrays.arrays(np.int64, (1 + n_samples, *shape), elements=some.integers(0, 2)))
    floats = np.zeros(shape)
    with TemporaryDirectory() as name:
        path, paths = save(Path(name, "map.tif"), values, nodata=0), results_in(Path(name))
        with open_map(path, COVER) as source, write_maps(source, *paths, n_samples) as writer:
            for start in range(0, shape[0], rows):
                part = slice(start, start + rows)
                writer.write_rows(start, cells[0, part], floats[part], floats[part], cells[1:, part])
        expected = np.where(values == 0, np.array(COVER.values)[cells], values)
        assert np.array_equal(open_raster(paths[0]).read(), expected[:1])
        assert np.array_equal(open_raster(paths[2]).read(), expected[1:])


def test_no_samples_no_file(folder):
    """Without samples there are two files."""
    path = save(folder / "map.tif", SMALL, nodata=0)
    assert [path.exists() for path in fill(folder, path, n_samples=0)] == [True, True, False]


def test_many_samples_are_no_colours(folder):
    """Three or four bands of bytes are not taken for red, green, blue and alpha."""
    path = save(folder / "map.tif", SMALL, nodata=0)
    more = Palette(Palette.default(4).colours, "abcd", values=(11, 41, 200, 201))
    for n_samples in (3, 4):
        samples = open_raster(fill(folder, path, n_samples=n_samples, palette=more)[2])
        kinds = {interpretation.name for interpretation in samples.colorinterp}
        assert kinds <= {"gray", "undefined"}


def test_a_compression_that_loses_something_is_not_kept(folder, monkeypatch):
    """A map in JPEG is written with another compression, for the results would be found to be not what was written."""
    path = save(
        folder / "map.tif", random_map(64, 64), nodata=0, compress="jpeg", tiled=True, blockxsize=16, blockysize=16
    )
    values = open_raster(path).read(1)
    known = np.unique(values[values != 0]).tolist()
    palette = replace(Palette.default(len(known)), values=tuple(known))
    filled = open_raster(fill(folder, path, palette=palette)[0])
    assert filled.compression.name == "deflate"
    assert np.array_equal(filled.read(1)[values != 0], values[values != 0])
    monkeypatch.setattr("gridcloze.files.maps.LOSSLESS", ("jpeg",))
    refused("(filled|samples).tif: could not be written as a whole", fill, folder, path, palette=palette)


def test_a_coordinate_system_that_tiff_has_no_room_for(folder):
    """What GDAL notes in a file beside the map it notes beside the results; notes on former results go with these."""
    path = save(folder / "map.tif", SMALL, nodata=0, crs=ROTATED_POLE)
    assert open_raster(path).files == [str(path), f"{path}.aux.xml"]
    for results in (fill(folder, path), fill(folder, path)):
        assert len(list((folder / "out").iterdir())) == 6
        assert all(open_raster(result).crs == open_raster(path).crs for result in results)
    fill(folder, save(folder / "other.tif", SMALL, nodata=0))
    assert len(list((folder / "out").iterdir())) == 3


def test_nothing_half_written(folder):
    """If filling fails, none of the files is there, nor a part of one, and what was there before stays."""
    (folder / "out").mkdir()
    (folder / "out" / "filled.tif").write_text("old")
    path = save(folder / "map.tif", np.repeat(SMALL, 9, axis=0), nodata=0, crs=ROTATED_POLE)
    with open_map(path, COVER) as source, pytest.raises(KeyboardInterrupt):
        write_half(source, results_in(folder / "out"))
    assert [file.name for file in (folder / "out").iterdir()] == ["filled.tif"]
    assert (folder / "out" / "filled.tif").read_text() == "old"


def write_half(source: OpenMap, paths: list[Path]) -> None:
    cells, floats = np.zeros((1, 4), np.int64), np.zeros((1, 4))
    with write_maps(source, *paths, 1) as writer:
        writer.write_rows(0, cells, floats, floats, cells[None])
        raise KeyboardInterrupt


@pytest.mark.parametrize("rows", [64, 1024])
def test_a_full_disk_is_noticed(folder, rows):
    """Where a file cannot be written whole, whether that shows on the way or when it is closed, none is left."""
    path = save(folder / "map.tif", random_map(1024, 256), nodata=0, tiled=True, compress="deflate")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        refused("out/[a-z]+.tif: (cannot|could not) be written", fill, folder, path, rows, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (folder / "out").exists()


# What belongs to a file

CLASSES = """<PAMDataset><PAMRasterBand band="1">
<CategoryNames><Category>nothing</Category><Category>water</Category></CategoryNames>
<GDALRasterAttributeTable tableType="thematic">
<FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="1"><Name>Count</Name><Type>0</Type><Usage>1</Usage></FieldDefn>
<FieldDefn index="2"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<Row index="0"><F>11</F><F>3</F><F>water</F></Row></GDALRasterAttributeTable>
<Histograms><HistItem><HistMin>0</HistMin></HistItem></Histograms></PAMRasterBand></PAMDataset>"""


@pytest.mark.parametrize("system", ["EPSG:4326", rasterio.CRS()])
def test_control_points_come_back(folder, system):
    """A map that is placed by ground control points has results that are, with and without a coordinate system."""
    points = [GroundControlPoint(row, column, 10 + column, 50 - row, 1.5) for row in (0, 2) for column in (0, 4)]
    path = save(folder / "map.tif", SMALL, nodata=0, crs=system, transform=None, gcps=points)
    for result in fill(folder, path):
        (found, crs), (expected, expected_crs) = open_raster(result).gcps, open_raster(path).gcps
        assert [point.asdict() for point in found] == [point.asdict() for point in expected]
        assert crs == expected_crs


def test_polynomials_of_a_camera_come_back(folder):
    """RPCs are those of the source in every result."""
    line = [0.0, 1.0, *([0.0] * 18)]
    numbers = {f"{axis}_{what}": 2.0 for axis in ("height", "lat", "line", "long", "samp") for what in ("off", "scale")}
    fractions = {f"{axis}_{part}_coeff": line for axis in ("line", "samp") for part in ("num", "den")}
    rpcs = RPC(**numbers, **fractions, err_bias=0.5, err_rand=0.5)
    path = save(folder / "map.tif", SMALL, nodata=0, rpcs=rpcs)
    assert all(open_raster(result).rpcs.to_dict() == rpcs.to_dict() for result in fill(folder, path))


def test_scale_unit_and_tags_of_all_namespaces_come_back(folder):
    """So do offset, colour interpretation and XMP; statistics of the values before the fill do not."""
    path = save(folder / "map.tif", SMALL, nodata=0)
    xmp = '<?xpacket begin="a" id="b"?><x y="1"/><?xpacket end="w"?>'
    with open_raster(path, "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.units = (0.5,), (3.0,), ("m",)
        dataset.update_tags(ns="LICENCE", name="CC0")
        dataset.update_tags(1, ns="SURVEY", year="2021")
        dataset.update_tags(ns="xml:XMP", **dict([xmp.split("=", 1)]))
        dataset.colorinterp = (ColorInterp.red,)
    filled = open_raster(fill(folder, path)[0])
    assert (filled.scales, filled.offsets, filled.units) == ((0.5,), (3.0,), ("m",))
    assert filled.tags(ns="LICENCE") == {"name": "CC0"}
    assert filled.tags(1, ns="SURVEY") == {"year": "2021"}
    assert filled.tags(ns="xml:XMP") == {"xml:XMP": xmp}
    assert filled.colorinterp == (ColorInterp.red,)


@pytest.mark.parametrize("crs", ["EPSG:32631", ROTATED_POLE])
def test_class_names_come_back(folder, crs):
    """Category names and the attribute table, but for its counts of cells, go into the notes of the filled map."""
    path = save(folder / "map.tif", SMALL, nodata=0, crs=crs)
    notes = Path(f"{path}.aux.xml")
    before = notes.read_text().replace("<PAMDataset>", "").replace("</PAMDataset>", "") if notes.exists() else ""
    notes.write_text(CLASSES.replace("</PAMDataset>", before + "</PAMDataset>"))
    filled = fill(folder, path)[0]
    text = Path(f"{filled}.aux.xml").read_text()
    assert "<Category>water</Category>" in text
    assert '<FieldDefn index="1"><Name>Class</Name>' in text
    assert "<F>11</F><F>water</F>" in text
    assert "Count" not in text
    assert "Hist" not in text
    assert open_raster(filled).crs == open_raster(path).crs


def test_all_files_of_a_map(folder):
    """A mask and notes next to a map belong to it, other files do not."""
    path = save(folder / "map.tif", SMALL)
    Path(f"{path}.aux.xml").write_text(CLASSES)
    save(folder / "other.tif", SMALL)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), open_raster(path, "r+") as dataset:
        dataset.write_mask(SMALL > 0)
    assert {file.name for file in files_of(path)} == {"map.tif", "map.tif.aux.xml", "map.tif.msk"}


# What stays unknown


@pytest.mark.parametrize("way", ["nodata", "mask"])
def test_outside_the_area_nothing_is_filled(folder, way):
    """With a file of clouds, cells without data elsewhere stay so; nothing is said of their uncertainty."""
    options = {"nodata": 0} if way == "nodata" else {"mask": SMALL != 0}
    path = save(folder / "map.tif", SMALL, **options)
    clouds = save(folder / "clouds.tif", np.array([[0, 1, 0, 0], [0, 0, 0, 1]], np.uint8))
    filled, uncertainty, samples = map(open_raster, fill(folder, path, hidden=clouds))
    outside = SMALL == 0
    assert filled.read(1).tolist() == [[11, 41, 200, 0], [41, 41, 0, 41]]
    assert np.array_equal(filled.read_masks(1) == 0, outside)
    assert np.array_equal(samples.read_masks(1) == 0, outside)
    assert np.array_equal(np.isnan(uncertainty.read(1)), outside)
    assert np.isnan(uncertainty.nodata)


def test_few_cells_of_an_unseen_class(folder):
    """Classes that a model never saw are hidden from it, kept, certain, and counted."""
    values = np.where(SMALL == 200, 99, SMALL).astype(np.uint8)
    path = save(folder / "map.tif", values, nodata=0)
    few = Palette(COVER.colours[:2], "WF", values=(11, 41))
    one = read_map(path, few, most_unseen=0.5)
    assert one.cells.tolist() == [[0, 1, HIDDEN, HIDDEN], [1, 1, HIDDEN, 0]]
    assert one.unseen == {99: 1}
    refused("map.tif: row 0, column 2 .* 99 is not one of the classes 11, 41$", read_map, path, few)
    refused(
        "1 cell has a class that the model never saw, 99 .1 cell.; .* --hide-unseen", read_map, path, few, "auto", 0.1
    )
    paths, cells, floats = results_in(folder), np.zeros((2, 4), np.int64), np.full((2, 4), 0.5)
    with open_map(path, few, most_unseen=0.5) as source, write_maps(source, *paths, 1) as writer:
        writer.write_rows(0, cells, floats, floats, cells[None])
        assert writer.n_filled == 2
    filled, uncertainty, samples = (open_raster(each).read() for each in paths)
    assert filled[0].tolist() == samples[0].tolist() == [[11, 41, 99, 11], [41, 41, 11, 11]]
    assert uncertainty[:, 0, 2].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("dtype", "table"), [("uint8", TABLE), ("uint8", None), ("uint16", None), ("int16", None)])
def test_each_sample_is_a_map_with_colours(folder, dtype, table, mask):
    """A sample as a file of its own has the cells of its band and all that belongs to the map; its colours are those of
    the file or, if it has none, of the palette."""
    values = random_map(40, 30).astype(dtype)
    known, clouds = values != 0, np.zeros(values.shape, bool)
    clouds[10:20, 5:25] = True
    np.save(folder / "clouds.npy", clouds)
    options = {"mask": known} if mask else {"nodata": 0}
    path = save(folder / "map.tif", values, table, **options)
    samples = fill(folder, path, hidden=folder / "clouds.npy")[2]
    each = [folder / "sample-1.tif", folder / "sample-2.tif"]
    with open_map(path, COVER, folder / "clouds.npy") as source:
        write_each_sample(source, samples, each)
    bands = open_raster(samples)
    for number, one in enumerate(map(open_raster, each), start=1):
        assert (one.count, one.dtypes, one.crs, one.transform) == (1, (dtype,), bands.crs, bands.transform)
        assert np.array_equal(one.read(1), bands.read(number))
        assert np.array_equal(one.read_masks(1), bands.read_masks(number))
        if dtype != "int16":
            colours = one.colormap(1)
            expected = table or dict(zip(COVER.raster_values, COVER.colours, strict=True))
            assert all(colours[value] == expected[value] for value in COVER.raster_values)


def test_percents_are_those_of_the_posterior(folder):
    """A band for each class, named, has its probability in percent as `answers.fill` gives it to the same puzzle."""
    model = posterior(priors.squares(6, 7, 2, 4))
    puzzle = np.full((6, 7), HIDDEN)
    puzzle[2, 2:4] = 0, 1
    palette = Palette(COVER.colours[:2], "WF", names=("water", "forest"), values=(11, 41))
    path = save(folder / "map.tif", np.array([11, 41, 0], np.uint8)[puzzle], nodata=0)
    paths = [*results_in(folder)[:2], folder / "probabilities.tif"]
    with open_map(path, palette) as source, write_maps(source, *paths[:2], probabilities=paths[2]) as writer:
        for rows in AnswersByRows(model, source.read_rows, puzzle.shape):
            writer.write_rows(
                rows.start, rows.fill, rows.probability, rows.entropy, rows.samples, marginals=rows.marginals
            )
    expected = answers.fill(model, Puzzles(puzzle[None])).marginals[0]
    probabilities = open_raster(paths[2])
    assert probabilities.descriptions == ("11 water", "41 forest")
    assert (probabilities.dtypes, probabilities.nodata, probabilities.units) == (("uint8",) * 2, 255, ("%",) * 2)
    assert np.abs(np.moveaxis(probabilities.read(), 0, -1) - 100 * expected).max() <= 0.5 + 1e-9
    assert len(np.unique(probabilities.read())) > 5


def test_what_stays_unknown_has_no_percent(folder):
    """Cells that are not to be filled have 255 in every band; a class that the model never saw has 0."""
    values = np.where(SMALL == 200, 99, SMALL).astype(np.uint8)
    path = save(folder / "map.tif", values, nodata=0)
    np.save(folder / "clouds.npy", np.eye(2, 4, dtype=bool))
    few = Palette(COVER.colours[:2], "WF", values=(11, 41))
    paths, cells, floats = results_in(folder), np.zeros((2, 4), np.int64), np.full((2, 4), 0.5)
    probabilities = folder / "probabilities.tif"
    with open_map(path, few, folder / "clouds.npy", most_unseen=0.5) as source:
        with write_maps(source, *paths[:2], probabilities=probabilities) as writer:
            writer.write_rows(0, cells, floats, floats, cells[None], np.full((2, 4, 2), 0.506))
        puzzle, results = read_thinned(source, paths[0], None, probabilities, 16)
        filled, marginals = results["fill"], results["marginals"]
    percents = open_raster(probabilities).read(1)
    unknown, unseen = SMALL == 0, values == 99
    assert (percents[unknown & ~np.eye(2, 4, dtype=bool)] == 255).all()
    assert (percents[unseen] == 0).all()
    assert (percents[~unknown & ~unseen] == 51).all()
    assert np.array_equal(np.isnan(marginals[0, ..., 0]), percents == 255)
    assert "samples" not in results
    assert np.array_equal(filled[0] == HIDDEN, (percents == 255) | unseen)
    assert np.array_equal(puzzle[0] == HIDDEN, unknown | unseen | np.eye(2, 4, dtype=bool))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", [np.nan, None, -3.4e38])
def test_floats_of_whole_numbers_are_classes(folder, dtype, nodata):
    """They come back in their type, and NaN is hidden whether it is the nodata value or not."""
    empty = np.nan if nodata is None else nodata
    values = np.where(SMALL == 0, empty, SMALL).astype(dtype)
    path = save(folder / "map.tif", values, nodata=nodata)
    one = read_map(path)
    assert one.palette.values == (11, 41, 200)
    assert np.array_equal(one.cells == HIDDEN, SMALL == 0)
    filled = open_raster(fill(folder, path)[0])
    assert filled.dtypes == (dtype,)
    assert np.array_equal(filled.read(1), np.where(SMALL == 0, 41, SMALL))


@pytest.mark.parametrize("value", [0.5, np.inf, 1e30])
def test_floats_that_are_no_classes(folder, value):
    """Parts, infinity and numbers beyond those that floats hold exactly are refused with what to do."""
    path = save(folder / "map.tif", np.where(SMALL == 0, value, SMALL).astype("float32"))
    refused("is not a whole number, so not a class; .*gdal_edit.py -a_nodata", read_map, path)


# Several maps


def test_tiles_are_one_map(folder):
    """All tiles have the symbols that occur in any; folders and dotfiles are passed over."""
    save(folder / "b.tif", SMALL[:, 2:], TABLE, nodata=0)
    save(folder / "a.tif", SMALL[:, :2], TABLE, nodata=0)
    (folder / "._c.tif").write_text("")
    (folder / "d.tif").mkdir()
    cells, palette, resolution = read_maps(map_files(folder))
    assert [one.tolist() for one in cells] == [[[0, 1], [1, 1]], [[2, HIDDEN], [HIDDEN, 0]]]
    assert palette.values == (11, 41, 200)
    assert palette.colours == (TABLE[11], TABLE[41], TABLE[200])
    assert resolution == Resolution(20.0, 30.0, "metre")
    save(folder / "e.tif", SMALL, TABLE | {11: (1, 2, 3, 255)}, nodata=0)
    assert read_maps(map_files(folder))[1].colours == Palette.default(3).colours


def test_tiles_that_do_not_go_together(folder):
    """Other resolutions and other kinds of files are refused by name."""
    save(folder / "a.tif", SMALL)
    save(folder / "b.tif", SMALL, transform=rasterio.Affine(10, 0, 0, 0, -10, 0))
    refused("a.tif has pixels of 20 by 30 metre and b.tif of 10 by 10 metre", read_maps, map_files(folder))
    (folder / "c.png").write_text("")
    refused("a.tif and c.png are of different kinds", map_files, folder)


# Files that claim or name too much


def test_only_the_file_itself_is_read(folder):
    """Masks, overviews and metadata that name other files are refused, and other formats under this name."""
    secret = save(folder / "secret.tif", SMALL)
    path = save(folder / "map.tif", SMALL, nodata=0)
    vrt = f"""<VRTDataset rasterXSize="4" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
    <SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
    for suffix in (".msk", ".MSK", ".ovr"):
        sidecar = Path(f"{path}{suffix}")
        sidecar.write_text(vrt)
        refused(f"map.tif: map.tif{suffix} next to it is not a TIFF", read_map, path)
        refused(f"map.tif: map.tif{suffix} next to it is not a TIFF", files_of, path)
        sidecar.unlink()
    Path(f"{path}.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata></PAMDataset>'
    )
    refused("map.tif: its metadata name another file", files_of, path)
    path.write_text(vrt)
    refused("map.tif: damaged, or not a GeoTIFF", read_map, path)
    with open_raster(save(folder / "inside.tif", SMALL), "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(secret))
    refused("inside.tif: its metadata name another file", files_of, folder / "inside.tif")


def test_pages_are_refused_and_overviews_are_none(folder):
    """A TIFF of several images is not one map; smaller copies of the same are no pages."""
    Image.fromarray(SMALL).save(folder / "pages.tif", save_all=True, append_images=[Image.fromarray(SMALL)])
    refused("pages.tif: it has 2 pages, .*gdal_translate GTIFF_DIR:1", read_map, folder / "pages.tif")
    path = save(folder / "map.tif", random_map(600, 600), nodata=0)
    with open_raster(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    assert read_map(path).cells.shape == (600, 600)


def claims(path: Path, height: int, width: int, *layout: tuple[int, int]) -> Path:
    """A TIFF of 200 bytes with one strip or tile that is not there."""
    tags = sorted([(256, width), (257, height), (258, 8), (259, 1), (262, 1), (277, 1), *layout])
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
    return path


def test_sizes_that_are_only_claimed(folder):
    """Memory is not taken for what a small file claims to be."""
    strips, tiles = ((273, 0), (278, 1), (279, 0)), ((322, 2**20), (323, 2**20), (324, 0), (325, 0))
    refused("needs 1.8 TiB of memory", read_map, claims(folder / "map.tif", 10**6, 10**6, *strips))
    refused("blocks of 1048576 by 1048576 cells", read_map, claims(folder / "map.tif", 10**6, 10**6, *tiles))
    refused("damaged, or not a GeoTIFF", read_map, claims(folder / "map.tif", 0, 5, *strips))


@pytest.mark.parametrize("seed", range(4))
def test_damage_ends_in_one_line(folder, seed, capfd):
    """Whatever GDAL makes of changed bytes, the map is read or refused, and nothing else is said."""
    generator = np.random.default_rng(seed)
    options = [{"compress": "deflate"}, {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16}]
    whole = save(folder / "whole.tif", random_map(20, 30), TABLE, nodata=0, **options[seed % 2]).read_bytes()
    for _ in range(25):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[generator.integers(0, 500, 4)] = generator.integers(0, 256, 4)
        (folder / "map.tif").write_bytes(damaged.tobytes())
        for read in (read_map, files_of, lambda path: read_map(path, COVER, most_unseen=1.0)):
            with suppress(InputError):
                read(folder / "map.tif")
    assert capfd.readouterr().err == ""


# Refusals


def test_values_that_are_no_classes_of_the_model(folder):
    """A value that the palette lacks is named with its row in the whole file, its column, and the model's values."""
    values = np.full((9, 3), 11, np.uint8)
    values[7, 2] = 99
    path = save(folder / "map.tif", values, nodata=0)
    where = r"map.tif: row 7, column 2 \(counted from 0\): 99 is not one of the classes 11, 41, 200$"
    refused(where, read_map, path, COVER)
    with open_map(path, COVER) as source:
        assert (source.read_rows(0, 7) == 0).all()
        refused(where, source.read_rows, 5, 9)


@pytest.mark.parametrize("how", [lambda path: read_map(path), lambda path: opened(path)])
def test_files_that_are_no_maps(folder, how):
    """Floats, several bands, other formats, damage, folders and files that are not there are refused by name."""
    path = save(folder / "map.tif", SMALL.astype("complex64"))
    refused("^[^:]*map.tif: values of type complex64 are not classes; use integers", how, path)
    refused("map.tif: it has 2 bands; a map of classes has one", how, save(path, np.stack([SMALL, SMALL])))
    refused("map.tif: it has 3 bands", how, save(path, np.stack([SMALL] * 3)))
    with open_raster(save(path, np.stack([SMALL, SMALL])), "r+") as dataset:
        dataset.colorinterp = (ColorInterp.alpha, ColorInterp.gray)
    refused("map.tif: it has 2 bands", how, path)
    Image.fromarray(SMALL).save(path, "PNG")
    refused("^[^:]*map.tif: damaged, or not a GeoTIFF", how, path)
    path.write_text("text")
    refused("^[^:]*map.tif: damaged, or not a GeoTIFF", how, path)
    refused("none.tif: no such file", how, folder / "none.tif")
    refused("a file is needed", how, folder)
    (folder / "map.jpg").write_text("")
    refused("suffix '.jpg' is not supported here; use .tif, .tiff", how, folder / "map.jpg")


def test_damage_further_on(folder):
    """A file that is cut off is refused when the missing rows are read, as a map and as a file of clouds."""
    path = save(folder / "map.tif", random_map(300, 100), nodata=0, blockysize=10)
    clouds = save(folder / "clouds.tif", random_map(300, 100), blockysize=10)
    for cut, arguments in ((path, ()), (clouds, (clouds,))):
        whole = cut.read_bytes()
        cut.write_bytes(whole[:-2000])
        refused(f"^[^:]*{cut.name}: damaged, or not a GeoTIFF", read_map, path, None, *arguments)
        refused(f"^[^:]*{cut.name}: damaged, or not a GeoTIFF", read_map, path, COVER, *arguments)
        cut.write_bytes(whole)


def test_maps_without_classes(folder):
    """More than 256 values are no classes, and where all is hidden nothing says which there are."""
    refused(
        "map.tif: more than 256 different values",
        read_map,
        save(folder / "map.tif", np.arange(300, dtype=np.int16)[None]),
    )
    refused("map.tif: every cell is hidden", read_map, save(folder / "map.tif", SMALL * 0, nodata=0))


def test_nothing_to_fill_with(folder):
    """What says nothing of hidden cells cannot be filled, nor can a file have classes that it cannot hold or hides."""
    path = save(folder / "map.tif", SMALL[:, :2])
    refused(
        r"map.tif: nothing says which cells are hidden; .*gdal_edit.py -a_nodata .*\(--hidden clouds.tif\)",
        opened,
        path,
    )
    save(path, SMALL, nodata=200)
    refused("map.tif: 200 is its nodata value and a class of the model; .* -unsetnodata", opened, path)
    many = Palette(COVER.colours, COVER.characters, values=(11, 41, 300))
    refused("map.tif: its type uint8 has no room for class 300", opened, save(path, SMALL, nodata=0), many)
    fewer = Palette(COVER.colours, COVER.characters, values=(11, 41, -1))
    refused("map.tif: its type uint8 has no room for class -1", opened, path, fewer)


def test_nodata_that_no_cell_can_have(folder):
    """A nodata value beyond the type of the file is none."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[42113] = "-9999"  # where GDAL notes nodata
    Image.fromarray(SMALL).save(folder / "map.tif", tiffinfo=tags)
    refused("nothing says which cells are hidden", opened, folder / "map.tif")
    assert (read_map(folder / "map.tif").cells >= 0).all()


def test_second_files_that_do_not_fit(folder):
    """A file of clouds of another size, and one that is not there, are refused with its own name."""
    path = save(folder / "map.tif", SMALL)
    clouds = save(folder / "clouds.tif", SMALL[:, 1:])
    refused("^[^:]*clouds.tif: it is 2 by 3 and the map 2 by 4; both need the same size", opened, path, COVER, clouds)
    np.save(folder / "clouds.npy", SMALL[None])
    refused("^[^:]*clouds.npy: it is 1 by 2 by 4 and the map 2 by 4", read_map, path, COVER, folder / "clouds.npy")
    refused("^[^:]*none.tif: no such file", opened, path, COVER, folder / "none.tif")
    refused("grey: no such file", opened, path, COVER, "grey")


# Resolution


def test_pixels_of_another_size(folder):
    """More than 1 % more or less, on either axis, or another unit, is worth a line; what is not known is not."""
    trained = Resolution(30.0, 30.0, "metre")
    assert resolution_warning(trained, Resolution(30.2, 29.8, "metre")) is None
    assert resolution_warning(None, trained) is None
    assert resolution_warning(trained, None) is None
    for found in ((10.0, 10.0, "metre"), (30.4, 30.0, "metre"), (30.0, 29.6, "metre"), (30.0, 30.0, "degree")):
        assert resolution_warning(trained, Resolution(*found)) is not None
    assert resolution_warning(trained, Resolution(10.0, 10.0, "metre")) == (
        "pixels are 10 by 10 metre, but the model was trained on 30 by 30 metre: the sizes that it learned do not apply"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"crs": "EPSG:4326", "transform": rasterio.Affine(0.25, 0, 3, 0, 0.5, 4)}, Resolution(0.5, 0.25, "degree")),
        ({"crs": "EPSG:2263"}, Resolution(20.0, 30.0, "US survey foot")),
        ({"crs": None}, None),
        ({"crs": None, "transform": None}, None),
    ],
)
def test_resolution_of_a_file(folder, options, expected):
    """A pixel has a height and a width, above 0, in the unit of the coordinate system; without one it has no size."""
    assert read_map(save(folder / "map.tif", SMALL, **options)).resolution == expected


def test_a_plain_install_knows_of_maps():
    """Without rasterio the module can be imported, and who opens a map is told what is missing."""
    script = (
        "import sys; sys.modules['rasterio'] = None; import gridcloze.files.maps as maps\n"
        f"try: maps.read_map({os.fspath(Path(__file__).with_suffix('.tif'))!r})\n"
        "except maps.InputError: pass\n"
        "try: maps._open('map.tif')\n"
        "except ModuleNotFoundError as error: sys.exit(error.name)"
    )
    told = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (1, "rasterio\n")


# Commands


@pytest.fixture(scope="module")
def windows_model(tmp_path_factory) -> Path:
    """A model of windows of 8 by 8 cells, hardly trained, of two tiles."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "tiles").mkdir()
    for seed in range(2):
        save(folder / "tiles" / f"{seed}.tif", np.maximum(random_map(40, 40, seed), 11), TABLE)
    source = Source(folder / "tiles", windows=8)
    train(source, folder / "model.safetensors", Budget(steps=1), seed=0, depth=1)
    return folder / "model.safetensors"


def test_folders_of_maps_are_learned_in_windows(windows_model):
    """Without windows they are refused as one map is; the record has their number and resolution."""
    tiles = windows_model.parent / "tiles"
    refused("a map is learned from in windows", Source(tiles).read)
    examples, scale, resolution = Source(tiles, windows=8).read()
    assert (len(examples.images), scale, resolution) == (2, 1, Resolution(20.0, 30.0, "metre"))
    assert all(image.dtype == np.int16 for image in examples.images)


def test_maps_are_scored_in_windows(windows_model, folder):
    """Windows side by side with a known cell count, of one map or of a folder; infinite scores would be null."""
    values = np.maximum(random_map(20, 33), 11)
    values[:8, :8] = 0
    path = save(folder / "map.tif", values, nodata=0)
    for held_out, n in ((path, 7), (windows_model.parent / "tiles", 50)):
        report = score(windows_model, held_out, None, None, 0, seed=0)
        assert report["grids"] == n
        json.dumps(report, allow_nan=False)
    refused("no window of 8 by 8 cells", score, windows_model, save(path, SMALL, nodata=0), None, None, 0, 0)


def test_maps_are_checked_and_explained(windows_model, folder, capsys):
    """As other grids are; what is unseen is hidden, and said; what is too large is refused with how to cut it."""
    values = np.maximum(random_map(10, 16), 11)
    values[0, :3] = 0
    values[5, 5] = 99
    path = save(folder / "map.tif", values, nodata=0)
    report, _ = check(windows_model, path, 0.0, "auto", None)
    assert report["look_next"]["row"] in (0, 5)
    assert "map.tif: 1 cell has a class that the model never saw, 99" in capsys.readouterr().err
    assert explain(windows_model, path, "0,1", "auto", None, Drawings())[0]["cell"]["column"] == 1
    large = save(folder / "large.tif", np.zeros((600, 600), np.uint8), nodata=0)
    for command in (
        lambda: check(windows_model, large, 0.01, "auto", None),
        lambda: explain(windows_model, large, None, "auto", None, Drawings()),
    ):
        refused("large.tif has 600 by 600 cells, .* at most 512 by 512 .gdal_translate -srcwin", command)


def test_commands_that_take_one_grid(windows_model, folder):
    """A stack, and a threshold that is no number, are refused in one line; inputs are not drawn over."""
    np.save(folder / "stack.npy", np.zeros((5, 8, 8), int))
    refused(
        "stack.npy has 5 grids, .*np.save one of them", check, windows_model, folder / "stack.npy", 0.1, "auto", None
    )
    refused("not nan", check, windows_model, folder / "stack.npy", float("nan"), "auto", None)
    picture = folder / "grid.png"
    Image.fromarray(SMALL).save(picture)
    refused("grid.png is an input", check, windows_model, picture, 0.1, "auto", picture)
    refused("grid.png is an input", explain, windows_model, picture, None, "auto", None, Drawings(heads=picture))
    refused(
        "two results", explain, windows_model, picture, None, "auto", None, Drawings(folder / "a.png", folder / "a.png")
    )


def test_fill_keeps_what_it_may_not_fill(windows_model, folder):
    """The report counts the cells that were filled; without any, it says so."""
    path = save(folder / "map.tif", np.where(random_map(12, 12) == 0, 0, 41).astype(np.uint8), nodata=0)
    for n in (3, 0):
        clouds = folder / f"clouds{n}.npy"
        np.save(clouds, np.arange(144).reshape(12, 12) < n)
        (report,) = command_fill(windows_model, [path], folder / f"out{n}", Request(hidden=str(clouds)))
        assert report["hidden_cells"] == n
        assert any("nothing to fill" in line for line in report["warnings"]) == (n == 0)
    refused("--hide-unseen is for maps", command_fill, windows_model, [clouds], folder / "o", Request(hide_unseen=True))


@pytest.mark.parametrize("ending", [".tif.msk", ".tif.ovr", ".tif.aux.xml", ".tfw"])
def test_a_pipe_next_to_a_map_is_refused_and_not_waited_for(folder, ending):
    save(folder / "map.tif", random_map(4, 4), nodata=0)
    os.mkfifo(folder / f"map{ending}")
    refused(f"map{ending} next to it is a pipe or a device", read_map, folder / "map.tif")


def test_a_cloud_optimised_map_is_the_same_map_with_overviews(tmp_path):
    """Cells, nodata, reference system, colours and names are kept; overviews show classes that there are."""
    path, values = tmp_path / "map.tif", np.random.default_rng(0).choice(np.array([11, 41, 200], np.uint8), (600, 700))
    layout = {"width": 700, "height": 600, "count": 1, "dtype": "uint8", "nodata": 0, "crs": "EPSG:5070"}
    with rasterio.open(path, "w", driver="GTiff", transform=PLACE, **layout) as file:
        file.write(values, 1)
        file.write_colormap(1, TABLE)
        file.update_tags(scene="one")
    optimise(path)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (file.nodata, file.crs, file.transform, file.tags()["scene"]) == (0, "EPSG:5070", PLACE, "one")
        assert {key: file.colormap(1)[key] for key in TABLE} == TABLE
        np.testing.assert_array_equal(file.read(1), values)
        assert file.overviews(1) == [2]
        assert set(np.unique(file.read(1, out_shape=(300, 350)))) == {11, 41, 200}
    assert [one.name for one in tmp_path.iterdir()] == ["map.tif"]
