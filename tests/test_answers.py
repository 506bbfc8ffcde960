"""One answer behind every door: the shell, Python and maps answer the same question alike, to the bit."""

import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gridcloze import Inpainter, answers, checking, checkpoint, filling, puzzles
from gridcloze.answers import AnswersByRows
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.commands import fill as command
from gridcloze.decoding import refining
from gridcloze.files import arrays
from gridcloze.files.grids import Grid, read_grid, write_grid
from gridcloze.files.palettes import Palette
from gridcloze.inpainter import ContradictionWarning
from gridcloze.networks import NetworkPredictor
from gridcloze.predictor import entropy_bits
from gridcloze.priors import posterior, squares
from gridcloze.puzzles import Puzzles
from gridcloze.words import HIDDEN, InputError

SAMPLES = 2
SEED = 5
RANDOM = np.random.default_rng(0)
RIGHT = np.where(RANDOM.random((5, 5)) < 0.5, HIDDEN, RANDOM.integers(0, 2, (5, 5)))
LARGE = np.where(RANDOM.random((8, 7)) < 0.6, HIDDEN, RANDOM.integers(0, 2, (8, 7)))
EMPTY, WHOLE = np.full((5, 5), HIDDEN), np.abs(RIGHT)
ALLOWED = RANDOM.random((5, 5, 2)) < 0.6
ALLOWED |= ~ALLOWED.any(-1, keepdims=True)

Answer = dict  # of fill, samples, marginals, and words


@pytest.fixture
def model(tmp_path, small_bert, monkeypatch):
    """Writes a model with random weights, of whole grids or of windows of the same size."""
    monkeypatch.chdir(tmp_path)

    def write(windows):
        header = Header(asdict(small_bert.config), Palette.default(2), scale=3, windows=windows)
        checkpoint.save("model.safetensors", TrainedPredictor(NetworkPredictor(small_bert), header))
        return "model.safetensors"

    return write


def by_shell(gridcloze, model, path, *options):
    """The arrays and the report of `gridcloze fill`."""
    asked = ("--samples", SAMPLES, "--seed", SEED, "--json", *options)
    code, out, _ = gridcloze("fill", model, path, "-o", "filled", *asked)
    assert code == 0
    [report] = json.loads(out)
    return report


def from_file(gridcloze, model, cells, name, *options):
    """One grid as a picture or array."""
    write_grid(name, Grid.from_cells(cells, Palette.default(2), scale=3 if name.endswith("png") else 1))
    report = by_shell(gridcloze, model, name, *options)
    with np.load(f"filled/{name.split('.')[0]}.npz") as results:
        found = {key: results[key] for key in ("fill", "samples", "marginals", "log_prob_bits")}
    assert np.array_equal(read_grid(f"filled/{name}", Palette.default(2)).cells, found["fill"])
    return found | {"report": report}


def from_stack(gridcloze, model, cells, name, *options):
    """The grid as the second of three in a stack; the others are other puzzles."""
    np.savez(name, np.stack([np.roll(cells, 1), cells, np.roll(cells, 2)]))
    report = by_shell(gridcloze, model, name, *options)
    with np.load(f"filled/{name}") as results:
        found = {key: results[key][1] for key in ("fill", "samples", "marginals", "log_prob_bits")}
    lines = [line.removeprefix("grid 1: ") for line in report["warnings"] if line.startswith("grid 1: ")]
    return found | {"report": {**report, "warnings": lines, "log_prob_bits": report["log_prob_bits"][1]}}


