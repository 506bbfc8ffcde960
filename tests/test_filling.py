"""Decoders, held against exact laws."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from gridcloze import decoding, evidence, filling, scoring
from gridcloze.decoding import ONE_AT_A_TIME, ORDERS, Decoder
from gridcloze.lookup import Lookup
from gridcloze.predictor import entropy_bits
from gridcloze.priors.finite import Enumeration, FinitePrior, squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.ising import Ising
from gridcloze.priors.known import posterior
from gridcloze.puzzles import Puzzles
from gridcloze.words import HIDDEN, InputError
from test_priors import distribution_of, surprise

PRIOR = squares(5, 5, 2, 4)
EXACT = posterior(PRIOR)
DECODERS = [
    ONE_AT_A_TIME,
    *(Decoder(order, 0.001) for order in ORDERS),
    Decoder("weighted", 0.001, refine=2),
]


def puzzles(n, seed):
    generator = np.random.default_rng(seed)
    cells = PRIOR.sample(n, generator)
    return cells, evaluation_hiding(cells.shape, generator)


def one_puzzle():
    """One white cell is visible: many squares are possible."""
    cells = np.ones((1, 5, 5), dtype=np.int64)
    hidden = np.ones_like(cells, dtype=bool)
    hidden[0, 2, 2] = False
    return cells, hidden


def exact_law(cells, hidden, seen=None):
    """The exact joint law of a puzzle, as {grid: probability}."""
    members = PRIOR.members.astype(np.int64)
    agree = ((members == cells[0]) | hidden[0]).all(axis=(1, 2))
    weights = agree.astype(float)
    if seen is not None:
        chosen = np.take_along_axis(np.broadcast_to(seen, (len(members), 5, 5, 2)), members[..., None], -1)[..., 0]
        weights *= np.where(hidden, chosen, 1.0).prod(axis=(1, 2))
    return {
        tuple(member.ravel().tolist()): weight / weights.sum()
        for member, weight in zip(members, weights, strict=True)
        if weight > 0
    }


class Independent:
    """A predictor that knows each cell's law but forgets what the other cells showed: the negative control."""

    n_symbols, window = 2, None

    def __init__(self, cells, hidden):
        self.law = EXACT.marginals(cells, hidden)[0]

    def marginals(self, cells, hidden):
        certain = np.eye(2)[np.where(hidden, 0, cells)]
        return np.where(hidden[..., None], self.law, certain)


class Inconsistent:
    """A predictor whose conditionals are those of no joint law: it trusts a neighbour on the left only."""

    n_symbols, window = 2, None

    def marginals(self, cells, hidden):
        law = np.full((*cells.shape, 2), 0.5)
        known = ~hidden[..., :-1]
        white = np.where(known, np.where(cells[..., :-1] == 1, 0.9, 0.1), 0.5)
        law[..., 1:, 1], law[..., 1:, 0] = white, 1 - white
        return np.where(hidden[..., None], law, np.eye(2)[np.where(hidden, 0, cells)])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000), st.sampled_from(DECODERS))
def test_known_cells_come_back_untouched(n, seed, decoder):
    """Known cells come back untouched from every decoder, and hidden ones hold a symbol."""
    cells, hidden = puzzles(n, seed)
    given_cells = np.where(hidden, -1, cells)
    drawn = filling.sample(EXACT, Puzzles(given_cells, hidden), 2, seed, decoder)
    for fills in (drawn, filling.most_likely(EXACT, Puzzles(given_cells, hidden), seed, decoder)):
        assert np.array_equal(
            np.where(hidden[:, None], -1, fills.cells), np.broadcast_to(given_cells[:, None], fills.cells.shape)
        )
        assert ((fills.cells >= 0) & (fills.cells < 2)).all()


@pytest.mark.parametrize("decoder", DECODERS, ids=str)
def test_every_decoder_gives_the_exact_law_of_exact_conditionals(decoder):
    """Drawn from exact conditionals, whole grids have the frequencies of the exact joint law, whatever the decoder."""
    cells, hidden = one_puzzle()
    drawn = filling.sample(EXACT, Puzzles(cells, hidden), 1000, seed=1, decoder=decoder).cells[0]
    assert abs(surprise(drawn, exact_law(cells, hidden))) < 4


