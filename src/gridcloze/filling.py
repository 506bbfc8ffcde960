"""From marginals to whole grids: in which order the hidden cells are revealed, and how many in a pass."""

import contextlib
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int

from .predictor import Predictor, entropy_bits
from .priors.posterior import ContradictionError
from .puzzles import checked_evidence
from .shapes import Cells, Evidence, Hidden, Marginals
from .words import InputError

FILLS_AT_ONCE = 256  # fills in flight at once
BARELY_BITS = 0.1  # a cell barely depends on others if their values change no log-probability of its by more
CANDIDATES = 8  # draws among which the most likely fill is sought
PARTICLES = 32  # for each draw under evidence
PARTICLES_OF_MARGINALS = 512
Law = Float[np.ndarray, "row cell symbol"]
Which = Bool[np.ndarray, "row cell"]
Entropy = Float[np.ndarray, "row cell"]  # in bits; infinite where a cell is not to be revealed
Stream = tuple[int, ...]  # what a stream of random numbers is seeded with
# The symbols of revealed cells, from the law of each, a uniform number of each, and what the cells held at the start.
Pick = Callable[
    [Float[np.ndarray, "revealed symbol"], Float[np.ndarray, "revealed"], Int[np.ndarray, "revealed"]],
    Int[np.ndarray, "revealed"],
]


@dataclass(frozen=True)
class Fills:
    """Filled grids, the log-probability of what was filled in, and the passes through the predictor each took."""

    cells: Int[np.ndarray, "batch sample height width"]
    log_prob_bits: Float[np.ndarray, "batch sample"]
    passes: Int[np.ndarray, "batch sample"]


@dataclass(frozen=True)
class LogProb:
    """The log-probability of grids in bits: mean over orders, its standard error, and how far two orders disagree.

    `order_gap` is the mean absolute difference of two orders, in bits per hidden cell: 0 for an exact predictor.
    Standard error and gap are NaN for a single order.
    """

    bits: Float[np.ndarray, "batch"]
    standard_error: Float[np.ndarray, "batch"]
    order_gap: Float[np.ndarray, "batch"]


@cache
def _spread(height: int, width: int) -> Int[np.ndarray, "cell"]:
    """The place of each cell in a Halton sequence, which spreads evenly (Besnier et al. 2025, arXiv:2503.17076)."""
    n = 16 * height * width
    cell = _halton(n, 2, height) * width + _halton(n, 3, width)
    place = n + np.arange(height * width)
    np.minimum.at(place, cell, np.arange(n))
    return place


def _halton(n: int, base: int, cells: int) -> Int[np.ndarray, "n"]:
    """In which of so many cells the first n numbers of 0 … 1 fall whose digits, read backwards, count from 0."""
    left, backwards, parts = np.arange(n), np.zeros(n, dtype=np.int64), 1
    while left.any():
        backwards, left, parts = backwards * base + left % base, left // base, parts * base
    return backwards * cells // parts


Order = Callable[
    [Float[np.ndarray, "cell symbol"], Float[np.ndarray, "cell"], Int[np.ndarray, "cell"], tuple[int, int]],
    Float[np.ndarray, "cell"],
]
# A number for each of some cells, from their laws, random keys, places in the grid and its size: the least comes first.
# In "weighted" order every cell is first with a probability in proportion to its entropy: as random as "random", less
# often in vain.
ORDERS: dict[str, Order] = {
    "random": lambda law, keys, place, size: keys,
    "weighted": lambda law, keys, place, size: -np.log(keys) / np.maximum(entropy_bits(law), 1e-12),
    "uncertain": lambda law, keys, place, size: -entropy_bits(law),
    "certain": lambda law, keys, place, size: -law.max(-1),
    "margin": lambda law, keys, place, size: -np.ptp(np.sort(law, axis=-1)[..., -2:], axis=-1),
    "spread": lambda law, keys, place, size: _spread(*size)[place],
}


