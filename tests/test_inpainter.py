"""The front door in Python, held to the conventions of scikit-learn."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import gridcloze
from gridcloze import Inpainter, checkpoint, scoring
from gridcloze.inpainter import ContradictionWarning
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


def image(height, width=None):
    """A large grid of three symbols, in bands."""
    rows, columns = np.indices((height, width or height))
    return (rows + columns) // 3 % 3


@pytest.fixture(scope="module")
def of_windows():
    return Inpainter(steps=2, depth=1, windows=4).fit(image(16))


NOT_ALLOWED = {
    "minutes": ["5", 0, -1.0, float("nan"), float("inf"), True, [1.0], 1e300],
    "steps": ["5", 0, -3, 2.0, True, np.array([2]), np.float64(2)],
    "depth": ["2", 0, 1.5, None, False],
    "grid_shape": ["55", (5,), (5, 5, 1), (0, 25), (5.0, 5), (True, 25), 25, np.array(25)],
    "random_state": ["5", -1, 1.0, True, 2**64, np.random.default_rng(0), (1, 2)],
    "windows": ["4", 0, 1, -4, 4.0, True, (4, 4)],
    "symmetries": ["some", None, 8, ["all"], np.array(["all"])],
    "verbose": ["yes", -1, 0.5, None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NOT_ALLOWED.items() for value in values])
def test_parameters_are_checked_at_fit(name, value):
    """A parameter that is not allowed can be set, and is refused by `fit` with its name, its value and what is."""
    model = Inpainter(**{"steps": 1, "depth": 1, name: value})
    assert model.get_params()[name] is value
    with pytest.raises(InputError, match=rf"^{name}=.*: {name} must be ") as refused:
        model.fit(GRIDS)
    assert " ".join(repr(value).split()) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_numbers_of_numpy_are_numbers(puzzle, tmp_path):
    """NumPy's integers and floats as parameters give the model and the answers that Python's give, and can be saved."""
    ours = Inpainter(minutes=1.0, steps=2, depth=1, random_state=3).fit(GRIDS)
    of_numpy = Inpainter(
        minutes=np.float32(1), steps=np.int64(2), depth=np.uint8(1), random_state=np.int32(3), verbose=np.int8(0)
    ).fit(GRIDS)
    assert np.array_equal(ours.predict_proba(puzzle), of_numpy.predict_proba(puzzle))
    assert np.array_equal(ours.sample(puzzle, np.int64(2)), of_numpy.sample(puzzle, 2, seed=np.int64(3)))
    of_numpy.save(tmp_path / "model.safetensors")
    assert Inpainter.load(tmp_path / "model.safetensors").get_params() == of_numpy.get_params()
    Inpainter(steps=1, depth=1, windows=np.int64(4), symmetries=np.array(["all"])[0]).fit(image(12))
    for wrong in ({"n": "3"}, {"n": -1}, {"n": True}, {"seed": "1"}, {"seed": -1}, {"seed": 1.0}):
        with pytest.raises(InputError, match="must be an integer of 0 or more"):
            ours.sample(puzzle, **wrong)


@pytest.mark.slow
def test_random_states_are_those_of_scikit_learn(puzzle):
    """An int repeats; a RandomState instance goes on with each fit; None follows NumPy's global random state."""
    model = Inpainter(steps=1, depth=1, random_state=np.random.RandomState(0))
    first, again = (model.fit(GRIDS).random_state_ for _ in range(2))
    assert first != again
    assert Inpainter(steps=1, depth=1, random_state=np.random.RandomState(0)).fit(GRIDS).random_state_ == first
    free = Inpainter(steps=1, depth=1, random_state=None)
    assert free.fit(GRIDS).random_state_ != free.fit(GRIDS).random_state_
    assert np.array_equal(free.sample(puzzle, 3), free.sample(puzzle, 3))
    seeded = Inpainter(steps=1, depth=1, random_state=free.random_state_).fit(GRIDS)
    assert np.array_equal(seeded.sample(puzzle, 3), free.sample(puzzle, 3))


