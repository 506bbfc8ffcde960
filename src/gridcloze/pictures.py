"""Grids, marginals, what is uncertain and what explains it, as pictures; light or dark, for all eyes."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .explaining import Explanation, best_head
from .files.palettes import Palette
from .files.paths import atomic_write, check_writable
from .scoring import Reliability
from .words import HIDDEN, InputError

ENDINGS = (".png", ".svg")
DOTS_PER_INCH = 120
HIDDEN_COLOUR = (128, 128, 128, 255)
PROBABILITY_COLOURS = matplotlib.colormaps["cividis"]  # reads the same to colour-blind eyes, and in grey
WARNING_COLOUR = "#D55E00"  # of frames; like the curves one of Okabe and Ito's colours, which all eyes tell apart
MARKERS = "os^v"
Panel = tuple[str, np.ndarray]  # a title, and cells (height, width) as integers or probabilities as floats


@dataclass(frozen=True)
class Theme:
    """What a picture is drawn on, and with."""

    background: str
    text: str
    guide: str  # lines that only help
    no_question: tuple[int, int, int, int]  # of a cell in a panel of numbers that has none: lighter or darker than all
    curves: tuple[str, ...]

    @property
    def settings(self) -> dict[Any, str]:
        """Of matplotlib."""
        grounds = dict.fromkeys(("figure.facecolor", "axes.facecolor"), self.background)
        inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        return {**grounds, **dict.fromkeys(inks, self.text), "svg.hashsalt": "gridcloze"}


LIGHT = Theme("white", "black", "0.6", (255, 255, 255, 255), ("#0072B2", "#D55E00", "#009E73", "#CC79A7"))
DARK = Theme("#1B1B1B", "#E6E6E6", "0.5", (0, 0, 0, 255), ("#56B4E9", "#E69F00", "#009E73", "#CC79A7"))


def check_picture(path: Path) -> None:
    """Raises InputError where no picture could be written: for another ending than .png or .svg, and as
    `check_writable`, which makes its folder.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: the name of a picture ends in {' or '.join(ENDINGS)}")
    check_writable(path)


def colours_of(panel: np.ndarray, palette: Palette, theme: Theme = LIGHT) -> UInt8[np.ndarray, "height width 4"]:
    """RGBA bytes: of cells the palette's, grey where hidden; of probabilities the colour map's."""
    if panel.dtype.kind == "f":
        mapped = PROBABILITY_COLOURS(np.nan_to_num(panel), bytes=True)
        return np.where(np.isnan(panel)[..., None], np.array(theme.no_question, np.uint8), mapped)
    return np.array([*palette.colours, HIDDEN_COLOUR], dtype=np.uint8)[panel]  # HIDDEN is -1: the last


