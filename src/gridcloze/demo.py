"""`gridcloze demo`: learn squares, fill six puzzles, and compare every answer with the exact posterior."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.color import Color
from rich.columns import Columns
from rich.console import Console
from rich.style import Style
from rich.text import Text

from .commands.fill import Request, fill
from .commands.score import print_scores, score
from .commands.toy import older_toy, toy
from .commands.train import Source, train
from .files.grids import Grid, read_examples, read_grid, write_grid
from .files.palettes import Palette
from .files.paths import check_writable, is_signed, refuse_replacing, write_json
from .pictures import colours_of, write_panels
from .priors.finite import squares
from .priors.known import posterior
from .shapes import Cells
from .training import Budget
from .words import HIDDEN, InputError

PRIOR = squares(height=16, width=16)
N_EXAMPLES = 2000
N_SCORED = 500
PIXELS = 16  # to the side of a cell
SMALLEST_AREA = 36  # of the square in a puzzle, in cells, so that no block hides all of it
TITLES = ("puzzle", "fill", "white: model", "white: exact", "truth")
PALETTE = Palette.default(2)
Hide = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # from a true grid to its hidden cells
console = Console()


def run(out: Path, minutes: float, seed: int) -> None:
    """Run the demo: train, fill, draw and score, through the code of `toy`, `train`, `fill` and `score`.

    Parameters
    ----------
    out
        Folder for the examples, the model, the puzzles, their fills and the picture; those of an older demo are
        replaced.
    minutes
        Length of the training in minutes.
    seed
        Seed of the random numbers.

    Raises
    ------
    InputError
        If `out` cannot be written to or holds somebody's files, or `minutes` is not above 0.

    Examples
    --------
    >>> run(Path("demo"), minutes=0.0, seed=0)
    Traceback (most recent call last):
    gridcloze.words.InputError: the length of the training ...
    """
    model, budget = out / "squares.safetensors", Budget(minutes=minutes)
    check_writable(model)
    note, puzzles = out / "demo.json", [_puzzle_file(out / "puzzles", name) for name in HIDE]
    of_others = (
        [] if note.is_file() and is_signed(note) else [path for path in sorted(out.rglob("*")) if path.is_file()]
    )
    of_others += [path for path in puzzles if path.is_file() and not is_signed(path)]
    if of_others:
        raise InputError(f"{of_others[0]} was not written by a demo and is not replaced; choose another folder")
    refuse_replacing([model, out / "demo.png"], overwrite=True)
    older_toy(out / "held-out.npy", overwrite=True)  # before any work is done
    write_json(note, {"written by": "gridcloze demo", "minutes": minutes, "seed": seed})
    toy(PRIOR, out / "examples", N_EXAMPLES, 0, seed, PIXELS, overwrite=True)
    truths = _write_puzzles(out / "puzzles", out / "examples", seed)
    console.print(f"{N_EXAMPLES} example images of one white square in {out / 'examples'}; learning what they share:")
    train(Source(out / "examples"), model, budget, seed, overwrite=True)
    fill(model, [out / "puzzles"], out / "filled", Request(seed=seed), overwrite=True)
    rows = [_panels(out, name, truth) for name, truth in truths.items()]
    for name, panels in zip(truths, rows, strict=True):
        _show(name, panels)
    write_panels(out / "demo.png", TITLES, list(truths), rows, PALETTE)
    toy(PRIOR, out / "held-out.npy", N_SCORED, 0, seed + 1, 1, overwrite=True)
    print_scores(score(model, out / "held-out.npy", out / "examples", None, 0, seed))
    console.print(f"picture: {out / 'demo.png'}\nmodel: {model}\nfilled puzzles: {out / 'filled'}")


def _write_puzzles(folder: Path, examples: Path, seed: int) -> dict[str, np.ndarray]:
    """Write a puzzle of each kind as a PNG file, made from squares that no example shows; returns the true grids."""
    generator = np.random.default_rng([seed, 1])
    unseen = _squares_not_in(examples)
    large = unseen[unseen.sum(axis=(1, 2)) >= SMALLEST_AREA]
    truths = large[generator.permutation(len(large))[: len(HIDE)]]
    for (name, hide), truth in zip(HIDE.items(), truths, strict=True):
        puzzle = np.where(hide(truth, generator), HIDDEN, truth)
        write_grid(_puzzle_file(folder, name), Grid.from_cells(puzzle, PALETTE, PIXELS))
    return dict(zip(HIDE, truths, strict=True))


def _puzzle_file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.png"


def _squares_not_in(examples: Path) -> Cells:
    """The members of the prior that no example shows."""
    seen = {grid.tobytes() for grid in read_examples(examples, PALETTE)[0].astype(np.uint8)}
    return np.array([member for member in PRIOR.members if member.tobytes() not in seen], dtype=np.int64)


def _scattered(fraction: float) -> Hide:
    """Independent cells."""
    return lambda truth, generator: generator.random(truth.shape) < fraction


def _block(side: int) -> Hide:
    """A block over a corner of the square, where it is hardest."""

    def hide(truth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        corner = np.argwhere(truth)[0]
        top, left = np.clip(corner - side // 2, 0, np.array(truth.shape) - side)
        hidden = np.zeros(truth.shape, dtype=bool)
        hidden[top : top + side, left : left + side] = True
        return hidden

    return hide


def _all_but(white: int, black: int) -> Hide:
    """All but a few cells of each colour."""

    def hide(truth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        hidden = np.ones(truth.size, dtype=bool)
        for symbol, count in ((1, white), (0, black)):
            hidden[generator.choice(np.flatnonzero(truth == symbol), count, replace=False)] = False
        return hidden.reshape(truth.shape)

    return hide


HIDE: dict[str, Hide] = {
    "half": _scattered(0.5),
    "most": _scattered(0.9),
    "block": _block(8),
    "large block": _block(10),
    "block and cells": lambda truth, generator: _block(8)(truth, generator) | _scattered(0.6)(truth, generator),
    "nearly empty": _all_but(white=1, black=4),
}


def _panels(out: Path, name: str, truth: np.ndarray) -> list[np.ndarray]:
    """The panels of a puzzle, from the files that were written."""
    puzzle = read_grid(_puzzle_file(out / "puzzles", name), PALETTE)
    filled = read_grid(_puzzle_file(out / "filled", name), PALETTE)
    with np.load(out / "filled" / f"{_puzzle_file(out, name).stem}.npz") as results:
        model = results["marginals"][..., 1]
    exact = posterior(PRIOR).marginals(puzzle.cells[None], puzzle.hidden[None])[0, ..., 1]
    return [puzzle.cells, filled.cells, model, exact, truth]


def _show(name: str, panels: Sequence[np.ndarray]) -> None:
    """The panels of a puzzle on the terminal, next to each other as far as they fit."""
    console.rule(name, align="left")
    console.print(Columns([_drawn(title, panel) for title, panel in zip(TITLES, panels, strict=True)], padding=(0, 2)))


def _drawn(title: str, panel: np.ndarray) -> Text:
    """A panel in half blocks, two rows of cells to a line; in characters where there are no colours."""
    text = Text(f"{title:{panel.shape[1]}}\n", no_wrap=True)
    if console.color_system is None:
        return text.append("\n".join("".join(map(_character, row)) for row in panel))
    red_green_blue = colours_of(panel, PALETTE)[..., :3]
    for upper, lower in zip(red_green_blue[::2], red_green_blue[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append("\n")
    return text


def _character(value: np.generic) -> str:
    """A cell as in text files, a probability as its first digit."""
    if isinstance(value, np.integer):
        return "?" if value == HIDDEN else PALETTE.characters[value]
    return str(min(int(10 * float(value)), 9))