def test_cells_drawn_on_their_own_do_not_give_the_exact_law():
    """The test above rejects a predictor that ignores what is revealed, and a budget that reveals too much at once."""
    cells, hidden = one_puzzle()
    law = exact_law(cells, hidden)
    assert surprise(filling.sample(Independent(cells, hidden), Puzzles(cells, hidden), 2000, seed=1).cells[0], law) > 10
    forgiving = Lookup(PRIOR.members.astype(np.int64), 2)
    forgiving.counts *= 10_000
    together = filling.sample(forgiving, Puzzles(cells, hidden), 2000, 1, Decoder("certain", 6.0)).cells[0]
    assert surprise(together, law) > 10


def test_the_log_probability_of_a_fill_is_that_of_the_exact_joint_law():
    """The conditionals met on the way multiply to the exact joint probability, whatever the order."""
    cells, hidden = puzzles(20, 5)
    for decoder in (ONE_AT_A_TIME, Decoder("uncertain", 0.0)):
        drawn = filling.sample(EXACT, Puzzles(cells, hidden), 3, 0, decoder)
        for fills in (drawn, filling.most_likely(EXACT, Puzzles(cells, hidden), 0, decoder)):
            for number in range(fills.cells.shape[1]):
                exact = EXACT.log_prob_bits(fills.cells[:, number], hidden)
                assert fills.log_prob_bits[:, number] == pytest.approx(exact, abs=1e-9)


def three_cells(weights):
    """A law on grids of three cells in a row."""
    members = np.array(list(product((0, 1), repeat=3)), dtype=np.uint8)[:, None, :]
    chosen = np.array(weights) > 0
    return Enumeration(FinitePrior(members[chosen], np.array(weights)[chosen] / np.sum(weights)))


def test_the_most_likely_fill_is_the_mode_of_squares():
    """Whatever is hidden of a square, no grid that agrees is more probable than the fill; a sample often is less."""
    cells, hidden = puzzles(30, 14)
    best = filling.most_likely(EXACT, Puzzles(cells, hidden))
    fits = ((PRIOR.members[None] == cells[:, None]) | hidden[:, None]).all(axis=(2, 3))
    assert best.log_prob_bits[:, 0] == pytest.approx(-np.log2(fits.sum(axis=1)))
    three = three_cells([0, 9, 1, 1, 1, 1, 1, 1])
    puzzle = Puzzles(np.full((1, 1, 3), HIDDEN))
    likely, drawn = filling.most_likely(three, puzzle), filling.sample(three, puzzle, 20)
    assert likely.cells.ravel().tolist() == [0, 0, 1]
    assert drawn.log_prob_bits.min() < likely.log_prob_bits[0, 0]


def test_the_most_likely_fill_can_miss_the_mode():
    """Where the cells of the largest lead lead astray, the fill ends below the mode: it is found greedily."""
    exact = three_cells([0, 10, 10, 10, 15, 0, 0, 0])  # 100 is the mode; the first cell alone is most likely 0
    best = filling.most_likely(exact, Puzzles(np.full((1, 1, 3), HIDDEN)))
    assert best.cells.ravel().tolist() != [1, 0, 0]
    assert best.log_prob_bits[0, 0] == pytest.approx(np.log2(10 / 45))


def test_the_most_likely_fill_costs_the_passes_of_one_fill():
    """It takes as many forward passes as one greedy fill in the order of margins, and draws no sample."""
    cells, hidden = puzzles(10, 15)
    best = filling.most_likely(EXACT, Puzzles(cells, hidden))
    assert np.array_equal(best.passes, filling.greedy(EXACT, Puzzles(cells, hidden), 0, Decoder("margin")).passes)


