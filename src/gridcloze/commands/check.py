"""`gridcloze check`: visible cells that the rest contradicts, and the hidden cell to look at next."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import numpy as np

from .. import checking, checkpoint
from ..checkpoint import TrainedPredictor
from ..files.grids import Grid
from ..files.paths import refuse_replacing
from ..files.sides import read_side_of
from ..predictor import Predictor
from ..shapes import OneGrid, OneHidden, PerCell
from ..side import Side, with_side
from ..words import InputError
from .shared import MOST_CELLS, announce_work, check_pictures, files_in, read_any

ROUNDS = 3  # in which visible cells are looked at, about


class _Surprise(TypedDict):
    """A visible cell that is implausible given the rest.

    Attributes
    ----------
    row, column
        Where it is, from 0.
    symbol
        Its symbol in the grid: its class code if the model learned from such, otherwise its number, from 0.
    probability
        Probability of that symbol given the other cells, 0 to 1.
    likely_symbol
        The most likely symbol given the other cells.
    """

    row: int
    column: int
    symbol: int
    probability: float
    likely_symbol: int


class _LookNext(TypedDict):
    """The hidden cell whose value is expected to tell most about the others.

    Attributes
    ----------
    row, column
        Where it is, from 0.
    bits
        By how much the entropies of the other hidden cells would shrink together, on average over its values, in bits.
    """

    row: int
    column: int
    bits: float


class CheckReport(TypedDict):
    """What `gridcloze check` found in a grid.

    Attributes
    ----------
    input
        Name of the file.
    model
        Hash of the model: SHA-256, in hexadecimal digits.
    threshold
        Probability below which a visible cell is surprising, 0 to 1.
    surprises
        Visible cells that are implausible given the rest, the most surprising first.
    look_next
        The hidden cell to look at next; missing if no cell is hidden.

    Examples
    --------
    >>> CheckReport.__optional_keys__
    frozenset({'look_next'})
    """

    input: str
    model: str
    threshold: float
    surprises: list[_Surprise]
    look_next: NotRequired[_LookNext]


def check(
    model_path: Path,
    path: Path,
    threshold: float,
    hidden: str,
    picture: Path | None,
    dark: bool = False,
    overwrite: bool = False,
    hide_unseen: bool = False,
    scale: int | None = None,
    side: Sequence[str] = (),
) -> tuple[CheckReport, dict[int, str]]:
    """Find the visible cells of a grid that the rest contradicts, and the hidden cell that would tell most.

    Parameters
    ----------
    model_path
        A model file.
    path
        A grid, with or without hidden cells; a map, too.
    threshold
        Probability given the rest below which a visible cell is surprising, 0 to 1.
    hidden
        How hidden cells are marked, as `shared.read_any` takes it.
    picture
        A .png or .svg file to draw the grid in.
    dark
        Whether the picture has a dark background.
    overwrite
        Whether an older picture of gridcloze is replaced.
    hide_unseen
        Whether a map may have more than 1% of cells of classes that the model never saw, which count as hidden.
    scale
        Side of a cell of the grid, if it is a picture, in pixels; by default as `read_grid` finds it for a model.
    side
        Side maps, as `named_sides` takes them; ["none"] for unknown ones.

    Returns
    -------
    report : CheckReport
        What was found.
    marks : dict
        What to print for symbols, for `print_check`.

    Raises
    ------
    InputError
        If the threshold is no probability, a file cannot be read, the grid is too large, or the picture cannot be
        written.

    Examples
    --------
    >>> from gridcloze import priors
    >>> from gridcloze.commands.toy import toy
    >>> from gridcloze.commands.train import Source, train
    >>> from gridcloze.training import Budget
    >>> written = toy(priors.squares(4, 4, 2, 3), Path("examples"), n=20, n_puzzles=0, seed=0, scale=1)
    >>> trained = train(Source(Path("examples")), Path("model.safetensors"), Budget(steps=1), seed=0, depth=1)
    >>> grid = Path("examples/00000.png")
    >>> report, marks = check(Path("model.safetensors"), grid, threshold=1.0, hidden="auto", picture=None)
    >>> len(report["surprises"]), "look_next" in report
    (16, False)
    """
    _refuse_threshold(threshold)  # before a model is loaded
    refuse_replacing([picture], files_in(model_path, path, hidden), overwrite)
    predictor = checkpoint.load(model_path)
    check_pictures(picture)
    grid = read_any(path, predictor, hidden, scale, hide_unseen, MOST_CELLS)
    side_maps = read_side_of(path, grid.cells, side, predictor.side)
    announce_work(path, with_side(predictor, side_maps), grid, queries(grid, predictor.n_symbols))
    report, information = checked(predictor, grid, threshold, path.name, side_maps)
    if picture is not None:
        from ..pictures import write_check

        surprising_cells = [(surprise["row"], surprise["column"]) for surprise in report["surprises"]]
        write_check(picture, grid.cells, surprising_cells, information, predictor.header.palette, dark)
    codes = list(marks := predictor.header.palette.marks)
    for surprise in report["surprises"]:
        surprise["symbol"], surprise["likely_symbol"] = codes[surprise["symbol"]], codes[surprise["likely_symbol"]]
    return report, marks


def queries(grid: Grid, n_symbols: int) -> int:
    """Estimate how often a grid is predicted as a whole to check it.

    Parameters
    ----------
    grid
        The grid.
    n_symbols
        The number of symbols.

    Returns
    -------
    int
        About as often, if few cells are surprising.

    Examples
    --------
    >>> queries(Grid.from_cells(np.array([[0, 1, -1]])), 2)
    158
    """
    looks = ROUNDS * sum(stride**2 for stride in checking.BLOCKS.values())
    return looks + int(grid.hidden.sum()) * n_symbols


def checked(
    predictor: TrainedPredictor, grid: Grid, threshold: float, name: str, side: Side | None = None
) -> tuple[CheckReport, PerCell]:
    """Check one grid, wherever it was read.

    Parameters
    ----------
    predictor
        The model.
    grid
        The grid.
    threshold
        As in `check`.
    name
        Of the grid, for the report.
    side
        The side maps of the grid, for a model that has such.

    Returns
    -------
    report : CheckReport
        What was found.
    information : array
        What each hidden cell would tell about the others, in bits; NaN at visible cells.

    Raises
    ------
    InputError
        If the threshold is no probability.

    Examples
    --------
    >>> from gridcloze import Inpainter
    >>> model = Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).predictor_
    >>> report, information = checked(model, Grid.from_cells(np.array([[1, -1]])), 0.0, "puzzle")
    >>> report["surprises"], report["look_next"]["column"]
    ([], 1)
    """
    _refuse_threshold(threshold)
    model = with_side(predictor, side)
    surprises = checking.surprises(model, grid.cells, grid.hidden, threshold)
    surprising_cells = [(surprise.row, surprise.column) for surprise in surprises]
    information = _information_bits(model, grid.cells, grid.hidden, surprising_cells)
    report: CheckReport = {
        "input": name,
        "model": predictor.header.hash,
        "threshold": threshold,
        "surprises": [cast(_Surprise, asdict(surprise)) for surprise in surprises],
    }
    if grid.hidden.any():
        row, column = np.unravel_index(np.nanargmax(information), information.shape)
        report["look_next"] = {"row": int(row), "column": int(column), "bits": float(information[row, column])}
    return report, information


def _refuse_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is a probability from 0 to 1, not {threshold}")


def _information_bits(
    predictor: Predictor, cells: OneGrid, hidden: OneHidden, surprising_cells: Sequence[tuple[int, int]]
) -> PerCell:
    """What each hidden cell would tell about the others, where surprising cells count as hidden: they may be wrong."""
    not_believed = hidden.copy()
    not_believed[tuple(np.array(surprising_cells, dtype=np.int64).reshape(-1, 2).T)] = True
    bits = checking.information_bits(predictor, cells[None], not_believed[None])[0]
    bits[~hidden] = np.nan
    return bits


def print_check(report: CheckReport, marks: dict[int, str]) -> None:
    """Print a line for each surprising cell, and one for the hidden cell to look at next.

    Parameters
    ----------
    report, marks
        What `check` returns.

    Examples
    --------
    >>> report = {"input": "grid.png", "model": "5eed…", "threshold": 0.01, "surprises": []}
    >>> print_check(report | {"look_next": {"row": 3, "column": 4, "bits": 1.5}}, {0: ".", 1: "#"})
    no visible cell has a probability below 0.01 given the rest
    look next at row 3, column 4: its value is expected to tell 1.50 bits about the other hidden cells
    """
    for surprise in report["surprises"]:
        symbol, likely = marks[surprise["symbol"]], marks[surprise["likely_symbol"]]
        probability = f"{symbol} has probability {surprise['probability']:.2g} given the rest"
        print(f"row {surprise['row']}, column {surprise['column']}: {probability}; {likely} is most likely")
    if not report["surprises"]:
        print(f"no visible cell has a probability below {report['threshold']:g} given the rest")
    if "look_next" in report:
        cell = report["look_next"]
        expected = f"its value is expected to tell {cell['bits']:z.2f} bits about the other hidden cells"
        print(f"look next at row {cell['row']}, column {cell['column']}: {expected}")