@pytest.mark.parametrize(
    "parameters",
    [
        {"windows": 4, "symmetries": "all", "random_state": 7},
        {"minutes": 0.5, "verbose": 1, "symmetries": "mirrors"},
        {"random_state": None, "minutes": None},
        {"grid_shape": (4, 64), "random_state": 2**40},
    ],
)
@pytest.mark.filterwarnings("ignore:the examples look different")  # which they do
@pytest.mark.slow
def test_a_loaded_model_has_the_parameters_of_fit(parameters, tmp_path):
    """All parameters come back from the file, and with them the samples; a clone learns the same."""
    rows = "grid_shape" in parameters
    examples = image(16).reshape(1, -1) if rows else image(16)[None]
    model = Inpainter(**{"steps": 2, "depth": 1} | parameters).fit(examples)
    model.save(tmp_path / "model.safetensors")
    loaded = Inpainter.load(tmp_path / "model.safetensors")
    assert loaded.get_params() == model.get_params()
    for name in ("random_state_", "grid_shape_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(model, name), name
    question = np.where(np.random.default_rng(0).random(examples.shape) < 0.5, np.nan, examples)
    assert np.array_equal(loaded.sample(question, 2), model.sample(question, 2))
    if parameters.get("random_state", 0) is not None:
        learned = clone(loaded).fit(examples)
        assert np.array_equal(learned.predict_proba(question), model.predict_proba(question))


def test_a_random_state_instance_comes_back_as_the_seed_it_gave(tmp_path):
    """A file holds no RandomState: a clone of what is loaded learns the same by the seed that was drawn."""
    model = Inpainter(steps=1, depth=1, random_state=np.random.RandomState(3)).fit(GRIDS)
    model.save(tmp_path / "model.safetensors")
    loaded = Inpainter.load(tmp_path / "model.safetensors")
    assert loaded.random_state == model.random_state_
    assert np.array_equal(clone(loaded).fit(GRIDS).predict_proba(GRIDS[:2]), model.predict_proba(GRIDS[:2]))


def test_models_of_the_command_line_know_their_parameters(gridcloze):
    """What `gridcloze train` was told is what an Inpainter that loads the model has; a clone learns the same model."""
    np.save("image.npy", image(16))
    options = ("--windows", 4, "--symmetries", "mirrors", "--steps", 2, "--depth", 1, "--seed", 5)
    assert gridcloze("train", "image.npy", "-o", "model.safetensors", *options)[0] == 0
    loaded = Inpainter.load("model.safetensors")
    expected = {"windows": 4, "symmetries": "mirrors", "steps": 2, "depth": 1, "random_state": 5}
    assert {name: loaded.get_params()[name] for name in expected} == expected
    question = np.where(np.random.default_rng(0).random((9, 9)) < 0.5, HIDDEN, image(9))
    learned = clone(loaded).fit(image(16))
    assert np.array_equal(learned.predict_proba(question), loaded.predict_proba(question))
    assert np.array_equal(learned.sample(question), loaded.sample(question))


@pytest.mark.parametrize(
    "notes",
    [
        {"parameters": {"steps": "2"}},
        {"parameters": {"random_state": -1}},
        {"row_shape": [5]},
        {"seed": "x"},
        {"symbols": [0]},
        {"symbols": "ab"},
    ],
)
def test_notes_that_are_none_are_refused(fitted, notes, tmp_path):
    """What a model file says about its training is checked before it becomes an Inpainter."""
    predictor = pickle.loads(pickle.dumps(fitted.predictor_))
    predictor.header.training.update(notes)
    checkpoint.save(tmp_path / "model.safetensors", predictor)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        Inpainter.load(tmp_path / "model.safetensors")


@pytest.mark.slow
def test_windows_of_images_of_any_sizes():
    """With windows, one image, a stack, a list of several sizes and an array of objects are learned from."""
    sizes = [image(16), image(9, 12)]
    objects = np.empty(2, dtype=object)
    objects[:] = sizes
    for examples in (image(16), image(16)[None], sizes, tuple(sizes), objects, [grid.tolist() for grid in sizes]):
        model = Inpainter(steps=1, depth=1, windows=4).fit(examples)
        assert model.grid_shape_ == (4, 4)
        assert model.predictor_.window == (4, 4)
        assert model.predictor_.header.training["images"] == (2 if len(examples) == 2 else 1)
        assert model.fill(np.full((7, 6), HIDDEN)).shape == (7, 6)
    with pytest.raises(InputError, match=r"different sizes, such as 9 by 12 and 16 by 16 cells: .* windows=…"):
        Inpainter(steps=1).fit(sizes)
    for ragged in ([[1, 2], [3]], [[[0, 1], [1]], [[0, 1], [1, 1]]], [image(4), image(4)[0]]):
        with pytest.raises(InputError, match="no numbers in grids of one size"):
            Inpainter(steps=1).fit(ragged)
    with pytest.raises(InputError, match=r"grid 1: .*symbol"):
        Inpainter(steps=1, windows=4).fit([image(16), image(9) + 0.5])


@pytest.mark.parametrize("nested", [False, True])
def test_masks_in_lists_are_kept(fitted, puzzle, nested):
    """Masked grids, rows and cells in a list are hidden as in a masked array."""
    masked = np.ma.masked_array(np.where(puzzle == HIDDEN, 1, puzzle), puzzle == HIDDEN)
    as_list = [list(masked), list(GRIDS[1])] if nested else [masked, GRIDS[1]]
    expected = fitted.predict_proba(np.stack([puzzle, GRIDS[1]]))
    assert np.array_equal(fitted.predict_proba(as_list), expected)
    rows_of_cells = [[np.ma.masked if cell == HIDDEN else cell for cell in row] for row in puzzle.tolist()]
    assert np.array_equal(fitted.predict_proba(rows_of_cells), expected[0])
    unknown = [np.ma.masked_equal(grid, 1) for grid in GRIDS]  # all ones are hidden: a symbol is missing
    with pytest.raises(InputError, match="nothing can be learned from one symbol"):
        Inpainter(steps=1).fit(unknown)


def test_grids_of_different_sizes_are_answered_as_a_list(of_windows):
    """A list of grids of different sizes gives a list, each grid answered as it is alone."""
    puzzles = [np.where(np.random.default_rng(size).random((size, 6)) < 0.5, HIDDEN, image(size, 6)) for size in (5, 9)]
    wholes = [image(5, 6), image(9, 6)]
    asked = [puzzles[0], np.ma.masked_equal(puzzles[1], HIDDEN)]
    for method in (
        of_windows.fill,
        of_windows.transform,
        of_windows.predict_proba,
        of_windows.sample,
        of_windows.check,
    ):
        answers = method(asked)
        assert isinstance(answers, list)
        for answer, one in zip(answers, puzzles, strict=True):
            alone = method(one)
            assert answer == alone if isinstance(alone, list) else np.array_equal(answer, alone)
    queried = [np.arange(grid.size).reshape(grid.shape) < 3 for grid in wholes]
    bits = of_windows.log_prob(wholes, queried)
    assert bits == [of_windows.log_prob(*one) for one in zip(wholes, queried, strict=True)]
    assert of_windows.score(wholes) < 0
    with pytest.raises(InputError, match="grid 1, row 0, column 0: 7 is in none of the examples"):
        of_windows.fill([puzzles[0], np.full((6, 6), 7)])
    with pytest.raises(InputError, match=r"hidden of shape .* does not fit"):
        of_windows.log_prob(wholes, queried[:1])


def test_evidence_and_warnings_of_a_list(fitted, puzzle, monkeypatch):
    """Evidence comes with each grid of a list, and warnings name the grid."""
    larger = np.pad(puzzle, ((0, 1), (0, 0)), constant_values=HIDDEN)
    allowed = [np.ones((*grid.shape, 2), dtype=bool) for grid in (puzzle, larger)]
    allowed[1][5, :, 0] = False
    assert (fitted.fill([puzzle, larger], allowed)[1][5] == 1).all()
    monkeypatch.setattr("gridcloze.checking.contradicting", lambda _, puzzles: ~puzzles.hidden & (puzzles.size[0] == 6))
    with pytest.warns(ContradictionWarning, match=r"^grid 1: visible cells contradict") as warned:
        fitted.fill([puzzle, larger])
    assert len(warned) == 1


@pytest.mark.parametrize("hide", [lambda spins: spins, lambda spins: np.ma.masked_equal(spins, -1), lambda spins: None])
def test_spins_are_refused(hide):
    """-1 means hidden: where only one other symbol is left, nothing can be learned, and the error says why."""
    spins = np.where(GRIDS == 1, 1, -1)
    hidden = hide(spins)
    with pytest.raises(InputError, match=r"-1 means hidden: .* number symbols such as -1 and 1 as 0 and 1"):
        Inpainter(steps=1).fit(np.where(spins == 1, 1.0, np.nan) if hidden is None else hidden)


def test_a_score_needs_a_known_cell(fitted):
    """Of grids without a known cell there is no score."""
    with pytest.raises(InputError, match="no known cell"):
        fitted.score(np.full((2, 5, 5), HIDDEN))


def test_verbose_prints_what_is_learned_and_how_far_it_is(capsys):
    """`verbose=1` prints grids, symbols with their share, and a line for each tenth; without it nothing is printed."""
    Inpainter(steps=20, depth=1, verbose=1).fit(np.where(GRIDS[:, :1] == 0, HIDDEN, GRIDS))
    examples, symbols, *tenths = capsys.readouterr().out.splitlines()
    assert examples.startswith("60 grids of 5 by 5 cells, ")
    assert examples.endswith("% of them hidden")
    assert symbols.startswith("symbols 0 (")
    assert [line[:4] for line in tenths] == [f"{share:4}%"[-4:] for share in range(10, 101, 10)]
    assert all("s left, loss " in line and ", held-out " in line for line in tenths)
    Inpainter(steps=2, depth=1).fit(GRIDS)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_an_inpainter_can_be_pickled(fitted, puzzle, tmp_path):
    """A fitted Inpainter, one loaded from a file, and one on an exported model are the same after pickling."""
    fitted.save(tmp_path / "model.safetensors")
    command = [sys.executable, "-c", "from gridcloze.cli import main; main()", "export", "model.safetensors"]
    subprocess.run([*command, "-o", "model.onnx"], cwd=tmp_path, check=True)  # types are checked here, which it cannot
    for model in (fitted, *(Inpainter.load(tmp_path / name) for name in ("model.safetensors", "model.onnx"))):
        again = pickle.loads(pickle.dumps(model))
        assert again.get_params() == fitted.get_params()
        assert np.array_equal(again.sample(puzzle, 2), model.sample(puzzle, 2))
        assert np.array_equal(again.predict_proba(puzzle), model.predict_proba(puzzle))


def test_a_model_replaces_models_only(fitted, tmp_path):
    """`save` replaces an older model, and no file of somebody's."""
    for _ in range(2):
        fitted.save(tmp_path / "model.safetensors")
    (tmp_path / "mine.npy").write_bytes(b"my data")
    with pytest.raises(ValueError, match=r"mine.npy was not written by gridcloze and is not replaced"):
        fitted.save(tmp_path / "mine.npy")
    assert (tmp_path / "mine.npy").read_bytes() == b"my data"


def test_evidence_for_all_cells_alike_is_that_for_each_cell(fitted, puzzle):
    """One entry for each symbol stands for all cells, and a fill by a typical sample keeps to it."""
    everywhere = np.broadcast_to([True, False], (5, 5, 2))
    for one in ([True, False], np.array([True, False])):
        assert np.array_equal(fitted.sample(puzzle, 2, evidence=one), fitted.sample(puzzle, 2, evidence=everywhere))
    typical = fitted.fill(puzzle, [True, False], typical=True)
    assert (typical[puzzle == -1] == fitted.symbols_[0]).all()
    with pytest.raises(InputError, match="typical must be a bool"):
        fitted.fill(puzzle, typical=1)
