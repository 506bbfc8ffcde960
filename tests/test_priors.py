"""Priors, held against counting and definitions in plain Python."""

import json
from itertools import product
from math import exp, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcloze.commands.toy import read_prior
from gridcloze.files.palettes import Palette
from gridcloze.priors.examples import Examples, checked_symmetries, random_symmetry
from gridcloze.priors.finite import FinitePrior, rectangles, squares, stripes
from gridcloze.priors.ising import Ising
from gridcloze.priors.known import TOYS, make_toy
from gridcloze.priors.mirror import Mirror
from gridcloze.priors.posterior import KnownPrior, Prior
from gridcloze.priors.windows import Windows
from gridcloze.words import InputError

SMALL = {
    "squares": {"height": 5, "width": 6, "smallest": 2, "largest": 4, "outline": True},
    "rectangles": {"height": 4, "width": 3, "smallest": 1, "inverted": True},
    "stripes": {"height": 5, "width": 4, "largest_period": 4},
    "mirror": {"height": 3, "width": 3},
    "ising": {"height": 2, "width": 4, "coupling": 0.4, "field": -0.2},
}


def all_grids(height, width):
    return np.array(list(product((0, 1), repeat=height * width))).reshape(-1, height, width)


def as_set(grids):
    return {tuple(grid.ravel().tolist()) for grid in grids}


def surprise(samples, distribution):
    """Pearson's statistic of samples against a {grid: probability}, in standard deviations above its mean."""
    counts = dict.fromkeys(distribution, 0)
    for sample in samples:
        if (grid := tuple(sample.ravel().tolist())) not in distribution:
            return np.inf
        counts[grid] += 1
    expected = {grid: len(samples) * probability for grid, probability in distribution.items()}
    statistic = sum((counts[grid] - expected[grid]) ** 2 / expected[grid] for grid in distribution)
    return (statistic - (len(distribution) - 1)) / (2 * (len(distribution) - 1)) ** 0.5


def distribution_of(prior):
    grids = all_grids(prior.height, prior.width)
    bits = prior.log_prob_bits(grids)
    return {tuple(grid.ravel().tolist()): 2.0**b for grid, b in zip(grids, bits, strict=True) if b > -np.inf}


