"""Which hidden cells are revealed next, how many in a forward pass, and what they get: the loop inside one window."""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from .files import html
from .files.palettes import Palette
from .predictor import Predictor, Size, entropy_bits, given_evidence
from .puzzles import Stream
from .shapes import Cells, Hidden, Marginals
from .side import of_rows, side_number
from .words import InputError

FILLS_AT_ONCE = 256  # in flight
NUMBERS = ("log_prob_bits", "passes", "excess_bits", "variance")  # of each fill, in the order of `Fills`
SHOWN_PUZZLES, SHOWN_SAMPLES = 4, 6  # in a notebook
LATTICE = 3  # cells between those that are drawn again together: then none is a neighbour of another (LOG.md)
MOST_ROUNDS = 1000
TYPICAL = 3  # standard deviations
TYPICAL_BITS = 10  # a factor of a thousand

Distributions = Float[np.ndarray, "row cell symbol"]
Which = Bool[np.ndarray, "row cell"]
Entropy = Float[np.ndarray, "row cell"]  # in bits; infinite where a cell is not to be revealed

# The symbols of revealed cells, from the distribution of each, a uniform random number each, and what they held first.
Pick = Callable[
    [Float[np.ndarray, "revealed symbol"], Float[np.ndarray, "revealed"], Int[np.ndarray, "revealed"]],
    Int[np.ndarray, "revealed"],
]


@dataclass(frozen=True)
class Fills:
    """Filled grids.

    Parameters
    ----------
    cells
        Symbols, also where cells were hidden.
    log_prob_bits
        The log-probability (base 2) of what was filled in, given the visible cells; NaN for refined samples, as are
        the other numbers in bits.
    passes
        Forward passes through the predictor that each fill took part in.
    excess_bits
        How far `log_prob_bits` is above what is expected of samples: each cell that was filled in adds the entropy of
        its distribution to its own log-probability.
    variance
        Of `excess_bits` in samples, in bits squared.

    Examples
    --------
    >>> Fills(np.zeros((1, 2, 3, 3), int), *np.zeros((4, 1, 2))).first(1).cells.shape
    (1, 1, 3, 3)
    """

    cells: Int[np.ndarray, "batch sample height width"]
    log_prob_bits: Float[np.ndarray, "batch sample"]
    passes: Num[np.ndarray, "batch sample"]
    excess_bits: Float[np.ndarray, "batch sample"]
    variance: Float[np.ndarray, "batch sample"]

    @classmethod
    def of_shape(cls, shape: tuple[int, int], cells: Cells, made: Any) -> "Fills":
        """Give fills that were made in one row after the other two axes.

        Parameters
        ----------
        shape
            Puzzles, and samples of each.
        cells
            The filled grids.
        made
            What made them, which has the other numbers as attributes of these names.

        Returns
        -------
        Fills
            With these first axes.
        """
        numbers = (getattr(made, name).reshape(shape) for name in NUMBERS)
        return cls(cells.reshape(*shape, *cells.shape[1:]), *numbers)

    @property
    def is_typical(self) -> Bool[np.ndarray, "batch sample"]:
        """Whether each fill is about as probable as samples are: up to 3 standard deviations or 10 bits above them.

        In samples `excess_bits` is a martingale, cell after cell, with mean 0 and this variance, so that few of them
        are further away (Cover and Thomas 2006, chapter 3, on typical sets).
        """
        return self.excess_bits <= np.maximum(TYPICAL * np.sqrt(self.variance), TYPICAL_BITS)

    def _repr_html_(self) -> str:
        """The first samples of the first puzzles as pictures, for notebooks."""
        n_puzzles, n_samples = self.cells.shape[:2]
        if not self.cells.size:
            return f"<p>{n_samples} fills of {n_puzzles} puzzles</p>"
        palette = Palette.default(min(256, max(2, int(self.cells.max()) + 1)))
        lines = zip(self.cells[:SHOWN_PUZZLES], self.log_prob_bits, strict=False)
        each = [
            [html.picture(one, palette, _caption(bits)) for one, bits in zip(cells, of, strict=True)]
            for cells, of in ((cells[:SHOWN_SAMPLES], of[:SHOWN_SAMPLES]) for cells, of in lines)
        ]
        shown = "".join(f"<div>{''.join(pictures)}</div>" for pictures in each)
        fills, puzzles = (
            f"{most} of {n}" if n > most else f"{n}"
            for n, most in ((n_samples, SHOWN_SAMPLES), (n_puzzles, SHOWN_PUZZLES))
        )
        return f"{shown}{html.legend(palette)}<p>{fills} fills of {puzzles} puzzle{'s' * (n_puzzles != 1)}</p>"

    def first(self, n: int) -> "Fills":
        """Keep the first samples of every puzzle.

        Parameters
        ----------
        n
            How many.

        Returns
        -------
        Fills
            With `n` samples or, if there are fewer, all.
        """
        return Fills(*(values[:, :n] for values in vars(self).values()))

    def of(self, which: Int[np.ndarray, "batch"]) -> "Fills":
        """Keep one sample of every puzzle.

        Parameters
        ----------
        which
            Its number, for each puzzle.

        Returns
        -------
        Fills
            With one sample.
        """
        every = np.arange(len(which))
        return Fills(*(values[every, which][:, None] for values in vars(self).values()))

    def joined(self, other: "Fills") -> "Fills":
        """Put further samples of the same puzzles behind these.

        Parameters
        ----------
        other
            Fills of as many puzzles.

        Returns
        -------
        Fills
            All of them.
        """
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Fills(*(np.concatenate(pair, axis=1) for pair in pairs))


