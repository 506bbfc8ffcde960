"""How good predictions are: bits per hidden cell, distance from the exact posterior, calibration, whole-grid rates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from .priors.posterior import ExactPosterior, KnownPrior
from .shapes import Cells, Hidden, Marginals, Samples
from .side import Side, SidedPredictor, with_side, without

RELIABILITY_BINS = 15


def bits_per_hidden_cell(marginals: Marginals, cells: Cells, hidden: Hidden) -> float:
    """Return the mean of -log2 of the probability of the true symbol, over hidden cells.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.

    Returns
    -------
    float
        Bits per hidden cell: 0 is best, infinite if a true symbol had probability 0, and NaN if no cell was hidden.

    Examples
    --------
    Probabilities of 1/2 and 1/8 cost one bit and three:

    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> marginals = np.array([[[[0.5, 0.5], [0.875, 0.125]]]])
    >>> cells, hidden = np.array([[[0, 1]]]), np.array([[[True, True]]])
    >>> scoring.bits_per_hidden_cell(marginals, cells, hidden)
    2.0
    """
    scored = hidden & (cells >= 0)
    probabilities = np.take_along_axis(marginals, np.maximum(cells, 0)[..., None], axis=-1)[..., 0][scored]
    with np.errstate(divide="ignore"):  # a probability of 0 costs infinitely many bits
        return _mean(-np.log2(probabilities))


def _mean(values: np.ndarray) -> float:
    """Their mean; NaN, without a warning, if there are none."""
    return float(values.mean()) if values.size else float("nan")


def error(marginals: Marginals, cells: Cells, hidden: Hidden) -> float:
    """Return the share of hidden cells whose most likely symbol is not the true one.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.

    Returns
    -------
    float
        0…1; NaN if no cell was hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> marginals = np.array([[[[0.5, 0.5], [0.875, 0.125]]]])
    >>> cells, hidden = np.array([[[0, 1]]]), np.array([[[True, True]]])
    >>> scoring.error(marginals, cells, hidden)
    0.5
    """
    return _mean((marginals.argmax(-1) != cells)[hidden & (cells >= 0)])


def brier(marginals: Marginals, cells: Cells, hidden: Hidden) -> float:
    """Return the mean squared distance of the predicted distribution from certainty of the true symbol.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.

    Returns
    -------
    float
        The Brier score, 0…2; NaN if no cell was hidden.

    Notes
    -----
    Brier 1950, Monthly Weather Review 78.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> marginals = np.array([[[[0.5, 0.5], [0.875, 0.125]]]])
    >>> cells, hidden = np.array([[[0, 1]]]), np.array([[[True, True]]])
    >>> scoring.brier(marginals, cells, hidden)
    1.015625
    """
    scored = hidden & (cells >= 0)
    true = cells[scored][:, None] == np.arange(marginals.shape[-1])
    return _mean(((marginals[scored] - true) ** 2).sum(-1))


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities and observed frequencies, by bins of probability of equal width.

    Parameters
    ----------
    predicted
        The mean predicted probability in each bin, NaN in an empty bin.
    observed
        The share of these predictions that came true.
    count
        The number of predictions in each bin.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.scoring import Reliability
    >>> curve = Reliability(np.array([0.2, 0.9]), np.array([0.2, 0.7]), np.array([10, 10]))
    >>> curve.expected_calibration_error
    0.1
    """

    predicted: Float[np.ndarray, "bin"]
    observed: Float[np.ndarray, "bin"]
    count: Int[np.ndarray, "bin"]

    @property
    def expected_calibration_error(self) -> float:
        """The mean distance between predicted and observed, weighted by the counts (Naeini et al. 2015)."""
        full = self.count > 0
        if not full.any():
            return float("nan")
        return float(np.average(np.abs(self.predicted - self.observed)[full], weights=self.count[full]))


def reliability(marginals: Marginals, cells: Cells, hidden: Hidden, symbol: int | None = None) -> Reliability:
    """Compare predicted probabilities with how often they came true.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.
    symbol
        The symbol whose probabilities are compared; all of them by default.

    Returns
    -------
    Reliability
        15 bins of probability.

    Examples
    --------
    Of ten cells that are 1 with probability 0.75, seven are 1:

    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> marginals = np.full((1, 1, 10, 2), [0.25, 0.75])
    >>> cells = np.array([[[1, 1, 1, 1, 1, 1, 1, 0, 0, 0]]])
    >>> curve = scoring.reliability(marginals, cells, np.ones((1, 1, 10), bool), symbol=1)
    >>> curve.predicted[curve.count > 0], curve.observed[curve.count > 0]
    (array([0.75]), array([0.7]))
    """
    scored = hidden & (cells >= 0)
    symbols = np.arange(marginals.shape[-1]) if symbol is None else np.array([symbol])
    return _binned(marginals[scored][:, symbols].ravel(), (cells[scored][:, None] == symbols).ravel())