class Coins:
    """Independent cells that are white with one probability."""

    n_symbols, window = 2, None

    def __init__(self, white):
        self.law = np.array([1 - white, white])

    def marginals(self, cells, hidden):
        return np.where(hidden[..., None], self.law, np.eye(2)[np.where(hidden, 0, cells)])


def test_fills_are_typical_as_samples_are_and_a_mode_of_many_cells_is_not():
    """Samples are within three standard deviations; the mode of 225 biased coins is not, of 9 or of fair ones it is."""
    many = Puzzles(np.full((1, 15, 15), HIDDEN))
    drawn = filling.sample(Coins(0.1), many, 100, 0)
    assert drawn.is_typical.mean() > 0.98
    spread = drawn.excess_bits / np.sqrt(drawn.variance)
    assert (abs(spread.mean()) < 0.25, 0.8 < spread.std() < 1.2) == (True, True)
    mode = filling.most_likely(Coins(0.1), many)
    assert mode.excess_bits[0, 0] == pytest.approx(225 * (np.log2(0.9) + entropy_bits(np.array([[0.1, 0.9]]))[0]))
    assert not mode.is_typical.any()
    assert filling.most_likely(Coins(0.5), many).is_typical.all()
    assert filling.most_likely(Coins(0.1), Puzzles(np.full((1, 3, 3), HIDDEN))).is_typical.all()
    cells, hidden = puzzles(20, 16)
    assert filling.most_likely(EXACT, Puzzles(cells, hidden)).is_typical.all()  # all squares are equally likely


def test_passes_of_one_cell_each_are_the_hidden_cells():
    """One cell a pass: a fill takes as many passes as cells are hidden, and none where nothing is."""
    cells, hidden = puzzles(6, 8)
    hidden[2] = False
    fills = filling.sample(EXACT, Puzzles(cells, hidden), 1, 0, ONE_AT_A_TIME)
    assert fills.passes[:, 0].tolist() == hidden.sum(axis=(1, 2)).tolist()
    assert np.array_equal(fills.cells[2, 0], cells[2])


def test_the_most_uncertain_cell_decides_most():
    """Most uncertain first, with what it decides for free, takes fewer passes than any other order."""
    cells, hidden = puzzles(200, 3)
    puzzle = Puzzles(cells, hidden)
    passes = {order: filling.sample(EXACT, puzzle, 4, 0, Decoder(order, 0.001)).passes.mean() for order in ORDERS}
    assert min(passes, key=passes.get) == "uncertain"
    assert passes["uncertain"] < 0.2 * hidden.sum(axis=(1, 2)).mean()


def test_the_budget_bounds_what_a_pass_reveals():
    """The cells that the budget pays for have together at most so much entropy, and no other would fit in."""
    law = np.array([[[0.99, 0.01], [0.5, 0.5], [1.0, 0.0], [0.9, 0.1], [0.8, 0.2]]])
    entropy = np.where([[True, True, True, True, False]], entropy_bits(law), np.inf)
    for bits, chosen in ((0.6, [True, False, True, True, False]), (0.5, [True, False, True, False, False])):
        assert decoding.first_within(entropy, entropy, np.array([bits])).tolist() == [chosen]


def test_the_spread_order_is_that_of_the_halton_sequence():
    """Each cell has the number of the first point of SciPy's Halton sequence that falls into it."""
    for height, width in ((16, 16), (64, 64), (37, 53), (1, 7)):
        points = qmc.Halton(2, scramble=False).random(16 * height * width) * (height, width)
        row, column = points.astype(int).T
        found, first = np.unique(row * width + column, return_index=True)
        assert decoding.halton_places(height, width)[found].tolist() == first.tolist()
        assert len(set(decoding.halton_places(height, width))) == height * width


