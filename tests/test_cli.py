"""The commands, from files to files."""

import json
import os
import re
import subprocess
import sys
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridcloze import (
    Inpainter,
    checking,
    checkpoint,
)
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.cli import app
from gridcloze.commands import explain, score
from gridcloze.commands import fill as bulk
from gridcloze.commands.shared import _line_each_tenth
from gridcloze.commands.toy import read_prior
from gridcloze.decoding import Decoder
from gridcloze.files.arrays import write_stack
from gridcloze.files.grids import read_examples, read_grid
from gridcloze.files.palettes import Palette
from gridcloze.memory import GLIBC_OPTIONS
from gridcloze.networks import NetworkPredictor
from gridcloze.predictor import entropy_bits
from gridcloze.words import HIDDEN

COMMANDS = [command.callback.__name__ for command in app.registered_commands]


@pytest.fixture
def model(tmp_path, small_bert):
    header = Header(asdict(small_bert.config), Palette.default(2))
    checkpoint.save(tmp_path / "model.safetensors", TrainedPredictor(NetworkPredictor(small_bert), header))
    return "model.safetensors"


def picture(path, cells):
    Path(path).parent.mkdir(exist_ok=True)
    Image.fromarray(np.array(cells, dtype=np.uint8)).save(path)


def pixels(path):
    """The pixels of a picture, and its file closed."""
    with Image.open(path) as image:
        return np.array(image)


SMALL = ("--height", 5, "--width", 5, "--largest", 4, "--scale", 2)
PUZZLE = np.full((5, 5), 128)
PUZZLE[0] = [0, 255, 255, 0, 255]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(command, gridcloze):
    """--help of every command answers, and shows an example that starts with its name."""
    code, out, _ = gridcloze(command, "--help")
    assert code == 0
    assert f"gridcloze {command}" in out.split("Examples:")[1]


