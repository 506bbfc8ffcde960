"""Pictures of grids, of probabilities, and of what explains them; on a light or dark ground, for all eyes."""

import contextlib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from .curve import Curve
from .explaining import Explanation, best_head
from .files.palettes import Colour, Palette
from .files.paths import SIGNATURE, atomic_write, check_writable
from .scoring import Reliability
from .shapes import Cells, Marginals, OneGrid, PerCell, Samples
from .words import HIDDEN, InputError

ENDINGS = (".png", ".svg")
SIGNATURES: dict[str, Any] = {"png": {"Software": SIGNATURE}, "svg": {"Creator": SIGNATURE, "Date": None}}
WIDTH = 5.5  # inches of every picture
DOTS_PER_INCH = 120  # where it is seen: a column of text has 660 pixels, and letters of 10 points 9 on a phone of 350
DENSITY = 2  # pixels of a file for each of those, for fine screens
CHARACTERS_PER_INCH, LINE = 13, 0.17  # of text of 10 points, and inches of a line
MOST_SYMBOLS = 16  # of which a picture shows the probabilities
MOST_COLUMNS = 6  # of several grids, and of one:
MOST_COLUMNS_OF_ONE = 4
LARGE = 32  # cells to the side of a grid, of which there are fewer columns
LARGEST_PANEL = 2.6  # inches
LEAST_BITS, LEAST_VARIATION = 0.1, 0.1  # at the end of a scale: below, differences are noise
LEAST_PIXELS = 4  # to the side of a cell, for lines between cells
HIDDEN_COLOUR = (128, 128, 128, 255)
NO_VALUE = (0, 0, 0, 0)  # shows the hatching behind
HATCHING = "//////"
PROBABILITY_COLOURS = matplotlib.colormaps["cividis"]  # reads the same to colour-blind eyes, and in grey
WARNING_COLOUR = "#D55E00"  # of frames; like the curves one of Okabe and Ito's colours, which all eyes tell apart
UNITS = ("probability", "total variation", "total variation")
Cell = tuple[int, int]  # row and column
Panel = tuple[str, np.ndarray]  # a title, and cells (height, width) as integers or numbers 0 … 1 as floats
Rows = Sequence[Sequence[np.ndarray]]  # of panels without titles
Weights = Float[np.ndarray, "layer head height width"]
ByHead = Float[np.ndarray, "layer head"]


@dataclass(frozen=True)
class Theme:
    """Say on what a picture is drawn, and with what.

    Parameters
    ----------
    background, text
        Colours of matplotlib.
    guide
        The colour of lines that only help to read.
    no_value
        The ground of the hatching for cells without a number; symbols are plain.
    curves
        The colours of curves, in order.

    Examples
    --------
    >>> LIGHT.background, DARK.background
    ('white', '#1B1B1B')
    """

    background: str
    text: str
    guide: str
    no_value: str
    curves: tuple[str, ...]

    @property
    def settings(self) -> dict[Any, Any]:
        """The same for matplotlib's `rc_context`, and the sizes of letters."""
        grounds = dict.fromkeys(("figure.facecolor", "axes.facecolor"), self.background)
        inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        sizes = {"font.size": 10, "axes.titlesize": 10, "figure.titlesize": 10, "legend.fontsize": 9}
        ticks = {"xtick.labelsize": 9, "ytick.labelsize": 9}
        more = {"hatch.linewidth": 0.5, "svg.hashsalt": "gridcloze"}
        return {**grounds, **dict.fromkeys(inks, self.text), **sizes, **ticks, **more}


LIGHT = Theme("white", "black", "0.6", "#EEEEEE", ("#0072B2", "#D55E00", "#009E73", "#CC79A7"))
DARK = Theme("#1B1B1B", "#E6E6E6", "0.5", "#4D4D4D", ("#56B4E9", "#E69F00", "#009E73", "#CC79A7"))