def from_map(gridcloze, model, cells, name, *options):
    """The grid as a GeoTIFF; its marginals are those of what was filled in, and the entropy."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 9, "crs": "EPSG:5070"}
    place = rasterio.Affine(30, 0, 0, 0, -30, 0)
    with rasterio.open(name, "w", height=cells.shape[0], width=cells.shape[1], transform=place, **profile) as file:
        file.write(np.where(cells == HIDDEN, 9, cells).astype("uint8"), 1)
    report = by_shell(gridcloze, model, name, *options)
    stem = f"filled/{name.removesuffix('.tif')}"
    with (
        rasterio.open(f"{stem}.tif") as filled,
        rasterio.open(f"{stem}-samples.tif") as samples,
        rasterio.open(f"{stem}-uncertainty.tif") as uncertainty,
    ):
        probability, entropy = uncertainty.read()
        found = {"fill": filled.read(1), "samples": samples.read(), "probability": probability, "entropy": entropy}
    return found | {"report": report}


def from_inpainter(model, cells, evidence=None):
    """The grid through every method of an Inpainter, and the words of its warnings."""
    inpainter = Inpainter.load(model)
    inpainter.random_state = SEED
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = {
            "fill": inpainter.fill(cells, evidence),
            "samples": inpainter.sample(cells, SAMPLES, evidence=evidence),
            "marginals": inpainter.predict_proba(cells, evidence),
        }
        if evidence is None:
            assert np.array_equal(inpainter.transform(cells), found["fill"])
    assert all(issubclass(one.category, ContradictionWarning) for one in caught)
    return found | {"words": sorted({str(one.message) for one in caught})}


SIZES = [
    pytest.param(RIGHT, False, id="one window"),
    pytest.param(LARGE, True, id="larger", marks=pytest.mark.slow),
]
QUESTIONS = [
    pytest.param(RIGHT, False, 0.0, id="right"),
    pytest.param(RIGHT, False, 0.7, id="contradictory"),  # of which all cells below 0.7 are doubted
    pytest.param(EMPTY, False, 0.0, id="empty"),
    pytest.param(WHOLE, False, 0.0, id="nothing hidden"),
    pytest.param(LARGE, True, 0.0, id="larger than a window"),
    pytest.param(np.full((8, 7), HIDDEN), True, 0.0, id="larger than a window, empty", marks=pytest.mark.slow),
    pytest.param(RIGHT, True, 0.0, id="as large as a window", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("cells", "windows", "doubt"), QUESTIONS)
def test_the_doors_agree(gridcloze, model, monkeypatch, cells, windows, doubt):
    """Picture, array, stack, GeoTIFF and Inpainter give the same fill, samples, probabilities and words."""
    monkeypatch.setattr(checking, "CONTRADICTION", doubt)
    path = model(windows)
    found = {
        "picture": from_file(gridcloze, path, cells, "picture.png"),
        "array": from_file(gridcloze, path, cells, "array.npy"),
        "stack": from_stack(gridcloze, path, cells, "stack.npz"),
        "map": from_map(gridcloze, path, cells, "map.tif"),
    }
    python, first = from_inpainter(path, cells), found["picture"]
    for name, other in found.items():
        assert np.array_equal(other["fill"], python["fill"]), name
        assert np.array_equal(other["samples"], python["samples"]), name
        assert other["report"]["warnings"] == first["report"]["warnings"], name
        assert other["report"]["log_prob_bits"] == first["report"]["log_prob_bits"], name
        assert other["report"].keys() - {"grids"} == first["report"].keys(), name
    for name in ("picture", "array", "stack"):
        assert np.array_equal(found[name]["marginals"], python["marginals"].astype(np.float32)), name
    filled = np.take_along_axis(python["marginals"], python["fill"][..., None], -1)[..., 0]
    assert np.array_equal(found["map"]["probability"], filled.astype(np.float32))
    assert np.array_equal(found["map"]["entropy"], entropy_bits(python["marginals"]).astype(np.float32))
    said = [line for line in first["report"]["warnings"] if line.startswith("visible cells contradict")]
    assert python["words"] == said
    assert bool(said) == (doubt > 0)
    assert np.array_equal(python["fill"][cells != HIDDEN], cells[cells != HIDDEN])


def test_the_doors_agree_on_what_is_allowed(gridcloze, model):
    """A picture, an array, a stack and an Inpainter give the same answer under the same --allow."""
    path = model(windows=False)
    np.save("allowed.npy", ALLOWED)
    options = ("--allow", "allowed.npy")
    found = [
        from_file(gridcloze, path, RIGHT, "picture.png", *options),
        from_file(gridcloze, path, RIGHT, "array.npy", *options),
        from_stack(gridcloze, path, RIGHT, "stack.npz", *options),
    ]
    python = from_inpainter(path, RIGHT, ALLOWED)
    for other in found:
        assert np.array_equal(other["fill"], python["fill"])
        assert np.array_equal(other["samples"], python["samples"])
        assert np.array_equal(other["marginals"], python["marginals"].astype(np.float32))
        assert other["report"]["log_prob_bits"] == found[0]["report"]["log_prob_bits"]
    assert not np.array_equal(python["marginals"], from_inpainter(path, RIGHT)["marginals"])  # the negative control
    code, _, _ = gridcloze("fill", path, "array.npy", "-o", "plain", "--seed", SEED, *options)  # and no samples
    assert code == 0
    with np.load("plain/array.npz") as results:
        assert np.array_equal(results["fill"], python["fill"])
        assert results["samples"].shape == (0, 5, 5)


ALLOWED_LARGE = RANDOM.random((8, 7, 2)) < 0.6
ALLOWED_LARGE |= ~ALLOWED_LARGE.any(-1, keepdims=True)
RULES = {
    "an array": (ALLOWED_LARGE, "allowed.npy"),
    "a rule": (np.array([True, False]), "not white"),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_doors_agree_on_what_is_allowed_in_larger_grids(gridcloze, model, rule):
    """Beyond the window too a picture, an array, a GeoTIFF and an Inpainter give the same answer under one --allow."""
    path, (allowed, said) = model(windows=True), RULES[rule]
    np.save("allowed.npy", ALLOWED_LARGE)
    found = [
        from_file(gridcloze, path, LARGE, "picture.png", "--allow", said),
        from_file(gridcloze, path, LARGE, "array.npy", "--allow", said),
        from_map(gridcloze, path, LARGE, "map.tif", "--allow", said),
    ]
    python = from_inpainter(path, LARGE, allowed)
    for other in found:
        assert np.array_equal(other["fill"], python["fill"])
        assert np.array_equal(other["samples"], python["samples"])
        assert other["report"]["log_prob_bits"] == found[0]["report"]["log_prob_bits"]
    filled = np.take_along_axis(python["marginals"], python["fill"][..., None], -1)[..., 0]
    assert np.array_equal(found[2]["probability"], filled.astype(np.float32))
    assert not np.array_equal(python["samples"], from_inpainter(path, LARGE)["samples"])  # the negative control


@pytest.mark.parametrize(("cells", "windows"), SIZES)
def test_the_doors_agree_on_a_typical_fill_and_on_none(gridcloze, model, cells, windows):
    """The typical fill is one of the samples through every door; without a fill the rest is what it was."""
    path = model(windows)
    doors = {"picture.png": from_file, "array.npy": from_file, "map.tif": from_map, "stack.npz": from_stack}
    inpainter = Inpainter.load(path)
    inpainter.random_state = SEED
    few, many = inpainter.fill(cells, typical=True), inpainter.sample(cells, 8)
    assert any(np.array_equal(few, one) for one in many)
    for name, door in doors.items():
        plain = door(gridcloze, path, cells, name)
        typical = door(gridcloze, path, cells, name, "--typical", "--overwrite")
        assert any(np.array_equal(typical["fill"], sample) for sample in plain["samples"])
        assert np.array_equal(typical["samples"], plain["samples"])
        code, _, _ = gridcloze("fill", path, name, "-o", "eight", "--seed", SEED, "--typical")
        assert code == 0
        report = by_shell(gridcloze, path, name, "--no-fill", "--overwrite")
        assert report["log_prob_bits"] is None
        assert report["kind"] == "none"
        assert not (Path("filled") / name).exists() or door is from_stack
        if door is from_map:
            with rasterio.open("filled/map-samples.tif") as samples:
                assert np.array_equal(samples.read(), plain["samples"])
            with rasterio.open("eight/map.tif") as filled:
                assert np.array_equal(filled.read(1), few)
        else:
            with np.load(f"filled/{name.split('.')[0]}.npz") as results:
                assert sorted(results) == ["marginals", "samples"]
                samples = results["samples"][1] if door is from_stack else results["samples"]
                assert np.array_equal(samples, plain["samples"])


@pytest.mark.parametrize(("cells", "windows"), SIZES)
def test_the_doors_agree_on_refined_samples(gridcloze, model, cells, windows):
    """Samples are refined alike through every door, and are others than before; the fill stays what it was."""
    path = model(windows)
    predictor, inpainter = checkpoint.load(path), Inpainter.load(path)
    inpainter.random_state = SEED
    puzzle = Puzzles(cells[None])
    plain = answers.fill(predictor, puzzle, SAMPLES, SEED)
    refined = answers.fill(predictor, puzzle, SAMPLES, SEED, refining(predictor, 2))
    assert not np.array_equal(refined.samples, plain.samples)
    assert (refined.samples == cells)[..., cells != HIDDEN].all()
    assert np.isfinite(refined.log_prob_bits).all()
    assert np.isnan(refined.first_samples(SAMPLES).log_prob_bits).all()
    assert np.array_equal(inpainter.sample(cells, SAMPLES, refine=2), refined.samples[0])
    for name, door in {"a.png": from_file, "b.npy": from_file, "c.tif": from_map, "d.npz": from_stack}.items():
        found = door(gridcloze, path, cells, name, "--refine", 2)
        assert np.array_equal(found["samples"], refined.samples[0])
        assert np.array_equal(found["fill"], plain.fill[0])
        assert found["report"]["log_prob_bits"] == pytest.approx(plain.log_prob_bits[0], abs=1e-6)
        assert found["report"]["decoder"] == asdict(refining(predictor, 2))
        code, _, err = gridcloze("fill", path, name, "-o", "filled", "--seed", SEED, "--samples", SAMPLES)
        assert (code, "other options" in err) == (2, True)
        typical = door(gridcloze, path, cells, name, "--refine", 1, "--typical", "--overwrite")
        assert typical["report"]["log_prob_bits"] is None


def test_there_must_be_samples_to_refine(gridcloze, model):
    """The most likely fill is not refined: who asks for that alone is told so, through every door."""
    path = model(False)
    np.save("puzzle.npy", RIGHT)
    for options in (["--refine", 1], ["--refine", 1001, "--samples", 1]):
        code, _, err = gridcloze("fill", path, "puzzle.npy", "-o", "filled", *options)
        assert code == 2
        assert "refine" in err
        assert not Path("filled").exists()
    with pytest.raises(InputError, match="no sample"):
        Inpainter.load(path).fill(RIGHT, refine=1)
    assert Inpainter.load(path).fill(RIGHT, typical=True, refine=1).shape == RIGHT.shape


def test_the_typical_fill_is_the_sample_of_least_expected_disagreement():
    """Of the samples it differs from the others in the fewest cells, by Bayes' risk under the exact marginals."""
    cells = np.full((1, 6, 6), HIDDEN)
    cells[0, 2, 2] = 1
    exact = posterior(squares(6, 6, 2, 5))
    found = answers.fill(exact, Puzzles(cells), 12, kind="typical")
    members = exact.sample(cells, cells < 0, 4000, np.random.default_rng(0))[0]
    risk = [(members != one).sum(axis=(1, 2)).mean() for one in found.samples[0]]
    chosen = next(n for n, one in enumerate(found.samples[0]) if np.array_equal(one, found.fill[0]))
    assert risk[chosen] < min(risk) + 0.3
    assert risk[chosen] < np.mean(risk) - 1
    assert found.log_prob_bits == pytest.approx(exact.log_prob_bits(found.fill, cells < 0))