def test_counts():
    """There are as many squares, rectangles and stripes as counting says."""
    assert len(squares().members) == sum((16 - side + 1) ** 2 for side in range(3, 13)) == 985
    assert len(rectangles(32, 32).members) == (32 * 33 // 2) ** 2 == 278_784
    assert len(rectangles(6, 5, smallest=2, largest=3).members) == (5 + 4) * (4 + 3)
    in_four_directions = 4 * sum(period * (period - 1) for period in range(2, 9))
    assert len(stripes().members) == in_four_directions - 2  # both diagonals have the two chessboards


@pytest.mark.parametrize("outline", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("make", [squares, rectangles])
def test_boxes_cell_by_cell(make, outline, inverted):
    """Squares and rectangles are the grids that colouring cell by cell gives."""
    expected = []
    for top, left, tall, wide in product(range(5), range(6), range(2, 5), range(2, 5)):
        if top + tall > 5 or left + wide > 6 or (make is squares and tall != wide):
            continue
        grid = np.full((5, 6), int(inverted))
        for row, column in product(range(top, top + tall), range(left, left + wide)):
            on_border = row in (top, top + tall - 1) or column in (left, left + wide - 1)
            if on_border or not outline:
                grid[row, column] = 1 - int(inverted)
        expected.append(grid)
    prior = make(5, 6, smallest=2, largest=4, outline=outline, inverted=inverted)
    assert as_set(prior.members) == as_set(expected)
    assert len(prior.members) == len(expected)


def test_stripes_cell_by_cell():
    """Each stripe image repeats along its direction with its period, and no image is missing or there twice."""
    expected = set()
    for down, right in ((1, 0), (0, 1), (1, 1), (1, -1)):
        for period in range(2, 5):
            for white, phase in product(range(1, period), range(period)):
                cells = product(range(5), range(4))
                expected.add(tuple(int((down * y + right * x + phase) % period < white) for y, x in cells))
    members = stripes(5, 4, largest_period=4).members
    assert as_set(members) == expected
    assert len(members) == len(expected)


@pytest.mark.parametrize("name", TOYS)
def test_probabilities_sum_to_one(name):
    """The probabilities of all grids of a toy sum to one."""
    prior = make_toy(name, **SMALL[name] | {"height": 4, "width": 4})
    assert np.exp2(prior.log_prob_bits(all_grids(4, 4))).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("prior", "other"),
    [
        (squares(3, 3, 1, 3), squares(3, 3, 2, 3)),
        (rectangles(4, 3), rectangles(4, 3, smallest=2)),
        (stripes(4, 4, 4), stripes(4, 4, 3)),
        (Mirror(3, 4), Ising(3, 4, coupling=0.0)),
        (Ising(2, 4, 0.4, -0.2), Ising(2, 4, 0.5, -0.2)),
        (Ising(4, 2, 0.4, -0.2), Ising(4, 2, 0.4, -0.1)),
        (FinitePrior(squares(2, 3, 1, 1).members, np.arange(1, 7) / 21), squares(2, 3, 1, 1)),
    ],
)
def test_samples_follow_the_distribution(prior, other):
    """Samples have the frequencies that the log-probabilities say, and samples of a slightly other prior have not."""
    generator = np.random.default_rng(0)
    distribution = distribution_of(prior)
    assert abs(surprise(prior.sample(6000, generator), distribution)) < 4
    assert surprise(other.sample(6000, generator), distribution) > 10


def test_mirror_by_hand():
    """A grid equal to its reflection costs a bit for each pair and for the centre; any other is impossible."""
    prior = Mirror(2, 3)
    cells = np.array([[[0, 1, 1], [1, 1, 0]], [[0, 1, 1], [1, 1, 1]], [[1, 0, 1], [1, 0, 1]]])
    assert prior.log_prob_bits(cells).tolist() == [-3, -np.inf, -3]
    assert Mirror(3, 3).log_prob_bits(np.zeros((1, 3, 3), dtype=int)).tolist() == [-5]


@given(
    size=st.sampled_from([(1, 1), (1, 4), (2, 3), (3, 2), (3, 3)]),
    coupling=st.floats(-2, 2),
    field=st.floats(-2, 2),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_ising_by_hand(size, coupling, field):
    """The log-probability is that of the definition, summed in plain Python over all grids."""
    height, width = size
    grids = all_grids(height, width)
    weights = [ising_weight(grid.tolist(), coupling, field) for grid in grids]
    expected = [log2(weight / sum(weights)) for weight in weights]
    np.testing.assert_allclose(Ising(height, width, coupling, field).log_prob_bits(grids), expected, atol=1e-9)


def ising_weight(grid, coupling, field):
    spins = {(y, x): 2 * cell - 1 for y, row in enumerate(grid) for x, cell in enumerate(row)}
    bonds = sum(spin * spins.get((y + 1, x), 0) + spin * spins.get((y, x + 1), 0) for (y, x), spin in spins.items())
    return exp(coupling * bonds + field * sum(spins.values()))


@pytest.mark.parametrize("coupling", [-5.0, 5.0])
def test_the_strongest_ising_stays_in_range(coupling):
    """At the strongest coupling and field allowed, on the widest grid, nothing overflows or vanishes."""
    prior = Ising(40, 10, coupling=coupling, field=5.0)
    assert np.isfinite(prior.log_prob_bits(prior.sample(2, np.random.default_rng(0)))).all()


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("wrong", [-1, 2, 256, 257])
def test_other_symbols_are_impossible(name, wrong):
    """A grid that holds any number but 0 and 1 has probability zero."""
    prior = make_toy(name, **SMALL[name])
    cells = prior.sample(2, np.random.default_rng(0))
    cells[0, 0, 0] = wrong
    assert np.isneginf(prior.log_prob_bits(cells)).tolist() == [True, False]


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_is_rebuilt_from_its_spec(name):
    """A toy that went through JSON as its spec gives the same grids with the same probabilities."""
    prior = make_toy(name, **SMALL[name])
    again = make_toy(**json.loads(json.dumps(prior.spec)))
    cells = prior.sample(50, np.random.default_rng(3))
    assert (again.sample(50, np.random.default_rng(3)) == cells).all()
    assert (again.log_prob_bits(cells) == prior.log_prob_bits(cells)).all()
    assert again.spec == prior.spec == {"name": name} | prior.spec | SMALL[name]


@pytest.mark.parametrize("name", TOYS)
def test_default_sizes(name):
    """Without options a toy is 16 by 16, the Ising model 16 by 8, and all know their probabilities."""
    prior = make_toy(name)
    assert (prior.height, prior.width) == ((16, 8) if name == "ising" else (16, 16))
    assert isinstance(prior, KnownPrior)
    assert prior.sample(3, np.random.default_rng(0)).shape == (3, prior.height, prior.width)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("circles", {}, "no toy 'circles'; the toys are squares, rectangles, stripes, mirror, ising"),
        ("mirror", {"colour": 1}, "mirror has no option 'colour'; its options are height, width"),
        ("squares", {"smallest": 5, "largest": 4}, "not smallest 5 and largest 4"),
        ("squares", {"smallest": 0}, "not smallest 0"),
        ("squares", {"height": 8}, "a side of 12 cells does not fit a grid of 8 by 16"),
        ("rectangles", {"height": 0}, "a grid of 0 by 16 has no cells"),
        ("rectangles", {"smallest": 17}, "a side of 17 cells does not fit"),
        ("rectangles", {"largest": 0}, "not smallest 1 and largest 0"),
        ("stripes", {"largest_period": 1}, "largest_period must be 2…16"),
        ("stripes", {"width": 7}, "largest_period must be 2…7 on 16 by 7 cells, not 8"),
        ("mirror", {"width": -1}, "has no cells"),
        ("ising", {"width": 11}, "a side of at most 10 cells, not 16 by 11"),
        ("ising", {"coupling": 6.0}, "must lie within ±5"),
        ("ising", {"field": float("nan")}, "must lie within ±5"),
    ],
)
def test_toys_refuse(name, options, words):
    """A toy that cannot be is refused in one line that says why."""
    with pytest.raises(InputError) as refusal:
        make_toy(name, **options)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("members", "probabilities", "words"),
    [
        (np.zeros((0, 2, 2)), None, "at least one member"),
        (np.full((1, 2, 2), 2), None, "symbols 0…1 only"),
        (np.zeros((2, 2, 2)), None, "must be distinct"),
        (np.eye(2)[:, None], np.array([0.5, 0.6]), "2 positive probabilities that sum to 1"),
        (np.eye(2)[:, None], np.array([1.0, 0.0]), "2 positive probabilities that sum to 1"),
    ],
)
def test_finite_priors_refuse(members, probabilities, words):
    """Members and probabilities that make no distribution are refused."""
    with pytest.raises(InputError, match=words):
        FinitePrior(members.astype(np.uint8), probabilities)