def check_picture(path: Path) -> None:
    """Check before a long computation that a picture can be written, and make the folder for it.

    Parameters
    ----------
    path
        The file that will be written.

    Raises
    ------
    InputError
        When the name does not end in .png or .svg, or nothing can be written there.

    Examples
    --------
    >>> check_picture(Path("why.jpg"))
    Traceback (most recent call last):
    gridcloze.words.InputError: why.jpg: the name of a picture ends in .png or .svg
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: the name of a picture ends in {' or '.join(ENDINGS)}")
    check_writable(path)


def colours_of(panel: np.ndarray, palette: Palette) -> UInt8[np.ndarray, "height width 4"]:
    """Colour the cells of a panel.

    Parameters
    ----------
    panel
        Cells (height, width) as integers, HIDDEN where hidden; or numbers 0 … 1 as floats, NaN for no value.
    palette
        The colours of symbols; hidden cells are grey, cells without a value transparent.

    Returns
    -------
    array of uint8
        Red, green, blue and alpha of each cell.

    Examples
    --------
    >>> colours_of(np.array([[0, 1, HIDDEN]]), Palette.default(2))[0].tolist()
    [[0, 0, 0, 255], [255, 255, 255, 255], [128, 128, 128, 255]]
    """
    if panel.dtype.kind == "f":
        mapped = PROBABILITY_COLOURS(np.nan_to_num(panel), bytes=True)
        return np.where(np.isnan(panel)[..., None], np.array(NO_VALUE, np.uint8), mapped)
    return np.array([*palette.colours, HIDDEN_COLOUR], dtype=np.uint8)[panel]  # HIDDEN is -1: the last


def write_reliability(path: Path, curves: dict[str, Reliability], dark: bool = False) -> None:
    """Draw reliability curves: how often predictions of each probability came true.

    Parameters
    ----------
    path
        A .png or .svg file.
    curves
        The curve of each predictor, at most four, by its name.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> from gridcloze.scoring import reliability
    >>> marginals, cells = np.array([[[[0.2, 0.8]]]]), np.array([[[1]]])
    >>> write_reliability(Path("reliability.svg"), {"model": reliability(marginals, cells, cells == 1)})
    """
    theme = DARK if dark else LIGHT
    caption = "On the dashed line, predictions come true as often as they say."
    with written(path, theme, 5.0, caption) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=theme.guide, linewidth=1, linestyle="dashed", label="calibrated")
        for (name, curve), colour, marker in zip(curves.items(), theme.curves, "os^v", strict=False):
            label = f"{name} (calibration error {curve.expected_calibration_error:.4f})"
            style = {"marker": marker, "markersize": 4, "linewidth": 1, "color": colour, "label": label}
            axes.plot(curve.predicted, curve.observed, **style)
        axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(loc="upper left", frameon=False)


def write_curve(path: Path, curve: Curve, dark: bool = False) -> None:
    """Draw how a training went: training and held-out bits by steps, and where more was dropped.

    Parameters
    ----------
    path
        A .png or .svg file.
    curve
        The scores of the training.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> from gridcloze.curve import Curve, Score
    >>> write_curve(Path("curve.svg"), Curve([Score(50, 0.9, 0.8), Score(100, 0.5, 0.6)]))
    """
    theme, best = DARK if dark else LIGHT, curve.best
    steps = [score.steps for score in curve.scores]
    with written(path, theme, 3.6, "The weights of the marked step are kept.") as figure:
        axes = figure.subplots()
        for name, colour in zip(("training", "held_out"), theme.curves, strict=False):
            bits = [getattr(score, name) for score in curve.scores]
            axes.plot(steps, bits, marker="o", markersize=3, linewidth=1, color=colour, label=name.replace("_", "-"))
        if best is not None:
            axes.plot([best.steps], [best.held_out], "o", markersize=9, fillstyle="none", color=theme.curves[1])
        for before, after in pairwise(curve.scores):
            if after.dropout > before.dropout:
                axes.axvline(before.steps, color=theme.guide, linewidth=1, linestyle="dashed")
                style = {"fontsize": 9, "rotation": 90, "va": "bottom", "ha": "right", "color": theme.guide}
                label, in_steps = f"{after.dropout:.0%} dropped", axes.get_xaxis_transform()
                axes.text(before.steps, 0.02, label, transform=in_steps, **style)
        axes.set(xlabel="steps", ylabel="bits per hidden cell", xscale="log", ylim=(0, None))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(frameon=False)


def write_check(
    path: Path, cells: OneGrid, surprises: Sequence[Cell], telling: PerCell, palette: Palette, dark: bool = False
) -> None:
    """Draw a grid with its implausible cells framed and, if cells are hidden, how much each of them would tell.

    Parameters
    ----------
    path
        A .png or .svg file.
    cells
        The symbols, HIDDEN where hidden.
    surprises
        Row and column of each visible cell that the rest makes implausible.
    telling
        The bits that a hidden cell would tell about the other hidden cells; NaN at visible cells.
    palette
        Names and colours of the symbols.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> cells = np.array([[0, 0, 1], [0, HIDDEN, 0]])
    >>> telling = np.where(cells == HIDDEN, 0.7, np.nan)
    >>> write_check(Path("check.svg"), cells, [(0, 2)], telling, Palette.default(2))
    """
    theme, panels = DARK if dark else LIGHT, [("grid", cells)]
    n = len(surprises)
    caption = f"{n or 'No visible'} {'framed ' * bool(n)}cell{'s are' if n > 1 else ' is'} implausible given the rest."
    most = max(_largest(telling), LEAST_BITS)
    if (cells == HIDDEN).any():
        panels.append(("hidden cells: where to look next", telling / most))
        caption += " Of the hidden cells, the framed one would tell most."
    with written(path, theme, _height([panels]), caption) as figure:
        axes = _table(figure, [""], [panels], palette, theme, numbered=True)
        for cell in surprises:
            _frame(axes[0, 0], cell)
        if len(panels) == 2:
            row, column = np.unravel_index(np.nanargmax(telling), telling.shape)
            _frame(axes[0, 1], (int(row), int(column)))
            _bar(figure, axes[:, 1:], "bits that a cell would tell about the other hidden cells", most)


def write_panels(
    path: Path,
    titles: Sequence[str],
    names: Sequence[str],
    rows: Rows,
    palette: Palette,
    dark: bool = False,
    target: Cell | None = None,
) -> None:
    """Draw a table of panels.

    Parameters
    ----------
    path
        A .png or .svg file.
    titles
        Of the columns.
    names
        Of the rows.
    rows
        The panels (height, width) of each row: cells as integers, or probabilities 0 … 1 as floats, NaN where there is
        none.
    palette
        Names and colours of the symbols.
    dark
        Draw on a dark ground.
    target
        Row and column of a cell to frame in each panel; by default none.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> puzzle, probabilities = np.array([[0, HIDDEN]]), np.array([[np.nan, 0.9]])
    >>> write_panels(Path("a.svg"), ["puzzle", "white"], [""], [[puzzle, probabilities]], Palette.default(2))
    """
    theme, lines = DARK if dark else LIGHT, _lines(titles, rows)
    with written(path, theme, _height(lines)) as figure:
        _table(figure, names, lines, palette, theme, target, "probability")


def write_samples(
    path: Path, puzzles: Cells, fills: Cells | None, samples: Samples, palette: Palette, dark: bool = False
) -> None:
    """Draw puzzles with their fills and samples side by side; of several puzzles a row for each.

    Parameters
    ----------
    path
        A .png or .svg file.
    puzzles
        Grids, HIDDEN where hidden.
    fills, samples
        Of each puzzle, None for no fills; of several puzzles no more samples are drawn than a row has room for, which
        is 4.
    palette
        Names and colours of the symbols.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> puzzles, fills = np.array([[[0, HIDDEN]]]), np.array([[[0, 1]]])
    >>> write_samples(Path("a.svg"), puzzles, fills, fills[:, None], Palette.default(2))
    """
    filled_of = [[]] * len(puzzles) if fills is None else [[("fill", fill)] for fill in fills]
    lines = [
        [("puzzle", puzzle), *filled, *((f"sample {n}", one) for n, one in enumerate(each, 1))]
        for puzzle, filled, each in zip(puzzles, filled_of, samples, strict=True)
    ]
    _write_sheet(path, lines, palette, dark)


def write_probabilities(path: Path, puzzles: Cells, marginals: Marginals, palette: Palette, dark: bool = False) -> None:
    """Draw how likely each symbol is at the hidden cells of puzzles; of several puzzles a row for each.

    Parameters
    ----------
    path
        A .png or .svg file.
    puzzles
        Grids, HIDDEN where hidden.
    marginals
        The probability of each symbol at each cell, NaN where there is none. Drawn are the 16 symbols that are
        likeliest on average, or if there are several puzzles 5.
    palette
        Names and colours of the symbols; a strip above each panel has the colour.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> puzzles, marginals = np.array([[[0, HIDDEN]]]), np.array([[[[1, 0], [0.3, 0.7]]]])
    >>> write_probabilities(Path("a.svg"), puzzles, marginals, Palette.default(2))
    """
    hidden, most = puzzles == HIDDEN, MOST_SYMBOLS if len(puzzles) == 1 else MOST_COLUMNS - 1
    symbols = sorted(np.argsort(-np.nansum(marginals[hidden], axis=0), kind="stable")[:most].tolist())
    lines = [
        [("puzzle", puzzle)]
        + [(palette.label(symbol), np.where(puzzle == HIDDEN, each[..., symbol], np.nan)) for symbol in symbols]
        for puzzle, each in zip(puzzles, marginals, strict=True)
    ]
    _write_sheet(path, lines, palette, dark, symbols)


def _write_sheet(
    path: Path, lines: Sequence[Sequence[Panel]], palette: Palette, dark: bool, symbols: Sequence[int] = ()
) -> None:
    """Draw the panels of one grid in rows of equal length, or those of several in a row each.

    The panels after the first are of these symbols, if there are any.
    """
    theme = DARK if dark else LIGHT
    most = MOST_COLUMNS_OF_ONE - (max(lines[0][0][1].shape) > LARGE)
    if len(lines) == 1:
        n_rows = -(-len(lines[0]) // most)
        n_columns = -(-len(lines[0]) // n_rows)
        rows = [lines[0][start : start + n_columns] for start in range(0, len(lines[0]), n_columns)]
        names = [""] * n_rows
    else:
        panels = [[panel for _, panel in line[:MOST_COLUMNS]] for line in lines]
        rows = _lines([title for title, _ in lines[0][:MOST_COLUMNS]], panels)
        names = [f"grid {number}" for number in range(len(rows))]
    with written(path, theme, _height(rows)) as figure:
        axes = _table(figure, names, rows, palette, theme, numbers="probability")
        _grow(figure, 0.08 * bool(symbols) * (len(rows) if len(lines) == 1 else 1))  # for strips
        for one, symbol in zip(axes.flat[1:], symbols, strict=False):  # of several grids, those in the first row
            _strip(figure, one, palette.colours[symbol], theme)


def _strip(figure: Figure, axes: Axes, colour: Colour, theme: Theme) -> None:
    """A strip of colour between a panel and its title."""
    above = axes.transAxes + ScaledTranslation(0, 5 / 72, figure.dpi_scale_trans)
    for ink, points, beyond in ((theme.guide, 6, 0.003), (f"#{bytes(colour).hex()}", 5, 0)):
        style = {"color": ink, "linewidth": points, "solid_capstyle": "butt", "transform": above}
        axes.add_line(Line2D([-beyond, 1 + beyond], [1, 1], **style)).set_clip_on(False)
    axes.set_title(axes.get_title(), pad=10)


def frame(
    titles: Sequence[str], names: Sequence[str], rows: Rows, palette: Palette, dark: bool = False
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a table of panels as a frame of a film; as many panels of one size give frames of one size.

    Parameters
    ----------
    titles, names, rows, palette, dark
        As for `write_panels`.

    Returns
    -------
    array of uint8
        Red, green and blue of each pixel.

    Examples
    --------
    >>> frame(["step 1"], [""], [[np.array([[0, HIDDEN]])]], Palette.default(2)).dtype
    dtype('uint8')
    """
    theme, lines = DARK if dark else LIGHT, _lines(titles, rows)
    with matplotlib.rc_context(theme.settings):
        figure = _figure(_height(lines))
        _table(figure, names, lines, palette, theme, None, "probability", in_film=True)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _lines(titles: Sequence[str], rows: Rows) -> list[list[Panel]]:
    return [list(zip([""] * len(row) if number else titles, row, strict=True)) for number, row in enumerate(rows)]


