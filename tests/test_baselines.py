"""The table of neighbours, held against counting in plain Python, exact conditionals and real grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

import data
from gridcloze import scoring
from gridcloze.baselines import Nearest, NeighbourTable, nearest_visible
from gridcloze.priors import posterior
from gridcloze.priors.ising import Ising
from gridcloze.priors.mirror import Mirror
from gridcloze.words import InputError
from peers.neighbours import Neighbours

N_SYMBOLS = 3
EXAMPLES = np.random.default_rng(0).integers(-1, N_SYMBOLS, (3, 6, 7))
TABLE = NeighbourTable(EXAMPLES, N_SYMBOLS)
NEAREST = sorted(
    ((down, across) for down in range(-2, 3) for across in range(-2, 3) if 0 < down**2 + across**2 < 6),
    key=lambda place: place[0] ** 2 + place[1] ** 2,
)


@st.composite
def puzzles(draw):
    """A small grid, as a stack, and which of its cells are hidden."""
    shape = (1, draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    return draw(arrays(np.int64, shape, elements=st.integers(0, N_SYMBOLS - 1))), draw(arrays(bool, shape))


@settings(deadline=None)
@given(puzzles())
def test_the_nearest_cell_is_that_of_scipy(puzzle):
    """Distance and symbol are those of SciPy's transform to the bit, also of equally near cells."""
    cells, hidden = puzzle
    distance, symbol = nearest_visible(cells, hidden)
    if hidden.all():
        assert not distance.any()
        assert not symbol.any()
        return
    expected, (rows, columns) = ndimage.distance_transform_edt(hidden[0], return_indices=True)
    assert np.array_equal(distance[0], expected)
    assert np.array_equal(symbol[0], cells[0][rows, columns])


def visible_around(stack, grid, row, column, size):
    """The visible ones of the nearest neighbours of a cell: their place and symbol."""
    for down, across in NEAREST[:size]:
        r, c = row + down, column + across
        if 0 <= r < stack.shape[1] and 0 <= c < stack.shape[2] and stack[grid, r, c] >= 0:
            yield (down, across), int(stack[grid, r, c])


@settings(deadline=None, max_examples=30)
@given(puzzles())
def test_a_table_counts_the_cells_with_the_same_visible_neighbours(puzzle):
    """Each context of 4, 8 and 20 adds its counts to those that the smaller one stands for, if it is larger."""
    cells, hidden = puzzle
    expected = Nearest(EXAMPLES, N_SYMBOLS).marginals(cells, hidden)
    known = np.where(hidden, -1, cells)
    for row, column in np.argwhere(hidden[0]).tolist():
        before = {}
        for size, concentration in zip((4, 8, 20), TABLE.concentrations, strict=True):
            wanted = dict(visible_around(known, 0, row, column, size))
            if wanted == before or (size == 20 and len(wanted) < 20):
                continue
            before, counts = wanted, concentration * expected[0, row, column]
            for place in np.argwhere(EXAMPLES >= 0).tolist():
                if wanted.items() <= dict(visible_around(EXAMPLES, *place, size)).items():
                    counts[EXAMPLES[tuple(place)]] += 1
            expected[0, row, column] = counts / counts.sum()
    assert TABLE.marginals(cells, hidden) == pytest.approx(expected)


def test_the_concentration_is_that_under_which_left_out_cells_are_most_likely():
    """For four neighbours it is what counting all other cells for each cell finds; shuffled cells want the most."""
    image = data.channels()["training_image"][None, :24, :24]
    table, places = NeighbourTable(image, 2), [(0, row, column) for row in range(2, 22) for column in range(2, 22)]
    around = {place: tuple(visible_around(image, *place, 4)) for place in np.ndindex(image.shape)}
    bits = []
    for concentration in 2.0 ** np.arange(11):
        likelihood = []
        for place in places:
            alike = [image[other] for other in places if other != place and around[other] == around[place]]
            prior = table.nearest.shares[1, image[place[0], place[1] - 1, place[2]], image[place]]
            counts = alike.count(image[place]) + concentration * prior
            likelihood.append(counts / (len(alike) + concentration))
        bits.append(-np.log2(likelihood).sum())
    assert table.concentrations[0] == 2.0 ** np.argmin(bits)
    shuffled = np.random.default_rng(0).permutation(data.channels()["training_image"].ravel()).reshape(1, 256, 256)
    assert NeighbourTable(shuffled, 2).concentrations[1] >= 512


