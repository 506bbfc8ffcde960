"""Grids, marginals and what is uncertain, as pictures."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .grids import HIDDEN, Palette, atomic_write
from .scoring import Reliability

HIDDEN_COLOUR = (128, 128, 128, 255)
PROBABILITY_COLOURS = matplotlib.colormaps["cividis"]  # reads the same to colour-blind eyes, and in grey
WARNING_COLOUR = "#D55E00"
CURVES = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "v"))
VISIBLE_COLOUR = (255, 255, 255, 255)  # of a cell in a panel of probabilities that was no question


def colours_of(panel: np.ndarray, palette: Palette) -> np.ndarray:
    """RGBA bytes (height, width, 4): of cells the palette's, grey where hidden; of probabilities the colour map's."""
    if panel.dtype.kind == "f":
        mapped = PROBABILITY_COLOURS(np.nan_to_num(panel), bytes=True)
        return np.where(np.isnan(panel)[..., None], np.array(VISIBLE_COLOUR, np.uint8), mapped)
    return np.array([*palette.colours, HIDDEN_COLOUR], dtype=np.uint8)[panel]  # HIDDEN is -1: the last


def write_reliability(path: Path, curves: dict[str, Reliability]) -> None:
    """A PNG of reliability curves: of what was said with probability p, the share that was so, against p."""
    figure = Figure(figsize=(4.8, 4.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="dashed", label="calibrated")
    for (name, curve), (colour, marker) in zip(curves.items(), CURVES, strict=False):
        error = curve.expected_calibration_error
        label = f"{name} (expected error {error:.4f})"
        axes.plot(curve.said, curve.seen, marker=marker, markersize=4, linewidth=1, color=colour, label=label)
    axes.set(xlabel="probability said", ylabel="share that was so", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(fontsize=8, loc="upper left", frameon=False)
    _save(figure, path)


def write_check(
    path: Path,
    cells: np.ndarray,
    surprises: Sequence[tuple[int, int]],
    telling: Float[np.ndarray, "height width"],
    palette: Palette,
) -> None:
    """A PNG of a grid with its surprising cells framed; if cells are hidden, beside it how much each would tell."""
    panels = 1 + bool((cells == HIDDEN).any())
    figure = Figure(figsize=(4.2 * panels, 4.4), dpi=120, layout="constrained")
    places = figure.subplots(1, panels, squeeze=False)[0]
    _draw(places[0], cells, palette)
    for row, column in surprises:
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=WARNING_COLOUR, linewidth=2.5)
        places[0].add_patch(frame)
    places[0].set_title(f"{len(surprises)} surprising cell{'s' * (len(surprises) != 1)}", fontsize=10)
    if panels == 2:
        image = places[1].imshow(telling, cmap=PROBABILITY_COLOURS, vmin=0)
        places[1].set_title("bits its value would tell about the others", fontsize=10)
        places[1].tick_params(length=0, labelbottom=False, labelleft=False)
        figure.colorbar(image, ax=places[1], shrink=0.8).ax.tick_params(labelsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def write_panels(
    path: Path, titles: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[np.ndarray]], palette: Palette
) -> None:
    """A PNG table of panels (height, width): a row for each name, a column for each title.

    Panels of integers are cells; panels of floats are probabilities 0…1, NaN where there is none.
    """
    figure = Figure(figsize=(1.5 * len(titles) + 0.6, 1.5 * len(rows) + 0.6), dpi=120, layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for name, panels, line in zip(names, rows, axes, strict=True):
        line[0].set_ylabel(name, fontsize=9)
        for panel, place in zip(panels, line, strict=True):
            _draw(place, panel, palette)
    for title, place in zip(titles, axes[0], strict=True):
        place.set_title(title, fontsize=10)
    bar = figure.colorbar(
        ScalarMappable(cmap=PROBABILITY_COLOURS),
        ax=axes,
        location="bottom",
        fraction=0.015,
        aspect=60,
        shrink=0.6,
        pad=0.01,
    )
    bar.ax.tick_params(labelsize=8)
    _save(figure, path)


def _draw(place: Axes, panel: np.ndarray, palette: Palette) -> None:
    height, width = panel.shape
    place.imshow(colours_of(panel, palette), interpolation="nearest")
    place.set_xticks(np.arange(-0.5, width), minor=True)
    place.set_yticks(np.arange(-0.5, height), minor=True)
    place.grid(which="minor", color="0.5", linewidth=0.15)
    place.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
