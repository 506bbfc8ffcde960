"""The front door in Python, held to the conventions of scikit-learn."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import gridcloze
from gridcloze import Inpainter, scoring
from gridcloze.priors import evaluation_hiding, posterior, squares
from gridcloze.words import HIDDEN, InputError

PRIOR = squares(5, 5, 2, 4)
GRIDS = PRIOR.sample(60, np.random.default_rng(0))

CANNOT = {"check_positive_only_tag_during_fit": "-1 is a hidden cell: of negative values only the others are refused"}


@pytest.fixture(scope="module")
def fitted():
    return Inpainter(steps=20, depth=2).fit(GRIDS)


@pytest.fixture
def puzzle():
    cells = GRIDS[0].copy()
    cells[1:4, 1:4] = HIDDEN
    return cells


@pytest.mark.slow
@parametrize_with_checks([Inpainter(steps=2, depth=1)], expected_failed_checks=lambda estimator: CANNOT)
def test_the_checks_of_scikit_learn(estimator, check):
    """Scikit-learn's own checks of an estimator pass, but for those that cannot, each with its reason."""
    check(estimator)


def test_shapes_for_one_grid_and_for_several(fitted, puzzle):
    """A grid is answered without the leading axis that a stack has."""
    both = np.stack([puzzle, GRIDS[1]])
    assert fitted.fill(puzzle).shape == (5, 5)
    assert fitted.fill(both).shape == fitted.transform(both).shape == (2, 5, 5)
    assert fitted.sample(puzzle, n=3).shape == (3, 5, 5)
    assert fitted.sample(both, n=3).shape == (2, 3, 5, 5)
    assert fitted.predict_proba(puzzle).shape == (5, 5, 2)
    assert fitted.predict_proba(both).shape == (2, 5, 5, 2)
    assert np.ndim(fitted.log_prob(GRIDS[0])) == 0
    assert fitted.log_prob(GRIDS[:2]).shape == (2,)
    assert isinstance(fitted.check(GRIDS[0]), list)
    assert len(fitted.check(GRIDS[:2])) == 2


def test_known_cells_and_seeds(fitted, puzzle):
    """Known cells come back untouched, and the seed decides the draws."""
    known = puzzle != HIDDEN
    for answer in (fitted.fill(puzzle), *fitted.sample(puzzle, n=4)):
        assert np.array_equal(answer[known], puzzle[known])
        assert (answer != HIDDEN).all()
    assert np.array_equal(fitted.sample(puzzle, 4, seed=1), fitted.sample(puzzle, 4, seed=1))
    assert not np.array_equal(fitted.sample(puzzle, 4, seed=1), fitted.sample(puzzle, 4, seed=2))


def test_hidden_cells_may_be_minus_one_nan_or_masked(fitted, puzzle):
    """-1, NaN and a masked array are the same question."""
    as_nan = np.where(puzzle == HIDDEN, np.nan, puzzle)
    as_masked = np.ma.masked_array(np.where(puzzle == HIDDEN, 7, puzzle), puzzle == HIDDEN)
    for other in (as_nan, as_masked):
        assert np.array_equal(fitted.predict_proba(other), fitted.predict_proba(puzzle))


def test_symbols_are_those_of_the_examples(puzzle):
    """Any integers are symbols; others than those of the examples are refused, and so are fractions."""
    model = Inpainter(steps=2, depth=1).fit(np.where(GRIDS == 1, 40, 3))
    assert model.symbols_.tolist() == [3, 40]
    renamed = np.where(puzzle == HIDDEN, HIDDEN, np.where(puzzle == 1, 40, 3))
    assert set(np.unique(model.fill(renamed))) <= {3, 40}
    with pytest.raises(InputError, match=r"row 0, column 0: 1 is in none of the examples"):
        model.fill(np.ones((5, 5)))
    for wrong in (np.full((5, 5), 0.5), np.full((5, 5), -2), np.full((5, 5), "a"), np.zeros(5)):
        with pytest.raises(ValueError, match=r"symbol|shape"):
            model.fill(wrong)


