"""Decoders, held against exact laws."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from gridcloze import decoding, filling, scoring
from gridcloze.decoding import ONE_AT_A_TIME, ORDERS, Decoder
from gridcloze.lookup import Lookup
from gridcloze.predictor import entropy_bits
from gridcloze.priors.finite import Enumeration, FinitePrior, squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.puzzles import Puzzles
from gridcloze.words import InputError
from test_priors import surprise

PRIOR = squares(5, 5, 2, 4)
EXACT = posterior(PRIOR)
DECODERS = [
    ONE_AT_A_TIME,
    *(Decoder(order, 0.001) for order in ORDERS),
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


def exact_law(cells, hidden, evidence=None):
    """The exact joint law of a puzzle, as {grid: probability}."""
    members = PRIOR.members.astype(np.int64)
    agree = ((members == cells[0]) | hidden[0]).all(axis=(1, 2))
    weights = agree.astype(float)
    if evidence is not None:
        chosen = np.take_along_axis(np.broadcast_to(evidence, (len(members), 5, 5, 2)), members[..., None], -1)[..., 0]
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


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=8, max_size=8).filter(any))
def test_the_most_likely_fill_is_the_mode(weights):
    """With draws enough the most likely fill is the mode, never less likely than the greedy one, and knows its bits."""
    exact = three_cells(weights)
    cells, hidden = np.zeros((1, 1, 3), dtype=np.int64), np.ones((1, 1, 3), dtype=bool)
    puzzle, decoder = Puzzles(cells, hidden), Decoder("random", 0.0)
    many, nothing = (filling.sample(exact, puzzle, n, 0, decoder) for n in (100, 0))
    best = filling.most_likely(exact, puzzle, decoder=decoder, samples=many)
    assert best.log_prob_bits[0, 0] == pytest.approx(np.log2(max(weights) / sum(weights)), abs=1e-9)
    greedy = filling.most_likely(exact, puzzle, decoder=decoder, samples=nothing)
    assert best.log_prob_bits[0, 0] >= greedy.log_prob_bits[0, 0] - 1e-9


def test_greedy_alone_can_miss_the_mode():
    """Where the most certain cells lead astray, greedy fills alone end below the mode: draws are needed."""
    exact = three_cells([0, 10, 10, 10, 15, 0, 0, 0])  # 100 is the mode; the first cell alone is most likely 0
    cells, hidden = np.zeros((1, 1, 3), dtype=np.int64), np.ones((1, 1, 3), dtype=bool)
    puzzle, decoder = Puzzles(cells, hidden), Decoder("certain")
    samples = (filling.sample(exact, puzzle, n, 0, decoder) for n in (0, 30))
    greedy, best = (filling.most_likely(exact, puzzle, decoder=decoder, samples=some) for some in samples)
    assert greedy.cells.ravel().tolist() != [1, 0, 0]
    assert best.cells.ravel().tolist() == [1, 0, 0]


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
        assert decoding._first_within(entropy, entropy, np.array([bits])).tolist() == [chosen]


def test_the_spread_order_is_that_of_the_halton_sequence():
    """Each cell has the number of the first point of SciPy's Halton sequence that falls into it."""
    for height, width in ((16, 16), (64, 64), (37, 53), (1, 7)):
        points = qmc.Halton(2, scramble=False).random(16 * height * width) * (height, width)
        row, column = points.astype(int).T
        found, first = np.unique(row * width + column, return_index=True)
        assert decoding._halton_places(height, width)[found].tolist() == first.tolist()
        assert len(set(decoding._halton_places(height, width))) == height * width


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


def test_draws_under_evidence_follow_the_exact_law(monkeypatch):
    """Weighted particles on plain conditionals give the law that Bayes gives; a single particle does not."""
    cells, hidden, evidence = soft_evidence()
    law, decoder = exact_law(cells, hidden, evidence), Decoder("uncertain", 0.001)
    assert abs(surprise(EXACT.sample(cells, hidden, 1000, np.random.default_rng(0), evidence)[0], law)) < 4
    drawn = filling.sample(EXACT, Puzzles(cells, hidden, evidence), 300, 3, decoder)
    assert surprise(drawn.cells[0], law) < 5
    monkeypatch.setattr(decoding, "PARTICLES", 1)
    assert surprise(filling.sample(EXACT, Puzzles(cells, hidden, evidence), 300, 3, decoder).cells[0], law) > 10


def test_marginals_under_evidence_are_near_the_exact_ones():
    """Marginals under evidence agree with Bayes within the noise of the particles; those without evidence do not."""
    cells, hidden, evidence = soft_evidence()
    truth = EXACT.marginals(cells, hidden, evidence)
    said = filling.marginals(EXACT, Puzzles(cells, hidden, evidence), seed=1)
    assert np.abs(said - truth).max() < 0.06
    assert np.abs(EXACT.marginals(cells, hidden) - truth).max() > 0.2
    assert said.sum(-1) == pytest.approx(np.ones((1, 5, 5)))
    assert np.array_equal(filling.marginals(EXACT, Puzzles(cells, hidden)), EXACT.marginals(cells, hidden))


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "sideways"}, "no order 'sideways'"),
        ({"budget_bits": -1.0}, "0 or more"),
        ({"budget_bits": float("nan")}, "0 or more and finite"),
        ({"budget_bits": float("inf")}, "0 or more and finite"),
        ({"side_per_symbol": -1}, "0 or more"),
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