def write_explanation(
    path: Path,
    cells: OneGrid,
    target: Cell,
    explanations: Mapping[str, Explanation],
    attention: Weights | None,
    correlations: ByHead | None,
    palette: Palette,
    dark: bool = False,
) -> None:
    """Draw why a hidden cell has its probabilities: a row for each predictor.

    The panels are the probability of the symbol that is likeliest at the cell, and the influence of each visible cell
    on it. Above are the puzzle and the attention of the cell: of the head that agrees best with influence, and of all
    on average. Of a model without attention each row begins with the puzzle.

    Parameters
    ----------
    path
        A .png or .svg file.
    cells
        The symbols, HIDDEN where hidden.
    target
        Row and column of the cell that is explained; it is framed.
    explanations
        What `explaining.explain` returned for each predictor, by its name; the first is the one with attention.
    attention
        The weight of each cell in each head, as seen from the target; None for a model without attention.
    correlations
        The rank correlation of each head's attention with influence.
    palette
        Names and colours of the symbols.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> from gridcloze.explaining import explain
    >>> from gridcloze.priors.finite import squares
    >>> from gridcloze.priors.known import posterior
    >>> cells = np.array([[0, 0, HIDDEN], [0, 1, HIDDEN], [0, 0, 0]])
    >>> explanation = explain(posterior(squares(3, 3, 1, 2)), cells, cells == HIDDEN, (1, 2))
    >>> attention, correlations = np.full((1, 1, 3, 3), 1 / 9), np.array([[0.5]])
    >>> write_explanation(
    ...     Path("why.svg"), cells, (1, 2), {"exact": explanation}, attention, correlations, Palette.default(2)
    ... )
    """
    theme = DARK if dark else LIGHT
    distribution = next(iter(explanations.values())).marginals[target]
    symbol, probability = int(distribution.argmax()), distribution.max()
    label = palette.label(symbol)
    why = f"Why the framed cell is {label} with probability {probability:.2g}: how far its distribution moves if one"
    caption = f"{why} visible cell is hidden, or flipped to another symbol"
    rows = [
        [np.where(cells == HIDDEN, each.marginals[..., symbol], np.nan), each.hide, each.flip]
        for each in explanations.values()
    ]
    least = (1.0, LEAST_VARIATION, LEAST_VARIATION)
    scales = [max(_largest(*panels), floor) for panels, floor in zip(zip(*rows, strict=True), least, strict=True)]
    rows = [[panel / most for panel, most in zip(row, scales, strict=True)] for row in rows]
    titles, names = [f"probability of {label}", "influence by hiding", "influence by flipping"], list(explanations)
    shares: list[float] = []  # the largest of each panel of attention
    if attention is None or correlations is None:
        lines, first = _lines(["puzzle", *titles], [[cells, *row] for row in rows]), 0
    else:
        (layer, head), mean = best_head(correlations), attention.mean(axis=(0, 1))
        caption += "; and where attention looks from it"
        heads = [(f"head {head} of layer {layer}", attention[layer, head]), ("mean of all heads", mean)]
        shares = [_largest(weights) for _, weights in heads]
        above = [("puzzle", cells), *((title, one / most) for (title, one), most in zip(heads, shares, strict=True))]
        lines, names, first = [above, *_lines(titles, rows)], ["", *names], 1
    with written(path, theme, _height(lines), f"{caption}.") as figure:
        axes = _table(figure, names, lines, palette, theme, target, numbered=True)
        for column, (unit, most) in enumerate(zip(UNITS, scales, strict=True), start=1 - first):
            _bar(figure, axes[first:, [column]], unit, most)
        for column, most in enumerate(shares, start=1):
            _bar(figure, axes[:1, [column]], "share of attention", most)


