"""`gridcloze compare`: the BERT beside convolutional networks and exact bounds."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ..files.paths import write_json
from .shared import Report, display


def compare(out: Path, quick: bool) -> Report:
    """Train the BERT and its rivals on priors with known laws; every number goes into compare.json in `out`, with
    pictures beside it. What is in the folder already is not trained again.
    """
    from ..study import comparing  # loads torch
    from ..study.charts import write_bounds, write_fields, write_reach

    with display("comparing") as show:
        report = comparing.run(comparing.QUICK if quick else comparing.FULL, out, show)
    write_json(out / "compare.json", report)
    for dark in (False, True):
        for suffix in (".png", ".svg"):
            ending = "-dark" * dark + suffix
            write_bounds(out / f"bounds{ending}", report["priors"], dark)
            write_reach(out / f"reach{ending}", report["priors"], dark)
            write_fields(out / f"fields{ending}", report["priors"], dark)
    return report


def print_comparison(report: Report) -> None:
    """A table on stdout for each prior: a line for each network, its seeds together."""
    from ..study.charts import by_network

    for prior, of_prior in report["priors"].items():
        title = f"{prior}: a window needs {of_prior['enough']} × {of_prior['enough']} cells until its bound is near 0"
        table = Table("network", title=title, box=box.SIMPLE)
        for column in ("steps", "bound", "excess bits", "errors above", "radius"):
            table.add_column(column, justify="right", no_wrap=True)
        for network, runs in by_network(of_prior["runs"]).items():
            table.add_row(
                network,
                f"{sum(run['steps'] for run in runs) / len(runs):.0f}",
                f"{runs[0]['bound_bits']:.4f}",
                _spread([run["excess_bits"] for run in runs], ".4f"),
                f"{min(run['over_bound_bits'] / max(run['over_bound_error'], 1e-12) for run in runs):.1f}",
                _spread([float(run["field_radius"]) for run in runs], ".0f"),
            )
        Console().print(table)
    print("errors above: by how many standard errors the nearest seed is over its bound")
    print("radius: of the square around a cell from which 90 % of the gradient of its answer comes")


def _spread(values: Sequence[float], form: str) -> str:
    """The mean of runs, and the least and the most where they differ."""
    mean, least, most = (format(value, form) for value in (sum(values) / len(values), min(values), max(values)))
    return mean if least == most else f"{mean} ({least}…{most})"