@dataclass(frozen=True)
class Decoder:
    """An order, and a rule for how many cells a pass reveals.

    A pass reveals the cells of least entropy, as many as have together at most `budget_bits`, and of the others the
    first in `order`. What is lost by revealing cells together is at most the sum of their entropies without the
    largest (Ben-Hamu et al. 2025, arXiv:2505.24857), so at most `budget_bits` a pass. Without a budget it is one cell.

    `several` reveals up to so many uncertain cells, those that barely depend on each other: log2(several) further
    passes show whose law changes when others have a value. `side_per_symbol` is for orders that bring cells far from
    each other, as "spread" does, in large grids: of a square of as many cells as were to be filled each so many of its
    side pay for a cell of which nothing is known, and the first in order are revealed that have together at most the
    entropy of those. Raises InputError for an unknown order and bad numbers.
    """

    order: str = "weighted"
    budget_bits: float | None = 0.05
    several: int = 1
    side_per_symbol: int = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise InputError(f"there is no order {self.order!r}; the orders are {', '.join(ORDERS)}")
        if self.several < 1 or not (self.budget_bits is None or self.budget_bits >= 0):
            raise InputError("budget_bits must be 0 or more, and several 1 or more")

    def free(self, entropy: Entropy) -> Which:
        """The cells that the budget pays for."""
        if self.budget_bits is None:
            return np.zeros(entropy.shape, dtype=bool)
        return _first_within(entropy, entropy, np.full(len(entropy), self.budget_bits))


ONE_AT_A_TIME = Decoder("random", None)
DECODER = Decoder()  # docs/decoders.md


def sample(
    predictor: Predictor,
    cells: Cells,
    hidden: Hidden,
    n: int = 1,
    seed: int = 0,
    decoder: Decoder = DECODER,
    evidence: Evidence | None = None,
    batch_size: int = FILLS_AT_ONCE,
) -> Fills:
    """`n` draws of every grid from the joint law of its hidden cells, as exactly as the predictor's conditionals are.

    Any order gives that law (Uria et al. 2014, arXiv:1310.1757), but for what the decoder's budget allows. There is a
    stream of random numbers per (seed, grid, sample), so a draw is the same whatever is drawn beside it.

    `evidence` (batch, height, width, symbol) is what was observed of hidden cells: bools that say which symbols are
    allowed, or probabilities of the observation under each symbol. Its cells are drawn first, by sequential Monte
    Carlo with `PARTICLES` particles a draw. Raises InputError for evidence that is none.
    """
    rows = _Rows(
        predictor, np.repeat(cells, n, axis=0), np.repeat(hidden, n, axis=0), streams_of(cells, hidden, n, seed)
    )
    if evidence is not None:
        evidence = checked_evidence(evidence, hidden, predictor.n_symbols)
        rows.decide_by_evidence(np.repeat(evidence, n, axis=0), decoder)
    rows.run(decoder, drawn, batch_size)
    return rows.fills((len(cells), n))


def most_likely(
    predictor: Predictor,
    cells: Cells,
    hidden: Hidden,
    n: int = CANDIDATES,
    seed: int = 0,
    decoder: Decoder = DECODER,
    evidence: Evidence | None = None,
    draws: Fills | None = None,
) -> Fills:
    """The fill of every grid with the highest log-probability among two greedy ones and `n` draws.

    Greedy takes the most likely symbol of each cell, in the decoder's order, and where its lead is largest first. In
    that order all are held against each other too, since a model errs least there (LOG.md), or in the decoder's if that
    is for large grids; its log-probability is returned. `draws` are fills of the same grids to choose among, instead of
    new ones. `passes` is of all together.
    """
    by_margin = replace(decoder, order="margin")
    greedy = [_greedy(predictor, cells, hidden, one, seed, evidence) for one in dict.fromkeys((by_margin, decoder))]
    draws = draws or sample(predictor, cells, hidden, n, seed, decoder, evidence)
    candidates = [*greedy, draws]
    every = np.concatenate([fills.cells for fills in candidates], axis=1)
    scored = _in_one_order(predictor, every, hidden, decoder if decoder.side_per_symbol else by_margin, seed)
    bits = scored.log_prob_bits
    if evidence is not None:
        bits = bits + _observed_bits(checked_evidence(evidence, hidden, predictor.n_symbols), every)
    best = np.expand_dims(bits.argmax(axis=1), (1, 2, 3))
    passes = np.concatenate([fills.passes for fills in [*candidates, scored]], axis=1).sum(axis=1, keepdims=True)
    return Fills(np.take_along_axis(every, best, axis=1), np.take_along_axis(bits, best[..., 0, 0], axis=1), passes)


