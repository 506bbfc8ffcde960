"""Grids of any size through windows of one size."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gridcloze import answers, filling, sweeping, tiling
from gridcloze.answers import AnswersByRows
from gridcloze.decoding import ONE_AT_A_TIME, Decoder, Rows
from gridcloze.puzzles import Puzzles
from gridcloze.tiling import Tiling
from gridcloze.words import HIDDEN

STAY = np.array([[0.9, 0.1], [0.3, 0.7]])  # of a stationary chain from left to right
START = np.array([0.75, 0.25])


class Chains:
    """The exact Predictor of grids whose rows are independent stationary chains; it answers windows of one size."""

    n_symbols = 2
    window = None

    def __init__(self, *window):
        self.window, self.asked = window, 0

    def marginals(self, cells, hidden):
        if cells.shape[1:] != self.window:
            return tiling.marginals(self, cells, hidden, self.window)
        self.asked += len(cells)
        answer = np.empty((*cells.shape, 2))
        for grid, row in product(range(len(cells)), range(cells.shape[1])):
            answer[grid, row] = chain_marginals(np.where(hidden[grid, row], HIDDEN, cells[grid, row]))
        return answer


def chain_marginals(row):
    """Forwards and backwards (Rabiner 1989)."""
    seen = np.where(row[:, None] == HIDDEN, 1.0, row[:, None] == np.arange(2))
    forwards, backwards = [START * seen[0]], [np.ones(2)]
    for here in seen[1:]:
        forwards.append(forwards[-1] @ STAY * here)
    for here in seen[:0:-1]:
        backwards.append(STAY @ (backwards[-1] * here))
    both = np.array(forwards) * np.array(backwards[::-1])
    return both / both.sum(-1, keepdims=True)


def chain_probability(row):
    return START[row[0]] * np.prod([STAY[one, next_one] for one, next_one in pairwise(row)])


@given(st.integers(1, 70), st.integers(1, 70), st.integers(2, 20), st.integers(2, 20))
def test_cores_cover_a_grid_once_and_lie_in_their_windows(height, width, window_height, window_width):
    """Every cell is in one core, every core in its window, and every window in the grid and as large as it can be."""
    size = (window_height, window_width)
    count = np.zeros((height, width), dtype=int)
    for tile in (tile for row in Tiling(height, width, size).rows for tile in row):
        count[tile.core] += 1
        for core, window, length, side in zip(tile.core, tile.window, (height, width), size, strict=True):
            assert 0 <= window.start <= core.start < core.stop <= window.stop <= length
            assert window.stop - window.start == min(side, length)
            margin = tiling.margin_of(side)
            assert core.start - window.start >= margin or window.start == 0
            assert window.stop - core.stop >= margin or window.stop == length
    assert (count == 1).all()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 12))
def test_a_wave_comes_after_all_that_its_windows_see(height, width, side):
    """Each tile comes after those before it, row by row, whose cores it sees, and before all others that it sees."""
    rows = Tiling(height, width, (side, side)).rows
    wave_of = np.empty((height, width), dtype=int)
    number_of = np.empty((height, width), dtype=int)
    tiles = [tile for row in rows for tile in row]
    for number, tile in enumerate(tiles):
        number_of[tile.core] = number
    waves = list(Tiling.waves(rows))
    assert sorted(number_of[tile.core].flat[0] for wave in waves for tile in wave) == list(range(len(tiles)))
    for wave, members in enumerate(waves):
        for tile in members:
            wave_of[tile.core] = wave
    for number, tile in enumerate(tiles):
        earlier = number_of[tile.window] < number
        own = number_of[tile.window] == number
        assert (wave_of[tile.window][earlier] < wave_of[tile.core].flat[0]).all()
        assert (wave_of[tile.window][~earlier & ~own] >= wave_of[tile.core].flat[0]).all()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_marginals_through_windows_are_exact_where_windows_show_what_matters(seed):
    """A law is the exact one wherever the nearest visible cells on both sides are in every window."""
    generator = np.random.default_rng(seed)
    cells, hidden = generator.integers(0, 2, (1, 3, 23)), generator.random((1, 3, 23)) < 0.3
    found = Chains(2, 8).marginals(cells, hidden)
    enclosed = np.ones((3, 23), dtype=bool)
    for tile in (tile for row in Tiling(3, 23, (2, 8), tiling.HALF_OVERLAPPING).rows for tile in row):
        known = ~hidden[0][tile.window]
        before, after = np.logical_or.accumulate(known, 1), np.logical_or.accumulate(known[:, ::-1], 1)[:, ::-1]
        enclosed[tile.window] &= before & after
    for row in range(3):
        exact = chain_marginals(np.where(hidden[0, row], HIDDEN, cells[0, row]))
        assert found[0, row, enclosed[row]] == pytest.approx(exact[enclosed[row]])


def test_laws_pass_from_window_to_window_without_a_jump():
    """Between two windows that say different things laws change evenly; of the nearest window alone they would jump."""

    class LeftOrRight(Chains):
        def marginals(self, cells, hidden):
            if cells.shape[1:] != self.window:
                return super().marginals(cells, hidden)
            first = np.arange(len(cells)) == 0
            return np.where(first[:, None, None, None], [0.9, 0.1], [0.1, 0.9]) + np.zeros((*cells.shape, 1))

    nothing = np.zeros((1, 4, 30), dtype=np.int64)
    white = LeftOrRight(4, 20).marginals(nothing, nothing == 0)[0, :, :, 1]
    steps = np.diff(white, axis=1)
    assert white[:, 0] == pytest.approx(0.1)
    assert white[:, -1] == pytest.approx(0.9)
    assert (steps > -1e-9).all()
    assert steps.max() < 0.1


@pytest.mark.parametrize("decoder", [ONE_AT_A_TIME, Decoder("spread", 0.0), Decoder("spread", 0.0, refine=1)], ids=str)
def test_a_sweep_under_exact_windows_draws_from_the_exact_joint_law(decoder):
    """Rows of seven cells, filled through windows of four, have the chain's law; one without a chain is rejected."""
    n = 3000
    hidden = np.ones((1, 2, 7), dtype=bool)
    drawn = filling.sample(Chains(2, 4), Puzzles(np.zeros((1, 2, 7), int), hidden), n, 0, decoder)
    rows = drawn.cells.reshape(-1, 7)
    every = np.array(list(product((0, 1), repeat=7)))
    counts = np.bincount(rows @ (1 << np.arange(7)), minlength=128)[every @ (1 << np.arange(7))]
    exact = np.array([chain_probability(row) for row in every])
    common = exact * len(rows) > 5
    seen, law = np.append(counts[common], counts[~common].sum()), np.append(exact[common], exact[~common].sum())
    assert chisquare(seen, law * len(rows)).pvalue > 1e-3
    shares = START[every].prod(axis=1)
    wrong = np.append(shares[common], shares[~common].sum())
    assert chisquare(seen, wrong / wrong.sum() * len(rows)).pvalue < 1e-6
    if not decoder.refine:
        said = np.log2([chain_probability(row[0]) * chain_probability(row[1]) for row in drawn.cells[0]])
        assert drawn.log_prob_bits[0] == pytest.approx(said)