def _caption(log_prob_bits: float) -> str:
    return "refined" if np.isnan(log_prob_bits) else f"log2 probability {log_prob_bits:.1f}"


@cache
def halton_places(height: int, width: int) -> Int[np.ndarray, "cell"]:
    """Give each cell its place in a Halton sequence, which spreads evenly (Besnier et al. 2025, arXiv:2503.17076).

    Parameters
    ----------
    height, width
        Of the grid.

    Returns
    -------
    array
        The lower, the sooner.

    Examples
    --------
    >>> halton_places(2, 2).argsort()
    array([0, 2, 1, 3])
    """
    n = 16 * height * width
    cell = _halton(n, 2, height) * width + _halton(n, 3, width)
    place = n + np.arange(height * width)
    np.minimum.at(place, cell, np.arange(n))
    return place


def _halton(n: int, base: int, cells: int) -> Int[np.ndarray, "n"]:
    """The cell, of `cells` along a side, into which each of the first n numbers of a Halton sequence falls."""
    left, backwards, parts = np.arange(n), np.zeros(n, dtype=np.int64), 1
    while left.any():
        backwards, left, parts = backwards * base + left % base, left // base, parts * base
    return backwards * cells // parts


Order = Callable[
    [Float[np.ndarray, "cell symbol"], Float[np.ndarray, "cell"], Int[np.ndarray, "cell"], Size],
    Float[np.ndarray, "cell"],
]

# A rank for each cell, from its distribution, a random key, its place in the grid and the grid's size; the lowest is
# revealed first. In "weighted" order every cell comes first with a probability in proportion to its entropy: as random
# as "random", but rarely spent on a cell that is determined anyway.
ORDERS: dict[str, Order] = {
    "random": lambda marginals, keys, place, size: keys,
    "weighted": lambda marginals, keys, place, size: -np.log(keys) / np.maximum(entropy_bits(marginals), 1e-12),
    "uncertain": lambda marginals, keys, place, size: -entropy_bits(marginals),
    "certain": lambda marginals, keys, place, size: -marginals.max(-1),
    "margin": lambda marginals, keys, place, size: -np.ptp(np.sort(marginals, axis=-1)[..., -2:], axis=-1),
    "spread": lambda marginals, keys, place, size: halton_places(*size)[place],
}


