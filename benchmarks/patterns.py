"""Whether samples look like the examples: proportions, variograms, connectivity, patterns, copies.

Grids come as stacks (batch, height, width). Unknown cells (-1) do not count, nor does a pair or a pattern that has one.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from gridcloze.predictor import entropy_bits
from gridcloze.shapes import Cells, Hidden, Samples
from gridcloze.words import InputError

LAGS = 30  # in cells, down and across
PATTERN_SIDE, PATCH_SIDE = 4, 11  # of a pattern whose law is compared, of a patch that is searched for, in cells
Reference = Int[np.ndarray, "image image_height image_width"]
BySymbol = Float[np.ndarray, "symbol"]
ByLag = Float[np.ndarray, "axis lag symbol"]
Ends = Int[np.ndarray, "line ..."]  # the axis along which pairs lie comes first


def proportions(cells: Cells, n_symbols: int) -> BySymbol:
    """Share of the known cells that each symbol has. Raises InputError if no cell is known."""
    counts = np.bincount(cells[cells >= 0], minlength=n_symbols)
    if not counts.any():
        raise InputError("there is no known cell to measure")
    return counts / counts.sum()


def variogram(cells: Cells, n_symbols: int, share: BySymbol | None = None) -> ByLag:
    """The indicator variogram of each symbol, divided by its sill.

    Half of the share of pairs of cells, one lag apart, of which exactly one has the symbol, over p (1 - p), where p is
    the share of the symbol, in these cells if it is not given (Journel & Huijbregts 1978; Deutsch & Journel 1998,
    GSLIB): about 1 where cells know nothing of each other. NaN where p is 0 or 1, and for a lag that no pair has.
    """
    share = proportions(cells, n_symbols) if share is None else share
    sill = np.where((share > 0) & (share < 1), share * (1 - share), np.nan)

    def unlike(axis: int, lag: int) -> BySymbol:
        first, second = pairs(cells, axis, lag)
        known = (first >= 0) & (second >= 0)
        one_has_it = known & (first != second)
        ends = np.concatenate([first[one_has_it], second[one_has_it]])
        return np.bincount(ends, minlength=n_symbols) / known.sum() / 2

    with np.errstate(invalid="ignore"):
        return _by_lag(unlike) / sill


def connectivity(cells: Cells, n_symbols: int) -> ByLag:
    """The probability that two cells, one lag apart and both with the symbol, are in one component of it.

    The connectivity function of Renard & Allard (2013, doi:10.1016/j.advwatres.2011.12.001), with components of cells
    that touch along a side. NaN where no pair has the symbol. It needs SciPy.
    """
    components = _components(cells, n_symbols)

    def connected(axis: int, lag: int) -> BySymbol:
        (first, second), (component, other) = pairs(cells, axis, lag), pairs(components, axis, lag)
        both = (first >= 0) & (first == second)
        counts = [np.bincount(first[chosen], minlength=n_symbols) for chosen in (both & (component == other), both)]
        return counts[0] / counts[1]

    with np.errstate(invalid="ignore"):
        return _by_lag(connected)


def errors(samples: Cells, reference: Reference, n_symbols: int) -> dict[str, float]:
    """Of proportions, variograms and connectivity: how far a sample is from the reference, absolute, in the mean.

    The mean is over samples, symbols, and axes and lags, as far as both are defined. All variograms are divided by the
    sill of the reference, so that a sample of one symbol only does not get away with it.
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
    """Jensen–Shannon divergence of the laws of 4×4 patterns: 0 if they are equal, 1 if they have none in common.

    `corners` tells which places the top left cell of a pattern in `cells` may have, so that those across a border can
    be told from those inside; all if None. Two small samples of one law differ too, so compare equal numbers of
    patterns. Raises InputError if there is no pattern.
    """
    own, others = _numbered([cells, reference], PATTERN_SIDE)
    counts = [_known(own if corners is None else own[:, corners]), _known(others)]
    most = max(numbers.max() for numbers in counts) + 1
    laws = np.stack([np.bincount(numbers, minlength=most) / numbers.size for numbers in counts])
    of_mixture, *of_each = entropy_bits(np.stack([laws.mean(axis=0), *laws]))
    return float(of_mixture - np.mean(of_each))


def copied_share(samples: Cells, examples: Reference) -> float:
    """Share of the 11×11 patches of samples that stand in the examples cell for cell.

    Patches of one symbol are copies too, so judge it beside the share of grids that were held out. Raises InputError
    if there is no patch.
    """
    own, others = _numbered([samples, examples], PATCH_SIDE)
    return float(np.isin(_known(own), _known(others)).mean())


def honoured_share(samples: Samples, cells: Cells, hidden: Hidden) -> float:
    """Share of the visible cells that the samples (batch, n, height, width) left as they were; 1 if none is visible."""
    visible = np.broadcast_to((~hidden & (cells >= 0))[:, None], samples.shape)
    changed = (samples != cells[:, None]) & visible
    return float(1 - changed.sum() / max(visible.sum(), 1))


def pairs(cells: Cells, axis: int, lag: int) -> tuple[Ends, Ends]:
    """The two ends of each pair of cells that are `lag` apart along an axis."""
    lines = np.moveaxis(cells, axis, 0)
    return lines[:-lag], lines[lag:]


def _by_lag(measure: Callable[[int, int], BySymbol]) -> ByLag:
    return np.array([[measure(axis, lag) for lag in range(1, LAGS + 1)] for axis in (1, 2)])


def _components(cells: Cells, n_symbols: int) -> Cells:
    """A number for each cell, the same for two cells of one symbol in one grid if a way along sides connects them."""
    from scipy import ndimage

    sides = np.zeros((3, 3, 3), dtype=bool)
    sides[1] = ndimage.generate_binary_structure(2, 1)  # and none from grid to grid
    components, of_symbol = np.zeros(cells.shape, dtype=np.int64), np.empty(cells.shape, dtype=np.int64)
    for symbol in range(n_symbols):
        ndimage.label(cells == symbol, sides, output=of_symbol)
        components += of_symbol
    return components


def _numbered(stacks: list[np.ndarray], side: int) -> list[np.ndarray]:
    """For each place of a square in each stack its number, -1 with an unknown cell: the same number for equal squares.

    Two equal neighbours make an equal pair, so squares are named by doubling (Karp, Miller & Rosenberg 1972).
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
    found, numbers = np.unique(np.concatenate([pair.ravel() for pair in pairs]), return_inverse=True)
    ends = np.cumsum([pair.size for pair in pairs])[:-1]
    return [
        np.moveaxis(part.reshape(pair.shape), 0, axis)
        for part, pair in zip(np.split(numbers - (found[0] < 0), ends), pairs, strict=True)
    ]


def _known(numbers: np.ndarray) -> Int[np.ndarray, "pattern"]:
    known = numbers[numbers >= 0]
    if not known.size:
        raise InputError("there is no pattern without unknown cells to measure")
    return known
