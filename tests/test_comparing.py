"""The comparison of networks with what Bayes says of the windows they see."""

import json

import numpy as np
import pytest
import torch

from gridcloze import (
    scoring,
)
from gridcloze.bert import Bert, BertConfig
from gridcloze.commands.compare import compare, print_comparison
from gridcloze.priors.finite import squares
from gridcloze.priors.known import posterior
from gridcloze.priors.mirror import Mirror
from gridcloze.study import comparing
from gridcloze.study.cnn import residual
from gridcloze.study.comparing import Plan, puzzles_of
from gridcloze.study.fields import effective_receptive_field, radius_that_holds
from gridcloze.study.windows import WindowLimited
from gridcloze.words import InputError

TINY = Plan(6, ("cnn-3", "unet", "bert"), (0,), 0.002, 60)


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory):
    return puzzles_of(squares(6, 6, 2, 4), 200, tmp_path_factory.mktemp("kept") / "squares.npz")


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_what_knows_a_window_stands_on_its_bound_and_a_wider_one_below(puzzles, radius):
    """The best answer of a window is on the bound of its own, and the report shows that what sees more is below it."""
    answer = WindowLimited(posterior(puzzles.prior), radius).marginals(puzzles.cells, puzzles.hidden)
    own = comparing.scores(answer, puzzles, 2 * radius + 1)
    assert own["over_bound_bits"] == pytest.approx(0, abs=1e-7)
    assert own["excess_bits"] == pytest.approx(own["bound_bits"], abs=1e-6)
    whole = comparing.scores(puzzles.exact, puzzles, 2 * radius + 1)
    assert radius == 5 or whole["over_bound_bits"] < -3 * whole["over_bound_error"]


def test_bounds_are_the_excess_of_the_best_answers(puzzles):
    """The bound of each window is the excess bits of what Bayes says of it, falls to 0, and tells which is enough."""
    found = comparing.bounds(puzzles)
    for radius, bits in enumerate(found["bound_bits"]):
        marginals = WindowLimited(posterior(puzzles.prior), radius).marginals(puzzles.cells, puzzles.hidden)
        assert bits == pytest.approx(scoring.excess_bits(marginals, puzzles.exact, puzzles.hidden), abs=1e-6)
    assert found["bound_bits"][-1] == pytest.approx(0, abs=1e-12)
    enough = found["enough"] // 2
    assert found["bound_bits"][enough] <= comparing.ENOUGH_BITS < found["bound_bits"][enough - 1]


def test_how_far_one_must_look_is_as_far_as_the_partner(tmp_path):
    """In the mirror a cell whose partner is visible needs the window that reaches it, and any other needs none."""
    puzzles = puzzles_of(Mirror(5, 5), 50, tmp_path / "mirror.npz")
    row, column = np.indices((5, 5))
    apart = np.maximum(np.abs(2 * row - 4), np.abs(2 * column - 4))
    expected = np.where(puzzles.hidden[:, ::-1, ::-1], 0, apart)
    assert np.array_equal(
        puzzles.reach()[puzzles.hidden], np.broadcast_to(expected, puzzles.hidden.shape)[puzzles.hidden]
    )


def test_the_error_of_a_mean_is_that_of_repeated_drawing():
    """Means over other puzzles spread by the reported standard error, which takes cells of one puzzle as dependent."""
    generator = np.random.default_rng(0)
    hidden = generator.random((200, 400, 3, 3)) < 0.5
    values = generator.normal(size=(200, 400, 1, 1)) + np.zeros((200, 400, 3, 3))
    found = [comparing.mean_and_error(*one) for one in zip(values, hidden, strict=True)]
    means, errors = np.array(found).T
    assert errors.mean() == pytest.approx(means.std(), rel=0.15)
    alone = values[hidden].std() / np.sqrt(hidden.sum() / 200)
    assert errors.mean() > 2 * alone