def test_a_window_refines_its_own_cells_only(monkeypatch):
    """In a window each cell of the core that was hidden is drawn again once a round; all others stay as they were."""
    run, drawn = Rows.run, []

    def watched(rows, decoder, pick):
        before = rows.cells.copy(), rows.hidden.copy()
        rows.tell_revealed = lambda *revealed: drawn.append(revealed[:2])
        run(rows, decoder, pick)
        for array, old in zip((rows.cells, rows.hidden), before, strict=True):
            assert np.array_equal(array[~rows.wanted], old[~rows.wanted])
        assert not rows.hidden[rows.wanted].any()
        times = np.zeros(rows.wanted.shape, dtype=int)
        for row, cell in drawn:
            np.add.at(times, (row, cell), 1)
        drawn.clear()
        assert np.array_equal(times, 3 * rows.wanted)

    monkeypatch.setattr(Rows, "run", watched)
    cells, hidden = some_grid(0)
    puzzles, allowed = Puzzles(cells, hidden), np.ones((*cells.shape, 2), dtype=bool)
    allowed[:, ::3, :, 1] = False
    for asked in (puzzles, Puzzles(cells, hidden, allowed)):
        fills = filling.sample(Chains(4, 6), asked, 2, 0, Decoder("spread", side_per_symbol=1, refine=2)).cells[0]
        assert (fills == cells)[:, ~hidden[0]].all()
    assert (fills[:, ::3][:, hidden[0, ::3]] == 0).all()