def test_all_twenty_neighbours_are_looked_at():
    """In a grid that depends on cells two apart and diagonally next to them, all 20 neighbours decide."""
    generator = np.random.default_rng(0)
    board = np.zeros((400, 5, 5), dtype=np.int64)
    far = [(2 + down, 2 + across) for down, across in NEAREST[8:]]
    for row, column in far:
        board[:, row, column] = generator.integers(0, 2, 400)
    board[:, 2, 2] = sum(board[:, row, column] for row, column in far) % 2
    hidden = np.zeros(board.shape, dtype=bool)
    hidden[:, 2, 2] = True
    table = NeighbourTable(np.repeat(board, 40, axis=0), 2)
    assert scoring.error(table.marginals(board, hidden), board, hidden) == 0
    assert scoring.error(Neighbours(board, 2).marginals(board, hidden), board, hidden) > 0.3


def centre_of(prior, n, seed):
    """Grids of which one cell in the middle is hidden."""
    cells = prior.sample(n, np.random.default_rng(seed))
    hidden = np.zeros(cells.shape, dtype=bool)
    hidden[:, prior.height // 2, prior.width // 2] = True
    return cells, hidden


def test_a_table_converges_to_the_exact_conditional_where_neighbours_are_sufficient():
    """Four neighbours tell all of a cell of Ising: the more examples, the nearer. Of mirrored grids they do not."""
    ising, excess = Ising(6, 6, coupling=0.5), []
    cells, hidden = centre_of(ising, 500, 1)
    exact = posterior(ising).marginals(cells, hidden)
    for n in (20, 200, 5000):
        table = NeighbourTable(ising.sample(n, np.random.default_rng(0)), 2)
        excess.append(scoring.excess_bits(table.marginals(cells, hidden), exact, hidden))
    assert excess[0] > 3 * excess[1] > 9 * excess[2]
    assert excess[2] < 0.0005
    mirror = Mirror(6, 6)
    cells, hidden = centre_of(mirror, 500, 1)
    exact = posterior(mirror).marginals(cells, hidden)
    table = NeighbourTable(mirror.sample(5000, np.random.default_rng(0)), 2)
    assert scoring.excess_bits(table.marginals(cells, hidden), exact, hidden) > 0.5


def test_a_table_of_another_law_is_no_good():
    """A table learned from weaker coupling, or from shuffled grids, is measurably off."""
    ising = Ising(6, 6, coupling=0.5)
    cells, hidden = centre_of(ising, 500, 1)
    exact = posterior(ising).marginals(cells, hidden)
    weaker = Ising(6, 6, coupling=0.2).sample(5000, np.random.default_rng(0))
    shuffled = np.random.default_rng(0).permuted(ising.sample(5000, np.random.default_rng(0)).reshape(5000, -1), axis=1)
    for wrong in (weaker, shuffled.reshape(5000, 6, 6)):
        assert scoring.excess_bits(NeighbourTable(wrong, 2).marginals(cells, hidden), exact, hidden) > 0.05


@pytest.mark.slow
def test_a_table_is_better_than_four_neighbours_on_land_cover_and_channels():
    """Single hidden cells cost less than with the four neighbours alone, and half-hidden surroundings too."""
    channels, cover = data.channels(), data.landcover()["cells"]
    for examples, cells, n_symbols in (
        (channels["training_image"][None], channels["realizations"][400:410], 2),
        (cover[None, :, :470], cover[None, :, 480:], 15),
    ):
        single = np.zeros(cells.shape, dtype=bool)
        single[:, 2:-2:5, 2:-2:5] = True
        half = np.random.default_rng(0).random(cells.shape) < 0.5
        predictors = NeighbourTable(examples, n_symbols), Neighbours(examples, n_symbols)
        for hidden in (single, half):
            bits, of_four = (
                scoring.bits_per_hidden_cell(one.marginals(cells, hidden), cells, hidden) for one in predictors
            )
            assert bits < 0.985 * of_four


def test_a_table_of_nothing_known_answers_like_the_nearest_cell():
    """Examples without a known cell teach nothing, and a visible cell that is no symbol is refused."""
    cells, hidden = np.zeros((1, 3, 3), dtype=np.int64), np.eye(3, dtype=bool)[None]
    table = NeighbourTable(np.full((1, 4, 4), -1), 2)
    assert table.marginals(cells, hidden)[hidden] == pytest.approx(0.5)
    with pytest.raises(InputError, match="a visible cell is a symbol 0…1"):
        table.marginals(np.full((1, 2, 2), -1), np.zeros((1, 2, 2), dtype=bool))