@pytest.mark.parametrize("at_once", [1, 7])
def test_the_same_seed_gives_the_same_fill_however_many_are_filled_at_once(at_once, small_predictor, monkeypatch):
    """The same seed gives the same fills with 1, 7 and 256 of them in flight, with a neural network too."""
    cells, hidden = puzzles(5, 9)
    for predictor in (EXACT, small_predictor):
        other = filling.sample(predictor, Puzzles(cells, hidden), 3, seed=4)
        with monkeypatch.context() as patched:
            patched.setattr(decoding, "FILLS_AT_ONCE", at_once)
            one = filling.sample(predictor, Puzzles(cells, hidden), 3, seed=4)
        assert np.array_equal(one.cells, other.cells)
        assert np.array_equal(one.log_prob_bits, other.log_prob_bits)
    assert not np.array_equal(other.cells, filling.sample(predictor, Puzzles(cells, hidden), 3, seed=5).cells)


def test_a_draw_depends_neither_on_the_others_nor_on_its_place():
    """A grid's draws are the same alone, among others and at any place; and its double has the same."""
    cells, hidden = puzzles(4, 10)
    hidden[3] = True
    few = filling.sample(EXACT, Puzzles(cells, hidden), 1, 7)
    many = filling.sample(EXACT, Puzzles(cells[::-1], hidden[::-1]), 6, 7)
    alone = filling.sample(EXACT, Puzzles(cells[3:], hidden[3:]), 6, 7)
    assert np.array_equal(few.cells[::-1, 0], many.cells[:, 0])
    assert np.array_equal(alone.cells[0], many.cells[0])
    doubled = filling.sample(EXACT, Puzzles(cells[[3, 3]], hidden[[3, 3]]), 6, 7)
    assert np.array_equal(doubled.cells[0], alone.cells[0])
    assert np.array_equal(doubled.cells[1], alone.cells[0])
    later = filling.sample(EXACT, Puzzles(cells[3:], hidden[3:]), 4, 7, first=2)
    assert np.array_equal(later.cells, alone.cells[:, 2:])


def test_greedy_ends_in_a_member_under_exact_conditionals():
    """Under exact conditionals the greedy fill is always a grid of the prior; under independent ones it is not."""
    cells, hidden = puzzles(40, 11)
    assert scoring.legal_fraction(filling.most_likely(EXACT, Puzzles(cells, hidden)).cells, cells, hidden, PRIOR) == 1
    hidden[:1] = True
    wrong = filling.most_likely(Independent(cells[:1], hidden[:1]), Puzzles(cells[:1], hidden[:1]))
    assert scoring.legal_fraction(wrong.cells, cells[:1], hidden[:1], PRIOR) == 0


def test_log_probabilities_of_exact_conditionals_are_exact_in_every_order():
    """The log-probability of given cells is the exact one, without error or gap between orders."""
    cells, hidden = puzzles(12, 6)
    said = filling.log_prob_bits(EXACT, Puzzles(cells, hidden), orders=3)
    assert said.bits == pytest.approx(EXACT.log_prob_bits(cells, hidden), abs=1e-9)
    assert said.order_gap == pytest.approx(np.zeros(12), abs=1e-9)
    assert said.standard_error == pytest.approx(np.zeros(12), abs=1e-9)


def test_a_mixture_of_orders_has_the_mean_of_their_probabilities():
    """Two cells have two orders; a mixture of many has the mean of the probabilities of both, by brute force."""
    predictor, cells = Inconsistent(), np.array([[[0, 1]], [[1, 0]], [[1, 1]]])
    hidden = np.ones(cells.shape, dtype=bool)

    def likelihood(first):
        shown = hidden & (np.arange(2) != first)
        of_first, of_second = predictor.marginals(cells, hidden), predictor.marginals(cells, shown)
        own = [np.take_along_axis(one, cells[..., None], -1)[:, 0, :, 0] for one in (of_first, of_second)]
        return own[0][:, first] * own[1][:, 1 - first]

    both = np.array([likelihood(0), likelihood(1)])
    said = filling.log_prob_bits(predictor, Puzzles(cells, hidden), orders=400)
    assert np.abs(both[0] - both[1]).max() > 0.02
    assert 2**said.mixture_bits == pytest.approx(both.mean(axis=0), abs=0.1 * np.abs(both[0] - both[1]).max())
    assert (said.mixture_bits > said.bits).all()
    assert filling.log_prob_bits(EXACT, Puzzles(*puzzles(3, 6))).mixture_bits == pytest.approx(
        EXACT.log_prob_bits(*puzzles(3, 6)), abs=1e-9
    )


