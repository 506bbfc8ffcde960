"""Valid files of every kind, from which the fuzzer makes its inputs: small grids, and models that took two steps."""

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from mutations import notes_of, signed

from campaigns.forked import at_events, command, die, run

TINY = ["--height", "4", "--width", "4", "--smallest", "2", "--largest", "3"]
TRAIN = ["--steps", "2", "--depth", "1"]
PALETTE = """{"symbols": [
 {"name": "water", "colour": "#466b9f", "value": 11, "character": "W"},
 {"name": "forest", "colour": "#1c5f2c", "value": 41, "character": "F"}
]}"""


def make_seeds(folder: Path) -> None:
    """Write all valid files; to be called in a process of its own, which uses threads."""
    os.chdir(folder)
    _pictures_and_arrays()
    _maps()
    for argv in (
        *(
            ["toy", "squares", "-o", out, "-n", "12", *TINY, *more]
            for out, *more in (("ex", "--scale", "2"), ("ex.npy",))
        ),
        ["train", "ex", "-o", "two.safetensors", *TRAIN],
        ["train", "big.npy", "-o", "win.safetensors", "--windows", "4", *TRAIN],
        ["train", "big.tif", "-o", "map.safetensors", "--windows", "4", *TRAIN],
        ["fill", "two.safetensors", "p.png", "-o", "done", "--samples", "1"],
        ["fill", "two.onnx", "p.png", "-o", "of-onnx"],
    ):
        if "two.onnx" in argv:
            Path("two.onnx").write_bytes(_exported(Path("two.safetensors").read_bytes()))
        if command(argv):
            raise SystemExit(f"a valid command fails: gridcloze {' '.join(argv)}")


def make_states(folder: Path, log: Path) -> None:
    """Add what killed runs leave behind: the state of a training, and half a stack."""

    def die_once(pattern: str, times: int = 1) -> Callable[[], None]:
        """Kill the process when there was a file of this kind after that many changes of its folder."""
        seen = itertools.count(1)
        return at_events(lambda: None, lambda: any(folder.glob(pattern)) and next(seen) >= times and die())

    def save_often() -> None:
        import gridcloze.training

        gridcloze.training.SECONDS_BETWEEN_SAVES = -1.0
        die_once("state/*.resume")()

    def fill_slowly() -> None:
        import gridcloze.commands.fill

        gridcloze.commands.fill.GRIDS_AT_ONCE = 1
        die_once("half/.*.partial/done.json", 3)()

    run(["train", "ex", "-o", "state/m.safetensors", "--steps", "3", "--depth", "1"], folder, log, save_often)
    run(["fill", "two.safetensors", "s.npy", "-o", "half"], folder, log, fill_slowly)
    if not any(folder.glob("state/*.resume")) or not any(folder.glob("half/.*.partial/done.json")):
        raise SystemExit("there is no state of a killed run to try")


