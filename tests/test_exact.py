"""The exact posteriors against Bayes' rule in plain Python, for every way to hide cells of a small grid."""

from functools import cache
from itertools import product
from math import exp, inf, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcloze.files.palettes import Palette
from gridcloze.priors import finite, ising
from gridcloze.priors.examples import Examples
from gridcloze.priors.finite import Enumeration, FinitePrior, mismatches, rectangles, squares, stripes
from gridcloze.priors.ising import Ising, TransferMatrix
from gridcloze.priors.known import posterior
from gridcloze.priors.mirror import Mirror
from gridcloze.priors.posterior import ContradictionError, ExactPosterior
from gridcloze.study import windows
from gridcloze.study.windows import WindowLimited
from gridcloze.words import InputError
from test_priors import surprise

HIDDEN = -1
few_examples = settings(max_examples=8, deadline=None, derandomize=True)


def scaled(weights):
    total = sum(weights.values())
    return {grid: weight / total for grid, weight in weights.items()}


def bayes(distribution, n_symbols=2):
    """P(visible cells) for every partial grid (a tuple with -1 where hidden), of a distribution {tuple: probability}.

    The probability of a partial grid is the sum over the symbols of its first hidden cell: nothing else is used.
    """

    @cache
    def probability(partial):
        if HIDDEN not in partial:
            return distribution.get(partial, 0.0)
        first = partial.index(HIDDEN)
        return sum(probability((*partial[:first], symbol, *partial[first + 1 :])) for symbol in range(n_symbols))

    return probability


def bayes_marginals(probability, partial, n_symbols=2):
    rows = []
    for place, cell in enumerate(partial):
        answers = [(*partial[:place], symbol, *partial[place + 1 :]) for symbol in range(n_symbols)]
        weights = [probability(answer) if cell in (HIDDEN, answer[place]) else 0.0 for answer in answers]
        rows.append([weight / probability(partial) for weight in weights])
    return rows


def partial_grids(probability, n_cells, n_symbols=2):
    """Every partial grid that is possible: all ways to hide cells, with all that can be seen in the others."""
    return [partial for partial in product(range(-1, n_symbols), repeat=n_cells) if probability(partial) > 0]


def check_against_bayes(prior, distribution):
    """Marginals and log-probabilities of the posterior, on every possible partial grid."""
    probability, shape = bayes(distribution, prior.n_symbols), (-1, prior.height, prior.width)
    partials = partial_grids(probability, prior.height * prior.width, prior.n_symbols)
    cells = np.array(partials).reshape(shape)
    expected = np.array([bayes_marginals(probability, partial, prior.n_symbols) for partial in partials])
    found = posterior(prior).marginals(cells, cells == HIDDEN).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    certain = (expected == 0) | (expected == 1)
    assert (found[certain] == expected[certain]).all()

    answers = np.resize(np.array(list(distribution)), (len(partials), prior.height * prior.width)).reshape(shape)
    fills = np.where(cells == HIDDEN, answers, cells)
    whole = [probability(tuple(fill)) for fill in fills.reshape(len(fills), -1).tolist()]
    bits = [log2(p) - log2(probability(partial)) if p else -inf for p, partial in zip(whole, partials, strict=True)]
    np.testing.assert_allclose(posterior(prior).log_prob_bits(fills, cells == HIDDEN), bits, atol=1e-9)


@st.composite
def finite_distributions(draw, n_cells, n_symbols):
    """Up to six grids with unequal probabilities."""
    grid = st.tuples(*[st.integers(0, n_symbols - 1)] * n_cells)
    weights = draw(st.dictionaries(grid, st.integers(1, 9), min_size=1, max_size=6))
    return scaled(weights)


def prior_of(distribution, height, width, n_symbols=2):
    members = np.array(list(distribution), dtype=np.uint8).reshape(-1, height, width)
    return FinitePrior(members, np.array(list(distribution.values())), n_symbols)


def uniform_distribution(prior):
    return {tuple(member.ravel().tolist()): 1 / len(prior.members) for member in prior.members}


def mirror_distribution(height, width):
    symmetric = [grid for grid in product((0, 1), repeat=height * width) if grid == grid[::-1]]
    return dict.fromkeys(symmetric, 1 / len(symmetric))


