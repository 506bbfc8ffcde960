"""`gridcloze check`: which visible cells surprise, and which hidden cell would tell most."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from .. import checking, checkpoint
from ..files.grids import read_grid
from ..words import InputError
from .shared import Report, check_pictures


def check(
    model_path: Path, path: Path, threshold: float, hidden: str, picture: Path | None, dark: bool = False
) -> tuple[Report, str]:
    """Which visible cells of a grid the rest speaks against and, if cells are hidden, which would tell most of it.

    Returns the report, and the characters of the model's symbols.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is a probability 0 … 1, not {threshold}")
    predictor = checkpoint.load(model_path)
    check_pictures(picture)
    grid = read_grid(path, predictor.header.palette, predictor.size, hidden=hidden)
    cells, is_hidden = grid.cells, grid.hidden
    found = checking.surprises(predictor, cells, is_hidden, threshold)
    places = [(one.row, one.column) for one in found]
    doubtful = is_hidden.copy()
    doubtful[tuple(np.array(places, dtype=np.int64).reshape(-1, 2).T)] = True  # what they show is not to be believed
    telling = checking.information_bits(predictor, cells[None], doubtful[None])[0]
    telling[~is_hidden] = np.nan
    report: Report = {"input": path.name, "model": predictor.header.hash, "threshold": threshold}
    report["surprises"] = [asdict(one) for one in found]
    if is_hidden.any():
        row, column = np.unravel_index(np.nanargmax(telling), telling.shape)
        report["look_next"] = {"row": int(row), "column": int(column), "bits": float(telling[row, column])}
    if picture is not None:
        from ..pictures import write_check

        write_check(picture, cells, places, telling, predictor.header.palette, dark)
    return report, predictor.header.palette.characters


def print_check(report: Report, characters: str) -> None:
    """A line on stdout for each surprising cell, and one for the hidden cell that would tell most."""
    for one in report["surprises"]:
        symbol, likely = characters[one["symbol"]], characters[one["likely_symbol"]]
        place = f"row {one['row']}, column {one['column']}"
        print(f"{place}: {symbol} has probability {one['probability']:.2g} given the rest; {likely} is most likely")
    if not report["surprises"]:
        print(f"no visible cell has a probability below {report['threshold']:g} given the rest")
    if "look_next" in report:
        cell = report["look_next"]
        told = f"its value would tell {cell['bits']:.2f} bits about the other hidden cells"
        print(f"look next at row {cell['row']}, column {cell['column']}: {told}")