def test_help_loads_neither_torch_nor_numpy():
    """Help answers at once since it loads nothing heavy."""
    script = (
        "import sys; sys.argv = ['gridcloze', 'train', '--help']\nfrom gridcloze.cli import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_a_library_call_leaves_the_process_as_it_is(small_bert, mallopt_calls):
    """Making a predictor, fitting and filling in Python set nothing for the whole process."""
    grids = np.random.default_rng(0).integers(0, 2, (20, 5, 5))
    NetworkPredictor(small_bert).marginals(grids, grids == 1)
    Inpainter(steps=1, depth=1).fit(grids).fill(np.where(grids[0] == 1, HIDDEN, 0))
    assert mallopt_calls == []


COMPUTE = ("demo", "train", "fill", "check", "explain", "score", "compare", "studio")
REFUSED = {
    "demo": ("-o", "file"),
    "toy": ("none", "-o", "out"),
    "train": ("none", "-o", "model.safetensors"),
    "fill": ("none", "none", "-o", "out"),
    "export": ("none", "-o", "model.onnx"),
    "check": ("none", "none"),
    "explain": ("none", "none"),
    "score": ("none", "none"),
    "compare": ("-o", "file"),
    "info": ("none",),
    "models": ("--none",),
    "studio": ("none", "--port", "0", "--no-browser"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_compute_set_up_their_process(command, gridcloze, mallopt_calls):
    """Before anything else, a command that computes asks the C library to keep freed memory; no other command does."""
    Path("file").touch()
    code, _, _ = gridcloze(command, *REFUSED[command])
    assert code == 2
    assert mallopt_calls == (list(GLIBC_OPTIONS) if command in COMPUTE else [])


def test_from_toy_to_score(gridcloze, monkeypatch):
    """Toy, train, fill, score and info work on each other's files."""
    monkeypatch.setattr(score, "OPEN_PUZZLE_SAMPLES", 10)
    code, _, _ = gridcloze("toy", "squares", "-o", "grids", "-n", 40, "--puzzles", 3, *SMALL)
    assert code == 0
    code, _, err = gridcloze("train", "grids", "-o", "model.safetensors", "--steps", 2, "--depth", 1)
    assert code == 0
    assert "100%" in err
    code, out, _ = gridcloze("fill", "model.safetensors", "grids/puzzles", "-o", "out", "--json", "--samples", 1)
    assert code == 0
    assert [report["input"] for report in json.loads(out)] == ["00000.png", "00001.png", "00002.png"]
    code, out, _ = gridcloze(
        "score", "model.safetensors", "grids", "--examples", "grids", "--sampled-grids", 2, "--json"
    )
    scores = json.loads(out)["scores"]
    assert list(scores) == ["model", "uncalibrated", "exact", "lookup", "nearest cell", "neighbour table"]
    assert scores["exact"]["brier"] < scores["model"]["brier"]
    assert scores["exact"]["excess_bits"] == 0 < scores["model"]["excess_bits"]
    assert scores["exact"]["legal_samples"] == 1
    code, out, _ = gridcloze("info", "model.safetensors", "--json")
    assert json.loads(out)["training"]["steps"] == 2


def test_known_pixels_come_back_bit_for_bit(gridcloze, model):
    """A filled picture has the puzzle's pixels wherever they were known, and no grey any more."""
    picture("puzzle.png", PUZZLE)
    code, _, _ = gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 2)
    assert code == 0
    filled = pixels("out/puzzle.png")
    assert np.array_equal(filled[0], PUZZLE[0])
    assert set(np.unique(filled)) <= {0, 255}
    with np.load("out/puzzle.npz") as results:
        assert {name: results[name].shape for name in results} == {
            "fill": (5, 5),
            "samples": (2, 5, 5),
            "marginals": (5, 5, 2),
            "log_prob_bits": (),
        }
    assert pixels("out/puzzle-uncertainty.png").shape == (5, 5)
    report = json.loads(Path("out/puzzle.json").read_text())
    assert 1 <= report["passes_per_sample"] <= 20
    assert report["warnings"] == []


def test_a_stack_is_filled_as_a_stack(gridcloze, model):
    """A stack gives one npz with a leading axis and no pictures."""
    cells = np.random.default_rng(0).integers(-1, 2, (4, 5, 5))
    write_stack("stack.npy", cells)
    code, _, _ = gridcloze("fill", model, "stack.npy", "-o", "out", "--samples", 3)
    assert code == 0
    assert sorted(os.listdir("out")) == ["stack.json", "stack.npz"]
    with np.load("out/stack.npz") as results:
        assert results["samples"].shape == (4, 3, 5, 5)
        assert np.array_equal(results["fill"][cells >= 0], cells[cells >= 0])


def test_a_grid_has_the_same_fill_alone_in_a_folder_and_in_a_stack(gridcloze, model):
    """The same seed gives a grid the same samples and marginals wherever it is filled."""
    cells = np.random.default_rng(0).integers(-1, 2, (3, 5, 5))
    write_stack("stack.npy", cells)
    Path("folder").mkdir()
    for number, grid in enumerate(cells):
        np.save(f"folder/{number}.npy", grid)
    for inputs, out in (("stack.npy", "a"), ("folder", "b"), ("folder/1.npy", "c")):
        code, _, _ = gridcloze("fill", model, inputs, "-o", out, "--samples", 3)
        assert code == 0
    with np.load("a/stack.npz") as stack, np.load("b/1.npz") as folder, np.load("c/1.npz") as alone:
        assert set(stack) == {"fill", "samples", "marginals", "log_prob_bits"}
        for name in stack:
            assert np.array_equal(stack[name][1], folder[name])
            assert np.array_equal(alone[name], folder[name])


def test_what_is_filled_is_not_filled_again(gridcloze, model):
    """A second run leaves finished files alone; it refuses them for another input or seed, and redoes them with
    --overwrite."""
    picture("in/a.png", PUZZLE)
    gridcloze("fill", model, "in", "-o", "out", "--samples", 2)
    before = Path("out/a.npz").stat().st_mtime_ns
    picture("in/b.png", PUZZLE)
    code, out, _ = gridcloze("fill", model, "in", "-o", "out", "--samples", 2, "--json")
    assert code == 0
    assert [report["input"] for report in json.loads(out)] == ["a.png", "b.png"]
    assert Path("out/a.npz").stat().st_mtime_ns == before
    picture("in/b.png", np.where(PUZZLE == 0, 255, PUZZLE))
    code, _, err = gridcloze("fill", model, "in", "-o", "out", "--samples", 2)
    assert code == 2
    assert "out/b.json is of another b.png, or it was changed since" in err
    assert Path("out/a.npz").stat().st_mtime_ns == before
    code, _, err = gridcloze("fill", model, "in", "-o", "out", "--samples", 2, "--seed", 1)
    assert code == 2
    assert "out/a.json is of another model or other options" in err
    code, _, _ = gridcloze("fill", model, "in", "-o", "out", "--samples", 2, "--seed", 1, "--overwrite")
    assert code == 0
    assert Path("out/a.npz").stat().st_mtime_ns > before
    assert (pixels("out/b.png")[0] == 255).all()


def test_a_stopped_fill_of_a_stack_goes_on_where_it_was(gridcloze, model, monkeypatch):
    """Stopped within a stack, a run leaves no result; the next fills the rest only, and ends with the same result."""
    monkeypatch.setattr(bulk, "GRIDS_AT_ONCE", 2)
    write_stack("stack.npy", np.random.default_rng(0).integers(-1, 2, (7, 5, 5)))
    gridcloze("fill", model, "stack.npy", "-o", "whole", "--samples", 2)
    calls, answered = [], bulk._answered

    def stops(*arguments):
        calls.append(len(arguments[-1]))
        if len(calls) == 3:
            raise OSError("the power went out")
        return answered(*arguments)

    monkeypatch.setattr(bulk, "_answered", stops)
    code, _, err = gridcloze("fill", model, "stack.npy", "-o", "out", "--samples", 2)
    assert code == 2
    assert [Path(name).suffix for name in os.listdir("out")] == [".partial"]
    assert "the power went out" in err
    code, _, _ = gridcloze("fill", model, "stack.npy", "-o", "out", "--samples", 2)
    assert (code, calls, sorted(os.listdir("out"))) == (0, [2, 2, 2, 2, 1], ["stack.json", "stack.npz"])
    with np.load("out/stack.npz") as one, np.load("whole/stack.npz") as other:
        assert all(np.array_equal(one[name], other[name]) for name in other)
    assert Path("out/stack.json").read_text() == Path("whole/stack.json").read_text()


def test_cells_that_contradict_are_named_and_left(gridcloze, model, monkeypatch):
    """Where visible cells contradict what was learned, fill names them, leaves them as they are, and fills the rest."""
    monkeypatch.setattr(checking, "CONTRADICTION", 0.7)
    picture("puzzle.png", PUZZLE)
    code, _, err = gridcloze("fill", model, "puzzle.png", "-o", "out")
    assert code == 0
    assert re.search(r"visible cells contradict the rest, at \(row 0, column \d\)", err)
    assert np.array_equal(pixels("out/puzzle.png")[0], PUZZLE[0])


@pytest.mark.parametrize("rule", ["white", "not black", "#", "1", "not 0", "allowed.txt", "spaced.txt"])
def test_one_symbol_is_allowed_in_many_ways(gridcloze, model, rule):
    """By its name, character or number, by what it is not, or by a text: every hidden cell is white."""
    picture("puzzle.png", PUZZLE)
    Path("allowed.txt").write_text("#####\n" * 5)
    Path("spaced.txt").write_text("# # # # #\n" * 5)
    code, _, err = gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 2, "--allow", rule)
    assert code == 0
    assert "visible cells hold" not in err or rule.endswith(".txt")  # what is said of all cells is said of hidden ones
    cells = read_grid("puzzle.png", Palette.default(2)).cells
    with np.load("out/puzzle.npz") as results:
        for filled in (results["fill"], *results["samples"]):
            assert (filled[cells == HIDDEN] == 1).all()
    report = json.loads(Path("out/puzzle.json").read_text())
    assert report["allow"] == rule
    assert bool(report["allow_hash"]) == rule.endswith(".txt")
    code, _, err = gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 2, "--allow", "not white")
    assert code == 2
    assert "of another model or other options" in err


