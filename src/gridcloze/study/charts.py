"""What a comparison found, as charts: networks, the windows they see, and what no such window can beat."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from ..pictures import DARK, LIGHT, PROBABILITY_COLOURS, Theme, written

LEAST_BITS = 1e-4  # that the charts show; what is below stands on their lower edge
NAMES = {"dilated": "dilated", "unet": "U-Net", "fourier": "Fourier", "bert": "BERT"}
MARKERS = {"dilated": "s", "unet": "^", "fourier": "D", "bert": "*"}
FIELDS_A_ROW = 6
Runs = list[dict[str, Any]]


def name_of(network: str) -> str:
    return NAMES.get(network, network.replace("cnn-", "CNN "))


def write_bounds(path: Path, priors: Mapping[str, Any], dark: bool = False) -> None:
    """Excess bits of every run against its receptive field, over the bound of each window; a panel for each prior.

    Networks that see the whole grid stand on the right, side by side.
    """
    theme = DARK if dark else LIGHT
    with written(path, theme, 5.2 * len(priors), 4.2) as figure:
        panels = figure.subplots(1, len(priors), squeeze=False, sharey=True)[0]
        for axes, (prior, found) in zip(panels, priors.items(), strict=True):
            fields = 2 * np.arange(len(found["bound_bits"])) + 1
            bound = np.maximum(found["bound_bits"], LEAST_BITS)
            axes.plot(fields, bound, color=theme.text, linewidth=1.2, label="the best any such window can do (exact)")
            axes.fill_between(fields, LEAST_BITS, bound, color=theme.guide, alpha=0.25, linewidth=0)
            places = _places(found["runs"], int(fields[-1]))
            for network, of_network in by_network(found["runs"]).items():
                excess = [max(run["excess_bits"], LEAST_BITS) for run in of_network]
                colour, marker, size = _look(network, theme)
                label = {"bert": "BERT", "cnn-3": "residual CNNs"}.get(network)
                style = {"color": colour, "marker": marker, "markersize": size, "linestyle": "none", "alpha": 0.8}
                axes.plot([places[network]] * len(excess), excess, label=label, **style)
            shown = {place: name_of(network).removeprefix("CNN ") for network, place in places.items()}
            axes.set_xticks(list(shown), list(shown.values()), fontsize=8)
            for tick, network in zip(axes.get_xticklabels(), places, strict=True):
                tick.set_rotation(0 if network.startswith("cnn") else 60)
            axes.set(yscale="log", ylim=(LEAST_BITS, 1), title=prior, xlabel="receptive field, or the whole grid")
            axes.grid(axis="y", alpha=0.25)
        panels[0].set_ylabel("excess bits per hidden cell")
        panels[0].legend(fontsize=8, loc="lower left", frameon=False)


def write_reach(path: Path, priors: Mapping[str, Any], dark: bool = False) -> None:
    """Excess bits of the networks, seeds together, against how far from a cell one must look; a panel a prior."""
    theme = DARK if dark else LIGHT
    with written(path, theme, 5.2 * len(priors), 4.2) as figure:
        panels = figure.subplots(1, len(priors), squeeze=False, sharey=True)[0]
        for axes, (prior, found) in zip(panels, priors.items(), strict=True):
            for network, runs in by_network(found["runs"]).items():
                by_reach = np.array([run["excess_bits_by_reach"] for run in runs], dtype=float).mean(axis=0)
                colour, marker, size = _look(network, theme)
                field = min(runs[0]["receptive_field"] or 2 * len(by_reach), 2 * len(by_reach))
                shade = 0.25 + 0.75 * field / (2 * len(by_reach))
                style = {"color": colour, "marker": marker, "markersize": size * 0.7, "alpha": shade, "linewidth": 1}
                asked = np.flatnonzero(np.isfinite(by_reach))
                axes.plot(asked, np.maximum(by_reach[asked], LEAST_BITS), label=name_of(network), **style)
            axes.set(yscale="log", ylim=(LEAST_BITS, 3), title=prior, xlabel="how far one must look, in cells")
            axes.grid(axis="y", alpha=0.25)
        panels[0].set_ylabel("excess bits per hidden cell")
        figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="outside right center", frameon=False)


def write_fields(path: Path, priors: Mapping[str, Any], dark: bool = False) -> None:
    """The effective receptive field of each network, seeds together, on the grid; the theoretical one is framed."""
    theme = DARK if dark else LIGHT
    networks = {prior: by_network(found["runs"]) for prior, found in priors.items()}
    columns = min(FIELDS_A_ROW, max(map(len, networks.values())))
    n_rows = sum(-(-len(of_prior) // columns) for of_prior in networks.values())
    with written(path, theme, 1.55 * columns, 1.95 * n_rows) as figure:
        panels = iter(figure.subplots(n_rows, columns, squeeze=False).flat)
        for prior, of_prior in networks.items():
            for network, runs in of_prior.items():
                _draw_field(next(panels), f"{prior}, {name_of(network)}", runs, theme)
            for _ in range(-len(of_prior) % columns):  # a new prior, a new row
                next(panels).set_axis_off()


def _draw_field(axes: Axes, title: str, runs: Runs, theme: Theme) -> None:
    field = np.mean([run["field"] for run in runs], axis=0)
    row, column = (side // 4 for side in field.shape)
    axes.imshow(field, cmap=PROBABILITY_COLOURS, norm=PowerNorm(0.4, 0, field.max()), interpolation="nearest")
    side = runs[0]["receptive_field"] or 4 * len(field)
    corner = (column - side / 2, row - side / 2)
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=theme.curves[1], linewidth=2))
    radius = np.mean([run["field_radius"] for run in runs])
    axes.set_title(f"{title}\n90 % within {radius:.3g}", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def by_network(runs: Runs) -> dict[str, Runs]:
    """The runs of each network, seeds together."""
    return {name: [run for run in runs if run["network"] == name] for name in dict.fromkeys(r["network"] for r in runs)}


def _places(runs: Runs, last: int) -> dict[str, float]:
    """Where each network stands on the axis of receptive fields."""
    networks = by_network(runs)
    cnns = [network for network in networks if network.startswith("cnn")]
    others = [network for network in networks if network not in cnns]
    fields = {network: float(network.removeprefix("cnn-")) for network in cnns}
    step = max(2.5, last / 12)
    start = max([last, *fields.values()]) + step
    return fields | {network: start + step * number for number, network in enumerate(others)}


def _look(network: str, theme: Theme) -> tuple[str, str, float]:
    colours = {"bert": theme.curves[1], "dilated": theme.curves[2], "unet": theme.curves[2], "fourier": theme.curves[3]}
    return colours.get(network, theme.curves[0]), MARKERS.get(network, "o"), 10.0 if network == "bert" else 5.0