def ising_distribution(height, width, coupling, field):
    bonds = [(y * width + x, y * width + x + 1) for y, x in product(range(height), range(width - 1))]
    bonds += [(y * width + x, (y + 1) * width + x) for y, x in product(range(height - 1), range(width))]

    def weight(grid):
        agreement = sum(1 if grid[one] == grid[other] else -1 for one, other in bonds)
        return exp(coupling * agreement + field * sum(2 * cell - 1 for cell in grid))

    return scaled({grid: weight(grid) for grid in product((0, 1), repeat=height * width)})


@given(distribution=finite_distributions(n_cells=9, n_symbols=2))
@few_examples
def test_enumeration_is_bayes_for_any_binary_prior(distribution):
    """For any prior on 3 by 3 cells, every hidden set and all that can be seen, enumeration is Bayes."""
    check_against_bayes(prior_of(distribution, 3, 3), distribution)


@given(distribution=finite_distributions(n_cells=6, n_symbols=3))
@few_examples
def test_enumeration_is_bayes_for_three_symbols(distribution):
    """Enumeration is Bayes for more than two symbols too."""
    check_against_bayes(prior_of(distribution, 2, 3, n_symbols=3), distribution)


@pytest.mark.slow
@pytest.mark.parametrize(
    "prior",
    [squares(3, 3, 1, 3), squares(3, 3, 2, 3, True, True), rectangles(3, 3), stripes(3, 3, 3), squares(2, 4, 1, 2)],
)
def test_enumeration_of_toys_is_bayes(prior):
    """For the finite toys on small grids enumeration is Bayes, for every hidden set and all that can be seen."""
    check_against_bayes(prior, uniform_distribution(prior))


@pytest.mark.parametrize(("height", "width"), [(3, 3), (2, 4), (4, 2), (1, 5)])
def test_mirror_posterior_is_bayes(height, width):
    """The posterior of the mirror is Bayes, for every hidden set and all that can be seen."""
    check_against_bayes(Mirror(height, width), mirror_distribution(height, width))


@pytest.mark.parametrize(
    ("height", "width", "coupling", "field"),
    [(3, 3, 0.35, 0.2), (2, 4, -0.6, 0.3), (4, 2, 0.8, -0.4), (1, 6, 0.5, 0.0), (5, 1, 0.5, 0.1), (1, 1, 0.5, 0.7)],
)
def test_transfer_matrix_is_bayes(height, width, coupling, field):
    """The transfer matrix is Bayes for either way the grid is longer, every hidden set and all that can be seen."""
    check_against_bayes(Ising(height, width, coupling, field), ising_distribution(height, width, coupling, field))


@pytest.mark.parametrize("prior", [Mirror(3, 4), Ising(3, 4, 0.5, 0.1), Ising(4, 3, -0.4, 0.2)])
def test_structured_posteriors_equal_enumeration(prior):
    """On twelve cells the posteriors that use structure equal the enumeration of all grids."""
    grids = np.array(list(product((0, 1), repeat=12))).reshape(-1, prior.height, prior.width)
    bits = prior.log_prob_bits(grids)
    listed = Enumeration(FinitePrior(grids[bits > -inf].astype(np.uint8), np.exp2(bits[bits > -inf])))
    generator = np.random.default_rng(0)
    cells = prior.sample(200, generator)
    hidden = generator.random(cells.shape) < generator.random((200, 1, 1))
    for method in ("marginals", "log_prob_bits"):
        found, expected = (getattr(answer, method)(cells, hidden) for answer in (posterior(prior), listed))
        np.testing.assert_allclose(found, expected, atol=1e-9)


def joint_distribution(distribution, partial):
    """The distribution of whole grids given the visible cells of `partial`, by the definition."""
    agreeing = {g: p for g, p in distribution.items() if all(q in (HIDDEN, c) for c, q in zip(g, partial, strict=True))}
    return scaled(agreeing)


THIRDS = {(0, 0, 1, 1, 0, 1): 0.5, (0, 1, 1, 1, 0, 1): 0.2, (0, 1, 0, 0, 0, 1): 0.2, (1, 1, 1, 1, 1, 1): 0.1}


