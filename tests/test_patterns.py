"""Measures of textures, held against counting in plain Python."""

from collections import Counter
from itertools import product
from math import log2

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import data
import patterns
from gridcloze.words import InputError

N_SYMBOLS = 3
UNKNOWN = np.full((1, 12, 12), -1)
IMAGES = data.channels()["realizations"][:12, :64, :64]
SHUFFLED = np.random.default_rng(0).permutation(IMAGES.reshape(12, -1), axis=1).reshape(IMAGES.shape)


def stacks(least, most, symbols=(-1, 2)):
    """Up to three small grids of one size, -1 where unknown."""
    sides = st.integers(least, most)
    return st.tuples(st.integers(1, 3), sides, sides).flatmap(
        lambda shape: arrays(np.int64, shape, elements=st.integers(*symbols))
    )


def pairs_of(cells, axis, lag):
    """All pairs of places (grid, row, column) that are `lag` apart along an axis."""
    for grid, row, column in np.ndindex(cells.shape):
        other = (grid, row + lag, column) if axis == 0 else (grid, row, column + lag)
        if other[1] < cells.shape[1] and other[2] < cells.shape[2]:
            yield (grid, row, column), other


def component(cells, place):
    """All places that a way along sides through the same symbol leads to."""
    found, border = {place}, [place]
    while border:
        grid, row, column = border.pop()
        for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            other = (grid, row + down, column + across)
            inside = 0 <= other[1] < cells.shape[1] and 0 <= other[2] < cells.shape[2]
            if inside and other not in found and cells[other] == cells[place]:
                found.add(other)
                border.append(other)
    return found


def share(trues):
    return np.mean(trues) if trues else np.nan


@settings(deadline=None)
@given(stacks(1, 5))
def test_variograms_and_proportions_are_counted_pairs(cells):
    """Shares of symbols, and of pairs of which one has the symbol over 2 p (1 - p), are as counted one by one."""
    assume((cells >= 0).any())
    known = [value for value in cells.ravel().tolist() if value >= 0]
    measured = patterns.variogram(cells, N_SYMBOLS)
    for symbol in range(N_SYMBOLS):
        p = known.count(symbol) / len(known)
        assert patterns.proportions(cells, N_SYMBOLS)[symbol] == pytest.approx(p)
        for axis, lag in product(range(2), range(1, 6)):
            ends = [(cells[one], cells[two]) for one, two in pairs_of(cells, axis, lag)]
            unlike = share([(a == symbol) != (b == symbol) for a, b in ends if min(a, b) >= 0])
            expected = unlike / 2 / (p * (1 - p)) if 0 < p < 1 else np.nan
            assert measured[axis, lag - 1, symbol] == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(stacks(1, 5))
def test_connectivity_is_counted_by_walking(cells):
    """Of pairs with a symbol, the share with a way from one to the other is as found by walking all ways."""
    measured = patterns.connectivity(cells, N_SYMBOLS)
    for axis, lag, symbol in product(range(2), range(1, 6), range(N_SYMBOLS)):
        both = [(one, two) for one, two in pairs_of(cells, axis, lag) if cells[one] == cells[two] == symbol]
        expected = share([two in component(cells, one) for one, two in both])
        assert measured[axis, lag - 1, symbol] == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(stacks(1, 5))
def test_isolated_cells_and_bodies_are_counted_by_walking(cells):
    """A cell is isolated if its component has no other cell; bodies are the distinct components of each symbol."""
    assume((cells >= 0).any())
    components = {place: frozenset(component(cells, place)) for place in np.ndindex(cells.shape) if cells[place] >= 0}
    assert patterns.isolated_share(cells) == pytest.approx(share([len(one) == 1 for one in components.values()]))
    of_symbols = [{one for place, one in components.items() if cells[place] == symbol} for symbol in range(N_SYMBOLS)]
    assert patterns.bodies(cells, N_SYMBOLS) == pytest.approx([len(one) / len(cells) for one in of_symbols])


def test_the_truth_is_as_grained_as_itself_and_noise_is_not():
    """Ratios are 1 for the truth itself; shuffled cells have far more of both, and grids of one symbol fewer."""
    same, noise, plain = (patterns.granularity(one, IMAGES, 2) for one in (IMAGES, SHUFFLED, np.zeros_like(IMAGES)))
    assert same["bodies"]["ratio"] == same["isolated_cells"]["ratio"] == 1
    assert noise["bodies"]["ratio"] > 10
    assert noise["isolated_cells"]["ratio"] > 10
    assert plain["isolated_cells"]["ratio"] == 0
    assert plain["bodies"]["samples"] == [1, 0]
    assert patterns.granularity(IMAGES, np.zeros_like(IMAGES), 2)["isolated_cells"]["ratio"] is None


def distribution_of(cells, corners=None):
    """The distribution of the 4×4 patterns, as a table."""
    seen = Counter()
    for grid, row, column in np.ndindex(len(cells), cells.shape[1] - 3, cells.shape[2] - 3):
        pattern = cells[grid, row : row + 4, column : column + 4]
        if pattern.min() >= 0 and (corners is None or corners[row, column]):
            seen[pattern.tobytes()] += 1
    return {pattern: count / seen.total() for pattern, count in seen.items()}