def _exported(model: bytes) -> bytes:
    """A small graph that answers as an exported model does, with the notes of a model; an export takes ten seconds."""
    from onnx import TensorProto, helper, numpy_helper

    def sizes(values: list[int], name: str):
        return numpy_helper.from_array(np.array(values, np.int64), name)

    ways = np.array([[1, 0], [0, 1], [0.3, 0]], np.float32)  # of a cell that shows black, shows white, is hidden
    nodes = [
        helper.make_node("Gather", ["ways", "tokens"], ["logits"]),
        helper.make_node("Cast", ["tokens"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["real", "row"], ["keys"]),
        helper.make_node("Reshape", ["real", "column"], ["queries"]),
        helper.make_node("Mul", ["queries", "keys"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["attention"]),
    ]
    shapes = {"tokens": [None] * 3, "logits": [None, None, None, 2], "attention": [None, 1, 1, None, None]}
    kinds = {"tokens": TensorProto.INT64}
    tokens, *outputs = (
        helper.make_tensor_value_info(name, kinds.get(name, 1), shape) for name, shape in shapes.items()
    )
    constants = [
        numpy_helper.from_array(ways, "ways"),
        sizes([0, 1, 1, 1, -1], "row"),
        sizes([0, 1, 1, -1, 1], "column"),
    ]
    graph = helper.make_graph(nodes, "model", [tokens], outputs, constants)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    return signed(data, notes_of(model))


def _pictures_and_arrays() -> None:
    import zarr
    from PIL import Image

    cells = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.int16)
    puzzle = cells.copy()
    puzzle[1, 1] = puzzle[3, 3] = -1
    grey = np.kron(np.array([0, 255, 128], np.uint8)[puzzle], np.ones((2, 2), np.uint8))
    Image.fromarray(grey).save("p.png")
    Image.fromarray(np.dstack([grey, grey, grey, np.where(grey == 128, 0, 255).astype(np.uint8)])).save("alpha.png")
    Image.fromarray(grey).quantize(3).save("indexed.png", dpi=(300, 300))
    Path("some").mkdir()
    Image.fromarray(grey).save("some/a.png")
    Image.fromarray(grey.T[::-1].copy()).save("some/b.png")
    Path("p.txt").write_text("....\n.?#.\n.##.\n...?\n")
    np.save("p.npy", puzzle)
    np.save("real.npy", np.where(puzzle < 0, np.nan, puzzle))
    np.savez("p.npz", cells=cells, hidden=puzzle < 0)
    np.savez_compressed("s.npz", np.stack([puzzle, puzzle.T]))
    np.save("s.npy", np.stack([puzzle, cells, puzzle.T]))
    np.save("big.npy", np.kron(np.arange(9).reshape(3, 3) % 3, np.ones((4, 4), int)).astype(np.int16))
    for version in (2, 3):
        array = zarr.create_array(
            f"z{version}.zarr", shape=(2, 4, 4), chunks=(1, 4, 4), dtype="i2", zarr_format=version
        )
        array[:] = np.stack([puzzle, puzzle.T])
    group = zarr.open_group("group.zarr", mode="w")
    group.create_array("cells", data=cells)
    group.create_array("hidden", data=puzzle < 0)
    Image.fromarray(np.where(puzzle < 0, 255, 0).astype(np.uint8)).save("h.png")
    np.save("h.npy", puzzle < 0)
    Image.fromarray(grey).save("a.png")
    np.save("a.npy", np.ones((4, 4, 2)))
    Path("palette.json").write_text(PALETTE)


def _maps() -> None:
    import rasterio

    rows = np.add.outer(np.arange(8), np.arange(8))
    values = np.where(rows == 6, 255, np.where(rows % 5 < 2, 11, 41)).astype(np.uint8)
    form = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "uint8", "crs": "EPSG:32618"}
    form["transform"] = rasterio.Affine(30, 0, 5e5, 0, -30, 4e6)
    big = np.where(np.add.outer(np.arange(24), np.arange(24)) % 5 < 2, 11, 41).astype(np.uint8)
    for name, array, more in (
        ("m.tif", values, {"nodata": 255, "compress": "deflate"}),
        ("plain.tif", np.where(values == 255, 11, values), {}),
        ("alpha.tif", np.stack([values, np.where(values == 255, 0, 255)]), {"count": 2, "alpha": "yes"}),
        ("masked.tif", np.where(values == 255, 11, values), {}),
        ("h.tif", (values == 255).astype(np.uint8), {}),
        ("big.tif", big, {"height": 24, "width": 24, "nodata": 255}),
    ):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(name, "w", **form | more) as file:
            file.write(array if array.ndim == 3 else array[None])
            if name == "masked.tif":
                file.write_mask(values != 255)
            if name == "m.tif":
                file.write_colormap(1, {11: (70, 107, 159, 255), 41: (28, 95, 44, 255)})
                file.update_tags(1, note="kept")