def numbered_examples(n):
    return Examples(np.arange(n)[:, None, None] % 200 * np.ones((1, 2, 3), dtype=int), Palette.default(200))


@pytest.mark.parametrize(
    ("n", "held_out"), [(1, 1), (2, 1), (6, 2), (10, 3), (12, 4), (49, 4), (50, 5), (100, 10), (6000, 512)]
)
def test_examples_hold_out_the_last_tenth(n, held_out):
    """The last tenth is held out, of few the last third up to four, at most 512; a single example is both."""
    examples = numbered_examples(n)
    learned, scored = examples.split()
    assert (scored.cells == examples.cells[-held_out:]).all()
    assert (learned.cells == examples.cells[: max(n - held_out, 1)]).all()


def test_examples_are_drawn_with_replacement():
    """Every example is drawn about equally often, in more draws than there are examples."""
    examples = numbered_examples(5)
    draws = examples.sample(5000, np.random.default_rng(0))[:, 0, 0]
    assert np.abs(np.bincount(draws, minlength=5) - 1000).max() < 150
    assert isinstance(examples, Prior)
    assert not isinstance(examples, KnownPrior)


def test_examples_need_a_grid():
    """Examples have the size of their grids and the symbols of their palette, and an empty array is refused."""
    cells = np.array([[[0, 1, 0], [2, -1, 0]], [[2, 2, 2], [1, 0, 0]]])
    examples = Examples(cells, Palette.default(3))
    assert (examples.height, examples.width, examples.n_symbols) == (2, 3, 3)
    with pytest.raises(InputError, match="no example"):
        Examples(cells[:0], examples.palette)


