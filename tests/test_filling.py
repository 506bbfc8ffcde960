"""Decoders, held against exact laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcloze import filling, scoring
from gridcloze.exact import Enumeration, posterior
from gridcloze.masking import test_law as hide
from gridcloze.priors import FinitePrior, squares

PRIOR = squares(5, 5, 2, 4)
EXACT = posterior(PRIOR)


def puzzles(n, seed):
    generator = np.random.default_rng(seed)
    cells = PRIOR.sample(n, generator)
    return cells, hide(cells.shape, generator)


class Independent:
    """A predictor that knows each cell's law but forgets what the other cells showed: the negative control."""

    n_symbols = 2

    def __init__(self, cells, hidden):
        self.law = EXACT.marginals(cells, hidden)[0]

    def marginals(self, cells, hidden):
        certain = np.eye(2)[np.where(hidden, 0, cells)]
        return np.where(hidden[..., None], self.law, certain)


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_known_cells_come_back_untouched(n, seed):
    """Known cells come back untouched from every decoder, and hidden ones hold a symbol."""
    cells, hidden = puzzles(n, seed)
    given_cells = np.where(hidden, -1, cells)
    for fills in (filling.sample(EXACT, given_cells, hidden, 2, seed), filling.most_likely(EXACT, given_cells, hidden)):
        assert np.array_equal(
            np.where(hidden[:, None], -1, fills.cells), np.broadcast_to(given_cells[:, None], fills.cells.shape)
        )
        assert ((fills.cells >= 0) & (fills.cells < 2)).all()


def test_one_at_a_time_samples_follow_the_exact_joint_law():
    """One cell at a time from exact conditionals is the exact joint law; cells drawn on their own are not."""
    cells = PRIOR.sample(1, np.random.default_rng(3))
    hidden = np.ones_like(cells, dtype=bool)
    hidden[0, 2, 2] = False
    drawn = filling.sample(EXACT, cells, hidden, 2000, seed=1).cells[0]
    truly = EXACT.sample(cells, hidden, 2000, np.random.default_rng(2))[0]
    wrongly = filling.sample(Independent(cells, hidden), cells, hidden, 2000, seed=1).cells[0]
    distance = [scoring.total_variation(some, EXACT, cells[0], hidden[0]) for some in (drawn, truly, wrongly)]
    assert distance[0] < 1.5 * distance[1]
    assert distance[2] > 0.5


def test_the_log_probability_of_a_sample_is_that_of_the_exact_joint_law():
    """The conditionals met on the way multiply to the exact joint probability, whatever the order."""
    cells, hidden = puzzles(20, 5)
    for fills in (filling.sample(EXACT, cells, hidden, 3, 0), filling.most_likely(EXACT, cells, hidden)):
        for number in range(fills.cells.shape[1]):
            exact = EXACT.log_prob_bits(fills.cells[:, number], hidden)
            assert fills.log_prob_bits[:, number] == pytest.approx(exact, abs=1e-9)


def test_greedy_takes_the_most_certain_cell_first():
    """With one cell nearly sure, greedy follows it, though another order would end elsewhere."""
    members = np.array([[[0, 0]], [[1, 0]], [[1, 1]]], dtype=np.uint8)
    exact = Enumeration(FinitePrior(members, np.array([0.4, 0.25, 0.35])))
    hidden = np.ones((1, 1, 2), dtype=bool)
    fills = filling.most_likely(exact, np.zeros((1, 1, 2), dtype=np.int64), hidden)
    assert fills.cells[0, 0].tolist() == [[0, 0]]  # the right cell is 0 with 0.65, the left 1 with 0.6 only
    assert fills.log_prob_bits[0, 0] == pytest.approx(np.log2(0.4))


def test_passes_are_the_hidden_cells():
    """One cell a pass: a fill takes as many passes as cells are hidden, and none where nothing is."""
    cells, hidden = puzzles(6, 8)
    hidden[2] = False
    fills = filling.sample(EXACT, cells, hidden, 1, 0)
    assert fills.passes[:, 0].tolist() == hidden.sum(axis=(1, 2)).tolist()
    assert np.array_equal(fills.cells[2, 0], cells[2])


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_same_seed_gives_the_same_fill_for_every_batch_size(batch_size, small_predictor):
    """The same seed gives the same fills for batch sizes 1, 7 and 64, with a neural network too."""
    cells, hidden = puzzles(5, 9)
    for predictor in (EXACT, small_predictor):
        one = filling.sample(predictor, cells, hidden, 3, seed=4, batch_size=batch_size)
        other = filling.sample(predictor, cells, hidden, 3, seed=4, batch_size=64)
        assert np.array_equal(one.cells, other.cells)
        assert np.array_equal(one.log_prob_bits, other.log_prob_bits)
    assert not np.array_equal(other.cells, filling.sample(predictor, cells, hidden, 3, seed=5).cells)


def test_a_draw_does_not_depend_on_how_many_are_drawn():
    """Sample 0 of a grid is the same whether one or many samples are drawn."""
    cells, hidden = puzzles(4, 10)
    few, many = filling.sample(EXACT, cells, hidden, 1, 7), filling.sample(EXACT, cells, hidden, 6, 7)
    assert np.array_equal(few.cells[:, 0], many.cells[:, 0])


def test_greedy_ends_in_a_member_under_exact_conditionals():
    """Under exact conditionals the greedy fill is always a grid of the prior; under independent ones it is not."""
    cells, hidden = puzzles(40, 11)
    assert scoring.legal_fraction(filling.most_likely(EXACT, cells, hidden).cells, cells, hidden, PRIOR) == 1
    hidden[:1] = True
    wrong = filling.most_likely(Independent(cells[:1], hidden[:1]), cells[:1], hidden[:1])
    assert scoring.legal_fraction(wrong.cells, cells[:1], hidden[:1], PRIOR) == 0
