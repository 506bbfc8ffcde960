"""`gridcloze explain`: why a hidden cell has its probabilities."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from .. import checkpoint, explaining, filling
from ..decoding import ONE_AT_A_TIME
from ..files.grids import Grid, read_grid
from ..films import check_film, write_film
from ..predictor import Predictor, entropy_bits
from ..priors.known import posterior
from ..priors.posterior import ContradictionError, KnownPrior
from ..puzzles import Puzzles
from ..words import HIDDEN, InputError
from .shared import Report, check_pictures, figure, or_none
from .toy import read_law

FEW = 5  # of what there is most of, in words
FILM_FRAMES = 120  # at most
FILM_FRAMES_PER_SECOND = 10.0


@dataclass(frozen=True)
class Drawings:
    """Where an explanation is drawn, if anywhere: of the cell, of all heads, and as a film of one draw by `seed`."""

    picture: Path | None = None
    heads: Path | None = None
    film: Path | None = None
    dark: bool = False
    seed: int = 0


def explain(
    model_path: Path, path: Path, cell: str | None, hidden: str, prior_file: Path | None, drawings: Drawings
) -> tuple[Report, str]:
    """Why a hidden cell (its row and column as "4,7"; if none is given the most uncertain) has its law.

    Returns the report, and the characters of the model's symbols. With a prior the exact answer stands beside.
    """
    predictor = checkpoint.load(model_path)
    check_pictures(drawings.picture, drawings.heads)
    if drawings.film is not None:
        check_film(drawings.film)
    grid = read_grid(path, predictor.header.palette, predictor.size, hidden=hidden)
    if not grid.hidden.any():
        raise InputError(f"{path}: no cell is hidden, so there is nothing to explain")
    target = _most_uncertain(predictor, grid) if cell is None else _place(cell)
    predictors: dict[str, Predictor] = {"model": predictor}
    if prior_file is not None:
        predictors["exact"] = posterior(cast(KnownPrior, read_law(prior_file, required=True)))
    said = {name: explaining.explain(one, grid.cells, grid.hidden, target) for name, one in predictors.items()}
    attention = explaining.attention(predictor, grid.cells, grid.hidden, np.array([target]))
    correlations = explaining.head_correlations(attention, said["model"].hide[None])
    _draw_explanation(drawings, predictors, grid, target, said, attention[:, :, 0], correlations)
    report: Report = {"input": path.name, "model": predictor.header.hash}
    report["cell"] = {"row": target[0], "column": target[1], "given": cell is not None}
    report["laws"] = {name: one.marginals[target].tolist() for name, one in said.items()}
    report["influences"] = [_influences_of(place, said, grid.cells) for place in _most_influential(said["model"])]
    report["attention"] = _agreement(attention[:, :, 0], correlations, said["model"].hide)
    if "exact" in said:
        report["influence_of_model_and_exact"] = {
            change: or_none(explaining.rank_correlation(*(getattr(one, change) for one in said.values())))
            for change in explaining.CHANGES
        }
    return report, predictor.header.palette.characters


def _place(cell: str) -> tuple[int, int]:
    numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", cell)
    if numbers is None:
        raise InputError(f"cell {cell!r} is no place: it is its row and column, from 0, such as 4,7")
    return int(numbers[1]), int(numbers[2])


def _most_uncertain(predictor: Predictor, grid: Grid) -> tuple[int, int]:
    entropy = entropy_bits(predictor.marginals(grid.cells[None], grid.hidden[None])[0])
    row, column = np.unravel_index(np.where(grid.hidden, entropy, -1.0).argmax(), grid.cells.shape)
    return int(row), int(column)


def _most_influential(said: explaining.Explanation) -> list[tuple[int, int]]:
    """The first few cells by hiding, and by flipping those of which that tells more; in order of hiding."""
    hide, flip = np.nan_to_num(said.hide), np.nan_to_num(said.flip)
    ranked = [one.ravel().argsort(kind="stable")[::-1][:FEW] for one in (hide, np.where(flip > hide, flip, 0.0))]
    places = {divmod(int(number), hide.shape[1]) for number in np.concatenate(ranked)}
    return sorted((one for one in places if hide[one] + flip[one] > 0), key=lambda one: (-hide[one], -flip[one], one))


def _influences_of(place: tuple[int, int], said: dict[str, explaining.Explanation], cells: np.ndarray) -> Report:
    by_name = {
        name: {change: or_none(getattr(one, change)[place]) for change in explaining.CHANGES}
        for name, one in said.items()
    }
    return {"row": place[0], "column": place[1], "symbol": int(cells[place]), **by_name}


def _agreement(attention: np.ndarray, correlations: np.ndarray, hide: np.ndarray) -> Report:
    """How far attention ranks the visible cells as influence does: each head, the best, and the mean of all."""
    layer, head = explaining.best_head(correlations)
    return {
        "rank_correlations": [[or_none(number) for number in line] for line in correlations],
        "best": {"layer": layer, "head": head, "rank_correlation": or_none(correlations[layer, head])},
        "mean_of_heads": or_none(explaining.rank_correlation(attention.mean(axis=(0, 1)), hide)),
    }


def _draw_explanation(
    drawings: Drawings,
    predictors: dict[str, Predictor],
    grid: Grid,
    target: tuple[int, int],
    said: dict[str, explaining.Explanation],
    attention: np.ndarray,
    correlations: np.ndarray,
) -> None:
    if drawings.film is not None:
        write_film(drawings.film, _moments(predictors, grid, drawings), FILM_FRAMES_PER_SECOND)
    palette, dark = grid.palette, drawings.dark
    if drawings.picture is not None:
        from ..pictures import write_explanation

        write_explanation(drawings.picture, grid.cells, target, said, attention, correlations, palette, dark)
    if drawings.heads is not None:
        from ..pictures import write_heads

        write_heads(drawings.heads, attention, grid.cells, target, correlations, palette, dark)


def _moments(predictors: dict[str, Predictor], grid: Grid, drawings: Drawings) -> list[np.ndarray]:
    """The frames of a film: a draw one cell at a time, and what is said of the rest, by the exact predictor too."""
    from ..pictures import frame

    recording = explaining.Recording(predictors["model"])
    cells, hidden = grid.cells[None], grid.hidden[None]
    drawn = filling.sample(recording, Puzzles(cells, hidden), 1, drawings.seed, ONE_AT_A_TIME).cells[0]
    recording.marginals(drawn, np.zeros_like(hidden))
    chosen = np.unique(np.linspace(0, len(recording.moments) - 1, FILM_FRAMES).round().astype(int))
    titles = ["known so far", f"probability of {grid.palette.characters[-1]!r}", "exactly"][: 1 + len(predictors)]
    frames = []
    for cells, hidden, law in (recording.moments[number] for number in chosen):
        panels = [np.where(hidden, HIDDEN, cells), law[..., -1]]
        if "exact" in predictors:
            panels.append(_law_or_nothing(predictors["exact"], cells, hidden)[..., -1])
        frames.append(frame(titles, [""], [panels], grid.palette, drawings.dark))
    return frames


def _law_or_nothing(exact: Predictor, cells: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """NaN everywhere from where the draw of a model is no grid of the prior any more."""
    try:
        return exact.marginals(cells[None], hidden[None])[0]
    except ContradictionError:
        return np.full((*cells.shape, exact.n_symbols), np.nan)


def print_explanation(report: Report, characters: str) -> None:
    """The law of the cell on stdout, the cells with most influence, and how far attention agrees, layer by head."""
    cell = report["cell"]
    how = "" if cell["given"] else ", the most uncertain hidden cell"
    print(f"row {cell['row']}, column {cell['column']}{how}")
    for name, law in report["laws"].items():
        likeliest = sorted(zip(characters, law, strict=True), key=lambda one: -one[1])[:FEW]
        print(f"{name}: {', '.join(f'{character} with probability {said:.3g}' for character, said in likeliest)}")
    if report["influences"]:
        ruled_out = " (– if the others rule that out)" if "exact" in report["laws"] else ""
        print(f"\nhow far its law moves (total variation 0…1) if a visible cell is hidden, or flipped{ruled_out}:")
        Console().print(_influence_table(report, characters))
    print("rank correlation of attention with influence by hiding (1: the same order, 0: none):")
    Console().print(_heads_table(report["attention"]["rank_correlations"]))
    best, mean = report["attention"]["best"], figure(report["attention"]["mean_of_heads"], "z.2f")
    where = f"layer {best['layer']}, head {best['head']} with {figure(best['rank_correlation'], 'z.2f')}"
    print(f"the best is {where}; the mean of all heads has {mean}")
    if "influence_of_model_and_exact" in report:
        agree = {change: figure(number, "z.2f") for change, number in report["influence_of_model_and_exact"].items()}
        print(f"influence of the model with exact influence: {agree['hide']} by hiding, {agree['flip']} by flipping")


def _influence_table(report: Report, characters: str) -> Table:
    table = Table("row", "column", "shows", box=box.SIMPLE)
    for name in report["laws"]:
        for change in ("hidden", "flipped"):
            table.add_column(change if name == "model" else f"{change}, {name}", justify="right")
    for one in report["influences"]:
        figures = (figure(one[name][change], ".2g") for name in report["laws"] for change in explaining.CHANGES)
        table.add_row(f"{one['row']}", f"{one['column']}", characters[one["symbol"]], *figures)
    return table


def _heads_table(correlations: list[list[float | None]]) -> Table:
    table = Table("layer", box=box.SIMPLE)
    for head in range(len(correlations[0])):
        table.add_column(f"head {head}", justify="right")
    for layer, line in enumerate(correlations):
        table.add_row(f"{layer}", *(figure(number, "z.2f") for number in line))
    return table