@dataclass(frozen=True)
class Decoder:
    """Decide which cells a forward pass reveals: an order, and how many.

    A pass reveals the cells of least entropy whose entropies add up to at most `budget_bits`, and of the others the
    first in `order`. With `side_per_symbol` it reveals more of these: with n hidden cells, cells in order until their
    entropies add up to √n / side_per_symbol · log2(n_symbols) bits. That is meant for large grids and an order that
    brings cells far from each other, such as "spread".

    Parameters
    ----------
    order
        A name in `ORDERS`.
    budget_bits
        Bits of entropy that a pass reveals beyond the first cell in order; None for one cell a pass.
    side_per_symbol
        0 for one cell in order a pass.
    refine
        Rounds in which finished samples are drawn again. In a round each cell is hidden once more, together with those
        `LATTICE` cells away in either direction, and drawn given all other cells. This is Gibbs sampling (Geman and
        Geman 1984): it keeps the distribution if the marginals are exact, and with those of a model it removes cells
        that do not fit their neighbours. Under evidence, cells that are drawn together know that on themselves only.
        The probability of a refined sample is not known. Fills that are no samples are not refined.

    Raises
    ------
    InputError
        For an unknown order, and for a budget, a side or rounds that are negative or too many.

    Notes
    -----
    What is lost by revealing cells together is at most the sum of their entropies without the largest, so at most
    `budget_bits` a pass (Ben-Hamu et al. 2025, arXiv:2505.24857). docs/decoders.md compares the orders.

    Examples
    --------
    >>> Decoder("margin", 0.1)
    Decoder(order='margin', budget_bits=0.1, side_per_symbol=0, refine=0)
    """

    order: str = "weighted"
    budget_bits: float | None = 0.05
    side_per_symbol: int = 0
    refine: int = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise InputError(f"there is no order {self.order!r}; the orders are {', '.join(ORDERS)}")
        if not (self.budget_bits is None or 0 <= self.budget_bits < float("inf")):
            raise InputError(f"budget_bits must be 0 or more and finite, not {self.budget_bits}")
        if not 0 <= self.side_per_symbol < 2**31:
            raise InputError(f"side_per_symbol must be 0 or more, not {self.side_per_symbol}")
        if not 0 <= self.refine <= MOST_ROUNDS:
            raise InputError(f"refine must be 0 to {MOST_ROUNDS} rounds, not {self.refine}")


ONE_AT_A_TIME = Decoder("random", None)
DEFAULT_DECODER = Decoder()  # docs/decoders.md
WINDOW_DECODER = Decoder("spread", side_per_symbol=4)  # LOG.md


def default_decoder(predictor: Predictor) -> Decoder:
    """Choose the decoder of a predictor: windows of textures have many uncertain cells, far from each other.

    Parameters
    ----------
    predictor
        What fills.

    Returns
    -------
    Decoder
        `WINDOW_DECODER` for a predictor with a window, `DEFAULT_DECODER` for any other.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> default_decoder(posterior(squares())).order
    'weighted'
    """
    return DEFAULT_DECODER if predictor.window is None else WINDOW_DECODER


def refining(predictor: Predictor, rounds: int, decoder: Decoder | None = None) -> Decoder | None:
    """Let a decoder, or the default one of a predictor, refine its samples.

    Parameters
    ----------
    predictor
        What fills.
    rounds
        As `Decoder.refine`.
    decoder
        By default that of `default_decoder`.

    Returns
    -------
    Decoder
        With these rounds; what came as `decoder` if there are none.

    Raises
    ------
    InputError
        As `Decoder`.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> refining(posterior(squares()), rounds=1)
    Decoder(order='weighted', budget_bits=0.05, side_per_symbol=0, refine=1)
    """
    return replace(decoder or default_decoder(predictor), refine=rounds) if rounds else decoder