def test_no_fill_is_made_where_none_is_asked_for(monkeypatch):
    """Without a fill none is sought, `fill` says so, and samples and marginals are what they were."""
    cells = np.full((1, 6, 6), HIDDEN)
    cells[0, 2, 2] = 1
    exact, puzzle = posterior(squares(6, 6, 2, 5)), Puzzles(cells)
    plain = answers.fill(exact, puzzle, 3)
    monkeypatch.setattr(filling, "most_likely", None)
    found = answers.fill(exact, puzzle, 3, kind="none")
    assert np.array_equal(found.samples, plain.samples)
    assert np.array_equal(found.marginals, plain.marginals)
    assert found.warnings == [[]]
    assert found.passes == plain.passes
    with pytest.raises(InputError, match="no fill was asked for"):
        _ = found.fill
    with pytest.raises(InputError, match="the kinds are likely, typical, none"):
        answers.checked_kind("best")


def test_a_warning_says_when_the_most_likely_grid_is_not_typical():
    """Of many biased coins the most likely grid is far from samples, of a few it is not; a typical fill is silent."""

    class Coins:
        n_symbols, window = 2, None

        def marginals(self, cells, hidden):
            return np.where(hidden[..., None], [0.9, 0.1], np.eye(2)[np.where(hidden, 0, cells)])

    many, few = np.full((1, 12, 13), HIDDEN), np.zeros((1, 12, 13), int)
    many[0, 0, 0], few[0, 0, :5] = 0, HIDDEN
    [[line]] = answers.fill(Coins(), Puzzles(many)).warnings
    assert line.startswith("the most likely grid is not typical (49 bits more probable than samples)")
    assert answers.fill(Coins(), Puzzles(few)).warnings == [[]]
    assert answers.fill(Coins(), Puzzles(many), kind="typical").warnings == [[]]