def test_the_order_gap_shows_conditionals_of_no_joint_law():
    """Orders disagree about conditionals that belong together in no joint law; one order alone cannot tell."""
    cells = np.random.default_rng(0).integers(0, 2, (5, 3, 3))
    hidden = np.ones(cells.shape, dtype=bool)
    assert (filling.log_prob_bits(Inconsistent(), Puzzles(cells, hidden), orders=6).order_gap > 0.05).all()
    assert np.isnan(filling.log_prob_bits(Inconsistent(), Puzzles(cells, hidden), orders=1).order_gap).all()
    with pytest.raises(InputError, match="1 order or more"):
        filling.log_prob_bits(EXACT, Puzzles(cells, hidden), orders=0)


def soft_evidence():
    """A blurred look at a large square, at most of the hidden cells."""
    cells, hidden = one_puzzle()
    seen = np.full((1, 5, 5), 0.5)
    seen[0, 1:, 1:4] = 0.8
    seen[0, 0] = 0.15
    return cells, hidden, np.stack([1 - seen, seen], axis=-1)


def hard_evidence():
    """Symbols that are not allowed, one to a cell: of what remains the first cells say much about the last ones."""
    cells, hidden = one_puzzle()
    allowed = np.ones((1, 5, 5, 2), dtype=bool)
    allowed[0, [0, 1, 3, 0], [2, 1, 3, 4], 1] = False
    return cells, hidden, allowed


def entangled_cells():
    """A joint law of three symbols in three cells: what the second shows decides whether the first is symbol 1."""
    members = np.array(list(product(range(3), repeat=3)), dtype=np.uint8)[:, None, :]
    pairs = np.array([[0.02, 0.4, 0.02], [0.3, 0.02, 0.02], [0.02, 0.02, 0.18]])
    first, second, third = members[:, 0].T
    return members, pairs[first, second] * np.where(second == third, 0.8, 0.1)


NAIVE = {"WAYS": 1, "WAYS_IN_COMMON": 1}  # each conditional renormalised by itself
FEW = {"WAYS": 8, "WAYS_IN_COMMON": 1}  # as where there are too many ways to keep them


@pytest.mark.parametrize(("ways", "is_right"), [({}, True), (FEW, True), (NAIVE, False)])
def test_draws_under_evidence_follow_the_exact_law(ways, is_right, monkeypatch):
    """Weighted ways give the law that Bayes gives, all or few of them; conditionals renormalised one by one do not."""
    for name, count in ways.items():
        monkeypatch.setattr(evidence, name, count)
    cells, hidden, seen = soft_evidence()
    law, decoder = exact_law(cells, hidden, seen), Decoder("uncertain", 0.001)
    drawn = filling.sample(EXACT, Puzzles(cells, hidden, seen), 300, 3, decoder)
    assert (surprise(drawn.cells[0], law) < 7) == is_right
    repeated = (np.repeat(array, 300, axis=0) for array in (hidden, seen))
    exact = EXACT.log_prob_bits(drawn.cells[0], *repeated)
    assert (np.abs(drawn.log_prob_bits[0] - exact).max() < 0.1) == is_right


