"""Whether samples look like the examples: proportions, variograms, connectivity, bodies, patterns, copies.

Grids are stacks (batch, height, width). Unknown cells (-1) do not count, nor does a pair or a pattern that has one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from gridcloze.predictor import entropy_bits
from gridcloze.shapes import Cells, Hidden, Samples
from gridcloze.words import InputError

LAGS = 30  # in cells, down and across
PATTERN_SIDE, PATCH_SIDE = (
    4,
    11,
)  # of patterns whose distributions are compared, of patches that are searched for, in cells
Reference = Int[np.ndarray, "image image_height image_width"]
BySymbol = Float[np.ndarray, "symbol"]
ByLag = Float[np.ndarray, "axis lag symbol"]
Ends = Int[np.ndarray, "line ..."]  # the axis of the pairs comes first


def proportions(cells: Cells, n_symbols: int) -> BySymbol:
    """Return the share of each symbol among the known cells.

    Parameters
    ----------
    cells
        The grids.
    n_symbols
        The number of symbols.

    Returns
    -------
    ndarray
        A share for each symbol.

    Raises
    ------
    InputError
        If no cell is known.

    Examples
    --------
    >>> proportions(np.array([[[0, 1, 1, -1, 1]]]), n_symbols=2)
    array([0.25, 0.75])
    """
    counts = np.bincount(cells[cells >= 0], minlength=n_symbols)
    if not counts.any():
        raise InputError("there is no known cell to measure")
    return counts / counts.sum()


def variogram(cells: Cells, n_symbols: int, share: BySymbol | None = None) -> ByLag:
    """Return the indicator variogram of each symbol, divided by its sill.

    Parameters
    ----------
    cells
        The grids.
    n_symbols
        The number of symbols.
    share
        The share p of each symbol, from which the sill p (1 - p) follows; by default its share in these cells.

    Returns
    -------
    ndarray
        For pairs down and across, lags of 1…30 cells and each symbol: half of the share of pairs of which exactly one
        has the symbol, divided by the sill. It is about 1 where cells are independent, and NaN where p is 0 or 1 and
        for a lag that no pair has.

    Notes
    -----
    Journel & Huijbregts 1978; Deutsch & Journel 1998 (GSLIB).

    Examples
    --------
    On a chessboard neighbours are never equal, and cells two apart always are:

    >>> board = np.indices((8, 8)).sum(axis=0)[None] % 2
    >>> variogram(board, n_symbols=2)[0, :4, 1]
    array([2., 0., 2., 0.])
    """
    share = proportions(cells, n_symbols) if share is None else share
    sill = np.where((share > 0) & (share < 1), share * (1 - share), np.nan)

    def unlike(axis: int, lag: int) -> BySymbol:
        first, second = pairs(cells, axis, lag)
        known = (first >= 0) & (second >= 0)
        differ = known & (first != second)
        ends = np.concatenate([first[differ], second[differ]])
        return np.bincount(ends, minlength=n_symbols) / known.sum() / 2

    with np.errstate(invalid="ignore"):
        return _by_lag(unlike) / sill


def connectivity(cells: Cells, n_symbols: int) -> ByLag:
    """Return the probability that two cells of one symbol belong to the same connected component.

    Cells are connected along their sides. It needs SciPy.

    Parameters
    ----------
    cells
        The grids.
    n_symbols
        The number of symbols.

    Returns
    -------
    ndarray
        For pairs down and across, lags of 1…30 cells and each symbol; NaN where no pair has the symbol.

    Notes
    -----
    The connectivity function of Renard & Allard 2013, doi:10.1016/j.advwatres.2011.12.001.

    Examples
    --------
    Two white bars across, with a black one between them:

    >>> bars = np.repeat([1, 1, 0, 1, 1], 5).reshape(1, 5, 5)
    >>> connectivity(bars, n_symbols=2)[:, :3, 1]
    array([[1., 0., 0.],
           [1., 1., 1.]])
    """
    components = _components(cells, n_symbols)

    def connected(axis: int, lag: int) -> BySymbol:
        (first, second), (component, other) = pairs(cells, axis, lag), pairs(components, axis, lag)
        both = (first >= 0) & (first == second)
        counts = [np.bincount(first[chosen], minlength=n_symbols) for chosen in (both & (component == other), both)]
        return counts[0] / counts[1]

    with np.errstate(invalid="ignore"):
        return _by_lag(connected)


def isolated_share(cells: Cells) -> float:
    """Return the share of the known cells none of whose four neighbours has their symbol.

    Parameters
    ----------
    cells
        The grids.

    Returns
    -------
    float
        0…1.

    Raises
    ------
    InputError
        If no cell is known.

    Examples
    --------
    >>> isolated_share(np.array([[[0, 0, 0, 1]]]))
    0.25
    """
    has_like = np.zeros(cells.shape, dtype=bool)
    for axis in (1, 2):
        first, second = pairs(cells, axis, 1)
        for ends in pairs(has_like, axis, 1):  # views of it
            ends |= first == second
    if not (cells >= 0).any():
        raise InputError("there is no known cell to measure")
    return float((~has_like[cells >= 0]).mean())


def bodies(cells: Cells, n_symbols: int) -> BySymbol:
    """Return how many bodies a grid has of each symbol: components of cells that are connected along their sides.

    Parameters
    ----------
    cells
        The grids.
    n_symbols
        The number of symbols.

    Returns
    -------
    ndarray
        The mean number in a grid for each symbol.

    Examples
    --------
    >>> bodies(np.array([[[0, 1, 0]], [[0, 0, 1]]]), n_symbols=2)
    array([1.5, 1. ])
    """
    components = _components(cells, n_symbols)  # of each symbol they are numbered from 1, in all grids together
    return np.array([components[cells == symbol].max(initial=0) for symbol in range(n_symbols)]) / len(cells)


def granularity(samples: Cells, truth: Cells, n_symbols: int) -> dict[str, dict[str, Any]]:
    """Compare isolated cells and bodies of samples with those of the true grids of the same puzzles.

    Parameters
    ----------
    samples, truth
        The grids that are judged, and the true ones.
    n_symbols
        The number of symbols.

    Returns
    -------
    dict
        "isolated_cells" (the share) and "bodies" (a number for each symbol), each with that of the "samples", that of
        the "truth", and the "ratio" of the two, of all symbols together: 1 is best, and None if the truth has none.

    Examples
    --------
    >>> granularity(np.array([[[0, 1, 0, 0]]]), np.array([[[0, 1, 1, 1]]]), n_symbols=2)["bodies"]
    {'samples': [2.0, 1.0], 'truth': [1.0, 1.0], 'ratio': 1.5}
    """
    measures = {"isolated_cells": isolated_share, "bodies": lambda cells: bodies(cells, n_symbols).tolist()}
    result = {}
    for name, measure in measures.items():
        of_samples, of_truth = measure(samples), measure(truth)
        total = np.sum(of_truth)
        ratio = float(np.sum(of_samples) / total) if total else None
        result[name] = {"samples": of_samples, "truth": of_truth, "ratio": ratio}
    return result


def errors(samples: Cells, reference: Reference, n_symbols: int) -> dict[str, float]:
    """Measure how far samples are from a reference in proportions, variograms and connectivity.

    Parameters
    ----------
    samples
        The grids that are judged.
    reference
        The grids that they should look like.
    n_symbols
        The number of symbols.

    Returns
    -------
    dict
        For "proportions", "variogram" and "connectivity" the mean absolute difference over samples, symbols, axes and
        lags for which both are defined. All variograms are divided by the sill of the reference, so that a sample of a
        single symbol counts too.

    Examples
    --------
    >>> board = np.indices((8, 8)).sum(axis=0)[None] % 2
    >>> errors(np.zeros_like(board), board, n_symbols=2)["proportions"]
    0.5
    """
    share = proportions(reference, n_symbols)
    measures = {
        "proportions": proportions,
        "variogram": partial(variogram, share=share),
        "connectivity": connectivity,
    }
    result = {}
    for name, measure in measures.items():
        measured = np.stack([measure(sample[None], n_symbols) for sample in samples])
        differences = np.abs(measured - measure(reference, n_symbols))
        defined = differences[~np.isnan(differences)]
        result[name] = float(defined.mean()) if defined.size else np.nan
    return result


def pattern_divergence_bits(
    cells: Cells, reference: Reference, corners: Bool[np.ndarray, "height-3 width-3"] | None = None
) -> float:
    """Return the Jensen–Shannon divergence of the distributions of 4×4 patterns.

    Parameters
    ----------
    cells
        The grids that are judged.
    reference
        The grids that they should look like.
    corners
        Which positions the top left cell of a pattern in `cells` may have, so that patterns across a border can be
        compared with those inside; all by default.

    Returns
    -------
    float
        0 if the distributions are equal, 1 if they have no pattern in common. Two small samples of the same
        distribution differ too, so compare equal numbers of patterns.

    Raises
    ------
    InputError
        If there is no pattern without unknown cells, or the grids are too small for one.

    Examples
    --------
    >>> board = np.indices((8, 8)).sum(axis=0)[None] % 2
    >>> pattern_divergence_bits(board, np.zeros_like(board))
    1.0
    """
    own, others = _numbered([cells, reference], PATTERN_SIDE)
    patterns = [_known(own if corners is None else own[:, corners]), _known(others)]
    most = max(pattern.max() for pattern in patterns) + 1
    shares = np.stack([np.bincount(pattern, minlength=most) / pattern.size for pattern in patterns])
    of_mixture, *of_each = entropy_bits(np.stack([shares.mean(axis=0), *shares]))
    return float(of_mixture - np.mean(of_each))


def copied_share(samples: Cells, examples: Reference) -> float:
    """Return the share of the 11×11 patches of samples that occur in the examples, cell for cell.

    Parameters
    ----------
    samples
        The grids that are judged.
    examples
        The grids that may have been copied.

    Returns
    -------
    float
        0…1. Patches of one symbol count as copies too, so compare with the share of held-out grids.

    Raises
    ------
    InputError
        If there is no patch without unknown cells, or the grids are too small for one.

    Examples
    --------
    >>> board = np.indices((12, 12)).sum(axis=0)[None] % 2
    >>> copied_share(board, board), copied_share(board, np.zeros_like(board))
    (1.0, 0.0)
    """
    own, others = _numbered([samples, examples], PATCH_SIDE)
    return float(np.isin(_known(own), _known(others)).mean())


def honoured_share(samples: Samples, cells: Cells, hidden: Hidden) -> float:
    """Return the share of the visible cells that samples keep.

    Parameters
    ----------
    samples
        Filled grids, of shape (batch, n, height, width).
    cells, hidden
        The puzzles.

    Returns
    -------
    float
        0…1; 1 if no cell is visible.

    Examples
    --------
    >>> honoured_share(np.array([[[[1, 1, 0]]]]), np.array([[[1, 0, 0]]]), np.array([[[False, False, True]]]))
    0.5
    """
    visible = np.broadcast_to((~hidden & (cells >= 0))[:, None], samples.shape)
    changed = (samples != cells[:, None]) & visible
    return float(1 - changed.sum() / max(visible.sum(), 1))


def pairs(cells: Cells, axis: int, lag: int) -> tuple[Ends, Ends]:
    """Return the two ends of each pair of cells.

    Parameters
    ----------
    cells
        The grids.
    axis
        The axis along which the pairs lie; it comes first in what is returned.
    lag
        How far the ends are apart, in cells.

    Returns
    -------
    tuple of ndarray
        The first and the second ends, views of the grids.

    Examples
    --------
    >>> first, second = pairs(np.array([[[1, 2, 3]]]), axis=2, lag=2)
    >>> first.ravel(), second.ravel()
    (array([1]), array([3]))
    """
    lines = np.moveaxis(cells, axis, 0)
    return lines[:-lag], lines[lag:]


def _by_lag(measure: Callable[[int, int], BySymbol]) -> ByLag:
    return np.array([[measure(axis, lag) for lag in range(1, LAGS + 1)] for axis in (1, 2)])


def _components(cells: Cells, n_symbols: int) -> Cells:
    """A number for each cell, the same for two cells of one symbol in one grid if a way along sides connects them."""
    from scipy import ndimage

    sides = np.zeros((3, 3, 3), dtype=bool)
    sides[1] = ndimage.generate_binary_structure(2, 1)  # and nothing from grid to grid
    components, of_symbol = np.zeros(cells.shape, dtype=np.int64), np.empty(cells.shape, dtype=np.int64)
    for symbol in range(n_symbols):
        ndimage.label(cells == symbol, sides, output=of_symbol)
        components += of_symbol
    return components


def _numbered(stacks: list[np.ndarray], side: int) -> list[np.ndarray]:
    """The number of the square at each position of each stack, the same for equal squares; -1 with an unknown cell.

    Two equal neighbours make an equal pair, so squares are numbered by doubling (Karp, Miller & Rosenberg 1972).
    """
    for stack in stacks:
        if min(stack.shape[1:]) < side:
            raise InputError(f"no {side}×{side} cells fit in grids of {stack.shape[1]} by {stack.shape[2]} cells")
    for axis in (1, 2):
        length = 1
        while length < side:
            step = min(length, side - length)
            stacks = _numbered_pairs(stacks, axis, step)
            length += step
    return stacks


def _numbered_pairs(stacks: list[np.ndarray], axis: int, step: int) -> list[np.ndarray]:
    """The same for pairs of numbers that are `step` apart."""
    base = max(int(stack.max()) for stack in stacks) + 1
    pairs = []
    for stack in stacks:
        lines = np.moveaxis(stack, axis, 0).astype(np.int64)
        first, second = lines[:-step], lines[step:]
        pairs.append(np.where((first < 0) | (second < 0), -1, first * base + second))
    distinct, numbers = np.unique(np.concatenate([pair.ravel() for pair in pairs]), return_inverse=True)
    ends = np.cumsum([pair.size for pair in pairs])[:-1]
    return [
        np.moveaxis(part.reshape(pair.shape), 0, axis)
        for part, pair in zip(np.split(numbers - (distinct[0] < 0), ends), pairs, strict=True)
    ]


def _known(numbers: np.ndarray) -> Int[np.ndarray, "pattern"]:
    known = numbers[numbers >= 0]
    if not known.size:
        raise InputError("there is no pattern without unknown cells to measure")
    return known