def test_a_fill_is_the_same_however_many_samples_are_asked_for():
    """The samples of a puzzle come with its fill, and do not change it."""
    cells = np.full((1, 6, 6), HIDDEN)
    cells[0, 2, 2] = 1
    exact, puzzle = posterior(squares(6, 6, 2, 5)), Puzzles(cells)
    few, many = (answers.fill(exact, puzzle, samples) for samples in (0, 20))
    assert np.array_equal(few.fill, many.fill)
    samples = answers.fill(exact, puzzle, 20).samples
    assert np.array_equal(many.samples, samples)  # in whichever order its parts are looked at


def test_rows_are_read_a_few_at_a_time_and_named_like_the_whole(monkeypatch):
    """The name of a grid that is read by rows, from which its random streams follow, is that of the whole grid."""
    monkeypatch.setattr(answers, "CELLS_AT_ONCE", 14)
    by_rows = AnswersByRows(posterior(squares()), lambda start, stop: LARGE[start:stop], LARGE.shape, seed=SEED)
    assert (*by_rows.stream(), 0) == Puzzles(LARGE[None]).streams(1, SEED)[0]
    assert by_rows.hidden_cells == (LARGE == HIDDEN).sum()


@pytest.fixture
def counted(monkeypatch):
    """How often the expensive steps run."""
    counts = dict.fromkeys(("validated", "allow file read", "array file loaded", "grids hashed"), 0)

    def count(module, function, name):
        original = getattr(module, function)

        def counting(*arguments, **options):
            counts[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, function, counting)

    count(puzzles, "checked_evidence", "validated")
    count(command, "read_evidence", "allow file read")
    count(arrays, "read_array", "array file loaded")
    count(puzzles, "name_of", "grids hashed")
    return counts


