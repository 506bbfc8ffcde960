"""Training in several processes, which `torchrun` starts here on one machine with gloo."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gridcloze import training
from gridcloze.priors.finite import squares

RANKS = Path(__file__).parent.parent / "benchmarks" / "ranks.py"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
SLOWER = 300  # seconds, for machines with other work


def launch(*arguments, cwd=None):
    return subprocess.run(list(map(str, arguments)), cwd=cwd, capture_output=True, text=True, timeout=SLOWER)


def test_the_package_is_a_command():
    """`python -m gridcloze` is the command line."""
    done = launch(sys.executable, "-m", "gridcloze", "--version")
    assert (done.returncode, done.stderr) == (0, "")


def test_parts_of_a_batch_make_up_its_loss():
    """The losses of the parts of a batch, each with its weights in the whole, add up to the loss of the batch."""
    import torch

    from gridcloze.bert import Bert, BertConfig

    torch.manual_seed(0)
    model = Bert(BertConfig(4, 4, 2, depth=1))
    cells, hidden, _ = training.training_batch(squares(4, 4, 2, 3), np.random.default_rng(0))
    weights = training.weights_of_grids(hidden)
    whole = training.cross_entropy(model, cells, hidden, None, weights).item()
    parts = [training.cross_entropy(model, cells[i::3], hidden[i::3], None, weights[i::3]).item() for i in range(3)]
    assert sum(parts) == pytest.approx(whole, rel=1e-6)
    own = training.weights_of_grids(hidden[::3])
    assert training.cross_entropy(model, cells[::3], hidden[::3], None, own).item() != pytest.approx(parts[0], rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_two_processes_learn_what_one_does(tmp_path, dropout):
    """After 50 steps two processes have the weights and scores of one that has their batches together, in float64."""
    found = {}
    for name, launcher, steps in (
        ("one", [sys.executable], 50),
        ("two", TORCHRUN, 50),
        ("fewer", [sys.executable], 49),
    ):
        setting = json.dumps({"steps": steps, "dropout": dropout})
        done = launch(*launcher, RANKS, tmp_path / f"{name}.npz", setting)
        assert done.returncode == 0, done.stderr
        found[name] = dict(np.load(tmp_path / f"{name}.npz"))
        del found[name]["seconds"]
    one, two, fewer = found.values()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-6, err_msg=name)
    assert max(np.abs(fewer[name] - one[name]).max() for name in one if name != "scores") > 1e-4


@pytest.fixture
def grids(tmp_path):
    np.save(tmp_path / "grids.npy", squares(8, 8, 2, 6).sample(200, np.random.default_rng(0)))
    return tmp_path


def train(folder, out, steps, *options, launcher=TORCHRUN):
    command = (*launcher, "-m", "gridcloze", "train", "grids.npy", "-o", out, "--steps", steps, "--depth", 1, *options)
    return launch(*command, cwd=folder)


@pytest.mark.slow
def test_one_of_several_processes_speaks(grids):
    """Each line is printed once; bad input is one line, and nothing to resume ends all processes."""
    done = train(grids, "two.safetensors", 3)
    assert done.returncode == 0
    assert done.stdout.count("done: 3 steps") == 1
    assert done.stderr.count("calibrating\n") == done.stderr.count("writing two.safetensors") == 1
    assert not list(grids.glob("*.resume"))
    refused = train(grids, "two.safetensors", 3)
    assert refused.returncode != 0
    assert refused.stderr.count("gridcloze: ") == 1
    assert "two.safetensors is there already" in refused.stderr
    complete = train(grids, "two.safetensors", 3, "--resume")
    assert complete.returncode == 0
    assert "nothing to resume" in complete.stderr


@pytest.mark.slow
def test_a_killed_process_ends_the_training_and_it_is_resumed(grids):
    """When one process is killed, all end in seconds with a non-zero status; resumed, the model is that of no kill."""
    assert train(grids, "whole.safetensors", 400).returncode == 0
    script = "import gridcloze.training as t; t.SECONDS_BETWEEN_SAVES = 0.5; from gridcloze.cli import main; main()"
    (grids / "often.py").write_text(script)
    command = [*TORCHRUN, "often.py", "train", "grids.npy", "-o", "k.safetensors", "--steps", "400", "--depth", "1"]
    job = subprocess.Popen(command, cwd=grids, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + SLOWER
    while not (grids / "k.safetensors.resume").exists():
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    [second] = [pid for pid in children_of(job.pid) if "RANK=1" in environment(pid)]
    os.kill(second, signal.SIGKILL)
    killed = time.monotonic()
    _, err = job.communicate(timeout=SLOWER)
    assert time.monotonic() - killed < 30
    assert job.returncode != 0
    assert err.count("gridcloze: another process of the training ended") <= 1
    assert "this is a bug" not in err
    assert not (grids / "k.safetensors").exists()
    resumed = train(grids, "k.safetensors", 400, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    whole, again = (load_file(grids / f"{name}.safetensors") for name in ("whole", "k"))
    assert all(np.array_equal(whole[name], again[name]) for name in whole)


def children_of(pid):
    """The processes that one started."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def environment(pid):
    return Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