def test_symmetries_that_there_are_none_of_are_refused():
    """A word that names no symmetries is refused, with those that there are."""
    assert checked_symmetries("mirrors") == "mirrors"
    with pytest.raises(
        InputError, match="symmetries must be one of none, across, along, mirrors, turns, all, not 'some'"
    ):
        checked_symmetries("some")


def transformed_as_in_0_2(cells, generator, symmetries):
    """What version 0.2 drew for the symmetries that it knew."""
    cells = cells.copy()
    across, down, transposed = generator.random((3, len(cells))) < 0.5
    cells[across] = cells[across, :, ::-1]
    cells[down] = cells[down, ::-1]
    if symmetries == "all" and cells.shape[1] == cells.shape[2]:
        cells[transposed] = cells[transposed].swapaxes(1, 2)
    return cells


@pytest.mark.parametrize("symmetries", ["mirrors", "all"])
@pytest.mark.parametrize("shape", [(200, 3, 3), (200, 2, 3)])
def test_trainings_of_older_versions_can_be_repeated(symmetries, shape):
    """Mirrors and all symmetries draw the transformations that they always drew."""
    cells = np.arange(np.prod(shape)).reshape(shape)
    old = transformed_as_in_0_2(cells, np.random.default_rng(5), symmetries)
    assert (random_symmetry(cells, np.random.default_rng(5), symmetries) == old).all()


@pytest.mark.parametrize(
    ("symmetries", "expected"),
    [
        ("across", ["abcdef", "cbafed"]),
        ("along", ["abcdef", "defabc"]),
        ("mirrors", ["abcdef", "cbafed", "defabc", "fedcba"]),
        ("turns", ["abcdef", "fedcba"]),
        ("all", ["abcdef", "cbafed", "defabc", "fedcba"]),
    ],
)
def test_symmetries_are_what_they_are_called(symmetries, expected):
    """Each draws its transformations equally often; grids that are not square keep their height and width."""
    cells = np.frombuffer(b"abcdef", np.uint8).reshape(1, 2, 3).astype(int).repeat(4000, axis=0)
    drawn = random_symmetry(cells, np.random.default_rng(0), symmetries)
    kinds, n = np.unique([bytes(grid.astype(np.uint8).ravel()).decode() for grid in drawn], return_counts=True)
    assert kinds.tolist() == expected
    assert n / 4000 == pytest.approx(1 / len(expected), abs=0.03)


def test_turns_mirror_nothing():
    """Square grids are turned by any number of quarters, equally often."""
    cells = np.array([[[0, 1], [3, 2]]]).repeat(4000, axis=0)
    drawn = random_symmetry(cells, np.random.default_rng(0), "turns")
    kinds, n = np.unique(drawn.reshape(4000, 4), axis=0, return_counts=True)
    assert kinds.tolist() == [[0, 1, 3, 2], [1, 2, 0, 3], [2, 3, 1, 0], [3, 0, 2, 1]]
    assert n / 4000 == pytest.approx(1 / 4, abs=0.03)


def test_mirrors_turn_nothing():
    """Under mirrors rows stay rows, also of squares; under all symmetries half of the grids are turned."""
    cells = np.broadcast_to(np.array([[0, 0], [1, 1]]), (4000, 2, 2))
    for symmetries, upright in (("mirrors", 1), ("all", 0.5)):
        draws = Examples(cells, Palette.default(2), symmetries).sample(4000, np.random.default_rng(0))
        assert (draws[:, :, 0] == draws[:, :, 1]).all(axis=1).mean() == pytest.approx(upright, abs=0.03)


def numbered_image(height, width):
    """An image that names the place of every cell, so that a window tells where it was taken."""
    return np.arange(height * width).reshape(height, width)