def pick_sample(marginals: np.ndarray, uniform: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Sample a symbol for each cell from its distribution.

    Parameters
    ----------
    marginals
        The distribution of each cell, (cell, symbol).
    uniform
        A random number of 0 … 1 for each cell.
    before
        What the cells held at first; not used.

    Returns
    -------
    array
        A symbol for each cell.

    Examples
    --------
    >>> pick_sample(np.array([[0.2, 0.8]]), np.array([0.1]), np.array([1]))
    array([0])
    """
    cumulative = marginals.cumsum(axis=-1)
    return (uniform[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=-1)


def pick_most_likely(marginals: np.ndarray, uniform: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Take the most likely symbol of each cell.

    Parameters
    ----------
    marginals, uniform, before
        As in `pick_sample`.

    Returns
    -------
    array
        A symbol for each cell.

    Examples
    --------
    >>> pick_most_likely(np.array([[0.2, 0.8]]), np.array([0.1]), np.array([0]))
    array([1])
    """
    return marginals.argmax(axis=-1)


def pick_before(marginals: np.ndarray, uniform: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Keep what the cells held at first, to ask how probable that is.

    Parameters
    ----------
    marginals, uniform, before
        As in `pick_sample`.

    Returns
    -------
    array
        A symbol for each cell.

    Examples
    --------
    >>> pick_before(np.array([[0.2, 0.8]]), np.array([0.1]), np.array([0]))
    array([0])
    """
    return before


class Rows:
    """Fills on their way from puzzle to whole grid, one to a row, with the cells of a grid in one line.

    Parameters
    ----------
    predictor
        What predicts the hidden cells. If it has a method `revealed`, that is told after each pass the row, place and
        symbol of each revealed cell, and the bits that it adds to the log-probability.
    cells, hidden
        A puzzle for each row.
    streams
        The random stream of each row.
    wanted
        The cells to reveal; other hidden ones stay hidden. By default all that are hidden.
    evidence
        Of each row, as `Puzzles` holds it.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> cells = np.full((1, 4, 4), -1)
    >>> rows = Rows(posterior(squares(4, 4, 2, 3)), cells, cells < 0, [(0,)])
    >>> rows.run(DEFAULT_DECODER, pick_sample)
    >>> int(rows.hidden.sum()), rows.cells.sum() in (4, 9)
    (0, True)
    """

    def __init__(
        self,
        predictor: Predictor,
        cells: Cells,
        hidden: Hidden,
        streams: Sequence[Stream],
        wanted: Hidden | None = None,
        evidence: Marginals | None = None,
    ):
        self.predictor, self.size, self.streams = predictor, cells.shape[1:], streams
        self.cells = cells.reshape(len(cells), self.size[0] * self.size[1]).astype(np.int64)
        self.before, self.hidden = self.cells.copy(), hidden.reshape(self.cells.shape).copy()
        self.wanted = self.hidden.copy() if wanted is None else (wanted & hidden).reshape(self.cells.shape)
        self.evidence: Distributions | None = None
        if evidence is not None:
            self.evidence = evidence.reshape(*self.cells.shape, evidence.shape[-1])
        self.given_evidence = False  # whether log-probabilities are those given the evidence, or of both together
        self.tell_revealed: Callable[..., None] | None = getattr(predictor, "revealed", None)
        self.generators: dict[int, np.random.Generator] = {}
        self.keys = np.empty(self.cells.shape)
        self.passes = np.zeros(len(cells), dtype=np.int64)
        self.log_prob_bits, self.excess_bits, self.variance = np.zeros((3, len(cells)))

    def fills(self, shape: tuple[int, int]) -> Fills:
        """Give the rows as grids.

        Parameters
        ----------
        shape
            Puzzles, and samples of each.

        Returns
        -------
        Fills
            With these first axes.
        """
        return Fills.of_shape(shape, self.cells.reshape(-1, *self.size), self)

    def run(self, decoder: Decoder, pick: Pick) -> None:
        """Reveal all wanted cells, in two batches: while the predictor reads one, the other is decoded.

        Parameters
        ----------
        decoder
            Which cells come first, how many in a pass, and whether samples are refined.
        pick
            What they get: `pick_sample`, `pick_most_likely` or `pick_before`.
        """
        self._in_two(self.hidden & self.wanted, partial(self._run_batch, decoder, pick))
        if decoder.refine and pick is pick_sample:
            self._in_two(self.wanted, partial(self._refine, decoder))

    def _in_two(self, cells: Which, work: Callable[[deque[int], int], None]) -> None:
        """Work on the rows that have any of these cells, in two threads if they are many."""
        waiting = deque(np.flatnonzero(cells.any(axis=1)).tolist())
        half = -(-FILLS_AT_ONCE // 2)
        if len(waiting) <= half:
            return work(waiting, half)
        with ThreadPoolExecutor(2) as threads:
            try:
                both = [threads.submit(work, waiting, half) for _ in range(2)]
                for one in both:
                    one.result()
            finally:
                waiting.clear()  # after an error or Ctrl-C the other batch ends soon
        return None

    def _run_batch(self, decoder: Decoder, pick: Pick, waiting: deque[int], at_once: int) -> None:
        """Carry rows to their end; one that is finished leaves the batch, and the next that waits takes its place."""
        batch: list[int] = []
        while batch := batch + _taken(waiting, at_once - len(batch)):
            index = np.array(batch)
            self.step(index, self.hidden[index] & self.wanted[index], decoder, pick)
            batch = [row for row in batch if (self.hidden[row] & self.wanted[row]).any()]

    def _refine(self, decoder: Decoder, waiting: deque[int], at_once: int) -> None:
        """Draw the cells of finished rows again, those of one sublattice after those of another."""
        row, column = np.divmod(np.arange(self.cells.shape[1]), self.size[1])
        sublattice = row % LATTICE * LATTICE + column % LATTICE
        while batch := _taken(waiting, at_once):
            index = np.array(batch)
            for number in range(decoder.refine * LATTICE**2):
                again = self.wanted[index] & (sublattice == number % LATTICE**2)
                self.hidden[index] |= again
                while (left := self.hidden[index] & again).any():
                    some = left.any(axis=1)
                    self.step(index[some], left[some], decoder, pick_sample)
            for total in (self.log_prob_bits, self.excess_bits, self.variance):
                total[index] = np.nan

    def step(self, index: np.ndarray, wanted: Which, decoder: Decoder, pick: Pick) -> None:
        """Do one forward pass: predict, choose cells, and reveal them.

        Parameters
        ----------
        index
            The rows.
        wanted
            Which of their cells may be revealed.
        decoder, pick
            As in `run`.
        """
        predicted = self.marginals(index)
        marginals = predicted if self.evidence is None else given_evidence(predicted, self.evidence[index])
        uniform = self._uniform(index)
        row, cell = np.nonzero(self._choose(index, marginals, wanted, decoder))
        symbols = pick(marginals[row, cell], uniform[row, cell], self.before[index][row, cell])
        self.cells[index[row], cell], self.hidden[index[row], cell] = symbols, False
        self.passes[index] += 1
        probability, given = predicted[row, cell, symbols], marginals[row, cell]
        if self.given_evidence:
            probability = given[np.arange(len(row)), symbols]
        elif self.evidence is not None:
            probability = probability * self.evidence[index[row], cell, symbols]
        entropy = entropy_bits(given)
        with np.errstate(divide="ignore"):
            logs = np.log2(given)
            lead, bits = logs[np.arange(len(row)), symbols] + entropy, np.log2(probability)
        spread = np.where(given > 0, given * np.where(given > 0, logs, 0) ** 2, 0).sum(axis=-1) - entropy**2
        for total, values in ((self.log_prob_bits, bits), (self.excess_bits, lead), (self.variance, spread)):
            total[index] += np.bincount(row, values, len(index))
        if self.tell_revealed is not None:
            self.tell_revealed(index[row], cell, symbols, bits)

    def marginals(self, index: np.ndarray) -> Distributions:
        """Predict the cells of rows; equal rows are predicted once.

        Parameters
        ----------
        index
            The rows.

        Returns
        -------
        array
            Probabilities (row, cell, symbol).
        """
        cells, hidden = self.cells[index], self.hidden[index]
        numbers: dict[tuple[int, bytes], int] = {}
        keys = zip(index.tolist(), np.where(hidden, -1, cells), strict=True)
        place = [
            numbers.setdefault((side_number(self.predictor, row), seen.tobytes()), len(numbers)) for row, seen in keys
        ]
        first = np.unique(place, return_index=True)[1]
        grids = (array[first].reshape(-1, *self.size) for array in (cells, hidden))
        predictor = of_rows(self.predictor, index[first].tolist())
        return predictor.marginals(*grids).reshape(len(first), cells.shape[1], -1)[place]

    def _uniform(self, index: np.ndarray) -> Float[np.ndarray, "row cell"]:
        for row in index.tolist():
            if row not in self.generators:
                self.generators[row] = np.random.default_rng(self.streams[row])
                self.keys[row] = self.generators[row].random(self.keys.shape[1])
        return np.stack([self.generators[row].random(self.keys.shape[1]) for row in index.tolist()])

    def _choose(self, index: np.ndarray, marginals: Distributions, wanted: Which, decoder: Decoder) -> Which:
        entropy = np.full(wanted.shape, np.inf)
        entropy[wanted] = entropy_bits(marginals[wanted])
        chosen = np.zeros(wanted.shape, dtype=bool)
        if decoder.budget_bits is not None:
            chosen = first_within(entropy, entropy, np.full(len(index), decoder.budget_bits))
        rest, rank = wanted & ~chosen, np.full(wanted.shape, np.inf)
        rank[rest] = ORDERS[decoder.order](marginals[rest], self.keys[index][rest], np.nonzero(rest)[1], self.size)
        chosen[np.arange(len(index)), rank.argmin(axis=1)] |= rest.any(axis=1)
        if decoder.side_per_symbol:
            bits = np.sqrt(self.wanted[index].sum(axis=1)) / decoder.side_per_symbol * np.log2(marginals.shape[2])
            chosen |= first_within(rank, np.where(rest, entropy, np.inf), bits)
        return chosen


def _taken(waiting: deque[int], n: int) -> list[int]:
    """The first n that wait, or all; another thread may take some at the same time."""
    taken: list[int] = []
    with contextlib.suppress(IndexError):
        while len(taken) < n:
            taken.append(waiting.popleft())
    return taken


def first_within(rank: Float[np.ndarray, "row cell"], entropy: Entropy, bits: Float[np.ndarray, "row"]) -> Which:
    """Choose the cells of least rank whose entropies add up to at most `bits`.

    Parameters
    ----------
    rank
        The lowest come first.
    entropy
        What each cell costs; infinite where a cell is not to be chosen.
    bits
        What each row can pay.

    Returns
    -------
    array
        True at the chosen cells.

    Examples
    --------
    >>> cost = np.array([[0.3, 0.1, 0.2]])
    >>> first_within(cost, cost, np.array([0.4]))
    array([[False,  True,  True]])
    """
    order = rank.argsort(axis=1, kind="stable")
    within = np.take_along_axis(entropy, order, axis=1).cumsum(axis=1) <= bits[:, None]
    chosen = np.zeros(entropy.shape, dtype=bool)
    np.put_along_axis(chosen, order, within, axis=1)
    return chosen