def write_heads(
    path: Path,
    attention: Weights,
    cells: OneGrid,
    target: Cell,
    correlations: ByHead,
    palette: Palette,
    dark: bool = False,
) -> None:
    """Draw the attention of every head, a row for each layer.

    Parameters
    ----------
    path
        A .png or .svg file.
    attention
        The weight of each cell in each head, as seen from the target.
    cells
        The symbols, HIDDEN where hidden.
    target
        Row and column of the cell that is explained; it is framed.
    correlations
        The rank correlation of each head's attention with influence; it stands above the head.
    palette
        Names and colours of the symbols.
    dark
        Draw on a dark ground.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> attention, correlations = np.full((1, 2, 1, 2), 0.5), np.array([[0.5, np.nan]])
    >>> cells = np.array([[0, HIDDEN]])
    >>> write_heads(Path("heads.svg"), attention, cells, (0, 1), correlations, Palette.default(2))
    """
    theme = DARK if dark else LIGHT
    rows: list[list[Panel]] = [
        [
            (f"head {head}: " + ("–" if np.isnan(correlation) else f"{correlation:z.2f}"), weights / _largest(weights))
            for head, (weights, correlation) in enumerate(zip(*layer, strict=True))
        ]
        for layer in zip(attention, correlations, strict=True)
    ]
    rows[0].append(("puzzle", cells))
    names = [f"layer {number}" for number in range(len(rows))]
    caption = "Where each head looks from the framed cell, and its rank correlation with influence by hiding."
    with written(path, theme, _height(rows), caption) as figure:
        _table(figure, names, rows, palette, theme, target, "attention, as a share of the head's largest")


