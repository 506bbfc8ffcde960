"""`gridcloze compare`: the BERT compared with convolutional networks and with exact bounds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from rich import box
from rich.console import Console
from rich.table import Table

from ..files.paths import made_folder, only_one, remove_leftovers, write_json
from .shared import display


class _Run(TypedDict):
    """One trained network.

    Attributes
    ----------
    network
        Name of the network: bert, cnn- and its receptive field, dilated, unet or fourier.
    seed
        Seed of the random numbers.
    parameters
        Number of trained parameters.
    steps
        Number of training steps.
    receptive_field
        Side of the window that the network sees around a cell, in cells; null if it sees the whole grid.
    excess_bits
        Mean divergence from the exact posterior, in bits per hidden cell.
    bound_bits
        The least that a network with its receptive field can reach, in bits per hidden cell.
    over_bound_bits
        Difference of the two, in bits per hidden cell.
    over_bound_error
        Standard error of that difference, in bits per hidden cell.
    right
        Share of grids in which all determined cells are correct, 0 to 1.
    excess_bits_by_reach
        Mean divergence of the hidden cells that need a window of radius 0, 1, 2, … cells, in bits; null if there are
        none.
    field
        Effective receptive field of one cell: the share of the gradient that comes from each cell (height, width).
    field_radius
        Radius of the square around that cell that holds 90 % of the gradient, in cells.
    """

    network: str
    seed: int
    parameters: int
    steps: int
    receptive_field: int | None
    excess_bits: float
    bound_bits: float
    over_bound_bits: float
    over_bound_error: float
    right: float
    excess_bits_by_reach: list[float | None]
    field: list[list[float]]
    field_radius: int


class _OfPrior(TypedDict):
    """What was found for one prior.

    Attributes
    ----------
    entropy_bits
        Mean entropy of the exact posterior, in bits per hidden cell.
    bound_bits
        The least that any network can reach whose receptive field has a side of 1, 3, 5, … cells, in bits per hidden
        cell.
    bound_error
        Standard errors of those bounds, in bits per hidden cell.
    enough
        Side of the smallest window whose bound is near 0, in cells.
    share_by_reach
        Share of the hidden cells that need a window of radius 0, 1, 2, … cells, 0 to 1.
    runs
        Every trained network.
    """

    entropy_bits: float
    bound_bits: list[float]
    bound_error: list[float]
    enough: int
    share_by_reach: list[float]
    runs: list[_Run]


class CompareReport(TypedDict):
    """What `gridcloze compare` measured.

    Attributes
    ----------
    plan
        What was compared: side of the grids (cells), networks, seeds, minutes of training, number of puzzles.
    version
        Version of gridcloze.
    priors
        Results by the name of the prior.

    Examples
    --------
    >>> sorted(CompareReport.__required_keys__)
    ['plan', 'priors', 'version']
    """

    plan: dict[str, Any]
    version: str
    priors: dict[str, _OfPrior]


def compare(out: Path, quick: bool) -> CompareReport:
    """Train the BERT and its rivals on priors whose exact posterior is known.

    Parameters
    ----------
    out
        Folder for compare.json and the charts. Networks that are in it already are not trained again.
    quick
        Whether to compare few networks on small grids.

    Returns
    -------
    CompareReport
        Every number.

    Raises
    ------
    InputError
        If `out` holds another comparison, one of another version, or other files.

    Examples
    --------
    >>> written = Path("plan.json").write_text("{}")
    >>> compare(Path("."), quick=True)
    Traceback (most recent call last):
    gridcloze.words.InputError: . holds another comparison ...
    """
    from ..study import comparing  # loads torch
    from ..study.charts import write_bounds, write_fields, write_reach

    with made_folder(out), only_one(out):
        remove_leftovers(out)
        with display("comparing") as show:
            report = cast(CompareReport, comparing.run(comparing.QUICK if quick else comparing.FULL, out, show))
        write_json(out / "compare.json", report)
        for dark in (False, True):
            for suffix in (".png", ".svg"):
                ending = "-dark" * dark + suffix
                write_bounds(out / f"bounds{ending}", report["priors"], dark)
                write_reach(out / f"reach{ending}", report["priors"], dark)
                write_fields(out / f"fields{ending}", report["priors"], dark)
    return report


def print_comparison(report: CompareReport) -> None:
    """Print a table for each prior: a line for each network, its seeds together.

    Parameters
    ----------
    report
        What `compare` returns.

    Examples
    --------
    >>> print_comparison({"plan": {}, "version": "0.2.0", "priors": {}})
    over bound: in standard errors, of the seed that is nearest to its bound
    radius: of the square around a cell that holds 90 % of the gradient of its prediction, in cells
    """
    from ..study.charts import by_network

    for prior, results in report["priors"].items():
        title = f"{prior}: the bound is near 0 from {results['enough']} × {results['enough']} cells on"
        table = Table("network", title=title, box=box.SIMPLE)
        for column in ("steps", "bound bits", "excess bits", "over bound", "radius"):
            table.add_column(column, justify="right", no_wrap=True)
        for network, runs in by_network(cast(Any, results["runs"])).items():
            table.add_row(network, *_figures(cast(list[_Run], runs)))
        Console().print(table)
    print("over bound: in standard errors, of the seed that is nearest to its bound")
    print("radius: of the square around a cell that holds 90 % of the gradient of its prediction, in cells")


def _figures(runs: Sequence[_Run]) -> list[str]:
    """A line of the table."""
    return [
        f"{sum(run['steps'] for run in runs) / len(runs):.0f}",
        f"{runs[0]['bound_bits']:.4f}",
        _spread([run["excess_bits"] for run in runs], ".4f"),
        f"{min(run['over_bound_bits'] / max(run['over_bound_error'], 1e-12) for run in runs):.1f}",
        _spread([float(run["field_radius"]) for run in runs], ".0f"),
    ]


def _spread(values: Sequence[float], form: str) -> str:
    """The mean of runs, with the least and the most where they differ."""
    mean, least, most = (format(value, form) for value in (sum(values) / len(values), min(values), max(values)))
    return mean if least == most else f"{mean} ({least}…{most})"
