"""The models in the repository."""

from pathlib import Path

import numpy as np
import pytest

from gridcloze import checkpoint, scoring
from gridcloze.baselines import nearest_visible
from gridcloze.commands import models
from gridcloze.commands.shared import read_puzzle
from gridcloze.predictor import entropy_bits
from gridcloze.words import HIDDEN

ROOT = Path(__file__).parent.parent
MODELS = sorted(path for path in (ROOT / "models").iterdir() if path.suffix in (".safetensors", ".onnx"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_is_small_and_has_a_card(path):
    """Each is at most 4 MiB, and its card names the data, the licence and the scores."""
    card = (ROOT / "models" / "README.md").read_text().split(f"## {path.stem}.")[1].split("\n## ")[0]
    assert path.stat().st_size <= 4 * 2**20
    assert all(word in card for word in ("| data |", "| licence |", "| scores |"))


def test_channels_are_filled_better_than_by_the_nearest_cell(gridcloze):
    """With 5 % of a held-out realisation known, the model errs less than the nearest known cell does."""
    with np.load(ROOT / "benchmarks" / "data" / "channels.npz") as data:
        truth = data["realizations"][420, :100, :90].astype(np.int64)
    hidden = np.random.default_rng(0).random(truth.shape) >= 0.05
    puzzle = np.where(hidden, HIDDEN, truth)
    np.save("puzzle.npy", puzzle)
    assert gridcloze("fill", ROOT / "models" / "channels.safetensors", "puzzle.npy", "-o", "out")[0] == 0
    with np.load("out/puzzle.npz") as results:
        marginals, fill = results["marginals"].astype(np.float64), results["fill"]
    assert (fill == truth)[~hidden].all()
    nearest = nearest_visible(puzzle[None], hidden[None])[1][0]
    error = scoring.error(marginals[None], truth[None], hidden[None])
    assert error < 0.75 * (nearest != truth)[hidden].mean()
    assert scoring.bits_per_hidden_cell(marginals[None], truth[None], hidden[None]) < 0.35
    assert (fill != truth)[hidden].mean() < 0.13


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_without_torch_has_two_puzzles_with_doubt(name):
    """The exported model answers as the other file, and several bits of each puzzle are open."""
    [report] = [one for one in models.models() if one["name"] == name]
    assert len(report["puzzles"]) == 2
    exported, model = checkpoint.load(report["file"]), checkpoint.load(ROOT / "models" / f"{name}.safetensors")
    for path in report["puzzles"]:
        cells = read_puzzle(exported, Path(path)).cells[None]
        one, other = (each.marginals(cells, cells == HIDDEN) for each in (exported, model))
        assert np.abs(one - other).max() < 0.05  # bfloat16
        assert entropy_bits(one)[cells == HIDDEN].sum() > 3


def test_without_a_clone_the_list_says_where_the_models_are(gridcloze, monkeypatch):
    """Where nothing lies in reach, one line says what to do."""
    monkeypatch.setattr(models, "_places", lambda: [Path("models")])
    status, _, error = gridcloze("models")
    assert (status, error) == (2, f"gridcloze: {models.MISSING}\n")


def test_channels_say_what_they_learned_from():
    """The header of the model names windows of 64 by 64, and how long it learned."""
    header = checkpoint.read_header(ROOT / "models" / "channels.safetensors")
    assert header.windows
    assert (header.config["height"], header.config["width"]) == (64, 64)
    assert header.training["seconds"] <= 30 * 60


def test_half_of_a_digit_tells_the_other_half():
    """Of a ring, a zero drawn by hand, the model says more of the lower half than the nearest known cells do."""
    row, column = np.indices((28, 28)) - 13.5
    radius = np.hypot(row / 9, column / 6.5)
    truth = ((radius > 0.75) & (radius < 1.1)).astype(np.int64)[None]
    hidden = np.broadcast_to(row > 0, truth.shape)
    marginals = checkpoint.load(ROOT / "models" / "digits.safetensors").marginals(truth, hidden)
    nearest = nearest_visible(np.where(hidden, HIDDEN, truth), hidden)[1]
    assert scoring.error(marginals, truth, hidden) < 0.5 * (nearest != truth)[hidden].mean()
    assert scoring.bits_per_hidden_cell(marginals, truth, hidden) < 0.5


def test_the_network_with_a_window_sees_no_farther():
    """What cnn-7 answers for a cell depends on nothing beyond three cells; the model of squares looks farther."""
    cells = np.zeros((2, 16, 16), np.int64)
    cells[0, 4:12, 4:12] = 1
    cells[1, 4:12, 4:12] = np.arange(8) < 4  # the same near the cell
    hidden = np.zeros(cells.shape, bool)
    hidden[:, 4, 4] = True
    window, whole = (checkpoint.load(ROOT / "models" / name) for name in ("cnn-7.onnx", "squares.safetensors"))
    one, other = window.marginals(cells, hidden)[:, 4, 4, 1]
    assert one == pytest.approx(other, abs=1e-6)
    one, other = whole.marginals(cells, hidden)[:, 4, 4, 1]
    assert abs(one - other) > 1e-6