def test_a_text_says_what_each_cell_may_be(gridcloze, model):
    """With spaces between cells each may have several characters, "?" for any; a text of another size is refused."""
    picture("puzzle.png", PUZZLE)
    Path("allowed.txt").write_text("# ? .# . ?\n" * 5)
    assert gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 6, "--allow", "allowed.txt")[0] == 0
    hidden = read_grid("puzzle.png", Palette.default(2)).hidden
    with np.load("out/puzzle.npz") as results:
        for filled in results["samples"]:
            assert (filled[:, 0][hidden[:, 0]] == 1).all()
            assert (filled[:, 3][hidden[:, 3]] == 0).all()
        assert (results["marginals"][:, [1, 2, 4]][hidden[:, [1, 2, 4]]].min(axis=-1) > 0).any()
    for text, words in (("?????\n" * 4, "4 rows of 5 cells and the grid 5 by 5"), ("# x . . .\n" * 5, "'x' is the")):
        Path("allowed.txt").write_text(text)
        code, _, err = gridcloze("fill", model, "puzzle.png", "-o", "new", "--allow", "allowed.txt")
        assert (code, err.count("\n")) == (2, 1)
        assert f"allowed.txt: {'it has ' * text.startswith('?')}{words}" in err


def test_without_a_fill_no_picture_is_written(gridcloze, model):
    """--no-fill writes samples, probabilities and uncertainty; it is another result than one with a fill."""
    picture("puzzle.png", PUZZLE)
    assert gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 2, "--no-fill")[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "puzzle-uncertainty.png",
        "puzzle.json",
        "puzzle.npz",
    ]
    with np.load("out/puzzle.npz") as results:
        assert sorted(results) == ["marginals", "samples"]
    assert json.loads(Path("out/puzzle.json").read_text())["log_prob_bits"] is None
    code, _, err = gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 2)
    assert code == 2
    assert "of another model or other options" in err
    assert "filled already" in gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 2, "--no-fill")[2]
    assert gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 2, "--overwrite")[0] == 0
    assert Path("out/puzzle.png").exists()