@contextlib.contextmanager
def written(path: Path, theme: Theme, height: float, caption: str = "") -> Iterator[Figure]:
    """Write a figure to a file once it is drawn; the same drawing gives the same bytes.

    Parameters
    ----------
    path
        A .png or .svg file.
    theme
        The ground and the colours.
    height
        Of the drawing, in inches; it is as wide as a column of text.
    caption
        What to see, above the drawing, for which the figure grows; by default nothing.

    Yields
    ------
    matplotlib.figure.Figure
        The empty figure, to draw on.

    Raises
    ------
    InputError
        When nothing can be written there; see `check_picture`.

    Examples
    --------
    >>> with written(Path("line.svg"), DARK, 2.0) as figure:
    ...     lines = figure.subplots().plot([0, 1])
    >>> "<svg" in Path("line.svg").read_text()
    True
    """
    check_picture(path)
    with matplotlib.rc_context(theme.settings):
        figure = _figure(height)
        yield figure
        if caption:
            text = textwrap.fill(caption, int(CHARACTERS_PER_INCH * WIDTH))
            figure.suptitle(text, x=0.01, horizontalalignment="left")
            _grow(figure, LINE * (text.count("\n") + 1) + 0.1)
        kind = path.suffix.lower().removeprefix(".")
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=DENSITY * DOTS_PER_INCH, metadata=SIGNATURES[kind])


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, layout="compressed")