def top_label_reliability(marginals: Marginals, cells: Cells, hidden: Hidden) -> Reliability:
    """Compare the probability of the most likely symbol of each cell with how often that symbol is right.

    Its expected calibration error is the one that is usually published for classifiers. That of `reliability` counts
    the probabilities of all symbols alike. With many symbols most of these are near 0, and right to say so, whatever
    the most likely ones are worth: it is then much smaller.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.

    Returns
    -------
    Reliability
        15 bins of probability.

    Notes
    -----
    Guo et al. 2017, arXiv:1706.04599.

    Examples
    --------
    Two cells are 0 with a probability of 0.7 each, and one of them is. Of all eight probabilities, the six others are
    nearer to what came true:

    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> marginals = np.full((1, 1, 2, 4), [0.7, 0.1, 0.1, 0.1])
    >>> cells, hidden = np.array([[[0, 1]]]), np.ones((1, 1, 2), bool)
    >>> round(scoring.top_label_reliability(marginals, cells, hidden).expected_calibration_error, 3)
    0.2
    >>> round(scoring.reliability(marginals, cells, hidden).expected_calibration_error, 3)
    0.1
    """
    scored = hidden & (cells >= 0)
    likely = marginals[scored].argmax(-1)
    return _binned(marginals[scored].max(-1), cells[scored] == likely)


