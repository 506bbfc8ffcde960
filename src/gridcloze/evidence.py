"""Evidence on several cells together: the ways to reveal these cells, each with its weight."""

import numpy as np
from jaxtyping import Float, Int

from .decoding import Decoder, Entropy, Rows, Which, first_within, halton_places
from .predictor import Predictor, entropy_bits, given_evidence
from .shapes import OneGrid, OneHidden
from .side import of_rows, side_number

WAYS = 8  # for each sample
WAYS_IN_COMMON = 64  # for all samples of a puzzle, if these are all ways there are
WAYS_OF_MARGINALS = 128
NEGLIGIBLE = 0.01  # share of samples that the evidence on the rest of the cells may still rule out
IMPOSSIBLE = 1e-30  # stands for the probability of a symbol that the predictor rules out
LEAST_SHARE = 1e-6  # of the weight, below which a way is dropped

OfSymbols = Float[np.ndarray, "height width symbol"]


class Ways:
    """Ways to reveal those cells of one grid whose evidence matters, each weighted by its probability.

    The chain rule with each conditional renormalised by the evidence on its own cell is not the distribution given all
    evidence: cells that come first do not know what the evidence says of later ones. So every symbol that a cell may
    have is followed, and a way weighs the product of its conditionals and its evidence, times what is expected of the
    evidence on cells still hidden. If there are more ways than `count`, the light ones are resampled.

    Parameters
    ----------
    predictor
        What predicts the hidden cells.
    cells, hidden
        One puzzle.
    evidence
        Of each of its cells, as `Puzzles` holds it.
    wanted
        The cells that may be revealed.
    count
        Ways that are kept.
    generator
        Of the random numbers for resampling.

    Attributes
    ----------
    is_complete
        Whether all ways were kept; then there is no randomness in them.

    Notes
    -----
    Resampling is that of Fearnhead and Clifford (2003, doi:10.1111/1467-9868.00421), which is made for finitely many
    symbols: heavy ways stay as they are, and light ones keep their weight on average.

    Examples
    --------
    >>> from gridcloze.decoding import DEFAULT_DECODER
    >>> from gridcloze.priors import posterior, squares
    >>> cells, evidence = np.full((4, 4), -1), np.ones((4, 4, 2))
    >>> evidence[1, 1] = [0.5, 1]  # the cell looks white
    >>> ways = Ways(posterior(squares(4, 4, 2, 3)), cells, cells < 0, evidence, cells < 0, 8, np.random.default_rng(0))
    >>> ways.run(DEFAULT_DECODER)
    >>> ways.cells[:, 5], ways.shares(), ways.is_complete  # 8 of 13 squares cover it
    (array([0, 1]), array([0.24, 0.76]), True)
    """

    def __init__(
        self,
        predictor: Predictor,
        cells: OneGrid,
        hidden: OneHidden,
        evidence: OfSymbols,
        wanted: OneHidden,
        count: int,
        generator: np.random.Generator,
    ):
        self.predictor, self.size, self.count, self.generator = predictor, hidden.shape, count, generator
        self.evidence = evidence.reshape(hidden.size, -1)
        observed = (self.evidence < 1).any(axis=-1)
        self.observed, self.wanted = observed, observed & wanted.ravel()
        self.cells, self.hidden = cells.reshape(1, -1).astype(np.int64), hidden.reshape(1, -1).copy()
        self.log_prob_bits, self.log_weight, self.ahead = np.zeros((3, 1))  # `ahead` of what is still hidden
        self.is_open, self.is_complete, self.passes = np.ones(1, dtype=bool), True, 0

    def run(self, decoder: Decoder, while_complete: bool = False) -> None:
        """Reveal cells until the evidence on the others hardly matters any more.

        Parameters
        ----------
        decoder
            How many cells a pass may reveal together.
        while_complete
            Whether to stop as soon as there are more ways than are kept.
        """
        while self.is_open.any() and (self.is_complete or not while_complete):
            self.passes += 1
            index = np.flatnonzero(self.is_open)
            predicted = np.maximum(self._predicted(index), IMPOSSIBLE)
            hidden = self.hidden[index] & self.observed
            expected = np.where(hidden, (predicted * self.evidence).sum(axis=-1), 1.0)
            self.ahead[index] = np.log2(expected).sum(axis=1)
            matters, doubt = self._matters(predicted, hidden & self.wanted, expected)
            self.is_open[index] = matters.any(axis=1)
            self._follow(index, predicted, expected, self._chosen(matters, doubt, predicted, decoder))

    def shares(self) -> Float[np.ndarray, "way"]:
        """Give the weights, with a sum of 1.

        Returns
        -------
        array
            The probability of each way given the evidence.
        """
        weight = 2.0 ** (self._total - self._total.max())
        return weight / weight.sum()

    def marginals(self) -> OfSymbols:
        """Predict every cell given the evidence.

        Returns
        -------
        array
            The average over all ways; of cells that are not revealed by the predictor and the evidence on them alone.
        """
        each = given_evidence(self._predicted(np.arange(len(self.cells))), self.evidence)
        certain = np.eye(each.shape[-1])[np.where(self.hidden, 0, self.cells)]
        each = np.where(self.hidden[..., None], each, certain)
        return np.tensordot(self.shares(), each, axes=1).reshape(*self.size, -1)

    def put_into(self, rows: Rows, number: int, generator: np.random.Generator) -> None:
        """Draw one of the ways, by weight, for a row of fills.

        Parameters
        ----------
        rows, number
            The fills, and which of them.
        generator
            Of the random number.
        """
        chosen = int(generator.choice(len(self.cells), p=self.shares()))
        revealed = rows.hidden[number] & ~self.hidden[chosen]
        likelihood = np.log2(self.evidence[revealed, self.cells[chosen, revealed]]).sum()
        likelihood += self.ahead[chosen] - np.logaddexp2.reduce(self._total)
        rows.cells[number], rows.hidden[number] = self.cells[chosen], self.hidden[chosen]
        rows.log_prob_bits[number] = self.log_prob_bits[chosen] + likelihood
        rows.passes[number] = self.passes

    @property
    def _total(self) -> Float[np.ndarray, "way"]:
        return self.log_weight + self.ahead

    def _predicted(self, index: np.ndarray) -> Float[np.ndarray, "way cell symbol"]:
        grids = (array[index].reshape(-1, *self.size) for array in (self.cells, self.hidden))
        return self.predictor.marginals(*grids).reshape(len(index), self.hidden.shape[1], -1)

    def _matters(self, predicted: np.ndarray, hidden: Which, expected: np.ndarray) -> tuple[Which, Entropy]:
        """The cells whose evidence is not negligible together, and the doubt on each: the relative variance of the
        likelihood, which for symbols that are allowed or not is the odds that the cell has one that is not.
        """
        doubt = ((predicted * self.evidence**2).sum(axis=-1) / expected**2 - 1).clip(0)
        doubt = np.where(hidden, doubt, np.inf)
        return hidden & ~first_within(doubt, doubt, np.full(len(doubt), NEGLIGIBLE)), doubt

    def _chosen(self, matters: Which, doubt: np.ndarray, predicted: np.ndarray, decoder: Decoder) -> Which:
        """The cell of most doubt, and in windows further ones, far from each other, for the entropy of a pass."""
        chosen = np.zeros(matters.shape, dtype=bool)
        most = np.where(matters, doubt, -1).argmax(axis=1)
        chosen[np.arange(len(matters)), most] = matters.any(axis=1)
        if decoder.side_per_symbol:
            entropy = np.where(matters, entropy_bits(given_evidence(predicted, self.evidence)), np.inf)
            bits = np.sqrt(self.wanted.sum()) / decoder.side_per_symbol * np.log2(predicted.shape[-1])
            places = np.where(matters, halton_places(*self.size).astype(np.float64), np.inf)
            chosen |= first_within(places, entropy, np.full(len(matters), bits))
        return chosen

    def _follow(self, index: np.ndarray, predicted: np.ndarray, expected: np.ndarray, chosen: Which) -> None:
        """Split every way into one for each symbol of a chosen cell, for one cell after the other."""
        asked = np.full(len(self.cells), -1)  # which of the predictions a way goes on from
        asked[index] = np.arange(len(index))
        todo = [np.flatnonzero(row) for row in chosen]
        for turn in range(max(map(len, todo))):
            splits = np.array([one >= 0 and turn < len(todo[one]) for one in asked])
            parents = np.flatnonzero(splits)
            if len(parents) == 0:  # the ways with more cells to follow were dropped as the least probable
                return
            cell = np.array([todo[asked[one]][turn] for one in parents])
            weights = predicted[asked[parents], cell] * self.evidence[cell]
            child, symbol = np.nonzero(weights)
            n_others = len(splits) - len(parents)
            asked = self._keep(np.append(np.flatnonzero(~splits), parents[child]), asked)
            new, cell, one = n_others + np.arange(len(child)), cell[child], asked[n_others:]
            self.cells[new, cell], self.hidden[new, cell] = symbol, False
            self.log_prob_bits[new] += np.log2(predicted[one, cell, symbol])
            self.log_weight[new] += np.log2(weights[child, symbol])
            self.ahead[new] -= np.log2(expected[one, cell])
            asked = self._pruned(asked)

    def _keep(self, which: np.ndarray, asked: np.ndarray) -> np.ndarray:
        for name in ("cells", "hidden", "log_prob_bits", "log_weight", "ahead", "is_open"):
            setattr(self, name, getattr(self, name)[which])
        return asked[which]

    def _pruned(self, asked: np.ndarray) -> np.ndarray:
        asked = self._keep(np.flatnonzero(self.shares() > LEAST_SHARE), asked)
        if len(self.cells) <= self.count:
            return asked
        self.is_complete = False
        total = np.logaddexp2.reduce(self._total)
        kept, shares = resampled(self.shares(), self.count, self.generator)
        asked = self._keep(kept, asked)
        self.log_weight = total + np.log2(shares) - self.ahead
        return asked