@pytest.mark.parametrize(
    ("prior", "wrong", "distribution", "partial"),
    [
        (prior_of(THIRDS, 2, 3), FinitePrior(prior_of(THIRDS, 2, 3).members), THIRDS, (0, -1, -1, -1, -1, 1)),
        (
            rectangles(3, 3),
            rectangles(3, 3, largest=2),
            uniform_distribution(rectangles(3, 3)),
            (-1,) * 4 + (1,) + (-1,) * 4,
        ),
        (Mirror(3, 3), Ising(3, 3, 0.0), mirror_distribution(3, 3), (1, -1, 0, -1, -1, -1, -1, -1, -1)),
        (
            Ising(3, 3, 0.3, 0.1),
            Ising(3, 3, 0.4, 0.1),
            ising_distribution(3, 3, 0.3, 0.1),
            (1, -1, -1, -1, 0, -1, -1, -1, -1),
        ),
        (
            Ising(2, 4, 0.3, 0.1),
            Ising(2, 4, 0.3, 0.2),
            ising_distribution(2, 4, 0.3, 0.1),
            (1, -1, -1, -1, 0, -1, -1, -1),
        ),
    ],
)
def test_joint_samples_follow_the_joint_distribution(prior, wrong, distribution, partial):
    """Samples of the posterior have the frequencies that Bayes' rule gives; those of a wrong prior do not."""
    cells = np.array([partial, partial]).reshape(2, prior.height, prior.width)
    truth = joint_distribution(distribution, partial)
    right_draws, wrong_draws = (
        posterior(p).sample(cells, cells == HIDDEN, 8000, np.random.default_rng(1)) for p in (prior, wrong)
    )
    assert right_draws.shape == (2, 8000, prior.height, prior.width)
    assert all(abs(surprise(draws, truth)) < 4 for draws in right_draws)
    assert all(surprise(draws, truth) > 10 for draws in wrong_draws)
    assert (right_draws[0] != right_draws[1]).any()


PRIORS = [squares(4, 5, 1, 3), stripes(4, 4, 4), Mirror(3, 4), Ising(3, 4, 0.4, 0.2), Ising(4, 3, -0.4, 0.2)]


def puzzles(prior, n, seed):
    generator = np.random.default_rng(seed)
    cells = prior.sample(n, generator)
    return cells, generator.random(cells.shape) < generator.random((n, 1, 1))


@pytest.mark.parametrize("prior", PRIORS)
def test_fillings_sum_to_one(prior):
    """The probabilities of all ways to fill the hidden cells sum to one."""
    cells = prior.sample(1, np.random.default_rng(0))
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[0, :2] = True
    fillings = np.array(list(product((0, 1), repeat=hidden.sum())))
    filled = np.repeat(cells, len(fillings), axis=0)
    filled[:, hidden[0]] = fillings
    bits = posterior(prior).log_prob_bits(filled, np.repeat(hidden, len(filled), axis=0))
    assert np.exp2(bits).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("garbage", [-1, 0, 1, 99])
def test_what_lies_under_hidden_cells_does_not_matter(prior, garbage):
    """Marginals and samples are the same whatever the hidden cells hold."""
    cells, hidden = puzzles(prior, 20, seed=1)
    other = np.where(hidden, garbage, cells)
    for answer in (posterior(prior), WindowLimited(posterior(prior), 1)):
        assert (answer.marginals(cells, hidden) == answer.marginals(other, hidden)).all()
    draws = [posterior(prior).sample(c, hidden, 3, np.random.default_rng(0)) for c in (cells, other)]
    assert (draws[0] == draws[1]).all()


@pytest.mark.parametrize("prior", PRIORS)
def test_chunks_do_not_matter(prior, monkeypatch):
    """Answers do not depend on how many numbers are held at once."""
    cells, hidden = puzzles(prior, 20, seed=2)

    def answers():
        answer = posterior(prior)
        window = WindowLimited(answer, 1).marginals(cells, hidden)
        return window, answer.marginals(cells, hidden), answer.log_prob_bits(cells, hidden)

    at_once = answers()
    for module in (finite, ising, windows):
        monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 150)
    monkeypatch.setattr(finite, "MEMBERS_AT_ONCE", 3)
    for whole, chunked in zip(at_once, answers(), strict=True):
        np.testing.assert_allclose(chunked, whole, atol=1e-12)


