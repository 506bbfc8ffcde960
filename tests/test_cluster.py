"""`fill --dask`: workers on this machine or of a scheduler give the files of one process, whatever happens to them."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio

pytest.importorskip("distributed")

from gridcloze import checkpoint, logits, scale
from gridcloze.answers import AnswersByRows
from gridcloze.commands.train import Source, train
from gridcloze.files import maps
from gridcloze.files.paths import only_one
from gridcloze.memory import GLIBC_OPTIONS
from gridcloze.training import Budget

SECONDS = 240  # at most, for machines with other work
KILLS = int(os.environ.get("GRIDCLOZE_KILLS", "4"))  # `make kills` takes 20
SECONDS_OF_A_START = 6


def write(path, values, **more):
    height, width = values.shape
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": "EPSG:5070", "tiled": True, "compress": "deflate"}
    place = rasterio.Affine(30, 0, 0, 0, -30, 0)
    with rasterio.open(path, "w", height=height, width=width, transform=place, **layout, **more) as file:
        file.write(values, 1)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of windows, a map under clouds, a stack, two grids, and what one process makes of them."""
    folder, generator = tmp_path_factory.mktemp("cluster"), np.random.default_rng(0)
    values = np.array([11, 41, 90], np.uint8)[generator.integers(0, 3, (72, 80)) * (np.arange(80) % 5 > 1)]
    model = folder / "model.safetensors"
    train(Source(write(folder / "train.tif", values), windows=12), model, Budget(steps=3), seed=0, depth=1)
    write(folder / "map.tif", np.where(generator.random(values.shape) < 0.3, 255, values), nodata=255)
    puzzles = np.where(generator.random((70, 12, 12)) < 0.3, -1, 11)
    np.save(folder / "stack.npy", puzzles)
    (folder / "grids").mkdir()
    for number in range(2):
        np.save(folder / "grids" / f"{number}.npy", puzzles[number])
    return folder


def test_a_worker_keeps_freed_memory_and_computes_in_one_thread(folder, mallopt_calls, monkeypatch):
    """Dask tells its C library to return memory at once, and other workers have the other cores."""
    path, cells = folder / "model.safetensors", np.zeros((200, 12, 12), np.int64)
    scale._loaded.cache_clear()
    of_worker = scale._loaded(path)
    assert mallopt_calls == list(GLIBC_OPTIONS)
    monkeypatch.setattr(logits, "workers", lambda *_: pytest.fail("several threads"))
    of_worker.marginals(cells, cells == 0)
    with pytest.raises(pytest.fail.Exception, match="several threads"):
        checkpoint.load(path).marginals(cells, cells == 0)


def begin_fill(folder, out, *more, inputs=("map.tif",)):
    """A process of its own, which Ctrl-C reaches with all that it starts."""
    asked = ("fill", "model.safetensors", *inputs, "-o", out, "--samples", "2", *more)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-m", "gridcloze", *asked], cwd=folder, **pipes)


def ended(run):
    out, err = run.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(run.args, run.returncode, out, err)


def fill(*arguments, **inputs):
    return ended(begin_fill(*arguments, **inputs))


def files_in(folder, of=""):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if of in path.name}


def refused(done, line):
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    [said] = [one for one in done.stderr.splitlines() if one.startswith("gridcloze: ")]
    assert line in said, said


@pytest.mark.slow  # it waits for one
def test_a_scheduler_that_is_not_there(folder):
    """One line, and nothing written."""
    refused(fill(folder, "nowhere", "--dask", "tcp://127.0.0.1:9"), "no scheduler answers there")
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--dask", "local:2", "--typical"), "leave out --dask"),
        (("--dask", "local:0"), "as in local:4"),
        (("--dask", "nonsense"), "no scheduler answers there"),
        (("--cog",), "--cog is for maps"),
    ],
)
def test_what_cannot_be_is_refused(folder, options, line, gridcloze, monkeypatch):
    """In one line, before anything is written."""
    monkeypatch.chdir(folder)
    done = gridcloze("fill", "model.safetensors", "grids", "-o", "nowhere", "--samples", "2", *options)
    refused(subprocess.CompletedProcess([], *done), line)
    assert not (folder / "nowhere").exists()