def resampled(
    shares: Float[np.ndarray, "way"], count: int, generator: np.random.Generator
) -> tuple[Int[np.ndarray, "count"], Float[np.ndarray, "count"]]:
    """Keep `count` of more weighted things, so that each keeps its weight on average.

    Parameters
    ----------
    shares
        The weights, with a sum of 1.
    count
        How many are kept, less than there are.
    generator
        Of the random numbers.

    Returns
    -------
    tuple
        Which are kept, and their new weights: what weighs more than some limit keeps its weight, and of the rest each
        is kept with a probability in proportion to its weight, and weighs as much as the limit.

    Examples
    --------
    >>> resampled(np.array([0.1, 0.6, 0.1, 0.1, 0.1]), 3, np.random.default_rng(0))
    (array([0, 1, 3]), array([0.2, 0.6, 0.2]))
    """
    heaviest = np.sort(shares)[::-1]
    limits = heaviest[::-1].cumsum()[::-1][:count] / np.arange(count, 0, -1)
    n_heavy = int((heaviest[:count] <= limits * (1 + 1e-9)).argmax())
    limit = limits[n_heavy]
    heavy = np.zeros(len(shares), dtype=bool)
    heavy[np.argsort(-shares, kind="stable")[:n_heavy]] = True
    light = np.flatnonzero(~heavy)
    places = shares[light].cumsum() / shares[light].sum() * (count - n_heavy)
    steps = np.floor(places + generator.random())
    steps[-1] = count - n_heavy  # whatever the sum was rounded to
    picked = light[np.diff(steps, prepend=0) > 0]
    kept = np.sort(np.append(np.flatnonzero(heavy), picked))
    return kept, np.where(heavy[kept], shares[kept], limit)


