"""Influence against Bayes' rule in plain Python, attention against the network, and how far the two agree."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from gridcloze import explaining, filling
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.decoding import ONE_AT_A_TIME
from gridcloze.files.palettes import Palette
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.ising import Ising
from gridcloze.priors.known import posterior
from gridcloze.priors.mirror import Mirror
from gridcloze.priors.posterior import ContradictionError
from gridcloze.puzzles import Puzzles
from gridcloze.words import InputError

PRIOR = squares(4, 4, 2, 3)
SMALL_MIRROR = Mirror(3, 3)
CENTRE = np.array([[2, 2]])
few_examples = settings(max_examples=20, deadline=None, derandomize=True)


def members(prior):
    """Every grid of a prior of equally likely ones, of all grids of that size."""
    size = prior.height * prior.width
    every = (np.arange(2**size)[:, None] >> np.arange(size) & 1).reshape(-1, prior.height, prior.width)
    return every[prior.log_prob_bits(every) > -np.inf]


MEMBERS = {PRIOR: members(PRIOR), SMALL_MIRROR: members(SMALL_MIRROR)}


def probability(grids, cells, hidden, target):
    """The probability of 1 at a cell, given that a grid agrees with the visible ones; None if none does."""
    agree = [grid for grid in grids if (grid == cells)[~hidden].all()]
    return np.mean([grid[target] for grid in agree]) if agree else None


def brute(grids, cells, hidden, target, change):
    """Influence on one target, a changed grid after the other: of two symbols total variation is a difference."""
    result = np.full(cells.shape, np.nan)
    for place in zip(*np.nonzero(~hidden), strict=True):
        after, unseen = cells.copy(), hidden.copy()
        if change == "hide":
            unseen[place] = True
        else:
            after[place] = 1 - after[place]
        after_change = probability(grids, after, unseen, target)
        if after_change is not None:
            result[place] = abs(after_change - probability(grids, cells, hidden, target))
    return result


def puzzle(prior, seed):
    """A grid of the prior with hidden cells, and where these are."""
    generator = np.random.default_rng(seed)
    while True:
        cells, hidden = prior.sample(1, generator)[0], evaluation_hiding((1, prior.height, prior.width), generator)[0]
        if hidden.any() and not hidden.all():
            return cells, hidden, np.argwhere(hidden)


@pytest.fixture(scope="module")
def model(small_predictor):
    return TrainedPredictor(small_predictor, Header(asdict(small_predictor.model.config), Palette.default(2)))


@pytest.mark.parametrize("prior", MEMBERS, ids=["squares", "mirror"])
@pytest.mark.parametrize("change", explaining.CHANGES)
def test_influence_is_the_change_of_the_distribution_by_bayes_rule(prior, change):
    """Of exact posteriors it is what counting the grids that agree gives, NaN where none does and at hidden cells."""
    exact, contradictions = posterior(prior), 0
    for seed in range(12):
        cells, hidden, targets = puzzle(prior, seed)
        found = explaining.influence(exact, cells, hidden, targets, change)
        expected = [brute(MEMBERS[prior], cells, hidden, tuple(target), change) for target in targets]
        assert np.allclose(found, expected, atol=1e-12, equal_nan=True)
        contradictions += np.isnan(found[:, ~hidden]).sum()
    assert (contradictions > 0) == (change == "flip")


def test_the_influence_of_a_wrong_prior_is_another():
    """Where squares may be smaller, what a visible cell says is something else: the test above would fail."""
    wrong, differ = posterior(squares(4, 4, 1, 3)), 0
    for seed in range(12):
        cells, hidden, targets = puzzle(PRIOR, seed)
        found = explaining.influence(wrong, cells, hidden, targets)
        expected = [brute(MEMBERS[PRIOR], cells, hidden, tuple(target), "hide") for target in targets]
        differ += not np.allclose(found, expected, atol=0.01, equal_nan=True)
    assert differ >= 6


def test_in_the_mirror_only_the_partner_has_influence():
    """Without its visible partner a cell is a fair coin, exactly; with a flipped one it is the other symbol."""
    cells = Mirror(5, 6).sample(1, np.random.default_rng(0))[0]
    hidden = np.zeros((5, 6), dtype=bool)
    hidden[1, 2] = hidden[0, 0] = hidden[4, 5] = True
    targets, partner = np.array([[1, 2], [0, 0]]), (3, 3)
    for change, moved in (("hide", 0.5), ("flip", 1.0)):
        found, of_pair = explaining.influence(posterior(Mirror(5, 6)), cells, hidden, targets, change)
        assert found[partner] == moved
        assert np.nansum(found) == moved
        assert np.nansum(of_pair) == 0
        assert np.isnan(found[hidden]).all()
        visible_pairs = ~hidden & ~hidden[::-1, ::-1]
        assert np.isnan(found[visible_pairs]).all() == (change == "flip")


def test_of_several_symbols_a_flip_is_to_the_one_that_moves_most():
    """With three symbols the influence of a flip is the larger of two changes of the distribution."""

    class Sum:
        """The distribution of every hidden cell leans to the sum of the visible ones."""

        n_symbols, window = 3, None

        def marginals(self, cells, hidden):
            leaning = np.array([0.9, 0.3, 0.1])[np.where(hidden, 0, cells).sum(axis=(1, 2)) % 3]
            marginals = np.stack((leaning, 0.5 * (1 - leaning), 0.5 * (1 - leaning)), axis=-1)
            return np.where(hidden[..., None], marginals[:, None, None], np.eye(3)[np.where(hidden, 0, cells)])

    cells, hidden = np.array([[0, 1], [0, 0]]), np.array([[False, False], [False, True]])
    found = explaining.influence(Sum(), cells, hidden, np.array([[1, 1]]), "flip")[0]
    assert np.allclose(found, [[0.6, 0.6], [0.6, np.nan]], equal_nan=True)  # the other flips: 0.2


@pytest.mark.parametrize("change", explaining.CHANGES)
def test_influence_is_the_same_alone_and_among_others(model, change, monkeypatch):
    """One target alone has what it has among others, to the last bit, however many grids are queried together."""
    cells, hidden, targets = puzzle(Ising(5, 5), 0)
    together = explaining.influence(model, cells, hidden, targets, change)
    monkeypatch.setattr(explaining, "NUMBERS_AT_ONCE", 150)
    alone = [explaining.influence(model, cells, hidden, target[None], change)[0] for target in targets]
    assert np.array_equal(together, alone, equal_nan=True)
    assert np.array_equal(np.isnan(together), np.broadcast_to(hidden, together.shape))
    assert np.nanmax(together) > 0.01


def test_attention_is_that_of_the_patch_of_the_target(model, small_bert):
    """The cells of each patch share the weight that the network gave to it; over the grid it sums to 1."""
    cells, hidden, targets = puzzle(Ising(5, 5), 1)
    found = explaining.attention(model, cells, hidden, targets)
    assert np.allclose(found.sum(axis=(3, 4)), 1, atol=1e-6)
    weights = []
    with torch.no_grad():
        small_bert(torch.from_numpy(np.where(hidden, 2, cells))[None], weights)
    for number, (row, column) in enumerate(targets):
        query = row // 2 * 3 + column // 2
        for key in range(9):
            patch = found[:, :, number, key // 3 * 2 : key // 3 * 2 + 2, key % 3 * 2 : key % 3 * 2 + 2]
            expected = np.stack([layer[0, :, query, key] for layer in weights])
            assert np.allclose(patch.sum(axis=(2, 3)), expected, atol=1e-6)
            assert np.ptp(patch, axis=(2, 3)).max() == 0


@few_examples
@given(arrays(float, (2, 3, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nan])))
def test_rank_correlation_is_spearmans(pair):
    """With ties and with NaN it is what SciPy says of the places that both have; NaN where one is constant."""
    known = np.isfinite(pair).all(axis=0)
    found = explaining.rank_correlation(*pair)
    if known.any() and np.ptp(pair[:, known], axis=1).min() > 0:
        assert found == pytest.approx(spearmanr(pair[0][known], pair[1][known]).statistic)
    else:
        assert np.isnan(found)


def test_heads_are_correlated_with_influence_one_by_one():
    """A head that ranks as influence does has 1, one that ranks the other way round -1, and a constant one NaN."""
    influence = np.random.default_rng(0).random((2, 3, 4))
    influence[0, 0, 0] = np.nan
    cubes = np.nan_to_num(influence) ** 3
    attention = np.array([[cubes, 1 - cubes], [np.ones_like(cubes), np.stack((cubes[0], np.ones((3, 4))))]])
    found = explaining.head_correlations(attention, influence)
    assert np.allclose(found, [[1, -1], [np.nan, 1]], equal_nan=True)
    assert explaining.best_head(found) == (0, 0)
    assert explaining.best_head(found[:1, ::-1]) == (0, 1)
    assert explaining.best_head(np.full((2, 2), np.nan)) == (0, 0)


def test_a_recording_is_what_a_draw_was_told():
    """It changes no sample; its moments are the puzzle and each grid with one more cell, with the marginals of each."""
    cells, hidden, _ = puzzle(PRIOR, 4)
    exact = posterior(PRIOR)
    recording = explaining.Recording(exact)
    drawn = filling.sample(recording, Puzzles(cells[None], hidden[None]), 1, 0, ONE_AT_A_TIME).cells[0, 0]
    assert np.array_equal(
        drawn, filling.sample(exact, Puzzles(cells[None], hidden[None]), 1, 0, ONE_AT_A_TIME).cells[0, 0]
    )
    assert [left.sum() for _, left, _ in recording.moments] == list(range(hidden.sum(), 0, -1))
    for shown, left, marginals in recording.moments:
        assert np.array_equal(shown[~left], drawn[~left])
        assert np.array_equal(marginals, exact.marginals(shown[None], left[None])[0])


def test_what_cannot_be_explained_is_refused(model):
    """Visible targets, targets outside, unknown changes, predictors without attention and contradictions are named."""
    cells, hidden = np.zeros((4, 4), dtype=np.int64), np.eye(4, dtype=bool)
    exact = posterior(PRIOR)
    for ask in (explaining.influence, explaining.attention):
        predictor = model if ask is explaining.attention else exact
        with pytest.raises(InputError, match=r"\(row 0, column 1\) is visible"):
            ask(predictor, cells, hidden, np.array([[2, 2], [0, 1]]))
        for outside in ([4, 0], [0, -1]):
            with pytest.raises(InputError, match="outside the grid of 4 by 4 cells"):
                ask(predictor, cells, hidden, np.array([outside]))
    with pytest.raises(InputError, match="no change 'turn'; the changes are hide, flip"):
        explaining.influence(exact, cells, hidden, CENTRE, "turn")
    with pytest.raises(InputError, match="Enumeration has no attention"):
        explaining.attention(exact, cells, hidden, CENTRE)
    cells[0, 3] = cells[3, 0] = 1
    with pytest.raises(ContradictionError):
        explaining.influence(exact, cells, hidden, CENTRE)