@settings(deadline=None)
@given(stacks(4, 6, (-1, 1)), stacks(4, 7, (0, 1)), st.randoms())
def test_the_divergence_of_patterns_is_that_of_their_tables(cells, reference, random):
    """It is the formula of Jensen and Shannon on counted tables, everywhere and at chosen corners."""
    corners = np.array([[random.random() < 0.7 for _ in range(cells.shape[2] - 3)] for _ in range(cells.shape[1] - 3)])
    for chosen in (None, corners):
        p, q = distribution_of(cells, chosen), distribution_of(reference)
        assume(p)
        middle = {pattern: (p.get(pattern, 0) + q.get(pattern, 0)) / 2 for pattern in p | q}
        expected = (
            sum(
                distribution[pattern] * log2(distribution[pattern] / middle[pattern])
                for distribution in (p, q)
                for pattern in distribution
            )
            / 2
        )
        measured = patterns.pattern_divergence_bits(cells, reference, chosen)
        assert measured == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(stacks(11, 13, (-1, 1)), stacks(11, 12, (0, 0)), st.data())
def test_copies_are_found_cell_for_cell(samples, examples, drawn):
    """The share of patches that stand in the examples is that of a search among all of them."""
    for grid, row, column in drawn.draw(st.lists(st.tuples(*[st.integers(0, 10)] * 3), max_size=3)):
        examples[grid % len(examples), row, column] = 1
        samples[grid % len(samples)] = np.maximum(samples[grid % len(samples)], 0) * (row % 2)
    patches = [
        [
            stack[grid, row : row + 11, column : column + 11]
            for grid, row, column in np.ndindex(len(stack), stack.shape[1] - 10, stack.shape[2] - 10)
        ]
        for stack in (samples, examples)
    ]
    theirs = {patch.tobytes() for patch in patches[1]}
    expected = [patch.tobytes() in theirs for patch in patches[0] if patch.min() >= 0]
    assume(expected)
    assert patterns.copied_share(samples, examples) == pytest.approx(np.mean(expected))


def test_grids_do_not_differ_from_themselves_and_copy_all():
    """A stack has no divergence from itself, and all its patches are copies of it."""
    assert patterns.pattern_divergence_bits(IMAGES, IMAGES) == 0.0
    assert patterns.copied_share(IMAGES, IMAGES) == 1.0


def test_real_images_come_nearer_to_others_than_shuffled_cells():
    """Channels held against other channels have small errors; shuffled, they keep proportions only."""
    learned, held_out = IMAGES[:6], IMAGES[6:]
    real, shuffled = (patterns.errors(cells, held_out, 2) for cells in (learned, SHUFFLED[:6]))
    assert real["proportions"] == shuffled["proportions"]
    assert 2 * real["variogram"] < shuffled["variogram"]
    assert 2 * real["connectivity"] < shuffled["connectivity"]
    assert patterns.pattern_divergence_bits(learned, held_out) < 0.1
    assert patterns.pattern_divergence_bits(SHUFFLED[:6], held_out) > 0.3
    assert patterns.copied_share(SHUFFLED[:6], held_out) < 0.01 < patterns.copied_share(learned, held_out)


def test_cells_that_know_nothing_of_each_other_have_a_variogram_of_one():
    """Shuffled cells stand at the sill at every lag, and channels do not at the first ones."""
    assert patterns.variogram(SHUFFLED, 2) == pytest.approx(1, abs=0.06)
    assert patterns.variogram(IMAGES, 2)[:, 0].max() < 0.5


def test_a_sample_of_one_symbol_is_no_good_sample():
    """A grid without channels is charged for its variogram too, though it has none of its own."""
    empty = patterns.errors(np.zeros_like(IMAGES[:1]), IMAGES, 2)
    assert empty["variogram"] > patterns.errors(IMAGES[:1], IMAGES, 2)["variogram"]
    assert empty["proportions"] == pytest.approx(IMAGES.mean())


def test_patterns_across_a_border_are_told_from_those_inside():
    """Where two halves do not fit, patterns across their border are odd, and the others are not."""
    halves = np.concatenate([IMAGES[:6, :, :32], IMAGES[6:, :, 32:]], axis=2)
    across = np.zeros((61, 61), dtype=bool)
    across[:, 29:32] = True
    at_border = patterns.pattern_divergence_bits(halves, IMAGES, across)
    before = patterns.pattern_divergence_bits(IMAGES[:6], IMAGES, across)
    assert at_border > 1.5 * before


def test_known_cells_are_honoured_or_not():
    """A changed visible cell counts, a hidden or unknown one does not; nothing visible is nothing changed."""
    cells = np.array([[[0, 1, -1, 1]]])
    hidden = np.array([[[False, False, False, True]]])
    samples = np.array([[[[0, 1, 1, 0]], [[0, 0, 0, 1]]]])
    assert patterns.honoured_share(samples, cells, hidden) == 0.75
    assert patterns.honoured_share(samples, cells, np.ones_like(hidden)) == 1.0


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: patterns.proportions(UNKNOWN, 2), "no known cell"),
        (lambda: patterns.isolated_share(UNKNOWN), "no known cell"),
        (lambda: patterns.copied_share(UNKNOWN, IMAGES), "no pattern without unknown cells"),
        (lambda: patterns.pattern_divergence_bits(UNKNOWN[:, :3], IMAGES), "no 4×4 cells fit in grids of 3 by 12"),
    ],
)
def test_what_cannot_be_measured_is_refused(measure, message):
    """Grids without known cells, or too small for a pattern, are errors in one line."""
    with pytest.raises(InputError, match=message):
        measure()
