"""The tools that benchmarks compare with: one interface, and a job in an environment of its own."""

import shutil
import socket
import sys

import numpy as np
import pytest

import patterns
import peers
from gridcloze.scoring import bits_per_hidden_cell

IMAGE = np.kron(np.random.default_rng(0).integers(0, 2, (12, 12)), np.ones((3, 3), dtype=np.int64))[None]
CELLS = np.stack([IMAGE[0, :8, :8], IMAGE[0, 20:28, 20:28]])
HIDDEN = np.random.default_rng(1).random(CELLS.shape) < 0.4

TOOL = """
import numpy as np

def simulate(training_image, cells, settings):
    assert settings["method"] == "echo" and training_image.shape == (36, 36)
    return np.stack([np.where(cells < 0, number % 2, cells) for number in range(settings["n_samples"])]), 0.5
"""


@pytest.mark.parametrize("name", ["nearest cell", "four neighbours", "lookup", "KNNImputer"])
def test_a_peer_says_more_of_hidden_cells_than_a_coin(name):
    """Its marginals are probabilities with finite bits, fewer than one a cell; what is visible stays."""
    answer = peers.PEERS[name](IMAGE, CELLS, HIDDEN, 3)
    assert answer.marginals.sum(-1) == pytest.approx(1)
    assert (answer.marginals[~HIDDEN] == np.eye(2)[CELLS[~HIDDEN]]).all()
    assert 0 < bits_per_hidden_cell(answer.marginals, CELLS, HIDDEN) < 0.9
    if answer.samples is not None:
        assert answer.samples.shape == (2, 3, 8, 8)
        assert patterns.honoured_share(answer.samples, CELLS, HIDDEN) == 1.0


def test_the_nearest_examples_are_those_of_knnimputer():
    """The same marginals, also of a grid that is among the examples, and of one without visible cells."""
    examples = np.lib.stride_tricks.sliding_window_view(IMAGE[0], (8, 8))[::5, ::4].reshape(-1, 8, 8)
    cells = np.concatenate([CELLS, examples[:1], CELLS[:1]])
    hidden = np.concatenate([HIDDEN, HIDDEN[:1], np.ones_like(HIDDEN[:1])])
    imputed = peers.nearest_windows(examples, cells, hidden, 0)
    assert len(examples) > 2 * peers.N_NEIGHBOURS
    one = peers.nearest_examples(peers.windows(examples, cells, np.random.default_rng(0)), cells, hidden, 2)
    assert one == pytest.approx(imputed.marginals, abs=1e-4)


def test_a_lookup_among_other_examples_predicts_less():
    """Windows of another image are worse examples than those of the image in question."""
    other = np.random.default_rng(2).integers(0, 2, IMAGE.shape)
    own, foreign = (peers.lookup(train, CELLS, HIDDEN, 1).marginals for train in (IMAGE, other))
    assert bits_per_hidden_cell(own, CELLS, HIDDEN) < bits_per_hidden_cell(foreign, CELLS, HIDDEN) - 0.3


def test_a_tool_gets_its_job_and_its_realisations_are_counted(tmp_path, monkeypatch):
    """Of three realisations two say 0: with half a count for each symbol that is 2.5 of 4."""
    shutil.copy(peers.HERE / "job.py", tmp_path)
    (tmp_path / "echo").mkdir()
    (tmp_path / "echo" / "run.py").write_text(TOOL)
    monkeypatch.setattr(peers, "HERE", tmp_path)
    monkeypatch.setattr(peers, "environment", lambda tool: sys.executable)
    answer = peers.Simulation("echo", method="echo")(IMAGE, CELLS, HIDDEN, 3)
    assert answer.marginals[HIDDEN] == pytest.approx(np.broadcast_to([2.5 / 4, 1.5 / 4], (HIDDEN.sum(), 2)))
    assert (answer.marginals[~HIDDEN] == np.eye(2)[CELLS[~HIDDEN]]).all()
    assert patterns.honoured_share(answer.samples, CELLS, HIDDEN) == 1.0
    assert answer.seconds == 1.0
    assert answer.peak_mebibytes > 1


def test_a_tool_without_its_server_is_skipped(monkeypatch):
    """Where nothing listens, the answer is the reason, at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(peers, "SERVER", free.getsockname())
    answer = peers.PEERS["G2S quick sampling"](IMAGE, CELLS, HIDDEN, 3)
    assert answer == peers.Skipped(f"no G2S server answers on 127.0.0.1, port {peers.SERVER[1]}")


@pytest.mark.slow
@pytest.mark.skipif(not (peers.ENVIRONMENTS / "mpslib" / "requirements.txt").exists(), reason="MPSlib is not installed")
@pytest.mark.parametrize("name", ["MPSlib SNESIM", "MPSlib GENESIM"])
def test_mpslib_honours_known_cells(name):
    """Its realisations keep every visible cell, hold symbols only, and differ where little is visible."""
    hidden = np.random.default_rng(1).random(CELLS.shape) < 0.95
    answer = peers.PEERS[name](IMAGE, CELLS, hidden, 3)
    assert patterns.honoured_share(answer.samples, CELLS, hidden) == 1.0
    assert set(np.unique(answer.samples)) == {0, 1}
    assert (answer.samples[:, 0] != answer.samples[:, 1]).any()
