"""Toy priors that know their own law, so that what a model says can be held against the truth."""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ..grids import InputError

WIDEST_NARROW_SIDE = 10  # a line of the Ising chain has 2 ** (narrow side) states
STRONGEST = 5.0  # beyond it, products of Ising weights leave the range of a float64


class FinitePrior:
    """A law on finitely many grids of up to 256 symbols.

    `members` are distinct grids, uint8 (member, height, width); `probabilities` (member,) are positive and sum to 1,
    equal if not given; `spec` is what `make_toy` rebuilds the prior from, None for one made by hand.
    Raises InputError for members or probabilities that are not so.
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
        """`n` independent members, drawn with their probabilities."""
        return self.members[generator.choice(len(self.members), n, p=self.probabilities)].astype(np.int64)

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """The log-probability of each grid in bits, -inf for a grid that is no member."""
        log_probabilities = np.append(np.log2(self.probabilities), -np.inf)
        index = np.array([self._index.get(key, -1) for key in _keys(cells)], dtype=np.int64)
        return np.where(_is_legal(cells, self.n_symbols), log_probabilities[index], -np.inf)


def _check_probabilities(probabilities: Float[np.ndarray, "member"] | None, n: int) -> Float[np.ndarray, "member"]:
    if probabilities is None:
        return np.full(n, 1 / n)
    if len(probabilities) != n or not (probabilities > 0).all() or abs(probabilities.sum() - 1) > 1e-9:
        raise InputError(f"a prior of {n} members needs {n} positive probabilities that sum to 1")
    return probabilities.astype(np.float64)


def _keys(cells: np.ndarray) -> Iterator[bytes]:
    """Sixteen bytes for each grid, so that a dict of many members stays small; too many for two grids to collide."""
    return (hashlib.blake2b(grid, digest_size=16).digest() for grid in np.ascontiguousarray(cells, dtype=np.uint8))


def _is_legal(cells: Int[np.ndarray, "n height width"], n_symbols: int) -> Bool[np.ndarray, " n"]:
    return np.all((cells >= 0) & (cells < n_symbols), axis=(1, 2))


def squares(
    height: int = 16,
    width: int = 16,
    smallest: int = 3,
    largest: int = 12,
    outline: bool = False,
    inverted: bool = False,
) -> FinitePrior:
    """One white square on black, equally likely at every place where a side of `smallest` … `largest` cells fits.

    `outline` leaves only the border of the square, one cell wide; `inverted` swaps black and white.
    Raises InputError if the sides do not fit the grid.
    """
    _check_sides(height, width, smallest, largest)
    sides = ((side, side) for side in range(smallest, largest + 1))
    spec = _spec("squares", height, width, smallest=smallest, largest=largest, outline=outline, inverted=inverted)
    return FinitePrior(_boxes(height, width, sides, outline, inverted), spec=spec)


def rectangles(
    height: int = 16,
    width: int = 16,
    smallest: int = 1,
    largest: int | None = None,
    outline: bool = False,
    inverted: bool = False,
) -> FinitePrior:
    """One white rectangle on black, equally likely at every place where sides of `smallest` … `largest` cells fit.

    Without `largest` a side may be as long as the grid; the other options, and the errors, are those of `squares`.
    """
    _check_sides(height, width, smallest, smallest if largest is None else largest)
    sides = product(range(smallest, (largest or height) + 1), range(smallest, (largest or width) + 1))
    spec = _spec("rectangles", height, width, smallest=smallest, largest=largest, outline=outline, inverted=inverted)
    return FinitePrior(_boxes(height, width, sides, outline, inverted), spec=spec)


def _spec(name: str, height: int, width: int, **options: Any) -> dict[str, Any]:
    return {"name": name, "height": height, "width": width, **options}


def _check_size(height: int, width: int) -> None:
    if min(height, width) < 1:
        raise InputError(f"a grid of {height} by {width} has no cells")


def _check_sides(height: int, width: int, smallest: int, largest: int) -> None:
    _check_size(height, width)
    if not 1 <= smallest <= largest:
        raise InputError(f"sides must be 1 ≤ smallest ≤ largest, not smallest {smallest} and largest {largest}")
    if largest > min(height, width):
        raise InputError(f"a side of {largest} cells does not fit a grid of {height} by {width} cells")


def _boxes(
    height: int, width: int, sides: Iterable[tuple[int, int]], outline: bool, inverted: bool
) -> UInt8[np.ndarray, "box height width"]:
    """A grid for each place of a box with each pair of sides; no two are alike, as its corners say which box it is."""
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
    """White stripes on black along rows, columns or a diagonal; all distinct images are equally likely.

    Every period from 2 to `largest_period` cells, every white width below the period, every phase.
    Raises InputError if the largest period is below 2 or longer than a side of the grid.
    """
    _check_size(height, width)
    if not 2 <= largest_period <= min(height, width):
        raise InputError(
            f"largest_period must be 2…{min(height, width)} on {height} by {width} cells, not {largest_period}"
        )
    row, column = np.indices((height, width))
    images = [
        (across + phase) % period < white
        for across in (row, column, row + column, row - column)
        for period in range(2, largest_period + 1)
        for white in range(1, period)
        for phase in range(period)
    ]
    members = np.unique(np.array(images, dtype=np.uint8), axis=0)
    return FinitePrior(members, spec=_spec("stripes", height, width, largest_period=largest_period))


class Mirror:
    """Independent fair cells, except that each equals its partner, its reflection in the centre of the grid.

    The partner of (row, column) is (height - 1 - row, width - 1 - column): of the mirror symmetries of a grid the
    point reflection is the one whose partners lie farthest apart, so a small window sees both for few cells only.
    Raises InputError for a grid without cells.
    """

    n_symbols = 2

    def __init__(self, height: int = 16, width: int = 16):
        _check_size(height, width)
        self.height, self.width = height, width
        self.spec = _spec("mirror", height, width)

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """`n` independent grids."""
        flat = generator.integers(0, self.n_symbols, (n, self.height * self.width))
        half = flat.shape[1] // 2
        flat[:, flat.shape[1] - half :] = flat[:, :half][:, ::-1]
        return flat.reshape(n, self.height, self.width)

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """One bit for each pair of partners and for a cell in the centre; -inf for a grid without the symmetry."""
        symmetric = (cells == cells[:, ::-1, ::-1]).all(axis=(1, 2)) & _is_legal(cells, self.n_symbols)
        return np.where(symmetric, -float((self.height * self.width + 1) // 2), -np.inf)


class Ising:
    """The Ising model: neighbours tend to be equal (unlike, for a negative coupling).

    With spin = 2 cell - 1, P(cells) ∝ exp(coupling · sum over neighbours of spin · spin + field · sum of spins); free
    boundaries. Exact by the transfer matrix of Kramers and Wannier (Physical Review 60, 1941): the lines of the grid
    along its narrow side form a Markov chain, and a state of the chain is one line.
    Raises InputError if the narrow side is too long or a parameter too strong for that.
    """

    n_symbols = 2

    def __init__(self, height: int = 16, width: int = 8, coupling: float = 0.35, field: float = 0.0):
        _check_size(height, width)
        narrow = min(height, width)
        if narrow > WIDEST_NARROW_SIDE:
            raise InputError(
                f"an Ising grid needs a side of at most {WIDEST_NARROW_SIDE} cells, not {height} by {width}"
            )
        if not (abs(coupling) <= STRONGEST and abs(field) <= STRONGEST):  # refuses NaN too
            raise InputError(f"coupling {coupling} and field {field} must lie within ±{STRONGEST}")
        self.height, self.width, self.coupling, self.field = height, width, coupling, field
        self.spec = _spec("ising", height, width, coupling=coupling, field=field)
        self.states = np.arange(2**narrow)[:, None] >> np.arange(narrow) & 1
        self._line_weight = np.exp(self._log_weight(self.states[:, None, :]))
        spins = 2 * self.states - 1
        self.transfer = np.exp(coupling * (spins @ spins.T))
        everything = np.ones((1, max(height, width), len(self.states)))
        laws, log_weights = self.forward(everything)
        self._laws, self.log_partition = laws[0], float(log_weights[0])

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """`n` independent grids."""
        return self.turned(self.draw_backward(self._laws, n, generator))

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """The log-probability of each grid in bits, -inf for a grid with other symbols than 0 and 1."""
        bits = (self._log_weight(cells) - self.log_partition) / np.log(2)
        return np.where(_is_legal(cells, self.n_symbols), bits, -np.inf)

    def _log_weight(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        spins = 2 * cells - 1
        along_columns = (spins[:, 1:] * spins[:, :-1]).sum(axis=(1, 2))
        along_rows = (spins[:, :, 1:] * spins[:, :, :-1]).sum(axis=(1, 2))
        return self.coupling * (along_columns + along_rows) + self.field * spins.sum(axis=(1, 2))

    def turned(self, grids: np.ndarray) -> np.ndarray:
        """Axes 1 and 2 swapped if the grid is wider than high, so that axis 1 follows the chain; its own inverse."""
        return grids.swapaxes(1, 2) if self.width > self.height else grids

    def forward(
        self, observed: Float[np.ndarray, "batch line state"]
    ) -> tuple[Float[np.ndarray, "batch line state"], Float[np.ndarray, "batch"]]:
        """The law of each line given what was observed up to it, and the log (base e) of the weight of all grids.

        `observed` is the probability of what was observed of a line under each of its states, above 0 for one at least.
        """
        laws, log_weights = [], np.zeros(len(observed))
        predicted = np.ones((len(observed), len(self.states)))
        for of_line in observed.swapaxes(0, 1):
            weights = predicted * self._line_weight * of_line
            total = weights.sum(axis=1)
            log_weights += np.log(total)
            laws.append(weights / total[:, None])  # scaled at every line, or long grids would overflow
            predicted = laws[-1] @ self.transfer
        return np.stack(laws, axis=1), log_weights

    def backward(self, observed: Float[np.ndarray, "batch line state"]) -> Float[np.ndarray, "batch line state"]:
        """The probability of what was observed after each line, given its state, scaled to a sum of 1."""
        messages = [np.full((len(observed), len(self.states)), 1 / len(self.states))]
        for of_line in observed.swapaxes(0, 1)[:0:-1]:
            weights = (messages[-1] * self._line_weight * of_line) @ self.transfer
            messages.append(weights / weights.sum(axis=1, keepdims=True))
        return np.stack(messages[::-1], axis=1)

    def draw_backward(
        self, laws: Float[np.ndarray, "line state"], n: int, generator: np.random.Generator
    ) -> Int[np.ndarray, "n line narrow"]:
        """`n` grids (turned), line by line from the last to the first, from the laws that `forward` gives."""
        drawn = [_draw(np.broadcast_to(laws[-1], (n, len(self.states))), generator)]
        for law in laws[-2::-1]:
            drawn.append(_draw(law * self.transfer[drawn[-1]], generator))
        return self.states[np.stack(drawn[::-1], axis=1)]


def _draw(weights: Float[np.ndarray, "n state"], generator: np.random.Generator) -> Int[np.ndarray, " n"]:
    """One state for each row of weights, which need no scaling."""
    cumulative = weights.cumsum(axis=1)
    threshold = generator.random(len(weights)) * cumulative[:, -1]
    return (cumulative <= threshold[:, None]).sum(axis=1)


Toy = FinitePrior | Mirror | Ising

TOYS: dict[str, Callable[..., Toy]] = {
    "squares": squares,
    "rectangles": rectangles,
    "stripes": stripes,
    "mirror": Mirror,
    "ising": Ising,
}


def make_toy(name: str, **options: Any) -> Toy:
    """The toy prior of that name; `make_toy(**prior.spec)` is the same prior again.

    Raises InputError for an unknown name or option, and for sizes that do not fit.
    """
    if name not in TOYS:
        raise InputError(f"there is no toy {name!r}; the toys are {', '.join(TOYS)}")
    known = inspect.signature(TOYS[name]).parameters
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option!r}; its options are {', '.join(known)}")
    return TOYS[name](**options)
