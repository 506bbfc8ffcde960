"""What Bayes says about hidden cells under a prior whose law is known: the truth a model is measured against."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int, Integer, Shaped, UInt8

from .grids import InputError
from .predictor import Cells, Evidence, Hidden, Marginals, Predictor, checked_evidence, tokens_of
from .priors import FinitePrior, Ising, Mirror, Prior

Samples = Int[np.ndarray, "batch n height width"]
Bits = Float[np.ndarray, "batch"]

NUMBERS_AT_ONCE = 2**25  # the numbers in the largest temporary arrays, so that memory stays flat
MEMBERS_AT_ONCE = 128  # averaged together: few enough to stay in the processor's cache


@runtime_checkable
class ExactPosterior(Predictor, Protocol):
    """A Predictor that is right, and knows how hidden cells depend on each other.

    `evidence` is what was observed of hidden cells, as `predictor.checked_evidence` takes it. All methods raise
    ContradictionError for a grid with whose visible cells and evidence no grid of the prior agrees, and InputError
    for a grid of another size, with visible symbols that the prior does not have, or with evidence that is none.
    """

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        """As of every Predictor, but given the evidence too."""
        ...

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        """`n` independent grids from the joint law of the hidden cells given the visible ones, for each grid."""
        ...

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        """log2 P(hidden cells are as in `cells` | visible cells, evidence); -inf for what cannot be."""
        ...


class ContradictionError(InputError):
    """No grid of the prior agrees with the visible cells of `grid`, its index in the batch (from 0).

    `cells` is the number of visible cells in which the nearest grid of the prior differs: 0 if only evidence forbids.
    """

    def __init__(self, grid: int, cells: int):
        how = f"the visible cells; the nearest differs in {cells} of them" if cells else "what the evidence allows"
        super().__init__(f"grid {grid}: no grid of the prior agrees with {how}")
        self.grid, self.cells = grid, cells


def posterior(prior: Prior) -> ExactPosterior:
    """The exact posterior of a prior that has one; InputError for any other prior."""
    if isinstance(prior, FinitePrior):
        return Enumeration(prior)
    if isinstance(prior, Mirror):
        return MirrorPosterior(prior)
    if isinstance(prior, Ising):
        return TransferMatrix(prior)
    raise InputError(f"the exact answer is known for toy priors only, not for {type(prior).__name__}")


class Enumeration:
    """The posterior of a finite prior: of all its members those that agree with the visible cells."""

    def __init__(self, prior: FinitePrior):
        self.prior, self.n_symbols = prior, prior.n_symbols
        self._features = None
        if prior.members.size * (prior.n_symbols - 1) <= 2 * NUMBERS_AT_ONCE:
            self._features = _features(prior.members, prior.n_symbols)

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        result = np.empty((*cells.shape, self.n_symbols))
        for grid, (members, weights) in enumerate(self._consistent(cells, hidden, evidence)):
            result[grid] = self._average(members, weights)
        return result

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        result = np.empty((len(cells), n, *cells.shape[1:]), dtype=np.int64)
        for grid, (members, weights) in enumerate(self._consistent(cells, hidden, evidence)):
            result[grid] = self.prior.members[generator.choice(members, n, p=weights / weights.sum())]
        return result

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        given = np.array([weights.sum() for _, weights in self._consistent(cells, hidden, evidence)])
        return self.prior.log_prob_bits(cells) + _observed_bits(cells, hidden, evidence) - np.log2(given)

    def nearest(self, cells: Cells, hidden: Hidden, n: int = 1) -> tuple[Samples, Int[np.ndarray, "batch n"]]:
        """The `n` members (or all, if fewer) that differ in the fewest visible cells, and in how many they do.

        Raises InputError like the other methods, but no ContradictionError: for a contradiction it tells what is near.
        """
        order, differences = [], []
        for counts in self._mismatches(cells, hidden):
            order.append(np.argsort(counts, kind="stable")[:n])
            differences.append(counts[order[-1]])
        return self.prior.members[np.array(order)].astype(np.int64), np.array(differences)

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals:
        """What `WindowLimited` asks, for all cells of a grid at once: members are compared by sums over windows."""
        _check_query(cells, hidden, self.prior)
        result = _one_hot(cells, self.n_symbols)
        for grid, unseen in enumerate(hidden):
            weights, differ = self._weights_in_windows(cells[grid], unseen, radius)
            if differ[unseen].any():
                raise ContradictionError(grid, int(differ[unseen][differ[unseen] > 0][0]))
            result[grid][unseen] = (weights[:, unseen] / weights[:, unseen].sum(axis=0)).T
        return result

    def _weights_in_windows(
        self, cells: np.ndarray, hidden: np.ndarray, radius: int
    ) -> tuple[Float[np.ndarray, "symbol height width"], Int[np.ndarray, "height width"]]:
        """Of each cell's window: the probability of the members that agree in it, by their symbol in that cell, and in
        how many cells the nearest member differs.
        """
        weights, differ = np.zeros((self.n_symbols, *cells.shape)), np.full(cells.shape, cells.size, dtype=np.int64)
        for part in _chunks(len(self.prior.members), NUMBERS_AT_ONCE // (8 * cells.size)):
            members = self.prior.members[part]
            counts = _window_sums((members != cells) & ~hidden, radius)
            differ = np.minimum(differ, counts.min(axis=0))
            agree = self.prior.probabilities[part, None, None] * (counts == 0)
            for symbol in range(self.n_symbols):
                weights[symbol] += (agree * (members == symbol)).sum(axis=0)
        return weights, differ

    def _mismatches(self, cells: np.ndarray, hidden: np.ndarray) -> Iterator[Int[np.ndarray, "member"]]:
        """The number of visible cells in which each member differs, for one grid after the other."""
        _check_query(cells, hidden, self.prior)
        members = self.prior.members
        for part in _chunks(len(cells), NUMBERS_AT_ONCE // (len(members) + members[0].size * self.n_symbols)):
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
        parts = _chunks(len(members), NUMBERS_AT_ONCE // evidence[..., 0].size)
        observed = [_likelihood(evidence[None], self.prior.members[members[part]]).prod(axis=(1, 2)) for part in parts]
        return np.concatenate([np.empty(0), *observed])

    def _average(
        self, members: Int[np.ndarray, "consistent"], probabilities: Float[np.ndarray, "consistent"]
    ) -> Float[np.ndarray, "height width symbol"]:
        weights = np.zeros((self.n_symbols, *self.prior.members.shape[1:]))
        for part in _chunks(len(members), MEMBERS_AT_ONCE):
            chosen = self.prior.members[members[part]]
            for symbol in range(self.n_symbols):
                weights[symbol] += np.tensordot(probabilities[part], chosen == symbol, axes=1)
        marginals = weights / weights.sum(axis=0)  # by their own sum: where all members agree it is exactly 1 and 0
        return np.moveaxis(marginals, 0, -1)


def _window_sums(
    values: Shaped[np.ndarray, "member height width"], radius: int
) -> Int[np.ndarray, "member height width"]:
    """Over the square that reaches `radius` cells from each cell to every side, as far as it lies on the grid."""
    for axis in (1, 2):
        place = np.arange(values.shape[axis])
        sums = np.cumsum(values, axis=axis, dtype=np.int32)
        sums = np.concatenate((np.zeros_like(sums.take([0], axis=axis)), sums), axis=axis)
        until = sums.take(np.minimum(place + radius + 1, len(place)), axis=axis)
        values = until - sums.take(np.maximum(place - radius, 0), axis=axis)
    return values


def _likelihood(
    evidence: Float[np.ndarray, "#batch height width symbol"], cells: Integer[np.ndarray, "batch height width"]
) -> Float[np.ndarray, "batch height width"]:
    """Of each cell's symbol the probability of what was observed there; 0 for what is no symbol."""
    n_symbols = evidence.shape[-1]
    legal = (cells >= 0) & (cells < n_symbols)
    symbols = np.where(legal, cells, 0)[..., None].astype(np.int64)
    shape = (*cells.shape, n_symbols)
    return np.where(legal, np.take_along_axis(np.broadcast_to(evidence, shape), symbols, axis=-1)[..., 0], 0.0)