@pytest.mark.parametrize("prior", PRIORS)
def test_the_protocol(prior):
    """What `posterior` gives has all that an exact posterior needs, and a window has marginals only."""
    assert isinstance(posterior(prior), ExactPosterior)
    assert posterior(prior).window is WindowLimited(posterior(prior), 2).window is None
    assert not isinstance(WindowLimited(posterior(prior), 2), ExactPosterior)


def test_mismatches_are_counted():
    """Mismatches are the visible cells that differ, counted one by one, for several symbols and for one."""
    generator = np.random.default_rng(0)
    for n_symbols in (1, 2, 5):
        members = generator.integers(0, n_symbols, (7, 3, 4)).astype(np.uint8)
        cells, hidden = generator.integers(0, n_symbols, (6, 3, 4)), generator.random((6, 3, 4)) < 0.4
        expected = [[((c != member) & ~h).sum() for member in members] for c, h in zip(cells, hidden, strict=True)]
        assert mismatches(cells, hidden, members, n_symbols).tolist() == np.array(expected).tolist()


def test_contradictions_are_named():
    """A grid that agrees with no member is named with its place in the batch and its distance from the nearest one."""
    prior = squares(6, 6, 2, 3)
    cells = prior.sample(3, np.random.default_rng(0))
    cells[1] = 0
    cells[1, 1, 1], cells[1, 4, 4] = 1, 1
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[1, 0] = True
    with pytest.raises(ContradictionError) as refusal:
        posterior(prior).marginals(cells, hidden)
    assert (refusal.value.grid, refusal.value.cells) == (1, 2)
    assert str(refusal.value) == (
        "grid 1: no grid of the prior agrees with the visible cells; the nearest differs in 2 of them"
    )
    assert isinstance(refusal.value, InputError)


@pytest.mark.parametrize("method", ["marginals", "sample", "log_prob_bits"])
def test_contradictions_to_the_mirror(method):
    """Partners that differ contradict the mirror, and one change for each such pair is enough."""
    cells, hidden = np.zeros((3, 2, 4), dtype=int), np.zeros((3, 2, 4), dtype=bool)
    cells[1:, 0, :2] = 1
    hidden[1, 1, 2:] = True
    arguments = (2, np.random.default_rng(0)) if method == "sample" else ()
    with pytest.raises(ContradictionError) as refusal:
        getattr(posterior(Mirror(2, 4)), method)(cells, hidden, *arguments)
    assert (refusal.value.grid, refusal.value.cells) == (2, 2)


def test_contradictions_in_a_window():
    """A window that sees a contradiction names the grid, not its own query; one that does not see it has an answer."""
    prior = stripes(6, 6, 3)
    cells = np.repeat(prior.members[:1].astype(int), 3, axis=0)
    cells[2, 0, 0] = 1 - cells[2, 0, 0]
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[:, 5, 4:] = True
    blind = WindowLimited(posterior(prior), 3).marginals(cells, hidden)
    assert (blind[0] == blind[2])[hidden[0]].all()
    with pytest.raises(ContradictionError) as refusal:
        WindowLimited(posterior(prior), 5).marginals(cells, hidden)
    assert refusal.value.grid == 2


@pytest.mark.parametrize("prior", PRIORS)
def test_a_window_over_the_whole_grid_is_the_whole_answer(prior):
    """A window that reaches every cell from every cell gives exactly the whole answer."""
    cells, hidden = puzzles(prior, 30, seed=3)
    whole = posterior(prior)
    radius = max(prior.height, prior.width) - 1
    limited = WindowLimited(whole, radius).marginals(cells, hidden)
    np.testing.assert_allclose(limited, whole.marginals(cells, hidden), atol=1e-12)