def test_a_grid_is_checked_once(gridcloze, model, counted):
    """For one grid with --allow evidence is validated once, its file read once, and the grid hashed once."""
    path = model(windows=False)
    np.save("allowed.npy", ALLOWED)
    from_file(gridcloze, path, RIGHT, "picture.png", "--allow", "allowed.npy")
    assert (counted["validated"], counted["allow file read"], counted["grids hashed"]) == (1, 1, 1)


def test_a_stack_is_checked_once(gridcloze, model, counted, monkeypatch):
    """For a stack in one .npz, filled in three parts: evidence validated, its file read, and the stack loaded once."""
    monkeypatch.setattr(command, "GRIDS_AT_ONCE", 3)
    path = model(windows=False)
    np.save("allowed.npy", ALLOWED)
    stack = np.where(np.random.default_rng(1).random((8, 5, 5)) < 0.5, HIDDEN, 0)
    np.savez("stack.npz", stack)
    by_shell(gridcloze, path, "stack.npz", "--allow", "allowed.npy")
    assert (counted["validated"], counted["allow file read"], counted["grids hashed"]) == (1, 1, 8)
    assert counted["array file loaded"] == 1
    for call in (filling.sample, filling.most_likely, filling.marginals):  # Python: once, when the puzzles are made
        before = counted["validated"]
        asked = Puzzles(stack[:2], evidence=np.broadcast_to(ALLOWED, (2, 5, 5, 2)))
        call(checkpoint.load(path), asked)
        assert counted["validated"] == before + 1


def test_many_contradicting_cells_are_not_all_named(gridcloze, model, monkeypatch):
    """After five cells that contradict the rest, shell and Python say only how many more there are."""
    path, visible = model(windows=False), RIGHT != HIDDEN
    monkeypatch.setattr(checking, "contradicting", lambda predictor, puzzles: ~puzzles.hidden)
    said = from_inpainter(path, RIGHT)["words"]
    report = from_file(gridcloze, path, RIGHT, "array.npy")["report"]
    assert report["warnings"] == said
    assert said[0].count("(row ") == 5
    assert f" and {visible.sum() - 5} more: kept" in said[0]
    few = ~visible & False
    few.flat[:5] = True
    monkeypatch.setattr(checking, "contradicting", lambda predictor, puzzles: few[None])
    [words] = from_inpainter(path, np.zeros((5, 5), int))["words"]
    assert words.count("(row ") == 5
    assert "more" not in words


def test_answers_in_several_threads_do_not_wait_for_each_other():
    """Two fills are computed at once: each asks the predictor while the other one does."""
    both = threading.Barrier(2, timeout=30)

    class Meeting:
        n_symbols, window = 2, None

        def marginals(self, cells, hidden):
            both.wait()
            return np.where(hidden[..., None], 0.5, np.eye(2)[np.where(hidden, 0, cells)])

    puzzles = Puzzles(np.array([[[0, HIDDEN]]]))
    with ThreadPoolExecutor(2) as threads:
        fills = list(threads.map(lambda _: answers.fill(Meeting(), puzzles).fill, range(2)))
    assert np.array_equal(*fills)