def write_reliability(path: Path, curves: dict[str, Reliability], dark: bool = False) -> None:
    """A picture of reliability curves: of what was said with probability p, the share that was so, against p."""
    theme = DARK if dark else LIGHT
    with written(path, theme, 4.8, 4.8) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=theme.guide, linewidth=1, linestyle="dashed", label="calibrated")
        for (name, curve), colour, marker in zip(curves.items(), theme.curves, MARKERS, strict=False):
            error = curve.expected_calibration_error
            label = f"{name} (expected error {error:.4f})"
            axes.plot(
                curve.predicted, curve.observed, marker=marker, markersize=4, linewidth=1, color=colour, label=label
            )
        axes.set(xlabel="probability said", ylabel="share that was so", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(fontsize=8, loc="upper left", frameon=False)


def write_check(
    path: Path,
    cells: np.ndarray,
    surprises: Sequence[tuple[int, int]],
    telling: Float[np.ndarray, "height width"],
    palette: Palette,
    dark: bool = False,
) -> None:
    """A picture of a grid with its surprising cells framed; if cells are hidden, beside it how much each would tell."""
    panels = 1 + bool((cells == HIDDEN).any())
    theme = DARK if dark else LIGHT
    with written(path, theme, 4.2 * panels, 4.4) as figure:
        places = figure.subplots(1, panels, squeeze=False)[0]
        _draw(places[0], cells, palette, theme)
        for cell in surprises:
            _frame(places[0], cell)
        places[0].set_title(f"{len(surprises)} surprising cell{'s' * (len(surprises) != 1)}", fontsize=10)
        if panels == 2:
            most = _largest(telling)
            _draw(places[1], telling / most, palette, theme)
            places[1].set_title("bits its value would tell about the others", fontsize=10)
            scale = ScalarMappable(Normalize(0, most), PROBABILITY_COLOURS)
            figure.colorbar(scale, ax=places[1], shrink=0.8).ax.tick_params(labelsize=8)


def write_panels(
    path: Path,
    titles: Sequence[str],
    names: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    palette: Palette,
    dark: bool = False,
    target: tuple[int, int] | None = None,
) -> None:
    """A table of panels (height, width) as a picture: a row for each name, a column for each title.

    Panels of integers are cells; panels of floats are probabilities 0…1, NaN where there is none. The cell `target` is
    framed in each.
    """
    theme = DARK if dark else LIGHT
    below = 0.6 if any(panel.dtype.kind == "f" for panels in rows for panel in panels) else 0.3
    with written(path, theme, 1.5 * len(titles) + 0.6, 1.5 * len(rows) + below) as figure:
        _table(figure, names, _lines(titles, rows), palette, theme, target)


def frame(
    titles: Sequence[str],
    names: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    palette: Palette,
    dark: bool = False,
) -> UInt8[np.ndarray, "height width 3"]:
    """RGB bytes of what `write_panels` draws, for a film: as many panels give the same size, of even numbers."""
    theme, side = DARK if dark else LIGHT, 1.5 if len(rows) > 1 else 2.5
    with matplotlib.rc_context(theme.settings):
        figure = _figure(side * len(titles), side * len(rows) + 0.5)
        _table(figure, names, _lines(titles, rows), palette, theme)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _lines(titles: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> list[list[Panel]]:
    return _titled_once([list(zip(titles, panels, strict=True)) for panels in rows])


def write_explanation(
    path: Path,
    cells: np.ndarray,
    target: tuple[int, int],
    said: Mapping[str, Explanation],
    attention: Float[np.ndarray, "layer head height width"],
    correlations: Float[np.ndarray, "layer head"],
    palette: Palette,
    dark: bool = False,
) -> None:
    """A picture of why a hidden cell has its law: a row for each name in `said`; attention is that of the first.

    Panels are the puzzle, the probability of the symbol that is likeliest at the cell, the influence of each visible
    cell on it, and the attention of its patch: of the head that agrees best with influence, and of all on average.
    """
    best, theme = best_head(correlations), DARK if dark else LIGHT
    symbol = int(next(iter(said.values())).marginals[target].argmax())
    columns = [
        ("influence by hiding", "total variation", [one.hide for one in said.values()]),
        ("influence by flipping", "total variation", [one.flip for one in said.values()]),
        (f"attention, layer {best[0]} head {best[1]}", "of its weight", [attention[best]]),
        ("attention, mean of heads", "of its weight", [attention.mean(axis=(0, 1))]),
    ]
    name = f"probability of {palette.characters[symbol]!r}\n0…1"
    rows: list[list[Panel]] = [
        [("puzzle\n", cells), (name, np.where(cells == HIDDEN, one.marginals[..., symbol], np.nan))]
        for one in said.values()
    ]
    for title, unit, panels in columns:
        most = _largest(*panels)
        for row, panel in zip(rows, panels, strict=False):
            row.append((f"{title}\n0…{most:.2g} {unit}", panel / most))
    with written(path, theme, 2.2 * len(rows[0]) + 0.3, 2.5 * len(rows) + 0.6) as figure:
        _table(figure, list(said), _titled_once(rows), palette, theme, target, ("0", "the number above"))


def write_heads(
    path: Path,
    attention: Float[np.ndarray, "layer head height width"],
    cells: np.ndarray,
    target: tuple[int, int],
    correlations: Float[np.ndarray, "layer head"],
    palette: Palette,
    dark: bool = False,
) -> None:
    """A picture of the attention of every head, a row a layer, each with its rank correlation with influence."""
    theme = DARK if dark else LIGHT
    rows: list[list[Panel]] = [
        [
            (f"head {head}: {correlation:z.2f}", weights / _largest(weights))
            for head, (weights, correlation) in enumerate(zip(*layer, strict=True))
        ]
        for layer in zip(attention, correlations, strict=True)
    ]
    rows[0].append(("puzzle", cells))
    names = [f"layer {number}" for number in range(len(rows))]
    with written(path, theme, 1.6 * len(rows[0]) + 0.4, 1.85 * len(rows) + 0.8) as figure:
        figure.suptitle("attention, and its rank correlation with influence by hiding", fontsize=10)
        _table(figure, names, rows, palette, theme, target, ("0", "the largest of the head"))


@contextlib.contextmanager
def written(path: Path, theme: Theme, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, which is written when it is drawn; the same drawing gives the same bytes."""
    check_picture(path)
    with matplotlib.rc_context(theme.settings):
        figure = _figure(width, height)
        yield figure
        kind = path.suffix.lower().removeprefix(".")
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def _table(
    figure: Figure,
    names: Sequence[str],
    rows: Sequence[Sequence[Panel]],
    palette: Palette,
    theme: Theme,
    target: tuple[int, int] | None = None,
    ends: Sequence[str] = (),
) -> None:
    """Panels in named rows, `target` framed in each; below, if they have numbers, a bar of colours."""
    axes = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
    for name, panels, line in zip(names, rows, axes, strict=True):
        line[0].set_ylabel(name, fontsize=9)
        for (title, panel), place in zip(panels, line, strict=False):
            _draw(place, panel, palette, theme)
            place.set_title(title, fontsize=10)
            if target is not None:
                _frame(place, target)
        for place in line[len(panels) :]:
            place.set_axis_off()
    if not any(panel.dtype.kind == "f" for line in rows for _, panel in line):
        return
    scale = ScalarMappable(cmap=PROBABILITY_COLOURS)
    bar = figure.colorbar(scale, ax=axes, location="bottom", fraction=0.015, aspect=60, shrink=0.6, pad=0.01)
    bar.ax.tick_params(labelsize=8)
    if ends:
        bar.set_ticks([0, 1], labels=list(ends))


def _draw(place: Axes, panel: np.ndarray, palette: Palette, theme: Theme) -> None:
    height, width = panel.shape
    place.imshow(colours_of(panel, palette, theme), interpolation="nearest")
    place.vlines(np.arange(0.5, width - 1), -0.5, height - 0.5, color="0.5", linewidth=0.15)
    place.hlines(np.arange(0.5, height - 1), -0.5, width - 0.5, color="0.5", linewidth=0.15)
    place.set(xticks=[], yticks=[])


def _frame(place: Axes, cell: tuple[int, int]) -> None:
    row, column = cell
    place.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=WARNING_COLOUR, linewidth=2.5))


def _titled_once(rows: Sequence[Sequence[Panel]]) -> list[list[Panel]]:
    """Without the titles of all rows but the first."""
    return [[(title if row is rows[0] else "", panel) for title, panel in row] for row in rows]


def _largest(*panels: Float[np.ndarray, "height width"]) -> float:
    """The largest number in panels, by which they are scaled; 1 if there is none but 0 and NaN."""
    return max(float(np.nan_to_num(panel).max()) for panel in panels) or 1.0
