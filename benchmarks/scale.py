"""Large maps, and more than one process: `python benchmarks/scale.py [--quick] [TASK …]`.

sizes      seconds and peak memory of `gridcloze fill` on GeoTIFFs of 64² … 4,096² cells, 30 % of them under clouds of
           all sizes, with and without a draw, and to what power of the number of cells the seconds grow; after
           `landcover.py model`
seams      whether patterns across the borders of what is filled at once differ from those inside, of draws
workers    a fill and three samples of such maps by one process, which uses all cores, and by `--dask` with one and two
           workers: seconds, peak memory, and whether all files are the same
large      a fill and a sample of a small and a large map by one process and by two workers: seconds, and peak memory of
           the process of the command and of a worker
scheduler  memory of a Dask scheduler with 20,000 tasks, and how many it hands out in a second
store      cells a second that one process copies into the store, and writes from the store into GeoTIFFs
ranks      training by two processes of one thread, next to one process of one and of two threads: seconds a step, and
           how far weights and scores are from those of one process, in float64 and in float32
busy       training by two threads next to none, one and two processes that use a core each: the share of its speed

The map is that of Augusta, mirrored until it is large enough. `workers` and `large` fill with a model that learned from
it for 200 steps: how good it is does not matter there. Results are in benchmarks/results/scale-TASK.json.
"""

import contextlib
import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from jaxtyping import Bool

import data
import patterns
from channels import SIDE, model_path
from common import RUNS, Figures, main, measured, trained
from gridcloze import checkpoint, filling, scale, tiling
from gridcloze.files import maps
from gridcloze.files.palettes import Palette
from gridcloze.priors.finite import squares
from gridcloze.priors.windows import Windows
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells
from gridcloze.training import Budget
from gridcloze.words import HIDDEN
from landcover import SIDE as LANDCOVER_SIDE
from landcover import model_path as landcover_path

SIDES = (64, 256, 1024, 4096)
DRAWS = {"fill": 0, "fill and a draw": 1}  # what is asked for, and how many draws that is
HIDDEN_SHARE = 0.3
NODATA = 255
SEED = 7000
SEAM_GRIDS, SEAM_SIDE = 24, 256
SAMPLES = 3  # by workers
LARGE_SIDES = (256, 1024)  # cells; 8,192 would take a day by two workers
BY_WORKERS = {"one process": (), "one worker": ("--dask", "local:1"), "two workers": ("--dask", "local:2")}
TASKS, TASK_SIDE = scale.MOST_TASKS, 60_000  # of the scheduler, and the side of a map with more blocks
CORES = 2
RANKS = Path(__file__).parent / "ranks.py"


def clouds(side: int, generator: np.random.Generator) -> Bool[np.ndarray, "height width"]:
    """Where a random field is high whose spectrum falls with the square of the frequency: clouds of all sizes."""
    rows, columns = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(generator.normal(size=(side, side))) / frequency**2, (side, side))
    return field > np.quantile(field, 1 - HIDDEN_SHARE)