class QueryForEachWindow:
    """An exact posterior with nothing but what every Predictor has."""

    window = None

    def __init__(self, prior):
        self.exact, self.n_symbols = posterior(prior), prior.n_symbols

    def marginals(self, cells, hidden):
        return self.exact.marginals(cells, hidden)


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("prior", [squares(7, 6, 2, 5), stripes(5, 6, 4), Mirror(5, 5), Mirror(4, 7)])
def test_windows_all_at_once_are_windows_one_by_one(prior, radius):
    """Sums over windows, and partners that are near, give what a query for every window gives."""
    cells, hidden = puzzles(prior, 12, seed=5)
    fast = WindowLimited(posterior(prior), radius).marginals(cells, hidden)
    slow = WindowLimited(QueryForEachWindow(prior), radius).marginals(cells, hidden)
    np.testing.assert_allclose(fast, slow, atol=1e-12)
    assert np.array_equal(fast == 1, slow == 1)
    wider = WindowLimited(QueryForEachWindow(prior), radius + 2).marginals(cells, hidden)
    assert radius > 2 or not np.allclose(fast, wider)


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_a_window_knows_nothing_from_outside(radius):
    """A cell has the probabilities that the posterior gives it when all cells outside its window are hidden."""
    prior = squares(6, 5, 1, 4)
    cells, hidden = puzzles(prior, 8, seed=4)
    found = WindowLimited(posterior(prior), radius).marginals(cells, hidden)
    for grid, row, column in np.argwhere(hidden):
        unseen = hidden[grid].copy()
        for y, x in product(range(6), range(5)):
            unseen[y, x] |= abs(y - row) > radius or abs(x - column) > radius
        expected = posterior(prior).marginals(cells[[grid]], unseen[None])[0, row, column]
        np.testing.assert_allclose(found[grid, row, column], expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("prior", [squares(6, 6, 2, 5), stripes(6, 6, 4)])
def test_a_smaller_window_knows_less(prior, seed):
    """The expected log score, summed over all grids of the prior, falls as the window shrinks."""
    cells = prior.members.astype(np.int64)
    hidden = np.repeat(np.random.default_rng(seed).random((1, 6, 6)) < 0.6, len(cells), axis=0)
    scores = []
    for radius in range(6):
        marginals = WindowLimited(posterior(prior), radius).marginals(cells, hidden)
        scores.append(np.log2(np.take_along_axis(marginals, cells[..., None], axis=-1)[..., 0][hidden]).mean())
    assert (np.diff(scores) >= -1e-12).all()
    assert scores[3] > scores[1] + 0.01 > scores[0] + 0.02


@pytest.mark.parametrize("prior", [squares(4, 4, 1, 3), Mirror(4, 4), Ising(4, 4)])
def test_bad_queries_are_refused(prior):
    """Grids of another size, and visible symbols that the prior does not have, are refused in one line."""
    answer = posterior(prior)
    cells, hidden = np.zeros((2, 4, 4), dtype=int), np.ones((2, 4, 4), dtype=bool)
    with pytest.raises(InputError, match=r"must both be \(batch, 4, 4\)"):
        answer.marginals(cells[:, :3], hidden[:, :3])
    cells[1, 2, 3], hidden[1, 2, 3] = 2, False
    with pytest.raises(InputError, match=r"\(row 2, column 3\) of grid 1 is 2: a visible cell is a symbol 0…1"):
        answer.log_prob_bits(cells, hidden)
    with pytest.raises(InputError, match="not -1"):
        WindowLimited(answer, -1)


def test_examples_have_no_exact_answer():
    """A prior whose distribution is unknown has no exact posterior, and the refusal says so."""
    with pytest.raises(InputError, match="known for toy priors only, not for Examples"):
        posterior(Examples(np.zeros((1, 2, 2), dtype=int), Palette.default(2)))


def test_the_strongest_ising_on_a_long_grid():
    """On a long grid with the strongest coupling and field the scaled messages neither overflow nor vanish."""
    prior = Ising(60, 4, coupling=5.0, field=-5.0)
    cells = np.random.default_rng(0).integers(0, 2, (2, 60, 4))
    hidden = np.random.default_rng(1).random(cells.shape) < 0.5
    marginals = TransferMatrix(prior).marginals(cells, hidden)
    assert np.isfinite(marginals).all()
    assert marginals.sum(axis=-1) == pytest.approx(1)
    assert np.isfinite(TransferMatrix(prior).log_prob_bits(cells, hidden)).all()


def some_evidence(n, height, width, seed=0):
    """Random evidence, with forbidden symbols among it."""
    generator = np.random.default_rng(seed)
    evidence = generator.random((n, height, width, 2))
    evidence[generator.random((n, height, width)) < 0.1, generator.integers(0, 2)] = 0.0
    return evidence


def distribution_given(distribution, partial, evidence):
    """The distribution of whole grids given visible cells and evidence, by the definition; empty if there is none."""
    weights = {}
    for grid, probability in distribution.items():
        if all(q in (HIDDEN, c) for c, q in zip(grid, partial, strict=True)):
            seen = [evidence[place][cell] for place, cell in enumerate(grid) if partial[place] == HIDDEN]
            weights[grid] = probability * np.prod(seen)
    return scaled({grid: weight for grid, weight in weights.items() if weight > 0}) if any(weights.values()) else {}


EVIDENT = [
    (squares(3, 3, 1, 2), uniform_distribution(squares(3, 3, 1, 2))),
    (Mirror(3, 3), mirror_distribution(3, 3)),
    (Mirror(2, 3), mirror_distribution(2, 3)),
    (Ising(3, 2, 0.4, 0.2), ising_distribution(3, 2, 0.4, 0.2)),
    (Ising(2, 3, -0.4, 0.2), ising_distribution(2, 3, -0.4, 0.2)),
]


@pytest.mark.parametrize(("prior", "distribution"), EVIDENT)
def test_answers_given_evidence_are_bayes(prior, distribution):
    """Marginals and log-probabilities given evidence are those of Bayes' rule, or a refusal where nothing is left."""
    generator, answer = np.random.default_rng(1), posterior(prior)
    evidence = some_evidence(40, prior.height, prior.width)
    refused = 0
    for number in range(40):
        cells = prior.sample(1, generator)
        hidden = generator.random(cells.shape) < 0.7
        one = evidence[[number]]
        partial = tuple(np.where(hidden, HIDDEN, cells).ravel().tolist())
        truth = distribution_given(distribution, partial, one.reshape(-1, 2))
        if not truth:
            with pytest.raises(ContradictionError, match="what the evidence allows"):
                answer.marginals(cells, hidden, one)
            refused += 1
            continue
        white = sum(np.array(grid) * probability for grid, probability in truth.items()).reshape(cells.shape)
        np.testing.assert_allclose(answer.marginals(cells, hidden, one)[..., 1], white, atol=1e-9)
        for grid in list(distribution)[:: max(1, len(distribution) // 20)]:
            fill = np.where(hidden, np.array(grid).reshape(cells.shape), cells)
            expected = truth.get(tuple(fill.ravel().tolist()), 0.0)
            assert 2.0 ** answer.log_prob_bits(fill, hidden, one)[0] == pytest.approx(expected, abs=1e-9)
    assert refused < 40


@pytest.mark.parametrize(("prior", "distribution"), EVIDENT)
def test_samples_given_evidence_follow_the_joint_distribution(prior, distribution):
    """Samples given evidence have the frequencies that Bayes' rule gives; those that ignore it do not."""
    cells, hidden = np.zeros((1, prior.height, prior.width), dtype=int), np.ones((1, prior.height, prior.width), bool)
    evidence = np.clip(some_evidence(1, prior.height, prior.width, seed=3), 0.1, 0.9)
    truth = distribution_given(distribution, (HIDDEN,) * cells.size, evidence.reshape(-1, 2))
    informed, uninformed = (
        posterior(prior).sample(cells, hidden, 6000, np.random.default_rng(2), some)[0] for some in (evidence, None)
    )
    assert abs(surprise(informed, truth)) < 4
    assert surprise(uninformed, truth) > 10


def test_evidence_that_says_nothing_changes_nothing():
    """Evidence that is the same for every symbol leaves the answer as it was."""
    for prior, _ in EVIDENT:
        cells, hidden = puzzles(prior, 10, seed=5)
        evidence = np.full((*cells.shape, 2), 0.3)
        informed, uninformed = (posterior(prior).marginals(cells, hidden, some) for some in (evidence, None))
        np.testing.assert_allclose(informed, uninformed, atol=1e-12)
