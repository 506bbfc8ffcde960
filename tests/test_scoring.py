"""Scores, held against cases worked out by hand and against exact posteriors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score

from gridcloze import scoring
from gridcloze.priors.finite import rectangles, squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.study.windows import WindowLimited
from gridcloze.words import finite_or_none

PRIOR = squares(6, 6, 2, 4)
EXACT = posterior(PRIOR)
GENERATOR = np.random.default_rng(0)
CELLS = PRIOR.sample(400, GENERATOR)
HIDDEN = evaluation_hiding(CELLS.shape, GENERATOR)
TRUTH = EXACT.marginals(CELLS, HIDDEN)


def test_bits_and_error_of_a_case_worked_out_by_hand():
    """Probabilities 1/2, 1/8 and 1/4 of the truth cost 1, 3 and 2 bits; visible and unknown cells cost nothing."""
    cells = np.array([[[0, 1, 0, 1, -1]]])
    hidden = np.array([[[True, True, True, False, True]]])
    marginals = np.array([[[[0.5, 0.5], [0.875, 0.125], [0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]]])
    assert scoring.bits_per_hidden_cell(marginals, cells, hidden) == pytest.approx(2.0)
    assert scoring.error(marginals, cells, hidden) == pytest.approx(2 / 3)


def test_excess_bits_of_a_case_worked_out_by_hand():
    """The divergence of (1/2, 1/2) from (1, 0) is one bit, from itself none; visible cells do not count."""
    exact = np.array([[[[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]]])
    marginals = np.array([[[[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]]]])
    hidden = np.array([[[True, True, False]]])
    assert scoring.excess_bits(marginals, exact, hidden) == pytest.approx(0.5)


def test_the_exact_answer_has_no_excess_and_no_wrong_cell():
    """The exact answer scores 0 excess bits and no wrong determined cell; a wrong prior scores neither."""
    right = scoring.score(TRUTH, CELLS, HIDDEN, TRUTH)
    assert right["excess_bits"] == 0.0
    assert right["determined_error"] == 0.0
    assert right["grids_all_determined_right"] == 1.0
    wrong = scoring.score(posterior(rectangles(6, 6)).marginals(CELLS, HIDDEN), CELLS, HIDDEN, TRUTH)
    assert wrong["excess_bits"] > 0.02
    assert wrong["bits_per_hidden_cell"] > right["bits_per_hidden_cell"] + 0.02


def test_excess_bits_are_the_expected_difference_of_scores():
    """Excess bits agree with the difference in bits per hidden cell to the exact answer, within its noise."""
    window = WindowLimited(EXACT, 1).marginals(CELLS, HIDDEN)
    differences = scoring.bits_per_hidden_cell(window, CELLS, HIDDEN) - scoring.bits_per_hidden_cell(
        TRUTH, CELLS, HIDDEN
    )
    assert scoring.excess_bits(window, TRUTH, HIDDEN) == pytest.approx(differences, abs=0.02)


def test_a_determined_cell_that_is_wrong_counts_its_grid():
    """One wrong determined cell makes its grid wrong, and no other."""
    marginals = TRUTH.copy()
    grid, row, column = np.argwhere(scoring.determined(TRUTH, HIDDEN))[0]
    marginals[grid, row, column] = marginals[grid, row, column][::-1]
    assert scoring.score(marginals, CELLS, HIDDEN, TRUTH)["grids_all_determined_right"] == pytest.approx(1 - 1 / 400)


def test_legal_samples_are_members_that_agree_with_the_visible_cells():
    """Exact samples are all legal; members that do not agree, and grids that are no members, are not."""
    drawn = EXACT.sample(CELLS, HIDDEN, 2, np.random.default_rng(1))
    assert scoring.legal_fraction(drawn, CELLS, HIDDEN, PRIOR) == 1.0
    assert scoring.legal_fraction(np.zeros_like(drawn), CELLS, HIDDEN, PRIOR) == 0.0
    others = PRIOR.sample(800, np.random.default_rng(2)).reshape(drawn.shape)
    agree = ((others == CELLS[:, None]) | HIDDEN[:, None]).all(axis=(2, 3)).mean()
    assert scoring.legal_fraction(others, CELLS, HIDDEN, PRIOR) == agree < 0.5


def test_total_variation_of_a_case_worked_out_by_hand():
    """All samples on one of k equally likely answers are at distance 1 - 1/k."""
    hidden = np.ones((6, 6), dtype=bool)
    one = np.repeat(PRIOR.members[:1].astype(np.int64), 50, axis=0)
    assert scoring.total_variation(one, EXACT, one[0], hidden) == pytest.approx(1 - 1 / len(PRIOR.members))


def test_reliability_of_a_case_worked_out_by_hand():
    """Of four cells called white with 0.9, three are: 0.15 off; the other symbol is off as much. Visible cells do not
    count, and unknown ones do not."""
    cells = np.array([[[1, 1, 1, 0, 0, -1]]])
    hidden = np.array([[[True, True, True, True, False, True]]])
    marginals = np.broadcast_to(np.array([0.1, 0.9]), (1, 1, 6, 2))
    white = scoring.reliability(marginals, cells, hidden, symbol=1)
    assert white.count.sum() == white.count[13] == 4
    assert (white.predicted[13], white.observed[13]) == pytest.approx((0.9, 0.75))
    assert scoring.reliability(marginals, cells, hidden).expected_calibration_error == pytest.approx(0.15)
    assert scoring.brier(marginals, cells, hidden) == pytest.approx((3 * 0.02 + 1.62) / 4)


def random_answers(n_symbols, seed, confidence=0.0, n=20_000):
    """Marginals, and cells drawn from them; the most likely symbol is then called likelier by so much."""
    generator = np.random.default_rng(seed)
    marginals = generator.dirichlet(np.full(n_symbols, 0.5), (1, 100, n // 100))
    cells = (marginals.cumsum(-1) < generator.random((*marginals.shape[:-1], 1))).sum(-1).clip(max=n_symbols - 1)
    top = marginals.max(-1, keepdims=True)
    raised = np.minimum(top + confidence, 1)
    others = marginals * ((1 - raised) / np.maximum(1 - top, 1e-12))
    return np.where(marginals == top, raised, others), cells, np.ones(cells.shape, dtype=bool)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 9), st.integers(0, 100))
def test_the_calibration_of_the_most_likely_symbol_is_that_of_brute_force(n_symbols, seed):
    """Cells are put into 15 bins one by one, by the probability of their most likely symbol; unknown ones into none."""
    marginals, cells, hidden = random_answers(n_symbols, seed, 0.1, n=300)
    cells, hidden = np.where(np.random.default_rng(seed).random(cells.shape) < 0.1, -1, cells), hidden & (cells != 1)
    bins = [[] for _ in range(15)]
    for place in map(tuple, np.argwhere(hidden & (cells >= 0))):
        top = int(np.argmax(marginals[place]))
        bins[min(int(15 * marginals[place][top]), 14)].append((marginals[place][top], cells[place] == top))
    distances = [
        len(one) * abs(np.mean([p for p, _ in one]) - np.mean([right for _, right in one])) for one in bins if one
    ]
    found = scoring.top_label_reliability(marginals, cells, hidden).expected_calibration_error
    assert found == pytest.approx(sum(distances) / sum(map(len, bins)))


@pytest.mark.parametrize("n_symbols", [2, 15])
def test_an_overconfidence_of_a_tenth_is_measured_as_such_by_the_most_likely_symbol_only(n_symbols):
    """Called likelier by 0.1 than it is, the most likely symbol is off by that; the mean over 15 symbols hides it."""
    calibrated = scoring.calibration(*random_answers(n_symbols, 0))
    assert calibrated["top_label_calibration_error"] < 0.01
    marginals, cells, hidden = random_answers(n_symbols, 0, 0.1)
    raised = (marginals.max(-1) - random_answers(n_symbols, 0)[0].max(-1)).mean()
    calibration = scoring.calibration(marginals, cells, hidden)
    assert calibration["top_label_calibration_error"] == pytest.approx(raised, abs=0.01)
    assert raised > 0.05
    assert (calibration["expected_calibration_error"] < 0.02) == (n_symbols == 15)


def test_recall_and_precision_are_those_of_scikit_learn():
    """Shares, recall and precision of each symbol are scikit-learn's; a symbol that never occurs has no recall."""
    marginals, cells, hidden = random_answers(5, 1, n=500)
    cells[cells == 3] = 2
    marginals[..., 4] = 0
    found = scoring.by_symbol(marginals, cells, hidden)
    recall, precision = (
        measure(cells.ravel(), marginals.argmax(-1).ravel(), labels=range(5), average=None, zero_division=np.nan)
        for measure in (recall_score, precision_score)
    )
    assert [one["recall"] for one in found] == pytest.approx(recall, nan_ok=True)
    assert [one["precision"] for one in found] == pytest.approx(precision, nan_ok=True)
    assert np.isnan([found[3]["recall"], found[4]["precision"]]).all()
    assert [one["share"] for one in found] == pytest.approx(np.bincount(cells.ravel(), minlength=5) / 500)
    by_symbol = scoring.calibration(marginals, cells, hidden)["by_symbol"]
    assert [one["expected_calibration_error"] for one in found] == by_symbol