def test_only_allowed_symbols_are_filled_in(gridcloze, model):
    """--allow takes a picture whose pixels show what a cell may be, grey for any, and every sample keeps to it."""
    picture("puzzle.png", PUZZLE)
    allowed = np.full((10, 10), 128)
    allowed[2:4] = 255
    allowed[4:6:2], allowed[5:6] = 0, 255  # both colours: black or white
    allowed[8:] = 0
    picture("allowed.png", allowed)
    code, _, _ = gridcloze("fill", model, "puzzle.png", "-o", "out", "--samples", 6, "--allow", "allowed.png")
    assert code == 0
    with np.load("out/puzzle.npz") as results:
        for filled in (results["fill"], *results["samples"]):
            assert (filled[1] == 1).all()
            assert (filled[4] == 0).all()
        assert (results["marginals"][4, :, 1] == 0).all()
        assert (results["marginals"][2].min(axis=-1) > 0).all()


def test_the_decoder_can_be_chosen(gridcloze, model):
    """--order and --budget-bits choose the decoder, which the report names; a large budget takes fewer passes."""
    picture("puzzle.png", PUZZLE)
    passes = []
    for budget in (0.0, 9.0):
        options = ("--order", "uncertain", "--budget-bits", budget, "--samples", 2)
        _, out, _ = gridcloze("fill", model, "puzzle.png", "-o", f"out{budget}", *options, "--json")
        [report] = json.loads(out)
        assert report["decoder"] == asdict(Decoder("uncertain", budget))
        passes.append(report["passes_per_sample"])
    assert passes[1] < passes[0]


def test_check_says_what_surprises_by_its_exit_code(gridcloze, model):
    """`check` ends with 1 and a line for each surprising cell, or with 0; its picture shows them, and where to look."""
    picture("puzzle.png", PUZZLE)
    code, out, _ = gridcloze("check", model, "puzzle.png", "--threshold", 1, "-o", "look.png")
    assert code == 1
    assert re.search(r"row 0, column \d: [.#] has probability", out)
    assert re.search(r"look next at row [1-4], column \d: its value is expected to tell", out)
    assert pixels("look.png").shape[1] > 800
    code, out, _ = gridcloze("check", model, "puzzle.png", "--threshold", 0, "--json")
    assert (code, json.loads(out)["surprises"]) == (0, [])
    picture("whole.png", np.where(PUZZLE == 128, 0, PUZZLE))
    code, out, _ = gridcloze("check", model, "whole.png", "--threshold", 0)
    assert (code, out) == (0, "no visible cell has a probability below 0 given the rest\n")


