"""Blocks of windows: any of them, in any order and any process, give the answers of one process, to the bit."""

import contextlib
import dataclasses
import shutil

import numpy as np
import pytest
import zarr

from gridcloze import scale
from gridcloze.answers import AnswersByRows
from gridcloze.puzzles import Likelihoods
from gridcloze.scale import AnswersByBlocks, Blocks, fill_block
from gridcloze.words import HIDDEN, InputError


class Window:
    """An exact posterior of small grids that serves as a window of large ones."""

    window, n_symbols = (8, 8), 3

    def marginals(self, cells, hidden):
        """Odd but deterministic, and dependent on every visible cell of the window and where it is."""
        weights = np.arange(1, cells[0].size + 1).reshape(cells.shape[1:])
        seen = np.where(hidden, 0, (cells + 1) * weights).sum(axis=(1, 2))[:, None, None, None]
        logits = np.sin(seen * 0.7 + weights[..., None] * np.array([0.3, 0.5, 0.9])) * 2
        predicted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        return np.where(hidden[..., None], predicted, np.eye(3)[cells.clip(0)])


def puzzle_of(size, seed=0, share=0.5):
    generator = np.random.default_rng(seed)
    return np.where(generator.random(size) < share, HIDDEN, generator.integers(0, 3, size))


def shuffled(predictor, seed=0):
    """A runner that takes any block whose needs are done."""

    def run(store, left):
        generator, left = np.random.default_rng(seed), list(left)
        while left:
            ready = [
                one
                for one in left
                if not any((other, one[1]) in left for other in store.question.blocks.needed(one[0]))
            ]
            one = ready[generator.integers(len(ready))]
            left.remove(one)
            yield store.run(predictor, *one)

    return run


def by_blocks(folder, puzzle, run=None, side=3, samples=2, kind="likely", **more):
    read = lambda start, stop: puzzle[start:stop]  # noqa: E731
    options = {"folder": folder, "run": run, "percent": True, "side": side} | more
    return AnswersByBlocks(Window(), read, puzzle.shape, samples, 7, None, kind, **options)


def by_rows(puzzle, samples=2, kind="likely", allowed=None):
    evidence = None
    if allowed is not None:
        values = np.broadcast_to(np.array(allowed), (*puzzle.shape, 3))
        evidence = lambda window: Likelihoods.of_window(values, window)  # noqa: E731
    read = lambda start, stop: puzzle[start:stop]  # noqa: E731
    return AnswersByRows(Window(), read, puzzle.shape, samples, 7, None, kind, evidence)


def same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        for field in dataclasses.fields(ours):
            mine, right = getattr(ours, field.name), getattr(theirs, field.name)
            if field.name == "marginals":
                mine, right = np.rint(100 * mine), np.rint(100 * right)
            if field.name in ("probability", "entropy"):
                right = right.astype(np.float32)
            np.testing.assert_array_equal(mine, right, err_msg=field.name)
    for name in ("hidden_cells", "warnings", "log_prob_bits", "passes"):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.parametrize(
    ("size", "side", "options"),
    [
        ((39, 45), 3, {}),
        ((39, 45), 5, {}),
        ((9, 40), 3, {"samples": 1}),
        ((51, 8), 3, {"samples": 0}),
        ((27, 28), 4, {"kind": "none"}),
        ((25, 29), 3, {"samples": 1, "allowed": (1.0, 0.0, 1.0)}),
        ((25, 29), 3, {"allowed": (0.0, 1.0, 0.0)}),
    ],
)
def test_blocks_are_rows(tmp_path, size, side, options):
    """Fills, samples, probabilities and all numbers are those of one process, whatever the order and the side."""
    puzzle = puzzle_of(size)
    same(by_blocks(tmp_path / "store", puzzle, shuffled(Window()), side, **options), by_rows(puzzle, **options))


def test_few_blocks_have_a_task_for_each_sample():
    """So that more of them can be at work at the same time; of many blocks four samples are one task."""
    together = [scale.Question(Blocks(size, (8, 8), 3), (0,), range(-1, 6)).together for size in ((30, 33), (99, 99))]
    assert together == [[(lane,) for lane in range(-1, 6)], [(-1,), (0, 1, 2, 3), (4, 5)]]


def test_a_grid_with_every_cell_hidden_is_a_sample(tmp_path):
    """As in one process."""
    puzzle = np.full((20, 31), HIDDEN)
    same(by_blocks(tmp_path / "store", puzzle), by_rows(puzzle))


def test_what_a_window_sees_decides_the_bits(tmp_path, monkeypatch):
    """A control: without the cells that were decided before, answers differ."""
    monkeypatch.setattr(scale, "fill_block", lambda *arguments: fill_block(*arguments[:-1], {}))
    puzzle = puzzle_of((30, 33))
    with pytest.raises(AssertionError):
        same(by_blocks(tmp_path / "store", puzzle), by_rows(puzzle))