def test_the_exact_answer_is_calibrated_and_an_overconfident_one_is_not():
    """What the exact answer says comes true as often as it says, by symbol and hidden fraction; squared it does not."""
    calibration = scoring.calibration(TRUTH, CELLS, HIDDEN)
    assert calibration["expected_calibration_error"] < 0.01
    assert max(calibration["by_symbol"]) < 0.02
    assert set(calibration["by_hidden_fraction"]) == {"0…0.25", "0.25…0.5", "0.5…0.75", "0.75…1"}
    sharpened = TRUTH**3 / (TRUTH**3).sum(-1, keepdims=True)
    assert scoring.calibration(sharpened, CELLS, HIDDEN)["expected_calibration_error"] > 0.02
    assert scoring.calibration(sharpened, CELLS, HIDDEN)["brier"] > calibration["brier"]


def test_scores_over_no_cells_are_not_numbers():
    """Without a hidden cell whose symbol is known there is nothing to score: NaN here, null in reports."""
    cells, hidden = np.full((2, 3, 3), -1), np.ones((2, 3, 3), dtype=bool)
    marginals = np.full((2, 3, 3, 2), 0.5)
    scores = scoring.score(marginals, cells, hidden) | {
        "excess_bits": scoring.excess_bits(marginals, marginals, ~hidden)
    }
    assert finite_or_none(scores) == dict.fromkeys(scores)
    calibration = finite_or_none(scoring.calibration(marginals, cells, hidden))
    assert calibration == {
        "expected_calibration_error": None,
        "top_label_calibration_error": None,
        "brier": None,
        "by_symbol": [None, None],
        "by_hidden_fraction": {},
    }
