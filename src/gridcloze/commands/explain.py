"""`gridcloze explain`: why a hidden cell has its probabilities."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import numpy as np
from jaxtyping import Float
from rich import box
from rich.console import Console
from rich.table import Table

from .. import checkpoint, explaining, filling
from ..checkpoint import TrainedPredictor
from ..decoding import ONE_AT_A_TIME
from ..explaining import Explanation
from ..files.grids import Grid
from ..files.paths import refuse_replacing
from ..files.sides import read_side_of
from ..films import check_film, write_film
from ..predictor import Predictor, entropy_bits
from ..priors.known import posterior
from ..priors.posterior import ContradictionError, KnownPrior
from ..puzzles import Puzzles
from ..shapes import OneGrid, OneHidden, PerCell
from ..side import SidedPredictor, with_side
from ..words import HIDDEN, InputError, about, finite_or_none
from .shared import (
    MOST_CELLS,
    announce_work,
    check_pictures,
    check_prior,
    files_in,
    read_any,
)
from .toy import read_prior

LISTED = 5  # symbols of a distribution, and cells by each kind of influence, in print and in the report
FILM_FRAMES = 120  # at most
FILM_FRAMES_PER_SECOND = 10.0
CORRELATION = "rank correlation (Spearman)"


class _Cell(TypedDict):
    """The explained cell.

    Attributes
    ----------
    row, column
        Where it is, from 0.
    most_uncertain
        Whether it was chosen as the most uncertain hidden cell, because none was named.
    """

    row: int
    column: int
    most_uncertain: bool


class _Changes(TypedDict):
    """A number for each way to change visible cells.

    Attributes
    ----------
    hide
        The number when the cell is hidden.
    flip
        The number when its symbol is replaced by another; null where the other cells rule every other symbol out.
    """

    hide: float | None
    flip: float | None


class _SideInfluence(TypedDict):
    """The influence of a side map on the explained cell.

    Attributes
    ----------
    name
        Of the side map.
    influence
        Total variation between the distributions with it and without, 0 to 1.
    """

    name: str
    influence: float


class _Influence(TypedDict):
    """A visible cell and its influence: total variation between the distributions before and after, 0 to 1.

    Attributes
    ----------
    row, column
        Where it is, from 0.
    symbol
        Its symbol: its class code if the model learned from such, otherwise its number, from 0.
    model
        Influence on the model's distribution, 0 to 1.
    exact
        Influence on the exact posterior, 0 to 1; missing without a prior.
    """

    row: int
    column: int
    symbol: int
    model: _Changes
    exact: NotRequired[_Changes]


class _Head(TypedDict):
    """An attention head.

    Attributes
    ----------
    layer, head
        Which it is, from 0.
    rank_correlation
        Of its attention with influence by hiding, -1 to 1; null if there is none.
    """

    layer: int
    head: int
    rank_correlation: float | None


class _Attention(TypedDict):
    """How far attention ranks the visible cells as influence by hiding does.

    Attributes
    ----------
    rank_correlations
        Of each head's attention with influence by hiding, -1 to 1, by layer and head; null where one is constant.
    best
        The head with the largest.
    mean_of_heads
        The same for the attention averaged over all heads.
    """

    rank_correlations: list[list[float | None]]
    best: _Head
    mean_of_heads: float | None


class ExplainReport(TypedDict):
    """What `gridcloze explain` found about one hidden cell.

    Attributes
    ----------
    input
        Name of the file.
    model
        Hash of the model: SHA-256, in hexadecimal digits.
    cell
        The explained cell.
    distributions
        Probability of each symbol at the cell, by the predictor: model, and exact if there is a prior.
    influences
        Visible cells with the largest influence on the cell's distribution, largest by hiding first.
    correlation
        The kind of all correlations in this report: rank correlation (Spearman).
    attention
        How far attention agrees with influence; null for a model without attention.
    influence_of_model_and_exact
        Correlation of the model's influences with the exact ones, -1 to 1; missing without a prior.
    side
        The influence of each side map, for a model that has such.

    Examples
    --------
    >>> sorted(ExplainReport.__optional_keys__)
    ['influence_of_model_and_exact', 'side']
    """

    input: str
    model: str
    cell: _Cell
    distributions: dict[str, list[float]]
    influences: list[_Influence]
    correlation: str
    attention: _Attention | None
    influence_of_model_and_exact: NotRequired[_Changes]
    side: NotRequired[list[_SideInfluence]]


@dataclass(frozen=True)
class Drawings:
    """Where an explanation is drawn.

    Parameters
    ----------
    picture
        A .png or .svg file for the influences and attention of the cell; None for no picture.
    heads
        A .png or .svg file for the attention of every head; None for no picture.
    film
        A .gif or .mp4 file for one sample of the grid, cell by cell; None for no film.
    dark
        Whether the drawings have a dark background.
    seed
        Seed of the sample in the film.

    Examples
    --------
    >>> Drawings(film=Path("sample.gif")).picture is None
    True
    """

    picture: Path | None = None
    heads: Path | None = None
    film: Path | None = None
    dark: bool = False
    seed: int = 0

    def check(self) -> None:
        """Check, before any work is done, that all of them can be written.

        Raises
        ------
        InputError
            If a file has an unknown ending or cannot be written.
        """
        check_pictures(self.picture, self.heads)
        if self.film is not None:
            check_film(self.film)


@dataclass(frozen=True)
class Explained:
    """A hidden cell of a grid with all that was computed about it.

    Parameters
    ----------
    grid
        The grid.
    target
        Row and column of the cell.
    most_uncertain
        Whether it was chosen as the most uncertain hidden cell.
    predictors, explanations
        By name: model, and exact if there is a prior.
    attention
        The weight of each cell in each head of the model, as seen from the target; None for a model without attention.
    correlations
        The rank correlation of each head's attention with influence by hiding.

    Examples
    --------
    >>> Explained.__dataclass_fields__["target"].type
    tuple[int, int]
    """

    grid: Grid
    target: tuple[int, int]
    most_uncertain: bool
    predictors: dict[str, Predictor]
    explanations: dict[str, Explanation]
    attention: Float[np.ndarray, "layer head height width"] | None
    correlations: Float[np.ndarray, "layer head"] | None


def explain(
    model_path: Path,
    path: Path,
    cell: str | None,
    hidden: str,
    prior_path: Path | None,
    drawings: Drawings,
    overwrite: bool = False,
    hide_unseen: bool = False,
    scale: int | None = None,
    side: Sequence[str] = (),
) -> tuple[ExplainReport, dict[int, str]]:
    """Explain the distribution of a hidden cell by the influence of the visible cells, and compare attention with it.

    Parameters
    ----------
    model_path
        A model file.
    path
        A grid with hidden cells; a map, too.
    cell
        Row and column of a hidden cell, from 0, as in "4,7"; None for the most uncertain one.
    hidden
        How hidden cells are marked, as `shared.read_any` takes it.
    prior_path
        A prior.json, for the exact posterior to compare with; None for no comparison.
    drawings
        Where to draw the explanation.
    overwrite
        Whether older drawings of gridcloze are replaced.
    hide_unseen
        Whether a map may have more than 1% of cells of classes that the model never saw, which count as hidden.
    scale
        Side of a cell of the grid, if it is a picture, in pixels; by default as `read_grid` finds it for a model.
    side
        Side maps, as `named_sides` takes them; ["none"] for unknown ones.

    Returns
    -------
    report : ExplainReport
        What was found.
    marks : dict
        What to print for symbols, for `print_explanation`.

    Raises
    ------
    InputError
        If `cell` is no hidden cell, no cell is hidden, a file cannot be read, the grid is too large or no grid of the
        prior, a drawing cannot be written, or the attention of a model without it is to be drawn.

    Examples
    --------
    >>> from gridcloze import priors
    >>> from gridcloze.commands.toy import toy
    >>> from gridcloze.commands.train import Source, train
    >>> from gridcloze.training import Budget
    >>> written = toy(priors.squares(4, 4, 2, 3), Path("examples"), n=20, n_puzzles=0, seed=0, scale=1)
    >>> trained = train(Source(Path("examples")), Path("model.safetensors"), Budget(steps=1), seed=0, depth=1)
    >>> np.save("puzzle.npy", np.array([[HIDDEN, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]))
    >>> model, puzzle, prior = Path("model.safetensors"), Path("puzzle.npy"), Path("examples/prior.json")
    >>> report, marks = explain(model, puzzle, "0,0", "auto", prior, Drawings())
    >>> report["distributions"]["exact"]  # with its square complete, the cell is black
    [1.0, 0.0]
    """
    outputs = [drawings.picture, drawings.heads, drawings.film]
    refuse_replacing(outputs, files_in(model_path, path, hidden, prior_path), overwrite)
    predictor = checkpoint.load(model_path)
    drawings.check()
    if drawings.heads is not None and not predictor.has_attention:
        raise InputError(f"{model_path}: this model has no attention, which --heads would draw: leave it out")
    grid = read_any(path, predictor, hidden, scale, hide_unseen, MOST_CELLS)
    with about(path):
        refuse_whole(grid)
    model = with_side(predictor, read_side_of(path, grid.cells, side, predictor.side))
    predictors: dict[str, Predictor] = {"model": model}
    if prior_path is not None:
        prior = cast(KnownPrior, read_prior(prior_path, required=True))
        check_prior(prior, prior_path, grid.cells.shape, predictor.n_symbols)
        predictors["exact"] = posterior(prior)
    announce_work(path, model, grid, queries(grid, predictor.n_symbols))
    explained = explain_cell(predictors, grid, cell)
    _draw(drawings, explained)
    report, marks = report_on(explained, path.name, predictor.header.hash), predictor.header.palette.marks
    for influence in report["influences"]:
        influence["symbol"] = list(marks)[influence["symbol"]]
    return report, marks


def queries(grid: Grid, n_symbols: int) -> int:
    """Count about how often a grid is predicted to explain a cell of it.

    Parameters
    ----------
    grid
        The grid.
    n_symbols
        The number of symbols.

    Returns
    -------
    int
        For each visible cell, each symbol.

    Examples
    --------
    >>> queries(Grid.from_cells(np.array([[0, 1, -1]])), 2)
    4
    """
    return int((~grid.hidden).sum()) * n_symbols


def refuse_whole(grid: Grid) -> None:
    """Refuse a grid in which there is nothing to explain.

    Parameters
    ----------
    grid
        The grid.

    Raises
    ------
    InputError
        If no cell is hidden.

    Examples
    --------
    >>> refuse_whole(Grid.from_cells(np.array([[0, 1, -1]])))
    """
    if not grid.hidden.any():
        raise InputError("no cell is hidden, so there is nothing to explain")


def explain_cell(predictors: dict[str, Predictor], grid: Grid, cell: str | None) -> Explained:
    """Compute all that explains one hidden cell of a grid, wherever it was read.

    Parameters
    ----------
    predictors
        "model", and "exact" if the prior is known.
    grid
        A grid with hidden cells.
    cell
        As in `explain`.

    Returns
    -------
    Explained
        For `report_on`.

    Raises
    ------
    InputError
        If `cell` is no hidden cell.

    Examples
    --------
    >>> from gridcloze import Inpainter
    >>> model = Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).predictor_
    >>> explain_cell({"model": model}, Grid.from_cells(np.array([[1, -1]])), None).target
    (0, 1)
    """
    predictor = predictors["model"]
    target = _most_uncertain(predictor, grid) if cell is None else _row_and_column(cell)
    explanations = {name: explaining.explain(one, grid.cells, grid.hidden, target) for name, one in predictors.items()}
    if not cast(TrainedPredictor, predictor).has_attention:
        return Explained(grid, target, cell is None, predictors, explanations, None, None)
    attention = explaining.attention(predictor, grid.cells, grid.hidden, np.array([target]))
    correlations = explaining.head_correlations(attention, explanations["model"].hide[None])
    return Explained(grid, target, cell is None, predictors, explanations, attention[:, :, 0], correlations)


def _row_and_column(cell: str) -> tuple[int, int]:
    numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", cell)
    if numbers is None:
        raise InputError(f"cell {cell!r} is not understood: give its row and column, from 0, as in 4,7")
    return int(numbers[1]), int(numbers[2])


def _most_uncertain(predictor: Predictor, grid: Grid) -> tuple[int, int]:
    entropy = entropy_bits(predictor.marginals(grid.cells[None], grid.hidden[None])[0])
    row, column = np.unravel_index(np.where(grid.hidden, entropy, -1.0).argmax(), grid.cells.shape)
    return int(row), int(column)


def report_on(explained: Explained, name: str, model_hash: str) -> ExplainReport:
    """Report what explains a cell.

    Parameters
    ----------
    explained
        What `explain_cell` returned.
    name
        Of the grid.
    model_hash
        Of the model.

    Returns
    -------
    ExplainReport
        What `gridcloze explain --json` prints.

    Examples
    --------
    >>> from gridcloze import Inpainter
    >>> model = Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).predictor_
    >>> explained = explain_cell({"model": model}, Grid.from_cells(np.array([[1, -1]])), None)
    >>> report_on(explained, "puzzle", "5eed")["cell"]
    {'row': 0, 'column': 1, 'most_uncertain': True}
    """
    explanations, (row, column) = explained.explanations, explained.target
    report: ExplainReport = {
        "input": name,
        "model": model_hash,
        "cell": {"row": row, "column": column, "most_uncertain": explained.most_uncertain},
        "distributions": {name: one.marginals[row, column].tolist() for name, one in explanations.items()},
        "influences": [
            _influence(cell, explanations, explained.grid.cells) for cell in _most_influential(explanations["model"])
        ],
        "correlation": CORRELATION,
        "attention": _agreement(explained, explanations["model"].hide),
    }
    if "exact" in explanations:
        model, exact = explanations["model"], explanations["exact"]
        report["influence_of_model_and_exact"] = {
            "hide": finite_or_none(explaining.rank_correlation(model.hide, exact.hide)),
            "flip": finite_or_none(explaining.rank_correlation(model.flip, exact.flip)),
        }
    bound = explained.predictors["model"]
    if isinstance(bound, SidedPredictor):
        influences = explaining.side_influence(bound, explained.grid.cells, explained.grid.hidden, explained.target)
        pairs = zip(bound.predictor.side, influences, strict=True)
        report["side"] = [{"name": channel.name, "influence": influence} for channel, influence in pairs]
    return report


def _most_influential(explanation: Explanation) -> list[tuple[int, int]]:
    """The first few cells by hiding, and those by flipping of which that tells more; in order of hiding."""
    hide, flip = np.nan_to_num(explanation.hide), np.nan_to_num(explanation.flip)
    ranked = [values.ravel().argsort(kind="stable")[::-1][:LISTED] for values in (hide, np.where(flip > hide, flip, 0))]
    cells = {divmod(int(number), hide.shape[1]) for number in np.concatenate(ranked)}
    return sorted((cell for cell in cells if hide[cell] + flip[cell] > 0), key=lambda at: (-hide[at], -flip[at], at))


def _influence(cell: tuple[int, int], explanations: Mapping[str, Explanation], cells: OneGrid) -> _Influence:
    by_name = {
        name: {"hide": finite_or_none(one.hide[cell]), "flip": finite_or_none(one.flip[cell])}
        for name, one in explanations.items()
    }
    return cast(_Influence, {"row": cell[0], "column": cell[1], "symbol": int(cells[cell]), **by_name})


def _agreement(explained: Explained, hide: PerCell) -> _Attention | None:
    attention, correlations = explained.attention, explained.correlations
    if attention is None or correlations is None:
        return None
    layer, head = explaining.best_head(correlations)
    return {
        "rank_correlations": [[finite_or_none(number) for number in of_layer] for of_layer in correlations],
        "best": {"layer": layer, "head": head, "rank_correlation": finite_or_none(correlations[layer, head])},
        "mean_of_heads": finite_or_none(explaining.rank_correlation(attention.mean(axis=(0, 1)), hide)),
    }


def _draw(drawings: Drawings, explained: Explained) -> None:
    if drawings.film is not None:
        write_film(drawings.film, _moments(explained.predictors, explained.grid, drawings), FILM_FRAMES_PER_SECOND)
    grid, target, dark = explained.grid, explained.target, drawings.dark
    attention, correlations = explained.attention, explained.correlations
    if drawings.picture is not None:
        from ..pictures import write_explanation

        explanations = explained.explanations
        write_explanation(
            drawings.picture, grid.cells, target, explanations, attention, correlations, grid.palette, dark
        )
    if drawings.heads is not None and attention is not None and correlations is not None:
        from ..pictures import write_heads

        write_heads(drawings.heads, attention, grid.cells, target, correlations, grid.palette, dark)


def _moments(predictors: dict[str, Predictor], grid: Grid, drawings: Drawings) -> list[np.ndarray]:
    """The frames of a film: one sample, a cell at a time, and the predictions for the rest, the exact ones too."""
    from ..pictures import frame

    recording = explaining.Recording(predictors["model"])
    cells, hidden = grid.cells[None], grid.hidden[None]
    drawn = filling.sample(recording, Puzzles(cells, hidden), 1, drawings.seed, ONE_AT_A_TIME).cells[0]
    recording.marginals(drawn, np.zeros_like(hidden))
    chosen = np.unique(np.linspace(0, len(recording.moments) - 1, FILM_FRAMES).round().astype(int))
    titles = ["known so far", f"probability of {grid.palette.label(grid.palette.n_symbols - 1)}", "exact"][
        : 1 + len(predictors)
    ]
    frames = []
    for cells, hidden, marginals in (recording.moments[number] for number in chosen):
        panels = [np.where(hidden, HIDDEN, cells), marginals[..., -1]]
        if "exact" in predictors:
            panels.append(_marginals_or_nan(predictors["exact"], cells, hidden)[..., -1])
        frames.append(frame(titles, [""], [panels], grid.palette, drawings.dark))
    return frames


def _marginals_or_nan(exact: Predictor, cells: OneGrid, hidden: OneHidden) -> Float[np.ndarray, "height width symbol"]:
    """NaN everywhere once the sample of a model is no grid of the prior any more."""
    try:
        return exact.marginals(cells[None], hidden[None])[0]
    except ContradictionError:
        return np.full((*cells.shape, exact.n_symbols), np.nan)


def print_explanation(report: ExplainReport, marks: dict[int, str]) -> None:
    """Print the distribution of the cell, the cells with the largest influence, and how far attention agrees.

    Parameters
    ----------
    report, marks
        What `explain` returns.

    Examples
    --------
    >>> best = {"layer": 0, "head": 0, "rank_correlation": 0.75}
    >>> report = {
    ...     "cell": {"row": 1, "column": 2, "most_uncertain": True},
    ...     "distributions": {"model": [0.25, 0.75]},
    ...     "influences": [{"row": 0, "column": 2, "symbol": 1, "model": {"hide": 0.5, "flip": None}}],
    ...     "correlation": "rank correlation (Spearman)",
    ...     "attention": {"rank_correlations": [[0.75]], "best": best, "mean_of_heads": 0.75},
    ... }
    >>> print_explanation(report, {0: ".", 1: "#"})
    row 1, column 2, the most uncertain hidden cell
    model: # with probability 0.75, . with probability 0.25
    <BLANKLINE>
    change of this distribution (total variation, 0 to 1) when one visible cell is hidden or flipped:
    ...
    rank correlation (Spearman) of attention with influence by hiding (1: same order, 0: unrelated):
    ...
    best: layer 0, head 0 with 0.75; attention averaged over all heads: 0.75
    """
    cell = report["cell"]
    chosen = ", the most uncertain hidden cell" if cell["most_uncertain"] else ""
    print(f"row {cell['row']}, column {cell['column']}{chosen}")
    for name, distribution in report["distributions"].items():
        likeliest = sorted(zip(marks.values(), distribution, strict=True), key=lambda pair: -pair[1])[:LISTED]
        print(f"{name}: {', '.join(f'{symbol} with probability {share:.3g}' for symbol, share in likeliest)}")
    if report["influences"]:
        ruled_out = " (–: the other cells rule that out)" if "exact" in report["distributions"] else ""
        change = "change of this distribution (total variation, 0 to 1) when one visible cell is hidden or flipped"
        print(f"\n{change}{ruled_out}:")
        Console().print(_influence_table(report, marks))
    if "side" in report:
        each = ", ".join(f"{one['name']} {one['influence']:.2f}" for one in report["side"])
        print(f"change of this distribution when a side map is made unknown: {each}")
    kind, attention = report["correlation"], report["attention"]
    if attention is None:
        print("this model has no attention to compare with influence")
    else:
        print(f"{kind} of attention with influence by hiding (1: same order, 0: unrelated):")
        Console().print(_heads_table(attention["rank_correlations"]))
        best, mean = attention["best"], _figure(attention["mean_of_heads"], "z.2f")
        head = f"layer {best['layer']}, head {best['head']} with {_figure(best['rank_correlation'], 'z.2f')}"
        print(f"best: {head}; attention averaged over all heads: {mean}")
    if "influence_of_model_and_exact" in report:
        agreement = report["influence_of_model_and_exact"]
        hide, flip = _figure(agreement["hide"], "z.2f"), _figure(agreement["flip"], "z.2f")
        print(f"{kind} of the model's influences with the exact ones: {hide} by hiding, {flip} by flipping")


def _influence_table(report: ExplainReport, marks: dict[int, str]) -> Table:
    table = Table("row", "column", "symbol", box=box.SIMPLE)
    names = list(report["distributions"])
    for name in names:
        for change in ("hidden", "flipped"):
            table.add_column(change if name == "model" else f"{change}, {name}", justify="right")
    for influence in report["influences"]:
        of_names = (cast(dict[str, _Changes], influence)[name] for name in names)
        figures = (_figure(number, ".2g") for changes in of_names for number in (changes["hide"], changes["flip"]))
        table.add_row(f"{influence['row']}", f"{influence['column']}", marks[influence["symbol"]], *figures)
    return table


def _heads_table(correlations: list[list[float | None]]) -> Table:
    table = Table("layer", box=box.SIMPLE)
    for head in range(len(correlations[0])):
        table.add_column(f"head {head}", justify="right")
    for layer, of_layer in enumerate(correlations):
        table.add_row(f"{layer}", *(_figure(number, "z.2f") for number in of_layer))
    return table


def _figure(number: float | None, form: str) -> str:
    return "–" if number is None else format(number, form)