def test_explain_says_which_cells_have_influence(gridcloze, model):
    """`explain` names cells, heads and the kind of correlation, next to the exact answer; JSON has the same."""
    picture("puzzle.png", PUZZLE)
    Path("prior.json").write_text(json.dumps({"name": "ising", "height": 5, "width": 5}))
    drawings = ("-o", "why.png", "--heads", "heads.svg", "--dark")
    code, out, _ = gridcloze("explain", model, "puzzle.png", "--cell", "1,2", "--prior", "prior.json", *drawings)
    assert code == 0
    assert "row 1, column 2\nmodel: " in out
    assert re.search(r"exact: [.#] with probability 0\.\d+", out)
    assert len(re.findall(r"^ +0 +\d +[.#]( +\d[\d.e-]+){4} *$", out, re.MULTILINE)) == 5
    assert "rank correlation (Spearman) of attention with influence by hiding" in out
    assert re.search(r"best: layer \d, head \d with -?0\.\d\d", out)
    assert re.search(r"\(Spearman\) of the model's influences with the exact ones: -?[01]\.\d\d by hiding", out)
    assert pixels("why.png").shape[1] > 1000
    assert "<svg" in Path("heads.svg").read_text()
    code, out, _ = gridcloze("explain", model, "puzzle.png", "--json")
    report = json.loads(out)
    assert (code, report["cell"]["most_uncertain"], list(report["distributions"])) == (0, True, ["model"])
    assert report["influences"][0]["model"]["hide"] > 0
    assert report["correlation"] == "rank correlation (Spearman)"
    assert np.shape(report["attention"]["rank_correlations"])[0] == 2


def test_the_film_of_explain_shows_a_sample_cell_by_cell(gridcloze, model, monkeypatch):
    """`explain --film` has a frame for the puzzle and for each cell that is filled in, or as many as are allowed."""
    cells = np.where(PUZZLE == 128, 0, PUZZLE)
    cells[2, 1:4] = 128
    picture("puzzle.png", cells)
    for most, frames in ((120, 4), (2, 2)):
        monkeypatch.setattr(explain, "FILM_FRAMES", most)
        code, _, _ = gridcloze("explain", model, "puzzle.png", "--film", "film.gif", "--overwrite")
        assert code == 0
        with Image.open("film.gif") as film:
            assert film.n_frames == frames


def test_explain_takes_the_most_uncertain_cell_if_none_is_named(gridcloze, model):
    """Without --cell it says which it took: of the hidden cells the one with the largest entropy."""
    picture("puzzle.png", PUZZLE)
    cells = read_grid("puzzle.png", Palette.default(2)).cells
    marginals = checkpoint.load(model).marginals(cells[None], cells[None] < 0)[0]
    row, column = np.unravel_index(entropy_bits(marginals).argmax(), marginals.shape[:2])
    code, out, _ = gridcloze("explain", model, "puzzle.png")
    assert code == 0
    assert out.startswith(f"row {row}, column {column}, the most uncertain hidden cell\n")


def test_explain_does_without_attention(gridcloze, tmp_path, monkeypatch):
    """Of a network without attention it shows influence, and says in a line that there is no more."""
    model = Path(__file__).parents[1] / "models" / "cnn-7.onnx"
    monkeypatch.chdir(tmp_path)
    np.save("puzzle.npy", np.where(np.eye(16) == 1, HIDDEN, np.tri(16, dtype=int)))
    code, out, _ = gridcloze("explain", model, "puzzle.npy", "-o", "why.png")
    assert (code, out.splitlines()[-1]) == (0, "this model has no attention to compare with influence")
    assert Path("why.png").exists()
    code, out, _ = gridcloze("explain", model, "puzzle.npy", "--json")
    report = json.loads(out)
    assert (code, report["attention"]) == (0, None)
    assert report["influences"][0]["model"]["hide"] > 0
    code, _, err = gridcloze("explain", model, "puzzle.npy", "--heads", "heads.png")
    assert (code, "this model has no attention, which --heads would draw" in err) == (2, True)


def test_explain_says_that_nothing_is_visible(gridcloze, model):
    """Where no cell is visible none has influence, and no head can agree."""
    picture("empty.png", np.full((5, 5), 128))
    code, out, _ = gridcloze("explain", model, "empty.png", "-o", "why.svg", "--heads", "heads.png", "--json")
    report = json.loads(out)
    assert (code, report["influences"], report["attention"]["best"]["rank_correlation"]) == (0, [], None)
    code, out, _ = gridcloze("explain", model, "empty.png")
    assert (code, "head 0 with –" in out) == (0, True)