def _binned(predicted: Float[np.ndarray, " prediction"], came_true: Bool[np.ndarray, " prediction"]) -> Reliability:
    bin_of = np.minimum((predicted * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    count = np.bincount(bin_of, minlength=RELIABILITY_BINS)
    sums = [np.bincount(bin_of, values, RELIABILITY_BINS) for values in (predicted, came_true)]
    with np.errstate(invalid="ignore"):
        return Reliability(sums[0] / count, sums[1] / count, count)


def calibration(marginals: Marginals, cells: Cells, hidden: Hidden) -> dict[str, Any]:
    """Measure calibration: of all predictions, by symbol, and by quarters of the hidden fraction.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.

    Returns
    -------
    dict
        "expected_calibration_error" and "brier" of all predictions; "top_label_calibration_error" of the most likely
        symbols; the expected calibration error of each symbol in the list "by_symbol", and of grids by their hidden
        fraction in the dictionary "by_hidden_fraction".

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> marginals = np.array([[[[0.5, 0.5], [0.875, 0.125]]]])
    >>> cells, hidden = np.array([[[0, 1]]]), np.array([[[True, True]]])
    >>> scoring.calibration(marginals, cells, hidden)["by_hidden_fraction"]
    {'0.75…1': 0.4375}
    """
    quarter = np.minimum((4 * hidden.mean(axis=(1, 2))).astype(np.int64), 3)
    by_symbol = [reliability(marginals, cells, hidden, symbol) for symbol in range(marginals.shape[-1])]
    by_quarter = {
        f"{number / 4:g}…{(number + 1) / 4:g}": reliability(
            marginals[quarter == number], cells[quarter == number], hidden[quarter == number]
        )
        for number in np.unique(quarter[(hidden & (cells >= 0)).any(axis=(1, 2))]).tolist()
    }
    return {
        "expected_calibration_error": reliability(marginals, cells, hidden).expected_calibration_error,
        "top_label_calibration_error": top_label_reliability(marginals, cells, hidden).expected_calibration_error,
        "brier": brier(marginals, cells, hidden),
        "by_symbol": [curve.expected_calibration_error for curve in by_symbol],
        "by_hidden_fraction": {name: curve.expected_calibration_error for name, curve in by_quarter.items()},
    }


def side_worth(predictor: SidedPredictor, cells: Cells, hidden: Hidden) -> list[tuple[float, float]]:
    """Measure what each side map is worth: how many bits more a hidden cell costs when the map is made unknown.

    Parameters
    ----------
    predictor
        A model that is bound to the side maps of the grids.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.

    Returns
    -------
    list of tuple
        For each map bits per hidden cell, and their standard error, from the differences between grids; then the same
        of all maps together. Around 0 for a map that says nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.scoring import side_worth
    >>> from gridcloze.side import Channel, with_side
    >>> class Copier:
    ...     n_symbols, window, side = 2, None, (Channel("truth"),)
    ...     def marginals(self, cells, hidden, side):
    ...         white = np.where(np.isnan(side), 0.5, side)
    ...         return np.concatenate([1 - white, white], axis=-1)
    >>> cells, hidden = np.array([[[0, 1]], [[1, 1]]]), np.ones((2, 1, 2), bool)
    >>> side_worth(with_side(Copier(), cells[..., None].astype(float)), cells, hidden)
    [(1.0, 0.0), (1.0, 0.0)]
    """
    side = np.asarray(predictor.side)[predictor.which]
    scored = hidden & (cells >= 0)

    def of_grids(side: Side) -> Float[np.ndarray, "batch"]:
        marginals = with_side(predictor.predictor, side).marginals(cells, hidden)
        with np.errstate(divide="ignore"):
            of_truth = -np.log2(np.take_along_axis(marginals, cells.clip(0)[..., None], axis=-1)[..., 0])
        return np.where(scored, of_truth, 0.0).sum(axis=(1, 2))

    n, number, known = scored.sum(axis=(1, 2)), side.shape[-1], of_grids(side)
    less = [without(side, channel) for channel in range(number)] + [np.full_like(side, np.nan)]
    worth = []
    for each in less:
        difference = of_grids(each) - known
        mean = float(difference.sum() / max(1, n.sum()))
        error = float(np.sqrt(((difference - mean * n) ** 2).sum()) / max(1, n.sum()))
        worth.append((mean, error))
    return worth


def by_symbol(marginals: Marginals, cells: Cells, hidden: Hidden) -> list[dict[str, float]]:
    """Score the most likely symbols, and the probabilities, of each symbol.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.

    Returns
    -------
    list of dict
        For each symbol "share", its share among the scored cells; "recall", the share of its cells whose most likely
        symbol it is (the producer's accuracy of maps); "precision", the share of the cells that are most likely this
        symbol and have it (the user's accuracy); and "expected_calibration_error" of its probabilities. A share of no
        cells is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> marginals = np.array([[[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]]])
    >>> first, second = scoring.by_symbol(marginals, np.array([[[0, 1, 1]]]), np.ones((1, 1, 3), bool))
    >>> first["recall"], first["precision"], second["recall"], second["precision"]
    (1.0, 0.5, 0.5, 1.0)
    """
    scored = hidden & (cells >= 0)
    likely, true = marginals[scored].argmax(-1), cells[scored]
    return [
        {
            "share": _mean(true == symbol),
            "recall": _mean((likely == symbol)[true == symbol]),
            "precision": _mean((true == symbol)[likely == symbol]),
            "expected_calibration_error": reliability(marginals, cells, hidden, symbol).expected_calibration_error,
        }
        for symbol in range(marginals.shape[-1])
    ]


def excess_bits(marginals: Marginals, exact: Marginals, hidden: Hidden) -> float:
    """Return the mean Kullback–Leibler divergence of the predicted marginals from the exact ones.

    It is the expectation, under the exact posterior, of what the predictor pays over the exact posterior in bits per
    hidden cell, and so has less noise than the difference of the two scores.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    exact
        The exact marginals.
    hidden
        True where a cell was hidden.

    Returns
    -------
    float
        Bits per hidden cell; 0 is best, and NaN if no cell was hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> exact = np.array([[[[1.0, 0.0], [0.5, 0.5]]]])
    >>> marginals = np.array([[[[0.25, 0.75], [0.5, 0.5]]]])
    >>> hidden = np.array([[[True, True]]])
    >>> scoring.excess_bits(marginals, exact, hidden)
    1.0
    """
    return _mean(divergence_bits(marginals, exact)[hidden])


def divergence_bits(marginals: Marginals, exact: Marginals) -> Float[np.ndarray, "batch height width"]:
    """Return the Kullback–Leibler divergence of the predicted distribution of each cell from the exact one.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    exact
        The exact marginals.

    Returns
    -------
    ndarray
        Bits for each cell.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> exact = np.array([[[[1.0, 0.0], [0.5, 0.5]]]])
    >>> marginals = np.array([[[[0.25, 0.75], [0.5, 0.5]]]])
    >>> hidden = np.array([[[True, True]]])
    >>> scoring.divergence_bits(marginals, exact)
    array([[[2., 0.]]])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(exact > 0, exact * np.log2(exact / marginals), 0.0).sum(-1)


def determined(exact: Marginals, hidden: Hidden) -> Hidden:
    """Tell which hidden cells the exact posterior determines.

    Parameters
    ----------
    exact
        The exact marginals.
    hidden
        True where a cell was hidden.

    Returns
    -------
    ndarray of bool
        True where a hidden cell has a symbol of probability 1.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> exact = np.array([[[[1.0, 0.0], [0.5, 0.5]]]])
    >>> marginals = np.array([[[[0.25, 0.75], [0.5, 0.5]]]])
    >>> hidden = np.array([[[True, True]]])
    >>> scoring.determined(exact, hidden)
    array([[[ True, False]]])
    """
    return hidden & (exact.max(-1) == 1.0)


def determined_wrong(marginals: Marginals, exact: Marginals, hidden: Hidden) -> Hidden:
    """Tell which determined cells are predicted wrongly.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    exact
        The exact marginals.
    hidden
        True where a cell was hidden.

    Returns
    -------
    ndarray of bool
        True where the most likely symbol of a determined cell is not the determined one.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> exact = np.array([[[[1.0, 0.0], [0.5, 0.5]]]])
    >>> marginals = np.array([[[[0.25, 0.75], [0.5, 0.5]]]])
    >>> hidden = np.array([[[True, True]]])
    >>> scoring.determined_wrong(marginals, exact, hidden)
    array([[[ True, False]]])
    """
    return determined(exact, hidden) & (marginals.argmax(-1) != exact.argmax(-1))


def score(marginals: Marginals, cells: Cells, hidden: Hidden, exact: Marginals | None = None) -> dict[str, float]:
    """Compute all scores of predicted marginals.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    cells
        The true grids; -1 stands for an unknown cell, which does not count.
    hidden
        True where a cell was hidden.
    exact
        The exact marginals, if they are known.

    Returns
    -------
    dict
        "bits_per_hidden_cell" and "error"; with `exact` also "excess_bits", "determined_error" (the share of
        determined cells that are wrong) and "grids_all_determined_right" (the share of grids in which none is wrong).
        The last two are NaN if no cell is determined.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> from gridcloze.priors import Mirror, evaluation_hiding, posterior
    >>> generator = np.random.default_rng(0)
    >>> cells = Mirror(4, 4).sample(100, generator)
    >>> hidden = evaluation_hiding(cells.shape, generator)
    >>> exact = posterior(Mirror(4, 4)).marginals(cells, hidden)
    >>> coin = np.full(exact.shape, 0.5)
    >>> for name, value in scoring.score(coin, cells, hidden, exact).items():
    ...     print(f"{name}: {value:.2f}")
    bits_per_hidden_cell: 1.00
    error: 0.50
    excess_bits: 0.31
    determined_error: 0.53
    grids_all_determined_right: 0.29
    """
    scores = {
        "bits_per_hidden_cell": bits_per_hidden_cell(marginals, cells, hidden),
        "error": error(marginals, cells, hidden),
    }
    if exact is None:
        return scores
    fixed, wrong = determined(exact, hidden), determined_wrong(marginals, exact, hidden)
    return scores | {
        "excess_bits": excess_bits(marginals, exact, hidden),
        "determined_error": float(wrong.sum() / fixed.sum()) if fixed.any() else float("nan"),
        "grids_all_determined_right": float(1 - wrong.any(axis=(1, 2)).mean()) if fixed.any() else float("nan"),
    }


def legal_fraction(samples: Samples, cells: Cells, hidden: Hidden, prior: KnownPrior) -> float:
    """Return the share of samples that the prior can draw and that agree with the visible cells.

    Parameters
    ----------
    samples
        Filled grids, of shape (batch, n, height, width).
    cells, hidden
        The puzzles.
    prior
        The prior of the grids.

    Returns
    -------
    float
        0…1.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> from gridcloze.priors import Mirror
    >>> samples = np.array([[[[1, 1]], [[1, 0]], [[0, 0]]]])
    >>> scoring.legal_fraction(samples, np.array([[[1, 0]]]), np.array([[[False, True]]]), Mirror(1, 2))
    0.3333333333333333
    """
    agree = ((samples == cells[:, None]) | hidden[:, None]).all(axis=(2, 3))
    members = prior.log_prob_bits(samples.reshape(-1, *cells.shape[1:])) > -np.inf
    return float((agree & members.reshape(agree.shape)).mean())


def total_variation(
    samples: Int[np.ndarray, "sample height width"],
    posterior: ExactPosterior,
    cells: Int[np.ndarray, "height width"],
    hidden: np.ndarray,
) -> float:
    """Return the total variation between samples of one puzzle and the exact joint distribution of its hidden cells.

    Parameters
    ----------
    samples
        Filled grids, of shape (n, height, width).
    posterior
        The exact posterior.
    cells, hidden
        The puzzle.

    Returns
    -------
    float
        0…1. Finitely many samples of the exact distribution are not at 0 either: compare with `posterior.sample`.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import scoring
    >>> from gridcloze.priors import Mirror, posterior
    >>> exact = posterior(Mirror(1, 2))
    >>> cells, hidden = np.array([[0, 0]]), np.array([[True, True]])
    >>> scoring.total_variation(np.array([[[0, 0]], [[0, 0]]]), exact, cells, hidden)
    0.5
    """
    distinct, counts = np.unique(np.where(hidden, samples, cells), axis=0, return_counts=True)
    exact = 2.0 ** posterior.log_prob_bits(distinct, np.broadcast_to(hidden, distinct.shape))
    missed = max(0.0, 1 - exact.sum())  # the probability of all that was not sampled
    return float((np.abs(counts / len(samples) - exact).sum() + missed) / 2)
