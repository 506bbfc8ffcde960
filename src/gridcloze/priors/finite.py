"""Priors of finitely many grids, such as squares, rectangles and stripes, and their exact posterior by enumeration."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped, UInt8

from ..memory import refuse_beyond_memory
from ..puzzles import checked_evidence
from ..shapes import Bits, Cells, Evidence, Hidden, Marginals, Samples
from ..words import InputError
from .posterior import (
    NUMBERS_AT_ONCE,
    ContradictionError,
    check_query,
    check_size,
    chunks,
    is_legal,
    likelihood_of,
    observed_bits,
    one_hot,
    spec_of,
)

MEMBERS_AT_ONCE = 128  # averaged together: few enough to stay in the processor's cache


class FinitePrior:
    """A distribution on finitely many grids of up to 256 symbols.

    Parameters
    ----------
    members
        The grids that are possible, all distinct, of shape (member, height, width).
    probabilities
        The probability of each member; equal if not given.
    n_symbols
        The number of symbols.
    spec
        What `make_toy` rebuilds the prior from, if it is a toy.

    Raises
    ------
    InputError
        If there is no member, if members are equal or hold other symbols, or if the probabilities are not positive
        numbers, one for each member, that sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors import FinitePrior, posterior
    >>> coins = FinitePrior(np.array([[[0, 0]], [[0, 1]], [[1, 1]]], np.uint8), np.array([0.2, 0.3, 0.5]))
    >>> coins.log_prob_bits(np.array([[[1, 1]], [[1, 0]]]))
    array([ -1., -inf])
    >>> posterior(coins).marginals(np.array([[[0, 0]]]), np.array([[[False, True]]]))[0, 0, 1]
    array([0.4, 0.6])
    """

    def __init__(
        self,
        members: UInt8[np.ndarray, "member height width"],
        probabilities: Float[np.ndarray, "member"] | None = None,
        n_symbols: int = 2,
        spec: dict[str, Any] | None = None,
    ):
        if members.size == 0 or members.max() >= n_symbols:
            raise InputError(f"a finite prior needs at least one member, with symbols 0…{n_symbols - 1} only")
        self.height, self.width = members.shape[1:]
        self.n_symbols = n_symbols
        self.members = members
        self.probabilities = _check_probabilities(probabilities, len(members))
        self.spec = spec
        self._index = {key: index for index, key in enumerate(_keys(members))}
        if len(self._index) < len(members):
            raise InputError("the members of a finite prior must be distinct")

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """See `Prior.sample`."""
        return self.members[generator.choice(len(self.members), n, p=self.probabilities)].astype(np.int64)

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """See `KnownPrior.log_prob_bits`."""
        log_probabilities = np.append(np.log2(self.probabilities), -np.inf)
        index = np.array([self._index.get(key, -1) for key in _keys(cells)], dtype=np.int64)
        return np.where(is_legal(cells, self.n_symbols), log_probabilities[index], -np.inf)


def _check_probabilities(probabilities: Float[np.ndarray, "member"] | None, n: int) -> Float[np.ndarray, "member"]:
    if probabilities is None:
        return np.full(n, 1 / n)
    if len(probabilities) != n or not (probabilities > 0).all() or abs(probabilities.sum() - 1) > 1e-9:
        raise InputError(f"a prior of {n} members needs {n} positive probabilities that sum to 1")
    return probabilities.astype(np.float64)


def _keys(cells: np.ndarray) -> Iterator[bytes]:
    """Sixteen bytes for each grid, so that a dict of many members stays small; too many for two grids to collide."""
    return (hashlib.blake2b(grid, digest_size=16).digest() for grid in np.ascontiguousarray(cells, dtype=np.uint8))


def squares(
    height: int = 16,
    width: int = 16,
    smallest: int = 3,
    largest: int = 12,
    outline: bool = False,
    inverted: bool = False,
) -> FinitePrior:
    """Make the prior of one white square on black, equally likely at every position of every size.

    Parameters
    ----------
    height, width
        The size of the grid, in cells.
    smallest, largest
        The range of the square's side, in cells.
    outline
        Whether only the border of the square is white, one cell wide.
    inverted
        Whether black and white are swapped.

    Returns
    -------
    FinitePrior
        With a member for each square.

    Raises
    ------
    InputError
        If the sides are not a range, or do not fit the grid.

    Examples
    --------
    >>> from gridcloze.priors import squares
    >>> prior = squares(4, 5, smallest=2, largest=3)
    >>> len(prior.members)
    18
    >>> prior.members[-1]
    array([[0, 0, 0, 0, 0],
           [0, 0, 1, 1, 1],
           [0, 0, 1, 1, 1],
           [0, 0, 1, 1, 1]], dtype=uint8)
    """
    _check_sides(height, width, smallest, largest, largest - smallest + 1)
    sides = ((side, side) for side in range(smallest, largest + 1))
    spec = spec_of("squares", height, width, smallest=smallest, largest=largest, outline=outline, inverted=inverted)
    return FinitePrior(_boxes(height, width, sides, outline, inverted), spec=spec)


def rectangles(
    height: int = 16,
    width: int = 16,
    smallest: int = 1,
    largest: int | None = None,
    outline: bool = False,
    inverted: bool = False,
) -> FinitePrior:
    """Make the prior of one white rectangle on black, equally likely at every position of every size.

    Parameters
    ----------
    height, width
        The size of the grid, in cells.
    smallest, largest
        The range of both sides, in cells. Without `largest` a side may be as long as the grid.
    outline
        Whether only the border of the rectangle is white, one cell wide.
    inverted
        Whether black and white are swapped.

    Returns
    -------
    FinitePrior
        With a member for each rectangle.

    Raises
    ------
    InputError
        If the sides are not a range, or do not fit the grid.

    Examples
    --------
    >>> from gridcloze.priors import rectangles
    >>> len(rectangles(3, 3).members)
    36
    >>> rectangles(3, 4, smallest=3, outline=True).members[0]
    array([[1, 1, 1, 0],
           [1, 0, 1, 0],
           [1, 1, 1, 0]], dtype=uint8)
    """
    n_pairs = (1 + (largest or height) - smallest) * (1 + (largest or width) - smallest)
    _check_sides(height, width, smallest, smallest if largest is None else largest, n_pairs)
    sides = product(range(smallest, (largest or height) + 1), range(smallest, (largest or width) + 1))
    spec = spec_of("rectangles", height, width, smallest=smallest, largest=largest, outline=outline, inverted=inverted)
    return FinitePrior(_boxes(height, width, sides, outline, inverted), spec=spec)


def _check_sides(height: int, width: int, smallest: int, largest: int, n_pairs: int) -> None:
    check_size(height, width)
    if not 1 <= smallest <= largest:
        raise InputError(f"sides must be 1 ≤ smallest ≤ largest, not smallest {smallest} and largest {largest}")
    if largest > min(height, width):
        raise InputError(f"a side of {largest} cells does not fit a grid of {height} by {width} cells")
    _check_members(n_pairs * (height - smallest + 1) * (width - smallest + 1), height, width)


def _check_members(at_most: int, height: int, width: int) -> None:
    refuse_beyond_memory(at_most * height * width, f"a prior of all such grids of {height} by {width} cells")


def _boxes(
    height: int, width: int, sides: Iterable[tuple[int, int]], outline: bool, inverted: bool
) -> UInt8[np.ndarray, "box height width"]:
    """A grid for each position of a box with each pair of sides; no two are equal, as the corners tell them apart."""
    corners = [
        (top, top + tall, left, left + wide)
        for tall, wide in sides
        for top in range(height - tall + 1)
        for left in range(width - wide + 1)
    ]
    top, bottom, left, right = np.array(corners)[:, :, None].swapaxes(0, 1)
    white = _within(top, bottom, height)[:, :, None] & _within(left, right, width)[:, None, :]
    if outline:
        white &= ~(_within(top + 1, bottom - 1, height)[:, :, None] & _within(left + 1, right - 1, width)[:, None, :])
    return (~white if inverted else white).view(np.uint8)


def _within(
    start: Int[np.ndarray, "box 1"], stop: Int[np.ndarray, "box 1"], length: int
) -> Bool[np.ndarray, "box length"]:
    return (start <= np.arange(length)) & (np.arange(length) < stop)


def stripes(height: int = 16, width: int = 16, largest_period: int = 8) -> FinitePrior:
    """Make the prior of white stripes on black along rows, columns or a diagonal; distinct images are equally likely.

    Parameters
    ----------
    height, width
        The size of the grid, in cells.
    largest_period
        Stripes repeat every 2…largest_period cells, and have every white width below the period and every phase.

    Returns
    -------
    FinitePrior
        With a member for each distinct image.

    Raises
    ------
    InputError
        If the largest period is below 2, or longer than a side of the grid.

    Examples
    --------
    >>> from gridcloze.priors import stripes
    >>> prior = stripes(4, 4, largest_period=3)
    >>> len(prior.members)
    30
    >>> prior.members[1]
    array([[0, 0, 0, 0],
           [1, 1, 1, 1],
           [0, 0, 0, 0],
           [0, 0, 0, 0]], dtype=uint8)
    """
    check_size(height, width)
    if not 2 <= largest_period <= min(height, width):
        raise InputError(
            f"largest_period must be 2…{min(height, width)} on {height} by {width} cells, not {largest_period}"
        )
    _check_members(4 * largest_period**3, height, width)
    row, column = np.indices((height, width))
    images = [
        (across + phase) % period < white
        for across in (row, column, row + column, row - column)
        for period in range(2, largest_period + 1)
        for white in range(1, period)
        for phase in range(period)
    ]
    members = np.unique(np.array(images, dtype=np.uint8), axis=0)
    return FinitePrior(members, spec=spec_of("stripes", height, width, largest_period=largest_period))


class Enumeration:
    """The exact posterior of a finite prior: of all its members, those that agree with the visible cells.

    `posterior` makes it; see `ExactPosterior` for its methods.

    Parameters
    ----------
    prior
        The prior; time and memory of a query grow with its number of members.

    Examples
    --------
    A white cell in the middle of the top row leaves three of thirteen squares; two of them cover the centre too:

    >>> import numpy as np
    >>> from gridcloze.priors import posterior, squares
    >>> exact = posterior(squares(3, 3, smallest=1, largest=2))
    >>> cells, hidden = np.ones((1, 3, 3), int), np.ones((1, 3, 3), bool)
    >>> hidden[0, 0, 1] = False
    >>> exact.marginals(cells, hidden)[0, ..., 1].round(2)
    array([[0.33, 1.  , 0.33],
           [0.33, 0.67, 0.33],
           [0.  , 0.  , 0.  ]])
    """

    window: tuple[int, int] | None = None

    def __init__(self, prior: FinitePrior):
        self.prior, self.n_symbols = prior, prior.n_symbols
        self._features = None
        if prior.members.size * (prior.n_symbols - 1) <= 2 * NUMBERS_AT_ONCE:
            self._features = _features(prior.members, prior.n_symbols)

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        """See `ExactPosterior.marginals`."""
        result = np.empty((*cells.shape, self.n_symbols))
        for grid, (members, weights) in enumerate(self._consistent(cells, hidden, evidence)):
            result[grid] = self._average(members, weights)
        return result

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        """See `ExactPosterior.sample`."""
        result = np.empty((len(cells), n, *cells.shape[1:]), dtype=np.int64)
        for grid, (members, weights) in enumerate(self._consistent(cells, hidden, evidence)):
            result[grid] = self.prior.members[generator.choice(members, n, p=weights / weights.sum())]
        return result

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        """See `ExactPosterior.log_prob_bits`."""
        totals = np.array([weights.sum() for _, weights in self._consistent(cells, hidden, evidence)])
        return self.prior.log_prob_bits(cells) + observed_bits(cells, hidden, evidence) - np.log2(totals)

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals:
        """See `WindowLimited.marginals`. Members are compared with all windows at once, by sums over windows."""
        check_query(cells, hidden, self.prior)
        result = one_hot(cells, self.n_symbols)
        for grid, grid_hidden in enumerate(hidden):
            weights, fewest = self._weights_in_windows(cells[grid], grid_hidden, radius)
            if fewest[grid_hidden].any():
                raise ContradictionError(grid, int(fewest[grid_hidden][fewest[grid_hidden] > 0][0]))
            result[grid][grid_hidden] = (weights[:, grid_hidden] / weights[:, grid_hidden].sum(axis=0)).T
        return result

    def _weights_in_windows(
        self, cells: np.ndarray, hidden: np.ndarray, radius: int
    ) -> tuple[Float[np.ndarray, "symbol height width"], Int[np.ndarray, "height width"]]:
        """For the window of each cell: the probability of the members that agree in it, by their symbol in that cell,
        and the fewest visible cells in which a member differs.
        """
        weights, fewest = np.zeros((self.n_symbols, *cells.shape)), np.full(cells.shape, cells.size, dtype=np.int64)
        for part in chunks(len(self.prior.members), NUMBERS_AT_ONCE // (8 * cells.size)):
            members = self.prior.members[part]
            counts = _window_sums((members != cells) & ~hidden, radius)
            fewest = np.minimum(fewest, counts.min(axis=0))
            agree = self.prior.probabilities[part, None, None] * (counts == 0)
            for symbol in range(self.n_symbols):
                weights[symbol] += (agree * (members == symbol)).sum(axis=0)
        return weights, fewest

    def _mismatches(self, cells: np.ndarray, hidden: np.ndarray) -> Iterator[Int[np.ndarray, "member"]]:
        """The number of visible cells in which each member differs, for one grid after the other."""
        check_query(cells, hidden, self.prior)
        members = self.prior.members
        for part in chunks(len(cells), NUMBERS_AT_ONCE // (len(members) + members[0].size * self.n_symbols)):
            if self._features is None:
                yield from mismatches(cells[part], hidden[part], members, self.n_symbols)
            else:
                yield from _compare(cells[part], hidden[part], self._features, self.n_symbols)

    def _consistent(
        self, cells: np.ndarray, hidden: np.ndarray, evidence: np.ndarray | None
    ) -> Iterator[tuple[Int[np.ndarray, "consistent"], Float[np.ndarray, "consistent"]]]:
        """For one grid after the other, the indices and weights of the members that agree with all that is known.

        A weight is the member's probability times that of the evidence.
        """
        if evidence is not None:
            evidence = checked_evidence(evidence, hidden, self.n_symbols)
        for grid, counts in enumerate(self._mismatches(cells, hidden)):
            members = np.flatnonzero(counts == 0)
            weights = self.prior.probabilities[members]
            if evidence is not None:
                weights = weights * self._likelihoods(members, evidence[grid])
            if not weights.any():
                raise ContradictionError(grid, int(counts.min()))
            yield members[weights > 0], weights[weights > 0]

    def _likelihoods(
        self, members: Int[np.ndarray, "consistent"], evidence: Float[np.ndarray, "height width symbol"]
    ) -> Float[np.ndarray, "consistent"]:
        parts = chunks(len(members), NUMBERS_AT_ONCE // evidence[..., 0].size)
        likelihoods = [
            likelihood_of(evidence[None], self.prior.members[members[part]]).prod(axis=(1, 2)) for part in parts
        ]
        return np.concatenate([np.empty(0), *likelihoods])

    def _average(
        self, members: Int[np.ndarray, "consistent"], probabilities: Float[np.ndarray, "consistent"]
    ) -> Float[np.ndarray, "height width symbol"]:
        weights = np.zeros((self.n_symbols, *self.prior.members.shape[1:]))
        for part in chunks(len(members), MEMBERS_AT_ONCE):
            chosen = self.prior.members[members[part]]
            for symbol in range(self.n_symbols):
                weights[symbol] += np.tensordot(probabilities[part], chosen == symbol, axes=1)
        marginals = weights / weights.sum(axis=0)  # by their own sum: where all members agree it is exactly 1 and 0
        return np.moveaxis(marginals, 0, -1)


def _window_sums(
    values: Shaped[np.ndarray, "member height width"], radius: int
) -> Int[np.ndarray, "member height width"]:
    """Sums over the square that reaches `radius` cells from each cell to every side, as far as it lies on the grid."""
    for axis in (1, 2):
        position = np.arange(values.shape[axis])
        sums = np.cumsum(values, axis=axis, dtype=np.int32)
        sums = np.concatenate((np.zeros_like(sums.take([0], axis=axis)), sums), axis=axis)
        until = sums.take(np.minimum(position + radius + 1, len(position)), axis=axis)
        values = until - sums.take(np.maximum(position - radius, 0), axis=axis)
    return values


def mismatches(
    cells: Cells, hidden: Hidden, members: UInt8[np.ndarray, "member height width"], n_symbols: int
) -> Int[np.ndarray, "batch member"]:
    """Count the visible cells in which each grid differs from each member.

    Members are compared in chunks, so that memory stays flat.

    Parameters
    ----------
    cells, hidden
        The grids, and which of their cells are hidden.
    members
        The grids to compare with.
    n_symbols
        The number of symbols.

    Returns
    -------
    ndarray
        A count for each grid and member.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors.finite import mismatches
    >>> cells, hidden = np.array([[[0, 1, 1]]]), np.array([[[False, False, True]]])
    >>> mismatches(cells, hidden, np.array([[[0, 1, 0]], [[1, 0, 1]]], np.uint8), n_symbols=2)
    array([[0, 2]], dtype=int32)
    """
    result = np.empty((len(cells), len(members)), dtype=np.int32)
    for part in chunks(len(members), NUMBERS_AT_ONCE // (members[0].size * n_symbols + len(cells))):
        result[:, part] = _compare(cells, hidden, _features(members[part], n_symbols), n_symbols)
    return result


def _features(
    members: UInt8[np.ndarray, "member height width"], n_symbols: int
) -> Float32[np.ndarray, "member feature"]:
    """Which cells show which symbol, without the last symbol, which follows from the others."""
    flat = members.reshape(len(members), 1, -1)
    return (flat == np.arange(n_symbols - 1)[:, None]).reshape(len(members), -1).astype(np.float32)


def _compare(
    cells: Cells, hidden: Hidden, features: Float32[np.ndarray, "member feature"], n_symbols: int
) -> Int[np.ndarray, "batch member"]:
    """`mismatches` as a matrix product; exact, since float32 holds every integer up to 2**24."""
    visible = ~hidden.reshape(len(cells), 1, -1)
    shows = visible & (cells.reshape(len(cells), 1, -1) == np.arange(n_symbols)[:, None])
    gain = shows[:, :-1].astype(np.float32) - shows[:, -1:]  # in agreements, over a member with the last symbol there
    agreements = gain.reshape(len(cells), -1) @ features.T + shows[:, -1].sum(axis=1, keepdims=True, dtype=np.float32)
    return (visible.sum(axis=2) - agreements).astype(np.int32)
