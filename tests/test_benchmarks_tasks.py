"""The scripts of digits and Sudoku: their estimates against brute force, and all of their tasks on next to nothing."""

import itertools
import json
import os
import signal
import sys

import numpy as np
import pytest
import torch

import common
import data
import digits
import sudoku
from gridcloze.commands import train
from gridcloze.files.palettes import Palette
from gridcloze.priors.finite import FinitePrior
from gridcloze.priors.known import posterior
from gridcloze.training import Budget
from gridcloze.words import HIDDEN

BOARD = (3 * (np.arange(9)[:, None] % 3) + np.arange(9)[:, None] // 3 + np.arange(9)) % 9
LAWS = np.random.default_rng(0).uniform(0.1, 0.9, (3**4, 4))


class Disagreeing:
    """Any law for each cell and each state of the others, on grids of 2 by 2: no two orders agree."""

    n_symbols = 2
    window = None

    def marginals(self, cells, hidden):
        state = np.where(hidden, 2, cells).reshape(-1, 4) @ 3 ** np.arange(4)
        white = np.where(hidden, LAWS[state].reshape(cells.shape), cells)
        return np.stack([1 - white, white], axis=-1)


def nats_in_order(predictor, cells, hidden, order):
    """Minus the log-probability of the hidden cells of one grid, one after the other."""
    nats, unseen = 0.0, hidden.copy()
    for place in order:
        law = predictor.marginals(cells[None], unseen[None])[0]
        nats -= np.log(law.reshape(-1, 2)[place, cells.flat[place]])
        unseen.flat[place] = False
    return nats


@pytest.mark.parametrize("shown", [0, 1])
def test_the_estimate_is_the_mean_over_all_orders(shown):
    """On average the estimate is the mean over all orders, even where they disagree; independent cells are not."""
    cells, hidden = np.array([[1, 0], [1, 1]]), np.arange(4).reshape(2, 2) >= shown
    predictor, orders = Disagreeing(), itertools.permutations(range(shown, 4))
    each = [nats_in_order(predictor, cells, hidden, order) for order in orders]
    many = np.repeat(cells[None], 20_000, axis=0), np.repeat(hidden[None], 20_000, axis=0)
    found = digits.mean_and_error(digits.any_order_nats(predictor, *many, 2, np.random.default_rng(1)))
    assert np.ptp(each) > 0.1
    assert found["mean"] == pytest.approx(np.mean(each), abs=4 * found["standard_error"])
    law = predictor.marginals(cells[None], hidden[None])[0]
    independent = -np.log(np.take_along_axis(law, cells[..., None], axis=-1)[..., 0])[hidden].sum()
    assert abs(independent - np.mean(each)) > 20 * found["standard_error"]


def test_the_estimate_is_the_exact_log_probability():
    """Of the exact predictor it is -ln P on average; of the exact predictor of another law it is not."""
    members = np.array(list(itertools.product((0, 1), repeat=4)), dtype=np.uint8).reshape(-1, 2, 2)
    shares = np.random.default_rng(2).dirichlet(np.ones(16), 2)
    prior, other = (FinitePrior(members, one) for one in shares)
    cells = np.repeat(members[5:6].astype(np.int64), 2_000, axis=0)
    hidden = np.ones(cells.shape, dtype=bool)
    found, wrong = (
        digits.mean_and_error(digits.any_order_nats(posterior(one), cells, hidden, 4, np.random.default_rng(3)))
        for one in (prior, other)
    )
    truth = -np.log(shares[0, 5])
    assert found["mean"] == pytest.approx(truth, abs=4 * found["standard_error"])
    assert abs(wrong["mean"] - truth) > 20 * wrong["standard_error"]


def test_strata_take_noise_away():
    """Where one cell tells all others, an estimate with a stratum for each number of shown cells is exact."""
    prior = FinitePrior(np.stack([np.zeros((3, 3), np.uint8), np.ones((3, 3), np.uint8)]))
    cells = prior.sample(200, np.random.default_rng(0))
    hidden, predictor = np.ones(cells.shape, dtype=bool), posterior(prior)
    few, many = (digits.any_order_nats(predictor, cells, hidden, n, np.random.default_rng(0)) for n in (1, 9))
    assert many == pytest.approx(np.log(2))
    assert few.std() > 1
    assert few.mean() == pytest.approx(np.log(2), abs=4 * few.std() / 200**0.5)


def test_coins_have_the_probability_of_the_grey():
    """A pixel is white with a probability of its grey / 255, and black and white ones stay as they are."""
    grey = np.array([[[0, 64], [191, 255]]], dtype=np.uint8).repeat(20_000, axis=0)
    drawn = digits.coins(grey, np.random.default_rng(0))
    assert np.abs(drawn.mean(axis=0) - grey[0] / 255).max() < 0.015
    assert not drawn[:, 0, 0].any()
    assert drawn[:, 1, 1].all()
    plain = digits.coins(digits.thresholded(grey), np.random.default_rng(0))
    assert np.array_equal(plain, grey >= 128)


def test_the_entropy_of_coins_is_that_of_their_draws():
    """What coins cost at least is the cost of what they draw under their own probabilities."""
    grey = np.array([[[0, 64], [191, 255]]], dtype=np.uint8).repeat(20_000, axis=0)
    drawn = digits.coins(grey, np.random.default_rng(0))
    cost = -np.log(np.where(drawn, grey / 255, 1 - grey / 255)).sum(axis=(1, 2)).mean()
    assert digits.entropy_nats(grey) == pytest.approx(cost, abs=0.02)
    assert digits.entropy_nats(255 - grey) == pytest.approx(digits.entropy_nats(grey))
    assert digits.entropy_nats(digits.thresholded(grey)) == 0


def test_a_legal_board_has_every_symbol_once_in_each_row_column_and_block():
    """A board is legal; with two cells of a row or of a column exchanged, or with rows shifted evenly, it is not."""
    in_row, in_column = BOARD.copy(), BOARD.copy()
    in_row[0, :2] = BOARD[0, [1, 0]]
    in_column[:2, 0] = BOARD[[1, 0], 0]
    latin = (np.arange(9)[:, None] + np.arange(9)) % 9  # rows and columns are right, blocks are not
    relabelled = np.random.default_rng(0).permutation(9)[BOARD]
    all_boards = np.stack([BOARD, relabelled, in_row, in_column, latin, np.zeros_like(BOARD)])
    assert sudoku.legal(all_boards).tolist() == [True, True, False, False, False, False]


def test_only_a_puzzle_that_keeps_its_givens_is_solved():
    """Another legal board than the solution solves a puzzle only if it agrees with all givens."""
    other = np.where(BOARD < 2, 1 - BOARD, BOARD)  # symbols 0 and 1 exchanged
    hidden = np.stack([BOARD < 2, np.ones((9, 9), dtype=bool), BOARD == 0])
    found = sudoku.success(np.stack([other] * 3), np.stack([BOARD] * 3), hidden)
    assert found["solved"] == pytest.approx(2 / 3)
    assert found["error"] == pytest.approx((18 + 18 + 9) / (18 + 81 + 9))


def test_a_wrong_given_doubles_a_symbol_of_its_row():
    """One given of each puzzle changes, to the symbol of another given of its row."""
    cells = np.stack([BOARD] * 50)
    hidden = np.random.default_rng(0).random(cells.shape) < 0.6
    wrong, change = sudoku.with_a_wrong_given(cells, hidden, np.random.default_rng(1))
    assert np.array_equal(wrong != cells, change)
    assert (change.sum(axis=(1, 2)) == 1).all()
    assert not (change & hidden).any()
    number, row, column = np.nonzero(change)
    same = (wrong[number, row] == wrong[number, row, column][:, None]) & ~hidden[number, row]
    assert (same.sum(axis=1) == 2).all()


# what all scripts share


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    return tmp_path


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmarks/some.py", *arguments])


def test_a_task_with_a_result_is_not_run_again(results, monkeypatch, capsys):
    """Each task runs once, and its result says on what it depends; a task that is not named does not run."""
    runs = []
    tasks = {name: lambda name=name: runs.append(name) or {"seed": 1, "figure": 0.5} for name in ("one", "two")}
    for _ in range(2):
        call(monkeypatch, "one")
        common.main(tasks, "doc")
    assert runs == ["one"]
    written = json.loads((results / "some-one.json").read_text())
    assert written | {"task": "one", "figure": 0.5} == written
    assert {"version", "commit", "torch", "threads", "processor"} < set(written)
    assert [path.name for path in results.iterdir()] == ["some-one.json"]
    call(monkeypatch)
    common.main(tasks, "doc")
    assert runs == ["one", "two"]


def test_the_short_form_writes_nothing(results, monkeypatch, capsys):
    """With --quick the short tasks run instead, and their figures are printed."""
    call(monkeypatch, "--quick")
    common.main({"one": lambda: pytest.fail("too long")}, "doc", {"one": lambda: {"figure": 2}})
    assert json.loads(capsys.readouterr().out) == {"task": "one", "figure": 2}
    assert not list(results.iterdir())


def test_a_stopped_task_ends_with_its_exit_code_and_no_result(results, monkeypatch):
    """Ctrl-C is an exit code by which a caller knows to call again."""

    def stopped():
        raise KeyboardInterrupt

    call(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        common.main({"one": stopped}, "doc")
    assert ended.value.code == common.STOPPED
    assert not list(results.iterdir())


def test_a_stopped_training_goes_on_where_it_was(tmp_path, monkeypatch):
    """A training that is stopped leaves no model; called again it ends with the weights of one never stopped."""
    grey = np.random.default_rng(0).integers(0, 256, (50, 4, 4), dtype=np.uint8)

    def weights(name):
        examples = common.Drawn(grey, 10, Palette.default(2), digits.coins)
        return common.trained(lambda: examples, tmp_path / name, Budget(steps=6), depth=1).base.model.state_dict()

    def stop_at_three(progress):
        if progress.steps == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return ""

    with monkeypatch.context() as patched:
        patched.setattr(train, "_news", stop_at_three)
        with pytest.raises(KeyboardInterrupt):
            weights("stopped.safetensors")
    assert not (tmp_path / "stopped.safetensors").exists()
    stopped, whole = weights("stopped.safetensors"), weights("whole.safetensors")
    assert all(torch.equal(stopped[name], whole[name]) for name in whole)


def test_examples_that_are_drawn_anew_differ_each_time_but_for_those_held_out():
    """Two draws of the same bytes differ, what is held out is the same in every run, and no learned one is in it."""
    kept = np.arange(60, dtype=np.uint8).repeat(16).reshape(60, 4, 4)
    examples = common.Drawn(kept, 10, Palette.default(60), lambda some, generator: some.astype(np.int64))
    learned, held_out = examples.split()
    assert set(np.unique(held_out.cells)) == set(range(50, 60))
    assert set(np.unique(learned.sample(500, np.random.default_rng(0)))) == set(range(50))
    drawn = common.Drawn(kept * 4, 10, Palette.default(2), digits.coins)
    one, other = (drawn.split()[1].cells for _ in range(2))
    assert np.array_equal(one, other)
    generator = np.random.default_rng(0)
    assert not np.array_equal(drawn.sample(50, generator), drawn.sample(50, generator))


# all tasks, on next to nothing


@pytest.fixture
def tiny_digits(monkeypatch):
    grey = np.random.default_rng(0).integers(0, 256, (60, 6, 6), dtype=np.uint8)
    monkeypatch.setattr(digits, "digits", lambda: {"x_train": grey, "x_test": grey})
    return digits.Sizes(
        Budget(steps=2), Budget(steps=2), 1, learned=40, held_out=10, tested=8, strata=2, in_turn=3, orders=2, filled=8
    )


def without_a_command(path, cells, hidden):
    return cells, {"seconds_per_grid": 0.0, "peak_MiB": 0}


@pytest.mark.slow
def test_the_tasks_of_digits_run(tiny_digits, tmp_path, monkeypatch):
    """Every task gives finite figures, and a picture can be drawn from what `fills` keeps."""
    monkeypatch.setattr(digits, "filled_by_command", without_a_command)
    found = {name: task() for name, task in digits.tasks(tiny_digits, tmp_path).items()}
    assert list(found) == ["likelihood", "in-turn", "halves", "fills"]
    json.dumps(found, allow_nan=False)
    assert found["likelihood"]["nats"]["mean"] == pytest.approx(36 * np.log(2), rel=0.1)
    assert found["in-turn"]["estimate_above"]["mean"] == pytest.approx(0, abs=1)
    assert found["in-turn"]["mixture_below"]["mean"] >= 0
    digits.draw(tmp_path / digits.ARRAYS, tmp_path / "digits.png")
    assert (tmp_path / "digits.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_tasks_of_sudoku_run(tmp_path, monkeypatch):
    """Every task gives finite figures."""
    generator = np.random.default_rng(0)
    solutions = np.stack([generator.permutation(9)[BOARD] for _ in range(600)])
    puzzles = np.where(generator.random(solutions.shape) < 0.9, solutions, HIDDEN)
    monkeypatch.setattr(data, "sudoku", lambda n, seed, clues: {"puzzles": puzzles, "solutions": solutions})
    monkeypatch.setattr(sudoku, "filled_by_command", without_a_command)
    sizes = sudoku.Sizes(Budget(steps=2), depth=1, boards=600, tested=2, contradictory=2)
    found = {name: task() for name, task in sudoku.tasks(sizes, tmp_path).items()}
    of_minimal = ["minimal", "minimal-random", "minimal-certain", "minimal-margin"]
    assert [name for name in found if "36" not in name] == ["contradictions", *of_minimal]
    json.dumps(found, allow_nan=False)
    assert found["minimal"]["command"]["solved"] == 1
    assert found["minimal-margin"]["likely"]["passes"] == (puzzles[-2:] == HIDDEN).sum() / 2


@pytest.mark.slow
def test_the_command_fills_what_a_script_gives_it(tiny_digits, tmp_path):
    """The command keeps what is given, and what it costs is told."""
    digits.model_of(digits.thresholded, tiny_digits, tmp_path)
    cells, path = digits.test_digits(digits.thresholded, 4), digits.model_path(digits.thresholded, tmp_path)
    hidden = digits.half_hidden(cells)["top"]
    fill, cost = common.filled_by_command(path, cells, hidden)
    assert np.array_equal(fill[~hidden], cells[~hidden])
    assert fill.min() >= 0
    assert cost["seconds_per_grid"] > 0
    assert cost["peak_MiB"] > 50


@pytest.mark.slow
def test_whole_boards_are_made_quickly_and_are_legal():
    """With 81 clues the generator gives whole boards, all of them legal."""
    made = data.sudoku(100, **sudoku.BOARDS)
    assert np.array_equal(made["puzzles"], made["solutions"])
    assert sudoku.legal(made["solutions"]).all()