def marginals(
    predictor: Predictor, cells: Cells, hidden: Hidden, evidence: Evidence | None = None, seed: int = 0
) -> Marginals:
    """The law of each hidden cell given visible cells and evidence; see `sample` for what evidence is.

    Without evidence they are the predictor's. With it, they are those of the predictor averaged over
    `PARTICLES_OF_MARGINALS` weighted draws of the cells that have evidence.
    """
    if evidence is None:
        return predictor.marginals(cells, hidden)
    evidence = checked_evidence(evidence, hidden, predictor.n_symbols)
    result = predictor.marginals(cells, hidden)
    for grid, stream in enumerate(streams_of(cells, hidden, 1, seed)):
        particles = _Particles(predictor, cells[grid], hidden[grid], evidence[grid], stream, PARTICLES_OF_MARGINALS)
        particles.run(DECODER)
        laws = particles.rows.laws(np.arange(PARTICLES_OF_MARGINALS)).reshape(-1, *result.shape[1:])
        result[grid] = np.tensordot(particles.shares(), laws, axes=1)
    return result


def decide(
    predictor: Predictor,
    cells: Cells,
    hidden: Hidden,
    wanted: Hidden,
    streams: Sequence[Stream],
    decoder: Decoder,
    pick: Pick,
) -> Fills:
    """Reveal those hidden cells that are wanted, one fill of each grid; the others stay hidden."""
    rows = _Rows(predictor, cells, hidden, streams, wanted)
    rows.run(decoder, pick, FILLS_AT_ONCE)
    return rows.fills((len(cells), 1))


def log_prob_bits(predictor: Predictor, cells: Cells, hidden: Hidden, orders: int = 4, seed: int = 0) -> LogProb:
    """log2 P(hidden cells are as in `cells` | visible ones), from so many random orders of one cell a pass.

    With everything hidden it is the log-probability of the whole grid. Every order would give the same, were the
    predictor's conditionals those of one joint law. Raises InputError if there is no order.
    """
    if orders < 1:
        raise InputError("a log-probability needs 1 order or more")
    every, every_hidden = np.repeat(cells, orders, axis=0), np.repeat(hidden, orders, axis=0)
    rows = _Rows(predictor, every, every_hidden, streams_of(cells, hidden, orders, seed))
    rows.run(ONE_AT_A_TIME, _as_given, FILLS_AT_ONCE)
    bits = rows.log_prob_bits.reshape(len(cells), orders)
    if orders == 1:
        nothing = np.full(len(cells), np.nan)
        return LogProb(bits[:, 0], nothing, nothing)
    one, other = np.triu_indices(orders, 1)
    gap = np.abs(bits[:, one] - bits[:, other]).mean(axis=1) / np.maximum(hidden.sum(axis=(1, 2)), 1)
    return LogProb(bits.mean(axis=1), bits.std(axis=1, ddof=1) / orders**0.5, gap)


def _greedy(
    predictor: Predictor, cells: Cells, hidden: Hidden, decoder: Decoder, seed: int, evidence: Evidence | None
) -> Fills:
    rows = _Rows(predictor, cells, hidden, streams_of(cells, hidden, 1, seed))
    if evidence is not None:
        rows.evidence = checked_evidence(evidence, hidden, predictor.n_symbols).reshape(*rows.cells.shape, -1)
    rows.run(decoder, likeliest, FILLS_AT_ONCE)
    return rows.fills((len(cells), 1))


def _in_one_order(predictor: Predictor, fills: np.ndarray, hidden: Hidden, decoder: Decoder, seed: int) -> Fills:
    """The log-probability of fills (batch, sample, height, width) of the same grids, each in the same order."""
    n = fills.shape[1]
    streams = [stream for stream in streams_of(fills[:, 0], hidden, 1, seed) for _ in range(n)]
    rows = _Rows(predictor, fills.reshape(-1, *fills.shape[2:]), np.repeat(hidden, n, axis=0), streams)
    rows.run(decoder, _as_given, FILLS_AT_ONCE)
    return rows.fills(fills.shape[:2])


def _observed_bits(evidence: Marginals, fills: np.ndarray) -> Float[np.ndarray, "batch sample"]:
    likelihood = np.take_along_axis(evidence[:, None], fills[..., None], axis=-1)[..., 0]
    with np.errstate(divide="ignore"):
        return np.log2(likelihood).sum(axis=(2, 3))


