"""Charts of the comparison: networks, the windows they see, and what no such window can beat."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from ..pictures import DARK, LIGHT, PROBABILITY_COLOURS, Theme, written

LEAST_BITS = 1e-4  # that the charts show; what is less stands on their lower edge
NAMES = {"dilated": "dilated", "unet": "U-Net", "fourier": "Fourier", "bert": "BERT"}
MARKERS = {"dilated": "s", "unet": "^", "fourier": "D", "bert": "*"}
FIELDS_A_ROW = 4
FIELD_POWER = 0.4  # of the gradients, so that small ones show
Runs = list[dict[str, Any]]


def name_of(network: str) -> str:
    """Name a network for people.

    Parameters
    ----------
    network
        Its name in the results.

    Returns
    -------
    str
        Such as "U-Net", or "CNN 7" for a convolutional network with a receptive field of 7 cells.

    Examples
    --------
    >>> name_of("unet"), name_of("cnn-7")
    ('U-Net', 'CNN 7')
    """
    return NAMES.get(network, network.replace("cnn-", "CNN "))


def by_network(runs: Runs) -> dict[str, Runs]:
    """Group the runs of each network, whatever their seeds.

    Parameters
    ----------
    runs
        The results of each training; "network" names the network.

    Returns
    -------
    dict
        The runs of each network, in the order in which networks first occur.

    Examples
    --------
    >>> by_network([{"network": "bert", "seed": 0}, {"network": "bert", "seed": 1}])
    {'bert': [{'network': 'bert', 'seed': 0}, {'network': 'bert', 'seed': 1}]}
    """
    return {name: [run for run in runs if run["network"] == name] for name in dict.fromkeys(r["network"] for r in runs)}


def write_bounds(path: Path, priors: Mapping[str, Any], dark: bool = False) -> None:
    """Draw the excess bits of every run over its receptive field, and the exact bound; a panel for each prior.

    Networks that see the whole grid stand on the right, side by side.

    Parameters
    ----------
    path
        A .png or .svg file.
    priors
        The results by prior, as `comparing.run` returns them.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> runs = [{"network": "cnn-3", "excess_bits": 0.2}, {"network": "bert", "excess_bits": 0.01}]
    >>> write_bounds(Path("bounds.svg"), {"squares": {"bound_bits": [0.5, 0.2, 0.0], "runs": runs}})
    """
    theme = DARK if dark else LIGHT
    caption = "Each point is one training. No network can stand below the line, which is exact for its receptive field."
    with _panels(path, priors, theme, caption) as panels:
        for axes, results in zip(panels, priors.values(), strict=True):
            fields = 2 * np.arange(len(results["bound_bits"])) + 1
            bound = np.maximum(results["bound_bits"], LEAST_BITS)
            axes.plot(fields, bound, color=theme.text, linewidth=1.2, label="exact bound")
            axes.fill_between(fields, LEAST_BITS, bound, color=theme.guide, alpha=0.25, linewidth=0)
            positions = _positions(results["runs"], int(fields[-1]))
            for network, runs in by_network(results["runs"]).items():
                excess = [max(run["excess_bits"], LEAST_BITS) for run in runs]
                label = {"bert": "BERT", "cnn-3": "residual CNNs"}.get(network)
                style = _look(network, theme) | {"linestyle": "none", "alpha": 0.8, "label": label}
                axes.plot([positions[network]] * len(excess), excess, **style)
            names = [name_of(network).removeprefix("CNN ") for network in positions]
            axes.set_xticks(list(positions.values()), names)
            for tick, network in zip(axes.get_xticklabels(), positions, strict=True):
                tick.set_rotation(0 if network.startswith("cnn") else 60)
            axes.set(ylim=(LEAST_BITS, 1))
        panels[-1].set_xlabel("receptive field in cells; on the right: whole grid")
        panels[0].legend(loc="lower left", frameon=False)


def write_reach(path: Path, priors: Mapping[str, Any], dark: bool = False) -> None:
    """Draw the excess bits of each network, its seeds together, over how far cells must look; a panel for each prior.

    Parameters
    ----------
    path
        A .png or .svg file.
    priors
        The results by prior, as `comparing.run` returns them.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> runs = [{"network": "bert", "excess_bits_by_reach": [0.01, None, 0.02], "receptive_field": None}]
    >>> write_reach(Path("reach.svg"), {"squares": {"runs": runs}})
    """
    theme = DARK if dark else LIGHT
    caption = "A network with a small receptive field is good at cells whose answer lies inside it, and poor beyond."
    with _panels(path, priors, theme, caption) as panels:
        for axes, results in zip(panels, priors.values(), strict=True):
            for network, runs in by_network(results["runs"]).items():
                excess = np.array([run["excess_bits_by_reach"] for run in runs], dtype=float).mean(axis=0)
                field = min(runs[0]["receptive_field"] or 2 * len(excess), 2 * len(excess))
                shade = 0.25 + 0.75 * field / (2 * len(excess))
                style = _look(network, theme, 0.7) | {"alpha": shade, "linewidth": 1, "label": name_of(network)}
                radii = np.flatnonzero(np.isfinite(excess))
                axes.plot(radii, np.maximum(excess[radii], LEAST_BITS), **style)
            axes.set(ylim=(LEAST_BITS, 3))
        panels[-1].set_xlabel("radius in cells that holds the answer to a cell")
        handles = panels[0].get_legend_handles_labels()
        panels[0].figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False)


@contextmanager
def _panels(path: Path, priors: Mapping[str, Any], theme: Theme, caption: str) -> Iterator[np.ndarray]:
    """Axes of excess bits, one for each prior below each other."""
    with written(path, theme, 3.2 * len(priors) + 0.5, caption) as figure:
        panels = figure.subplots(len(priors), squeeze=False, sharey=True)[:, 0]
        panels[0].set_yscale("log")
        for axes, prior in zip(panels, priors, strict=True):
            axes.set_title(prior)
            axes.set_ylabel("excess bits per hidden cell")
            axes.grid(axis="y", alpha=0.25)
        yield panels


def write_fields(path: Path, priors: Mapping[str, Any], dark: bool = False) -> None:
    """Draw the effective receptive field of each network, its seeds together, on the grid; the theoretical is framed.

    Parameters
    ----------
    path
        A .png or .svg file.
    priors
        The results by prior, as `comparing.run` returns them.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> run = {"network": "cnn-3", "field": [[0.9, 0.1], [0.1, 0.0]], "receptive_field": 3, "field_radius": 1}
    >>> write_fields(Path("fields.svg"), {"squares": {"runs": [run]}})
    """
    theme = DARK if dark else LIGHT
    networks = {prior: by_network(results["runs"]) for prior, results in priors.items()}
    columns = min(FIELDS_A_ROW, max(map(len, networks.values())))
    n_rows = sum(-(-len(of_prior) // columns) for of_prior in networks.values())
    caption = "Where the prediction at one cell, a quarter into the grid, comes from; framed: what the network can see."
    with written(path, theme, 1.75 * n_rows + 0.6, caption) as figure:
        panels = figure.subplots(n_rows, columns, squeeze=False)
        remaining = iter(panels.flat)
        for prior, of_prior in networks.items():
            for network, runs in of_prior.items():
                _draw_field(next(remaining), f"{prior}, {name_of(network)}", runs, theme)
            for _ in range(-len(of_prior) % columns):  # a new prior, a new row
                next(remaining).set_axis_off()
        scale = ScalarMappable(PowerNorm(FIELD_POWER, 0, 1), PROBABILITY_COLOURS)
        bar = figure.colorbar(scale, ax=panels, location="bottom", aspect=50, shrink=0.6, fraction=0.05, pad=0.02)
        bar.set_label("gradient of the prediction, as a share of the largest")


def _draw_field(axes: Axes, title: str, runs: Runs, theme: Theme) -> None:
    field = np.mean([run["field"] for run in runs], axis=0)
    row, column = (side // 4 for side in field.shape)
    norm = PowerNorm(FIELD_POWER, 0, field.max())
    axes.imshow(field, cmap=PROBABILITY_COLOURS, norm=norm, interpolation="nearest")
    side = runs[0]["receptive_field"] or 4 * len(field)
    corner = (column - side / 2, row - side / 2)
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=theme.curves[1], linewidth=2))
    radius = np.mean([run["field_radius"] for run in runs])
    axes.set_title(f"{title}\n90% within {radius:.3g}", fontsize=9)
    axes.set(xticks=[], yticks=[])


def _positions(runs: Runs, last: int) -> dict[str, float]:
    """Where each network stands on the axis of receptive fields."""
    networks = by_network(runs)
    cnns = [network for network in networks if network.startswith("cnn")]
    others = [network for network in networks if network not in cnns]
    fields = {network: float(network.removeprefix("cnn-")) for network in cnns}
    step = max(2.5, last / 12)
    start = max([last, *fields.values()]) + step
    return fields | {network: start + step * number for number, network in enumerate(others)}


def _look(network: str, theme: Theme, scale: float = 1.0) -> dict[str, Any]:
    """How points of a network are drawn."""
    colours = {"bert": theme.curves[1], "dilated": theme.curves[2], "unet": theme.curves[2], "fourier": theme.curves[3]}
    size = scale * (10.0 if network == "bert" else 5.0)
    return {"color": colours.get(network, theme.curves[0]), "marker": MARKERS.get(network, "o"), "markersize": size}