def _grow(figure: Figure, inches: float) -> None:
    figure.set_figheight(figure.get_figheight() + inches)


def _height(rows: Sequence[Sequence[Panel]]) -> float:
    """The height in inches of a table of panels, with bars of colours below if they have numbers."""
    height, width = rows[0][0][1].shape
    panel_width = min((WIDTH - 0.4) / max(map(len, rows)), LARGEST_PANEL)
    panel_height = panel_width * min(max(height / width, 0.3), 3.0)
    titles = sum(LINE * max(_title(title, rows).count("\n") + 1 for title, _ in row) for row in rows if row[0][0])
    return (panel_height + 0.05) * len(rows) + titles + 0.5 * _have_numbers(rows) + 0.1


def _title(title: str, rows: Sequence[Sequence[Panel]]) -> str:
    """A title in lines that are no wider than a panel."""
    return textwrap.fill(title, int(CHARACTERS_PER_INCH * WIDTH / max(map(len, rows))), break_long_words=False)


def _have_numbers(rows: Sequence[Sequence[Panel]]) -> bool:
    return any(panel.dtype.kind == "f" for row in rows for _, panel in row)


def _table(
    figure: Figure,
    names: Sequence[str],
    rows: Sequence[Sequence[Panel]],
    palette: Palette,
    theme: Theme,
    target: Cell | None = None,
    numbers: str = "",
    in_film: bool = False,
    numbered: bool = False,
) -> np.ndarray:
    """Draw panels in named rows, `target` framed in each; below say what colours mean, and what numbers, if all one.

    In a film the legend is the same from the first frame to the last. Rows and columns may be numbered.
    """
    table = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
    for name, panels, line in zip(names, rows, table, strict=True):
        line[0].set_ylabel(name)
        for (title, panel), axes in zip(panels, line, strict=False):
            _draw(axes, panel, palette, theme)
            axes.set_title(_title(title, rows))
            if numbered:
                _number(axes, panel, with_rows=axes is line[0])
            if target is not None:
                _frame(axes, target)
        for axes in line[len(panels) :]:
            axes.set_axis_off()
    _legend(figure, [panel for row in rows for _, panel in row], palette, theme, in_film)
    if numbers and _have_numbers(rows):
        _bar(figure, table, numbers)
    return table