def test_cells_far_to_the_right_are_not_seen_and_so_a_sweep_is_not_exact_there():
    """A visible cell beyond the window does not bend what is left of it: the negative control of the test above."""
    cells, hidden = np.zeros((1, 1, 30), int), np.ones((1, 1, 30), dtype=bool)
    cells[..., 29], hidden[..., 29] = 1, False
    assert Chains(1, 4).marginals(cells, hidden)[0, 0, 24, 1] == pytest.approx(START[1])
    assert chain_marginals(np.where(hidden[0, 0], HIDDEN, cells[0, 0]))[24, 1] > START[1] + 0.01


def some_grid(seed, height=13, width=21):
    generator = np.random.default_rng(seed)
    cells, hidden = generator.integers(0, 2, (1, height, width)), generator.random((1, height, width)) < 0.7
    return np.where(hidden, HIDDEN, cells), hidden


@pytest.mark.slow
@given(st.integers(0, 1000))
@settings(max_examples=6, deadline=None)
def test_waves_fill_as_row_by_row(seed):
    """Tiles that are filled at once get what they would get one after the other."""
    cells, hidden = some_grid(seed)
    together = filling.sample(Chains(4, 6), Puzzles(cells, hidden), 2, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tiling, "waves", staticmethod(lambda rows: ([tile] for row in rows for tile in row)))
        assert (filling.sample(Chains(4, 6), Puzzles(cells, hidden), 2, seed).cells == together.cells).all()
    assert (together.cells == cells[:, None])[~hidden[:, None].repeat(2, 1)].all()
    assert (together.cells >= 0).all()