def test_what_is_ruled_out_of_several_cells_is_not_ruled_out_one_by_one(monkeypatch):
    """Of three symbols one is not allowed in two cells: the law is that of Bayes, and not what the chain rule gives."""
    members, weights = entangled_cells()
    exact, puzzle = Enumeration(FinitePrior(members, weights, 3)), np.full((1, 1, 3), HIDDEN)
    allowed = np.ones((1, 1, 3, 3), dtype=bool)
    allowed[0, 0, :2, 1] = False
    fits = (members[:, 0, :2] != 1).all(axis=1)
    law = {tuple(member.ravel().tolist()): p for member, p in zip(members, fits * weights, strict=True) if p > 0}
    law = {grid: p / sum(law.values()) for grid, p in law.items()}
    drawn = filling.sample(exact, Puzzles(puzzle, evidence=allowed), 1000, 1)
    assert surprise(drawn.cells[0], law) < 4
    assert 2 ** drawn.log_prob_bits[0] == pytest.approx([law[tuple(one.ravel().tolist())] for one in drawn.cells[0]])
    second = sum(p for grid, p in law.items() if grid[1] == 2)
    marginals = filling.marginals(exact, Puzzles(puzzle, evidence=allowed))
    assert marginals[0, 0, 1, 2] == pytest.approx(second, abs=1e-9)
    for name, count in NAIVE.items():
        monkeypatch.setattr(evidence, name, count)
    assert surprise(filling.sample(exact, Puzzles(puzzle, evidence=allowed), 1000, 1).cells[0], law) > 10


def test_a_cell_that_is_left_one_symbol_is_a_visible_cell():
    """Samples, fill and marginals are to the bit those of the puzzle in which the cell shows that symbol."""
    cells, hidden, allowed = hard_evidence()
    shown, rest = np.where(allowed.all(-1), cells, 0), hidden & allowed.all(-1)
    asked, visible = Puzzles(np.where(hidden, HIDDEN, cells), hidden, allowed), Puzzles(shown, rest)
    visible.names = asked.names  # the same random numbers
    for way in (filling.sample, filling.most_likely):
        one, other = way(EXACT, asked), way(EXACT, visible)
        assert all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))
    assert np.array_equal(filling.marginals(EXACT, asked), filling.marginals(EXACT, visible))
    assert filling.marginals(EXACT, asked) == pytest.approx(EXACT.marginals(cells, hidden, allowed))


class Counting:
    """Counts the grids that a predictor is asked for."""

    n_symbols, window = 3, None

    def __init__(self, exact):
        self.exact, self.asked = exact, 0

    def marginals(self, cells, hidden):
        self.asked += len(cells)
        return self.exact.marginals(cells, hidden)


def test_evidence_that_hardly_matters_costs_nothing():
    """A symbol that is all but impossible anyway is ruled out without further forward passes for samples."""
    members = np.array(list(product(range(3), repeat=4)), dtype=np.uint8).reshape(-1, 2, 2)
    weights = np.where(members == 2, 1e-4, 1.0).prod(axis=(1, 2))
    predictor = Counting(Enumeration(FinitePrior(members, weights / weights.sum(), 3)))
    puzzle = np.full((1, 2, 2), HIDDEN)
    drawn = filling.sample(predictor, Puzzles(puzzle, evidence=np.broadcast_to([True, True, False], (1, 2, 2, 3))), 8)
    assert drawn.cells.max() == 1
    with_evidence, predictor.asked = predictor.asked, 0
    filling.sample(predictor, Puzzles(puzzle), 8)
    assert with_evidence <= predictor.asked + 1


def test_marginals_under_evidence_are_near_the_exact_ones():
    """Marginals under evidence agree with Bayes; those without evidence do not."""
    cells, hidden, seen = soft_evidence()
    truth = EXACT.marginals(cells, hidden, seen)
    said = filling.marginals(EXACT, Puzzles(cells, hidden, seen), seed=1)
    assert np.abs(said - truth).max() < 1e-4
    assert np.abs(EXACT.marginals(cells, hidden) - truth).max() > 0.2
    assert said.sum(-1) == pytest.approx(np.ones((1, 5, 5)))
    assert np.array_equal(filling.marginals(EXACT, Puzzles(cells, hidden)), EXACT.marginals(cells, hidden))