def test_the_first_line_of_progress_claims_no_time_left(capsys):
    """The first report of a run says nothing about its speed; from the second on it has the time left."""
    report = _line_each_tenth()
    for share in (0.5, 0.75):
        report(share, "news")
    first, second = capsys.readouterr().err.splitlines()
    assert first == " 50%, news"
    assert re.fullmatch(r" 75%, 0 s left, news", second)


def test_score_draws_reliability(gridcloze, model):
    """`score -o` draws reliability curves; the calibration is by symbol, and by quarters of hidden fractions."""
    write_stack("grids.npy", np.random.default_rng(0).integers(0, 2, (40, 5, 5)))
    code, out, _ = gridcloze("score", model, "grids.npy", "-o", "reliability.png", "--json")
    assert code == 0
    calibration = json.loads(out)["calibration"]["model"]
    assert list(calibration["by_hidden_fraction"]) == ["0…0.25", "0.25…0.5", "0.5…0.75", "0.75…1"]
    assert len(set(calibration["by_hidden_fraction"].values())) == 4
    assert len(calibration["by_symbol"]) == 2
    assert pixels("reliability.png").shape[0] > 400


def test_the_same_seed_writes_the_same_files(gridcloze, model):
    """Filling twice with one seed writes the same files, to the byte; another seed gives other samples."""
    picture("puzzle.png", PUZZLE)
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        gridcloze("fill", model, "puzzle.png", "-o", folder, "--samples", 4, "--seed", seed)
    a, b, c = ({path.name: path.read_bytes() for path in Path(folder).iterdir()} for folder in "abc")
    assert sorted(a) == ["puzzle-uncertainty.png", "puzzle.json", "puzzle.npz", "puzzle.png"]
    assert a == b
    assert a["puzzle.npz"] != c["puzzle.npz"]


def test_nothing_hidden_is_written_back(gridcloze, model):
    """A picture without hidden cells comes back as it is, with a line that says so."""
    picture("whole.png", np.where(PUZZLE == 128, 0, PUZZLE))
    code, _, err = gridcloze("fill", model, "whole.png", "-o", "out")
    assert code == 0
    assert "no cell is hidden: nothing to fill" in err
    assert np.array_equal(pixels("out/whole.png"), pixels("whole.png"))


def test_everything_hidden_is_a_sample_of_the_prior(gridcloze, model):
    """With everything hidden the fill is a sample that changes with the seed."""
    picture("empty.png", np.full((5, 5), 128))
    fills = set()
    for seed in range(3):
        code, _, err = gridcloze("fill", model, "empty.png", "-o", f"out{seed}", "--seed", seed)
        assert code == 0
        assert "every cell is hidden: the fill is a sample of the prior" in err
        fills.add(np.load(f"out{seed}/empty.npz")["fill"].tobytes())
    assert len(fills) > 1


def test_a_grid_of_one_cell_is_filled(gridcloze, model):
    """A 1×1 grid is a grid."""
    picture("one.png", [[128]])
    code, _, _ = gridcloze("fill", model, "one.png", "-o", "out")
    assert code == 0
    assert read_grid("out/one.png", Palette.default(2)).cells.shape == (1, 1)


def test_toys_write_a_stack_and_name_its_prior_next_to_it(gridcloze):
    """`toy -o grids.npy` writes one array, and next to it the prior, from which `score` has the exact posterior."""
    code, _, _ = gridcloze("toy", "ising", "-o", "grids.npy", "-n", 7, "--height", 6, "--width", 4)
    assert code == 0
    assert read_examples("grids.npy")[0].shape == (7, 6, 4)
    assert read_prior(Path("grids.prior.json"), required=True).spec["name"] == "ising"