def _legend(figure: Figure, panels: Sequence[np.ndarray], palette: Palette, theme: Theme, in_film: bool) -> None:
    """Say which colour is which symbol, if symbols have names, and which stand for no symbol and no number."""
    colours = dict(zip(palette.names, palette.colours, strict=False))
    if in_film or any((panel == HIDDEN).any() for panel in panels):
        colours["hidden"] = HIDDEN_COLOUR
    edge = theme.guide
    patches = [Patch(facecolor=f"#{bytes(of).hex()}", edgecolor=edge, label=name) for name, of in colours.items()]
    if in_film or any(np.isnan(panel).any() for panel in panels):
        patches.append(Patch(facecolor=theme.no_value, edgecolor=edge, hatch=HATCHING, label="visible, or not asked"))
    if patches:
        longest = max(len(str(patch.get_label())) for patch in patches)
        columns = max(1, int(WIDTH / (0.6 + longest / CHARACTERS_PER_INCH)))
        _grow(figure, 0.2 * -(-len(patches) // columns) + 0.1)
        figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False)


def _bar(figure: Figure, axes: np.ndarray, label: str, largest: float = 1.0) -> None:
    """Say below some columns of axes what their colours mean: numbers from 0 to the largest."""
    inches = figure.get_figwidth() * axes.shape[1] / axes[0, 0].get_gridspec().ncols
    shrink = min(0.9, 4 / inches)
    shape = {"location": "bottom", "shrink": shrink, "aspect": shrink * inches / 0.08, "fraction": 0.05, "pad": 0.02}
    scale = ScalarMappable(Normalize(0, largest), PROBABILITY_COLOURS)
    bar = figure.colorbar(scale, ax=axes, ticks=[0, largest / 2, largest], format="%.2g", panchor=False, **shape)
    text = textwrap.fill(label, int(CHARACTERS_PER_INCH * inches))
    bar.set_label(text, fontsize=9)
    _grow(figure, LINE * text.count("\n"))


def _draw(axes: Axes, panel: np.ndarray, palette: Palette, theme: Theme) -> None:
    height, width = panel.shape
    if np.isnan(panel).any():
        style = {"facecolor": theme.no_value, "edgecolor": theme.guide, "linewidth": 0, "hatch": HATCHING}
        axes.add_patch(Rectangle((-0.5, -0.5), width, height, zorder=-1, **style))
    axes.imshow(colours_of(panel, palette), interpolation="nearest")
    if axes.get_window_extent().width >= LEAST_PIXELS * width:
        axes.vlines(np.arange(0.5, width - 1), -0.5, height - 0.5, color="0.5", linewidth=0.15)
        axes.hlines(np.arange(0.5, height - 1), -0.5, width - 0.5, color="0.5", linewidth=0.15)
    axes.set(xticks=[], yticks=[])


def _number(axes: Axes, panel: np.ndarray, with_rows: bool) -> None:
    """Number the columns of a panel and, at the left of a picture, its rows."""
    ticks = MaxNLocator(4, integer=True, steps=[1, 2, 5, 10])
    height, width = panel.shape
    axes.set_xticks([number for number in ticks.tick_values(0, width - 1) if number < width])
    if with_rows:
        axes.set_yticks([number for number in ticks.tick_values(0, height - 1) if number < height])
    axes.tick_params(length=2, pad=1)


def _frame(axes: Axes, cell: Cell) -> None:
    row, column = cell
    square = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=WARNING_COLOUR, linewidth=2.5)
    axes.add_patch(square).set_clip_on(False)


def _largest(*panels: PerCell) -> float:
    """The largest number in panels, by which they are scaled; 1 if there is none but 0 and NaN."""
    return max(float(np.nan_to_num(panel).max()) for panel in panels) or 1.0