@pytest.mark.parametrize("at_once", [1, 2, 16])
@pytest.mark.parametrize("height", [3, 4, 21])
def test_by_rows_is_the_sweep_over_the_whole(at_once, height, monkeypatch):
    """Rows in memory do not matter: fills, draws and certainty are those of the whole grid."""
    monkeypatch.setattr(sweeping, "ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(answers, "MARGINALS_AT_ONCE", 2)
    cells, hidden = some_grid(5, height)
    reads = []

    def read_rows(start, stop):
        reads.append((start, stop))
        return cells[0, start:stop]

    predictor = Chains(4, 6)
    by_rows = AnswersByRows(predictor, read_rows, (height, 21), 2, seed=7)
    parts = list(by_rows)
    monkeypatch.setattr(sweeping, "ROWS_AT_ONCE", 1000)
    monkeypatch.setattr(answers, "MARGINALS_AT_ONCE", 1000)
    (whole,) = AnswersByRows(predictor, lambda start, stop: cells[0, start:stop], (height, 21), 2, seed=7)
    assert max(stop - start for start, stop in reads[1:]) <= min(height, 4 * (at_once + answers.MARGINALS_AT_ONCE + 2))
    for name in ("hidden", "fill", "probability", "entropy"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    assert np.array_equal(np.concatenate([part.samples for part in parts], axis=1), whole.samples)
    laws = predictor.marginals(cells, hidden)[0]
    assert whole.probability == pytest.approx(np.take_along_axis(laws, whole.fill[..., None], -1)[..., 0])
    assert (whole.probability[~hidden[0]] == 1).all()
    assert (whole.entropy[~hidden[0]] == 0).all()


def test_the_work_grows_with_the_number_of_cells():
    """Four times as many cells ask for no more than about four times as many windows."""
    asked = []
    for side in (24, 48, 96):
        predictor = Chains(8, 8)
        cells = np.full((1, side, side), HIDDEN)
        filling.sample(predictor, Puzzles(cells), 1, 0, Decoder("spread", side_per_symbol=1))
        asked.append(predictor.asked)
    assert asked[2] / asked[1] < 4.6
    assert asked[1] / asked[0] < 5.5


def test_smaller_grids_are_answered_as_part_of_a_window():
    """A grid smaller than a window gets the law of a window of which nothing else is known."""
    cells = np.array([[[HIDDEN, 1, HIDDEN]]])
    found = Chains(2, 6).marginals(cells, cells == HIDDEN)
    assert found[0, 0] == pytest.approx(chain_marginals(cells[0, 0]))


def chain_under(evidence):
    """The exact joint law of a chain given evidence (cell, symbol), and its marginals."""
    every = np.array(list(product((0, 1), repeat=len(evidence))))
    weights = np.array([chain_probability(row) for row in every])
    weights = weights * np.take_along_axis(evidence[None], every[..., None], -1)[..., 0].prod(axis=1)
    return every, weights / weights.sum()


def test_a_sweep_under_evidence_draws_from_the_exact_law_where_windows_show_what_matters():
    """A row of six cells through windows of five: draws follow Bayes; those without evidence are rejected.

    The window of the first core ends one cell before the row does, and that cell has no evidence.
    """
    seen = np.array([[0.3, 1], [1, 0.1], [0.5, 1], [1, 0.4], [0.2, 1], [1, 1]])
    every, law = chain_under(seen)
    puzzles = Puzzles(np.full((1, 1, 6), HIDDEN), evidence=seen[None, None])
    drawn = filling.sample(Chains(1, 5), puzzles, 1500, 0, ONE_AT_A_TIME).cells[0, :, 0]
    plain = filling.sample(Chains(1, 5), Puzzles(puzzles.cells), 1500, 0, ONE_AT_A_TIME).cells[0, :, 0]
    common = law * len(drawn) > 5

    def p_value(cells):
        counts = np.bincount(cells @ (1 << np.arange(6)), minlength=64)[every @ (1 << np.arange(6))]
        expected = np.append(law[common], law[~common].sum()) * len(cells)
        return chisquare(np.append(counts[common], counts[~common].sum()), expected).pvalue

    assert p_value(drawn) > 1e-3
    assert p_value(plain) < 1e-6


@pytest.mark.slow
def test_by_rows_evidence_gives_what_it_gives_the_whole_grid(monkeypatch):
    """Fill, samples and probabilities under evidence are to the bit those of `answers.fill`, by one row of windows."""
    monkeypatch.setattr(sweeping, "ROWS_AT_ONCE", 1)
    cells, hidden = some_grid(5)
    seen = np.random.default_rng(1).uniform(0.2, 1, (13, 21, 2))
    seen[2:4, 5:9, 1] = seen[9, :, 0] = 0  # a single symbol is left
    seen /= seen.max(axis=-1, keepdims=True)
    puzzles, predictor = Puzzles(cells, hidden, seen[None]), Chains(4, 6)
    for kind in ("likely", "typical"):
        whole = answers.fill(predictor, puzzles, 2, 7, None, kind)
        by_rows = AnswersByRows(
            predictor, lambda start, stop: cells[0, start:stop], (13, 21), 2, 7, None, kind, lambda window: seen[window]
        )
        parts = list(by_rows)
        fills, probability = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("fill", "probability")
        )
        samples = np.concatenate([part.samples for part in parts], axis=1)
        assert np.array_equal(fills, whole.fill[0])
        assert np.array_equal(samples, whole.samples[0])
        assert by_rows.log_prob_bits == pytest.approx(whole.log_prob_bits[0])
        assert by_rows.warnings == whole.warnings[0]
        assert probability == pytest.approx(np.take_along_axis(whole.marginals[0], fills[..., None], -1)[..., 0])
        left = hidden[0] & (seen == 0).any(-1)
        assert (np.take_along_axis(seen, samples[0][..., None], -1)[..., 0][left] > 0).all()


def test_by_rows_without_a_fill(monkeypatch):
    """Samples and entropies are those that come with a fill; the probability is that of the most probable symbol."""
    cells, _ = some_grid(5)
    asked = Chains(4, 6), lambda start, stop: cells[0, start:stop], (13, 21), 2, 7, None
    [alone], [filled] = (list(AnswersByRows(*asked, kind)) for kind in ("none", "likely"))
    assert alone.fill is None
    assert np.array_equal(alone.samples, filled.samples)
    assert np.array_equal(alone.entropy, filled.entropy)
    assert (alone.probability >= filled.probability).all()