@pytest.mark.parametrize("height", range(9, 40, 3))
def test_a_window_sees_only_what_it_waits_for(height):
    """Of any size: what comes before a window row by row and meets it has an earlier wave and a needed block."""
    blocks = Blocks((height, height + 13), (8, 8), 3)
    rows, columns = map(len, blocks.tiles.spans)
    place = lambda row, column: (row // 3, (row + column) // 3)  # noqa: E731
    for row, column in np.ndindex(rows, columns):
        window, needed = blocks.tiles.tile(row, column).window, blocks.needed(place(row, column))
        for other in np.ndindex(rows, columns):
            core = blocks.tiles.tile(*other).core
            if all(a.start < b.stop and b.start < a.stop for a, b in zip(core, window, strict=True)):
                is_earlier = other[1] + 2 * other[0] < column + 2 * row
                assert is_earlier <= (other < (row, column))
                if other < (row, column):
                    assert is_earlier
                    assert place(*other) in (place(row, column), *needed)


def test_every_window_is_in_one_block():
    """And a block comes after those that it needs."""
    blocks = Blocks((100, 77), (8, 8), 4)
    places = list(blocks)
    found = [window.tile.core for place in places for window in blocks.windows(place)]
    assert sorted(map(str, found)) == sorted(str(tile.core) for row in blocks.tiles.rows for tile in row)
    for number, place in enumerate(places):
        assert set(blocks.needed(place)) <= set(places[:number])


def test_a_run_goes_on_where_another_stopped(tmp_path):
    """Blocks with a marker are not filled again; what was written without one is."""
    puzzle, filled = puzzle_of((30, 33)), []

    def stopping(after):
        def run(store, left):
            for number, one in enumerate(left):
                if number == after:
                    for lane in one[1]:  # half written
                        store.array("cells")[store.question.lanes.index(lane), *store.chunk(one[0])] = 2
                    raise KeyboardInterrupt
                filled.append(one)
                yield store.run(Window(), *one)

        return run

    for after in (4, 5):
        with pytest.raises(KeyboardInterrupt):
            list(by_blocks(tmp_path / "store", puzzle, stopping(after)))
    answers = by_blocks(tmp_path / "store", puzzle, stopping(10**6))
    same(answers, by_rows(puzzle))
    assert len(filled) == len(set(filled)) == 3 * len(list(answers.blocks))


def test_samples_of_a_task_are_finished_one_by_one(tmp_path, monkeypatch):
    """Of the six samples of a block, in two tasks, those without a marker are drawn again, and only those."""
    monkeypatch.setattr(scale, "MANY_BLOCKS", 1)
    puzzle, drawn = puzzle_of((30, 33)), []
    list(by_blocks(tmp_path / "store", puzzle, samples=6))
    for name in ("3.0.1", "5.0.1"):
        [marker] = (tmp_path / "store").glob(f"*/done/{name}.npy")
        marker.unlink()

    def run(store, left):
        for place, lanes in left:
            before = {lane: store.marker(place, lane).exists() for lane in lanes}
            yield store.run(Window(), place, lanes)
            drawn.append((place, lanes, [lane for lane in lanes if not before[lane]]))

    same(by_blocks(tmp_path / "store", puzzle, run, samples=6), by_rows(puzzle, samples=6))
    assert drawn == [((0, 1), (0, 1, 2, 3), [3]), ((0, 1), (4, 5), [5])]


def test_a_store_of_other_answers_is_begun_anew(tmp_path):
    """As is one of blocks of another size, or with percentages where there were none."""
    puzzle = puzzle_of((20, 30))
    list(by_blocks(tmp_path / "store", puzzle))
    other = 2 - puzzle.clip(0)
    for more in ({"identity": {"of": 1}}, {"identity": {"of": 1}, "side": 4}):
        same(by_blocks(tmp_path / "store", other, **more), by_rows(other))
    list(by_blocks(tmp_path / "store", other, side=4, percent=False))
    same(by_blocks(tmp_path / "store", other, side=4), by_rows(other))


def test_a_worker_that_is_still_busy_for_another_run_writes_nothing_here(tmp_path):
    """A block that a run of other answers left behind, and that ends only now, changes nothing."""
    puzzle, other, left_behind = puzzle_of((20, 30)), puzzle_of((20, 30), seed=1), []

    def leaving(store, left):
        left_behind.extend((store, one) for one in left[:2])
        for store_of_before, one in left_behind:
            with contextlib.suppress(OSError):
                store_of_before.run(Window(), *one)
        yield from (store.run(Window(), *one) for one in left)

    list(by_blocks(tmp_path / "store", puzzle, leaving))
    same(by_blocks(tmp_path / "store", other, leaving, identity={"of": 1}), by_rows(other))


def test_a_store_with_other_chunks_is_refused(tmp_path):
    """In one line; blocks that share a chunk would lose cells."""
    puzzle = puzzle_of((20, 30))
    list(by_blocks(tmp_path / "store", puzzle))
    [cells] = (tmp_path / "store").glob("*/cells")
    shape = zarr.open_array(cells).shape
    shutil.rmtree(cells)
    zarr.create_array(cells, shape=shape, chunks=(1, 5, 5, *shape[3:]), dtype=np.uint8)
    with pytest.raises(InputError, match=r"cells has other chunks than blocks have: remove .*store$"):
        list(by_blocks(tmp_path / "store", puzzle))
