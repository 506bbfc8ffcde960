"""From marginals to whole grids of any size: samples, the most likely grid, marginals under evidence, probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from .decoding import (
    ONE_AT_A_TIME,
    Decoder,
    Fills,
    Pick,
    Rows,
    default_decoder,
    pick_before,
    pick_most_likely,
    pick_sample,
)
from .evidence import WAYS_OF_MARGINALS, Ways, reveal_evidence
from .predictor import Predictor, exceeds_window, given_evidence
from .puzzles import Puzzles, Stream
from .shapes import Marginals
from .side import of_rows, with_side
from .sweeping import Sweep
from .words import InputError


def sample(
    predictor: Predictor, puzzles: Puzzles, n: int = 1, seed: int = 0, decoder: Decoder | None = None, first: int = 0
) -> Fills:
    """Draw joint samples of the hidden cells of every puzzle, as exactly as the predictor's marginals are.

    A sample has a random stream of its own, so it is the same whatever is drawn with it. Grids larger than the
    predictor's window are filled window after window, from left to right and from top to bottom: each window sees what
    is visible in it or was decided before.

    Parameters
    ----------
    predictor
        What predicts the hidden cells.
    puzzles
        Grids with hidden cells. Cells whose evidence matters come first, as `evidence.Ways` reveals them.
    n
        Samples of each puzzle.
    seed
        From which all random numbers follow.
    decoder
        Which cells come first, and how many in a forward pass. By default that of `default_decoder`.
    first
        The number of the first sample: samples 0 … 4 and 5 … 9 are together samples 0 … 9.

    Returns
    -------
    Fills
        Of `n` samples of each puzzle.

    Raises
    ------
    InputError
        For evidence of another number of symbols.

    Notes
    -----
    With exact marginals any order gives the joint distribution (Uria et al. 2014, arXiv:1310.1757), but for what the
    decoder's budget allows.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzles = Puzzles(np.array([[[-1, -1, -1], [-1, 1, 1], [-1, 1, 1]]]))
    >>> sample(posterior(squares(3, 3, 2, 3)), puzzles, n=6).cells[0].sum(axis=(1, 2))
    array([4, 9, 4, 4, 9, 4])
    """
    streams = puzzles.streams(n, seed, first)
    return _decoded(predictor, puzzles, streams, n, decoder, pick_sample)


def greedy(predictor: Predictor, puzzles: Puzzles, seed: int = 0, decoder: Decoder | None = None) -> Fills:
    """Fill every puzzle with the most likely symbol of each cell, given what was revealed before.

    Parameters
    ----------
    predictor, puzzles, seed, decoder
        As in `sample`.

    Returns
    -------
    Fills
        One for each puzzle.

    Raises
    ------
    InputError
        As `sample`.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzles = Puzzles(np.array([[[0, -1, -1], [-1, -1, -1], [-1, 1, -1]]]))
    >>> greedy(posterior(squares(3, 3, 2, 3)), puzzles).cells.shape
    (1, 1, 3, 3)
    """
    return _decoded(predictor, puzzles, puzzles.streams(1, seed), 1, decoder, pick_most_likely)


def most_likely(predictor: Predictor, puzzles: Puzzles, seed: int = 0, decoder: Decoder | None = None) -> Fills:
    """Search the most likely fill of every puzzle.

    Each cell gets its most likely symbol given what was revealed before, first where the lead of that symbol is
    largest: in that order a model errs least, and further candidates, such as samples, are no better beyond noise
    (LOG.md). Grids larger than the window are filled in the decoder's order.

    Parameters
    ----------
    predictor, puzzles, seed, decoder
        As in `sample`.

    Returns
    -------
    Fills
        One for each puzzle.

    Raises
    ------
    InputError
        As `sample`.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzles = Puzzles(np.array([[[0, -1, -1], [-1, -1, -1], [-1, 1, -1]]]))
    >>> most_likely(posterior(squares(3, 3, 2, 3)), puzzles).cells[0, 0].sum()
    np.int64(4)
    """
    decoder = decoder or default_decoder(predictor)
    if not exceeds_window(predictor, puzzles.cells.shape):
        decoder = replace(decoder, order="margin")
    return greedy(predictor, puzzles, seed, decoder)


def marginals(predictor: Predictor, puzzles: Puzzles, seed: int = 0) -> Marginals:
    """Predict each hidden cell given the visible cells and the evidence.

    Parameters
    ----------
    predictor, puzzles, seed
        As in `sample`. Without evidence the result is that of `Predictor.marginals`; with it, its average over
        the weighted ways, `WAYS_OF_MARGINALS` at most, to reveal the cells whose evidence matters. Of grids larger than
        the window, each cell has the evidence on itself and on cells that are left a single symbol.

    Returns
    -------
    Marginals
        The probability of each symbol at each cell.

    Raises
    ------
    InputError
        As `sample`.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzles = Puzzles(np.array([[[-1, -1, -1], [-1, 1, 1], [-1, 1, 1]]]))
    >>> marginals(posterior(squares(3, 3, 2, 3)), puzzles)[0, 0, 0]
    array([0.5, 0.5])
    """
    predictor = check_fits(predictor, puzzles)
    puzzles = puzzles.settled()
    result = predictor.marginals(puzzles.cells, puzzles.hidden)
    if puzzles.evidence is None:
        return result
    if exceeds_window(predictor, puzzles.cells.shape):
        return given_evidence(result, puzzles.evidence)
    decoder = default_decoder(predictor)
    for number, stream in enumerate(puzzles.streams(1, seed)):
        cells, hidden, evidence = puzzles.cells[number], puzzles.hidden[number], puzzles.evidence[number]
        generator = np.random.default_rng(stream)
        one = of_rows(predictor, [number])
        ways = Ways(one, cells, hidden, evidence, hidden, WAYS_OF_MARGINALS, generator)
        ways.run(decoder)
        result[number] = ways.marginals()
    return result


@dataclass(frozen=True)
class LogProb:
    """The log-probability of grids, as several random orders estimate it.

    Parameters
    ----------
    bits
        The mean over orders, base 2.
    standard_error
        Of that mean; NaN for a single order.
    order_gap
        How far two orders disagree: the mean absolute difference, in bits per hidden cell. 0 for an exact predictor,
        NaN for a single order.
    mixture_bits
        Of the mixture of the orders, the distribution of samples for which one of them is drawn: the logarithm of the
        mean of their probabilities, at least `bits`.

    Examples
    --------
    >>> LogProb(np.array([-3.0]), np.array([0.0]), np.array([0.0]), np.array([-3.0])).bits
    array([-3.])
    """

    bits: Float[np.ndarray, "batch"]
    standard_error: Float[np.ndarray, "batch"]
    order_gap: Float[np.ndarray, "batch"]
    mixture_bits: Float[np.ndarray, "batch"]


def log_prob_bits(predictor: Predictor, puzzles: Puzzles, orders: int = 4, seed: int = 0) -> LogProb:
    """Compute log2 P(hidden cells are as in `puzzles.cells` | visible cells), one cell a forward pass.

    Every order would give the same if the predictor's marginals were those of one joint distribution.

    Parameters
    ----------
    predictor
        What predicts the hidden cells.
    puzzles
        What their hidden cells hold is what the probability is asked of; with everything hidden it is that of whole
        grids.
    orders
        Random orders of the cells; of grids larger than the window, of the cells of each window.
    seed
        From which the orders follow.

    Returns
    -------
    LogProb
        For each puzzle.

    Raises
    ------
    InputError
        If there is no order.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> whole = np.array([[[1, 1, 0], [1, 1, 0], [0, 0, 0]]])
    >>> log_prob_bits(posterior(squares(3, 3, 2, 2)), Puzzles(whole, whole >= 0)).bits
    array([-2.])
    """
    if orders < 1:
        raise InputError("a log-probability needs 1 order or more")
    streams = puzzles.streams(orders, seed)
    fills = _decoded(predictor, puzzles, streams, orders, ONE_AT_A_TIME, pick_before)
    bits = fills.log_prob_bits
    mixture = np.logaddexp2.reduce(bits, axis=1) - np.log2(orders)
    if orders == 1:
        nothing = np.full(len(puzzles), np.nan)
        return LogProb(bits[:, 0], nothing, nothing, mixture)
    one, other = np.triu_indices(orders, 1)
    gap = np.abs(bits[:, one] - bits[:, other]).mean(axis=1) / np.maximum(puzzles.hidden.sum(axis=(1, 2)), 1)
    return LogProb(bits.mean(axis=1), bits.std(axis=1, ddof=1) / orders**0.5, gap, mixture)


def _decoded(
    predictor: Predictor,
    puzzles: Puzzles,
    streams: Sequence[Stream],
    n: int,
    decoder: Decoder | None,
    pick: Pick,
) -> Fills:
    """`n` fills of every puzzle in its own size: in one window, or window after window."""
    decoder = decoder or default_decoder(predictor)
    predictor = check_fits(predictor, puzzles, n)
    if pick is not pick_before:
        puzzles = puzzles.settled()
    evidence = None if pick is pick_before else puzzles.evidence
    every, hidden = (np.repeat(array, n, axis=0) for array in (puzzles.cells, puzzles.hidden))
    shape = len(puzzles), n
    if exceeds_window(predictor, puzzles.cells.shape):
        of_window = None if evidence is None else lambda lane, window: evidence[lane // n][window]
        sweep = Sweep(predictor, every, hidden, streams, decoder, pick, of_window)
        sweep.run()
        return sweep.fills(shape)
    rows = Rows(
        predictor, every, hidden, streams, evidence=None if evidence is None else np.repeat(evidence, n, axis=0)
    )
    if evidence is not None and pick is pick_sample:
        reveal_evidence(rows, decoder)
    rows.run(decoder, pick)
    return rows.fills(shape)


def check_fits(predictor: Predictor, puzzles: Puzzles, n: int = 1) -> Predictor:
    """Refuse evidence and side maps that a predictor cannot take, and bind it to these.

    Parameters
    ----------
    predictor, puzzles
        As in `sample`.
    n
        Rows of each puzzle that it will be asked about, one behind the other.

    Returns
    -------
    Predictor
        As `side.with_side` binds it.

    Raises
    ------
    InputError
        For evidence of another number of symbols, and side maps that are missing or do not fit.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> check_fits(posterior(squares(3, 3, 2, 3)), Puzzles(np.full((1, 3, 3), -1))).n_symbols
    2
    """
    if puzzles.evidence is not None and puzzles.evidence.shape[-1] != predictor.n_symbols:
        raise InputError(
            f"evidence of {puzzles.evidence.shape[-1]} symbols does not fit a model of {predictor.n_symbols}"
        )
    return with_side(predictor, puzzles.side, n)