def test_a_field_is_that_of_the_cell_and_of_its_window():
    """The field of a residual network lies in its window around its cell, and sums to 1."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = residual(2, 5, 8)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    generator = np.random.default_rng(0)
    cells = generator.integers(0, 2, (8, 9, 9))
    field = effective_receptive_field(model, cells, generator.random(cells.shape) < 0.5, 3, 4)
    seen = np.zeros((9, 9), dtype=bool)
    seen[1:6, 2:7] = True
    assert np.array_equal(field > 0, seen)
    assert field.sum() == pytest.approx(1)
    assert radius_that_holds(field, 3, 4) <= 2


def test_a_gradient_is_the_change_by_a_small_step():
    """The field of a BERT is that of differences, for sizes that are no multiple of its patch too."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bert(BertConfig(5, 7, 2, depth=2))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    model = model.double()
    cells = np.random.default_rng(0).integers(0, 2, (1, 5, 7))
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[0, 2, 2] = True
    tokens = torch.from_numpy(np.where(hidden, 2, cells))
    one_hot = torch.nn.functional.one_hot(tokens, 3).double()
    assert torch.allclose(model(tokens), model.from_one_hot(one_hot))

    def logits_of(tokens):
        logits = model.from_one_hot(tokens)[0, 2, 2]
        return logits - logits.mean()

    expected = np.zeros((5, 7))
    for row, column in np.ndindex(5, 7):
        steps = 1e-6 * torch.eye(3, dtype=torch.double)
        gradient = []
        for step in steps:
            moved = one_hot.clone()
            moved[0, row, column] += step
            gradient.append((logits_of(moved) - logits_of(one_hot)).detach().numpy() / 1e-6)
        gradient = np.array(gradient)
        expected[row, column] = np.abs(gradient - gradient.mean(axis=0)).sum()
    field = effective_receptive_field(model.float(), cells, hidden, 2, 2)
    np.testing.assert_allclose(field, expected / expected.sum(), atol=1e-4)


def test_the_radius_that_holds_most_of_a_field():
    """All in the cell itself is radius 0; an even field needs nearly all of the grid."""
    alone = np.zeros((8, 8))
    alone[2, 2] = 1
    assert radius_that_holds(alone, 2, 2) == 0
    assert radius_that_holds(np.ones((8, 8)), 2, 2) == 5
    assert radius_that_holds(np.ones((9, 9)), 4, 4) == 4


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was(tmp_path, monkeypatch):
    """Runs that are in the folder are not trained again, a run that was stopped leaves nothing, and all is reported."""
    trained = []
    train_and_score = comparing.train_and_score

    def counting(network, *rest):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(network)
        return train_and_score(network, *rest)

    monkeypatch.setattr(comparing, "train_and_score", counting)
    with pytest.raises(KeyboardInterrupt):
        comparing.run(TINY, tmp_path, lambda share, news: None)
    assert len(list(tmp_path.glob("*-*-*.json"))) == 2
    monkeypatch.setattr(comparing, "train_and_score", lambda *rest: trained.append("") or train_and_score(*rest))
    shares = []
    report = comparing.run(TINY, tmp_path, lambda share, news: shares.append(share))
    assert len(trained) == 6
    assert shares == sorted(shares)
    assert {len(found["runs"]) for found in report["priors"].values()} == {3}
    with pytest.raises(InputError, match="choose a new folder"):
        comparing.run(comparing.QUICK, tmp_path, lambda share, news: None)


@pytest.mark.slow
def test_the_verb_writes_numbers_and_pictures(tmp_path, monkeypatch, capsys):
    """`compare` leaves compare.json, and charts that are light and dark, as PNG and as SVG."""
    monkeypatch.setattr(comparing, "QUICK", TINY)
    report = compare(tmp_path / "out", quick=True)
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == report
    names = {path.name for path in (tmp_path / "out").glob("*.*g")}
    assert names == {
        f"{chart}{end}" for chart in ("bounds", "reach", "fields") for end in (".png", ".svg", "-dark.png", "-dark.svg")
    }
    print_comparison(report)
    printed = capsys.readouterr().out
    assert "squares" in printed
    assert printed.count("cnn-3") == 2
