"""Whether examples look alike when they are mirrored or turned, as the symmetries of a training say."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from ..files.palettes import MAX_SYMBOLS
from ..words import HIDDEN
from .examples import Examples, Symmetries
from .windows import Windows

CHANCE = 0.001  # of a false alarm, for each transformation
MOST_CELLS = 2**18  # that are looked at
MOST_PARTS, MOST_BLOCKS = 512, 25  # of examples, and of images
MOST_PATTERNS, MOST_SYMBOLS = 64, 16  # the most frequent ones
N_ZONES = 5  # from one edge of a grid to the other
BASE = MAX_SYMBOLS ** np.arange(4)  # of the number of a pattern of four symbols
Transformation = Callable[[np.ndarray], np.ndarray]  # of the last two axes
Parts = Sequence[Int[np.ndarray, "_grid _height _width"]]
Counts = Callable[[Transformation], Int[np.ndarray, "part feature"]]  # of the parts, each transformed


def _turned(quarters: int, mirrored: bool = False) -> Transformation:
    return lambda cells: np.rot90(cells[..., ::-1] if mirrored else cells, quarters, axes=(-2, -1))


GROUPS = {  # of transformations, by what they do
    "mirrored left to right": [_turned(0), _turned(0, True)],
    "mirrored top to bottom": [_turned(0), _turned(2, True)],
    "turned by 180 degrees": [_turned(0), _turned(2)],
    "turned by 90 degrees": [_turned(quarters) for quarters in range(4)],
}
EVERY = [_turned(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]
ACROSS, ALONG, HALF, QUARTER = GROUPS


def direction_warning(prior: Examples | Windows, option: str) -> str:
    """Say whether examples look as if they had a direction, although the symmetries of their prior deny it.

    Parameters
    ----------
    prior
        The examples, with their symmetries.
    option
        How the user chooses others, with {} for their name.

    Returns
    -------
    str
        A line that names what changes the examples, and the largest symmetries that nothing speaks against; empty if
        they are those of the prior.

    Notes
    -----
    A randomisation test (Lehmann & Romano, Testing Statistical Hypotheses, section 17.2): if transformations leave the
    distribution as it is, examples are as likely with each of them transformed at random. How often each pattern of 2
    by 2 cells occurs, and in whole grids each symbol near each edge, may then differ from the mean over transformations
    by no more than with random ones. Of images, large blocks are transformed, since cells are not independent; patterns
    as long as an image can still raise a false alarm. Otherwise its chance is 0.001 for each transformation.

    Examples
    --------
    >>> from gridcloze.files.palettes import Palette
    >>> ground = np.random.default_rng(0).random((50, 6, 6)) < np.linspace(0, 1, 6)[:, None]
    >>> direction_warning(Examples(ground.astype(int), Palette.default(2), "mirrors"), "{}")
    'the examples look different when mirrored top to bottom, although mirrors denies it; consider across'
    """
    tested = _tested(prior.height == prior.width)
    wanted = tested[prior.symmetries]
    if not wanted:
        return ""
    is_whole = isinstance(prior, Examples)
    parts = _examples_in(prior) if is_whole else _blocks_in(prior)
    counts = [_patterns(parts), *([_places(parts)] if is_whole else [])]
    denied = [name for name in wanted if _differs(counts, GROUPS[name])]
    left = next(name for name, each in tested.items() if set(each) <= set(wanted) - set(denied))
    said, better = option.format(prior.symmetries), option.format(left)
    how = " or ".join(filter(None, (", ".join(denied[:-1]), *denied[-1:])))
    what = f"the examples look different when {how}, although {said} denies it"
    return f"{what}; consider {better}" if denied else ""


def _tested(is_square: bool) -> dict[Symmetries, tuple[str, ...]]:
    """What is tested for each symmetries, the largest first."""
    every = (ACROSS, ALONG, QUARTER) if is_square else (ACROSS, ALONG)
    turns = (QUARTER,) if is_square else (HALF,)
    return {"all": every, "mirrors": every[:2], "turns": turns, "across": (ACROSS,), "along": (ALONG,), "none": ()}


def _examples_in(prior: Examples) -> Parts:
    """Different examples, evenly chosen, in groups of neighbours."""
    chosen = _evenly(prior.cells, max(1, MOST_CELLS // (prior.height * prior.width)))
    different = np.stack(list({cells.tobytes(): cells for cells in chosen}.values()))
    return np.array_split(different, min(MOST_PARTS, len(different)))


def _blocks_in(prior: Windows) -> Parts:
    """Blocks as large as a window or larger, evenly spread over the images."""
    images = _evenly(prior.images, MOST_PARTS)
    side = max(prior.height, prior.width, math.ceil((sum(image.size for image in images) / MOST_BLOCKS) ** 0.5))
    blocks = [
        image[row * height // n_rows :, column * width // n_columns :]
        for image in images
        for (height, width) in [image.shape]
        for n_rows, n_columns in [(max(1, height // side), max(1, width // side))]
        for row in range(n_rows)
        for column in range(n_columns)
    ]
    kept = min(side, math.isqrt(MOST_CELLS // len(blocks)))
    return [block[None, :kept, :kept] for block in blocks]


def _evenly(grids: Sequence[np.ndarray] | np.ndarray, most: int) -> list[np.ndarray]:
    return [grids[number] for number in np.unique(np.linspace(0, len(grids) - 1, most).astype(int))]


def _patterns(parts: Parts) -> Counts:
    """How often each of the most frequent patterns of 2 by 2 cells occurs in each part."""
    numbers = [np.sort(_numbers(_squares_in(cells))) for cells in parts]
    kinds, n = np.unique(np.concatenate(numbers), return_counts=True)
    images = _images_of(kinds)
    can_change = (kinds >= 0) & (images != kinds).any(axis=0)
    classes, of_kind = np.unique(images.min(axis=0)[can_change], return_inverse=True)
    frequent = classes[np.argsort(-np.bincount(of_kind, n[can_change]), kind="stable")][:MOST_PATTERNS]
    kept = np.unique(_images_of(frequent))
    counts = np.stack([np.searchsorted(each, kept, "right") - np.searchsorted(each, kept) for each in numbers])
    return lambda transformed: counts[:, np.searchsorted(kept, _numbers(transformed(_cells_of(kept))))]


def _squares_in(cells: Int[np.ndarray, "grid height width"]) -> Int[np.ndarray, "grid row column 4"]:
    """Every 2 by 2 cells, row by row."""
    above, below = cells[:, :-1], cells[:, 1:]
    return np.stack([above[..., :-1], above[..., 1:], below[..., :-1], below[..., 1:]], axis=-1)


def _numbers(patterns: Int[np.ndarray, "..."]) -> Int[np.ndarray, " pattern"]:
    """A number for each pattern; HIDDEN if a cell is."""
    cells = patterns.reshape(-1, 4).astype(np.int64)
    return np.where((cells == HIDDEN).any(axis=1), HIDDEN, cells @ BASE)


def _cells_of(numbers: Int[np.ndarray, " pattern"]) -> Int[np.ndarray, "pattern 2 2"]:
    return (numbers[:, None] // BASE % MAX_SYMBOLS).reshape(-1, 2, 2)


def _images_of(numbers: Int[np.ndarray, " pattern"]) -> Int[np.ndarray, "8 pattern"]:
    return np.stack([_numbers(transformed(_cells_of(numbers))) for transformed in EVERY])


def _places(parts: Parts) -> Counts:
    """How often each of the most frequent symbols occurs in each part near each edge of a grid, and in the middle."""
    zones = [_zones(length) for length in parts[0].shape[1:]]
    zone = zones[0][:, None] * N_ZONES + zones[1]
    n = sum(np.bincount(cells[cells >= 0], minlength=MAX_SYMBOLS) for cells in parts)
    symbols = np.argsort(-np.asarray(n), kind="stable")[:MOST_SYMBOLS]
    counts = np.zeros((len(parts), MOST_SYMBOLS, N_ZONES, N_ZONES), dtype=np.int64)
    for part, cells in enumerate(parts):
        for place, symbol in enumerate(symbols):
            of_symbol = (cells == symbol).sum(axis=0)
            counts[part, place] = np.bincount(zone.ravel(), of_symbol.ravel(), N_ZONES**2).reshape(N_ZONES, N_ZONES)
    return lambda transformed: transformed(counts).reshape(len(parts), -1)


def _zones(length: int) -> Int[np.ndarray, " cell"]:
    """0 … 4 from one edge to the other, the same from both sides."""
    offset = 2 * np.arange(length) - (length - 1)
    return N_ZONES // 2 + np.sign(offset) * (1 + (2 * abs(offset) >= length))


def _differs(counts: Sequence[Counts], group: Sequence[Transformation]) -> bool:
    """Whether the parts as they are differ from the mean over a group more than those transformed at random."""
    of_each = np.stack([np.concatenate([each(one) for each in counts], axis=1) for one in group], axis=1).astype(float)
    excess = of_each - of_each.mean(axis=1, keepdims=True)  # of each part, transformation and feature
    noise = np.sqrt((excess**2).sum(axis=(0, 1)) / len(group))
    excess = excess[..., noise > 0] / noise[noise > 0]
    chosen = np.random.default_rng(0).integers(len(group), size=(round(1 / CHANCE) - 1, len(excess)))
    is_chosen = (chosen[..., None] == np.arange(len(group))).reshape(len(chosen), -1).astype(float)
    at_random = np.abs(is_chosen @ excess.reshape(is_chosen.shape[1], -1)).max(axis=1, initial=0)
    return bool(np.abs(excess[:, 0].sum(axis=0)).max(initial=0) > at_random.max() * (1 + 1e-9))  # of rounding
