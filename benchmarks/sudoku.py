"""Sudoku: `python benchmarks/sudoku.py [TASK …]`, a training of 75 minutes and fifteen more; needs a C compiler.

36-clues        puzzles with 36 givens: share solved by the defaults, and what is said of their cells
36-clues-ORDER  share solved one cell a pass in an order, random, certain or margin; beside the published one
minimal…        the same of puzzles that lose their only solution with any of their givens
contradictions  of puzzles with one wrong given, how often `gridcloze fill` warns of it

Trained on whole boards only. Results are written to benchmarks/results/sudoku-TASK.json. A text file with nine lines of
nine characters 1…9, and ? for an empty cell, is filled by
`gridcloze fill benchmarks/results/runs/sudoku.safetensors puzzle.txt -o out/`.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool

import data
from common import RESULTS, Drawn, Figures, Kept, Task, filled_by_command, main, scored, trained
from gridcloze import checking, filling
from gridcloze.checkpoint import TrainedPredictor
from gridcloze.decoding import DEFAULT_DECODER, Decoder, Fills
from gridcloze.files.palettes import read_palette
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells, Hidden
from gridcloze.training import Budget
from gridcloze.words import HIDDEN

SEED = 6000
KINDS = {"36-clues": {"seed": 2, "clues": 36}, "minimal": {"seed": 1, "clues": 0}}
BOARDS = {"seed": 3, "clues": 81}
PALETTE = read_palette(Path(__file__).parent / "sudoku.json")
HELD_OUT = 512
PUBLISHED = {  # solved by masked diffusion, 6 M parameters, of other puzzles (Kim et al. 2025, arXiv:2502.06768)
    "random": 0.0688,
    "certain": 0.1851,
    "margin": 0.8949,
}


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    budget: Budget
    depth: int
    boards: int
    tested: int  # puzzles, the last of their file
    contradictory: int


FULL = Sizes(Budget(75.0), depth=12, boards=500_000, tested=500, contradictory=100)
QUICK = Sizes(Budget(1.0), depth=6, boards=20_000, tested=20, contradictory=10)


def as_it_is(kept: Kept, generator: np.random.Generator) -> Cells:
    return kept.astype(np.int64)


def model_of(sizes: Sizes, folder: Path) -> TrainedPredictor:
    def examples() -> Drawn:
        boards = data.sudoku(sizes.boards, **BOARDS)["solutions"]
        return Drawn(boards.astype(np.uint8), HELD_OUT, PALETTE, as_it_is)

    return trained(examples, model_path(folder), sizes.budget, sizes.depth)


def model_path(folder: Path) -> Path:
    return folder / "runs" / "sudoku.safetensors"


def puzzles(kind: str, n: int) -> tuple[Cells, Hidden]:
    """The last of 20,000, solved, and which cells are not given."""
    made = data.sudoku(20_000, **KINDS[kind])
    return made["solutions"][-n:], made["puzzles"][-n:] == HIDDEN


def legal(cells: Cells) -> Bool[np.ndarray, "board"]:
    """Whether each row, column and block of a board has all nine symbols."""
    blocks = cells.reshape(-1, 3, 3, 3, 3).swapaxes(2, 3).reshape(-1, 9, 9)
    units = np.concatenate([cells, cells.swapaxes(1, 2), blocks], axis=1)
    return (np.sort(units, axis=2) == np.arange(9)).all(axis=(1, 2))


def by_defaults(kind: str, sizes: Sizes, folder: Path) -> Figures:
    """The command fills as if givens that contradict the others were not known."""
    model, (cells, hidden) = model_of(sizes, folder), puzzles(kind, sizes.tested)
    fill, cost = filled_by_command(model_path(folder), cells, hidden)
    return {
        "seed": SEED,
        "default": by_decoder(model, cells, hidden, DEFAULT_DECODER),
        "margin, default budget": by_decoder(model, cells, hidden, Decoder("margin")),
        "most likely": judged(lambda: filling.most_likely(model, Puzzles(cells, hidden), SEED), cells, hidden),
        "command": {**success(fill, cells, hidden), **cost},
        "cells": scored(model, cells, hidden),
        "training": model.header.training,
    }


def one_a_pass(kind: str, order: str, sizes: Sizes, folder: Path) -> Figures:
    model, (cells, hidden) = model_of(sizes, folder), puzzles(kind, sizes.tested)
    said = by_decoder(model, cells, hidden, Decoder(order, None))
    return {"seed": SEED, **said, "published_solved": PUBLISHED[order]}


def by_decoder(model: TrainedPredictor, cells: Cells, hidden: Hidden, decoder: Decoder) -> Figures:
    """With the most likely symbol of each cell, and with one that is drawn."""
    likely = partial(filling.greedy, model, Puzzles(cells, hidden), SEED, decoder)
    drawn = partial(filling.sample, model, Puzzles(cells, hidden), 1, SEED, decoder)
    return {"likely": judged(likely, cells, hidden), "drawn": judged(drawn, cells, hidden)}


def judged(way: Callable[[], Fills], cells: Cells, hidden: Hidden) -> Figures:
    began = time.monotonic()
    fills = way()
    seconds = (time.monotonic() - began) / len(cells)
    return {
        **success(fills.cells[:, 0], cells, hidden),
        "passes": float(fills.passes.mean()),
        "seconds_per_puzzle": seconds,
    }


def success(fill: Cells, cells: Cells, hidden: Hidden) -> Figures:
    solved = legal(fill) & ((fill == cells) | hidden).all(axis=(1, 2))
    return {"solved": float(solved.mean()), "error": float((fill != cells)[hidden].mean())}


def contradictions(sizes: Sizes, folder: Path) -> Figures:
    """In each puzzle a given gets the symbol of another one of its row."""
    model, (cells, hidden) = model_of(sizes, folder), puzzles("36-clues", sizes.contradictory)
    wrong, change = with_a_wrong_given(cells, hidden, np.random.default_rng(SEED))
    accused, of_right = (checking.contradicting(model, Puzzles(some, hidden)) for some in (wrong, cells))
    named, others = (accused & change).any(axis=(1, 2)), (accused & ~change).any(axis=(1, 2))
    return {
        "seed": SEED,
        "warned": float(accused.any(axis=(1, 2)).mean()),
        "wrong_given_named": float(named.mean()),
        "only_wrong_given_named": float((named & ~others).mean()),
        "right_puzzles_warned_of": float(of_right.any(axis=(1, 2)).mean()),
    }


def with_a_wrong_given(cells: Cells, hidden: Hidden, generator: np.random.Generator) -> tuple[Cells, Hidden]:
    """The puzzles with one given that has the symbol of another given of its row, and where that is."""
    wrong, change = cells.copy(), np.zeros_like(hidden)
    for number, given in enumerate(~hidden):
        row = generator.choice(np.flatnonzero(given.sum(axis=1) >= 2))
        column, other = generator.choice(np.flatnonzero(given[row]), 2, replace=False)
        wrong[number, row, column], change[number, row, column] = cells[number, row, other], True
    return wrong, change


def tasks(sizes: Sizes, folder: Path) -> dict[str, Task]:
    every: dict[str, Task] = {"contradictions": partial(contradictions, sizes, folder)}
    for kind in KINDS:
        every[kind] = partial(by_defaults, kind, sizes, folder)
        every |= {f"{kind}-{order}": partial(one_a_pass, kind, order, sizes, folder) for order in PUBLISHED}
    return every


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(tasks(FULL, RESULTS), __doc__, tasks(QUICK, Path(folder)))
