"""How good: bits per hidden cell, distance from the exact answer, whole-grid rates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .priors.posterior import ExactPosterior, KnownPrior
from .shapes import Cells, Hidden, Marginals, Samples

RELIABILITY_BINS = 15


def bits_per_hidden_cell(marginals: Marginals, cells: Cells, hidden: Hidden) -> float:
    """Mean of -log2 of the probability that the true symbol of a hidden cell had; unknown cells (-1) do not count."""
    scored = hidden & (cells >= 0)
    probabilities = np.take_along_axis(marginals, np.maximum(cells, 0)[..., None], axis=-1)[..., 0][scored]
    with np.errstate(divide="ignore"):  # what was thought impossible costs infinitely many bits
        return float(-np.log2(probabilities).mean())


def error(marginals: Marginals, cells: Cells, hidden: Hidden) -> float:
    """Share of hidden cells whose most likely symbol is not the true one; unknown cells (-1) do not count."""
    return float((marginals.argmax(-1) != cells)[hidden & (cells >= 0)].mean())


def brier(marginals: Marginals, cells: Cells, hidden: Hidden) -> float:
    """Mean over hidden cells of the squared distance of the law from certainty of the true symbol (Brier 1950): 0…2."""
    scored = hidden & (cells >= 0)
    true = cells[scored][:, None] == np.arange(marginals.shape[-1])
    return float(((marginals[scored] - true) ** 2).sum(-1).mean())


@dataclass(frozen=True)
class Reliability:
    """What was said of hidden cells, beside what was seen, by bins of probability of equal width."""

    said: Float[np.ndarray, "bin"]  # mean probability, NaN in an empty bin
    seen: Float[np.ndarray, "bin"]  # share of cells that had the symbol
    count: Int[np.ndarray, "bin"]

    @property
    def expected_calibration_error(self) -> float:
        """Mean over all that was said of the distance between the two in its bin (Naeini et al. 2015)."""
        full = self.count > 0
        return float(np.average(np.abs(self.said - self.seen)[full], weights=self.count[full]))


def reliability(marginals: Marginals, cells: Cells, hidden: Hidden, symbol: int | None = None) -> Reliability:
    """Of one symbol, or of all of them; unknown cells (-1) do not count."""
    scored = hidden & (cells >= 0)
    symbols = np.arange(marginals.shape[-1]) if symbol is None else np.array([symbol])
    said = marginals[scored][:, symbols].ravel()
    seen = (cells[scored][:, None] == symbols).ravel()
    place = np.minimum((said * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    count = np.bincount(place, minlength=RELIABILITY_BINS)
    sums = [np.bincount(place, values, RELIABILITY_BINS) for values in (said, seen)]
    with np.errstate(invalid="ignore"):
        return Reliability(sums[0] / count, sums[1] / count, count)


def calibration(marginals: Marginals, cells: Cells, hidden: Hidden) -> dict[str, Any]:
    """Expected calibration error and Brier score: of all, by symbol, and by quarters of the hidden fraction."""
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
        "brier": brier(marginals, cells, hidden),
        "by_symbol": [one.expected_calibration_error for one in by_symbol],
        "by_hidden_fraction": {name: one.expected_calibration_error for name, one in by_quarter.items()},
    }


def excess_bits(marginals: Marginals, exact: Marginals, hidden: Hidden) -> float:
    """Mean Kullback–Leibler divergence of the marginals from the exact ones, in bits per hidden cell.

    It is the expectation, under the exact law, of what the predictor pays over the exact answer in bits per hidden
    cell, and so has less noise than the difference of two scores.
    """
    return float(divergence_bits(marginals, exact)[hidden].mean())


def divergence_bits(marginals: Marginals, exact: Marginals) -> Float[np.ndarray, "batch height width"]:
    """The Kullback–Leibler divergence of each cell's law from the exact one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(exact > 0, exact * np.log2(exact / marginals), 0.0).sum(-1)


def determined(exact: Marginals, hidden: Hidden) -> Hidden:
    """The hidden cells of which the exact answer leaves no doubt."""
    return hidden & (exact.max(-1) == 1.0)


def determined_wrong(marginals: Marginals, exact: Marginals, hidden: Hidden) -> Hidden:
    """The determined cells whose most likely symbol is not the determined one."""
    return determined(exact, hidden) & (marginals.argmax(-1) != exact.argmax(-1))


def score(marginals: Marginals, cells: Cells, hidden: Hidden, exact: Marginals | None = None) -> dict[str, float]:
    """All scores of marginals; those against the exact answer only where it is given.

    Rates over determined cells are NaN where no cell is determined.
    """
    scores = {
        "bits_per_hidden_cell": bits_per_hidden_cell(marginals, cells, hidden),
        "error": error(marginals, cells, hidden),
    }
    if exact is None:
        return scores
    sure, wrong = determined(exact, hidden), determined_wrong(marginals, exact, hidden)
    return scores | {
        "excess_bits": excess_bits(marginals, exact, hidden),
        "determined_error": float(wrong.sum() / sure.sum()) if sure.any() else float("nan"),
        "grids_all_determined_right": float(1 - wrong.any(axis=(1, 2)).mean()) if sure.any() else float("nan"),
    }


def legal_fraction(samples: Samples, cells: Cells, hidden: Hidden, prior: KnownPrior) -> float:
    """Share of samples that are members of the prior and agree with the visible cells."""
    agree = ((samples == cells[:, None]) | hidden[:, None]).all(axis=(2, 3))
    members = prior.log_prob_bits(samples.reshape(-1, *cells.shape[1:])) > -np.inf
    return float((agree & members.reshape(agree.shape)).mean())


def total_variation(
    samples: Int[np.ndarray, "sample height width"],
    posterior: ExactPosterior,
    cells: Int[np.ndarray, "height width"],
    hidden: np.ndarray,
) -> float:
    """Total variation between the samples of one puzzle and the exact joint law of its hidden cells, 0…1.

    Finitely many samples of the exact law itself are not at 0: compare with `posterior.sample`.
    """
    distinct, counts = np.unique(np.where(hidden, samples, cells), axis=0, return_counts=True)
    exact = 2.0 ** posterior.log_prob_bits(distinct, np.broadcast_to(hidden, distinct.shape))
    missed = max(0.0, 1 - exact.sum())  # the probability of all that was never drawn
    return float((np.abs(counts / len(samples) - exact).sum() + missed) / 2)
