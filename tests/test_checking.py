"""Which visible cells are suspected, and which hidden ones would tell most."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from gridcloze import checking
from gridcloze.lookup import Lookup
from gridcloze.predictor import entropy_bits
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.puzzles import Puzzles

PRIOR = squares(10, 10, 3, 7)
EXACT = posterior(PRIOR)
REMEMBERED = Lookup(PRIOR.members.astype(np.int64), 2)  # knows the prior, forgives errors
REMEMBERED.counts *= 10_000


def flipped(n, flips, seed):
    """Whole grids with some wrong cells, and which these are."""
    generator = np.random.default_rng(seed)
    cells = PRIOR.sample(n, generator)
    wrong = np.zeros(cells.shape, dtype=bool)
    for grid in wrong:
        grid.flat[generator.choice(grid.size, flips, replace=False)] = True
    return np.where(wrong, 1 - cells, cells), wrong


@pytest.mark.parametrize("flips", [1, 2, 3])
def test_flipped_cells_are_found(flips):
    """Of the flipped cells of squares nearly all are found, and nearly all that is found was flipped."""
    cells, wrong = flipped(30, flips, seed=flips)
    hidden = np.zeros((10, 10), dtype=bool)
    found = np.zeros(cells.shape, dtype=bool)
    for number, grid in enumerate(cells):
        for one in checking.surprises(REMEMBERED, grid, hidden):
            found[number, one.row, one.column] = True
            assert one.symbol == grid[one.row, one.column] != one.likely_symbol
    assert (found & wrong).sum() >= 0.95 * wrong.sum()
    assert (found & wrong).sum() >= 0.95 * found.sum()


def test_nothing_is_found_in_grids_of_the_prior():
    """Grids of the prior, whole or with hidden cells, have no surprising cell, and none that contradicts."""
    cells = PRIOR.sample(20, np.random.default_rng(0))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(1))
    assert all(checking.surprises(REMEMBERED, grid, np.zeros((10, 10), bool)) == [] for grid in cells)
    assert not checking.contradicting(REMEMBERED, Puzzles(cells, hidden)).any()


def test_contradicting_cells_of_a_puzzle_are_named():
    """In a puzzle of which half is hidden, a flipped cell inside or outside of the square is named, and no other."""
    cells = np.zeros((1, 10, 10), dtype=np.int64)
    cells[0, 3:9, 3:9] = 1
    hidden = np.indices((10, 10)).sum(axis=0)[None] % 2 == 0
    cells[0, 0, 1], cells[0, 6, 5] = 1, 0
    found = checking.contradicting(REMEMBERED, Puzzles(cells, hidden))
    assert np.argwhere(found[0]).tolist() == [[0, 1], [6, 5]]


class Distinct:
    """The exact Predictor of rows in which no symbol stands twice."""

    n_symbols = 9
    window = None

    def marginals(self, cells, hidden):
        own = np.eye(self.n_symbols)[cells]
        free = 1.0 - (own * ~hidden[..., None]).max(axis=2, keepdims=True)
        law = np.where(hidden[..., None], free, own)
        return law / np.maximum(law.sum(-1, keepdims=True), 1)


@pytest.mark.parametrize(("one", "other"), list(combinations(range(9), 2)))
def test_of_two_cells_that_contradict_each_other_one_is_named(one, other):
    """Wherever they are, one of two equal cells of a row is named and no other; without them none is."""
    cells = np.arange(9).reshape(1, 1, 9)
    nothing = np.zeros(cells.shape, dtype=bool)
    assert not checking.contradicting(Distinct(), Puzzles(cells, nothing)).any()
    cells[..., other] = one
    (named,) = np.flatnonzero(checking.contradicting(Distinct(), Puzzles(cells, nothing)))
    assert named in (one, other)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 6, 7, 20, 21, 100, 252, 256])
def test_each_cell_is_predicted_while_any_other_is_visible(n):
    """Some half has a cell and not the other, for any two in either order; with one half fewer that cannot be."""
    is_in = checking._halves(n).astype(np.int64)
    apart = is_in.T @ (1 - is_in)  # in how many halves is a row's cell and not a column's
    assert (apart + np.eye(n, dtype=np.int64) > 0).all()
    assert is_in.any(axis=0).all()
    fewer = len(is_in) - 1
    assert n < 2 or comb(fewer, fewer // 2) < n


def test_a_grid_is_judged_alone_as_among_others():
    """Beside a grid with more visible cells, of one with fewer no more is hidden at once than of it alone."""

    class Watched(Distinct):
        def __init__(self):
            self.asked = set()

        def marginals(self, cells, hidden):
            self.asked.update(one.tobytes() for one in hidden if one[0, 3:].all())  # of the first grid
            return super().marginals(cells, hidden)

    cells = np.arange(9).reshape(1, 1, 9).repeat(2, axis=0)
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[0, 0, 3:] = True
    alone, among = Watched(), Watched()
    checking.contradicting(alone, Puzzles(cells[:1], hidden[:1]))
    checking.contradicting(among, Puzzles(cells, hidden))
    assert among.asked == alone.asked
    assert len(alone.asked) == 3


def test_a_block_keeps_neighbours_from_vouching():
    """Two wrong cells beside each other are both implausible when the block around each is hidden."""
    cells = np.zeros((10, 10), dtype=np.int64)
    cells[1:5, 1:5] = 1
    cells[8, 8] = cells[8, 7] = 1
    said = checking.plausibility(REMEMBERED, cells, np.zeros((10, 10), bool))
    assert max(said[8, 8], said[8, 7]) < 0.01
    assert (said >= 0).all()


def test_information_is_the_expected_drop_of_the_entropies_of_the_others():
    """The map is what enumeration of the cell's values gives, NaN where cells are visible, and never negative here."""
    cells = PRIOR.sample(1, np.random.default_rng(4))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(5))
    hidden[0, 2:8, 2:8] = True
    found = checking.information_bits(EXACT, cells, hidden)[0]
    law = EXACT.marginals(cells, hidden)
    entropy = entropy_bits(law)[0]
    for row, column in np.argwhere(hidden[0])[::7]:
        left = 0.0
        for symbol in (0, 1):
            probability = law[0, row, column, symbol]
            if probability > 0:
                shown, rest = cells.copy(), hidden.copy()
                shown[0, row, column], rest[0, row, column] = symbol, False
                left += probability * entropy_bits(EXACT.marginals(shown, rest)).sum()
        assert found[row, column] == pytest.approx(entropy.sum() - entropy[row, column] - left, abs=1e-9)
    assert np.array_equal(np.isnan(found), ~hidden[0])