BAD = {
    "no model": (("fill", "none.safetensors", "puzzle.png", "-o", "out"), r"none.safetensors: no such file"),
    "no puzzle": (("fill", "MODEL", "none.png", "-o", "out"), r"none.png: no such file"),
    "not a model": (("fill", "puzzle.png", "puzzle.png", "-o", "out"), "is not a model file of gridcloze"),
    "unknown colour": (("fill", "MODEL", "red.png", "-o", "out"), r"red.png: row 1, column 2"),
    "unknown symbol": (("fill", "MODEL", "symbols.npy", "-o", "out"), r"symbols.npy: .*2 is not in the palette"),
    "truncated": (("fill", "MODEL", "cut.png", "-o", "out"), r"cut.png: .*damaged or truncated"),
    "huge": (("fill", "MODEL", "huge.png", "-o", "out"), r"huge.png: 30000 by 30000 pixels are more than"),
    "own folder": (("fill", "MODEL", "puzzle.png", "-o", "."), r"would be replaced"),
    "output is a file": (("fill", "MODEL", "puzzle.png", "-o", "puzzle.png"), r"a folder for results is needed"),
    "empty folder": (("train", "empty", "-o", "new.safetensors"), r"empty: no grids in this folder"),
    "no examples": (("train", "none", "-o", "new.safetensors"), r"none: no such file"),
    "sizes": (("train", "sizes", "-o", "new.safetensors"), r"a.png is 5 by 5 and b.png is 4 by 5"),
    "no place": (("train", "examples.npy", "-o", "puzzle.png/new"), r"cannot be written"),
    "no time": (("train", "examples.npy", "-o", "new.safetensors", "--minutes", "0"), r"length of the training"),
    "unknown toy": (("toy", "circles", "-o", "out"), r"there is no toy 'circles'"),
    "wrong option": (("toy", "mirror", "-o", "out", "--largest", "3"), r"mirror has no option 'largest'"),
    "too large": (("toy", "squares", "-o", "out", "--height", "8"), r"does not fit"),
    "other sizes": (("score", "MODEL", "examples.npy", "--examples", "small.npy"), r"grids of another size"),
    "mask of a stack": (("fill", "MODEL", "examples.npy", "-o", "out", "--hidden", "puzzle.png"), r"is a stack"),
    "seed": (("fill", "MODEL", "puzzle.png", "-o", "out", "--seed", "x"), r"'--seed': .*integer"),
    "negative seed": (("fill", "MODEL", "puzzle.png", "-o", "out", "--seed", "-1"), r"'--seed'"),
    "no such option": (("fill", "MODEL", "puzzle.png", "-o", "out", "--sead", "1"), r"--sead"),
    "no such command": (("fil",), r"'fil'"),
    "unknown order": (("fill", "MODEL", "puzzle.png", "-o", "out", "--order", "up"), r"there is no order 'up'"),
    "bad budget": (("fill", "MODEL", "puzzle.png", "-o", "out", "--budget-bits", "-1"), r"must be 0 or more"),
    "neither fill nor samples": (("fill", "MODEL", "puzzle.png", "-o", "out", "--no-fill"), r"add --samples N"),
    "no typical fill": (
        ("fill", "MODEL", "puzzle.png", "-o", "out", "--samples", "2", "--no-fill", "--typical"),
        r"--typical asks for a fill, and --no-fill for none",
    ),
    "no fill to write": (
        ("fill", "MODEL", "puzzle.png", "-o", "-", "--samples", "2", "--no-fill"),
        r"-o - asks for a fill, and --no-fill for none",
    ),
    "allow what is none": (
        ("fill", "MODEL", "puzzle.png", "-o", "out", "--allow", "red"),
        r"--allow: 'red' is no symbol of this model: they are black, white",
    ),
    "allow all but all": (
        ("fill", "MODEL", "puzzle.png", "-o", "out", "--allow", "not #."),
        r"'not #\.' allows no symbol",
    ),
    "allow a map": (("fill", "MODEL", "puzzle.png", "-o", "out", "--allow", "a.tif"), r"a.tif: "),
    "allow nothing": (("fill", "MODEL", "puzzle.png", "-o", "out", "--allow", "none.npy"), r"allows no symbol"),
    "allow 2": (("fill", "MODEL", "puzzle.png", "-o", "out", "--allow", "two.npy"), r"is no probability"),
    "allow size": (("fill", "MODEL", "puzzle.png", "-o", "out", "--allow", "small.npy"), r"does not fit"),
    "allow colour": (("fill", "MODEL", "puzzle.png", "-o", "out", "--allow", "red.png"), r"red.png: row 1, column 2"),
    "threshold": (("check", "MODEL", "puzzle.png", "--threshold", "2"), r"a probability from 0 to 1, not 2"),
    "check a stack": (("check", "MODEL", "examples.npy"), r"examples.npy has 3 grids"),
    "picture of a check": (("check", "MODEL", "puzzle.png", "-o", "a.jpg"), r"a.jpg: the name of a picture ends in"),
    "picture of a score": (("score", "MODEL", "examples.npy", "-o", "a.pdf"), r"a.pdf: the name of a picture"),
    "visible cell": (("explain", "MODEL", "puzzle.png", "--cell", "0,1"), r"\(row 0, column 1\) is visible"),
    "outside": (("explain", "MODEL", "puzzle.png", "--cell", "5,1"), r"lies outside the grid of 5 by 5 cells"),
    "malformed place": (("explain", "MODEL", "puzzle.png", "--cell", "4;1"), r"cell '4;1' is not understood"),
    "negative place": (("explain", "MODEL", "puzzle.png", "--cell", "-1,1"), r"cell '-1,1' is not understood"),
    "explain whole": (("explain", "MODEL", "whole.npy"), r"whole.npy: no cell is hidden, so there is nothing"),
    "picture of a cell": (("explain", "MODEL", "puzzle.png", "-o", "a.jpg"), r"a.jpg: the name of a picture ends in"),
    "picture of heads": (
        ("explain", "MODEL", "puzzle.png", "-o", "a.png", "--heads", "b"),
        r"b: the name of a picture ends in",
    ),
    "film": (("explain", "MODEL", "puzzle.png", "-o", "a.png", "--film", "a.avi"), r"a.avi: the name of a film ends"),
    "explain without prior": (("explain", "MODEL", "puzzle.png", "--prior", "none.json"), r"none.json: no such file"),
    "no prior": (("score", "MODEL", "examples.npy", "--prior", "none.json"), r"none.json: no such file"),
}


