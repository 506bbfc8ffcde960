"""Grids as pictures in HTML, for notebooks: one text without anything from elsewhere."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image

from ..shapes import OneGrid
from ..words import HIDDEN
from .palettes import Palette
from .png import enlarge

PIXELS, MOST_PIXELS = 160, 640  # to the longer side of a picture: about, and of a large grid at most
LISTED = 12  # symbols in a legend
HIDDEN_COLOUR = (128, 128, 128, 255)


def picture(cells: OneGrid, palette: Palette, caption: str = "") -> str:
    """Draw a grid as an HTML figure with a PNG inside.

    Parameters
    ----------
    cells
        The symbols, HIDDEN where hidden, which is grey. Of a large grid every nth is drawn.
    palette
        What the symbols look like and are called.
    caption
        A line below the picture; by default none.

    Returns
    -------
    str
        A figure, whose alternative text counts the cells of each symbol.

    Examples
    --------
    >>> html = picture(np.array([[0, 1, HIDDEN]]), Palette.default(2))
    >>> 'alt="1 by 3 cells: 1 black, 1 white, 1 hidden"' in html, "data:image/png;base64," in html
    (True, True)
    """
    step = -(-max(cells.shape) // MOST_PIXELS)
    thinned = cells[::step, ::step]
    colours = np.array([*palette.colours, HIDDEN_COLOUR], np.uint8)[thinned]  # HIDDEN is -1: the last
    scale, file = max(1, PIXELS // max(thinned.shape)), BytesIO()
    image = Image.fromarray(np.moveaxis(enlarge(np.moveaxis(colours, -1, 0), scale), 0, -1))
    image.save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    alt = f"{cells.shape[0]} by {cells.shape[1]} cells: {', '.join(_counts(cells, palette))}"
    style = "image-rendering: pixelated; border: 1px solid #888; max-width: 100%"
    size = f'width="{image.width}" height="{image.height}"'
    below = f'<figcaption style="font-size: 85%">{escape(caption)}</figcaption>' if caption else ""
    shown = f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" {size} style="{style}">'
    return f'<figure style="display: inline-block; margin: 0 8px 8px 0; text-align: center">{shown}{below}</figure>'


def _counts(cells: OneGrid, palette: Palette) -> list[str]:
    """How many cells each symbol has, the most frequent first."""
    symbols, counts = np.unique(cells[cells != HIDDEN], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    listed = [f"{counts[one]} {palette.label(int(symbols[one]))}" for one in order[:LISTED]]
    listed += [f"{counts[order[LISTED:]].sum()} others"] if len(order) > LISTED else []
    hidden = int((cells == HIDDEN).sum())
    return [*listed, *([f"{hidden} hidden"] if hidden else [])]


def legend(palette: Palette, hidden: bool = False, labels: Sequence[str] = ()) -> str:
    """Say which colour is which symbol.

    Parameters
    ----------
    palette
        The symbols; the first dozen are listed.
    hidden
        Whether to list hidden cells, too.
    labels
        Other names of the symbols.

    Returns
    -------
    str
        A line of HTML.

    Examples
    --------
    >>> "open &lt;water&gt;" in legend(Palette.default(2), labels=["open <water>", "forest"])
    True
    """
    names = list(labels) or [palette.label(symbol) for symbol in range(palette.n_symbols)]
    shown = list(zip(names, palette.colours, strict=True))[:LISTED] + [("hidden", HIDDEN_COLOUR)] * hidden
    square = "display: inline-block; width: 0.8em; height: 0.8em; border: 1px solid #888; background: #{}"
    lines = [f'<span style="{square.format(bytes(one).hex())}"></span> {escape(name)}' for name, one in shown]
    more = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return f'<div style="font-size: 85%">{" &nbsp; ".join([*lines, *more])}</div>'