@pytest.mark.parametrize(
    ("symmetries", "number"), [("none", 1), ("across", 2), ("along", 2), ("mirrors", 4), ("turns", 4), ("all", 8)]
)
def test_windows_come_from_every_place_alike(symmetries, number):
    """Windows are cut from the image, transformed only by symmetries, and all positions are equally likely."""
    image = numbered_image(5, 6)
    windows = Windows([image, image + 100], Palette.default(200), (3, 3), symmetries)
    draws = windows.sample(6000, np.random.default_rng(0))
    first = draws.min(axis=(1, 2))
    row, column = np.divmod(first % 100, 6)
    steps = np.arange(3)
    upright = (
        (first // 100 * 100)[:, None, None]
        + (row[:, None] + steps)[:, :, None] * 6
        + (column[:, None] + steps)[:, None]
    )
    same = (draws == upright).all(axis=(1, 2))
    assert same.mean() == pytest.approx(1 / number, abs=0.02)
    assert (np.sort(draws.reshape(-1, 9)) == np.sort(upright.reshape(-1, 9))).all()
    counts = np.unique(first, return_counts=True)[1]
    assert len(counts) == 2 * 3 * 4
    assert np.abs(counts - 250).max() < 80


@pytest.mark.parametrize(("size", "image"), [((4, 4), (20, 13)), ((4, 6), (13, 6)), ((5, 5), (10, 7))])
def test_windows_that_are_learned_from_have_no_cell_that_is_held_out(size, image):
    """A corner with a tenth of the image's cells or one window's is held out, and never seen in training."""
    learned, held_out = Windows([numbered_image(*image)], Palette.default(200), size).split()
    seen = np.unique(learned.sample(3000, np.random.default_rng(0)))
    assert not np.isin(held_out.cells, seen).any()
    assert len(seen) + len(np.unique(held_out.cells)) > 0.75 * image[0] * image[1]


@pytest.mark.parametrize(("side", "n"), [(55, 1), (70, 2), (120, 6), (300, 9)])
@pytest.mark.parametrize("hole", [False, True])
def test_blocks_that_are_held_out_lie_in_different_parts(side, n, hole):
    """There are as many as windows in a tenth of the image, at most nine; together they have a tenth of its cells."""
    image = np.arange(side * side).reshape(side, side)
    if hole:
        image[: side // 3, side // 2 :] = -1
    windows = Windows([image], Palette.default(2), (15, 15))
    blocks = windows._blocks(image)
    assert len(blocks) == n
    places = np.array([[rows.start, columns.start] for rows, columns in blocks])
    apart = np.abs(places[:, None] - places).max(-1)[~np.eye(n, dtype=bool)]
    assert (apart >= 10).all()
    held_out = np.concatenate([image[block].ravel() for block in blocks])
    known = held_out[held_out >= 0]
    assert 0.07 < len(np.unique(known)) / (image >= 0).sum() < 0.14
    learned, _ = windows.split()
    assert not np.isin(known, learned.sample(2000, np.random.default_rng(0))).any()


def test_of_many_images_whole_ones_are_held_out_and_a_single_window_is_both():
    """A tenth of many images is held out; an image without room for a corner and windows is learned and scored."""
    images = [np.full((6, 6), number) for number in range(20)]
    learned, held_out = Windows(images, Palette.default(20), (4, 4)).split()
    assert set(np.unique(held_out.cells)) == {18, 19}
    assert set(np.unique(learned.sample(2000, np.random.default_rng(0)))) == set(range(18))
    learned, held_out = Windows([numbered_image(5, 5)], Palette.default(25), (4, 4)).split()
    assert len(np.unique(learned.sample(500, np.random.default_rng(0)))) == len(np.unique(held_out.cells)) == 25


def test_windows_without_a_known_cell_are_not_drawn():
    """Unknown cells may stand in windows, but every window has a known one; without any the images are refused."""
    image = np.full((9, 9), -1)
    image[7, 2] = 1
    draws = Windows([image], Palette.default(2), (3, 3)).sample(300, np.random.default_rng(0))
    assert (draws == 1).sum(axis=(1, 2)).tolist() == [1] * 300
    assert len(np.unique(np.argwhere(draws == 1)[:, 1:], axis=0)) == 6  # the last two rows of windows reach below
    with pytest.raises(InputError, match="no window of the images has a known cell"):
        Windows([np.full((4, 4), -1)], Palette.default(2), (3, 3))
    with pytest.raises(InputError, match="image 1 of 4 by 4 cells is smaller than a window of 5 by 3"):
        Windows([np.zeros((5, 4), int), np.zeros((4, 4), int)], Palette.default(2), (5, 3))


@pytest.mark.parametrize(("row", "column"), [(60, 60), (30, 0), (0, 20)])
def test_of_an_image_with_a_hole_what_is_held_out_is_known(row, column):
    """Where the lower right corner is unknown, another block is held out that has about a tenth of the known cells."""
    image = numbered_image(90, 90)
    image[row:, column:] = -1
    learned, held_out = Windows([image], Palette.default(200), (8, 8)).split()
    scored = np.unique(held_out.cells[held_out.cells >= 0])
    assert 0.08 < len(scored) / (image >= 0).sum() < 0.12
    assert not np.isin(scored, learned.sample(3000, np.random.default_rng(0))).any()


def test_of_an_image_with_one_known_window_it_is_both():
    """What is known is learned and scored, if nothing would be left to learn from."""
    image = np.full((60, 60), -1)
    image[0, 0] = 1
    learned, held_out = Windows([image], Palette.default(2), (4, 4)).split()
    assert (learned.sample(3, np.random.default_rng(0)) >= 0).sum() == 3
    assert (held_out.cells >= 0).any()


@pytest.mark.parametrize(("unknown", "expected"), [(1, range(54, 59)), (4, range(51, 56)), (12, range(44, 48))])
def test_grids_without_known_cells_are_not_held_out(unknown, expected):
    """Of many images and of examples whose last ones are unknown, the last tenth of the others is held out."""
    cells = np.arange(60)[:, None, None] * np.ones((1, 6, 6), dtype=int)
    cells[-unknown:] = -1
    for prior in (Windows(list(cells), Palette.default(60), (4, 4)), Examples(cells, Palette.default(60))):
        learned, held_out = prior.split()
        assert set(np.unique(held_out.cells[held_out.cells >= 0])) == set(expected)
        assert not np.isin(expected, learned.sample(2000, np.random.default_rng(0))).any()


def test_the_only_known_grid_is_both():
    """As a single example is."""
    cells = np.full((20, 6, 6), -1)
    cells[3] = 1
    for prior in (Windows(list(cells), Palette.default(2), (4, 4)), Examples(cells, Palette.default(2))):
        learned, held_out = prior.split()
        assert (held_out.cells == 1).all()
        assert (learned.sample(500, np.random.default_rng(0)) == 1).any()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"name": null}',
        b'{"name": "none"}',
        b'{"name": "squares", "name": "mirror"}',
        b'{"name": "mirror", "height": 4.5}',
        b'{"name": "mirror", "height": "4"}',
        b'{"name": "mirror", "height": true}',
        b'{"name": "mirror", "height": -4}',
        b'{"name": "mirror", "coupling": 0.5}',
        b'{"name": "mirror", "flavour": 1}',
        b'{"name": "ising", "coupling": NaN}',
        b'{"name": "ising", "coupling": 1e999}',
        b'{"name": "ising", "height": 1000000000}',
        b'{"name": "squares", "height": 1000000000, "width": 1000000000}',
        b'{"name": "squares", "height": %s}' % (b"9" * 5000),
        b'{"name": "rectangles", "height": 2000, "width": 2000}',
        b'{"name": "stripes", "height": 2000, "width": 2000, "largest_period": 2000}',
    ],
    ids=lambda content: content[:60].decode(errors="replace"),
)
def test_a_prior_json_that_names_no_prior_is_refused(tmp_path, content):
    """Types and ranges are checked before the prior is made, and what its members need before they are."""
    (tmp_path / "prior.json").write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_prior(tmp_path / "prior.json", required=True)
    assert str(refusal.value).startswith(str(tmp_path / "prior.json"))
    assert "\n" not in str(refusal.value)
