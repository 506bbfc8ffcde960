"""What is hidden, in training and in tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcloze.priors import hiding

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))


@given(
    SHAPES,
    st.integers(0, 1000),
    st.sampled_from([hiding.training_hiding, hiding.window_hiding, hiding.evaluation_hiding]),
)
def test_every_grid_of_any_size_hides_a_cell_and_the_seed_decides_which(shape, seed, hide):
    """Every grid of any size hides at least one cell, and the same seed hides the same cells."""
    hidden = hide(shape, np.random.default_rng(seed))
    assert hidden.shape == shape
    assert hidden.any(axis=(1, 2)).all()
    assert np.array_equal(hidden, hide(shape, np.random.default_rng(seed)))


def test_half_of_the_grids_in_evaluation_hide_a_uniform_fraction_of_cells():
    """The hidden fractions of the half that hides independent cells are uniform in (0, 1)."""
    hidden = hiding.evaluation_hiding((8000, 16, 16), np.random.default_rng(0))
    kind = np.arange(8000) % 4
    fractions = np.sort(hidden[kind < 2].mean(axis=(1, 2)))
    uniform = (np.arange(4000) + 0.5) / 4000
    assert np.abs(fractions - uniform).max() < 1.63 / np.sqrt(4000) + 1 / 256  # Kolmogorov–Smirnov, 1 %


def test_a_quarter_of_the_grids_in_evaluation_hide_one_rectangle_with_uniform_sides():
    """A quarter hides one rectangle, with every side from 2 to the grid's equally often."""
    hidden = hiding.evaluation_hiding((16000, 9, 6), np.random.default_rng(1))[2::4]
    rows, columns = hidden.any(axis=2), hidden.any(axis=1)
    assert np.array_equal(hidden, rows[:, :, None] & columns[:, None, :])
    for sides, longest in ((rows.sum(axis=1), 9), (columns.sum(axis=1), 6)):
        shares = np.bincount(sides, minlength=longest + 1)[2:] / len(sides)
        assert sides.min() == 2
        assert shares == pytest.approx(1 / (longest - 1), abs=0.025)


def test_the_last_quarter_in_evaluation_hides_the_union_of_both():
    """The last quarter hides as much as independent cells and a rectangle do together."""
    hidden = hiding.evaluation_hiding((8000, 16, 16), np.random.default_rng(2))
    shares = [hidden[kind::4].mean() for kind in range(4)]
    assert shares[3] == pytest.approx(1 - (1 - shares[0]) * (1 - shares[2]), abs=0.02)


def test_training_hides_nearly_everything_often_enough():
    """At least a tenth of the grids in training have no more than 12 of 256 cells visible."""
    hidden = hiding.training_hiding((4000, 16, 16), np.random.default_rng(3))
    assert ((~hidden).sum(axis=(1, 2)) <= 12).mean() > 0.1


def test_holes_have_sides_of_every_magnitude():
    """A side of a hole is as often up to 4 cells as it is from 16 on, of 64."""
    rows = hiding.hole((8000, 64, 64), np.random.default_rng(4)).any(axis=2).sum(axis=1)
    assert rows.min() == 2
    assert rows.max() >= 63
    for least, most in ((2, 4), (4, 8), (8, 16), (16, 32)):
        assert ((rows >= least) & (rows < most)).mean() == pytest.approx(0.2, abs=0.02)


def test_what_is_unswept_lies_below_and_to_the_right():
    """Below a cell that is unswept all cells are, and to the right of it too."""
    hidden = hiding.unswept((500, 9, 7), np.random.default_rng(5))
    assert (np.diff(hidden.astype(int), axis=1) >= 0).all()
    assert (np.diff(hidden.astype(int), axis=2) >= 0).all()
    assert 0.2 < hidden.mean() < 0.8


@given(st.tuples(st.integers(1, 3), st.integers(2, 40), st.integers(2, 40)), st.integers(0, 1000))
def test_every_condition_hides_a_part_of_grids_of_any_size(shape, seed):
    """Each condition hides some cells of each grid, by the seed; only where few are visible may all be hidden."""
    conditions = hiding.conditions(*shape[1:])
    for name, hide in conditions.items():
        hidden = hide(shape, np.random.default_rng(seed))
        assert np.array_equal(hidden, hide(shape, np.random.default_rng(seed)))
        if "visible" not in name:
            assert hidden.any(axis=(1, 2)).all()
            assert not hidden.all(axis=(1, 2)).any()


def test_conditions_hide_what_their_names_say():
    """Holes are squares of the side in their name, at most half as long as the grid; halves and shares are such."""
    shape = (400, 20, 30)
    hidden = {name: hide(shape, np.random.default_rng(0)) for name, hide in hiding.conditions(20, 30).items()}
    assert list(hidden)[:3] == ["single cells", "hole 5×5", "hole 10×10"]
    for side in (5, 10):
        hole = hidden[f"hole {side}×{side}"]
        rows, columns = hole.any(axis=2), hole.any(axis=1)
        assert np.array_equal(hole, rows[:, :, None] & columns[:, None, :])
        assert set(rows.sum(axis=1)) == set(columns.sum(axis=1)) == {side}
        assert rows[:, 0].any()
        assert rows[:, -1].any()
    for share in (20, 5, 1):
        assert 1 - hidden[f"{share}% visible"].mean() == pytest.approx(share / 100, rel=0.05)
    for one, other in (("left", "right"), ("top", "bottom")):
        assert np.array_equal(hidden[f"{one} hidden"], ~hidden[f"{other} hidden"])
    assert hidden["left hidden"][:, :, 0].all()
    assert hidden["top hidden"][:, 0].all()


def test_single_cells_have_visible_neighbours():
    """No two hidden cells are nearer than 16 rows or columns, and none is at the border of a grid with an inside."""
    hidden = hiding.single_cells((3000, 40, 21), np.random.default_rng(0))
    assert not hidden[:, [0, -1]].any()
    assert not hidden[:, :, [0, -1]].any()
    assert hidden.any(axis=0)[1:15, 1:15].all()
    for grid in hidden[:100]:
        places = np.argwhere(grid)
        apart = np.abs(places[:, None] - places).max(axis=-1)
        assert (apart[~np.eye(len(places), dtype=bool)] >= 16).all()


def test_single_cells_are_those_of_the_published_figures():
    """In grids of 16 and more cells to a side, the random numbers are used as the figures of land cover used them."""
    shape, generator = (50, 32, 20), np.random.default_rng([6000, 0])
    published = np.zeros(shape, dtype=bool)
    for grid in published:
        row, column = generator.integers(1, 15, 2)
        grid[row:-1:16, column:-1:16] = True
    assert np.array_equal(hiding.single_cells(shape, np.random.default_rng([6000, 0])), published)