def bad_files():
    picture("puzzle.png", PUZZLE)
    picture("sizes/a.png", PUZZLE)
    picture("sizes/b.png", PUZZLE[:4])
    red = np.zeros((5, 5, 3), dtype=np.uint8)
    red[1, 2] = (255, 0, 0)
    picture("red.png", red)
    write_stack("examples.npy", np.zeros((3, 5, 5), dtype=np.int64))
    write_stack("small.npy", np.zeros((3, 4, 5), dtype=np.int64))
    np.save("symbols.npy", np.full((5, 5), 2))
    np.save("whole.npy", np.zeros((5, 5), int))
    np.save("none.npy", np.zeros((5, 5, 2), dtype=bool))
    np.save("two.npy", np.full((5, 5, 2), 2.0))
    Path("empty").mkdir()
    whole = Path("puzzle.png").read_bytes()
    Path("cut.png").write_bytes(whole[:60])
    header = whole[12:16] + (30000).to_bytes(4, "big") * 2 + whole[24:29]
    Path("huge.png").write_bytes(whole[:12] + header + zlib.crc32(header).to_bytes(4, "big") + whole[33:])


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(case, gridcloze, model):
    """Bad input ends with exit code 2 and one line that says what is wrong; no result is left behind."""
    bad_files()
    arguments, words = BAD[case]
    before = sorted(map(str, Path().rglob("*")))
    code, out, err = gridcloze(*(model if argument == "MODEL" else argument for argument in arguments))
    assert code == 2
    assert re.search(words, err)
    assert err.count("\n") == 1
    assert out == ""
    assert [path for path in sorted(map(str, Path().rglob("*"))) if path not in [*before, "out"]] == []


def test_the_command_alone_shows_its_help(gridcloze):
    """`gridcloze` without a command ends with exit code 2 after its help, and nothing else."""
    code, out, err = gridcloze()
    assert (code, out.strip(), err) == (2, gridcloze("--help")[1].strip(), "")
    assert all(f" {command} " in out for command in COMMANDS)


@pytest.mark.slow
def test_the_demo_runs_from_end_to_end(gridcloze):
    """The demo writes its picture, its model and six filled puzzles, and prints its scores next to the exact ones."""
    code, out, _ = gridcloze("demo", "-o", "demo", "--minutes", 0.2)
    assert code == 0
    assert "exact" in out
    assert pixels("demo/demo.png").shape[1] > 600
    assert len(list(Path("demo/filled").glob("*.npz"))) == 6