def test_rows_of_a_table_are_grids():
    """Fitted on rows, every row is a grid of the shape that was given, and answers are rows."""
    rows = GRIDS.reshape(len(GRIDS), 25)
    model = Inpainter(steps=5, depth=2, grid_shape=(5, 5)).fit(rows)
    puzzles = rows[:3].astype(float)
    puzzles[:, 7:15] = np.nan
    assert model.transform(puzzles).shape == (3, 25)
    assert model.sample(puzzles, 2).shape == (3, 2, 25)
    assert model.predict_proba(puzzles).shape == (3, 25, 2)
    as_grids = Inpainter(steps=5, depth=2).fit(GRIDS)
    stacked = as_grids.predict_proba(puzzles.reshape(3, 5, 5))
    assert np.array_equal(model.predict_proba(puzzles), stacked.reshape(3, 25, 2))


@pytest.mark.slow
def test_it_works_in_pipelines_and_grid_search():
    """It can be cloned, searched over and put into a pipeline."""
    pipeline = make_pipeline(FunctionTransformer(lambda grids: grids, validate=False), Inpainter(steps=2, depth=1))
    assert pipeline.fit(GRIDS).transform(GRIDS[:2]).shape == (2, 5, 5)
    search = GridSearchCV(Inpainter(steps=2), {"depth": [1, 2]}, cv=2).fit(GRIDS)
    assert search.best_params_["depth"] in (1, 2)
    assert clone(Inpainter(minutes=2.0, depth=3)).get_params() == Inpainter(minutes=2.0, depth=3).get_params()


def test_what_is_saved_is_loaded_here_and_by_the_command_line(fitted, puzzle, tmp_path):
    """A saved model answers the same when it is loaded, as an Inpainter and as a Predictor."""
    fitted.save(tmp_path / "model.safetensors")
    loaded = Inpainter.load(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict_proba(puzzle), fitted.predict_proba(puzzle))
    assert loaded.get_params() == fitted.get_params()
    predictor = gridcloze.load(tmp_path / "model.safetensors")
    assert np.array_equal(predictor.marginals(puzzle[None], puzzle[None] == HIDDEN)[0], fitted.predict_proba(puzzle))


@pytest.mark.slow
def test_training_pays(fitted):
    """150 steps take away half of what held-out grids cost over the exact posterior after 20 steps."""
    cells = PRIOR.sample(100, np.random.default_rng(5))
    before, after = (model.score(cells) for model in (fitted, Inpainter(steps=150, depth=2).fit(GRIDS)))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(0))
    best = -scoring.bits_per_hidden_cell(posterior(PRIOR).marginals(cells, hidden), cells, hidden)
    assert before < after < best
    assert best - after < 0.5 * (best - before)


def test_evidence_keeps_to_what_is_allowed(fitted, puzzle):
    """Only allowed symbols are filled in, and the probability of the others is 0."""
    allowed = np.ones((5, 5, 2), dtype=bool)
    allowed[2, :, 0] = False
    assert (fitted.fill(puzzle, allowed)[2, 1:4] == 1).all()
    assert (fitted.sample(puzzle, 3, evidence=allowed)[:, 2, 1:4] == 1).all()
    assert (fitted.predict_proba(puzzle, allowed)[2, 1:4, 0] == 0).all()
    with pytest.raises(InputError, match="does not fit"):
        fitted.fill(puzzle, allowed[:4])


def test_a_log_probability_needs_whole_grids(fitted, puzzle):
    """Of a grid with hidden cells there is no log-probability; of some cells given the others there is."""
    with pytest.raises(InputError, match="has no log-probability"):
        fitted.log_prob(puzzle)
    assert fitted.log_prob(GRIDS[0]) < fitted.log_prob(GRIDS[0], puzzle == HIDDEN) <= 0


@pytest.mark.parametrize("method", ["fill", "sample", "predict_proba", "log_prob", "score", "check", "transform"])
def test_nothing_is_answered_before_fit(method):
    """Every method asks to be fitted first."""
    with pytest.raises(NotFittedError):
        getattr(Inpainter(), method)(GRIDS)


def test_examples_without_a_known_cell_are_refused():
    """From hidden cells alone nothing can be learned."""
    with pytest.raises(InputError, match="every cell of the examples is hidden"):
        Inpainter(steps=1).fit(np.full((2, 3, 3), HIDDEN))