def test_without_dask_the_extra_is_named(folder, monkeypatch, capsys):
    """An installation without Dask says which extra brings it."""
    from gridcloze.cli import main

    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setitem(sys.modules, "distributed", None)
    arguments = [str(folder / name) for name in ("model.safetensors", "map.tif", "-o", "nowhere")]
    arguments[2] = "-o"
    monkeypatch.setattr(sys, "argv", ["gridcloze", "fill", *arguments, "--dask", "local:2"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "'.[scale]'" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.slow
def test_workers_write_the_files_of_one_process(folder):
    """GeoTIFFs, reports, the results of a stack and of a folder are equal, byte by byte."""
    inputs = ("map.tif", "stack.npy", "grids")
    assert fill(folder, "one", inputs=inputs).returncode == 0
    done = fill(folder, "by-2", "--dask", "local:2", inputs=inputs)
    assert done.returncode == 0, done.stderr
    assert files_in(folder / "by-2") == files_in(folder / "one")
    assert fill(folder, "two", "--seed", "1").returncode == 0
    assert files_in(folder / "two")["map-samples.tif"] != files_in(folder / "one")["map-samples.tif"]


@pytest.mark.slow
@pytest.mark.long
def test_cloud_optimised_maps_of_workers_are_those_of_one_process(folder):
    """And `--cog` changes no cell."""
    for out, more in (("one", ()), ("cog", ("--cog",)), ("cog-by-2", ("--cog", "--dask", "local:2"))):
        assert fill(folder, out, *more).returncode == 0
    assert files_in(folder / "cog-by-2") == files_in(folder / "cog")
    for name in ("map.tif", "map-samples.tif", "map-uncertainty.tif"):
        with rasterio.open(folder / "cog" / name) as cog, rasterio.open(folder / "one" / name) as plain:
            assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            np.testing.assert_array_equal(cog.read(), plain.read())


def digest(answers):
    """Of all fills and samples of some answers."""
    cells = [np.concatenate([rows.fill[None], rows.samples]).astype(np.uint8) for rows in answers]
    return hashlib.sha256(np.concatenate(cells, axis=1).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def of_one_process(folder):
    """The digests of two seeds."""
    predictor = checkpoint.load(folder / "model.safetensors")
    with maps.open_map(folder / "map.tif", predictor.header.palette) as source:
        of_rows = predictor, source.read_rows, (source.height, source.width), 2
        return [digest(AnswersByRows(*of_rows, seed)) for seed in (0, 1)]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("workers", "side"), [(1, 3), (2, 3), (4, 5)])
def test_the_store_holds_the_cells_of_one_process(folder, tmp_path, of_one_process, workers, side):
    """For 1, 2 and 4 workers and two sizes of blocks, what is in the Zarr store has the sha256 of one process."""
    predictor = checkpoint.load(folder / "model.safetensors")
    model = scale.ModelOnDisk(folder / "model.safetensors", predictor.header.hash)
    with maps.open_map(folder / "map.tif", predictor.header.palette) as source:
        of_rows = predictor, source.read_rows, (source.height, source.width), 2
        with scale.cluster(f"local:{workers}", model) as cluster:
            by_blocks = scale.AnswersByBlocks(*of_rows, folder=tmp_path / "store", run=cluster.run, side=side)
            of_workers = digest(by_blocks)
    of_seed, of_another = of_one_process
    assert of_workers == of_seed != of_another


@pytest.fixture
def scheduler(folder, tmp_path):
    """Processes of their own: a scheduler, and what starts workers."""
    started = []

    def start(*arguments):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100"}
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *map(str, arguments[1:])]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    def begin(n_workers=2, *more):
        port = 20_000 + os.getpid() % 20_000
        of_scheduler = start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        address = f"tcp://127.0.0.1:{port}"
        for _ in range(n_workers):
            start("worker", address, "--nthreads", 1, "--no-dashboard", *more)
        time.sleep(5)
        return address, of_scheduler

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_scheduler_without_workers_is_named(folder, scheduler):
    """In one line, after some seconds."""
    address, _ = scheduler(0)
    refused(fill(folder, "nowhere", "--dask", address), "the scheduler has no workers")


def test_a_worker_that_does_not_fit_says_why(folder):
    """Another version, no model, and another model in its place; and nothing where all is well."""
    path = folder / "model.safetensors"
    model = scale.ModelOnDisk(path, checkpoint.read_header(path).hash)
    assert scale._why_not(model) == ""
    assert "install the same" in scale._why_not(dataclasses.replace(model, version="0.0.1"))
    assert "no such file" in scale._why_not(dataclasses.replace(model, path=folder / "none.safetensors"))
    assert "another model there" in scale._why_not(dataclasses.replace(model, model_hash="5eed"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("scale.__version__ = '0.0.1'", "it has gridcloze 0.0.1, and you have"),
        (
            "scale._loaded = lambda path: scale.checkpoint.load(path.with_name('none.safetensors'))",
            "no such file",
        ),
    ],
)
def test_workers_of_a_scheduler_that_do_not_fit_are_refused(folder, scheduler, tmp_path, broken, line):
    """In one line, with nothing written: workers with another version of gridcloze, or without the model."""
    (tmp_path / "broken.py").write_text(f"from gridcloze import scale\n{broken}")
    address, _ = scheduler(1, "--preload", tmp_path / "broken.py")
    refused(fill(folder, "nowhere", "--dask", address), line)
    assert not (folder / "nowhere").exists()


@pytest.mark.slow
def test_a_block_that_cannot_be_written_is_named(folder, scheduler, tmp_path):
    """A full disk on a worker is one line that names the block; with room again, the same command ends the work."""
    full = "def full(*_):\n    raise OSError(28, 'No space left on device')\n"
    (tmp_path / "full.py").write_text(f"{full}\nfrom gridcloze import scale\nscale.np.save = full")
    address, _ = scheduler(1, "--preload", tmp_path / "full.py")
    refused(fill(folder, "full", "--dask", address), "block (0, 0) of the fill failed 4 times (OSError: [Errno 28]")
    assert not files_in(folder / "full", "map")
    assert fill(folder, "full", "--dask", "local:1").returncode == 0
    assert fill(folder, "one").returncode == 0
    assert files_in(folder / "full") == files_in(folder / "one", "map")


@pytest.mark.slow
def test_a_folder_that_another_run_uses_is_refused(folder):
    """Before workers are started."""
    (folder / "busy").mkdir()
    with only_one(folder / "busy"):
        refused(fill(folder, "busy", "--dask", "local:2"), "another run is writing here")
    assert not files_in(folder / "busy")


@pytest.mark.slow
def test_runs_go_on_where_others_ended(folder, scheduler):
    """One line when the scheduler is killed, and after Ctrl-C on a cluster of this machine and in one process; each run
    fills what is left only, and the files are those of a run that nothing ended."""
    address, process = scheduler()
    run = begin_fill(folder, "killed", "--dask", address)
    done = wait_for_blocks(folder / "killed", 2, run)
    process.kill()
    refused(ended(run), "the scheduler is gone")
    for more in (("--dask", "local:2"), ()):
        kept = markers(done)
        run = begin_fill(folder, "killed", *more)
        wait_for_blocks(folder / "killed", len(kept) + 1, run)
        wait_for_workers(run, 2 if more else 0)  # the block may be a late one of the run before
        workers = descendants(run.pid)
        assert all(blocks_interrupts(pid) for pid in workers if is_worker(pid))
        os.killpg(run.pid, signal.SIGINT)
        stopped = ended(run)
        assert (stopped.returncode, stopped.stdout) == (130, "")
        assert "Traceback" not in stopped.stderr
        assert not any(command(pid) for pid in workers)
        assert markers(done).items() >= kept.items()
    assert fill(folder, "killed", "--dask", "local:2").returncode == 0
    assert fill(folder, "one").returncode == 0
    assert files_in(folder / "killed") == files_in(folder / "one", "map")


def markers(done):
    """When each block was done."""
    return {path: path.stat().st_mtime_ns for path in done.glob("*.npy")}


@pytest.mark.slow
@pytest.mark.long
def test_killed_workers_change_nothing(folder):
    """Workers are killed at random moments of as many runs as that takes: the files are those of one process."""
    assert fill(folder, "one").returncode == 0
    generator, kills = np.random.default_rng(0), 0
    while kills < KILLS:
        run = begin_fill(folder, "kills", "--dask", "local:2", "--overwrite")
        wait_for_blocks(folder / "kills", 1, run)
        while run.poll() is None and kills < KILLS:
            workers = [pid for pid in descendants(run.pid) if is_settled_worker(pid)]
            if workers:
                os.kill(generator.choice(workers).item(), signal.SIGKILL)
                kills += 1
            time.sleep(2 * generator.random())
        done = ended(run)
        assert done.returncode == 0, done.stderr
        assert files_in(folder / "kills", "map") == files_in(folder / "one", "map")


def command(pid):
    """What a process runs; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_worker(pid):
    return b"spawn_main" in command(pid)


def blocks_interrupts(pid):
    """Whether Ctrl-C does not reach a process; one that it reaches prints where it was, most often."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigBlk:")[2].split()[0], 16) >> (signal.SIGINT - 1) & 1)


def is_settled_worker(pid):
    """Whether a process is a worker that has started: Dask gives up one that is killed while it starts."""
    try:
        return is_worker(pid) and time.time() - Path(f"/proc/{pid}").stat().st_ctime > SECONDS_OF_A_START
    except OSError:  # it has ended
        return False


def descendants(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")  # Dask starts workers in another thread
    children = []
    for task in tasks:
        with suppress(OSError):  # a thread that has ended
            children += map(int, task.read_text().split())
    return children + [one for child in children for one in descendants(child)]


def wait_for_workers(run, n):
    deadline = time.monotonic() + SECONDS
    while sum(map(is_worker, descendants(run.pid))) < n:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_blocks(out, n, run):
    """The folder of markers, once there are some."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and run.poll() is None:
        for done in out.glob(".gridcloze-*.partial/*/done"):
            if len(list(done.glob("*.npy"))) >= n:
                return done
        time.sleep(0.05)
    raise AssertionError("no block was filled")