def drawn(law: np.ndarray, uniform: np.ndarray, given: np.ndarray) -> np.ndarray:
    cumulative = law.cumsum(axis=-1)
    return (uniform[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=-1)


def likeliest(law: np.ndarray, uniform: np.ndarray, given: np.ndarray) -> np.ndarray:
    return law.argmax(axis=-1)


def _as_given(law: np.ndarray, uniform: np.ndarray, given: np.ndarray) -> np.ndarray:
    return given


def streams_of(cells: Cells, hidden: Hidden, n: int, seed: int) -> list[Stream]:
    """Of `n` draws of each grid; the same for a grid alone, in a folder or in a stack, another for a grid's double."""
    streams: list[Stream] = []
    seen: Counter[bytes] = Counter()
    for grid in np.where(hidden, -1, cells).astype(np.int16):
        digest = hashlib.blake2b(grid.tobytes(), digest_size=16).digest()
        name = (seed, *np.frombuffer(digest, np.uint32).tolist(), seen[digest])
        streams += [(*name, draw) for draw in range(n)]
        seen[digest] += 1
    return streams


class _Rows:
    """Fills on their way from puzzle to whole grid, one to a row, with its cells in one line.

    Where not all hidden cells are `wanted`, the others stay hidden.
    """

    def __init__(
        self,
        predictor: Predictor,
        cells: Cells,
        hidden: Hidden,
        streams: Sequence[Stream],
        wanted: Hidden | None = None,
    ):
        self.predictor, self.size, self.streams = predictor, cells.shape[1:], streams
        self.cells = cells.reshape(len(cells), self.size[0] * self.size[1]).astype(np.int64)
        self.given, self.hidden = self.cells.copy(), hidden.reshape(self.cells.shape).copy()
        self.wanted = self.hidden.copy() if wanted is None else (wanted & hidden).reshape(self.cells.shape)
        self.evidence: Law | None = None
        self.generators: dict[int, np.random.Generator] = {}
        self.keys = np.empty(self.cells.shape)
        self.log_prob_bits, self.passes = np.zeros(len(cells)), np.zeros(len(cells), dtype=np.int64)

    def fills(self, shape: tuple[int, int]) -> Fills:
        return Fills(
            self.cells.reshape(*shape, *self.size), self.log_prob_bits.reshape(shape), self.passes.reshape(shape)
        )

    def run(self, decoder: Decoder, pick: Pick, batch_size: int) -> None:
        """Carry all rows to their end, in two batches: while the predictor reads one, the other is drawn from."""
        waiting = deque(np.flatnonzero((self.hidden & self.wanted).any(axis=1)).tolist())
        half = -(-batch_size // 2)
        if len(waiting) <= half:
            return self._run_batch(waiting, decoder, pick, half)
        with ThreadPoolExecutor(2) as threads:
            try:
                both = [threads.submit(self._run_batch, waiting, decoder, pick, half) for _ in range(2)]
                for one in both:
                    one.result()
            finally:
                waiting.clear()  # after an error or Ctrl-C the other batch ends soon
        return None

    def _run_batch(self, waiting: deque[int], decoder: Decoder, pick: Pick, batch_size: int) -> None:
        """Carry rows to their end; one that is finished leaves the batch, and the next that waits takes its place."""
        batch: list[int] = []
        while waiting or batch:
            with contextlib.suppress(IndexError):  # the other batch took the last
                while len(batch) < batch_size:
                    batch.append(waiting.popleft())
            if not batch:
                return
            index = np.array(batch)
            self.one_pass(index, self.hidden[index] & self.wanted[index], decoder, pick)
            batch = [row for row in batch if (self.hidden[row] & self.wanted[row]).any()]

    def one_pass(self, index: np.ndarray, wanted: Which, decoder: Decoder, pick: Pick) -> Float[np.ndarray, "row"]:
        """Reveal some of the wanted cells of the rows of `index`.

        Returns the log (base 2) of the probability that the model gave to the evidence at these cells.
        """
        law = said = self.laws(index)
        if self.evidence is not None:
            law = said * self.evidence[index]
            law = np.where(law.any(axis=-1, keepdims=True), law, self.evidence[index])  # allowed, if thought impossible
            law /= law.sum(axis=-1, keepdims=True)
        uniform = self._uniform(index)
        reveal = self._choose(index, law, wanted, uniform, decoder, pick)
        row, cell = np.nonzero(reveal)
        symbols = pick(law[row, cell], uniform[row, cell], self.given[index][row, cell])
        self.cells[index[row], cell], self.hidden[index[row], cell] = symbols, False
        self.passes[index] += 1
        with np.errstate(divide="ignore"):
            self.log_prob_bits[index] += _sum_by_row(np.log2(said[row, cell, symbols]), row, len(index))
            if self.evidence is None:
                return np.zeros(len(index))
            weights = (said[row, cell] * self.evidence[index[row], cell]).sum(axis=-1)
            return _sum_by_row(np.log2(weights), row, len(index))

    def laws(self, index: np.ndarray, cells: np.ndarray | None = None, hidden: np.ndarray | None = None) -> Law:
        """What the predictor says of rows, or of changed copies of them; equal ones are asked about once."""
        cells, hidden = (self.cells[index], self.hidden[index]) if cells is None or hidden is None else (cells, hidden)
        tokens = np.where(hidden, -1, cells)
        numbers: dict[bytes, int] = {}
        place = [numbers.setdefault(row.tobytes(), len(numbers)) for row in tokens]
        first = np.unique(place, return_index=True)[1]
        laws = self.predictor.marginals(cells[first].reshape(-1, *self.size), hidden[first].reshape(-1, *self.size))
        return laws.reshape(len(first), tokens.shape[1], -1)[place]

    def _uniform(self, index: np.ndarray) -> Float[np.ndarray, "row cell"]:
        for row in index.tolist():
            if row not in self.generators:
                self.generators[row] = np.random.default_rng(self.streams[row])
                self.keys[row] = self.generators[row].random(self.keys.shape[1])
        return np.stack([self.generators[row].random(self.keys.shape[1]) for row in index.tolist()])

    def _choose(
        self, index: np.ndarray, law: Law, wanted: Which, uniform: np.ndarray, decoder: Decoder, pick: Pick
    ) -> Which:
        entropy = np.full(wanted.shape, np.inf)
        entropy[wanted] = entropy_bits(law[wanted])
        reveal = decoder.free(entropy)
        rest, rank = wanted & ~reveal, np.full(wanted.shape, np.inf)
        rank[rest] = ORDERS[decoder.order](law[rest], self.keys[index][rest], np.nonzero(rest)[1], self.size)
        if decoder.several > 1:
            return reveal | self._barely_dependent(index, law, rest, rank, uniform, decoder.several, pick)
        first = rank.argmin(axis=1)
        reveal[np.arange(len(index)), first] |= rest.any(axis=1)
        if decoder.side_per_symbol:
            bits = np.sqrt(self.wanted[index].sum(axis=1)) / decoder.side_per_symbol * np.log2(law.shape[2])
            reveal |= _first_within(rank, np.where(rest, entropy, np.inf), bits)
        return reveal

    def _barely_dependent(
        self, index: np.ndarray, law: Law, rest: Which, rank: np.ndarray, uniform: np.ndarray, several: int, pick: Pick
    ) -> Which:
        """Of the first `several` cells those whose law hardly changes when others of them have the values to come.

        For each bit of the place in the order, one pass reveals the candidates in whose place it is 0 and looks at
        the others: any two candidates differ in some bit, so the later of them is seen under the value of the earlier.
        """
        candidates = np.argsort(rank, axis=1, kind="stable")[:, :several]
        row = np.arange(len(index))[:, None]
        before = law[row, candidates]
        given = self.given[index][row, candidates]
        values = pick(before.reshape(-1, law.shape[2]), uniform[row, candidates].ravel(), given.ravel())
        values = values.reshape(candidates.shape)
        keep = rest[row, candidates]
        for bit in range((candidates.shape[1] - 1).bit_length()):
            shown = (np.arange(candidates.shape[1]) >> bit & 1 == 0) & rest[row, candidates]
            cells, hidden = self.cells[index].copy(), self.hidden[index].copy()
            cells[row, candidates] = np.where(shown, values, cells[row, candidates])
            hidden[row, candidates] &= ~shown
            after = self._laws_where_possible(index, cells, hidden)[row, candidates]
            keep &= shown | (_largest_change_bits(after, before) <= BARELY_BITS)
            self.passes[index] += 1
        chosen = np.zeros_like(rest)
        chosen[row, candidates] = keep
        return chosen

    def _laws_where_possible(self, index: np.ndarray, cells: np.ndarray, hidden: np.ndarray) -> Law:
        """As `laws`, but NaN where an exact predictor finds that no grid has these cells."""
        try:
            return self.laws(index, cells, hidden)
        except ContradictionError:
            if len(index) == 1:
                return np.full((*cells.shape, self.predictor.n_symbols), np.nan)
        ones = [index[[place]] for place in range(len(index))]
        return np.concatenate(
            [self._laws_where_possible(one, cells[[place]], hidden[[place]]) for place, one in enumerate(ones)]
        )

    def decide_by_evidence(self, evidence: Marginals, decoder: Decoder) -> None:
        """Reveal the cells that have evidence, each row by one of its particles."""
        for number, (row_cells, row_hidden) in enumerate(zip(self.cells, self.hidden, strict=True)):
            cells, hidden = row_cells.reshape(self.size), row_hidden.reshape(self.size)
            particles = _Particles(self.predictor, cells, hidden, evidence[number], self.streams[number], PARTICLES)
            particles.run(decoder)
            self.log_prob_bits[number], chosen = particles.draw()
            for array in ("cells", "hidden", "passes"):
                getattr(self, array)[number] = getattr(particles.rows, array)[chosen]


class _Particles:
    """Weighted draws of those cells of one grid that have evidence (sequential Monte Carlo: Doucet et al. 2001).

    Each pass draws cells from the predictor's law times the evidence, which is not the joint law given all the
    evidence; what is missing goes into the weights, and where few weights are left to count, particles are drawn anew.
    """

    def __init__(
        self,
        predictor: Predictor,
        cells: Int[np.ndarray, "height width"],
        hidden: Bool[np.ndarray, "height width"],
        evidence: Float[np.ndarray, "height width symbol"],
        stream: Stream,
        count: int,
    ):
        self.generator = np.random.default_rng((*stream, count))
        every, every_hidden = np.repeat(cells[None], count, axis=0), np.repeat(hidden[None], count, axis=0)
        self.rows = _Rows(predictor, every, every_hidden, [(*stream, count, number) for number in range(count)])
        self.evidence = evidence.reshape(hidden.size, -1)
        self.rows.evidence = np.broadcast_to(self.evidence, (count, *self.evidence.shape))
        self.observed = (hidden & (evidence < 1).any(axis=-1)).ravel()
        self.log_weights = np.zeros(count)

    def run(self, decoder: Decoder) -> None:
        """Until every cell that has evidence is revealed."""
        rows = self.rows
        while (wanted := rows.hidden & self.observed).any():
            index = np.flatnonzero(wanted.any(axis=1))
            self.log_weights[index] += rows.one_pass(index, wanted[index], decoder, drawn)
            if 1 / (self.shares() ** 2).sum() < len(wanted) / 2:
                self._resample()

    def shares(self) -> Float[np.ndarray, "particle"]:
        """The weights, with a sum of 1; equal ones if the predictor thinks the evidence impossible."""
        largest = self.log_weights.max()
        if largest == -np.inf:
            return np.full(len(self.log_weights), 1 / len(self.log_weights))
        weights = 2.0 ** (self.log_weights - largest)
        return weights / weights.sum()

    def draw(self) -> tuple[float, int]:
        """One particle by weight, and the log-probability of its cells given the evidence, in bits."""
        chosen = int(self.generator.choice(len(self.log_weights), p=self.shares()))
        rows = self.rows
        likelihood = self.evidence[self.observed, rows.cells[chosen, self.observed]]
        return float(rows.log_prob_bits[chosen] + np.log2(likelihood).sum() - self._log_mean_weight()), chosen

    def _log_mean_weight(self) -> float:
        return float(np.logaddexp2.reduce(self.log_weights) - np.log2(len(self.log_weights)))

    def _resample(self) -> None:
        rows, count = self.rows, len(self.log_weights)
        places = (np.arange(count) + self.generator.random()) / count  # systematic: as many copies as is its share
        chosen = np.minimum(np.searchsorted(self.shares().cumsum(), places), count - 1)
        for array in (rows.cells, rows.hidden, rows.log_prob_bits, rows.passes):
            array[:] = array[chosen]
        self.log_weights[:] = self._log_mean_weight()


def _first_within(rank: np.ndarray, entropy: Entropy, bits: Float[np.ndarray, "row"]) -> Which:
    """The cells of least rank that have together at most so many bits of entropy."""
    order = rank.argsort(axis=1, kind="stable")
    within = np.take_along_axis(entropy, order, axis=1).cumsum(axis=1) <= bits[:, None]
    chosen = np.zeros(entropy.shape, dtype=bool)
    np.put_along_axis(chosen, order, within, axis=1)
    return chosen


def _sum_by_row(values: np.ndarray, row: np.ndarray, rows: int) -> Float[np.ndarray, "row"]:
    return np.bincount(row, values, rows)


def _largest_change_bits(law: np.ndarray, before: np.ndarray) -> np.ndarray:
    """How much the log-probability of any symbol changes at most, over the last axis; NaN if nothing is known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(np.log2(law) - np.log2(before))
    return np.where((law == 0) & (before == 0), 0.0, change).max(axis=-1)