def clouded_map(side: int) -> Path:
    """A GeoTIFF with nodata under the clouds."""
    cells = data.landcover()["cells"]
    repeats = [-(-side // length) for length in cells.shape]
    large = np.pad(cells, [(0, (n - 1) * length) for n, length in zip(repeats, cells.shape, strict=True)], "symmetric")
    values = np.where(clouds(side, np.random.default_rng(SEED)), NODATA, large[:side, :side]).astype(np.uint8)
    path = RUNS / f"scale-{side}.tif"
    layout = {"width": side, "height": side, "count": 1, "dtype": "uint8", "nodata": NODATA, "crs": "EPSG:5070"}
    place = rasterio.Affine(30.0, 0.0, 0.0, 0.0, -30.0, 0.0)
    with rasterio.open(path, "w", driver="GTiff", transform=place, compress="deflate", tiled=True, **layout) as file:
        file.write(values, 1)
    return path


def sizes() -> Figures:
    """Each size by the command, in a process of its own; the most likely fill alone, and with a draw beside it."""
    result: Figures = {"seed": SEED, **{name: {} for name in DRAWS}}
    for side in SIDES:
        path = clouded_map(side)
        for name, samples in DRAWS.items():
            asked = ("--samples", str(samples), "--overwrite")
            seconds, peak = measured("fill", landcover_path(), path, "-o", RUNS / "scale", *asked)
            result[name][f"{side}"] = {"seconds": seconds, "peak_MiB": peak}
    for name in DRAWS:
        small, large = (result[name][side]["seconds"] - result[name]["64"]["seconds"] for side in ("256", "4096"))
        result[name]["exponent"] = np.log(large / small) / np.log((4096 / 256) ** 2)
    return result


def seams() -> Figures:
    """Divergence of 4×4 patterns from those of training grids: across borders of cores, and as many places inside."""
    predictor = checkpoint.load(model_path("realisations"))
    everything = np.full((1, SEAM_SIDE, SEAM_SIDE), HIDDEN)
    drawn = filling.sample(predictor, Puzzles(everything), SEAM_GRIDS, SEED).cells[0]
    reference: Cells = data.channels()["realizations"][:400]
    across = across_borders(SEAM_SIDE)
    inside = np.roll(across, (SIDE // 4, SIDE // 4), axis=(0, 1))
    return {
        name: patterns.pattern_divergence_bits(drawn, reference, corners)
        for name, corners in {"across": across, "inside": inside}.items()
    } | {"grids": SEAM_GRIDS, "side": SEAM_SIDE}


def across_borders(side: int) -> Bool[np.ndarray, "row column"]:
    """The first cells of patterns with cells of more than one core."""
    corners = np.zeros((side - 3, side - 3), dtype=bool)
    for tile in (tile for row in tiling.Tiling(side, side, (SIDE, SIDE)).rows for tile in row):
        for axis, core in enumerate(tile.core):
            if core.start:
                np.moveaxis(corners, axis, 0)[core.start - 3 : core.start] = True
    return corners


def brief_model(steps: int) -> Path:
    """A model of the windows of the map."""
    cells, path = data.landcover()["cells"], RUNS / f"scale-{steps}.safetensors"
    size = (LANDCOVER_SIDE, LANDCOVER_SIDE)
    trained(lambda: Windows([cells], Palette.default(15), size, symmetries="all"), path, Budget(steps=steps))
    return path


def workers(small: int = 96, large: int = 256, steps: int = 200) -> Figures:
    """Each number of workers by the command; the time of a cell is that between two sizes, without the start."""
    os.environ["OMP_NUM_THREADS"] = "1"
    path = brief_model(steps)
    result: Figures = {"seed": SEED, "cells": large**2, "hidden": HIDDEN_SHARE}
    hashes = set[str]()
    for name, options in BY_WORKERS.items():
        seconds, peaks = {}, {}
        for side in (small, large):
            out = RUNS / f"scale-{side}-{len(options)}"
            asked = ("--samples", f"{SAMPLES}", "--overwrite", *options)
            seconds[side], peaks[side] = measured("fill", path, clouded_map(side), "-o", out, *asked)
        hashes.add(_hash_of(out))
        rate = (large**2 - small**2) / (seconds[large] - seconds[small])
        result[name] = {"seconds": seconds[large], "peak_MiB": peaks[large], "cells_a_second": rate}
    one, two = (result[name]["cells_a_second"] for name in ("one worker", "two workers"))
    return {**result, "two to one": two / one, "same files": len(hashes) == 1}


def _hash_of(folder: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.iterdir()))).hexdigest()


def large(sides: Sequence[int] = LARGE_SIDES, steps: int = 200) -> Figures:
    """By two workers and by one process, one after the other."""
    os.environ["OMP_NUM_THREADS"] = "1"
    model, hashes = brief_model(steps), dict[str, set[str]]()
    result: Figures = {"seed": SEED, "sides": list(sides)}
    for side, name in itertools.product(sides, ("two workers", "one process")):
        out = RUNS / f"scale-large-{len(BY_WORKERS[name])}"
        asked = ("--samples", "1", "--overwrite", *BY_WORKERS[name])
        result[f"{side}, {name}"] = _watched("fill", model, clouded_map(side), "-o", out, *asked)
        hashes.setdefault(f"{side}", set()).add(_hash_of(out))
    return {**result, "same files": all(len(some) == 1 for some in hashes.values())}


def _watched(*arguments: str | Path) -> Figures:
    """Seconds of a command and of all cores, and the peak memory of its process and of the largest of its workers."""
    began, found = time.monotonic(), dict[str, float]()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([sys.executable, "-m", "gridcloze", *map(str, arguments)])
    while process.poll() is None:
        for pid in (process.pid, *_descendants(process.pid)):
            with contextlib.suppress(OSError, ValueError):  # it has ended
                is_worker = b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
                if is_worker or pid == process.pid:
                    name = "worker_peak_MiB" if is_worker else "peak_MiB"
                    found[name] = max(found.get(name, 0), _peak_MiB(pid))
        time.sleep(1)
    assert process.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    of_cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.monotonic() - began, "core_seconds": of_cores, **found}


def _descendants(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")  # Dask starts workers in another thread
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return children + [one for child in children for one in _descendants(child)]


def scheduler(tasks: int = TASKS) -> Figures:
    """A scheduler in a process of its own, with tasks like those of blocks, which do nothing."""
    blocks = scale.Blocks((TASK_SIDE, TASK_SIDE), (64, 64))
    store, model = scale.Store(RUNS, scale.Question(blocks, (0,), [0])), scale.ModelOnDisk(RUNS / "none", "")
    command, address = [sys.executable, "-m", "distributed.cli.dask_scheduler"], "tcp://127.0.0.1:28786"
    of_scheduler = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", "28786", "--no-dashboard"])
    of_worker = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"])
    try:
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(1, timeout=60)
            before, began = _peak_MiB(of_scheduler.pid), time.monotonic()
            given = (
                (place, _nothing, (store, model, place, (0,)), blocks.needed(place))
                for place in itertools.islice(blocks, tasks)
            )
            assert sum(1 for _ in scale.Cluster(client, model).results(given, tasks)) == tasks
            seconds = time.monotonic() - began
            peak = _peak_MiB(of_scheduler.pid)
    finally:
        for process in (of_worker, of_scheduler):
            process.terminate()
            process.wait()
    return {"tasks": tasks, "MiB_before": before, "peak_MiB": peak, "tasks_a_second": tasks / seconds}


def _nothing(*arguments: Any) -> None:
    """What a task of the scheduler does."""


def _peak_MiB(pid: int) -> float:  # noqa: N802
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def store(side: int = 2048) -> Figures:
    """The work of the one process that has the map, around blocks that are written without being computed."""
    marks: list[float] = []

    def blank(store: scale.Store, left: Sequence[tuple[scale.Place, scale.Lanes]]) -> Iterator[None]:
        marks.append(time.monotonic())
        cells, marginals = store.array("cells"), store.array("marginals")
        generator = np.random.default_rng(SEED)
        chunk = generator.integers(0, 15, cells.chunks[1:], dtype=np.uint8)
        nothing = np.zeros((*chunk.shape[:2], 4))
        for place, [lane] in left:
            cells[store.question.lanes.index(lane), *store.chunk(place)] = chunk
            marginals[:, *store.chunk(place)] = np.stack([chunk, chunk]) / 16
            np.save(store.marker(place, lane), nothing)
            yield
        marks.append(time.monotonic())

    class OfWindows:
        window, n_symbols, marginals = (LANDCOVER_SIDE, LANDCOVER_SIDE), 15, None

    with (
        tempfile.TemporaryDirectory(dir=RUNS) as folder,
        maps.open_map(clouded_map(side), Palette.default(15)) as source,
    ):
        marks.append(time.monotonic())
        of_rows = OfWindows(), source.read_rows, (side, side), 1, 0, None, "likely"
        found = scale.AnswersByBlocks(*of_rows, folder=Path(folder) / "store", run=blank)
        filled, uncertainty, samples = (Path(folder) / f"{name}.tif" for name in ("fill", "uncertainty", "samples"))
        with maps.write_maps(source, filled, uncertainty, samples, 1) as writer:
            for rows in found:
                writer.write_rows(rows.start, rows.fill, rows.probability, rows.entropy, rows.samples, None)
        marks.append(time.monotonic())
    copied, chunks, written = (side**2 / seconds for seconds in np.diff(marks))
    return {"cells": side**2, "copied_a_second": copied, "chunks_a_second": chunks, "written_a_second": written}


def ranks(steps: int = 50, of_time: int = 100) -> Figures:
    """Trainings in processes of their own."""
    with tempfile.TemporaryDirectory(dir=RUNS) as folder:

        def run(ranks: int, threads: int, **setting: Any) -> Mapping[str, np.ndarray]:
            launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"] if ranks == 2 else []
            out = Path(folder) / "weights.npz"
            command = [sys.executable, *launcher, str(RANKS), str(out), json.dumps(setting)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
            return dict(np.load(out))

        result: Figures = {"steps": steps, "seconds a step": {}}
        for dtype, dropout in itertools.product(("float64", "float32"), (0.0, 0.3)):
            one, two = (run(n, 1, steps=steps, dtype=dtype, dropout=dropout) for n in (1, 2))
            furthest = {name: float(np.abs(one[name] - two[name]).max()) for name in one if name != "seconds"}
            scores = furthest.pop("scores")
            result[f"{dtype}, dropout {dropout}"] = {"weights": max(furthest.values()), "bits": scores}
        settings: Figures = {"steps": of_time, "side": 16, "depth": 6, "dtype": "float32", "autocast": True}
        for name, (n, threads) in {"1 × 1": (1, 1), "2 × 1": (2, 1), "1 × 2": (1, 2)}.items():
            result["seconds a step"][name] = float(run(n, threads, **settings)["seconds"])
    return result


def busy(steps: int = 150) -> Figures:
    """The default model on grids of 16×16, by the command, which sets up its threads."""
    result: Figures = {"steps": steps}
    os.environ["OMP_NUM_THREADS"] = f"{CORES}"
    with tempfile.TemporaryDirectory(dir=RUNS) as folder:
        grids, model = Path(folder) / "grids.npy", Path(folder) / "model.safetensors"
        np.save(grids, squares(16, 16, 2, 6).sample(1000, np.random.default_rng(SEED)))
        asked = ("train", grids, "-o", model, "--steps", f"{steps}", "--overwrite")
        for others in range(CORES + 1):
            loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
            try:
                measured(*asked)
            finally:
                for loop in loops:
                    loop.kill()
                    loop.wait()
            seconds = checkpoint.read_header(model).training["seconds"]
            result[f"{others}"] = {"seconds": seconds, "fair_share": CORES / (CORES + others)}  # of its two threads
    for one in [result[f"{others}"] for others in range(CORES + 1)]:
        one["share"] = result["0"]["seconds"] / one["seconds"]
    return result


if __name__ == "__main__":
    RUNS.mkdir(parents=True, exist_ok=True)
    main(
        {one.__name__: one for one in (sizes, seams, workers, large, scheduler, store, ranks, busy)},
        __doc__,
        {
            "workers": lambda: workers(64, 160, 2),
            "large": lambda: large((64, 160), 2),
            "scheduler": lambda: scheduler(500),
            "store": lambda: store(400),
            "ranks": lambda: ranks(3, 4),
            "busy": lambda: busy(4),
        },
    )