def _observed_bits(cells: Cells, hidden: Hidden, evidence: Evidence | None) -> Bits:
    """The log-probability of the evidence under grids; -inf for what it forbids, 0 without any."""
    if evidence is None:
        return np.zeros(len(cells))
    with np.errstate(divide="ignore"):
        return np.log2(_likelihood(checked_evidence(evidence, hidden, evidence.shape[-1]), cells)).sum(axis=(1, 2))


def mismatches(
    cells: Cells, hidden: Hidden, members: UInt8[np.ndarray, "member height width"], n_symbols: int
) -> Int[np.ndarray, "batch member"]:
    """The number of visible cells in which each grid differs from each member.

    Beside the answer it needs a fixed amount of memory: members are compared in chunks.
    """
    result = np.empty((len(cells), len(members)), dtype=np.int32)
    for part in _chunks(len(members), NUMBERS_AT_ONCE // (members[0].size * n_symbols + len(cells))):
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


class MirrorPosterior:
    """The posterior of the mirror prior: a cell with a visible partner equals it, any other is a fair coin."""

    def __init__(self, prior: Mirror):
        self.prior, self.n_symbols = prior, prior.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        known, free, law = self._resolve(cells, hidden, evidence)
        return np.where(free[..., None], law, _one_hot(known, self.n_symbols))

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        known, free, law = self._resolve(cells, hidden, evidence)
        half = generator.random((len(cells), n, (cells[0].size + 1) // 2))  # one number decides for both partners
        both = np.concatenate((half, half[..., : cells[0].size // 2][..., ::-1]), axis=-1)
        uniform = both.reshape(len(cells), n, *cells.shape[1:])
        return np.where(free[:, None], (uniform >= law[:, None, ..., 0]).astype(np.int64), known[:, None])

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        known, free, law = self._resolve(cells, hidden, evidence)
        with np.errstate(divide="ignore"):  # what the evidence forbids has -inf bits
            bits = np.where(free, np.log2(_likelihood(law, cells)), 0.0)
        agrees = (self.prior.log_prob_bits(cells) > -np.inf) & ((cells == known) | free).all(axis=(1, 2))
        return np.where(agrees, (bits * self._share_of_pair()).sum(axis=(1, 2)), -np.inf)

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals:
        """What `WindowLimited` asks, for all cells at once: a partner counts if near. Refuses all contradictions."""
        known, free, law = self._resolve(cells, hidden, None)
        apart = np.abs(np.indices(hidden.shape[1:]) * 2 - np.array(hidden.shape[1:])[:, None, None] + 1).max(axis=0)
        unknown = free | (hidden & (apart > radius))
        return np.where(unknown[..., None], law, _one_hot(known, self.n_symbols))

    def _share_of_pair(self) -> Float[np.ndarray, "height width"]:
        """1/2 for each of two partners, and 1 for a cell in the centre, which is its own."""
        height, width = self.prior.height, self.prior.width
        share = np.full((height, width), 0.5)
        if height * width % 2:
            share[height // 2, width // 2] = 1.0
        return share

    def _resolve(
        self, cells: Cells, hidden: Hidden, evidence: Evidence | None
    ) -> tuple[Cells, Hidden, Float[np.ndarray, "batch height width symbol"]]:
        """Each cell as far as it or its partner is visible, which are free as neither is, and the law of these."""
        _check_query(cells, hidden, self.prior)
        partner, partner_hidden = cells[:, ::-1, ::-1], hidden[:, ::-1, ::-1]
        conflicts = ((cells != partner) & ~hidden & ~partner_hidden).sum(axis=(1, 2)) // 2
        if conflicts.any():
            grid = int(np.flatnonzero(conflicts)[0])
            raise ContradictionError(grid, int(conflicts[grid]))
        known, free = np.where(hidden, partner, cells), hidden & partner_hidden
        return known, free, self._law(known, free, hidden, evidence)

    def _law(self, known: Cells, free: Hidden, hidden: Hidden, evidence: Evidence | None) -> Marginals:
        weights = np.ones((*hidden.shape, self.n_symbols))
        if evidence is not None:
            observed = checked_evidence(evidence, hidden, self.n_symbols)
            alone = self._share_of_pair()[..., None] == 1.0
            weights = observed * np.where(alone, 1.0, observed[:, ::-1, ::-1])
            impossible = np.where(free, weights.sum(-1) == 0, _likelihood(observed, known) == 0)
            if impossible.any():
                raise ContradictionError(int(np.argwhere(impossible)[0, 0]), 0)
        return weights / np.maximum(weights.sum(-1, keepdims=True), np.finfo(float).tiny)


class TransferMatrix:
    """The posterior of the Ising prior, by the forward and backward messages of its chain of lines."""

    def __init__(self, prior: Ising):
        self.prior, self.n_symbols = prior, prior.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        white = np.empty(cells.shape)
        for part, observed in self._observed(cells, hidden, evidence):
            weights = self.prior.forward(observed)[0] * self.prior.backward(observed)
            white[part] = self.prior.turned(weights / weights.sum(axis=2, keepdims=True) @ self.prior.states)
        white = np.where(hidden, white.clip(0, 1), cells)
        return np.stack([1 - white, white], axis=-1)

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        result = np.empty((len(cells), n, *cells.shape[1:]), dtype=np.int64)
        for part, observed in self._observed(cells, hidden, evidence):
            for grid, laws in enumerate(self.prior.forward(observed)[0], start=part.start):
                result[grid] = self.prior.turned(self.prior.draw_backward(laws, n, generator))
        return result

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        log_weights = np.empty(len(cells))
        for part, observed in self._observed(cells, hidden, evidence):
            log_weights[part] = self.prior.forward(observed)[1]
        given = (log_weights - self.prior.log_partition) / np.log(2)
        return self.prior.log_prob_bits(cells) + _observed_bits(cells, hidden, evidence) - given

    def _observed(
        self, cells: np.ndarray, hidden: np.ndarray, evidence: np.ndarray | None
    ) -> Iterator[tuple[slice, Float[np.ndarray, "batch line state"]]]:
        """The probability under each state of what is known of each line, one chunk of the batch after the other."""
        _check_query(cells, hidden, self.prior)
        of_symbol = np.where(hidden[..., None], 1.0, _one_hot(cells, self.n_symbols))
        if evidence is not None:
            of_symbol = of_symbol * checked_evidence(evidence, hidden, self.n_symbols)
        black, white = (self.prior.turned(of_symbol[..., symbol]) for symbol in (0, 1))
        states = self.prior.states
        for part in _chunks(len(cells), NUMBERS_AT_ONCE // (8 * white[0].shape[0] * len(states))):
            observed = np.ones((part.stop - part.start, white.shape[1], len(states)))
            for place in range(states.shape[1]):
                observed *= np.where(states[:, place], white[part, :, place, None], black[part, :, place, None])
            yield part, observed


@runtime_checkable
class _Windowed(Protocol):
    """An exact posterior that knows a faster way than a query for each window."""

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals: ...


class WindowLimited:
    """What can be known about a cell from within `radius` of it: the bound that no predictor with a receptive field of
    2 · radius + 1 cells on a side can beat.

    The law of a hidden cell is that of an exact predictor to which every cell outside the square window around it is
    hidden. The window's own place on the grid is known, as it is to a network that sees the border.
    """

    def __init__(self, predictor: Predictor, radius: int):
        if radius < 0:
            raise InputError(f"the radius of a window is 0 or more, not {radius}")
        self.predictor, self.radius, self.n_symbols = predictor, radius, predictor.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """As the predictor's; ContradictionError where one window is enough to see it, of the mirror wherever it is."""
        if isinstance(self.predictor, _Windowed):
            return self.predictor.in_windows(cells, hidden, self.radius)
        result = _one_hot(cells, self.n_symbols)
        for grid in range(len(cells)):
            places = np.argwhere(hidden[grid])
            for part in _chunks(len(places), NUMBERS_AT_ONCE // (8 * cells[0].size * self.n_symbols)):
                row, column = places[part].T
                result[grid, row, column] = self._laws(cells[grid], hidden[grid], row, column, grid)
        return result

    def _laws(
        self, cells: np.ndarray, hidden: np.ndarray, row: np.ndarray, column: np.ndarray, grid: int
    ) -> Float[np.ndarray, "place symbol"]:
        """The law of each cell at (row, column) of one grid, from one query for each."""
        far_rows = np.abs(np.arange(cells.shape[0]) - row[:, None]) > self.radius
        far_columns = np.abs(np.arange(cells.shape[1]) - column[:, None]) > self.radius
        unseen = hidden | far_rows[:, :, None] | far_columns[:, None, :]
        try:
            laws = self.predictor.marginals(np.broadcast_to(cells, unseen.shape), unseen)
        except ContradictionError as error:
            raise ContradictionError(grid, error.cells) from None
        return laws[np.arange(len(row)), row, column]


def _chunks(length: int, size: int) -> Iterator[slice]:
    size = max(size, 1)
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _one_hot(cells: np.ndarray, n_symbols: int) -> Float[np.ndarray, "*grids height width symbol"]:
    return (cells[..., None] == np.arange(n_symbols)).astype(np.float64)


def _check_query(cells: np.ndarray, hidden: np.ndarray, prior: Prior) -> None:
    if not cells.shape == hidden.shape == (len(cells), prior.height, prior.width):
        raise InputError(
            f"cells {cells.shape} and hidden {hidden.shape} must both be (batch, {prior.height}, {prior.width}) here"
        )
    tokens_of(cells, hidden, prior.n_symbols)  # refuses visible cells that are no symbols