def test_of_too_many_ways_the_heavy_ones_stay_and_all_keep_their_weight_on_average():
    """Resampled weights have the mean of the old ones, and no more than so many are left."""
    shares = np.random.default_rng(0).dirichlet(np.full(30, 0.3))
    total = np.zeros(30)
    for seed in range(3000):
        kept, weights = evidence.resampled(shares, 8, np.random.default_rng(seed))
        assert len(kept) == 8
        assert weights.sum() == pytest.approx(1)
        total[kept] += weights / 3000
    assert total == pytest.approx(shares, abs=0.006)
    heavy = shares > 1 / 8
    assert np.array_equal(kept[np.isin(kept, np.flatnonzero(heavy))], np.flatnonzero(heavy))


@pytest.mark.parametrize("decoder", DECODERS, ids=str)
def test_what_is_not_allowed_is_never_filled_in(decoder):
    """Every decoder keeps to the allowed symbols, and under exact conditionals to the prior as well."""
    cells, hidden = one_puzzle()
    allowed = np.ones((1, 5, 5, 2), dtype=bool)
    allowed[0, 0, :, 1] = allowed[0, :, 4, 1] = False  # the square reaches neither the top nor the right
    allowed[0, 3, 3, 0] = False
    drawn = filling.sample(EXACT, Puzzles(cells, hidden, allowed), 20, 0, decoder)
    best = filling.most_likely(EXACT, Puzzles(cells, hidden, allowed), 0, decoder)
    for fills in (drawn, best):
        assert (fills.cells[0, :, 0] == 0).all()
        assert (fills.cells[0, :, :, 4] == 0).all()
        assert (fills.cells[0, :, 3, 3] == 1).all()
    assert scoring.legal_fraction(drawn.cells, cells, hidden, PRIOR) == 1
    exact = EXACT.log_prob_bits(drawn.cells[0], np.repeat(hidden, 20, axis=0), np.repeat(allowed, 20, axis=0))
    assert np.isfinite(exact).all()


@pytest.mark.slow
def test_refined_samples_forget_what_was_drawn_together():
    """All cells of an Ising grid drawn in one pass ignore each other; rounds of redrawing lead to the exact law."""
    prior = Ising(3, 3, coupling=0.4)
    law, nothing = distribution_of(prior), Puzzles(np.full((1, 3, 3), HIDDEN))
    rough, refined = (
        filling.sample(posterior(prior), nothing, 2000, 1, Decoder("random", 9.0, refine=rounds)) for rounds in (0, 8)
    )
    assert surprise(rough.cells[0], law) > 100
    assert abs(surprise(refined.cells[0], law)) < 4
    assert np.isnan(refined.log_prob_bits).all()
    assert np.isfinite(rough.log_prob_bits).all()
    assert "refined" in refined._repr_html_()
    assert "nan" not in refined._repr_html_()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "sideways"}, "no order 'sideways'"),
        ({"budget_bits": -1.0}, "0 or more"),
        ({"budget_bits": float("nan")}, "0 or more and finite"),
        ({"budget_bits": float("inf")}, "0 or more and finite"),
        ({"side_per_symbol": -1}, "0 or more"),
        ({"refine": -1}, "0 to 1000 rounds"),
    ],
)
def test_decoders_that_make_no_sense_are_refused(options, words):
    """An unknown order and numbers out of range are refused in one line."""
    with pytest.raises(InputError, match=words):
        Decoder(**options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda evidence: evidence[..., :1], "does not fit"),
        (lambda evidence: np.full_like(evidence, 1.5), "is no probability"),
        (lambda evidence: np.full_like(evidence, np.nan), "is no probability"),
        (lambda evidence: np.zeros_like(evidence), "allows no symbol"),
    ],
)
def test_evidence_that_is_none_is_refused(change, words):
    """Evidence of another shape, out of 0…1, or that leaves a cell nothing, is refused by all that take it."""
    cells, hidden, evidence = soft_evidence()
    for ask in (
        lambda wrong: filling.sample(EXACT, Puzzles(cells, hidden, wrong)),
        lambda wrong: filling.marginals(EXACT, Puzzles(cells, hidden, wrong)),
        lambda wrong: EXACT.marginals(cells, hidden, wrong),
    ):
        with pytest.raises(InputError, match=words):
            ask(change(evidence))
