"""`gridcloze score`: baselines and conditions next to the model, held against the parts they are made of."""

import re

import numpy as np
import pytest

from gridcloze import checkpoint, scoring
from gridcloze.baselines import Nearest, NeighbourTable
from gridcloze.commands.score import MOST_LEARNED, _padded, print_scores, score
from gridcloze.commands.toy import toy
from gridcloze.commands.train import Source, train
from gridcloze.files.arrays import write_stack
from gridcloze.files.grids import read_examples
from gridcloze.lookup import Lookup
from gridcloze.priors import squares
from gridcloze.priors.hiding import conditions, evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.training import Budget

PRIOR = squares(8, 8, 2, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of 8 by 8 squares and one of windows of a large image, examples and held-out grids."""
    folder = tmp_path_factory.mktemp("score")
    toy(PRIOR, folder / "examples", n=60, n_puzzles=0, seed=0, scale=1)
    toy(PRIOR, folder / "held-out", n=30, n_puzzles=0, seed=1, scale=1)
    train(Source(folder / "examples"), folder / "squares.safetensors", Budget(steps=2), seed=0, depth=1)
    stripes = np.tile([0, 0, 1, 1], (40, 12))
    np.save(folder / "image.npy", stripes)
    train(Source(folder / "image.npy", windows=8), folder / "windows.safetensors", Budget(steps=2), seed=0, depth=1)
    return folder


@pytest.fixture(scope="module")
def report(folder):
    """The report of the model of squares, with the prior and examples."""
    return score(folder / "squares.safetensors", folder / "held-out", folder / "examples", None, 0, seed=5)


def grids(path):
    return read_examples(path)[0]


def test_every_predictor_is_scored_under_every_condition(folder, report):
    """Bits and errors are those of the baselines and the exact posterior on cells that are hidden by name and seed."""
    examples, cells = grids(folder / "examples"), grids(folder / "held-out")
    predictors = {
        "model": checkpoint.load(folder / "squares.safetensors"),
        "exact": posterior(PRIOR),
        "lookup": Lookup(examples, 2),
        "nearest cell": Nearest(examples, 2),
        "neighbour table": NeighbourTable(examples, 2),
    }
    hides = conditions(8, 8)
    assert list(report["conditions"]) == [*hides, "usual mix"]
    for number, (name, hide) in enumerate(hides.items()):
        hidden, found = hide(cells.shape, np.random.default_rng([5, number])), report["conditions"][name]
        assert (found["grids"], found["hidden_cells"]) == (30, hidden.sum())
        for predictor, of_one in found["scores"].items():
            marginals = predictors[predictor].marginals(cells, hidden)
            assert of_one["error"] == scoring.error(marginals, cells, hidden)
            assert of_one["bits_per_hidden_cell"] == scoring.bits_per_hidden_cell(marginals, cells, hidden)
        assert list(found["scores"]) == list(predictors)


def test_the_usual_mix_is_what_it_was(folder, report):
    """The scores of the usual mix are those of evaluation_hiding with the seed, as before there were conditions."""
    cells = grids(folder / "held-out")
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(5))
    marginals = checkpoint.load(folder / "squares.safetensors").marginals(cells, hidden)
    bits = scoring.bits_per_hidden_cell(marginals, cells, hidden)
    mix = report["conditions"]["usual mix"]
    assert report["scores"]["model"]["bits_per_hidden_cell"] == bits
    assert mix["scores"]["model"]["bits_per_hidden_cell"] == bits
    assert mix["hidden_cells"] == hidden.sum()
    top = scoring.top_label_reliability(marginals, cells, hidden).expected_calibration_error
    assert report["scores"]["model"]["top_label_calibration_error"] == top
    assert [one["name"] for one in report["symbols"]] == ["black", "white"]
    assert [one["recall"] for one in report["symbols"]] == [
        one["recall"] for one in scoring.by_symbol(marginals, cells, hidden)
    ]


def test_a_model_of_windows_is_compared_with_tables_of_whole_images(folder):
    """Examples of any size teach baselines: stripes have no surprises for the table, unless it learned from noise."""
    rng = np.random.default_rng(0)
    np.save(folder / "other.npy", np.tile([0, 0, 1, 1], (24, 9)))
    report = score(folder / "windows.safetensors", folder / "other.npy", folder / "image.npy", None, 0, seed=0)
    bits = {name: one["bits_per_hidden_cell"] for name, one in report["conditions"]["single cells"]["scores"].items()}
    assert list(bits) == ["model", "lookup", "nearest cell", "neighbour table"]
    assert bits["neighbour table"] < 0.02 < min(bits["nearest cell"], bits["model"])
    write_stack(folder / "noise.npy", rng.integers(0, 2, (1, 40, 48)))
    wrong = score(folder / "windows.safetensors", folder / "other.npy", folder / "noise.npy", None, 0, seed=0)
    assert wrong["conditions"]["single cells"]["scores"]["neighbour table"]["bits_per_hidden_cell"] > 0.5


def test_examples_with_unknown_cells_teach_tables(folder, capsys):
    """Only a lookup needs whole grids: it remembers the whole ones, and is left out with a word if there are none."""
    image = np.load(folder / "image.npy")
    image[0] = -1
    np.save(folder / "gap.npy", image)
    image[::8] = -1
    np.save(folder / "gaps.npy", image)
    model, held_out = folder / "windows.safetensors", folder / "image.npy"
    assert "lookup" in score(model, held_out, folder / "gap.npy", None, 0, seed=0)["scores"]
    assert capsys.readouterr().err == ""
    assert list(score(model, held_out, folder / "gaps.npy", None, 0, seed=0)["scores"]) == [
        "model",
        "uncalibrated",
        "nearest cell",
        "neighbour table",
    ]
    assert "gaps.npy: every grid has unknown cells, so there is no lookup" in capsys.readouterr().err


def test_baselines_learn_from_a_part_of_many_cells():
    """Images of several sizes are one stack with unknown cells; of many cells an even part is taken."""
    small, wide = np.zeros((2, 3), dtype=np.int64), np.ones((1, 5), dtype=np.int64)
    assert _padded([small, wide]).tolist() == [
        [[0, 0, 0, -1, -1], [0, 0, 0, -1, -1]],
        [[1, 1, 1, 1, 1], [-1, -1, -1, -1, -1]],
    ]
    assert _padded([np.zeros((3000, 3000), np.int8)] * 2).size <= MOST_LEARNED
    many = _padded([np.full((1024, 1024), number, np.int8) for number in range(9)])
    assert many.size <= MOST_LEARNED
    assert many[[0, -1], 0, 0].tolist() == [0, 8]


def test_the_tables_fit_80_columns(report, monkeypatch, capsys):
    """On a terminal of 80 columns no name is cut and no figure; each condition and symbol has its line."""
    monkeypatch.setenv("COLUMNS", "80")
    print_scores(report)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    for name in report["conditions"]:
        figure = report["conditions"][name]["scores"]["neighbour table"]["bits_per_hidden_cell"]
        assert re.search(rf"^ *{re.escape(name)} .* {figure:.4f} *$", out, re.MULTILINE)
    assert re.search(r"^ *white +0\.\d{4} ", out, re.MULTILINE)
    assert re.search(r"^ *calibration, top +0\.\d{4} ", out, re.MULTILINE)