def reveal_evidence(rows: Rows, decoder: Decoder) -> None:
    """Reveal the wanted cells of fills whose evidence matters, as a draw from their distribution given all evidence.

    Parameters
    ----------
    rows
        Fills with evidence. If all ways can be kept, equal rows draw from the same; otherwise each has its own.
    decoder
        How many cells a pass may reveal together.

    Examples
    --------
    >>> from gridcloze.decoding import DEFAULT_DECODER
    >>> from gridcloze.priors import posterior, squares
    >>> cells, evidence = np.full((1, 4, 4), -1), np.ones((1, 4, 4, 2))
    >>> evidence[0, 1, 1] = [0, 1]
    >>> rows = Rows(posterior(squares(4, 4, 2, 3)), cells, cells < 0, [(0,)], evidence=evidence)
    >>> reveal_evidence(rows, DEFAULT_DECODER)
    >>> int(rows.cells[0, 5])
    1
    """
    in_common: dict[bytes, Ways] = {}
    rows.given_evidence = True
    for number, stream in enumerate(rows.streams):
        generator = np.random.default_rng((*stream, WAYS))
        arrays = rows.cells[number], rows.hidden[number], rows.wanted[number]
        cells, hidden, wanted = (array.reshape(rows.size) for array in arrays)
        assert rows.evidence is not None
        evidence = rows.evidence[number].reshape(*rows.size, -1)
        predictor, grid = of_rows(rows.predictor, [number]), side_number(rows.predictor, number)
        arrays = np.array(grid), np.where(hidden, -1, cells), wanted, evidence
        name = b"".join(array.tobytes() for array in arrays)
        ways = in_common.get(name)
        if ways is None:
            unused = np.random.default_rng(0)
            ways = in_common[name] = Ways(predictor, cells, hidden, evidence, wanted, WAYS_IN_COMMON, unused)
            ways.run(decoder, while_complete=True)
        if not ways.is_complete:
            ways = Ways(predictor, cells, hidden, evidence, wanted, WAYS, generator)
            ways.run(decoder)
        ways.put_into(rows, number, generator)
